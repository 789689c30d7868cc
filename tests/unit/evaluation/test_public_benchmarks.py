import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from layouts import LAYOUTS, colours, composition_1k, him2k, soft_disc, write
from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import Masks
from mask2alpha.evaluation.masks import RECIPES
from mask2alpha.evaluation.metrics import MatteScores
from mask2alpha.evaluation.public_benchmarks import BENCHMARKS, HIM2K_MASK_SETS, open_benchmark
from mask2alpha.evaluation.runner import evaluate, predict_masks

ALL = tuple(RECIPES)
EXPECTED: dict[str, tuple[tuple[str, ...], tuple[str, ...], int | None]] = {
    "aim-500": (("o_0b7228ec", "o_0c8f03f0"), ALL, 500),
    "am-2k": (("m_0aa9dd6a", "m_0b2bbaa4"), ALL, 200),
    "p3m-500-np": (("p_1", "p_2"), ALL, 500),
    "p3m-500-p": (("p_015cd10e", "p_2"), ALL, 500),
    "m-him2k": (
        ("natural/aa/00", "natural/aa/01", "natural/bb/00", "natural/bb/01"),
        ("r50_c4_3x", "x101_fpn_3x"),
        None,
    ),
    "him2k": (
        tuple(
            f"{subset}/{name}/{index}"
            for subset in ("natural", "comp")
            for name in ("aa", "bb")
            for index in ("00", "01")
        ),
        ALL,
        2000,
    ),
    "composition-1k": (("13022246555_fb8c81ba07_o_0", "13022246555_fb8c81ba07_o_1"), ALL, 1000),
    "ppm-100": (("3104502752_cb935c1f0b_o", "6146816_556eaff97f_o"), ALL, 100),
    "alphamatting": (("GT01", "GT02"), ALL, 27),
    "folder": (("one", "two"), ("eroded",), None),
}
HAS_TRIMAPS = sorted(set(BENCHMARKS) - {"ppm-100", "him2k", "m-him2k"})


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_official_layout_is_understood(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path)
    benchmark = open_benchmark(name, tmp_path)
    names, kinds, count = EXPECTED[name]
    assert tuple(photograph.name for photograph in benchmark.photographs) == names
    assert (benchmark.name, benchmark.kinds, benchmark.official_count) == (name, kinds, count)
    for photograph in benchmark.photographs:
        assert photograph.image_path.is_file()
        assert photograph.alpha_path.is_file()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_layout_is_in_the_docstring(name: str) -> None:
    assert re.search(rf"^ +{name} +\S", open_benchmark.__doc__ or "", re.MULTILINE)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_is_scored(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path)
    evaluation = evaluate(predict_masks, open_benchmark(name, tmp_path))
    assert len(evaluation.pairs) == len(EXPECTED[name][0]) * len(EXPECTED[name][1])
    assert all(0 < pair.scores.sad < 1 for pair in evaluation.pairs)


@pytest.mark.parametrize("name", HAS_TRIMAPS)
def test_trimaps_are_found(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path)
    benchmark = open_benchmark(name, tmp_path)
    half = evaluate(lambda image, masks: np.full(masks.shape, 0.5), benchmark, protocol="trimap-unknown")
    assert 0 < half.mean().mse < 0.12  # soft rims only; over the whole picture it would be nearly a quarter


@pytest.mark.parametrize("name", ["ppm-100", "him2k"])
def test_a_protocol_without_its_trimaps_is_refused(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path)
    with pytest.raises(InputError, match="trimap-unknown needs a trimap for"):
        evaluate(predict_masks, open_benchmark(name, tmp_path), protocol="trimap-unknown")


@pytest.mark.parametrize(
    ("name", "move", "to", "message"),
    [
        ("aim-500", "original", "images", "aim has no original/; move the contents of aim/images to aim/original"),
        ("aim-500", "mask", "alpha", "aim has no mask/; move the contents of aim/alpha to aim/mask"),
        ("aim-500", "mask", "elsewhere", "aim has no mask/; move the true alphas there"),
        (
            "aim-500",
            "",
            "deeper",
            "aim has no original/, aim/deeper has; move the contents of aim/deeper to aim",
        ),
        (
            "am-2k",
            "validation",
            "val",
            "aim/validation has no original/, aim/val has; move the contents of aim/val to aim/validation",
        ),
        ("am-2k", "validation/original", "gone", "aim/validation has no original/; move the photos there"),
        ("aim-500", "mask/o_0b7228ec.png", "gone.png", "aim/mask lacks o_0b7228ec; move their true alphas there"),
        ("aim-500", "original/o_0c8f03f0.jpg", "o.txt", "aim/original lacks o_0c8f03f0; move their photos there"),
        (
            "p3m-500-np",
            "validation/P3M-500-NP/original_image",
            "validation/P3M-500-NP/original",
            "; move the contents of aim/validation/P3M-500-NP/original to aim/validation/P3M-500-NP/original_image",
        ),
        (
            "p3m-500-p",
            "validation/P3M-500-P/blurred_image",
            "gone",
            "aim/validation/P3M-500-P has no blurred_image/; move the photos with blurred faces there",
        ),
        ("ppm-100", "matte", "alpha", "aim has no matte/; move the contents of aim/alpha to aim/matte"),
        (
            "composition-1k",
            "merged",
            "gone",
            "no merged/; move the 1000 composites that the data set's own script makes",
        ),
        ("composition-1k", "alpha_copy", "gone", "aim has no alpha_copy/; move the true alphas there"),
        ("alphamatting", "gt_training_lowres", "gt", "move the contents of aim/gt to aim/gt_training_lowres"),
        (
            "him2k",
            "alphas",
            "masks",
            "aim has no alphas/natural/; move the true alphas, one folder per photo, there",
        ),
        ("him2k", "alphas/comp/aa", "aa", "aim/alphas/comp lacks aa/ with true alphas; move them there"),
        ("him2k", "images/comp/bb.jpg", "bb.jpg", "aim/images/comp lacks bb; move their photos there"),
        ("him2k", "images", "photos", "aim has no images/natural/ or images/comp/; move the photos there"),
        (
            "m-him2k",
            "masks_matched_r50_c4_3x/natural/aa/01.png",
            "x.png",
            "aim/masks_matched_r50_c4_3x lacks natural/aa/01.png; move the set's masks there",
        ),
        ("folder", "mask", "masks", "aim has no folder mask/; move the masks there"),
    ],
)
def test_a_wrong_layout_gives_one_sentence_that_says_what_to_move_where(
    name: str, move: str, to: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = Path("aim")
    LAYOUTS[name](root)
    if move:
        shutil.move(root / move, root / to)
    else:
        root.rename("moved")
        root.mkdir()
        Path("moved").rename(root / to)
    with pytest.raises(InputError) as caught:
        open_benchmark(name, root)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_subset_of_him2k_is_a_benchmark_too(tmp_path: Path) -> None:
    him2k(tmp_path, ("comp",))
    names = [photograph.name for photograph in open_benchmark("him2k", tmp_path).photographs]
    assert names == ["comp/aa/00", "comp/aa/01", "comp/bb/00", "comp/bb/01"]


def test_photographs_without_a_folder_are_told_where_to_go(tmp_path: Path) -> None:
    write(tmp_path / "o_1.jpg", colours(soft_disc(5)))
    with pytest.raises(InputError, match=r"has no original/; move the photos from \S+ to \S+/original"):
        open_benchmark("aim-500", tmp_path)


def test_the_mask_sets_of_m_him2k_are_needed(tmp_path: Path) -> None:
    him2k(tmp_path, ("natural",))
    with pytest.raises(InputError, match="has no masks_matched_r50_c4_3x/; move M-HIM2K's mask folders there"):
        open_benchmark("m-him2k", tmp_path)
    assert open_benchmark("m-him2k", tmp_path, masks=Masks(recipes=["eroded-v1"])).kinds == ("eroded-v1",)


def test_mask_sets_come_in_the_order_of_the_official_script_and_can_be_chosen(tmp_path: Path) -> None:
    him2k(tmp_path, ("natural",), tuple(reversed(HIM2K_MASK_SETS)))
    assert open_benchmark("m-him2k", tmp_path).kinds == HIM2K_MASK_SETS
    chosen = Masks(kinds=["x101_fpn_3x", "r50_c4_3x"])
    assert open_benchmark("m-him2k", tmp_path, masks=chosen).kinds == ("x101_fpn_3x", "r50_c4_3x")
    with pytest.raises(InputError, match="has no masks_matched_sam/"):
        open_benchmark("m-him2k", tmp_path, masks=Masks(kinds=["sam"]))


def test_composites_may_share_the_alpha_of_their_foreground(tmp_path: Path) -> None:
    composition_1k(tmp_path)
    alpha = tmp_path / "alpha_copy" / "13022246555_fb8c81ba07_o_0.png"
    (tmp_path / "alpha").mkdir()
    alpha.rename(tmp_path / "alpha" / "13022246555_fb8c81ba07_o.png")
    shutil.rmtree(tmp_path / "alpha_copy")
    photographs = open_benchmark("composition-1k", tmp_path).photographs
    assert {photograph.alpha_path.name for photograph in photographs} == {"13022246555_fb8c81ba07_o.png"}
    assert len(photographs) == 2


def test_masks_of_a_folder_serve_any_benchmark(tmp_path: Path) -> None:
    LAYOUTS["him2k"](tmp_path / "him")
    shutil.copytree(tmp_path / "him" / "alphas", tmp_path / "masks" / "perfect")
    benchmark = open_benchmark("him2k", tmp_path / "him", masks=Masks(folder=tmp_path / "masks"))
    assert benchmark.kinds == ("perfect",)
    assert evaluate(predict_masks, benchmark).mean().sad > 0
    (tmp_path / "masks" / "perfect" / "comp" / "aa" / "01.png").unlink()
    with pytest.raises(InputError, match=r"perfect lacks comp/aa/01\.png; move the masks of that kind there"):
        open_benchmark("him2k", tmp_path / "him", masks=Masks(folder=tmp_path / "masks"))
    with pytest.raises(InputError, match="is not a folder"):
        open_benchmark("him2k", tmp_path / "him", masks=Masks(folder=tmp_path / "none"))


def test_kinds_of_files_are_refused_where_there_are_none(tmp_path: Path) -> None:
    LAYOUTS["aim-500"](tmp_path)
    with pytest.raises(InputError, match="AIM-500 has no masks of its own"):
        open_benchmark("aim-500", tmp_path, masks=Masks(kinds=["eroded"]))


def test_unknown_names_are_answered_with_the_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="benchmark: got 'aim', expected one of aim-500, am-2k"):
        open_benchmark("aim", tmp_path)
    with pytest.raises(InputError, match="is not a folder; give the one that holds aim-500"):
        open_benchmark("aim-500", tmp_path / "none")
    with pytest.raises(InputError, match="masks: got eroded, expected some of exact-v1"):
        Masks(recipes=["eroded"])


def test_grey_jpegs_are_alphas(tmp_path: Path) -> None:
    LAYOUTS["ppm-100"](tmp_path)
    path = tmp_path / "matte" / "6146816_556eaff97f_o.jpg"
    write(path, np.stack([soft_disc(7)] * 3, axis=2))  # colour channels that a JPEG may round apart
    evaluation = evaluate(predict_masks, open_benchmark("ppm-100", tmp_path, masks=Masks(recipes=["exact-v1"])))
    assert isinstance(evaluation.mean(), MatteScores)
    write(path, colours(soft_disc(7)))
    with pytest.raises(InputError, match="has colours"):
        evaluate(predict_masks, open_benchmark("ppm-100", tmp_path))
