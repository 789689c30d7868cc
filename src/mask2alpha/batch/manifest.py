"""Manifests: the photos and masks of a batch, and the names of their mattes.

A manifest is a table (CSV or Parquet) with the columns `photo` and `mask`, and optionally `name`, `label`, `channel`,
`invert` and `fit`; or a folder that contains `photos/` and `masks/`, matched by name as in `mask2alpha matte`.
"""

import codecs
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, NamedTuple, get_args

import pyarrow
import pyarrow.parquet

from mask2alpha.batch import storage
from mask2alpha.errors import InputError
from mask2alpha.imaging.decode import SUFFIXES
from mask2alpha.imaging.pairs import check_stems, find_nearest, match_names, output_stem
from mask2alpha.ops.masks import Fit, MaskChoice

TABLES = (".csv", ".tsv", ".parquet")
_COLUMNS = ("photo", "mask", "name", "label", "channel", "invert", "fit")
_DELIMITERS = ",;\t|"
_YES, _NO = ("1", "true", "yes", "y", "x"), ("", "0", "false", "no", "n")
_SHOWN_PROBLEMS = 5


class Row(NamedTuple):
    """One matte to make."""

    name: str
    """Name of the outputs, OUT/<kind>/<name>.png; unique. It may contain folders."""
    photo: str
    """As in the manifest: relative to it, absolute, or a URI."""
    mask: str
    """As `photo`."""
    options: str = ""
    """The `MaskChoice` of the mask, as text; see `write_choice`."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The rows of a batch."""

    base: str
    """The folder that relative paths are relative to."""
    rows: list[Row]
    """In the order of the manifest, with rows of the same photo together; at least one."""
    unmatched: tuple[str, ...] = ()
    """In a folder: photos without a mask and masks without a photo."""
    nearest: Mapping[str, str] = field(default_factory=dict)
    """Unmatched file to the file of the other kind with the most similar name, if any."""
    set_aside: tuple[str, ...] = ()
    """In a table: the rows that cannot be used, each with the reason."""


def read_manifest(uri: str, choice: MaskChoice | None = None) -> Manifest:
    """Read a manifest. The photos and masks that it names are not opened.

    Args:
        uri: A table or a folder.
        choice: Options of the masks, where the manifest has no others.

    Raises:
        InputError: There is no such manifest, it lacks columns, two rows have the same name, or no row can be used.
    """
    choice = choice or MaskChoice()
    if PurePosixPath(uri).suffix.lower() in TABLES:
        rows, set_aside = _read_table(uri, choice)
        manifest = Manifest(storage.parent(uri), rows, set_aside=tuple(set_aside))
    elif storage.is_folder(uri):
        manifest = _match_folder(uri, choice)
    else:
        raise InputError(f"{uri}: a manifest is a {', '.join(TABLES)} file, or a folder with photos/ and masks/")
    if not manifest.rows:
        reasons = f" that can be used: {_shown(manifest.set_aside)}" if manifest.set_aside else ""
        raise InputError(f"{uri}: the manifest has no rows{reasons}")
    _check_twins(uri, manifest.rows)
    by_photo: dict[str, list[Row]] = {}
    for row in manifest.rows:
        by_photo.setdefault(row.photo, []).append(row)
    return replace(manifest, rows=[row for group in by_photo.values() for row in group])


def make_chunks(rows: Sequence[Row], size: int) -> list[tuple[Row, ...]]:
    """Divide the rows into chunks of about `size`; rows of the same photo stay together."""
    chunks: list[tuple[Row, ...]] = []
    current: list[Row] = []
    for row in rows:
        if len(current) >= size and row.photo != current[-1].photo:
            chunks.append(tuple(current))
            current = []
        current.append(row)
    return [*chunks, tuple(current)] if current else chunks


def write_choice(choice: MaskChoice) -> str:
    """A choice as text: one line for each part that is not the default, "" if all are."""
    parts = {"label": choice.label, "channel": choice.channel, "invert": "yes" if choice.is_inverted else None}
    parts["fit"] = None if choice.fit == "aspect" else choice.fit
    return "\n".join(f"{name}={value}" for name, value in parts.items() if value is not None)


def parse_choice(text: str | None) -> MaskChoice:
    """The inverse of `write_choice`."""
    parts = dict(line.split("=", 1) for line in (text or "").splitlines())
    return MaskChoice(
        label=parts.get("label"),
        channel=parts.get("channel"),
        is_inverted="invert" in parts,
        fit="stretch" if parts.get("fit") == "stretch" else "aspect",
    )


def _read_table(uri: str, choice: MaskChoice) -> tuple[list[Row], list[str]]:
    """The rows that can be used, and the reasons why others cannot."""
    try:
        content = storage.read_bytes(uri)
    except OSError as error:
        raise InputError(f"{uri}: the manifest cannot be read: {error}") from error
    try:
        columns, lines = _parse_parquet(content) if uri.lower().endswith(".parquet") else _parse_csv(content)
    except UnicodeDecodeError as error:
        raise InputError(f"{uri}: damaged manifest: not UTF-8 (save it as CSV UTF-8): {error}") from error
    except (csv.Error, pyarrow.ArrowException) as error:
        raise InputError(f"{uri}: damaged manifest: {error}") from error
    if missing := {"photo", "mask"} - set(columns):
        raise InputError(
            f"{uri}: the manifest lacks the column {' and '.join(sorted(missing))}; it has "
            f"{', '.join(columns) or 'none'}"
        )
    rows: dict[Row, None] = {}  # duplicates are matted once
    set_aside = []
    for number, line in enumerate(lines, start=1):
        if not any(line.values()):
            continue  # spreadsheets leave blank rows
        try:
            row = _read_row(line, choice)
        except InputError as error:
            set_aside.append(f"row {number} {error}")
        else:
            rows[row] = None
    return list(rows), set_aside


def _read_row(line: Mapping[str, str], choice: MaskChoice) -> Row:
    """Read one row of a table.

    Raises:
        InputError: The row cannot be used; the message continues "row 3 ...".
    """
    if extra := line.get(""):
        raise InputError(f"has more values than there are columns: {extra!r}")
    photo, mask = line.get("photo", ""), line.get("mask", "")
    if not (photo and mask):
        raise InputError(f"has no {'mask' if photo else 'photo'}")
    for path in (photo, mask):
        if not path.isprintable():
            raise InputError(f"names a file with characters that cannot be printed: {path!r}")
    name = line.get("name") or output_stem(PurePosixPath(photo).stem, PurePosixPath(mask).stem)
    parts = name.split("/")
    if not name.isprintable() or "\\" in name or any(not part or part[0] == "." for part in parts):
        raise InputError(f"has no usable name: {name!r} cannot name an output below OUT")
    invert, fit = line.get("invert", "").lower(), line.get("fit", "").lower() or choice.fit
    if invert not in (*_YES, *_NO):
        raise InputError(f"has {invert!r} for invert; accepted: yes or no")
    if fit not in get_args(Fit):
        raise InputError(f"has {fit!r} for fit; accepted: {' or '.join(get_args(Fit))}")
    own = replace(
        choice,
        label=line.get("label") or choice.label,
        channel=line.get("channel") or choice.channel,
        is_inverted=invert in _YES if invert else choice.is_inverted,
        fit="stretch" if fit == "stretch" else "aspect",
    )
    return Row(name, photo, mask, write_choice(own))


def _parse_csv(content: bytes) -> tuple[list[str], list[dict[str, str]]]:
    """The columns, and the values of each line by column; values beyond the last column are under ""."""
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    text = io.StringIO(content.decode(encoding), newline=None).read()  # any line ending, within quotes as well
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep=") and len(first.strip()) == len("sep=") + 1:  # a line for Excel
        delimiters, text = first.strip()[-1], rest
    else:
        delimiters = _DELIMITERS
    headers = [_columns(next(csv.reader(io.StringIO(text), delimiter=each), [])) for each in delimiters]
    place = next((place for place, header in enumerate(headers) if {"photo", "mask"} <= set(header)), 0)
    lines = list(csv.reader(io.StringIO(text), delimiter=delimiters[place], strict=True))
    return headers[place], [_by_column(headers[place], line) for line in lines[1:]]


def _columns(header: Iterable[str]) -> list[str]:
    return [column.strip().lower() for column in header]


def _by_column(columns: Sequence[str], line: Sequence[str]) -> dict[str, str]:
    values = {column: value.strip() for column, value in zip(columns, line, strict=False) if column}
    unnamed = [value for column, value in zip(columns, line, strict=False) if not column]
    values[""] = ", ".join(value.strip() for value in [*unnamed, *line[len(columns) :]] if value.strip())
    return values


def _parse_parquet(content: bytes) -> tuple[list[str], list[dict[str, str]]]:
    file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content))
    there = list(file.schema_arrow.names)
    table = file.read(columns=[column for column in _COLUMNS if column in there])
    return there, [{column: _text(value) for column, value in line.items()} for line in table.to_pylist()]


def _text(value: Any) -> str:
    """A value of a table as text; "" for None and for NaN, which pandas writes."""
    return "" if value is None or value != value else str(value).strip()


def _match_folder(uri: str, choice: MaskChoice) -> Manifest:
    """The rows of a folder: photos/ and masks/ matched by name."""
    photos, masks = (_list_pictures(storage.join(uri, name)) for name in ("photos", "masks"))
    matched = match_names(photos, masks)
    rows = [
        Row(
            output_stem(PurePosixPath(photo).stem, PurePosixPath(mask).stem),
            f"photos/{photo}",
            f"masks/{mask}",
            write_choice(choice),
        )
        for mask, photo in matched.items()
    ]
    left_over = [("photos", each, "masks", masks) for each in photos if each not in matched.values()]
    left_over += [("masks", each, "photos", photos) for each in masks if each not in matched]
    nearest = {
        f"{folder}/{each}": f"{other}/{name}"
        for folder, each, other, others in left_over
        if (name := find_nearest(each, others)) is not None
    }
    return Manifest(uri, rows, unmatched=tuple(f"{folder}/{each}" for folder, each, _, _ in left_over), nearest=nearest)


def _list_pictures(folder: str) -> list[str]:
    """The names of the image files in a folder."""
    paths = map(PurePosixPath, storage.list_files(folder))
    names = [path.name for path in paths if path.suffix.lower() in SUFFIXES]
    if not names:
        raise InputError(f"{folder}: no images in this folder (looked for {', '.join(SUFFIXES)})")
    check_stems(names, folder)
    return names


def _check_twins(uri: str, rows: Iterable[Row]) -> None:
    """Check that no two rows have the same name."""
    seen: set[str] = set()
    twins = []
    for row in rows:
        if row.name in seen:
            twins.append(f"two rows have the name {row.name!r}; give them different names in a column `name`")
        seen.add(row.name)
    if twins:
        raise InputError(f"{uri}: {_shown(twins)}")


def _shown(problems: Sequence[str]) -> str:
    more = f" (and {len(problems) - _SHOWN_PROBLEMS} more)" if len(problems) > _SHOWN_PROBLEMS else ""
    return "; ".join(problems[:_SHOWN_PROBLEMS]) + more
