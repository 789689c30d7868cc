import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

from layouts import LAYOUTS
from mask2alpha.checkpoints import save_model
from mask2alpha.cli.eval import command
from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.evaluation.masks import RECIPES
from mask2alpha.evaluation.paper import PUBLISHED
from mask2alpha.evaluation.public_benchmarks import BENCHMARKS
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_masks_themselves_are_scored(root: Path) -> None:
    report = run(root, "--model", "mask")
    assert report.startswith("the masks themselves\n")
    assert [line.split()[0] for line in report.splitlines()[3:6]] == ["exact", "eroded", "mean"]


def test_kinds_and_form_can_be_chosen(root: Path) -> None:
    report = json.loads(run(root, "--model", "mask", "--kinds", "eroded, exact", "--format", "json"))
    assert list(report["kinds"]) == ["eroded", "exact"]
    assert "| eroded | 1 |" in run(root, "--model", "mask", "--kinds", "eroded", "--format", "markdown")


@pytest.mark.parametrize("kind", ["bits", "deep", "zero and one", "alpha", "white is zero"])
def test_masks_of_every_certain_kind_are_scored_alike(root: Path, kind: str) -> None:
    path = root / "mask" / "eroded" / "one.png"
    plain = run(root, "--model", "mask")
    marked = np.asarray(Image.open(path)) > 0
    if kind == "white is zero":
        path.unlink()
        tifffile.imwrite(path.with_suffix(".tif"), ~marked * np.uint8(255), photometric="miniswhite")
    else:
        values = {
            "bits": marked,
            "deep": marked * np.uint16(65535),
            "zero and one": marked.astype(np.uint8),
            "alpha": np.dstack([np.zeros((*marked.shape, 3), np.uint8), marked * np.uint8(255)]),
        }[kind]
        Image.fromarray(values).save(path)
    assert run(root, "--model", "mask") == plain


@pytest.mark.parametrize("kind", ["labels", "deep labels", "colours", "a palette"])
def test_ambiguous_masks_are_refused_without_options_that_eval_lacks(root: Path, kind: str) -> None:
    path = root / "mask" / "eroded" / "one.png"
    marked = (np.asarray(Image.open(path)) > 0).astype(np.uint8)
    colours = np.stack([marked * np.uint8(200), marked, marked], axis=2)
    picture = Image.fromarray(
        {"labels": marked * np.uint8(3), "deep labels": marked * np.uint16(300)}.get(kind, colours)
    )
    (picture.convert("P") if kind == "a palette" else picture).save(path)
    with pytest.raises(ImageFileError, match="white on the target and black elsewhere") as refusal:
        run(root, "--model", "mask")
    assert "--" not in str(refusal.value)


def test_a_folder_of_mattes_is_scored(root: Path, tmp_path: Path) -> None:
    for kind in ("exact", "eroded"):
        (tmp_path / "mattes" / kind).mkdir(parents=True)
        (tmp_path / "mattes" / kind / "one.png").write_bytes((root / "alpha" / "one.png").read_bytes())
    report = json.loads(run(root, "--predictions", tmp_path / "mattes", "--format", "json"))
    assert report["mean"]["scores"]["sad"] == 0
    assert report["better_than_mask"]["num_better"] == 1


def test_a_model_is_scored_and_its_results_are_kept(root: Path, tmp_path: Path) -> None:
    weights = save_model(Mask2Alpha(PRESETS["tiny"]), tmp_path / "tiny.safetensors")
    output = tmp_path / "results.csv"
    settings = ["--model", weights, "--steps", "2", "--error-threshold", "0.0", "--active-budget", "100"]
    arguments = [root, *settings, "--device", "cpu", "--output", output, "--format", "json"]
    report = json.loads(run(*arguments))
    assert "2 steps, error threshold 0, active budget 100, float32 on cpu" in report["predictor"]
    assert len(output.read_text(encoding="utf-8").splitlines()) == 3
    assert json.loads(run(*arguments)) == report
    with pytest.raises(InputError, match="has results of"):
        run(*arguments, "--steps", "3")
    trusted = json.loads(run(root, *settings, "--device", "cpu", "--trust", "1", "--format", "json"))
    assert ", trust 1, " in trusted["predictor"]
    assert trusted["kinds"] != report["kinds"]
    banded = json.loads(run(root, *settings, "--device", "cpu", "--band", "2", "--format", "json"))
    assert ", band of 2 pixels, " in banded["predictor"]
    assert banded["kinds"] != report["kinds"]


def test_unusable_options_are_refused(root: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(root), "--model", "mask", "--predictions", str(tmp_path)])
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr
    with pytest.raises(InputError, match="has no blurred"):
        run(root, "--model", "mask", "--kinds", "blurred")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_named_benchmark_runs_with_one_command(name: str, tmp_path: Path) -> None:
    LAYOUTS[name](tmp_path / "data")
    output = tmp_path / "results.csv"
    arguments = (name, tmp_path / "data", "--model", "mask", "--output", output)
    report = json.loads(run(*arguments, "--format", "json"))
    assert report["benchmark_name"] == name
    assert report["num_pairs"] == len(output.read_text(encoding="utf-8").splitlines()) - 1 > 0
    assert report["mean"]["scores"] == pytest.approx(report["mean"]["mask_scores"])
    assert "Protocol whole" in run(*arguments)
    assert ("Beside the paper" in run(*arguments, "--format", "markdown")) == (name in PUBLISHED)


def test_one_argument_is_a_guided_folder(root: Path) -> None:
    assert run(root, "--model", "mask") == run("folder", root, "--model", "mask")


def test_the_help_names_every_benchmark_and_recipe() -> None:
    text = CliRunner().invoke(command, ["--help"]).stdout
    assert not [name for name in (*BENCHMARKS, *RECIPES) if name not in text]


def test_masks_are_made_by_recipes(root: Path) -> None:
    report = json.loads(run(root, "--model", "mask", "--masks", "dilated-v1, lowres-v1", "--format", "json"))
    assert list(report["kinds"]) == ["dilated-v1", "lowres-v1"]
    assert "recipe dilated-v1" in report["masks"]
    report = json.loads(run(root, "--model", "mask", "--masks", "all", "--kinds", "eroded", "--format", "json"))
    assert list(report["kinds"]) == ["eroded", *RECIPES]


def test_masks_are_made_by_a_function_of_the_users(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_segmenter.py").write_text("def bright(image):\n    return image[..., 0] > 200\nnumber = 3\n")
    monkeypatch.chdir(tmp_path)
    arguments = [root, "--model", "mask", "--segmenter"]
    report = json.loads(run(*arguments, "own_segmenter:bright", "--format", "json"))
    assert list(report["kinds"]) == ["own_segmenter.bright"]
    assert report["mean"]["scores"]["sad"] < 0.1
    for wrong in ("own_segmenter:dark", "no_such_module:f", "own_segmenter:number", ":"):
        with pytest.raises(InputError, match="segmenter: "):
            run(*arguments, wrong)


def test_masks_lie_in_another_folder(root: Path, tmp_path: Path) -> None:
    (root / "mask").rename(tmp_path / "own")
    report = json.loads(run(root, "--model", "mask", "--mask-folder", tmp_path / "own", "--format", "json"))
    assert list(report["kinds"]) == ["exact", "eroded"]


def test_protocol_and_convention_can_be_chosen(tmp_path: Path) -> None:
    LAYOUTS["m-him2k"](tmp_path / "data")
    output = tmp_path / "him.csv"
    arguments = ["m-him2k", tmp_path / "data", "--model", "mask", "--protocol", "him2k", "--convention", "aim"]
    text = run(*arguments, "--output", output)
    assert "Instance matting quality" in text
    assert "AIM convention" in text
    assert (tmp_path / "him.imq.csv").is_file()
    assert run(*arguments, "--output", output) == text


def test_unusable_arguments_are_refused_in_one_sentence(root: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (["aim-500"], "ROOT is missing: the folder that holds aim-500"),
        (["aim", root], "got 'aim', expected one of aim-500"),
        ([root, "--masks", ","], "--masks: got none"),
        ([root, "--output", "a.parquet"], "--output: cannot write .parquet; accepted: .csv"),
        ([], "Missing argument"),
    ):
        result = CliRunner().invoke(command, [str(argument) for argument in arguments])
        assert result.exit_code == 2
        assert message in result.stderr
    with pytest.raises(InputError, match="neither a folder nor a benchmark; these are aim-500"):
        run(tmp_path / "none")
    with pytest.raises(InputError, match="has no original/; move the photos there"):
        run("aim-500", tmp_path, "--model", "mask")


def test_progress_is_counted_in_json_lines_on_standard_error(root: Path) -> None:
    arguments = [str(root), "--model", "mask", "--format", "json", "--progress", "json"]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert {line["task"] for line in lines} == {"evaluate"}
    assert lines[-1]["done"] == lines[-1]["total"] == 2
    assert json.loads(result.stdout)["kinds"]
