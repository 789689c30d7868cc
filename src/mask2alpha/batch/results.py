"""The results of the rows: parts, written by the workers while a batch runs, and one table at the end.

The files in OUT:

OUT/
  <kind>/<name>.png      the mattes
  results.parquet        one line per name
  _batch/settings.json   the settings of all mattes in OUT
  _batch/parts/          results of finished chunks that are not in the table yet
  _batch/attempts/       notes of chunks in progress, see `worker`

Each file is written whole or not at all, and its name depends on the rows alone.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from mask2alpha.batch import storage
from mask2alpha.batch.manifest import Row
from mask2alpha.errors import InputError

TABLE = "results.parquet"
PARTS = "_batch/parts"
SETTINGS = "_batch/settings.json"


class Result(NamedTuple):
    """The result of one row."""

    name: str
    photo: str
    mask: str
    options: str | None = ""
    """As `Row.options`."""
    reason: str | None = None
    """Why the row has no matte; None: it has one."""
    warning: str | None = None
    """Warnings from reading and matting."""
    height: int | None = None
    """Height of the photo in pixels."""
    width: int | None = None
    coverage: float | None = None
    """Mean alpha."""
    predicted_error: float | None = None
    """Mean of the network's guess at |alpha - truth|; high for mattes that should be checked."""
    made_from: str | None = None
    """Stamps of the photo and the mask that were read; see `storage.read_stamp`."""

    @property
    def row(self) -> Row:
        """The row of the manifest."""
        return Row(self.name, self.photo, self.mask, self.options or "")


_REQUIRED = frozenset(("name", "photo", "mask"))
_NUMBERS = {"height": pa.int32(), "width": pa.int32(), "coverage": pa.float32(), "predicted_error": pa.float32()}
SCHEMA = pa.schema(
    [pa.field(name, _NUMBERS.get(name, pa.string()), nullable=name not in _REQUIRED) for name in Result._fields]
)
"""Columns of the table: the fields of `Result`."""


def chunk_name(rows: Sequence[Row]) -> str:
    """A name for a chunk that depends on its rows alone; a repeated chunk writes the same file."""
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:24]


def write_part(out: str, name: str, results: Iterable[Result]) -> None:
    """Write the results of the chunk called `name`."""
    _write_table(storage.join(out, f"{PARTS}/{name}.parquet"), results)


def merge_parts(out: str) -> dict[str, Result]:
    """Merge the parts into the table, sorted by name, and delete them.

    Returns:
        Name to result, of all rows.
    """
    parts = _list_parts(out)
    results = _read(out, parts)
    if parts:
        _write_table(storage.join(out, TABLE), (results[name] for name in sorted(results)))
    for part in parts:
        storage.delete(part)
    return results


def _list_parts(out: str) -> list[str]:
    return storage.list_files(storage.join(out, PARTS))


def _read(out: str, parts: list[str]) -> dict[str, Result]:
    table = storage.join(out, TABLE)
    found: dict[str, Result] = {}
    for files in ([table] if storage.exists(table) else [], parts):  # parts are newer than the table
        if files:
            paths = [storage.file_system(file)[1] for file in files]
            system = storage.file_system(out)[0]
            content = pyarrow.dataset.dataset(paths, schema=SCHEMA, format="parquet", filesystem=system).to_table()
            for line in zip(*(column.to_pylist() for column in content.columns), strict=True):
                found[line[0]] = Result(*line)
    return found


def has_begun(out: str) -> bool:
    """Whether a batch has written settings or results in OUT."""
    return storage.exists(storage.join(out, SETTINGS)) or bool(_list_parts(out))


def check_settings(out: str, settings: Mapping[str, Any]) -> None:
    """Store the settings of the mattes in OUT; all must be made with the same.

    Raises:
        InputError: OUT holds mattes made with other settings.
    """
    path = storage.join(out, SETTINGS)
    if not storage.exists(path):
        storage.write_bytes(path, json.dumps(settings, indent=2).encode())
        return
    present = json.loads(storage.read_bytes(path))
    changed = [f"{key} {present.get(key)} → {value}" for key, value in settings.items() if present.get(key) != value]
    if changed:
        raise InputError(
            f"{out} was started with other settings ({', '.join(changed)}); give another folder, or --overwrite"
        )


def forget(out: str) -> None:
    """Delete the results of earlier runs; the mattes stay until they are made again."""
    for path in (TABLE, SETTINGS):
        storage.delete(storage.join(out, path))
    for part in _list_parts(out):
        storage.delete(part)


def _write_table(uri: str, results: Iterable[Result]) -> None:
    columns = list(zip(*results, strict=True))
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), sink)
    storage.write_bytes(uri, sink.getvalue().to_pybytes())
