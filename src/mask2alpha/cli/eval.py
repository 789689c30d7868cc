"""`mask2alpha eval ROOT`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

DEFAULT_MODEL = "small"
MASK_MODEL = "mask"
"""The name under which the input masks themselves are evaluated."""


@click.command()
@click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--model",
    default=None,
    help="Shipped name, .safetensors file, folder or hub id; `mask` scores the input masks.  [default: small]",
)
@click.option(
    "--predictions",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Score the mattes KIND/NAME.png in this folder instead of a model's.",
)
@click.option("--kinds", default=None, metavar="KIND,...", help="Kinds of masks, in this order.  [default: all]")
@click.option("--steps", "num_steps", type=click.IntRange(min=1), default=None, help="Decoding steps.")
@click.option(
    "--error-threshold",
    type=click.FloatRange(0, 1),
    default=None,
    help="Predicted error above which a pixel is recomputed at full resolution.",
)
@click.option("--active-budget", type=click.IntRange(min=0), default=None, help="Most pixels recomputed per mask.")
@click.option("--device", default=None, help="Where the network runs.  [default: cuda where there is one]")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="The network's arithmetic; scores are always computed in float64.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="CSV file with one row a pair; a stopped run goes on from it.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "markdown", "json"]),
    default="text",
    show_default=True,
    help="Form of the report on the standard output.",
)
def command(
    root: Path,
    model: str | None,
    predictions: Path | None,
    kinds: str | None,
    num_steps: int | None,
    error_threshold: float | None,
    active_budget: int | None,
    device: str | None,
    dtype: str,
    output: Path | None,
    style: Literal["text", "markdown", "json"],
) -> None:
    """Score a model on the photographs, true alphas and guidance masks in ROOT.

    ROOT holds image/NAME.png, alpha/NAME.png and mask/KIND/NAME.png. Reported are SAD, MSE, Grad and Conn over the
    whole image per kind of mask, beside what the input mask itself would score.
    """
    import sys

    if model is not None and predictions is not None:
        raise click.UsageError("--model and --predictions exclude each other")

    from mask2alpha.evaluation.benchmarks import GuidedFolder
    from mask2alpha.evaluation.report import format_report
    from mask2alpha.evaluation.runner import evaluate, evaluate_predictions, predict_masks

    chosen = None if kinds is None else [kind.strip() for kind in kinds.split(",") if kind.strip()]
    benchmark = GuidedFolder(root, chosen)
    has_progress = sys.stderr.isatty()
    if predictions is not None:
        evaluation = evaluate_predictions(predictions, benchmark, output=output, has_progress=has_progress)
    else:
        if model == MASK_MODEL:
            predict, about = predict_masks, "the masks themselves"
        else:
            predict, about = _load(model or DEFAULT_MODEL, num_steps, error_threshold, active_budget, device, dtype)
        evaluation = evaluate(predict, benchmark, predictor=about, output=output, has_progress=has_progress)
    click.echo(format_report(evaluation, style))


def _load(
    model: str,
    num_steps: int | None,
    error_threshold: float | None,
    active_budget: int | None,
    device: str | None,
    dtype: str,
) -> tuple[Callable[..., Any], str]:
    """The predictor, and what it is in words: the same words mean the same weights and settings."""
    from hashlib import sha256

    import torch

    from mask2alpha.checkpoints import find_checkpoint, load_model
    from mask2alpha.evaluation.runner import use_predictor
    from mask2alpha.pipeline.predictor import Predictor

    path = find_checkpoint(model)
    predictor = Predictor(
        load_model(path),
        device=device,
        dtype=getattr(torch, dtype),
        num_steps=num_steps,
        error_threshold=error_threshold,
        active_budget=active_budget,
    )
    config = predictor.model.config
    steps = config.decoder.num_steps if num_steps is None else num_steps
    threshold = config.detail.error_threshold if error_threshold is None else error_threshold
    about = [
        f"{model} (weights {sha256(path.read_bytes()).hexdigest()[:12]})",
        f"{steps} steps",
        f"error threshold {threshold:g}",
        "no active budget" if active_budget is None else f"active budget {active_budget}",
        f"{dtype} on {predictor.device.type}",
    ]
    return use_predictor(predictor), ", ".join(about)
