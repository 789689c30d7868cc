from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mask2alpha.data.cutout import Cutout
from mask2alpha.data.datasets import BACKGROUNDS, FOREGROUNDS, CutoutFiles, DataSet, open_sources, read_cutout
from mask2alpha.data.loading import make_sample
from mask2alpha.data.sources import PhotoPool, Pool, Sources
from mask2alpha.errors import InputError

HEIGHT, WIDTH = 60, 80


def disc(radius: int = 20) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.clip(255 * (radius - np.hypot(x - 40, y - 30)) / 6, 0, 255).astype(np.uint8)


def photo() -> np.ndarray:
    """Green inside the disc, red outside, mixed where it is soft (BGR)."""
    share = disc()[..., None] / 255.0
    return np.asarray(np.rint(share * [0, 200, 0] + (1 - share) * [0, 0, 250]), np.uint8)


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def write_pair(colour: Path, alpha: Path) -> None:
    write(colour, photo())
    write(alpha, disc())


def write_dim(root: Path) -> int:
    base = root / "Training_set"
    write_pair(base / "Adobe-licensed images" / "fg" / "a.jpg", base / "Adobe-licensed images" / "alpha" / "a.jpg")
    write_pair(base / "Other" / "fg" / "b.jpg", base / "Other" / "alpha" / "b.jpg")
    write_pair(base / "Other" / "fg" / "unlisted.jpg", base / "Other" / "alpha" / "unlisted.jpg")
    (base / "training_fg_names.txt").write_text("a.jpg\nb.jpg\n")
    return 2


def write_aim500(root: Path) -> int:
    write_pair(root / "original" / "o_1.jpg", root / "mask" / "o_1.png")
    return 1


def write_am2k(root: Path) -> int:
    write_pair(root / "train" / "original" / "m_1.jpg", root / "train" / "mask" / "m_1.png")
    write_pair(root / "validation" / "original" / "m_2.jpg", root / "validation" / "mask" / "m_2.png")
    return 1


def write_p3m10k(root: Path) -> int:
    write_pair(root / "train" / "blurred_image" / "p_1.jpg", root / "train" / "mask" / "p_1.png")
    write_pair(root / "validation" / "P3M-500-P" / "blurred_image" / "p.jpg", root / "validation" / "mask" / "p.png")
    return 1


def write_him2k(root: Path) -> int:
    for split in ("comp", "natural"):
        write_pair(root / "images" / split / "x.jpg", root / "alphas" / split / "x" / "00.png")
    write(root / "alphas" / "natural" / "x" / "01.png", disc(10))
    return 3


def write_ihim50k(root: Path) -> int:
    write_pair(root / "images" / "000001.jpg", root / "alphas" / "000001" / "00.png")
    return 1


def write_pairs(root: Path) -> int:
    write_pair(root / "image" / "deep" / "x.jpeg", root / "alpha" / "deep" / "x.webp")
    write_pair(root / "image" / "y.png", root / "alpha" / "y.png")
    return 2


def write_cutouts(root: Path) -> int:
    write(root / "deep" / "x.png", np.dstack([photo(), disc()]))
    return 1


LAYOUTS: dict[str, Callable[[Path], int]] = {
    "cutouts": write_cutouts,
    "pairs": write_pairs,
    "dim": write_dim,
    "aim500": write_aim500,
    "am2k": write_am2k,
    "p3m10k": write_p3m10k,
    "him2k": write_him2k,
    "ihim50k": write_ihim50k,
}


@pytest.fixture
def walls(tmp_path: Path) -> DataSet:
    write(tmp_path / "walls" / "deep" / "a.jpg", photo())
    return DataSet("photos", tmp_path / "walls")


def test_every_kind_has_a_layout_here() -> None:
    assert LAYOUTS.keys() == FOREGROUNDS.keys()


@pytest.mark.parametrize("kind", sorted(LAYOUTS))
def test_foregrounds_in_the_official_layout(kind: str, tmp_path: Path, walls: DataSet) -> None:
    count = LAYOUTS[kind](tmp_path / "set")
    sources = open_sources([DataSet(kind, tmp_path / "set")], [walls], cutout_side=32)
    assert sources.cutouts is not None
    assert len(sources.cutouts) == count
    assert sources.describe()[0] == {"role": "foreground", "name": kind, "items": count}
    for cutout in sources.cutouts.items:
        assert 10 <= max(cutout.alpha.shape) <= 32
        solid = cutout.colour[cutout.alpha == 255].astype(int)
        assert np.abs(solid - [0, 200, 0]).mean() < 12


def test_am2k_prefers_the_given_foreground_colours(tmp_path: Path) -> None:
    write_am2k(tmp_path)
    assert not FOREGROUNDS["am2k"](tmp_path)[0].is_exact
    write(tmp_path / "train" / "fg" / "m_1.png", np.full((HEIGHT, WIDTH, 3), 77, np.uint8))
    (files,) = FOREGROUNDS["am2k"](tmp_path)
    assert (files.colour.parent.name, files.is_exact) == ("fg", True)


def test_dim_without_its_names_file_is_all_that_lies_there(tmp_path: Path) -> None:
    write_dim(tmp_path)
    (tmp_path / "Training_set" / "training_fg_names.txt").unlink()
    assert len(FOREGROUNDS["dim"](tmp_path / "Training_set")) == 3


@pytest.mark.parametrize("max_side", [100, 32, 15])  # as it is, shrunk, shrunk before colours are estimated
def test_the_old_background_of_a_photograph_does_not_show_in_soft_pixels(tmp_path: Path, max_side: int) -> None:
    write(tmp_path / "a.png", photo())
    write(tmp_path / "b.png", disc())
    cutout = read_cutout(CutoutFiles(tmp_path / "a.png", tmp_path / "b.png"), max_side)
    soft = (cutout.alpha > 20) & (cutout.alpha < 250)
    assert soft.any()
    assert cutout.colour[soft][:, 0].astype(float).mean() < 20  # its red, which was 125 on the average


def test_exact_colours_are_kept_in_soft_pixels(tmp_path: Path) -> None:
    write(tmp_path / "a.png", np.tile(np.arange(WIDTH, dtype=np.uint8)[:, None], (HEIGHT, 1, 3)))
    write(tmp_path / "b.png", disc())
    cutout = read_cutout(CutoutFiles(tmp_path / "a.png", tmp_path / "b.png", is_exact=True), 100)
    top, left = (int(np.flatnonzero(disc().max(axis=axis))[0]) for axis in (1, 0))
    expected = np.arange(WIDTH)[None, left : left + cutout.alpha.shape[1]].repeat(cutout.alpha.shape[0], 0)
    assert top > 0
    trusted = cutout.alpha >= 32
    np.testing.assert_array_equal(cutout.colour[..., 1][trusted], expected[trusted])


def write_coco(root: Path) -> None:
    write(root / "train2017" / "000000000009.jpg", photo())


def write_bg20k(root: Path) -> None:
    write(root / "train" / "h_1.jpg", photo())
    write(root / "testval" / "h_2.jpg", photo())


@pytest.mark.parametrize(("kind", "write_set"), [("coco", write_coco), ("bg20k", write_bg20k)])
def test_backgrounds_in_the_official_layout(kind: str, write_set: Callable[[Path], None], tmp_path: Path) -> None:
    write_set(tmp_path)
    sources = open_sources([], [DataSet(kind, tmp_path)], photo_side=40)
    assert len(sources.photos) == 1
    assert max(sources.photos.items[0].shape) == 40
    assert sources.cutouts is None


def test_coco_may_be_the_folder_of_photographs_itself(tmp_path: Path) -> None:
    write_coco(tmp_path)
    assert BACKGROUNDS["coco"](tmp_path / "train2017") == BACKGROUNDS["coco"](tmp_path)


def test_shares_are_of_whole_sets_and_mix_with_what_is_in_memory(tmp_path: Path, walls: DataSet) -> None:
    write_pairs(tmp_path / "pairs")
    base = Sources(
        Pool([Cutout(np.zeros((9, 9, 3), np.uint8), np.full((9, 9), 255, np.uint8))] * 4),
        PhotoPool([np.zeros((70, 70, 3), np.uint8)]),
    )
    sources = open_sources([DataSet("pairs", tmp_path / "pairs", 3.0)], [walls], base=base, procedural_share=0.0)
    assert sources.cutouts is not None
    np.testing.assert_allclose(sources.cutouts.weights, [1 / 16] * 4 + [3 / 8] * 2)
    np.testing.assert_allclose(sources.photos.weights, [1 / 2] * 2)
    image, alphas, masks = make_sample(sources, 64, 2, seed=0, index=0)
    assert image.shape == (64, 64, 3)
    assert alphas.shape == masks.shape == (2, 64, 64)


def test_all_problems_are_found_before_training_and_named(tmp_path: Path, walls: DataSet) -> None:
    write_pairs(tmp_path / "pairs")
    (tmp_path / "pairs" / "alpha" / "y.png").write_bytes(b"no picture")
    write(tmp_path / "pairs" / "image" / "lonely.png", photo())
    write(tmp_path / "pairs" / "image" / "odd.png", photo())
    write(tmp_path / "pairs" / "alpha" / "odd.png", disc()[:-1])
    write(tmp_path / "cutouts" / "flat.png", photo())
    sets = [DataSet("pairs", tmp_path / "pairs"), DataSet("cutouts", tmp_path / "cutouts")]
    with pytest.raises(InputError) as caught:
        open_sources(sets, [walls, DataSet("coco", tmp_path / "nowhere")])
    message = str(caught.value)
    for part in (
        "y.png: not a picture",
        "lonely.png: is missing",
        "odd.png: its size differs",
        "flat.png: a cut-out needs an alpha channel",
        "nowhere: no such folder",
    ):
        assert part in message


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    for number in range(14):
        (tmp_path / f"{number:02}.jpg").touch()
    with pytest.raises(InputError, match=r"09\.jpg.*\n\.\.\. and 4 more"):
        open_sources([], [DataSet("photos", tmp_path)])


def test_a_folder_in_another_layout_is_named(tmp_path: Path, walls: DataSet) -> None:
    with pytest.raises(InputError, match="walls: holds no files in the layout of 'dim'"):
        open_sources([DataSet("dim", walls.root)], [walls])


def test_a_file_that_breaks_later_is_named_when_it_is_drawn(walls: DataSet) -> None:
    sources = open_sources([], [walls])
    path = walls.root / "deep" / "a.jpg"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match=r"a\.jpg"):
        sources.photos.draw(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dim=/data/DIM", DataSet("dim", Path("/data/DIM"), 1.0)),
        ("dim=/data/DIM@2.5", DataSet("dim", Path("/data/DIM"), 2.5)),
        ("pairs=me@home/x", DataSet("pairs", Path("me@home/x"), 1.0)),
    ],
)
def test_sets_are_named_on_the_command_line(text: str, expected: DataSet) -> None:
    assert DataSet.parse(text) == expected


@pytest.mark.parametrize("text", ["dim", "=x", "dim=", "dim=x@0", "dim=x@-1"])
def test_wrong_forms_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        DataSet.parse(text)


def test_unknown_kinds_and_missing_backgrounds_are_refused(walls: DataSet) -> None:
    with pytest.raises(InputError, match="'imagenet' is not a kind of data set; expected one of cutouts, pairs"):
        open_sources([DataSet("imagenet", walls.root)], [walls])
    with pytest.raises(InputError, match="backgrounds: none"):
        open_sources([], [])
