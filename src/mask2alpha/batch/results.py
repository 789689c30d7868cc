"""What became of each row: parts that the workers write while a batch runs, one table when it has ended.

What lies where:

OUT/
  <kind>/<name>.png      the mattes
  results.parquet        one line per name
  _batch/settings.json   what all mattes in OUT were made with
  _batch/parts/          results of finished chunks that are not in the table yet
  _batch/attempts/       notes of chunks in work, see `worker`

All of it is written whole or not at all, and under names that depend on the rows alone.
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
    """What became of one row."""

    name: str
    photo: str
    mask: str
    options: str | None = ""
    """As `Row.options`."""
    reason: str | None = None
    """Why there is no matte; None: there is one."""
    warning: str | None = None
    """What the predictor had to say."""
    height: int | None = None
    """Of the photo, in pixels."""
    width: int | None = None
    coverage: float | None = None
    """Mean alpha."""
    predicted_error: float | None = None
    """Mean of the network's guess at |alpha - truth|: high where a matte deserves a look."""
    made_from: str | None = None
    """Stamps of the photo and the mask that were read; see `storage.read_stamp`."""

    @property
    def row(self) -> Row:
        """The row that this is the result of."""
        return Row(self.name, self.photo, self.mask, self.options or "")


_REQUIRED = frozenset(("name", "photo", "mask"))
_NUMBERS = {"height": pa.int32(), "width": pa.int32(), "coverage": pa.float32(), "predicted_error": pa.float32()}
SCHEMA = pa.schema(
    [pa.field(name, _NUMBERS.get(name, pa.string()), nullable=name not in _REQUIRED) for name in Result._fields]
)
"""Columns of the table: the fields of `Result`."""


def chunk_name(rows: Sequence[Row]) -> str:
    """A name for a chunk that depends on its rows alone, so that doing it twice writes the same file twice."""
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:24]


def write_part(out: str, name: str, results: Iterable[Result]) -> None:
    """Write the results of the chunk called `name`."""
    _write_table(storage.join(out, f"{PARTS}/{name}.parquet"), results)


def merge_parts(out: str) -> dict[str, Result]:
    """Put the parts into the table, sorted by name, and delete them.

    Returns:
        Name → result, all there are.
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


def check_settings(out: str, settings: Mapping[str, Any]) -> None:
    """Remember what the mattes in OUT are made with; all of them must be made alike.

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
            f"{out} was begun with other settings ({', '.join(changed)}); give another folder, or --overwrite"
        )


def forget(out: str) -> None:
    """Delete what is known of earlier runs; the mattes stay until they are made again."""
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
