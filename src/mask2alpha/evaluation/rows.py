"""CSV files of results, which a stopped run continues from: rewritten atomically, floats at full precision."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mask2alpha.errors import InputError
from mask2alpha.imaging.atomic import replacing


def read_rows(path: Path, columns: Sequence[str], *, what: str) -> list[dict[str, str]]:
    """The rows of a file as text.

    Args:
        path: A file with a header.
        columns: Its columns, in order.
        what: What such a file is, for the message.

    Raises:
        InputError: It has other columns.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != tuple(columns):
            raise InputError(f"output: {path} exists and is not a result of {what}; name another place")
        return list(reader)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a file with a header; None becomes an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
