"""Pages with tables between two marks, `<!-- begin: NAME -->` and `<!-- end: NAME -->`."""

from pathlib import Path

import click


def find_page(docs: Path, name: str) -> Path:
    """The page in a folder that has the marks of a table.

    Raises:
        ClickException: No page has them, or several do.
    """
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    found = [page for page in sorted(docs.glob("*.md")) if begin in page.read_text(encoding="utf-8")]
    if len(found) != 1 or end not in found[0].read_text(encoding="utf-8").partition(begin)[2]:
        raise click.ClickException(f"{docs}: expected one page with {begin} and {end} on lines of their own")
    return found[0]


def replace_between(docs: Path, name: str, body: str) -> None:
    """Put `body` between the marks of a table; the text around them stays.

    Raises:
        ClickException: As `find_page`.
    """
    page = find_page(docs, name)
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{body.strip()}\n{end}{after}", encoding="utf-8")
