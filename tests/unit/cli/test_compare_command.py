import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mask2alpha.cli.compare import command
from mask2alpha.errors import InputError


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_one_command_writes_the_whole_report(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [root, "-m", "mask", "-m", "feather:sigma=1,label=soft", "-o", out, "--resamples", "200"]
    result = run(*arguments, "--title", "one picture", "--cost-sizes", "0.001,0.01")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# Comparison on one picture\n")
    assert (out / "comparison.md").read_text(encoding="utf-8") == result.stdout
    report = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert [method["label"] for method in report["methods"]] == ["mask", "soft"]
    assert [len(method["pairs"]) for method in report["methods"]] == [2, 2]
    page = (out / "comparison.html").read_text(encoding="utf-8")
    assert "<h1>Comparison on one picture</h1>" in page
    figures = sorted(path.name for path in (out / "figures").iterdir())
    assert figures == [
        "error_against_time.svg",
        "error_per_kind.svg",
        "memory_against_size.svg",
        "time_against_size.svg",
    ]
    before = {path: path.stat().st_mtime_ns for path in (out / "methods").rglob("*.csv")}
    again = run(*arguments, "--title", "one picture", "--cost-sizes", "0.001,0.01")
    assert again.stdout == result.stdout
    assert {path: path.stat().st_mtime_ns for path in (out / "methods").rglob("*.csv")} == before


def test_a_named_benchmark_with_masks_made_by_a_recipe(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["folder", root, "--masks", "eroded-v1", "-m", "mask", "-o", out, "--resamples", "100"]
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    report = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert report["kinds"] == ["eroded-v1"]
    assert (out / "masks" / "eroded-v1" / "one.png").is_file()
    assert run(*arguments).stdout == result.stdout
    assert "expected one of" in run("no-such-benchmark", root, "-m", "mask", "-o", out).stderr
    assert "ROOT is missing" in run("aim-500", "-m", "mask", "-o", out).stderr


def test_failures_are_listed_and_change_the_exit_code(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mattes").mkdir()
    result = run(root, "-m", "mask", "-m", f"predictions:{tmp_path / 'mattes'}", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "2 results failed" in result.stderr
    assert "## Failures" in result.stdout


def test_unusable_requests_are_refused(root: Path, tmp_path: Path) -> None:
    result = run(root, "-m", "mask", "-o", tmp_path / "out", "--cost-sizes", "big")
    assert result.exit_code == 2
    assert "expected megapixels with commas between" in result.stderr
    assert "at most 100 megapixels" in run(root, "-m", "mask", "-o", tmp_path, "--cost-sizes", "0").stderr
    assert "Missing option" in run(root, "-o", tmp_path).stderr
    with pytest.raises(InputError, match="has no blurred"):
        run(root, "-m", "mask", "-o", tmp_path / "out", "--kinds", "blurred")
