"""`make figures`: its parts on a small model and a small validation folder."""

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from mask2alpha.checkpoints import save_model
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha

ROOT = Path(__file__).parents[2]
NAMES = ("comparison", "table 3", "table 4", "table 5", "table algorithm")


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "make_figures.py"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(Mask2Alpha(PRESETS["tiny"]), tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    marks = "\n".join(
        f"{name}:\n<!-- begin: {name} -->\nbefore it was made\n<!-- end: {name} -->\nthe text after" for name in NAMES
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(f"# Page\n{marks}\n", encoding="utf-8")
    return tmp_path / "docs"


@pytest.fixture
def validation(tmp_path: Path) -> Path:
    y, x = np.mgrid[:64, :64]
    alpha = ((np.hypot(x - 32, y - 32) < 20) * 255).astype(np.uint8)
    image = np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name, picture in (("image", image), ("alpha", alpha), ("mask/exact", alpha), ("mask/holes", alpha)):
        (tmp_path / "validation" / name).mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "validation" / name / "a.png")
    return tmp_path / "validation"


def run(tool: dict[str, Any], *arguments: str | Path) -> Result:
    return CliRunner().invoke(tool["main"], [str(argument) for argument in arguments], catch_exceptions=False)


def test_every_mark_is_in_the_documentation(tool: dict[str, Any]) -> None:
    for name in NAMES:
        assert tool["find_page"](ROOT / "docs", name).is_file()


@pytest.mark.slow
def test_pictures_are_drawn_from_the_weights(tool: dict[str, Any], weights: Path, docs: Path) -> None:
    result = run(tool, "demo", "explain", "prompts", "failures", "--model", weights, "--docs", docs)
    assert result.exit_code == 0, result.output
    made = {str(path.relative_to(docs / "images")) for path in (docs / "images").rglob("*.*")}
    assert {"demo.png", "prompts.webp", "failures.webp", "explain/steps.png", "explain/numbers.json"} <= made
    with Image.open(docs / "images" / "failures.webp") as sheet:
        assert sheet.width == 4 * (240 + 6) + 6


@pytest.mark.slow
def test_clicks_are_drawn_with_a_model_that_selects(tool: dict[str, Any], docs: Path, tmp_path: Path) -> None:
    weights = save_model(Mask2Alpha(PRESETS["tiny_backbone"]), tmp_path / "tiny.safetensors")
    result = run(tool, "select", "--model", weights, "--docs", docs)
    assert result.exit_code == 0, result.output
    with Image.open(docs / "images" / "select.webp") as sheet:
        assert sheet.width == 4 * (tool["SIDE"] + 6) + 6


@pytest.mark.slow
def test_tables_are_measured_and_written_between_their_marks(
    tool: dict[str, Any], weights: Path, docs: Path, validation: Path, tmp_path: Path
) -> None:
    places = ("--docs", docs, "--work", tmp_path / "work", "--validation", validation, "--model", weights, "--quick")
    result = run(tool, "ablations", "results", *places)
    assert result.exit_code == 0, result.output
    page = (docs / "page.md").read_text(encoding="utf-8")
    assert "before it was made" not in page
    assert page.count("the text after") == len(NAMES)
    assert "| with MGFSM |" in page.partition("<!-- begin: table 3 -->")[2].partition("<!-- end: table 3 -->")[0]
    assert "| sticky update, 10 steps |" in page
    assert "![error per kind](images/results/error_per_kind.svg)" in page
    assert (docs / "images" / "results" / "error_per_kind.svg").is_file()
    assert (tmp_path / "work" / "rows").is_dir()


def test_what_is_missing_is_said_before_anything_is_made(tool: dict[str, Any], docs: Path, tmp_path: Path) -> None:
    result = run(tool, "--docs", docs)
    assert result.exit_code == 2
    assert "ablations and results: a validation folder is needed, and none was given" in result.stderr
    (docs / "page.md").write_text("nothing", encoding="utf-8")
    result = run(tool, "results", "--docs", docs, "--validation", tmp_path)
    assert result.exit_code == 1
    assert "expected one page with <!-- begin: comparison -->" in result.stderr
    assert not (docs / "images").exists()
