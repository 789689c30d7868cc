"""`mask2alpha batch`: a manifest of photos and masks in, mattes and a table of results out."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mask2alpha.cli.mask_options import mask_options
from mask2alpha.cli.matte import parse_kinds
from mask2alpha.cli.network_options import network_options
from mask2alpha.cli.output_options import colour_options, compression_option, edge_option, space_option
from mask2alpha.cli.progress_option import progress_option
from mask2alpha.extras import import_extra
from mask2alpha.imaging.targets import check_inputs_stay, names_a_file
from mask2alpha.progress import track
from mask2alpha.rendering import KINDS

if TYPE_CHECKING:
    from mask2alpha.batch.job import Report
    from mask2alpha.batch.results import Result
    from mask2alpha.ops.masks import MaskChoice

_SHOWN_FAILURES = 20


def parse_workers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int | None]:
    """The bounds in "4" or "1-16"."""
    if value is None:
        return 1, None
    low, separator, high = value.partition("-")
    try:
        bounds = int(low), int(high if separator else low)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is neither a number nor a range such as 1-16") from error
    if not 1 <= bounds[0] <= bounds[1]:
        raise click.BadParameter(f"{value!r}: give at least one worker, and the smaller number first")
    return bounds


@click.command()
@click.argument("manifest")
@click.argument("out")
@click.option(
    "--output",
    "kinds",
    default="alpha",
    callback=parse_kinds,
    help=f"Kinds of output, separated by commas: {', '.join(KINDS)}.",
)
@compression_option
@space_option
@colour_options
@edge_option
@mask_options
@network_options(
    budget="4 million",
    device="cuda where a worker has one",
    places="a shipped name, a .safetensors file (also s3://, gs://) or folder, or a hub id org/name",
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads per worker.  [default: 1 on Ray, else PyTorch's]"
)
@click.option(
    "--ray", "address", metavar="ADDRESS", help="Run on Ray: local (start a cluster here), auto, or HOST:PORT."
)
@click.option(
    "--workers",
    metavar="N|MIN-MAX",
    callback=parse_workers,
    help="Number of workers on Ray.  [default: as many as fit]",
)
@click.option(
    "--gpus-per-worker",
    type=click.FloatRange(min=0),
    default=0.0,
    help="GPUs per worker on Ray; with 0.25, four workers share one.",
)
@click.option(
    "--chunk",
    "chunk_size",
    type=click.IntRange(min=1),
    default=32,
    help="Number of mattes that a worker is given at a time.",
)
@click.option("--retries", type=click.IntRange(min=0), default=2, help="Retries after a failure that may be transient.")
@click.option("--retry-failed", is_flag=True, help="Retry the rows that failed in earlier runs.")
@click.option("--overwrite", "has_overwrite", is_flag=True, help="Discard earlier results and matte every row again.")
@progress_option
def command(
    manifest: str,
    out: str,
    mask_choice: "MaskChoice",
    source: str,
    address: str | None,
    workers: tuple[int, int | None],
    gpus_per_worker: float,
    chunk_size: int,
    retry_failed: bool,
    has_overwrite: bool,
    **settings: Any,
) -> None:
    """Matte the photos of MANIFEST into OUT, in this process or on a Ray cluster.

    MANIFEST is a CSV or Parquet file with the columns photo and mask, and optionally name, label, channel, invert and
    fit; or a folder that contains photos/ and masks/. Both arguments and all paths in MANIFEST may be local, s3:// or
    gs:// paths; relative paths are relative to MANIFEST. Rows that cannot be used are set aside.

    OUT receives <kind>/<name>.png, and results.parquet with a line for each row. Rows that fail are listed there with
    the reason, and the exit status is then 1. The same command, run again, mattes the rows that have no result yet and
    those whose photo or mask has changed.
    """
    import_extra("pyarrow", extra="batch", purpose="`mask2alpha batch`")
    from mask2alpha.batch import storage
    from mask2alpha.batch.engines import RayPool, run_here, run_on_ray
    from mask2alpha.batch.job import run_batch
    from mask2alpha.batch.manifest import read_manifest
    from mask2alpha.batch.results import TABLE
    from mask2alpha.batch.worker import WorkerSettings

    if storage.is_local(out):
        names_a_file(Path(out), ())
        check_inputs_stay([Path(out) / TABLE], [manifest] if storage.is_local(manifest) else [])
    read = read_manifest(storage.absolute(manifest), mask_choice)
    for left_over in read.unmatched:
        like = read.nearest.get(left_over)
        told = f" (the nearest name is {like})" if like else ""
        click.echo(f"Warning: nothing matches {left_over}{told}", err=True)
    for reason in read.set_aside[:_SHOWN_FAILURES]:
        click.echo(f"Set aside: {reason}", err=True)
    engine = run_here
    if address is not None:
        low, high = workers
        pool = RayPool(address=address, min_workers=low, max_workers=high, gpus_per_worker=gpus_per_worker)
        engine = partial(run_on_ray, pool=pool)
    warned: list[str] = []
    with track("matte", unit="matte") as progress:

        def start(total: int, num_before: int) -> None:
            progress.total = total
            progress.update(num_before)

        def count(result: "Result") -> None:
            progress.update()
            if result.warning:
                warned.append(f"{result.name}: {result.warning}")

        report = run_batch(
            read,
            WorkerSettings(base=read.base, out=storage.absolute(out), model=locate(source), **settings),
            engine,
            chunk_size=chunk_size,
            has_overwrite=has_overwrite,
            retries_failed=retry_failed,
            on_start=start,
            on_result=count,
        )
    for warning in warned[:_SHOWN_FAILURES]:
        click.echo(f"Warning: {warning}", err=True)
    if len(warned) > _SHOWN_FAILURES:
        click.echo(
            f"{len(warned) - _SHOWN_FAILURES} more rows have warnings; results.parquet has all of them", err=True
        )
    show(report, num_unusable=len(read.set_aside))


def locate(model: str) -> str:
    """The model by an absolute path, where it is a path: workers may have another working folder."""
    from mask2alpha.batch import storage
    from mask2alpha.checkpoints import shipped_names

    return storage.absolute(model) if model not in shipped_names() and Path(model).exists() else model


def show(report: "Report", *, num_unusable: int = 0) -> None:
    """Say what was done; exit with status 1 if a row was set aside.

    Args:
        report: The rows that were tried.
        num_unusable: Number of rows of the manifest that could not be tried.
    """
    num_set_aside = len(report.failures) + num_unusable
    click.echo(f"{report.num_matted} matted, {report.num_before} done before, {num_set_aside} set aside", err=True)
    for result in report.failures[:_SHOWN_FAILURES]:
        click.echo(f"Set aside: {result.name}: {result.reason}", err=True)
    if len(report.failures) > _SHOWN_FAILURES:
        click.echo("results.parquet has all of them, with their reasons", err=True)
    if num_set_aside:
        raise SystemExit(1)
