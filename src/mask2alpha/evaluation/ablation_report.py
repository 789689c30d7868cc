"""An ablation as text, Markdown or JSON, with the paper's own table beside it, and what of the two may be compared."""

from dataclasses import asdict
from typing import Any

from mask2alpha.evaluation.ablations import Ablation, AblationRow, fit_line
from mask2alpha.evaluation.metrics import SHOWN, MatteScores
from mask2alpha.evaluation.paper import PUBLISHED_ABLATIONS, PublishedRow
from mask2alpha.evaluation.tables import Style, Table, render_report

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
    config, num_steps = row.variant.model.config, row.variant.num_steps
    keys: dict[int | str, str] = {
        3: "with" if config.encoder.has_guidance else "without",
        4: str(num_steps) if num_steps > 1 else "none",
        5: config.detail.selection,
    }
    return PUBLISHED_ABLATIONS[ablation.table].rows.get(keys.get(ablation.table, ""))


def list_notes(ablation: Ablation) -> list[str]:
    """What the numbers are and are not, one sentence or two each."""
    settings, published = ablation.settings, PUBLISHED_ABLATIONS[ablation.table]
    notes = [
        f"Measured: benchmark {settings['benchmark']}, means over {settings['num_pairs']} pairs, whole image, original "
        "resolution, SAD, Grad and Conn in thousands (Adobe convention); kinds of masks: "
        f"{', '.join(settings['kinds'])}. `vs last` is the row's SAD against that of the last row, the whole method; "
        "`better`: on how many pairs its SAD is lower.",
        f"`paper` columns are published numbers, not ours: {published.conditions}. Compare only the order of the rows "
        "and the relative changes."
        if published.rows
        else f"There are no `paper` columns: {published.conditions}.",
        _note_on_training(ablation),
    ]
    if ablation.table == 4:
        notes.append(
            "The paper's `none` was presumably trained without states; `1 (single pass)` is the same computation, by a "
            "network trained to iterate."
        )
    return notes + (_notes_on_time(ablation) if ablation.rows[0].times is not None else [])


def _note_on_training(ablation: Ablation) -> str:
    weights = {row.variant.source.weights: row.variant.source.name for row in ablation.rows}
    named = ", ".join(f"{name} (weights {start})" for start, name in weights.items())
    if len(weights) == 1:
        return (
            f"All rows are run-time switches of one training, {named}: nothing was trained again, unlike the paper's "
            "rows. A switch shows how much this network depends on a part."
        )
    return f"Rows come from separate trainings: {named}."


def _notes_on_time(ablation: Ablation) -> list[str]:
    settings = ablation.settings
    sizes = ", ".join(f"{width} x {height}" for height, width in settings["timed_sizes"])
    notes = [
        f"Times: medians of {settings['repeats']} interleaved repeats, in ms per photo and mask ({sizes} pixels, "
        f"masks: {settings['timed_masks']}), {settings['device']}, {settings['threads']} thread(s), "
        f"{settings['dtype']}, PyTorch {settings['torch']}. `loop` is the decoder's steps alone; `whole` is the call, "
        "from arrays to arrays, with encoding and detail."
    ]
    line = fit_times(ablation)
    if line is not None:
        paper = {int(key): row.seconds for key, row in PUBLISHED_ABLATIONS[4].rows.items() if row.seconds is not None}
        slope, constant = fit_line(list(paper), list(paper.values()))
        notes.append(
            f"A straight line through `loop`: {1000 * line[0]:.1f} ms a step and {1000 * line[1]:.1f} ms beside. The "
            f"paper's times: {1000 * slope:.1f} and {1000 * constant:.1f} ms, on hardware that it does not state."
        )
    return notes


def fit_times(ablation: Ablation) -> tuple[float, float] | None:
    """(seconds per step, seconds beside) of the reference model's loop; only for Table 4 with several counts."""
    rows = [
        (row.variant.num_steps, row.times.loop)
        for row in ablation.rows
        if row.times is not None and row.variant.source.weights == ablation.reference.variant.source.weights
    ]
    if ablation.table != 4 or len(rows) < 2:
        return None
    return fit_line([count for count, _ in rows], [seconds for _, seconds in rows])


def _table(ablation: Ablation) -> Table:
    masks = {"": "the mask itself", **_numbers(ablation.reference.evaluation.mask_mean())}
    rows = [masks, *(_cells(ablation, row) for row in ablation.rows)]
    header = list(dict.fromkeys(column for row in rows for column in row))
    return Table(header=header, rows=[[row.get(column, _NOTHING) for column in header] for row in rows])


def _cells(ablation: Ablation, row: AblationRow) -> dict[str, str]:
    """The cells of one row by their columns; of the paper's columns, those that its table has."""
    scores, whole = row.evaluation.mean(), ablation.reference.evaluation.mean()
    better, total = ablation.count_better(row)
    cells = {"": row.variant.label, **_numbers(scores), "vs last": _change(scores.sad, whole.sad)}
    cells["better"] = _NOTHING if row is ablation.reference else f"{better}/{total}"
    if row.times is not None:
        cells |= {"loop ms": f"{1000 * row.times.loop:.1f}", "whole ms": f"{1000 * row.times.whole:.1f}"}
    reference, published = PUBLISHED_ABLATIONS[ablation.table].reference, find_published(ablation, row)
    if reference is None:
        return cells
    for title, name, digits in SHOWN:
        if getattr(reference, name) is not None:
            is_percent = name == "mse" and reference.mse is not None and reference.mse >= 1  # as the paper prints it
            number = None if published is None else getattr(published, name)
            cells[f"paper {title}"] = _format(number, 2 if is_percent else digits)
    cells["paper vs last"] = _NOTHING if published is None else _change(published.sad, reference.sad)
    if reference.seconds is not None:
        seconds = None if published is None else published.seconds
        cells["paper ms"] = _format(None if seconds is None else 1000 * seconds, 0)
    return cells


def _numbers(scores: MatteScores) -> dict[str, str]:
    return {title: f"{getattr(scores, name):.{digits}f}" for title, name, digits in SHOWN}


def _format(number: float | None, digits: int) -> str:
    return _NOTHING if number is None else f"{number:.{digits}f}"


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
        "published": _published_as_dict(find_published(ablation, row)),
    }


def _published_as_dict(row: PublishedRow | None) -> dict[str, Any] | None:
    return None if row is None else {name: value for name, value in asdict(row).items() if name != "method"}
