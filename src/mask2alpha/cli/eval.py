"""`mask2alpha eval BENCHMARK ROOT` and `mask2alpha eval ROOT`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from mask2alpha.cli.benchmark_options import BenchmarkChoice, benchmark_options, format_option
from mask2alpha.cli.network_options import (
    budget_option,
    device_option,
    dtype_option,
    steps_option,
    threshold_option,
    trust_option,
)
from mask2alpha.cli.progress_option import progress_option
from mask2alpha.errors import InputError
from mask2alpha.model.config import DEFAULT_MODEL

if TYPE_CHECKING:
    from mask2alpha.evaluation.benchmarks import Segment

MASK_MODEL = "mask"
"""The name under which the input masks themselves are evaluated."""


@click.command()
@benchmark_options
@click.option(
    "--model",
    help="Score this model: a shipped name, a .safetensors file or folder, or a hub id. `mask` scores the masks "
    "themselves.  [default: base]",
)
@click.option(
    "--predictions",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Score the mattes KIND/NAME.png in this folder instead of a model.",
)
@click.option(
    "--segmenter",
    metavar="MODULE:FUNCTION",
    help="Make the masks from the photos with this Python function of yours.",
)
@click.option(
    "--protocol",
    type=click.Choice(["whole", "trimap-unknown", "him2k"]),
    default="whole",
    help="Score every pixel, the unknown region of a trimap, or instances as HIM2K does.",
)
@click.option(
    "--convention",
    type=click.Choice(["adobe", "aim"]),
    default="adobe",
    help="Compute Grad and Conn as Deep Image Matting (adobe) or as AIM, GFM and P3M (aim) do.",
)
@trust_option
@click.option(
    "--band",
    type=click.IntRange(min=1),
    help="Turn each mask into a trimap that is open up to this many pixels from its border, with the mask under it.",
)
@steps_option
@threshold_option
@budget_option()
@device_option()
@dtype_option("float32", note=" Scores are always computed in float64.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV file to write, one row per photo and mask. A stopped run continues from it. If pyarrow is installed, the "
    "command also writes a .parquet file.",
)
@format_option
@progress_option
def command(
    chosen: BenchmarkChoice,
    model: str | None,
    predictions: Path | None,
    segmenter: str | None,
    protocol: Literal["whole", "trimap-unknown", "him2k"],
    convention: Literal["adobe", "aim"],
    output: Path | None,
    style: Literal["text", "markdown", "json"],
    **settings: Any,
) -> None:
    """Score a model on the photos, true alphas and guidance masks in the folder ROOT.

    BENCHMARK is aim-500, am-2k, p3m-500-np, p3m-500-p, m-him2k, him2k, composition-1k, ppm-100 or alphamatting, in the
    layout of its authors (see docs/evaluation.md), or folder. Without BENCHMARK, ROOT holds image/NAME.png,
    alpha/NAME.png and mask/KIND/NAME.png.

    The report has SAD, MSE, Grad, Conn and SAD per megapixel for each kind of mask, the scores of the masks themselves,
    the share of pairs that are worse than their masks and, where the paper has them, the published rows.
    """
    if model is not None and predictions is not None:
        raise click.UsageError("--model and --predictions exclude each other")
    if output is not None and output.suffix.lower() not in ("", ".csv"):
        raise click.UsageError(
            f"--output: cannot write {output.suffix}; accepted: .csv, with a .parquet file beside it"
        )
    segmenters = {} if segmenter is None else {segmenter.replace(":", "."): _import_segmenter(segmenter)}
    opened = chosen.open(segmenters)

    from mask2alpha.checkpoints import find_checkpoint
    from mask2alpha.evaluation.report import format_report
    from mask2alpha.evaluation.results import parquet_path, write_parquet
    from mask2alpha.evaluation.runner import evaluate, evaluate_predictions, list_outputs, predict_masks
    from mask2alpha.imaging.targets import check_inputs_stay

    options: dict[str, Any] = {
        "output": output,
        "protocol": protocol,
        "convention": convention,
    }
    if predictions is not None:
        evaluation = evaluate_predictions(predictions, opened, **options)
    else:
        if model == MASK_MODEL:
            predict, about = predict_masks, "the masks themselves"
        else:
            if output is not None:
                check_inputs_stay(list_outputs(output), [find_checkpoint(model or DEFAULT_MODEL)])
            predict, about = _load(model or DEFAULT_MODEL, **settings)
        evaluation = evaluate(predict, opened, predictor=about, **options)
    if output is not None:
        write_parquet(evaluation, parquet_path(output))
    click.echo(format_report(evaluation, style))


def _import_segmenter(text: str) -> "Segment":
    """The function that `MODULE:FUNCTION` names; modules in the current folder are found too."""
    import sys
    from importlib import import_module

    module, _, function = text.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"segmenter: {text} cannot be imported: {error}; expected MODULE:FUNCTION") from error
    finally:
        sys.path.pop(0)
    if not callable(found):
        raise InputError(f"segmenter: {text} is not a function")
    segment: Segment = found
    return segment


def _load(model: str, *, band: int | None, **settings: Any) -> tuple[Callable[..., Any], str]:
    """The predictor, and what it is in words: the same words mean the same weights and settings."""
    from mask2alpha.checkpoints import find_checkpoint
    from mask2alpha.cli.matte import build_predictor
    from mask2alpha.evaluation.runner import use_predictor
    from mask2alpha.imaging.made import digest

    path = find_checkpoint(model)
    predictor = build_predictor(str(path), **settings)
    config, trust, budget = predictor.model.config, settings["trust"], settings["active_budget"]
    steps, threshold = predictor.options.num_steps, predictor.options.error_threshold
    about = [
        f"{model} (weights {digest(path)[:12]})",
        *([] if trust is None else [f"trust {trust:g}"]),
        *([] if band is None else [f"band of {band} pixels"]),
        f"{config.decoder.num_steps if steps is None else steps} steps",
        f"error threshold {config.detail.error_threshold if threshold is None else threshold:g}",
        "no active budget" if budget is None else f"active budget {budget}",
        f"{settings['dtype']} on {predictor.device.type}",
    ]
    return use_predictor(predictor, band=band), ", ".join(about)
