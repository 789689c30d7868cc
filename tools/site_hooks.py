"""What MkDocs needs so that the pages of docs/ stay as they are: they are written to be read in the repository too.

Pages outside docs/ become pages of the site under repository/, links are turned to where their targets lie there, and
lists are indented as Python-Markdown wants them (GitHub takes the width of the item's mark).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md", "examples/README.md")
PLUGINS = ("comfyui", "gimp", "krita", "blender", "nuke", "fusion")
OUTSIDE = "repository"
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
FENCE = re.compile(r"\s*(```+|~~~+)")
ITEM = re.compile(r"(?P<indent> *)(?P<mark>[-*]|\d+\.) +\S")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/, with the pictures beside them."""
    for name in outside_files():
        files.append(File.generated(config, f"{OUTSIDE}/{name}", abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links, and indent lists."""
    source = page.file.src_uri
    return "\n".join(indent_lists(turn_links(markdown, source).split("\n")))


def outside_files() -> list[str]:
    """Paths below the repository's root."""
    plugins = [path for name in PLUGINS for path in (ROOT / "plugins" / name).iterdir()]
    shown = [path.relative_to(ROOT).as_posix() for path in sorted(plugins) if path.suffix in (".md", ".webp", ".json")]
    notebooks = [f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    return [*PAGES, *shown, *notebooks, "Dockerfile", "LICENSE"]


def turn_links(markdown: str, source: str) -> str:
    """Let relative links lead to where their targets lie on the site.

    Args:
        markdown: Of one page.
        source: The page's path below the site's root.
    """
    home = repository_path(source)

    def turn(match: re.Match[str]) -> str:
        target = match.group(2)
        if "://" in target or target.startswith("mailto:"):
            return match.group()
        path = os.path.normpath(PurePosixPath(home).parent / target).replace(os.sep, "/")
        moved = os.path.relpath(site_path(path), PurePosixPath(source).parent).replace(os.sep, "/")
        return f"{match.group(1)}{moved}{match.group(3)}"

    return LINK.sub(turn, markdown)


def repository_path(source: str) -> str:
    """The path below the repository's root of a path below the site's."""
    outside = source.removeprefix(f"{OUTSIDE}/")
    return outside if outside != source else f"docs/{source}"


def site_path(path: str) -> str:
    """The path below the site's root of a path below the repository's."""
    inside = path.removeprefix("docs/")
    return inside if inside != path else f"{OUTSIDE}/{path}"


def indent_lists(lines: list[str]) -> Iterator[str]:
    """Indent what belongs to a list's item by four spaces a level, where GitHub takes two or three."""
    widths: list[int] = []  # of the items around a line, in columns
    fence = ""
    for line in lines:
        mark = FENCE.match(line)
        indent = len(line) - len(line.lstrip())
        if not fence and line.strip():
            while widths and indent < widths[-1]:
                widths.pop()
        yield " " * 4 * len(widths) + line[widths[-1] :] if widths and line.strip() else line
        if mark:
            fence = "" if mark.group(1) == fence else fence or mark.group(1)
        item = ITEM.match(line)
        if item and not fence:
            widths.append(len(item.group("indent")) + len(item.group("mark")) + 1)
