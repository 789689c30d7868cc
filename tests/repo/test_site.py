"""The site of the documentation; needs the extra `docs`."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mkdocs", reason="needs the extra `docs`")
pytest.importorskip("material", reason="needs the extra `docs`")

ROOT = Path(__file__).parents[2]
LOADED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"?((?:https?:)?//[^\"\s>]+)")


@pytest.fixture(scope="module")
def hooks() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "site_hooks.py"))


@pytest.mark.parametrize(
    ("source", "link", "turned"),
    [
        ("service.md", "[s](../SECURITY.md#limits)", "[s](repository/SECURITY.md#limits)"),
        ("service.md", "[v](video.md)", "[v](video.md)"),
        ("decisions/0017-x.md", "[m](../matting.md)", "[m](../matting.md)"),
        ("api/index.md", "[c](../../CHANGELOG.md)", "[c](../repository/CHANGELOG.md)"),
        ("repository/CONTRIBUTING.md", "[p](docs/paper_map.md)", "[p](../paper_map.md)"),
        ("repository/plugins/gimp/README.md", "![p](picture.webp)", "![p](picture.webp)"),
        ("index.md", "[a](https://arxiv.org/abs/2502.17093)", "[a](https://arxiv.org/abs/2502.17093)"),
    ],
)
def test_links_lead_to_where_their_targets_lie_on_the_site(
    hooks: dict[str, Any], source: str, link: str, turned: str
) -> None:
    assert hooks["turn_links"](link, source) == turned


def test_what_belongs_to_an_item_is_indented_by_four(hooks: dict[str, Any]) -> None:
    lines = ["- one", "  goes on", "", "  | a |", "  - inner", "    goes on", "1. first", "   more", "", "text"]
    indented = ["- one", "    goes on", "", "    | a |", "    - inner", "        goes on", "1. first", "    more", ""]
    assert list(hooks["indent_lists"](lines)) == [*indented, "text"]


def test_code_is_not_indented(hooks: dict[str, Any]) -> None:
    lines = ["```", "- folder", "  file", "```", "text"]
    assert list(hooks["indent_lists"](lines)) == lines


@pytest.mark.slow
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 40
    found = {page.name: LOADED.findall(page.read_text(encoding="utf-8")) for page in pages}
    assert not {name: urls for name, urls in found.items() if urls}
