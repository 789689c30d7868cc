"""The numbers of a comparison as plain data, which `comparison.json` holds, and as tables and sentences.

Means are over the pairs that every method finished (methods that finished none left out), so that a method cannot gain
by failing on hard pairs. Differences are to the first method, pair by pair: above zero is worse than the first.

The 95 % intervals are percentiles of bootstrap resamples of the photos. A drawn photo brings all its pairs, because a
photo that is hard is hard with all its masks. With few photos the intervals are somewhat too narrow.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mask2alpha.evaluation.compare import Comparison, MethodResults
from mask2alpha.evaluation.metrics import CONNECTIVITY_THETA, GRADIENT_SIGMA, SHOWN, MatteScores
from mask2alpha.evaluation.tables import Table
from mask2alpha.extras import import_extra

FEW_PHOTOS = 20
"""With fewer photos the intervals are noticeably too narrow, and the report says so."""
_METRICS = tuple(field.name for field in fields(MatteScores))
_BATCH = 1000  # resamples at a time; it bounds the memory
_Summary: TypeAlias = dict[str, Any]


def summarise(comparison: Comparison, *, num_resamples: int = 10_000, seed: int = 0) -> _Summary:
    """Compute all numbers of a comparison; the same results and seed give the same numbers.

    Returns:
        Values that JSON knows: `title`, `kinds` of masks, `num_pairs`, `common` (photo and kind of the pairs that means
        are over), `num_photographs` among those, `num_resamples`, `seed`, and one entry of `methods` per method:
        `label`, `text` and `identity`; `machines` where it ran; `num_done` pairs with a matte; `failures` (photo, kind,
        reason); `scores` and `differences` with `mean`, `low` and `high` per metric; means per metric in `kinds`;
        `wall_s` and `cpu_s` in seconds (medians); the largest `peak_bytes`; `costs` per size; and all `pairs`.
    """
    finished = [{key for key, pair in method.pairs.items() if pair.scores is not None} for method in comparison.methods]
    counted = [keys for keys in finished if keys]
    photo_of = {(pair.name, pair.kind): str(pair.image_path) for pair in comparison.pairs}
    common = [key for key in photo_of if counted and all(key in keys for keys in counted)]
    photos = [photo_of[key] for key in common]  # instances of one photo share it
    scores = [
        _values(method, common) if common and keys else None
        for method, keys in zip(comparison.methods, finished, strict=True)
    ]
    methods = []
    for method, values in zip(comparison.methods, scores, strict=True):
        row = _describe_method(method)
        if values is not None:
            row["scores"] = estimate_means(values, photos, num_resamples=num_resamples, seed=seed)
            row["kinds"] = {kind: _mean_of_kind(values, common, kind) for kind in dict.fromkeys(k for _, k in common)}
            if method is not comparison.methods[0] and scores[0] is not None:
                difference = values - scores[0]
                row["differences"] = estimate_means(difference, photos, num_resamples=num_resamples, seed=seed)
        methods.append(row)
    return {
        "title": comparison.title,
        "kinds": [kind for kind in comparison.kinds if any(kind == other for _, other in common)],
        "num_pairs": len(comparison.pairs),
        "common": common,
        "num_photographs": len(set(photos)),
        "num_resamples": num_resamples,
        "seed": seed,
        "methods": methods,
    }


def estimate_means(
    values: npt.NDArray[np.float64], photos: Sequence[str], *, num_resamples: int, seed: int
) -> dict[str, dict[str, float]]:
    """Means with their 95 % intervals.

    Args:
        values: (metrics, pairs), in the order of the fields of `MatteScores`.
        photos: The photo of each pair.
        num_resamples: Number of resamples of the photos.
        seed: Seed of the resamples; equal photos and seeds give equal resamples.

    Returns:
        `mean`, `low` and `high` by metric.
    """
    names, groups = np.unique(photos, return_inverse=True)
    sums = np.stack([np.bincount(groups, weights=row) for row in values])
    counts = np.broadcast_to(np.bincount(groups).astype(np.float64), sums.shape)
    means = values.mean(axis=1)
    low = high = means
    if len(names) > 1:
        stats = import_extra("scipy.stats", extra="eval", purpose="comparing methods")
        found = stats.bootstrap(
            (sums, counts),
            lambda total, count, axis: total.sum(axis=axis) / count.sum(axis=axis),
            paired=True,
            axis=-1,
            n_resamples=num_resamples,
            batch=_BATCH,
            method="percentile",
            random_state=np.random.default_rng(seed),
        )
        low, high = found.confidence_interval
    rows = zip(_METRICS, means.tolist(), low.tolist(), high.tolist(), strict=True)
    return {metric: {"mean": mean, "low": least, "high": most} for metric, mean, least, most in rows}


def _values(method: MethodResults, keys: Sequence[tuple[str, str]]) -> npt.NDArray[np.float64]:
    """The scores of one method, (metrics, pairs)."""
    return np.array([[getattr(method.pairs[key].scores, metric) for key in keys] for metric in _METRICS])


def _mean_of_kind(values: npt.NDArray[np.float64], keys: Sequence[tuple[str, str]], kind: str) -> dict[str, float]:
    of_kind = np.ascontiguousarray(values[:, [other == kind for _, other in keys]])
    return dict(zip(_METRICS, of_kind.mean(axis=1).tolist(), strict=True))


def _describe_method(results: MethodResults) -> _Summary:
    """What is known of one method without the others."""
    done = [result for result in results.pairs.values() if result.scores is not None]
    sizes = ("megapixels", "wall_s", "cpu_s", "peak_bytes")
    return {
        "label": results.method.label,
        "text": results.method.text,
        "identity": results.identity,
        "machines": list(results.machines),
        "num_done": len(done),
        "failures": [(failure.name, failure.kind, failure.failure) for failure in results.failures],
        "scores": {},
        "differences": {},
        "kinds": {},
        "wall_s": _median(result.wall_s for result in done),
        "cpu_s": _median(result.cpu_s for result in done),
        "peak_bytes": max((result.peak_bytes for result in done if result.peak_bytes is not None), default=None),
        "costs": [{name: getattr(cost, name) for name in sizes} for cost in results.costs if not cost.failure],
        "pairs": [asdict(result) for result in results.pairs.values()],
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def describe(summary: _Summary) -> list[str]:
    """The conditions, a sentence each."""
    few = summary["num_photographs"] < FEW_PHOTOS
    narrow = f"; with {summary['num_photographs']} photos they are somewhat too narrow" if few else ""
    machines = dict.fromkeys(machine for method in summary["methods"] for machine in method["machines"])
    lines = [
        f"{len(summary['common'])} of {summary['num_pairs']} pairs ({summary['num_photographs']} photos) count: those "
        "that every method finished. Lower is better everywhere.",
        "Whole image, original resolution, float64, mattes not rounded. SAD in thousands; Grad (sigma "
        f"{GRADIENT_SIGMA}, / 1000) and Conn (step 0.1, theta {CONNECTIVITY_THETA}, / 1000) in the Adobe convention.",
        f"In brackets: 95 % intervals, percentiles of {summary['num_resamples']} bootstrap resamples of the photos, "
        f"seed {summary['seed']}{narrow}.",
        "Time is from arrays in memory to the alpha, one mask at a time, after a warm-up; peak memory is that of the "
        "method's own process, libraries included.",
        f"Ran on: {'; '.join(machines)}.",
    ]
    slowed = [
        method["label"]
        for method in summary["methods"]
        if method["wall_s"] and (method["cpu_s"] or 0) > 0.02 and method["wall_s"] > 1.3 * method["cpu_s"]
    ]
    if slowed:
        lines.append(
            f"The machine was busy with other work (wall time well above CPU time: {', '.join(slowed)}): "
            "compare CPU times."
        )
    return lines


def format_markdown(summary: _Summary) -> str:
    """All tables and conditions in Markdown, with a final newline."""
    parts = [f"# Comparison on {summary['title']}"]
    for table in tabulate(summary):
        parts += [f"## {table.title}", *([table.note] if table.note else []), table.render("markdown")]
    parts += ["## Conditions", "\n".join(f"- {line}" for line in describe(summary))]
    parts += ["## Methods", "\n".join(f"- `{method['label']}`: {method['identity']}" for method in summary["methods"])]
    return "\n\n".join(parts) + "\n"


def tabulate(summary: _Summary) -> list[Table]:
    """The tables of the report; those without rows are left out."""
    tables = [
        _errors(summary["methods"]),
        _differences(*summary["methods"]),
        _kinds(summary["methods"], summary["kinds"]),
        _costs(summary["methods"]),
        _sizes(summary["methods"]),
        _failures(summary["methods"]),
    ]
    return [table for table in tables if table.rows]


def _errors(methods: Sequence[_Summary]) -> Table:
    means = [[method["scores"].get(name, {}).get("mean") for _, name, _ in SHOWN] for method in methods]
    return Table(
        title="Errors",
        note="Mean over all pairs [95 % interval]; the lowest mean is bold.",
        header=("method", *(title for title, _, _ in SHOWN)),
        rows=[[method["label"], *_intervals(method["scores"])] for method in methods],
        best=_lowest(means),
    )


def _differences(first: _Summary, *others: _Summary) -> Table:
    compared = [method for method in others if any(other["differences"] for other in others)]
    return Table(
        title=f"Differences to {first['label']}",
        note=f"Paired: method minus `{first['label']}` on the same pairs, so above zero is worse than "
        f"`{first['label']}`. Bold where the interval excludes zero.",
        header=("method", *(title for title, _, _ in SHOWN)),
        rows=[[method["label"], *_intervals(method["differences"], "+")] for method in compared],
        best={
            (row, column)
            for row, method in enumerate(compared)
            for column, (_, name, _) in enumerate(SHOWN, start=1)
            if method["differences"] and _excludes_zero(**method["differences"][name])
        },
    )


def _excludes_zero(*, mean: float, low: float, high: float) -> bool:
    return low > 0 or high < 0


def _kinds(methods: Sequence[_Summary], kinds: Sequence[str]) -> Table:
    sads = [[method["kinds"].get(kind, {}).get("sad") for kind in kinds] for method in methods]
    rows = [
        [method["label"], *("" if sad is None else f"{sad:.2f}" for sad in row)]
        for method, row in zip(methods, sads, strict=True)
    ]
    return Table(
        title="SAD per kind of mask",
        note="Mean; the lowest is bold.",
        header=("method", *kinds),
        rows=rows if len(kinds) > 1 else [],
        best=_lowest(sads),
    )


def _costs(methods: Sequence[_Summary]) -> Table:
    return Table(
        title="Cost",
        note="Time of one pair (median) and peak memory of the process (largest); empty for mattes made elsewhere.",
        header=("method", "CPU time", "wall time", "peak memory", "pairs", "failed"),
        rows=[
            [
                method["label"],
                *(format_seconds(method[name]) for name in ("cpu_s", "wall_s")),
                format_bytes(method["peak_bytes"]),
                str(method["num_done"]),
                str(len(method["failures"])),
            ]
            for method in methods
        ],
    )


def _sizes(methods: Sequence[_Summary]) -> Table:
    found = {
        method["label"]: {
            f"{cost['megapixels']:.2g} MP": f"{format_seconds(cost['cpu_s'])}, {format_bytes(cost['peak_bytes'])}"
            for cost in method["costs"]
        }
        for method in methods
    }
    sizes = dict.fromkeys(size for cells in found.values() for size in cells)
    return Table(
        title="Cost by size",
        note="The first pair, resized: CPU time, peak memory.",
        header=("method", *sizes),
        rows=[[label, *(cells.get(size, "") for size in sizes)] for label, cells in found.items() if cells],
    )


def _failures(methods: Sequence[_Summary]) -> Table:
    return Table(
        title="Failures",
        header=("method", "photo", "mask", "reason"),
        rows=[[method["label"], *failure] for method in methods for failure in method["failures"]],
        text_columns=(0, 1, 2, 3),
    )


def _intervals(found: Mapping[str, Mapping[str, float]], sign: str = "") -> list[str]:
    """Mean and interval of each metric; empty cells where there are none."""
    return [
        "{mean:{0}} [{low:{0}}, {high:{0}}]".format(f"{sign}.{digits}f", **found[name]) if found else ""
        for _, name, digits in SHOWN
    ]


def _lowest(values: Sequence[Sequence[float | None]]) -> set[tuple[int, int]]:
    """(row, column) of the lowest value of each column; the row's name is column 0."""
    cells = set()
    for column, entries in enumerate(zip(*values, strict=True), start=1):
        known = [value for value in entries if value is not None]
        if known:
            cells.add((entries.index(min(known)), column))
    return cells


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
