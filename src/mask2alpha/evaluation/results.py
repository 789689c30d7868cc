"""What an evaluation found, and the files that keep it, from which a stopped run continues.

OUTPUT.csv        one row per pair: the errors of the prediction and of its mask
OUTPUT.imq.csv    under the protocol him2k, rows for each photo: how its instances were matched
OUTPUT.parquet    the same as OUTPUT.csv, if pyarrow is installed
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import EXACT_KINDS, EXACT_TOLERANCE, Benchmark
from mask2alpha.evaluation.instances import InstanceCounts, add_counts
from mask2alpha.evaluation.metrics import Convention, MatteScores, Protocol
from mask2alpha.evaluation.rows import columns_of, from_row, read_rows, to_row, write_rows
from mask2alpha.imaging.atomic import replacing

_SECONDS_BETWEEN_SAVES = 5.0
_Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairScores:
    """The errors of one pair, and those of its mask."""

    name: str
    """The photo's name."""
    kind: str
    """The kind of mask."""
    scores: MatteScores
    """The prediction's errors."""
    mask_scores: MatteScores
    """The errors of the input mask taken as the matte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceScores:
    """How the instances of one photo were matched, for one threshold of IMQ."""

    photograph: str
    """The name of the photo's first instance."""
    kind: str
    """The kind of masks."""
    of: str
    """`prediction`, or `mask` for the input masks taken as the mattes."""
    counts: InstanceCounts
    """The matches."""


_COLUMNS = ("predictor", *columns_of(PairScores), "protocol", "convention")
_INSTANCE_COLUMNS = ("predictor", *columns_of(InstanceScores), "convention")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The scores of one predictor on one benchmark."""

    predictor: str
    """What was evaluated, in words."""
    benchmark: str
    """The benchmark's folder."""
    kinds: tuple[str, ...]
    """The kinds of masks, in the benchmark's order."""
    pairs: tuple[PairScores, ...]
    """One entry per pair, photo by photo."""
    protocol: Protocol = "whole"
    """Which pixels count."""
    convention: Convention = "adobe"
    """How Grad and Conn are computed."""
    name: str = "folder"
    """The benchmark's name, as in `public_benchmarks.BENCHMARKS`."""
    title: str = ""
    """The benchmark's published name; empty: its folder."""
    mask_origin: str = ""
    """Where the masks come from, in words; empty: from the folder."""
    num_images: int | None = None
    """Number of photos; None: as many as names."""
    official_count: int | None = None
    """Number of photos in the published set."""
    instances: tuple[InstanceScores, ...] = ()
    """Under the protocol him2k: for each photo and kind an entry per threshold, of the predictions and of the masks."""

    def select(self, kind: str | None = None) -> list[PairScores]:
        """The pairs of one kind; None: all of them."""
        return [pair for pair in self.pairs if kind is None or pair.kind == kind]

    def mean(self, kind: str | None = None) -> MatteScores:
        """The prediction's mean errors over one kind; None: over all pairs."""
        return MatteScores.mean([pair.scores for pair in self.select(kind)])

    def mask_mean(self, kind: str | None = None) -> MatteScores:
        """The input masks' mean errors over one kind; None: over all pairs."""
        return MatteScores.mean([pair.mask_scores for pair in self.select(kind)])

    def count_better(self) -> tuple[int, int]:
        """(pairs whose prediction has a lower SAD than its mask, pairs), without the exact masks."""
        counted = [pair for pair in self.pairs if pair.kind not in EXACT_KINDS]
        return sum(pair.scores.sad < pair.mask_scores.sad for pair in counted), len(counted)

    def count_worse(self, kind: str | None = None) -> tuple[int, int]:
        """(pairs whose prediction has a higher SAD than its mask, pairs).

        Args:
            kind: The kind to count; None: all kinds but the exact ones.
        """
        counted = [pair for pair in self.pairs if pair.kind == kind or (kind is None and pair.kind not in EXACT_KINDS)]
        return sum(pair.scores.sad > pair.mask_scores.sad for pair in counted), len(counted)

    def count_spoiled(self) -> tuple[int, int]:
        """(exact pairs whose SAD is more than `EXACT_TOLERANCE` times that of their mask, exact pairs)."""
        exact = [pair for pair in self.pairs if pair.kind in EXACT_KINDS]
        return sum(pair.scores.sad > EXACT_TOLERANCE * pair.mask_scores.sad for pair in exact), len(exact)

    def count_instances(self, kind: str | None = None, *, of_masks: bool = False) -> tuple[InstanceCounts, ...]:
        """IMQ's counts over one kind, for each threshold; None: over all kinds.

        Raises:
            InputError: There are none, because the protocol is not him2k.
        """
        of = "mask" if of_masks else "prediction"
        return add_counts([one.counts for one in self.instances if one.of == of and kind in (None, one.kind)])


class ResultsFile:
    """The pairs done so far, in memory and in a CSV file that is rewritten atomically every few seconds.

    As a context manager it also writes at the end, after an error, too.
    """

    def __init__(self, path: Path | None, benchmark: Benchmark, conditions: Mapping[str, str]) -> None:
        """Read what an earlier run has left.

        Args:
            path: The CSV file; None: the results are only in memory.
            benchmark: What is scored.
            conditions: The columns `predictor`, `protocol` and `convention`, equal in all rows.

        Raises:
            InputError: The file is the result of something else.
        """
        self.pairs: dict[_Key, PairScores] = {}
        self.instances: dict[_Key, list[InstanceScores]] = {}
        self._path, self._benchmark, self._conditions = path, benchmark, conditions
        self._saved_at, self._is_saved = -float("inf"), True
        if path is not None:
            self._read(path)

    def __enter__(self) -> "ResultsFile":
        """Return the file itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Write what is not yet written."""
        self._save()

    def add(self, pairs: Iterable[PairScores], instances: Iterable[InstanceScores] = ()) -> None:
        """Keep the results of one photo."""
        self.pairs.update({(pair.name, pair.kind): pair for pair in pairs})
        for key, group in groupby(instances, key=lambda one: (one.photograph, one.kind)):
            self.instances[key] = list(group)
        self._is_saved = False
        if time.monotonic() - self._saved_at > _SECONDS_BETWEEN_SAVES:
            self._save()

    def _save(self) -> None:
        if self._path is None or self._is_saved:
            return
        if self.instances:  # first, because a photo is done when its pairs are
            instances = (one for key in self._in_order(self.instances) for one in self.instances[key])
            rows = [{**self._conditions, **to_row(one)} for one in instances]
            write_rows(instance_path(self._path), _INSTANCE_COLUMNS, rows)
        pairs = [self.pairs[key] for key in self._in_order(self.pairs)]
        write_rows(self._path, _COLUMNS, [{**self._conditions, **to_row(pair)} for pair in pairs])
        self._saved_at, self._is_saved = time.monotonic(), True

    def _in_order(self, keys: Iterable[_Key]) -> list[_Key]:
        """In the benchmark's order, kinds of an earlier run after its own."""
        names = {photo.name: place for place, photo in enumerate(self._benchmark.photographs)}
        kinds = list(dict.fromkeys((*self._benchmark.kinds, *(kind for _, kind in keys))))
        return sorted(keys, key=lambda key: (names[key[0]], kinds.index(key[1])))

    def _read(self, path: Path) -> None:
        names = {photo.name for photo in self._benchmark.photographs}
        for row in self._read_rows(path, _COLUMNS):
            if row["name"] not in names:
                raise InputError(
                    f"output: {path} has a row for {row['name']}, which {self._benchmark.root} lacks; name another file"
                )
            self.pairs[row["name"], row["kind"]] = from_row(PairScores, row)
        if self._conditions["protocol"] != "him2k":
            return
        for row in self._read_rows(instance_path(path), _INSTANCE_COLUMNS):
            self.instances.setdefault((row["photograph"], row["kind"]), []).append(from_row(InstanceScores, row))

    def _read_rows(self, path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
        rows = read_rows(path, columns, what="an evaluation") if path.exists() else []
        for row in rows:
            for condition, wanted in self._conditions.items():
                if row.get(condition, wanted) != wanted:
                    raise InputError(
                        f"output: {path} has results of {row[condition]!r}, not of {wanted!r}; name another file"
                    )
        return rows


def instance_path(output: Path) -> Path:
    """The file beside `output` that keeps the matches of instances."""
    return output.with_suffix(".imq.csv")


def parquet_path(output: Path) -> Path:
    """The Parquet file beside `output`."""
    return output.with_suffix(".parquet")


def write_parquet(evaluation: Evaluation, path: Path) -> bool:
    """Write one row per pair, as in the CSV file, if pyarrow is installed.

    Returns:
        Whether pyarrow is installed.
    """
    if find_spec("pyarrow") is None:
        return False
    pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    about = {name: getattr(evaluation, name) for name in ("predictor", "protocol", "convention")}
    rows: list[dict[str, Any]] = [about | to_row(pair) for pair in evaluation.pairs]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        table = pyarrow.Table.from_pylist([{column: row[column] for column in _COLUMNS} for row in rows])
        parquet.write_table(table, temporary)
    return True
