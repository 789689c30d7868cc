"""An evaluation as text, Markdown or JSON: one row per kind of mask and their mean, the input masks' own errors beside.

Every form says by which protocol the numbers came about; they compare with others of the same protocol only.
"""

import json
from dataclasses import asdict
from typing import Any, Literal, TypeAlias

from mask2alpha.evaluation.benchmarks import EXACT_KIND
from mask2alpha.evaluation.metrics import CONNECTIVITY_THETA, GRADIENT_SIGMA, MatteScores
from mask2alpha.evaluation.runner import Evaluation

Style: TypeAlias = Literal["text", "markdown", "json"]

_COLUMNS = (("SAD", "sad", 2), ("MSE", "mse", 4), ("Grad", "grad", 2), ("Conn", "conn", 2))
_PROTOCOL = {
    "region": "whole image",
    "resolution": "original",
    "arithmetic": "float64, alphas not quantised",
    "sad": "sum of absolute differences / 1000",
    "mse": "mean squared difference",
    "grad": f"Adobe convention: Gaussian derivatives, sigma {GRADIENT_SIGMA}, L2-normalised, sum / 1000",
    "conn": f"Adobe convention: step 0.1, theta {CONNECTIVITY_THETA}, sum / 1000",
}


def format_report(evaluation: Evaluation, style: Style = "text") -> str:
    """The report in one of the three forms, without a final newline."""
    if style == "json":
        return json.dumps(_as_dict(evaluation), indent=2, ensure_ascii=False)
    table = _table(evaluation)
    lines = _align(table) if style == "text" else _as_markdown(table)
    return "\n".join([f"{evaluation.predictor or 'predictor'}", "", *lines, "", *_notes(evaluation)])


def _table(evaluation: Evaluation) -> list[list[str]]:
    header = ["mask", "N", *(title for title, _, _ in _COLUMNS), *(f"mask's {title}" for title, _, _ in _COLUMNS)]
    return [
        header,
        *(
            [
                kind or "mean",
                str(len(evaluation.select(kind))),
                *_numbers(evaluation.mean(kind)),
                *_numbers(evaluation.mask_mean(kind)),
            ]
            for kind in (*evaluation.kinds, None)
        ),
    ]


def _numbers(scores: MatteScores) -> list[str]:
    return [f"{getattr(scores, name):.{digits}f}" for _, name, digits in _COLUMNS]


def _align(table: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]


def _as_markdown(table: list[list[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(table[0]) - 1)]
    return ["| " + " | ".join(row) + " |" for row in (table[0], rule, *table[1:])]


def _notes(evaluation: Evaluation) -> list[str]:
    better, counted = evaluation.count_better()
    notes = []
    if counted:
        notes.append(
            f"Better than its mask (SAD): {better} of {counted} pairs, {100 * better / counted:.1f} % "
            f"(`{EXACT_KIND}` masks left out)."
        )
    notes.append(
        f"Protocol: {_PROTOCOL['region']}, {_PROTOCOL['resolution']} resolution, {_PROTOCOL['arithmetic']}; "
        f"SAD in thousands; Grad (sigma {GRADIENT_SIGMA}, / 1000) and Conn (step 0.1, theta {CONNECTIVITY_THETA}, "
        f"/ 1000) in the Adobe convention; {len(evaluation.pairs)} pairs; masks of {evaluation.benchmark}."
    )
    return notes


def _as_dict(evaluation: Evaluation) -> dict[str, Any]:
    better, counted = evaluation.count_better()
    means = {
        kind or "mean": {
            "num_pairs": len(evaluation.select(kind)),
            "scores": asdict(evaluation.mean(kind)),
            "mask_scores": asdict(evaluation.mask_mean(kind)),
        }
        for kind in (*evaluation.kinds, None)
    }
    return {
        "predictor": evaluation.predictor,
        "benchmark": evaluation.benchmark,
        "protocol": _PROTOCOL,
        "num_pairs": len(evaluation.pairs),
        "mean": means.pop("mean"),
        "kinds": means,
        "better_than_mask": {"metric": "sad", "left_out": EXACT_KIND, "num_better": better, "num_pairs": counted},
        "pairs": [asdict(pair) for pair in evaluation.pairs],
    }
