import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mask2alpha.data.coco import CocoInstances, decode_rle, decode_segmentation, parse_counts
from mask2alpha.errors import InputError

SQUARE = [[2.0, 1.0, 5.0, 1.0, 5.0, 3.0, 2.0, 3.0]]
"""Columns 2 to 4 of rows 1 and 2."""


def compress(counts: list[int]) -> str:
    """The inverse of `parse_counts`, from the format's definition."""
    text = ""
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        while True:
            bits, value = value & 31, value >> 5
            is_last = value == (-1 if bits & 16 else 0)
            text += chr(48 + bits + (0 if is_last else 32))
            if is_last:
                break
    return text


def runs_of(mask: np.ndarray) -> list[int]:
    """Run lengths by walking down the columns, pixel by pixel."""
    counts, current = [0], False
    for value in mask.T.reshape(-1).tolist():
        if value != current:
            counts.append(0)
            current = value
        counts[-1] += 1
    return counts


@pytest.mark.parametrize(("text", "counts"), [("122O", [1, 2, 2, 1]), ("Z11", [42, 1])])
def test_compressed_counts_by_hand(text: str, counts: list[int]) -> None:
    assert parse_counts(text) == counts


def test_rle_is_the_inverse_of_its_definition(rng: np.random.Generator) -> None:
    for share in (0.02, 0.5, 0.98):
        mask = cv2.blur(rng.random((23, 31)), (3, 3)) < share
        counts = runs_of(mask)
        assert parse_counts(compress(counts)) == counts
        np.testing.assert_array_equal(decode_rle(counts, (23, 31)), mask)
        text = {"size": [23, 31], "counts": compress(counts)}
        np.testing.assert_array_equal(decode_segmentation(text, (23, 31)), mask)
        np.testing.assert_array_equal(decode_segmentation({**text, "counts": counts}, (23, 31)), mask)


@pytest.mark.parametrize("text", ["P", "1\x01"])
def test_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="compressed RLE"):
        parse_counts(text)


@pytest.mark.parametrize("counts", [[3, 2], [-1, 7], [0, 7]])
def test_runs_that_do_not_fill_the_mask_are_refused(counts: list[int]) -> None:
    with pytest.raises(InputError, match="an RLE of"):
        decode_rle(counts, (2, 3))


def test_polygons_are_filled_and_united() -> None:
    mask = decode_segmentation(SQUARE, (6, 8))
    assert mask[1:3, 2:5].all()
    assert mask.sum() <= 12  # OpenCV counts pixels on the outline in
    twice = decode_segmentation(SQUARE * 2, (6, 8))
    np.testing.assert_array_equal(twice, mask)  # a union, not a difference


def write_coco(root: Path, **changes: Any) -> None:
    (root / "train2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    for name in ("000000000009.jpg", "000000000025.jpg"):
        assert cv2.imwrite(str(root / "train2017" / name), np.full((6, 8, 3), 90, np.uint8))
    rle = {"size": [6, 8], "counts": [40, 8]}
    content = {
        "images": [
            {"id": 9, "file_name": "000000000009.jpg", "height": 6, "width": 8},
            {"id": 25, "file_name": "000000000025.jpg", "height": 6, "width": 8},
        ],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 1, "iscrowd": 0, "area": 6.0, "segmentation": SQUARE},
            {"id": 2, "image_id": 9, "category_id": 3, "iscrowd": 0, "area": 8.0, "segmentation": rle},
            {"id": 3, "image_id": 25, "category_id": 1, "iscrowd": 1, "area": 8.0, "segmentation": rle},
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
    } | changes
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(content))


def test_photographs_come_with_all_their_instances_and_crowds_are_left_out(tmp_path: Path) -> None:
    write_coco(tmp_path)
    instances = CocoInstances(tmp_path)
    assert len(instances) == 1
    photo = instances.draw(np.random.default_rng(0))
    assert photo.image.shape == (6, 8, 3)
    assert photo.masks.shape == (2, 6, 8)
    assert photo.masks[1].sum() == 8
    assert photo.masks[1][4:, 6].all()  # column 6 from its fifth row on: 40 = 6 * 6 + 4
    assert photo.masks[1][:, 7].all()


def test_categories_and_sizes_are_chosen(tmp_path: Path) -> None:
    write_coco(tmp_path)
    assert len(CocoInstances(tmp_path, categories=["car"])[0].masks) == 1
    assert len(CocoInstances(tmp_path, min_area=7 / 48)[0].masks) == 1
    with pytest.raises(InputError, match="no instances"):
        CocoInstances(tmp_path, min_area=0.5)
    with pytest.raises(InputError, match="knows no zebra"):
        CocoInstances(tmp_path, categories=["zebra"])


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"instances_train2017\.json"):
        CocoInstances(tmp_path)
    write_coco(tmp_path)
    (tmp_path / "train2017" / "000000000009.jpg").write_bytes(b"\xff\xd8 no")
    with pytest.raises(InputError, match=r"000000000009\.jpg"):
        CocoInstances(tmp_path)
    (tmp_path / "annotations" / "instances_train2017.json").write_text("{}")
    with pytest.raises(InputError, match="lacks annotations, categories, images"):
        CocoInstances(tmp_path)


def test_a_photograph_of_another_size_than_annotated_is_named(tmp_path: Path) -> None:
    write_coco(tmp_path)
    instances = CocoInstances(tmp_path)
    assert cv2.imwrite(str(tmp_path / "train2017" / "000000000009.jpg"), np.zeros((5, 5, 3), np.uint8))
    with pytest.raises(InputError, match=r"000000000009\.jpg: its size"):
        instances.draw(np.random.default_rng(0))
