"""An ablation as text, Markdown or JSON, with the paper's own table beside it, and what of the two may be compared."""

from dataclasses import asdict
from typing import Any

from mask2alpha.evaluation.ablations import Ablation, AblationRow, fit_line
from mask2alpha.evaluation.paper import PUBLISHED_ABLATIONS, PublishedAblation, PublishedRow
from mask2alpha.evaluation.tables import Style, Table, render_report

_METRICS = (("SAD", "sad", 2), ("MSE", "mse", 4), ("Grad", "grad", 2), ("Conn", "conn", 2))
_NOTHING = "-"


def format_ablation(ablation: Ablation, style: Style = "text") -> str:
    """The table in one of the three forms, without a final newline."""
    bullet = "- " if style == "markdown" else ""
    name = "Algorithm 2" if ablation.table == "algorithm" else f"Table {ablation.table}"
    title = f"{name}: {PUBLISHED_ABLATIONS[ablation.table].caption}"
    notes = "\n".join(f"{bullet}{note}" for note in list_notes(ablation))
    return render_report([title, _table(ablation), notes], _as_dict(ablation), style)


def find_published(ablation: Ablation, row: AblationRow) -> PublishedRow | None:
    """The paper's row that corresponds to one of ours; a single pass corresponds to "none"."""
    config = row.variant.model.config
    if ablation.table == 3:
        key = "with" if config.encoder.has_guidance else "without"
    elif ablation.table == 4:
        key = str(row.variant.num_steps) if row.variant.num_steps > 1 else "none"
    elif ablation.table == 5:
        key = config.detail.selection
    else:
        return None
    return PUBLISHED_ABLATIONS[ablation.table].rows.get(key)


def list_notes(ablation: Ablation) -> list[str]:
    """What the numbers are and are not, one sentence or two each."""
    settings = ablation.settings
    published = PUBLISHED_ABLATIONS[ablation.table]
    notes = [
        f"Measured: benchmark {settings['benchmark']}, means over {settings['num_pairs']} pairs, whole image, original "
        "resolution, SAD, Grad and Conn in thousands (Adobe convention); kinds of masks: "
        f"{', '.join(settings['kinds'])}. `vs last` is the row's SAD against that of the last row, the whole method; "
        "`better`: on how many pairs its SAD is lower.",
        _note_on_paper(published),
        _note_on_training(ablation),
    ]
    if ablation.table == 4:
        notes.append(
            "The paper's `none` was presumably trained without states; `1 (single pass)` is the same computation, by a "
            "network trained to iterate."
        )
    if ablation.rows[0].times is not None:
        notes += _notes_on_time(ablation)
    return notes


def _note_on_paper(published: PublishedAblation) -> str:
    if not published.rows:
        return f"There are no `paper` columns: {published.conditions}."
    return (
        f"`paper` columns are published numbers, not ours: {published.conditions}. Only the order of the rows and the "
        "relative changes can be compared; other photographs, masks, training data and network sizes make the numbers "
        "themselves incomparable."
    )


def _note_on_training(ablation: Ablation) -> str:
    weights = {row.variant.source.weights: row.variant.source.name for row in ablation.rows}
    named = ", ".join(f"{name} (weights {start})" for start, name in weights.items())
    if len(weights) == 1:
        return (
            f"All rows are run-time switches of one training, {named}: nothing was trained again, unlike the paper's "
            "rows. A switch shows how much this network leans on the part, not what one trained without it can do."
        )
    return f"Rows come from separate trainings: {named}."


def _notes_on_time(ablation: Ablation) -> list[str]:
    settings = ablation.settings
    sizes = ", ".join(f"{width} x {height}" for height, width in settings["timed_sizes"])
    notes = [
        f"Times: medians of {settings['repeats']} interleaved repeats, in ms per photograph and mask ({sizes} pixels, "
        f"masks: {settings['timed_masks']}), {settings['device']}, {settings['threads']} thread(s), "
        f"{settings['dtype']}, PyTorch {settings['torch']}. `loop` is the decoder's steps alone; `whole` is the call, "
        "from arrays to arrays, with encoding and detail.",
    ]
    line = fit_times(ablation)
    if line is not None:
        paper = [(int(key), row.seconds) for key, row in PUBLISHED_ABLATIONS[4].rows.items() if row.seconds is not None]
        slope, constant = fit_line([count for count, _ in paper], [seconds for _, seconds in paper])
        notes.append(
            f"A straight line through `loop`: {1000 * line[0]:.1f} ms a step and {1000 * line[1]:.1f} ms beside. The "
            f"paper's times: {1000 * slope:.1f} and {1000 * constant:.1f} ms, on hardware that it does not state."
        )
    return notes


def fit_times(ablation: Ablation) -> tuple[float, float] | None:
    """(seconds per step, seconds beside) of the reference model's loop; None but for Table 4 with several counts."""
    rows = [
        (row.variant.num_steps, row.times.loop)
        for row in ablation.rows
        if row.times is not None and row.variant.source.weights == ablation.reference.variant.source.weights
    ]
    if ablation.table != 4 or len(rows) < 2:
        return None
    return fit_line([count for count, _ in rows], [seconds for _, seconds in rows])


def _table(ablation: Ablation) -> Table:
    reference = PUBLISHED_ABLATIONS[ablation.table].reference
    paper_metrics = [metric for metric in _METRICS if getattr(reference, metric[1], None) is not None]
    has_paper_times = reference is not None and reference.seconds is not None
    header = ["", *(title for title, _, _ in _METRICS), "vs last", "better"]
    header += ["loop ms", "whole ms"] if ablation.rows[0].times is not None else []
    header += [*(f"paper {title}" for title, _, _ in paper_metrics), *(["paper vs last"] if reference else [])]
    header += ["paper ms"] if has_paper_times else []
    masks = ablation.reference.evaluation.mask_mean()
    first = ["the mask itself", *(f"{getattr(masks, name):.{digits}f}" for _, name, digits in _METRICS)]
    first += [_NOTHING] * (len(header) - len(first))
    rows = [_row_cells(ablation, row, paper_metrics, has_paper_times=has_paper_times) for row in ablation.rows]
    return Table(header=tuple(header), rows=(tuple(first), *map(tuple, rows)))


def _row_cells(
    ablation: Ablation, row: AblationRow, paper_metrics: list[tuple[str, str, int]], *, has_paper_times: bool
) -> list[str]:
    scores, whole = row.evaluation.mean(), ablation.reference.evaluation.mean()
    better, total = ablation.count_better(row)
    cells = [row.variant.label, *(f"{getattr(scores, name):.{digits}f}" for _, name, digits in _METRICS)]
    cells += [_change(scores.sad, whole.sad), _NOTHING if row is ablation.reference else f"{better}/{total}"]
    if row.times is not None:
        cells += [f"{1000 * row.times.loop:.1f}", f"{1000 * row.times.whole:.1f}"]
    reference, published = PUBLISHED_ABLATIONS[ablation.table].reference, find_published(ablation, row)
    if reference is None:
        return cells
    if published is None:
        return cells + [_NOTHING] * (len(paper_metrics) + 1 + has_paper_times)
    cells += [f"{getattr(published, name):.{_digits(name, published)}f}" for _, name, _ in paper_metrics]
    cells.append(_change(published.sad, reference.sad))
    if has_paper_times:
        cells.append(_NOTHING if published.seconds is None else f"{1000 * published.seconds:.0f}")
    return cells


def _digits(metric: str, published: PublishedRow) -> int:
    """Decimals as the paper prints them."""
    return 4 if metric == "mse" and published.mse is not None and published.mse < 1 else 2


def _change(value: float, reference: float) -> str:
    return _NOTHING if reference == 0 else f"{100 * (value / reference - 1):+.1f} %"


def _as_dict(ablation: Ablation) -> dict[str, Any]:
    line = fit_times(ablation)
    published = PUBLISHED_ABLATIONS[ablation.table]
    return {
        "table": ablation.table,
        "caption": published.caption,
        "settings": ablation.settings,
        "mask_scores": asdict(ablation.reference.evaluation.mask_mean()),
        "rows": [_row_as_dict(ablation, row) for row in ablation.rows],
        "loop_line": None if line is None else {"seconds_per_step": line[0], "seconds_beside": line[1]},
        "published": {
            "is_published": True,
            "conditions": published.conditions,
            "rows": {key: _published_as_dict(row) for key, row in published.rows.items()},
        },
        "notes": list_notes(ablation),
    }


def _row_as_dict(ablation: Ablation, row: AblationRow) -> dict[str, Any]:
    published = find_published(ablation, row)
    better, total = ablation.count_better(row)
    return {
        "label": row.variant.label,
        "model": row.variant.source.name,
        "weights": row.variant.source.weights,
        "num_steps": row.variant.num_steps,
        "is_reference": row.variant.is_reference,
        "is_switched": row.variant.is_switched,
        "scores": asdict(row.evaluation.mean()),
        "scores_by_kind": {kind: asdict(row.evaluation.mean(kind)) for kind in row.evaluation.kinds},
        "better_than_reference": {"metric": "sad", "num_better": better, "num_pairs": total},
        "times": None if row.times is None else asdict(row.times),
        "published": None if published is None else _published_as_dict(published),
    }


def _published_as_dict(row: PublishedRow) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name != "method"}
