"""Measure the ablations and put them into docs/results.md, each between its two markers; the text around them stays.

    python tools/update_ablations.py ROOT --model small --output rows

`ROOT` is a guided folder; `--output` keeps finished pairs, so that a stopped run goes on. The text says how to read the
tables and does not repeat their numbers; whether it still holds is for a person to check.
"""

import subprocess
import sys
from pathlib import Path

import click

DOCUMENT = Path(__file__).parents[1] / "docs" / "results.md"


@click.command()
@click.argument("root", type=click.Path(exists=True, file_okay=False))
@click.option("--model", default="small", show_default=True)
@click.option("--table", "tables", type=click.Choice(["3", "4", "5"]), multiple=True, default=("3", "4", "5"))
@click.option("--repeats", default=5, show_default=True)
@click.option("--output", type=click.Path(file_okay=False), required=True, help="Folder for the pairs' scores.")
def main(root: str, model: str, tables: tuple[str, ...], repeats: int, output: str) -> None:
    """Run `mask2alpha ablate` for each table and write what it prints."""
    for table in tables:
        arguments = ["--table", table, "--model", model, "--repeats", str(repeats), "--output", output]
        run = [sys.executable, "-m", "mask2alpha", "ablate", root, *arguments, "--format", "markdown"]
        report = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout
        _, _, body = report.partition("\n\n")  # the document has its own headings
        DOCUMENT.write_text(replace_between(DOCUMENT.read_text(encoding="utf-8"), table, body), encoding="utf-8")
        print(f"table {table} written to {DOCUMENT}")


def replace_between(document: str, table: str, body: str) -> str:
    """The document with `body` between the markers of a table."""
    begin, end = f"<!-- begin: table {table} -->", f"<!-- end: table {table} -->"
    before, found, rest = document.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise click.ClickException(f"{DOCUMENT} lacks {begin} or {end}")
    return f"{before}{begin}\n{body.strip()}\n{end}{after}"


if __name__ == "__main__":
    main()
