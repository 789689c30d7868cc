"""An evaluation as text, Markdown or JSON: a row for each kind of mask and their mean, beside the masks' own errors.

Every form states the protocol and the convention: numbers compare only with others of the same protocol and convention.
If the paper has rows for the benchmark, they follow, marked as published.
"""

from dataclasses import asdict
from typing import Any

from mask2alpha.evaluation.benchmarks import EXACT_KIND, EXACT_TOLERANCE
from mask2alpha.evaluation.instances import ERRORS
from mask2alpha.evaluation.metrics import CONNECTIVITY_THETA, GRADIENT_SIGMA, SHOWN, Convention, MatteScores, Protocol
from mask2alpha.evaluation.paper import PUBLISHED, PublishedTable
from mask2alpha.evaluation.results import Evaluation
from mask2alpha.evaluation.tables import Style, Table, render_report

_REGIONS: dict[Protocol, str] = {
    "whole": "whole image",
    "trimap-unknown": "unknown region of the benchmark's trimap",
    "him2k": "union of what is above zero in the prediction and in the truth, instance by instance",
}
_CONVENTIONS: dict[Convention, tuple[str, str, str, str]] = {
    "adobe": (
        "Adobe convention",
        f"Gaussian derivatives, sigma {GRADIENT_SIGMA}, L2-normalised, edges replicated",
        f"step 0.1, theta {CONNECTIVITY_THETA}",
        "sum / 1000",
    ),
    "aim": (
        "AIM convention",
        f"Gaussian derivatives, sigma {GRADIENT_SIGMA}, not normalised, edges mirrored",
        f"step 0.1, theta {CONNECTIVITY_THETA}, levels without a component skipped",
        "sum / 10",
    ),
}
"""The name, how Grad and Conn are computed, and the unit of Grad."""
_TITLES = [title for title, _, _ in SHOWN]


def format_report(evaluation: Evaluation, style: Style = "text") -> str:
    """The report in one of the three forms, without a final newline."""
    blocks: list[Table | str] = [
        evaluation.predictor or "predictor",
        _table(evaluation),
        _size_table(evaluation),
        "\n".join(_notes(evaluation)),
    ]
    if evaluation.instances:
        blocks += ["Instance matting quality (IMQ), higher is better, 1 is perfect:", _instance_table(evaluation)]
    published = PUBLISHED.get(evaluation.name)
    if published is not None:
        blocks += [f"Beside the paper ({published.source}):", _published_table(evaluation, published)]
        blocks.append(f"Known of the published rows: {published.known}.\nNot known: {published.unknown}.")
    return render_report(blocks, _as_dict(evaluation), style)


def _kinds_and_all(evaluation: Evaluation) -> tuple[str | None, ...]:
    """Each kind of mask, and None for all of them."""
    return (*evaluation.kinds, None)


def _table(evaluation: Evaluation) -> Table:
    rows = []
    for kind in _kinds_and_all(evaluation):
        numbers = (_numbers(scores, evaluation) for scores in (evaluation.mean(kind), evaluation.mask_mean(kind)))
        rows.append([kind or "mean", str(len(evaluation.select(kind))), *(cell for cells in numbers for cell in cells)])
    return Table(header=["mask", "N", *_TITLES, *(f"mask's {title}" for title in _TITLES)], rows=rows)


def _size_table(evaluation: Evaluation) -> Table:
    """SAD per megapixel, which compares photos of different sizes, and how many pairs are worse than their masks."""
    rows = []
    for kind in _kinds_and_all(evaluation):
        worse, counted = evaluation.count_worse(kind)
        sads = (scores.sad_per_megapixel for scores in (evaluation.mean(kind), evaluation.mask_mean(kind)))
        share = f"{100 * worse / counted:.1f} %" if counted else "-"
        rows.append([kind or "mean", *(f"{sad:.3f}" for sad in sads), f"{worse}/{counted}", share])
    return Table(header=["mask", "SAD/MP", "mask's SAD/MP", "worse than mask", "share"], rows=rows)


def _instance_table(evaluation: Evaluation) -> Table:
    names = [error.upper() if error in ("mad", "mse") else error.capitalize() for error in ERRORS]
    rows = []
    for kind, counts, mask_counts in _instances(evaluation):
        positives = (counts.num_true_positives, counts.num_false_positives, counts.num_false_negatives)
        qualities = (*counts.imq.values(), *mask_counts.imq.values())
        rows.append([kind, f"{counts.threshold:g}", *map(str, positives), *(f"{value:.4f}" for value in qualities)])
    header = ["mask", "overlap", "TP", "FP", "FN", *names, *(f"mask's {name}" for name in names)]
    return Table(header=header, rows=rows)


def _instances(evaluation: Evaluation) -> list[tuple[str, Any, Any]]:
    """(kind or `all`, the predictions' counts, the masks' counts) for each kind and threshold."""
    return [
        (kind or "all", counts, mask_counts)
        for kind in _kinds_and_all(evaluation)
        for counts, mask_counts in zip(
            evaluation.count_instances(kind), evaluation.count_instances(kind, of_masks=True), strict=True
        )
    ]


def _published_table(evaluation: Evaluation, published: PublishedTable) -> Table:
    kind = published.kind if published.kind in evaluation.kinds else None
    masks = kind or ("all kinds of masks" if len(evaluation.kinds) > 1 else evaluation.kinds[0])
    measured = (
        (evaluation.predictor or "predictor", evaluation.mean(kind)),
        ("the masks themselves", evaluation.mask_mean(kind)),
    )
    rows = [[name, f"measured here, {masks}", *_numbers(scores, evaluation)] for name, scores in measured]
    rows += [
        [row.method, "published", *(f"{getattr(row, name):.{digits}f}" for _, name, digits in SHOWN)]
        for row in published.rows
    ]
    return Table(header=["method", "source", *_TITLES], rows=rows, text_columns=(0, 1))


def _numbers(scores: MatteScores, evaluation: Evaluation) -> list[str]:
    means = ("grad", "conn") if evaluation.protocol == "him2k" else ()  # sums otherwise
    return [f"{getattr(scores, name):.{4 if name in means else digits}f}" for _, name, digits in SHOWN]


def _notes(evaluation: Evaluation) -> list[str]:
    notes = []
    for word, (found, counted) in (("Better", evaluation.count_better()), ("Worse", evaluation.count_worse())):
        if counted:
            left_out = f"`{EXACT_KIND}` masks left out" + (", in the row `mean` too" if word == "Worse" else "")
            share = 100 * found / counted
            notes.append(f"{word} than its mask (SAD): {found} of {counted} pairs, {share:.1f} % ({left_out}).")
    spoiled, num_exact = evaluation.count_spoiled()
    if num_exact:
        notes.append(
            f"SAD more than {EXACT_TOLERANCE:g} times that of the mask: {spoiled} of {num_exact} `{EXACT_KIND}` pairs."
        )
    protocol = _describe_protocol(evaluation)
    notes += [
        "SAD/MP is SAD per megapixel: the mean absolute difference times 1000, pair by pair.",
        f"Protocol {evaluation.protocol}: {protocol['region']}, original resolution, float64, alphas not quantised; "
        f"SAD in thousands; MSE: {protocol['mse']}; Grad, {protocol['grad']}; Conn, {protocol['conn']}; "
        f"{len(evaluation.pairs)} pairs; {_mask_origin(evaluation)}.",
    ]
    if evaluation.title and evaluation.name != "folder":
        notes.append(f"Benchmark: {evaluation.title}, in {evaluation.benchmark}.")
    if _is_incomplete(evaluation):
        notes.append(
            f"Incomplete: {evaluation.num_images} of the {evaluation.official_count} photos of {evaluation.title} "
            "are there, so the numbers are not those of the whole benchmark."
        )
    return notes


def _mask_origin(evaluation: Evaluation) -> str:
    return evaluation.mask_origin or f"masks of {evaluation.benchmark}"


def _is_incomplete(evaluation: Evaluation) -> bool:
    count, expected = evaluation.num_images, evaluation.official_count
    return count is not None and expected is not None and count < expected


def _describe_protocol(evaluation: Evaluation) -> dict[str, str]:
    name, gradient, connectivity, unit = _CONVENTIONS[evaluation.convention]
    is_mean = evaluation.protocol == "him2k"
    mean = "sum / (pixels + 1)"
    return {
        "name": evaluation.protocol,
        "convention": evaluation.convention,
        "region": _REGIONS[evaluation.protocol],
        "resolution": "original",
        "arithmetic": "float64, alphas not quantised",
        "sad": "sum of absolute differences / 1000",
        "mse": "sum of squared differences / (pixels + 1)" if is_mean else "mean squared difference",
        "grad": f"{name}: {gradient}, {mean if is_mean else unit}",
        "conn": f"{name}: {connectivity}, {mean if is_mean else 'sum / 1000'}",
    }


def _as_dict(evaluation: Evaluation) -> dict[str, Any]:
    better, counted = evaluation.count_better()
    spoiled, num_exact = evaluation.count_spoiled()
    instances: dict[str, list[dict[str, Any]]] = {}
    for kind, counts, mask_counts in _instances(evaluation) if evaluation.instances else []:
        quality = list(asdict(counts.quality).values())
        row = {**asdict(counts), "quality": quality, "imq": counts.imq, "mask_imq": mask_counts.imq}
        instances.setdefault(kind, []).append(row)
    published = PUBLISHED.get(evaluation.name)
    return {
        "predictor": evaluation.predictor,
        "benchmark": evaluation.benchmark,
        "benchmark_name": evaluation.name,
        "title": evaluation.title,
        "num_images": evaluation.num_images,
        "official_count": evaluation.official_count,
        "is_incomplete": _is_incomplete(evaluation),
        "masks": _mask_origin(evaluation),
        "protocol": _describe_protocol(evaluation),
        "num_pairs": len(evaluation.pairs),
        "mean": _means(evaluation, None),
        "kinds": {kind: _means(evaluation, kind) for kind in evaluation.kinds},
        "better_than_mask": {"metric": "sad", "left_out": EXACT_KIND, "num_better": better, "num_pairs": counted},
        "worse_than_mask": _describe_worse(evaluation, None),
        "exact_pairs": {"tolerance": EXACT_TOLERANCE, "num_above": spoiled, "num_pairs": num_exact},
        "instances": instances or None,
        "published": None if published is None else {**asdict(published), "is_measured_here": False},
        "pairs": [asdict(pair) for pair in evaluation.pairs],
    }


def _means(evaluation: Evaluation, kind: str | None) -> dict[str, Any]:
    scores, mask_scores = evaluation.mean(kind), evaluation.mask_mean(kind)
    return {
        "num_pairs": len(evaluation.select(kind)),
        "sad_per_megapixel": scores.sad_per_megapixel,
        "mask_sad_per_megapixel": mask_scores.sad_per_megapixel,
        "worse_than_mask": _describe_worse(evaluation, kind),
        "scores": asdict(scores),
        "mask_scores": asdict(mask_scores),
    }


def _describe_worse(evaluation: Evaluation, kind: str | None) -> dict[str, Any]:
    worse, counted = evaluation.count_worse(kind)
    return {"num_worse": worse, "num_pairs": counted, "share": worse / counted if counted else None}
