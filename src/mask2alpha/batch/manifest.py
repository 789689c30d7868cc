"""What a batch is to do: rows of a photograph, a mask and the name of their matte.

A manifest is a CSV or Parquet file with the columns `photo`, `mask` and, if wanted, `name`; or a folder that holds
`photos/` and `masks/`, matched by name as `mask2alpha matte` matches them.
"""

import csv
import io
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

import pyarrow
import pyarrow.parquet

from mask2alpha.batch import storage
from mask2alpha.errors import InputError
from mask2alpha.imaging.decode import SUFFIXES
from mask2alpha.imaging.pairs import LABEL_SEPARATOR

_COLUMNS = ("photo", "mask", "name")
_SHOWN_PROBLEMS = 5


class Row(NamedTuple):
    """One matte to make."""

    name: str
    """Of the outputs: OUT/<kind>/<name>.png. Unique; may hold folders."""
    photo: str
    """As the manifest says it: relative to the manifest, absolute, or a URI."""
    mask: str
    """The same."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that a batch is to do."""

    base: str
    """The folder that relative paths are relative to."""
    rows: list[Row]
    """In the manifest's order, but rows of one photograph beside each other; at least one."""
    unmatched: tuple[str, ...] = ()
    """Of a folder: photographs without a mask, masks without a photograph."""


def read_manifest(uri: str) -> Manifest:
    """Read a manifest; whether the pictures that it names are there is not checked.

    Raises:
        InputError: There is no such manifest, it lacks columns or values, or two rows have the same name.
    """
    unmatched: list[str] = []
    if PurePosixPath(uri).suffix.lower() in (".csv", ".parquet"):
        base, rows = storage.parent(uri), _read_table(uri)
    elif storage.is_folder(uri):
        base, (rows, unmatched) = uri, _match_folder(uri)
    else:
        raise InputError(f"{uri}: a manifest is a .csv or .parquet file, or a folder with photos/ and masks/")
    if not rows:
        raise InputError(f"{uri}: the manifest has no rows")
    _check_names(uri, rows)
    by_photo: dict[str, list[Row]] = {}
    for row in rows:
        by_photo.setdefault(row.photo, []).append(row)
    return Manifest(base, [row for group in by_photo.values() for row in group], tuple(unmatched))


def make_chunks(rows: Sequence[Row], size: int) -> list[tuple[Row, ...]]:
    """Cut the rows into pieces of about `size`; the rows of one photograph stay together."""
    chunks: list[tuple[Row, ...]] = []
    current: list[Row] = []
    for row in rows:
        if len(current) >= size and row.photo != current[-1].photo:
            chunks.append(tuple(current))
            current = []
        current.append(row)
    return [*chunks, tuple(current)] if current else chunks


def _read_table(uri: str) -> list[Row]:
    try:
        content = storage.read_bytes(uri)
    except OSError as error:
        raise InputError(f"{uri}: the manifest cannot be read: {error}") from error
    try:
        columns, lines = _parse_csv(content) if uri.lower().endswith(".csv") else _parse_parquet(content)
    except (UnicodeDecodeError, csv.Error, pyarrow.ArrowException) as error:
        raise InputError(f"{uri}: damaged manifest: {error}") from error
    if missing := {"photo", "mask"} - columns:
        raise InputError(f"{uri}: the manifest lacks the column {' and '.join(sorted(missing))}")
    rows = []
    for number, (photo, mask, name) in enumerate(lines, start=1):
        if not (photo and mask):
            raise InputError(f"{uri}: row {number} has no {'mask' if photo else 'photo'}")
        rows.append(Row(name or _default_name(photo, mask), photo, mask))
    return rows


def _parse_csv(content: bytes) -> tuple[set[str], list[tuple[str, ...]]]:
    """The columns there are, and the wanted ones' values."""
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
    return set(reader.fieldnames or ()), [
        tuple((line.get(column) or "").strip() for column in _COLUMNS) for line in reader
    ]


def _parse_parquet(content: bytes) -> tuple[set[str], list[tuple[str, ...]]]:
    file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content))
    there = set(file.schema_arrow.names)
    table = file.read(columns=[column for column in _COLUMNS if column in there])
    values = [
        table[column].to_pylist() if column in there else itertools.repeat("", table.num_rows) for column in _COLUMNS
    ]
    return there, [tuple(str(value or "").strip() for value in line) for line in zip(*values, strict=True)]


def _default_name(photo: str, mask: str) -> str:
    """The mask's stem where it says more than the photo's, as for `mask2alpha matte`."""
    photo_stem, mask_stem = PurePosixPath(photo).stem, PurePosixPath(mask).stem
    return mask_stem if mask_stem.startswith(photo_stem) else photo_stem


def _match_folder(uri: str) -> tuple[list[Row], list[str]]:
    """Match photos/ and masks/; a mask belongs to the photo of its stem, or of its stem up to the last "__"."""
    photos, masks = (_by_stem(storage.join(uri, name), name) for name in ("photos", "masks"))
    rows, unmatched = [], []
    for stem, mask in masks.items():
        photo = photos.get(stem) or photos.get(stem.rpartition(LABEL_SEPARATOR)[0])
        if photo is None:
            unmatched.append(mask)
        else:
            rows.append(Row(stem, photo, mask))
    matched = {row.photo for row in rows}
    return rows, [photo for photo in photos.values() if photo not in matched] + unmatched


def _by_stem(folder: str, short: str) -> dict[str, str]:
    """Stem → path relative to the manifest."""
    named: dict[str, str] = {}
    for file in map(PurePosixPath, storage.list_files(folder)):
        if file.suffix.lower() in SUFFIXES:
            if file.stem in named:
                raise InputError(f"{folder}: two pictures are called {file.stem}")
            named[file.stem] = f"{short}/{file.name}"
    if not named:
        raise InputError(f"{folder}: no pictures in this folder (looked for {', '.join(SUFFIXES)})")
    return named


def _check_names(uri: str, rows: Iterable[Row]) -> None:
    """Each name is a path below OUT, and no two rows write the same."""
    seen: set[str] = set()
    problems = []
    for row in rows:
        parts = row.name.split("/")
        if not row.name.isprintable() or "\\" in row.name or any(not part or part[0] == "." for part in parts):
            problems.append(f"{row.name!r} cannot name an output below OUT")
        elif row.name in seen:
            problems.append(f"two rows are called {row.name!r}; give them names of their own in a column `name`")
        seen.add(row.name)
    if problems:
        more = f" (and {len(problems) - _SHOWN_PROBLEMS} more)" if len(problems) > _SHOWN_PROBLEMS else ""
        raise InputError(f"{uri}: {'; '.join(problems[:_SHOWN_PROBLEMS])}{more}")
