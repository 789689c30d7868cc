"""An evaluation as text, Markdown or JSON: a row for each kind of mask and their mean, beside the masks' own errors.

Every form states the protocol and the convention: numbers compare only with others of the same protocol and convention.
Where the paper has rows for the benchmark, they follow, marked as published.
"""

from dataclasses import asdict
from typing import Any

from mask2alpha.evaluation.benchmarks import EXACT_KIND, EXACT_TOLERANCE
from mask2alpha.evaluation.instances import ERRORS
from mask2alpha.evaluation.metrics import CONNECTIVITY_THETA, GRADIENT_SIGMA, Convention, MatteScores, Protocol
from mask2alpha.evaluation.paper import PUBLISHED, PublishedTable
from mask2alpha.evaluation.results import Evaluation
from mask2alpha.evaluation.tables import Style, Table, render_report

_METRICS = (("SAD", "sad"), ("MSE", "mse"), ("Grad", "grad"), ("Conn", "conn"))
_REGIONS: dict[Protocol, str] = {
    "whole": "whole image",
    "trimap-unknown": "unknown region of the benchmark's trimap",
    "him2k": "union of what is above zero in the prediction and in the truth, instance by instance",
}
_CONVENTIONS: dict[Convention, dict[str, str]] = {
    "adobe": {
        "name": "Adobe convention",
        "grad": f"Gaussian derivatives, sigma {GRADIENT_SIGMA}, L2-normalised, edges replicated, sum / 1000",
        "conn": f"step 0.1, theta {CONNECTIVITY_THETA}, sum / 1000",
    },
    "aim": {
        "name": "AIM convention",
        "grad": f"Gaussian derivatives, sigma {GRADIENT_SIGMA}, not normalised, edges mirrored, sum / 10",
        "conn": f"step 0.1, theta {CONNECTIVITY_THETA}, levels without a component passed over, sum / 1000",
    },
}


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


def _table(evaluation: Evaluation) -> Table:
    return Table(
        header=("mask", "N", *(title for title, _ in _METRICS), *(f"mask's {title}" for title, _ in _METRICS)),
        rows=tuple(
            (
                kind or "mean",
                str(len(evaluation.select(kind))),
                *_numbers(evaluation.mean(kind), evaluation.protocol),
                *_numbers(evaluation.mask_mean(kind), evaluation.protocol),
            )
            for kind in (*evaluation.kinds, None)
        ),
    )


def _size_table(evaluation: Evaluation) -> Table:
    """SAD per megapixel, which compares photos of different sizes, and how many pairs are worse than their masks."""
    rows = []
    for kind in (*evaluation.kinds, None):
        worse, counted = evaluation.count_worse(kind)
        sads = (scores.sad_per_megapixel for scores in (evaluation.mean(kind), evaluation.mask_mean(kind)))
        share = f"{100 * worse / counted:.1f} %" if counted else "-"
        rows.append((kind or "mean", *(f"{sad:.3f}" for sad in sads), f"{worse}/{counted}", share))
    return Table(header=("mask", "SAD/MP", "mask's SAD/MP", "worse than mask", "share"), rows=tuple(rows))


def _numbers(scores: MatteScores, protocol: Protocol) -> list[str]:
    digits = {"mse": 4} if protocol != "him2k" else {"mse": 4, "grad": 4, "conn": 4}
    return [f"{getattr(scores, name):.{digits.get(name, 2)}f}" for _, name in _METRICS]


def _instance_table(evaluation: Evaluation) -> Table:
    names = [error.upper() if error in ("mad", "mse") else error.capitalize() for error in ERRORS]
    rows = []
    for kind in (*evaluation.kinds, None):
        both = zip(evaluation.count_instances(kind), evaluation.count_instances(kind, of_masks=True), strict=True)
        for counts, mask_counts in both:
            positives = (counts.num_true_positives, counts.num_false_positives, counts.num_false_negatives)
            qualities = (*counts.imq.values(), *mask_counts.imq.values())
            numbers = (f"{counts.threshold:g}", *map(str, positives), *(f"{value:.4f}" for value in qualities))
            rows.append((kind or "all", *numbers))
    header = ("mask", "overlap", "TP", "FP", "FN", *names, *(f"mask's {name}" for name in names))
    return Table(header=header, rows=tuple(rows))


def _published_table(evaluation: Evaluation, published: PublishedTable) -> Table:
    kind = published.kind if published.kind in evaluation.kinds else None
    masks = kind or ("all kinds of masks" if len(evaluation.kinds) > 1 else evaluation.kinds[0])
    measured = (
        (evaluation.predictor or "predictor", evaluation.mean(kind)),
        ("the masks themselves", evaluation.mask_mean(kind)),
    )
    rows = [(name, f"measured here, {masks}", *_numbers(scores, evaluation.protocol)) for name, scores in measured]
    rows += [
        (row.method, "published", f"{row.sad:.2f}", f"{row.mse:.4f}", f"{row.grad:.2f}", f"{row.conn:.2f}")
        for row in published.rows
    ]
    header = ("method", "source", *(title for title, _ in _METRICS))
    return Table(header=header, rows=tuple(rows), text_columns=(0, 1))


def _notes(evaluation: Evaluation) -> list[str]:
    better, counted = evaluation.count_better()
    notes = []
    if counted:
        notes.append(
            f"Better than its mask (SAD): {better} of {counted} pairs, {100 * better / counted:.1f} % "
            f"(`{EXACT_KIND}` masks left out)."
        )
        worse, _ = evaluation.count_worse()
        notes.append(
            f"Worse than its mask (SAD): {worse} of {counted} pairs, {100 * worse / counted:.1f} % "
            f"(`{EXACT_KIND}` masks left out, in the row `mean` too)."
        )
    spoiled, num_exact = evaluation.count_spoiled()
    if num_exact:
        notes.append(
            f"SAD more than {EXACT_TOLERANCE:g} times that of the mask: {spoiled} of {num_exact} `{EXACT_KIND}` pairs."
        )
    notes.append("SAD/MP is SAD per megapixel: the mean absolute difference times 1000, pair by pair.")
    protocol = _describe_protocol(evaluation)
    notes.append(
        f"Protocol {evaluation.protocol}: {protocol['region']}, original resolution, float64, alphas not quantised; "
        f"SAD in thousands; MSE: {protocol['mse']}; Grad, {protocol['grad']}; Conn, {protocol['conn']}; "
        f"{len(evaluation.pairs)} pairs; {evaluation.mask_origin or f'masks of {evaluation.benchmark}'}."
    )
    if evaluation.title and evaluation.name != "folder":
        notes.append(f"Benchmark: {evaluation.title}, in {evaluation.benchmark}.")
    if _is_incomplete(evaluation):
        notes.append(
            f"Incomplete: {evaluation.num_images} of the {evaluation.official_count} photographs of {evaluation.title} "
            "are there, so that the numbers are not those of the whole benchmark."
        )
    return notes


def _is_incomplete(evaluation: Evaluation) -> bool:
    count = evaluation.official_count
    return count is not None and evaluation.num_images is not None and evaluation.num_images < count


def _as_dict(evaluation: Evaluation) -> dict[str, Any]:
    better, counted = evaluation.count_better()
    spoiled, num_exact = evaluation.count_spoiled()
    means = {
        kind or "mean": {
            "num_pairs": len(evaluation.select(kind)),
            "sad_per_megapixel": evaluation.mean(kind).sad_per_megapixel,
            "mask_sad_per_megapixel": evaluation.mask_mean(kind).sad_per_megapixel,
            "worse_than_mask": _describe_worse(evaluation, kind),
            "scores": asdict(evaluation.mean(kind)),
            "mask_scores": asdict(evaluation.mask_mean(kind)),
        }
        for kind in (*evaluation.kinds, None)
    }
    published = PUBLISHED.get(evaluation.name)
    return {
        "predictor": evaluation.predictor,
        "benchmark": evaluation.benchmark,
        "benchmark_name": evaluation.name,
        "title": evaluation.title,
        "num_images": evaluation.num_images,
        "official_count": evaluation.official_count,
        "is_incomplete": _is_incomplete(evaluation),
        "masks": evaluation.mask_origin or f"masks of {evaluation.benchmark}",
        "protocol": _describe_protocol(evaluation),
        "num_pairs": len(evaluation.pairs),
        "mean": means.pop("mean"),
        "kinds": means,
        "better_than_mask": {"metric": "sad", "left_out": EXACT_KIND, "num_better": better, "num_pairs": counted},
        "worse_than_mask": _describe_worse(evaluation, None),
        "exact_pairs": {"tolerance": EXACT_TOLERANCE, "num_above": spoiled, "num_pairs": num_exact},
        "instances": _describe_instances(evaluation),
        "published": None if published is None else {**asdict(published), "is_measured_here": False},
        "pairs": [asdict(pair) for pair in evaluation.pairs],
    }


def _describe_worse(evaluation: Evaluation, kind: str | None) -> dict[str, Any]:
    worse, counted = evaluation.count_worse(kind)
    return {"num_worse": worse, "num_pairs": counted, "share": worse / counted if counted else None}


def _describe_protocol(evaluation: Evaluation) -> dict[str, str]:
    convention = _CONVENTIONS[evaluation.convention]
    protocol = {
        "name": evaluation.protocol,
        "convention": evaluation.convention,
        "region": _REGIONS[evaluation.protocol],
        "resolution": "original",
        "arithmetic": "float64, alphas not quantised",
        "sad": "sum of absolute differences / 1000",
        "mse": "mean squared difference",
        "grad": f"{convention['name']}: {convention['grad']}",
        "conn": f"{convention['name']}: {convention['conn']}",
    }
    if evaluation.protocol == "him2k":
        protocol |= {
            "mse": "sum of squared differences / (pixels + 1)",
            "grad": f"{convention['name']}: {convention['grad'].rpartition(', ')[0]}, sum / (pixels + 1)",
            "conn": f"{convention['name']}: {convention['conn'].rpartition(', ')[0]}, sum / (pixels + 1)",
        }
    return protocol


def _describe_instances(evaluation: Evaluation) -> dict[str, Any] | None:
    if not evaluation.instances:
        return None
    return {
        kind or "all": [
            {**asdict(counts), "imq": counts.imq, "mask_imq": mask_counts.imq}
            for counts, mask_counts in zip(
                evaluation.count_instances(kind), evaluation.count_instances(kind, of_masks=True), strict=True
            )
        ]
        for kind in (*evaluation.kinds, None)
    }
