import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from mask2alpha.checkpoints import save_model
from mask2alpha.cli.ablate import command
from mask2alpha.errors import InputError
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return save_model(Mask2Alpha(PRESETS["tiny"]), tmp_path / "tiny.safetensors")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_table_4_is_scored_and_timed(root: Path, weights: Path, tmp_path: Path) -> None:
    arguments = [root, "--table", 4, "--model", weights, "--steps", "1,2", "--device", "cpu", "--format", "json"]
    result = run(*arguments, "--repeats", 1, "--output", tmp_path / "rows")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [row["num_steps"] for row in report["rows"]] == [1, 2]
    assert all(row["times"]["whole"] > row["times"]["loop"] > 0 for row in report["rows"])
    assert report["settings"]["num_pairs"] == 2
    assert report["rows"][0]["model"] == "tiny.safetensors"
    assert len(list((tmp_path / "rows").glob("*.csv"))) == 2


@pytest.mark.parametrize(("table", "labels"), [(3, ["without MGFSM", "with MGFSM"]), (5, ["SHM", "SGSDR"])])
def test_one_model_is_switched(table: int, labels: list[str], root: Path, weights: Path) -> None:
    arguments = [root, "--table", table, "--model", weights, "--device", "cpu", "--kinds", "eroded"]
    result = run(*arguments, "--repeats", 0, "--format", "markdown")
    assert result.exit_code == 0, result.output
    assert all(f"| {label} |" in result.stdout for label in labels)
    assert "nothing was trained again" in result.stdout
    assert "Times" not in result.stdout


def test_a_published_benchmark_and_recipes_are_understood(root: Path, weights: Path, tmp_path: Path) -> None:
    aim = tmp_path / "AIM-500"
    for folder, name in (("original", "o_one.jpg"), ("mask", "o_one.png"), ("trimap", "o_one.png")):
        (aim / folder).mkdir(parents=True)
        source = root / ("image" if folder == "original" else "alpha") / "one.png"
        Image.open(source).convert("RGB" if folder == "original" else "L").save(aim / folder / name)
    arguments = ["--table", 5, "--model", weights, "--device", "cpu", "--format", "json"]
    result = run("aim-500", aim, *arguments, "--masks", "eroded-v1", "--repeats", 1)
    assert result.exit_code == 0, result.output
    settings = json.loads(result.stdout)["settings"]
    assert (settings["benchmark"], settings["kinds"]) == ("aim-500", ["eroded-v1"])
    assert settings["timed_masks"] == "the true alpha cut at one half"
    assert "ROOT is missing" in run("aim-500", *arguments).stderr
    assert "expected one of" in run("no-such-set", root, *arguments).stderr


def test_unusable_options_are_refused(root: Path, weights: Path) -> None:
    for steps, reason in (("1,x", "expected numbers"), ("0,3", "at least 1")):
        result = run(root, "--table", 4, "--model", weights, "--steps", steps)
        assert result.exit_code == 2
        assert reason in result.stderr
    result = run(root, "--table", 5, "--model", weights, "--steps", "3")
    assert result.exit_code == 2
    assert "belongs to --table 4" in result.stderr
    with pytest.raises(InputError, match="table 3 needs"):
        run(root, "--table", 3, "--model", weights, "--model", weights)
