"""What a comparison comes to: means with intervals, per kind of mask, time, memory, failures; as tables and JSON.

Means are over the pairs that every method finished (methods that finished none left out), so that a method cannot gain
by failing where it is hard. Differences are to the first method, pair by pair: above zero is worse than the first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mask2alpha.evaluation.bootstrap import Bootstrap, Interval
from mask2alpha.evaluation.compare import METRICS, Comparison, MethodResults, PairResult
from mask2alpha.evaluation.metrics import CONNECTIVITY_THETA, GRADIENT_SIGMA
from mask2alpha.evaluation.tables import Table

SHOWN = (("SAD", "sad", 2), ("MSE", "mse", 4), ("Grad", "grad", 2), ("Conn", "conn", 2))
"""The metrics of the tables: title, name, digits."""
FEW_PHOTOGRAPHS = 20
"""Below this, percentile intervals are noticeably too narrow, and the report says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSummary:
    """One method's row."""

    label: str
    """What tables call it."""
    identity: str
    """What it is exactly."""
    machines: tuple[str, ...]
    """Where it ran."""
    num_done: int
    """Pairs with a matte."""
    failures: tuple[tuple[str, str, str], ...]
    """(photograph, kind, reason)."""
    scores: dict[str, Interval]
    """Per metric; empty where there is no pair to take a mean over."""
    differences: dict[str, Interval]
    """Per metric, to the first method; empty for it."""
    kinds: dict[str, dict[str, float]]
    """Per kind of mask the mean of each metric."""
    wall_s: float | None
    """Median time of a pair."""
    cpu_s: float | None
    """Median of all threads' time together."""
    peak_bytes: int | None
    """The largest of all pairs."""
    costs: tuple[dict[str, Any], ...]
    """Per size: megapixels, wall_s, cpu_s, peak_bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A comparison's numbers."""

    title: str
    """The benchmark."""
    kinds: tuple[str, ...]
    """Kinds of masks, in order."""
    num_pairs: int
    """All pairs."""
    common: tuple[tuple[str, str], ...]
    """(photograph, kind) of the pairs that means are over."""
    num_photographs: int
    """Photographs among those."""
    num_resamples: int
    """Number of resamples of the bootstrap."""
    seed: int
    """Seed of the bootstrap."""
    methods: tuple[MethodSummary, ...]
    """In the order asked for."""


def summarise(comparison: Comparison, *, num_resamples: int = 10_000, seed: int = 0) -> Summary:
    """Compute all numbers of a comparison; the same results and seed give the same numbers."""
    finished = [
        {key for key, result in results.pairs.items() if result.scores is not None} for results in comparison.methods
    ]
    counted = [keys for keys in finished if keys]
    common = [
        (pair.name, pair.kind)
        for pair in comparison.pairs
        if counted and all((pair.name, pair.kind) in keys for keys in counted)
    ]
    photograph_of = {(pair.name, pair.kind): str(pair.image_path) for pair in comparison.pairs}
    photographs = [photograph_of[key] for key in common]  # instances of one photograph share it
    bootstrap = Bootstrap(photographs, num_resamples=num_resamples, seed=seed) if common else None
    first = comparison.methods[0]
    return Summary(
        title=comparison.title,
        kinds=tuple(kind for kind in comparison.kinds if any(kind == other for _, other in common)),
        num_pairs=len(comparison.pairs),
        common=tuple(common),
        num_photographs=len(set(photographs)),
        num_resamples=num_resamples,
        seed=seed,
        methods=tuple(_summarise_method(results, first, common, bootstrap) for results in comparison.methods),
    )


def _summarise_method(
    results: MethodResults, first: MethodResults, common: list[tuple[str, str]], bootstrap: Bootstrap | None
) -> MethodSummary:
    done = [result for result in results.pairs.values() if result.scores is not None]
    scores: dict[str, Interval] = {}
    differences: dict[str, Interval] = {}
    kinds: dict[str, dict[str, float]] = {}
    if bootstrap is not None and done:
        for metric in METRICS:
            values = _values(results, common, metric)
            scores[metric] = bootstrap.interval(values)
            for kind in dict.fromkeys(kind for _, kind in common):
                of_kind = [value for value, (_, other) in zip(values, common, strict=True) if other == kind]
                kinds.setdefault(kind, {})[metric] = float(np.mean(of_kind))
            if results is not first and any(result.scores is not None for result in first.pairs.values()):
                differences[metric] = bootstrap.interval(values - _values(first, common, metric))
    return MethodSummary(
        label=results.method.label,
        identity=results.identity,
        machines=results.machines,
        num_done=len(done),
        failures=tuple((failure.name, failure.kind, failure.failure) for failure in results.failures),
        scores=scores,
        differences=differences,
        kinds=kinds,
        wall_s=_median(result.wall_s for result in done),
        cpu_s=_median(result.cpu_s for result in done),
        peak_bytes=max((result.peak_bytes for result in done if result.peak_bytes is not None), default=None),
        costs=tuple(
            {name: getattr(cost, name) for name in ("megapixels", "wall_s", "cpu_s", "peak_bytes")}
            for cost in results.costs
            if not cost.failure
        ),
    )


def _values(results: MethodResults, keys: list[tuple[str, str]], metric: str) -> npt.NDArray[np.float64]:
    return np.array([_score(results.pairs[key], metric) for key in keys], dtype=np.float64)


def _score(result: PairResult, metric: str) -> float:
    assert result.scores is not None
    return float(getattr(result.scores, metric))


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def tabulate(summary: Summary) -> list[Table]:
    """The tables of the report."""
    tables = [_table_of_scores(summary)]
    if any(method.differences for method in summary.methods):
        tables.append(_table_of_differences(summary))
    if len(summary.kinds) > 1:
        tables.append(_table_of_kinds(summary))
    tables.append(_table_of_costs(summary))
    if any(method.costs for method in summary.methods):
        tables.append(_table_of_sizes(summary))
    if any(method.failures for method in summary.methods):
        rows = [(method.label, *failure) for method in summary.methods for failure in method.failures]
        header = ("method", "photo", "mask", "reason")
        tables.append(Table(title="Failures", header=header, rows=tuple(rows), text_columns=(0, 1, 2, 3)))
    return tables


def describe(summary: Summary) -> list[str]:
    """The conditions, a sentence each."""
    lines = [
        f"{len(summary.common)} of {summary.num_pairs} pairs ({summary.num_photographs} photographs) count: those that "
        "every method finished. Lower is better everywhere.",
        "Whole image, original resolution, float64, mattes not rounded. SAD in thousands; Grad (sigma "
        f"{GRADIENT_SIGMA}, / 1000) and Conn (step 0.1, theta {CONNECTIVITY_THETA}, / 1000) in the Adobe convention.",
        f"In brackets: 95 % intervals, percentiles of {summary.num_resamples} bootstrap resamples of the photographs, "
        f"seed {summary.seed}"
        + (
            f"; with {summary.num_photographs} photographs they are somewhat too narrow."
            if summary.num_photographs < FEW_PHOTOGRAPHS
            else "."
        ),
        "Time is from arrays in memory to the alpha, one mask at a time, after a warm-up; peak memory is that of the "
        "method's own process, libraries included.",
    ]
    machines = dict.fromkeys(machine for method in summary.methods for machine in method.machines)
    lines.append(f"Ran on: {'; '.join(machines)}.")
    slowed = [
        method.label
        for method in summary.methods
        if method.wall_s and method.cpu_s and method.cpu_s > 0.02 and method.wall_s > 1.3 * method.cpu_s
    ]
    if slowed:
        lines.append(
            f"The machine was busy with other work (wall time well above CPU time: {', '.join(slowed)}): "
            "compare CPU times."
        )
    return lines


def format_markdown(summary: Summary) -> str:
    """All tables and conditions in Markdown, with a final newline."""
    parts = [f"# Comparison on {summary.title}"]
    for table in tabulate(summary):
        parts += [f"## {table.title}", *([table.note] if table.note else []), table.render("markdown")]
    parts += ["## Conditions", "\n".join(f"- {line}" for line in describe(summary))]
    parts += ["## Methods", "\n".join(f"- `{method.label}`: {method.identity}" for method in summary.methods)]
    return "\n\n".join(parts) + "\n"


def to_json(summary: Summary, comparison: Comparison) -> dict[str, Any]:
    """The summary and every pair's result, of values that JSON knows."""
    about = asdict(summary)
    for method, results in zip(about["methods"], comparison.methods, strict=True):
        method["text"] = results.method.text
        method["pairs"] = [asdict(result) for result in results.pairs.values()]
    return {"conditions": describe(summary), **about}


def _table_of_scores(summary: Summary) -> Table:
    means = [
        [method.scores[name].mean if method.scores else None for _, name, _ in SHOWN] for method in summary.methods
    ]
    return Table(
        title="Errors",
        note="Mean over all pairs [95 % interval]; the lowest mean is bold.",
        header=("method", *(title for title, _, _ in SHOWN)),
        rows=tuple(_interval_row(method.label, method.scores) for method in summary.methods),
        best=_lowest_cells(means),
    )


def _table_of_differences(summary: Summary) -> Table:
    first, *others = summary.methods
    return Table(
        title=f"Differences to {first.label}",
        note=f"Paired: method minus `{first.label}` on the same pairs, so above zero is worse than `{first.label}`. "
        "Bold where the interval excludes zero.",
        header=("method", *(title for title, _, _ in SHOWN)),
        rows=tuple(_interval_row(method.label, method.differences, "+") for method in others),
        best=tuple(
            (row, column)
            for row, method in enumerate(others)
            for column, (_, name, _) in enumerate(SHOWN, start=1)
            if method.differences and method.differences[name].excludes_zero
        ),
    )


def _table_of_kinds(summary: Summary) -> Table:
    sads = [[method.kinds.get(kind, {}).get("sad") for kind in summary.kinds] for method in summary.methods]
    cells = [["" if sad is None else f"{sad:.2f}" for sad in row] for row in sads]
    return Table(
        title="SAD per kind of mask",
        note="Mean; the lowest is bold.",
        header=("method", *summary.kinds),
        rows=tuple((method.label, *row) for method, row in zip(summary.methods, cells, strict=True)),
        best=_lowest_cells(sads),
    )


def _table_of_costs(summary: Summary) -> Table:
    return Table(
        title="Cost",
        note="Time of one pair (median) and peak memory of the process (largest); empty for mattes made elsewhere.",
        header=("method", "CPU time", "wall time", "peak memory", "pairs", "failed"),
        rows=tuple(
            (
                method.label,
                format_seconds(method.cpu_s),
                format_seconds(method.wall_s),
                format_bytes(method.peak_bytes),
                str(method.num_done),
                str(len(method.failures)),
            )
            for method in summary.methods
        ),
    )


def _table_of_sizes(summary: Summary) -> Table:
    sizes = list(dict.fromkeys(f"{cost['megapixels']:.2g}" for method in summary.methods for cost in method.costs))
    rows = []
    for method in summary.methods:
        found = {f"{cost['megapixels']:.2g}": cost for cost in method.costs}
        if found:
            cells = [
                f"{format_seconds(found[size]['cpu_s'])}, {format_bytes(found[size]['peak_bytes'])}"
                if size in found
                else ""
                for size in sizes
            ]
            rows.append((method.label, *cells))
    return Table(
        title="Cost by size",
        note="The first pair, resized: CPU time, peak memory.",
        header=("method", *(f"{size} MP" for size in sizes)),
        rows=tuple(rows),
    )


def _interval_row(label: str, intervals: Mapping[str, Interval], sign: str = "") -> tuple[str, ...]:
    """Mean and interval of each metric; empty cells where there are none."""
    cells = []
    for _, name, digits in SHOWN:
        found = intervals.get(name)
        numbers = (
            [] if found is None else [f"{value:{sign}.{digits}f}" for value in (found.mean, found.low, found.high)]
        )
        cells.append("{} [{}, {}]".format(*numbers) if numbers else "")
    return (label, *cells)


def _lowest_cells(values: Sequence[Sequence[float | None]]) -> tuple[tuple[int, int], ...]:
    """(row, column) of the lowest value of each column, the row's name being column 0."""
    cells = []
    for column, entries in enumerate(zip(*values, strict=True), start=1):
        known = [value for value in entries if value is not None]
        if known:
            cells.append((entries.index(min(known)), column))
    return tuple(cells)


def format_seconds(seconds: float | None) -> str:
    """Seconds, or milliseconds below one second; empty for None."""
    if seconds is None:
        return ""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "< 1 ms"


def format_bytes(size: int | None) -> str:
    """Whole mebibytes; empty for None."""
    return "" if size is None else f"{size / 2**20:.0f} MiB"
