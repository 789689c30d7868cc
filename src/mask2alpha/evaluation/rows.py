"""CSV files of results, which a stopped run continues from: one row per dataclass, floats at full precision.

The fields of a dataclass are the columns. A field that is itself a dataclass becomes the columns of its own fields,
with the prefix that `_PREFIXES` gives: `mask_scores` becomes `mask_sad`, `mask_mse` and so on.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_type_hints

from mask2alpha.errors import InputError
from mask2alpha.imaging.atomic import replacing

_Entry = TypeVar("_Entry")
_PREFIXES = {"scores": "", "counts": "", "mask_scores": "mask_", "quality": "quality_"}


def columns_of(entry: type) -> tuple[str, ...]:
    """The columns of a dataclass, in the order of its fields."""
    columns: list[str] = []
    for name, kind in _types_of(entry).items():
        columns += [_PREFIXES[name] + column for column in columns_of(kind)] if is_dataclass(kind) else [name]
    return tuple(columns)


def to_row(entry: Any) -> dict[str, Any]:
    """The cells of a dataclass by their columns; a nested dataclass that is None has none."""
    row: dict[str, Any] = {}
    for field in fields(entry):
        value = getattr(entry, field.name)
        if is_dataclass(value):
            row |= {_PREFIXES[field.name] + column: cell for column, cell in to_row(value).items()}
        else:
            row[field.name] = value
    return row


def from_row(entry: type[_Entry], row: Mapping[str, str], prefix: str = "") -> _Entry:
    """A dataclass from the cells of a row; an empty cell is None unless it is text."""
    values: dict[str, Any] = {}
    for name, kind in _types_of(cast("type", entry)).items():
        if is_dataclass(kind):
            inner = prefix + _PREFIXES[name]
            has_cells = any(row[inner + column] for column in columns_of(kind))
            values[name] = from_row(kind, row, inner) if has_cells else None
        else:
            cell = row[prefix + name]
            values[name] = kind(cell) if cell or kind is str else None
    return entry(**values)


def read_rows(path: Path, columns: Sequence[str], *, what: str) -> list[dict[str, str]]:
    """The rows of a file as text.

    Args:
        path: A file with a header.
        columns: The columns that it must have, in order.
        what: What such a file is, for the message.

    Raises:
        InputError: The file has other columns, or it is not text.
    """
    refused = f"output: {path} exists and is not a result of {what}; name another file"
    with path.open(newline="", encoding="utf-8") as file:
        try:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) == tuple(columns):
                return list(reader)
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(refused) from error
    raise InputError(refused)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a file with a header, atomically; a cell that is None or missing is empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


@cache
def _types_of(entry: type) -> dict[str, type]:
    """The type of each field, without None."""
    hints = get_type_hints(entry)
    return {
        name: next(kind for kind in get_args(hint) or (hint,) if kind is not NoneType) for name, hint in hints.items()
    }
