"""`mask2alpha ablate [BENCHMARK] ROOT --table 3|4|5`: the paper's ablations on a benchmark."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from mask2alpha.cli.benchmark_options import benchmark_options, format_option, open_chosen

if TYPE_CHECKING:
    from mask2alpha.evaluation.ablations import NamedModel, Table, Variant


def parse_steps(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """The numbers in "1,3,6"."""
    if value is None:
        return None
    try:
        steps = tuple(int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value}: expected numbers with commas between, such as 1,3,6") from error
    if min(steps) < 1:
        raise click.BadParameter(f"{value}: a number of steps is at least 1")
    return steps


@click.command()
@benchmark_options
@click.option(
    "--table",
    type=click.Choice(["3", "4", "5", "algorithm"]),
    required=True,
    help="Vary MGFSM (3), the number of steps (4), the detail stage (5), or the choices within Algorithm 2.",
)
@click.option(
    "--model",
    "sources",
    multiple=True,
    default=("small",),
    show_default=True,
    help="Shipped name, .safetensors file or folder, or hub id; repeat it for networks trained separately.",
)
@click.option("--steps", callback=parse_steps, metavar="N,...", help="Of table 4.  [default: 1,3,6,10,20]")
@click.option(
    "--error-threshold",
    type=click.FloatRange(0, 1),
    default=None,
    help="Predicted error above which SGSDR recomputes a pixel.  [default: each model's]",
)
@click.option(
    "--repeats", type=click.IntRange(min=0), default=5, show_default=True, help="Of the timing; 0 measures no times."
)
@click.option(
    "--timed-photos",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Photographs timed, the first ones.",
)
@click.option("--device", default=None, help="Where the network runs.  [default: cuda where there is one]")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Folder for one CSV file a row; a stopped run goes on from it, and tables share rows.",
)
@format_option
def command(
    benchmark: str,
    root: str | None,
    table: str,
    sources: tuple[str, ...],
    steps: tuple[int, ...] | None,
    kinds: str | None,
    recipes: str | None,
    mask_folder: Path | None,
    error_threshold: float | None,
    repeats: int,
    timed_photos: int,
    device: str | None,
    dtype: str,
    output: Path | None,
    style: Literal["text", "markdown", "json"],
) -> None:
    """Score a model with and without a part of the method on a benchmark.

    With one --model, parts are switched off at run time: nothing is trained again, unlike in the paper's tables. With
    several, each is run as it was trained. Table 4 varies the number of steps and times both the decoder's loop and the
    whole call. The paper's numbers stand beside ours.

    BENCHMARK is a published set's name as for `mask2alpha eval`, or left out: then ROOT holds image/NAME.png,
    alpha/NAME.png and mask/KIND/NAME.png.
    """
    import sys

    import torch

    from mask2alpha.evaluation.ablation_report import format_ablation
    from mask2alpha.evaluation.ablations import run_ablation

    number = cast("Table", table if table == "algorithm" else int(table))
    if steps is not None and number not in (4, "algorithm"):
        raise click.UsageError("--steps belongs to --table 4 and --table algorithm")
    opened = open_chosen(benchmark, root, kinds, recipes, mask_folder)
    ablation = run_ablation(
        number,
        plan(number, [load_named(source) for source in sources], steps),
        opened,
        device=device,
        dtype=getattr(torch, dtype),
        error_threshold=error_threshold,
        repeats=repeats,
        num_timed=timed_photos,
        output=output,
        has_progress=sys.stderr.isatty(),
    )
    click.echo(format_ablation(ablation, style))


def load_named(source: str) -> "NamedModel":
    """The model, its name without folders, and the start of its weights' hash."""
    from hashlib import sha256

    from mask2alpha.checkpoints import find_checkpoint, load_model
    from mask2alpha.evaluation.ablations import NamedModel

    path = find_checkpoint(source)
    return NamedModel(
        name=Path(source).name if Path(source).exists() else source,
        weights=sha256(path.read_bytes()).hexdigest()[:12],
        model=load_model(path),
    )


def plan(table: "Table", models: "list[NamedModel]", steps: tuple[int, ...] | None) -> "list[Variant]":
    """The rows of a table."""
    from mask2alpha.evaluation import ablations

    if table == 3:
        return ablations.plan_table_3(models)
    if table == 4:
        return ablations.plan_table_4(models, steps or ablations.PAPER_STEPS)
    if table == 5:
        return ablations.plan_table_5(models)
    return ablations.plan_algorithm(models, steps or ablations.ALGORITHM_STEPS)
