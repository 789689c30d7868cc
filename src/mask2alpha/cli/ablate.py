"""`mask2alpha ablate [BENCHMARK] ROOT --table 3|4|5`: the paper's ablations on a benchmark."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from mask2alpha.cli.benchmark_options import BenchmarkChoice, benchmark_options, format_option
from mask2alpha.cli.network_options import device_option, dtype_option, threshold_option
from mask2alpha.cli.progress_option import progress_option
from mask2alpha.model.config import DEFAULT_MODEL

if TYPE_CHECKING:
    from mask2alpha.evaluation.ablations import NamedModel, Table


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
    default=(DEFAULT_MODEL,),
    help="Model to score: a shipped name, a .safetensors file or folder, or a hub id. Repeat the option for networks "
    "that were trained separately.",
)
@click.option(
    "--steps",
    callback=parse_steps,
    metavar="N,...",
    help="Numbers of steps, for table 4 and for `algorithm`.  [default: 1,3,6,10,20; 10]",
)
@threshold_option
@click.option(
    "--repeats",
    type=click.IntRange(min=0),
    default=5,
    help="Number of repeats of the timing; 0 measures no times.",
)
@click.option(
    "--timed-photos",
    type=click.IntRange(min=1),
    default=3,
    help="Number of photos to time, from the first on.",
)
@device_option()
@dtype_option("float32")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for one CSV file per row. A stopped run continues from it, and tables share rows.",
)
@format_option
@progress_option
def command(
    chosen: BenchmarkChoice,
    table: str,
    sources: tuple[str, ...],
    steps: tuple[int, ...] | None,
    timed_photos: int,
    dtype: str,
    output: Path | None,
    style: Literal["text", "markdown", "json"],
    **settings: Any,
) -> None:
    """Score a model with and without a part of the method on a benchmark.

    With one --model, the command switches parts off at run time; unlike the paper, it trains nothing again. With
    several, it runs each as it was trained. Table 4 varies the number of steps and times the decoder's loop and the
    whole call. `algorithm` tries a sticky update and a random sampler. The report also has the paper's numbers.

    BENCHMARK is a name as for `mask2alpha eval`. Without it, ROOT holds image/NAME.png, alpha/NAME.png and
    mask/KIND/NAME.png.
    """
    import torch

    from mask2alpha.evaluation.ablation_report import format_ablation
    from mask2alpha.evaluation.ablations import plan_table, run_ablation
    from mask2alpha.imaging.targets import names_a_file

    if output is not None:
        names_a_file(output, ())
    number = cast("Table", table if table == "algorithm" else int(table))
    if steps is not None and number not in (4, "algorithm"):
        raise click.UsageError("--steps belongs to --table 4 and --table algorithm")
    ablation = run_ablation(
        number,
        plan_table(number, [load_named(source) for source in sources], steps),
        chosen.open(),
        dtype=getattr(torch, dtype),
        num_timed=timed_photos,
        output=output,
        **settings,
    )
    click.echo(format_ablation(ablation, style))


def load_named(source: str) -> "NamedModel":
    """The model, its name without folders, and the start of its weights' hash."""
    from mask2alpha.checkpoints import find_checkpoint, load_model
    from mask2alpha.evaluation.ablations import NamedModel
    from mask2alpha.imaging.made import digest

    path = find_checkpoint(source)
    return NamedModel(
        name=Path(source).name if Path(source).exists() else source,
        weights=digest(path)[:12],
        model=load_model(path),
    )
