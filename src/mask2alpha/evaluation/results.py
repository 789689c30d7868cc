"""What an evaluation found, and the files that keep it: a stopped run goes on from them.

OUTPUT.csv        one row a pair: the errors of the prediction and of its mask
OUTPUT.imq.csv    under the protocol him2k, rows for each photograph: how its instances were matched
OUTPUT.parquet    the same as OUTPUT.csv, where pyarrow is installed
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import EXACT_KINDS, EXACT_TOLERANCE, Benchmark
from mask2alpha.evaluation.instances import ERRORS, InstanceCounts, add_counts
from mask2alpha.evaluation.metrics import Convention, MatteScores, Protocol
from mask2alpha.evaluation.rows import read_rows, write_rows
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
    """How Grad and Conn are computed."""
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
            convention: How Grad and Conn are computed.

        Raises:
            InputError: The file is the result of something else.
        """
        self.pairs: dict[_Key, PairScores] = {}
        self.instances: dict[_Key, InstanceScores] = {}
        self._path, self._benchmark = path, benchmark
        self._conditions: dict[str, Any] = {"predictor": predictor, "protocol": protocol, "convention": convention}
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
        names = [photo.name for photo in self._benchmark.photographs]
        if self.instances:  # first, because a photo is done when its pairs are
            instances = _in_order(self.instances, names, self._benchmark.kinds)
            rows = [self._conditions | row for entry in instances for row in _instance_rows(entry)]
            write_rows(
                self._instance_path(self._path), _INSTANCE_COLUMNS, [_pick(row, _INSTANCE_COLUMNS) for row in rows]
            )
        pairs = _in_order(self.pairs, names, self._benchmark.kinds)
        write_rows(self._path, _COLUMNS, [self._conditions | _pair_row(pair) for pair in pairs])
        self._saved_at, self._is_saved = time.monotonic(), True

    def _read_pairs(self, path: Path) -> None:
        names = {photo.name for photo in self._benchmark.photographs}
        for row in self._read_rows(path, _COLUMNS):
            if row["name"] not in names:
                raise InputError(
                    f"output: {path} holds {row['name']}, which {self._benchmark.root} has not; name another file"
                )
            scores, mask_scores = (
                MatteScores(**{metric: float(row[f"{prefix}{metric}"]) for metric in METRICS})
                for prefix in ("", "mask_")
            )
            pair = PairScores(name=row["name"], kind=row["kind"], scores=scores, mask_scores=mask_scores)
            self.pairs[pair.name, pair.kind] = pair

    def _read_instances(self, path: Path) -> None:
        found: dict[_Key, dict[str, list[InstanceCounts]]] = {}
        for row in self._read_rows(path, _INSTANCE_COLUMNS):
            counts = InstanceCounts(
                threshold=float(row["threshold"]),
                **{name: int(row[name]) for name in _COUNTS},
                quality=tuple(float(row[name]) for name in _QUALITIES),
            )
            found.setdefault((row["photograph"], row["kind"]), {}).setdefault(row["of"], []).append(counts)
        for (photo, kind), both in found.items():
            predicted, masked = tuple(both["prediction"]), tuple(both["mask"])
            entry = InstanceScores(photograph=photo, kind=kind, counts=predicted, mask_counts=masked)
            self.instances[photo, kind] = entry

    def _read_rows(self, path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
        rows = read_rows(path, columns, what="an evaluation")
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
    conditions = {name: getattr(evaluation, name) for name in ("predictor", "protocol", "convention")}
    rows = [_pick(conditions | _pair_row(pair), _COLUMNS) for pair in evaluation.pairs]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(rows), temporary)
    return True


def _pair_row(pair: PairScores) -> dict[str, Any]:
    masked = {f"mask_{metric}": value for metric, value in asdict(pair.mask_scores).items()}
    return {"name": pair.name, "kind": pair.kind, **asdict(pair.scores), **masked}


def _instance_rows(entry: InstanceScores) -> list[dict[str, Any]]:
    both = (("prediction", entry.counts), ("mask", entry.mask_counts))
    return [
        {"photograph": entry.photograph, "kind": entry.kind, "of": of}
        | asdict(counts)
        | dict(zip(_QUALITIES, counts.quality, strict=True))
        for of, all_counts in both
        for counts in all_counts
    ]


def _pick(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {column: row[column] for column in columns}


def _in_order(entries: dict[_Key, _Entry], names: Sequence[str], own_kinds: Sequence[str]) -> list[_Entry]:
    """In the benchmark's order, kinds of an earlier run after its own."""
    kinds = list(dict.fromkeys((*own_kinds, *(kind for _, kind in entries))))
    return [entries[name, kind] for name in names for kind in kinds if (name, kind) in entries]
