"""No command writes over one of its inputs, whatever the layout: it refuses first, and every file stays as it was."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mask2alpha.checkpoints import save_model
from mask2alpha.cli.main import main
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_model(Mask2Alpha(PRESETS["tiny"]), tmp_path / "tiny.safetensors")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Foregrounds and backgrounds for a training."""
    folder = tmp_path / "data"
    rng = np.random.default_rng(0)
    for name, channels in (("foregrounds/mine/a.png", 4), ("backgrounds/walls/b.png", 3)):
        (folder / name).parent.mkdir(parents=True)
        Image.fromarray(rng.integers(0, 255, (72, 72, channels), dtype=np.uint8)).save(folder / name)
    return folder


def files_of(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()


def assert_refused(folder: Path, *arguments: object) -> None:
    """The command fails with one line that names the input, and nothing in `folder` has changed."""
    before = dict(files_of(folder))
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code != 0
    assert "is an input and would be overwritten" in result.output
    assert dict(files_of(folder)) == before


def link(path: Path, target: Path, *, is_hard: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (os.link if is_hard else os.symlink)(target, path)
    return path


@pytest.mark.parametrize("name", ["image/one.png", "alpha/one.png", "mask/exact/one.png"])
def test_eval_keeps_the_files_of_its_benchmark(root: Path, name: str) -> None:
    output = link(root / "scores.csv", root / name, is_hard=True)
    assert_refused(root, "eval", root, "--model", "mask", "--output", output)


def test_eval_keeps_files_behind_links(root: Path, tmp_path: Path) -> None:
    link(tmp_path / "soft.csv", root / "alpha" / "one.png")
    link(tmp_path / "hard.csv", root / "alpha" / "one.png", is_hard=True)
    link(tmp_path / "scores.parquet", root / "image" / "one.png")
    for name in ("soft.csv", "hard.csv", "scores.csv"):
        assert_refused(tmp_path, "eval", root, "--model", "mask", "--output", tmp_path / name)


def test_eval_keeps_mattes_masks_of_another_folder_and_the_model(root: Path, weights: Path, tmp_path: Path) -> None:
    for kind in ("exact", "eroded"):
        link(tmp_path / "mattes" / kind / "one.png", root / "alpha" / "one.png", is_hard=True)
    (root / "alpha" / "one.png").write_bytes((root / "mask" / "exact" / "one.png").read_bytes())  # a file of its own
    matte = link(tmp_path / "matte.csv", tmp_path / "mattes" / "exact" / "one.png")
    assert_refused(tmp_path, "eval", root, "--predictions", tmp_path / "mattes", "--output", matte)
    assert_refused(tmp_path, "eval", root, "--mask-folder", tmp_path / "mattes", "--model", "mask", "--output", matte)
    assert_refused(tmp_path, "eval", root, "--model", weights, "--output", link(tmp_path / "model.csv", weights))


@pytest.mark.parametrize("name", ["comparison.md", "comparison.json", "comparison.html", "figures/error_per_kind.svg"])
def test_compare_keeps_inputs_that_are_named_as_its_report(root: Path, name: str) -> None:
    link(root / name, root / "image" / "one.png")
    assert_refused(root, "compare", root, "-m", "mask", "-o", root)


def test_compare_keeps_mattes_in_its_folder(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["compare", root, "-m", "mask", "-o", out, "--resamples", "100"]
    assert CliRunner().invoke(main, [str(argument) for argument in arguments]).exit_code == 0
    (made,) = (out / "methods").iterdir()
    assert_refused(tmp_path, *arguments, "--mask-folder", made / "alpha")
    assert_refused(tmp_path, *arguments, "-m", f"predictions:{made / 'alpha'}")


def test_compare_keeps_a_model_behind_a_link(root: Path, weights: Path, tmp_path: Path) -> None:
    link(tmp_path / "out" / "comparison.json", weights)
    assert_refused(tmp_path, "compare", root, "-m", weights, "-o", tmp_path / "out")


@pytest.mark.parametrize("name", ["image/one.png", "alpha/one.png", "mask/eroded/one.png"])
def test_ablate_keeps_the_files_of_its_benchmark(root: Path, weights: Path, tmp_path: Path, name: str) -> None:
    rows = tmp_path / "rows"
    arguments = ["ablate", root, "--table", 5, "--model", weights, "--device", "cpu", "--repeats", 0, "--output", rows]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    first = min(rows.glob("*.csv"))
    first.unlink()
    link(first, root / name)
    assert_refused(tmp_path, *arguments)


def test_explain_keeps_photo_mask_and_model(root: Path, weights: Path, tmp_path: Path) -> None:
    photo, mask = root / "image" / "one.png", root / "mask" / "exact" / "one.png"
    for name, target in (("detail.png", photo), ("steps.png", mask), ("numbers.json", weights)):
        out = tmp_path / f"out {name}"
        link(out / name, target)
        assert_refused(tmp_path, "explain", photo, mask, "--model", weights, "-o", out)


@pytest.mark.parametrize(("name", "is_hard"), [("encoder.onnx", False), ("step.onnx", True), ("detail.onnx", False)])
def test_export_keeps_a_model_behind_a_link(weights: Path, tmp_path: Path, name: str, is_hard: bool) -> None:
    pytest.importorskip("onnx")
    link(tmp_path / "out" / name, weights, is_hard=is_hard)
    assert_refused(tmp_path, "export", weights, tmp_path / "out")


def test_export_keeps_a_model_that_is_named_as_an_output(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    model = tmp_path / "guide.onnx"
    weights.rename(model)
    assert_refused(tmp_path, "export", model, tmp_path)


def test_export_into_the_model_file_is_refused(weights: Path, tmp_path: Path) -> None:
    before = weights.read_bytes()
    result = CliRunner().invoke(main, ["export", str(weights), str(weights)])
    assert result.exit_code == 2
    assert "is a file" in result.output
    assert weights.read_bytes() == before


def test_train_keeps_its_data(data: Path, tmp_path: Path) -> None:
    arguments = ["train", "debug", "--data", data, "--set", "optim.num_steps=1", "--run"]
    assert_refused(tmp_path, *arguments, data)
    assert_refused(tmp_path, *arguments, data / ".." / "data")
    assert_refused(tmp_path, *arguments, link(tmp_path / "linked", data))


def test_train_keeps_data_sets_validation_folders_and_cards(root: Path, data: Path, tmp_path: Path) -> None:
    foregrounds, backgrounds = data / "foregrounds" / "mine", data / "backgrounds" / "walls"
    arguments = ["train", "debug", "--set", "optim.num_steps=1"]
    own = [*arguments, "--foregrounds", f"cutouts={foregrounds}", "--backgrounds", f"photos={backgrounds}"]
    assert_refused(tmp_path, *own, "--run", foregrounds)
    assert_refused(tmp_path, *own, "--run", backgrounds)
    link(tmp_path / "run" / "previews", backgrounds)
    assert_refused(tmp_path, *own, "--run", tmp_path / "run")
    assert_refused(tmp_path, *arguments, "--data", data, "--validate", root, "--run", root)
    card = tmp_path / "other" / "origin.json"
    card.parent.mkdir()
    card.write_text("[]", encoding="utf-8")
    assert_refused(tmp_path, *arguments, "--data", data, "--data-card", card, "--run", card.parent)


@pytest.mark.parametrize("option", ["--init", "--encoder-weights"])
@pytest.mark.parametrize("name", ["model.safetensors", "best.safetensors", "state.safetensors"])
def test_train_keeps_the_weights_that_it_starts_from(
    data: Path, weights: Path, tmp_path: Path, option: str, name: str
) -> None:
    start = tmp_path / "run" / name
    start.parent.mkdir()
    weights.rename(start)
    assert_refused(tmp_path, "train", "debug", "--data", data, option, start, "--run", start.parent)
