"""What an evaluation found, and the files that keep it: a stopped run goes on from them.

OUTPUT.csv        one row a pair: the errors of the prediction and of its mask
OUTPUT.imq.csv    under the protocol him2k, rows for each photograph: how its instances were matched
OUTPUT.parquet    the same as OUTPUT.csv, where pyarrow is installed
"""

import csv
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TypeAlias, TypeVar

from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import EXACT_KINDS, EXACT_TOLERANCE, Benchmark
from mask2alpha.evaluation.instances import ERRORS, InstanceCounts, add_counts
from mask2alpha.evaluation.metrics import Convention, MatteScores, Protocol
from mask2alpha.imaging.atomic import replacing

METRICS = tuple(field.name for field in fields(MatteScores))
_COLUMNS = ("predictor", "name", "kind", *METRICS, *(f"mask_{metric}" for metric in METRICS), "protocol", "convention")
_COUNTS = ("num_true_positives", "num_false_positives", "num_false_negatives")
_QUALITIES = tuple(f"quality_{error}" for error in ERRORS)
_INSTANCE_COLUMNS = ("predictor", "photograph", "kind", "of", "threshold", *_COUNTS, *_QUALITIES, "convention")
_SECONDS_BETWEEN_SAVES = 5.0
_Key: TypeAlias = tuple[str, str]
_Entry = TypeVar("_Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairScores:
    """The errors of one pair, and what its mask itself would have scored."""

    name: str
    """The photograph's name."""
    kind: str
    """The kind of mask."""
    scores: MatteScores
    """The prediction's errors."""
    mask_scores: MatteScores
    """The errors of the input mask taken as the matte."""

    @property
    def is_better(self) -> bool:
        """Whether the prediction has a lower SAD than its mask."""
        return self.scores.sad < self.mask_scores.sad

    @property
    def is_worse(self) -> bool:
        """Whether the prediction has a higher SAD than its mask."""
        return self.scores.sad > self.mask_scores.sad


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceScores:
    """How the instances of one photograph were matched, for each threshold of IMQ."""

    photograph: str
    """The name of the photograph's first instance."""
    kind: str
    """The kind of masks."""
    counts: tuple[InstanceCounts, ...]
    """The predictions'."""
    mask_counts: tuple[InstanceCounts, ...]
    """Those of the input masks taken as the mattes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The scores of one predictor on one benchmark."""

    predictor: str
    """What was evaluated, in words."""
    benchmark: str
    """The benchmark's folder, where the masks come from."""
    kinds: tuple[str, ...]
    """The kinds of masks, in the benchmark's order."""
    pairs: tuple[PairScores, ...]
    """One entry a pair, photograph by photograph."""
    protocol: Protocol = "whole"
    """What counts."""
    convention: Convention = "adobe"
    """Of Grad and Conn."""
    name: str = "folder"
    """The benchmark's name, as in `public_benchmarks.BENCHMARKS`."""
    title: str = ""
    """The benchmark's published name; empty: its folder."""
    mask_origin: str = ""
    """Where the masks come from, in words; empty: from the folder."""
    num_images: int | None = None
    """How many photographs there were; None: as many as names."""
    official_count: int | None = None
    """How many photographs the published set has."""
    instances: tuple[InstanceScores, ...] = ()
    """Under the protocol him2k: one entry for each photograph and kind."""

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
        """(pairs whose prediction beats its mask in SAD, pairs), the exact masks left out."""
        counted = [pair for pair in self.pairs if pair.kind not in EXACT_KINDS]
        return sum(pair.is_better for pair in counted), len(counted)

    def count_worse(self, kind: str | None = None) -> tuple[int, int]:
        """(pairs whose prediction has a higher SAD than its mask, pairs).

        Args:
            kind: The kind to count; None: all kinds but the exact ones.
        """
        counted = [pair for pair in self.pairs if pair.kind == kind or (kind is None and pair.kind not in EXACT_KINDS)]
        return sum(pair.is_worse for pair in counted), len(counted)

    def count_spoiled(self) -> tuple[int, int]:
        """(exact pairs whose SAD is more than `EXACT_TOLERANCE` times that of their mask, exact pairs)."""
        exact = [pair for pair in self.pairs if pair.kind in EXACT_KINDS]
        return sum(pair.scores.sad > EXACT_TOLERANCE * pair.mask_scores.sad for pair in exact), len(exact)

    def count_instances(self, kind: str | None = None, *, of_masks: bool = False) -> tuple[InstanceCounts, ...]:
        """IMQ's counts over one kind, for each threshold; None: over all of them.

        Raises:
            InputError: There are none: the protocol is not him2k.
        """
        chosen = [entry for entry in self.instances if kind is None or entry.kind == kind]
        return add_counts([entry.mask_counts if of_masks else entry.counts for entry in chosen])


class ResultsFile:
    """The pairs done so far, in memory and in a file that is rewritten atomically, at most every few seconds.

    As a context it writes at its end, however that comes.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        predictor: str,
        benchmark: Benchmark,
        protocol: Protocol,
        convention: Convention,
    ) -> None:
        """Read what an earlier run has left.

        Args:
            path: The CSV file; None: only in memory.
            predictor: What is evaluated, in words.
            benchmark: On what.
            protocol: What counts.
            convention: Of Grad and Conn.

        Raises:
            InputError: The file is the result of something else.
        """
        self.pairs: dict[_Key, PairScores] = {}
        self.instances: dict[_Key, InstanceScores] = {}
        self._path, self._predictor, self._benchmark = path, predictor, benchmark
        self._conditions = {"predictor": predictor, "protocol": protocol, "convention": convention}
        self._saved_at = -float("inf")
        self._is_saved = True
        if path is not None and path.exists():
            self._read_pairs(path)
        if path is not None and protocol == "him2k" and self._instance_path(path).exists():
            self._read_instances(self._instance_path(path))

    def __enter__(self) -> "ResultsFile":
        """Nothing more to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what is not yet written."""
        self._save()

    def add(self, pairs: Iterable[PairScores], instances: Iterable[InstanceScores] = ()) -> None:
        """Keep the results of one photograph."""
        self.pairs.update({(pair.name, pair.kind): pair for pair in pairs})
        self.instances.update({(entry.photograph, entry.kind): entry for entry in instances})
        self._is_saved = False
        if time.monotonic() - self._saved_at > _SECONDS_BETWEEN_SAVES:
            self._save()

    def _save(self) -> None:
        if self._path is None or self._is_saved:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        names = [photograph.name for photograph in self._benchmark.photographs]
        if self.instances:  # first, because a photograph is done when its pairs are
            rows = [
                self._instance_row(entry, of, counts)
                for entry in _in_order(self.instances, names, self._benchmark.kinds)
                for of, all_counts in (("prediction", entry.counts), ("mask", entry.mask_counts))
                for counts in all_counts
            ]
            _write_csv(self._instance_path(self._path), _INSTANCE_COLUMNS, rows)
        rows = [
            [
                self._predictor,
                pair.name,
                pair.kind,
                *(repr(getattr(scores, metric)) for scores in (pair.scores, pair.mask_scores) for metric in METRICS),
                self._conditions["protocol"],
                self._conditions["convention"],
            ]
            for pair in _in_order(self.pairs, names, self._benchmark.kinds)
        ]
        _write_csv(self._path, _COLUMNS, rows)
        self._saved_at, self._is_saved = time.monotonic(), True

    def _instance_row(self, entry: InstanceScores, of: str, counts: InstanceCounts) -> list[str]:
        return [
            self._predictor,
            entry.photograph,
            entry.kind,
            of,
            repr(counts.threshold),
            *(str(getattr(counts, name)) for name in _COUNTS),
            *(repr(value) for value in counts.quality),
            self._conditions["convention"],
        ]

    def _read_pairs(self, path: Path) -> None:
        names = {photograph.name for photograph in self._benchmark.photographs}
        for row in self._read_rows(path, _COLUMNS):
            if row["name"] not in names:
                raise InputError(
                    f"output: {path} holds {row['name']}, which {self._benchmark.root} has not; name another file"
                )
            self.pairs[row["name"], row["kind"]] = PairScores(
                name=row["name"],
                kind=row["kind"],
                scores=MatteScores(**{metric: float(row[metric]) for metric in METRICS}),
                mask_scores=MatteScores(**{metric: float(row[f"mask_{metric}"]) for metric in METRICS}),
            )

    def _read_instances(self, path: Path) -> None:
        found: dict[_Key, dict[str, list[InstanceCounts]]] = {}
        for row in self._read_rows(path, _INSTANCE_COLUMNS):
            counts = InstanceCounts(
                threshold=float(row["threshold"]),
                num_true_positives=int(row["num_true_positives"]),
                num_false_positives=int(row["num_false_positives"]),
                num_false_negatives=int(row["num_false_negatives"]),
                quality=tuple(float(row[name]) for name in _QUALITIES),
            )
            found.setdefault((row["photograph"], row["kind"]), {}).setdefault(row["of"], []).append(counts)
        for (photograph, kind), both in found.items():
            self.instances[photograph, kind] = InstanceScores(
                photograph=photograph,
                kind=kind,
                counts=tuple(both["prediction"]),
                mask_counts=tuple(both["mask"]),
            )

    def _read_rows(self, path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != columns:
                raise InputError(f"output: {path} exists and is no result of an evaluation; name another file")
            rows = list(reader)
        for row in rows:
            for condition, wanted in self._conditions.items():
                if condition in row and row[condition] != wanted:
                    raise InputError(
                        f"output: {path} holds results of {row[condition]!r}, not of {wanted!r}; name another file"
                    )
        return rows

    @staticmethod
    def _instance_path(path: Path) -> Path:
        return path.with_suffix(".imq.csv")


def write_parquet(evaluation: Evaluation, path: Path) -> bool:
    """Write one row a pair, as the CSV file has them, where pyarrow is installed.

    Returns:
        Whether it was.
    """
    if find_spec("pyarrow") is None:
        return False
    pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    columns: dict[str, Sequence[str | float]] = {
        "predictor": [evaluation.predictor] * len(evaluation.pairs),
        "name": [pair.name for pair in evaluation.pairs],
        "kind": [pair.kind for pair in evaluation.pairs],
    }
    for metric in METRICS:
        columns[metric] = [getattr(pair.scores, metric) for pair in evaluation.pairs]
    for metric in METRICS:
        columns[f"mask_{metric}"] = [getattr(pair.mask_scores, metric) for pair in evaluation.pairs]
    columns["protocol"] = [evaluation.protocol] * len(evaluation.pairs)
    columns["convention"] = [evaluation.convention] * len(evaluation.pairs)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.table(columns), temporary)
    return True


def _in_order(entries: dict[_Key, _Entry], names: Sequence[str], own_kinds: Sequence[str]) -> list[_Entry]:
    """In the benchmark's order, kinds of an earlier run after its own."""
    kinds = list(dict.fromkeys((*own_kinds, *(kind for _, kind in entries))))
    return [entries[name, kind] for name in names for kind in kinds if (name, kind) in entries]


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
