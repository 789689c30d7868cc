import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "examples", "plugins")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|<img[^>]*src=\"([^\"]+)\"")
CODE_PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*)`")


def targets(document: Path) -> list[str]:
    return [first or second for first, second in LINK.findall(document.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_local_link_leads_somewhere(document: Path) -> None:
    local = [target for target in targets(document) if "://" not in target]
    assert not [target for target in local if not (document.parent / target).exists()]


def test_every_file_of_the_paper_map_exists() -> None:
    named = CODE_PATH.findall((ROOT / "docs" / "paper_map.md").read_text(encoding="utf-8"))
    assert len(named) > 20
    bases = (ROOT / "src" / "mask2alpha", ROOT / "tests", ROOT)
    named = [name for name in named if name not in {"src/mask2alpha/", "tests/"}]
    assert not [name for name in named if not any((base / name).exists() for base in bases)]


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = {target for target in targets(folder / "README.md") if "/" not in target}
    assert listed == {path.name for path in folder.glob("0*.md")}


def test_the_page_for_language_models_leads_to_every_guide() -> None:
    text = (ROOT / "docs" / "llms.txt").read_text(encoding="utf-8")
    assert re.match(r"# mask2alpha\n\n> .+", text)
    pages = {f"{page}.md" for page in re.findall(r"^- \[.+\]\((.+)\.html\): .+", text, re.MULTILINE)}
    assert not [page for page in pages if not (ROOT / "docs" / page).is_file()]
    guides = re.search(r"- Guides:\n(.+?)\n  - \S", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.DOTALL)
    assert guides is not None
    assert set(re.findall(r": (\S+\.md)", guides[1])) <= pages
