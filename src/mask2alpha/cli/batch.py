"""`mask2alpha batch`: a manifest of photographs and masks in, mattes and a table of results out."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mask2alpha.cli.mask_options import mask_options
from mask2alpha.cli.network_options import network_options
from mask2alpha.errors import InputError

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
        raise click.BadParameter(f"{value!r}: at least one worker, and the smaller number first")
    return bounds


def parse_kinds(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """The kinds of output in "alpha,cutout"."""
    known = ("alpha", "cutout", "foreground")  # batch.worker.KINDS, which imports PyTorch
    kinds = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    if not kinds or (unknown := [kind for kind in kinds if kind not in known]):
        raise click.BadParameter(f"{', '.join(unknown) if kinds else 'nothing'}: choose from {', '.join(known)}")
    return kinds


@click.command()
@click.argument("manifest")
@click.argument("out")
@click.option(
    "--output",
    "kinds",
    default="alpha",
    show_default=True,
    callback=parse_kinds,
    help="What to write, with commas between: alpha, cutout, foreground.",
)
@mask_options
@network_options(
    budget="4 million",
    device="cuda where a worker has one",
    places=".safetensors file (also s3://, gs://) or folder",
)
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads of a worker.  [default: 1 on Ray, else PyTorch's]"
)
@click.option("--ray", "address", metavar="ADDRESS", help="Work on Ray: local (start it here), auto, or HOST:PORT.")
@click.option("--workers", metavar="N|MIN-MAX", callback=parse_workers, help="Ray's actors.  [default: as many as fit]")
@click.option(
    "--gpus-per-worker", type=click.FloatRange(min=0), default=0.0, show_default=True, help="0.25: four share a GPU."
)
@click.option(
    "--chunk", "chunk_size", type=click.IntRange(min=1), default=32, show_default=True, help="Mattes at once."
)
@click.option("--retries", type=click.IntRange(min=0), default=2, show_default=True, help="Of what may be passing.")
@click.option("--retry-failed", is_flag=True, help="Try again what earlier runs set aside.")
@click.option("--overwrite", "has_overwrite", is_flag=True, help="Forget earlier results, make everything again.")
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
    """Matte the photographs of MANIFEST into OUT, in this process or on a Ray cluster.

    MANIFEST is a CSV or Parquet file with the columns photo, mask and, if wanted, name, label, channel, invert and fit;
    or a folder that holds photos/ and masks/. Both arguments and all paths in it may be local, s3:// or gs://; relative
    ones are relative to it. Rows that cannot be used are set aside.

    OUT gets <kind>/<name>.png, and results.parquet with a line for each row. Rows that fail are set aside with their
    reason, and the exit code is then 1. The same command goes on with what has no result yet.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise InputError("`mask2alpha batch` needs the extra `batch`: pip install 'mask2alpha[batch]'") from error
    from tqdm import tqdm

    from mask2alpha.batch import storage
    from mask2alpha.batch.engines import RayPool, run_here, run_on_ray
    from mask2alpha.batch.job import run_batch
    from mask2alpha.batch.manifest import read_manifest
    from mask2alpha.batch.worker import WorkerSettings

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
    with tqdm(unit="matte", disable=None) as progress:

        def start(total: int, num_before: int) -> None:
            progress.total = total
            progress.update(num_before)

        def count(result: "Result") -> None:
            progress.update()

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
    show(report, num_unusable=len(read.set_aside))


def locate(model: str) -> str:
    """The model by an absolute path, where it is a path: workers may have another working folder."""
    from mask2alpha.batch import storage
    from mask2alpha.checkpoints import shipped_names

    return storage.absolute(model) if model not in shipped_names() and Path(model).exists() else model


def show(report: "Report", *, num_unusable: int = 0) -> None:
    """What was done; exit code 1 if something was set aside.

    Args:
        report: Of the rows that were tried.
        num_unusable: Rows of the manifest that could not be.
    """
    num_set_aside = len(report.failures) + num_unusable
    click.echo(f"{report.num_matted} matted, {report.num_before} done before, {num_set_aside} set aside", err=True)
    for result in report.failures[:_SHOWN_FAILURES]:
        click.echo(f"Set aside: {result.name}: {result.reason}", err=True)
    if len(report.failures) > _SHOWN_FAILURES:
        click.echo("... all of them, with their reasons, are in results.parquet", err=True)
    if num_set_aside:
        raise SystemExit(1)
