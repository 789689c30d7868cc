from pathlib import Path

import cv2
import numpy as np
import pytest

from mask2alpha.data.sources import (
    LazyItems,
    PhotoPool,
    Sources,
    extend_colours,
    load_cutouts,
    load_photos,
    make_solid,
    split_atlas,
)
from mask2alpha.errors import InputError


def disc(height: int = 80, width: int = 100) -> np.ndarray:
    """A soft green disc on nothing, RGBA."""
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - height / 2, columns - width / 2)
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[..., 1] = 200
    rgba[..., 3] = np.clip(255 * (30 - distance) / 6, 0, 255)
    return rgba


def write_rgba(path: Path, rgba: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    write_rgba(tmp_path / "foregrounds" / "hair" / "deep" / "one.png", disc())
    write_rgba(tmp_path / "foregrounds" / "others" / "two.png", disc(60, 60))
    (tmp_path / "backgrounds" / "walls").mkdir(parents=True)
    photo = np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)
    assert cv2.imwrite(str(tmp_path / "backgrounds" / "walls" / "a.jpg"), photo)
    return tmp_path


def test_layout_is_loaded_and_weighted_by_folder(layout: Path) -> None:
    sources = Sources.from_shared_layout(layout)
    assert sources.cutouts is not None
    assert len(sources.cutouts) == 2
    np.testing.assert_allclose(sources.cutouts.weights, [0.75, 0.25])  # hair has share 3, unknown folders 1
    assert sources.photos(np.random.default_rng(0), 64).shape == (64, 64, 3)


def test_cutouts_are_trimmed_and_shrunk(layout: Path) -> None:
    folder = load_cutouts([layout / "foregrounds" / "hair"], max_side=40)
    cutout = folder.items[0]
    assert max(cutout.alpha.shape) == 40
    assert cutout.colour.shape == (*cutout.alpha.shape, 3)


def test_colours_are_extended_under_zero_alpha_and_kept_where_opaque() -> None:
    rgba = disc()
    rgba[rgba[..., 3] < 128, :3] = 0  # the dark rim that must not survive
    colour = extend_colours(rgba[..., :3], rgba[..., 3])
    np.testing.assert_array_equal(colour[rgba[..., 3] == 255], rgba[rgba[..., 3] == 255, :3])
    assert np.abs(colour.astype(int) - [0, 200, 0]).mean() < 5
    assert np.abs(colour.astype(int) - [0, 200, 0]).max() < 80


def test_exact_colours_under_soft_alpha_are_kept() -> None:
    rgba = disc()
    rgba[..., 0] = np.arange(100)
    colour = extend_colours(rgba[..., :3], rgba[..., 3], is_exact=True)
    np.testing.assert_array_equal(colour[rgba[..., 3] >= 32], rgba[rgba[..., 3] >= 32, :3])


def test_atlas_loses_its_opaque_strip_and_is_split() -> None:
    rgba = np.zeros((200, 260, 4), np.uint8)
    rgba[:, :40, 3] = 255
    for left in (60, 160):
        rgba[60:140, left : left + 90] = disc(80, 90)
    pieces = split_atlas(rgba[..., :3], rgba[..., 3])
    assert len(pieces) == 2
    assert all(60 <= alpha.shape[1] <= 80 for _, alpha in pieces)


def test_almost_opaque_bodies_become_opaque_and_rims_stay_soft() -> None:
    alpha = np.zeros((20, 20), np.uint8)
    alpha[4:16, 4:16] = 120
    alpha[5:15, 5:15] = 240
    solid = make_solid(alpha)
    assert (solid[6:14, 6:14] == 255).all()
    rim = np.ones(alpha.shape, np.bool_)
    rim[6:14, 6:14] = False
    np.testing.assert_array_equal(solid[rim], alpha[rim])


def test_files_whose_alpha_is_no_truth_are_left_out(tmp_path: Path) -> None:
    write_rgba(tmp_path / "layerdiffuse" / "man_crop.webp", disc())
    write_rgba(tmp_path / "layerdiffuse" / "one.webp", disc(60, 60))
    write_rgba(tmp_path / "mine" / "man_crop.webp", disc())
    assert [cutout.alpha.shape[1] for cutout in load_cutouts([tmp_path / "layerdiffuse"]).items] == [59]
    assert len(load_cutouts([tmp_path / "mine"])) == 1


def test_sets_are_listed_with_their_sizes(layout: Path) -> None:
    assert Sources.from_shared_layout(layout).describe() == [
        {"role": "foreground", "name": "hair", "items": 1},
        {"role": "foreground", "name": "others", "items": 1},
        {"role": "background", "name": "walls", "items": 1},
    ]


def test_lazy_items_are_made_anew_each_time() -> None:
    made: list[int] = []

    def make() -> np.ndarray:
        made.append(1)
        return np.zeros((4, 4, 3), np.uint8)

    pool = PhotoPool(LazyItems([make, make]))
    assert len(pool) == 2
    made.clear()
    for number in range(3):
        assert len(made) == number
        assert pool.draw(np.random.default_rng(0)).shape == (4, 4, 3)
    assert len(LazyItems([make, make, make])[1:]) == 2


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        load_cutouts([tmp_path / "nowhere"])
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError, match="void"):
        load_photos([tmp_path / "void"])
    with pytest.raises(InputError, match="foregrounds"):
        Sources.from_shared_layout(tmp_path)
    with pytest.raises(InputError, match="empty"):
        load_photos([])


def test_broken_files_are_named(layout: Path) -> None:
    broken = layout / "foregrounds" / "hair" / "broken.webp"
    broken.write_bytes(b"RIFF but not really")
    with pytest.raises(InputError, match=r"broken\.webp"):
        Sources.from_shared_layout(layout)
    broken.unlink()
    (layout / "backgrounds" / "walls" / "empty.jpg").touch()
    with pytest.raises(InputError, match=r"empty\.jpg"):
        Sources.from_shared_layout(layout)


def test_cutouts_without_alpha_or_with_an_empty_one_are_named(layout: Path) -> None:
    assert cv2.imwrite(str(layout / "foregrounds" / "hair" / "flat.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(InputError, match=r"flat.png.*alpha"):
        Sources.from_shared_layout(layout)
    write_rgba(layout / "foregrounds" / "hair" / "flat.png", np.zeros((9, 9, 4), np.uint8))
    with pytest.raises(InputError, match=r"flat.png.*empty"):
        Sources.from_shared_layout(layout)
