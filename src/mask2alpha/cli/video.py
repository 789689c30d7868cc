"""`mask2alpha video`: a clip and its masks in, a steady matte, cut-out or composite of every frame out."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mask2alpha.cli.mask_options import mask_options
from mask2alpha.cli.matte import build_predictor, parse_background
from mask2alpha.cli.network_options import network_options
from mask2alpha.errors import InputError

if TYPE_CHECKING:
    from mask2alpha.ops.masks import MaskChoice
    from mask2alpha.pipeline.matte import Colour
    from mask2alpha.video.clips import AbstractClip, Masks
    from mask2alpha.video.job import Report, VideoJob

KINDS = ("cutout", "alpha", "foreground", "composite")
SUFFIX_OF_FORMAT = {"png": "", "mov": ".mov", "webm": ".webm"}
_EXISTING = click.Path(exists=True, path_type=Path)


def parse_kinds(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """The kinds of output in "alpha,cutout"."""
    kinds = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise click.BadParameter(f"{', '.join(unknown) or 'nothing'}: choose from {', '.join(KINDS)}")
    return kinds


@click.command()
@click.argument("clip", type=_EXISTING, metavar="CLIP")
@click.argument("masks", type=_EXISTING, metavar="MASKS")
@click.option(
    "-o",
    "--out",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    help="A .mov or .webm file for one kind of output, or a folder.",
)
@click.option(
    "--output",
    "kinds",
    default="cutout",
    show_default=True,
    callback=parse_kinds,
    help=f"What to write, with commas between: {', '.join(KINDS)}.",
)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(list(SUFFIX_OF_FORMAT)),
    default="png",
    show_default=True,
    help="In a folder: PNG frames, or one ProRes 4444 (mov) or VP9 (webm) file per kind.",
)
@click.option(
    "--steady/--no-steady",
    "is_steady",
    default=True,
    show_default=True,
    help="Follow motion, so that mattes do not flicker; or matte frame by frame.",
)
@click.option(
    "--colours",
    type=click.Choice(["clean", "original"]),
    default="clean",
    show_default=True,
    help="Estimate the target's own colours in soft edges, or keep the clip's (faster).",
)
@click.option("--despill", "key", metavar="COLOR", help="Take away the light of a screen of this colour.")
@click.option(
    "--background",
    default="white",
    show_default=True,
    metavar="COLOR|FILE",
    help="Of composites: a colour or a picture.",
)
@mask_options
@network_options()
@click.option("--overwrite", "has_overwrite", is_flag=True, help="Begin anew, whatever exists.")
def command(
    clip: Path,
    masks: Path,
    target: Path,
    kinds: tuple[str, ...],
    format_name: str,
    is_steady: bool,
    colours: str,
    key: str | None,
    background: str,
    mask_choice: "MaskChoice",
    source: str,
    num_steps: int | None,
    error_threshold: float | None,
    active_budget: int | None,
    device: str | None,
    dtype: str | None,
    has_overwrite: bool,
) -> None:
    """Matte every frame of CLIP, a folder of frames or a video file.

    MASKS is a folder or a video with a mask per frame, or one mask of the first frame: then the target is followed.
    Where it gets lost, give a folder of masks with one for that frame. Masks are named as the frames of a folder; those
    of a video are in order or, where there are fewer, end in the frame's number, from 1 on.

    A run that was stopped goes on where it was. Video files need ffmpeg on PATH.
    """
    from tqdm import tqdm

    from mask2alpha.video.clips import open_clip, open_masks
    from mask2alpha.video.job import VideoJob, run
    from mask2alpha.video.pictures import Look

    opened = open_clip(clip)
    opened_masks = open_masks(masks, opened, mask_choice)
    settings = {"num_steps": num_steps, "error_threshold": error_threshold, "active_budget": active_budget}
    conditions: dict[str, object] = {"colours": colours, "key": key, "background": background, "format": format_name}
    conditions |= {"clip": clip.resolve(), "changed": clip.stat().st_mtime_ns, "target": target.resolve()}
    conditions |= {"mask_choice": mask_choice, "model": source, "dtype": dtype, **settings}
    job = VideoJob(
        clip=opened,
        masks=opened_masks,
        targets=plan_targets(target, kinds, SUFFIX_OF_FORMAT[format_name], inputs=(clip, masks)),
        look=Look(
            has_clean_colours=colours == "clean",
            key=None if key is None else parse_colour(key),
            background=parse_background(background).in_srgb().pixels,
        ),
        is_steady=is_steady,
        settings={name: str(value) for name, value in conditions.items()},
    )
    if not prepare_targets(job, has_overwrite=has_overwrite):
        click.echo(f"{target} exists; --overwrite makes it again", err=True)
        return
    warn_of_clip(opened, opened_masks)
    with tqdm(total=len(opened.names), unit="frame", disable=None) as progress:
        report = run(
            job,
            lambda: build_predictor(source, dtype=dtype, device=device, **settings),
            on_frame=lambda num_done: progress.update(num_done - progress.n),
        )
    tell(report, opened)


def plan_targets(target: Path, kinds: tuple[str, ...], suffix: str, *, inputs: tuple[Path, ...]) -> dict[str, Path]:
    """Kind of output to the file or folder it goes to.

    Raises:
        InputError: OUT is an input, one file for several kinds, or of a kind that is not written.
    """
    from mask2alpha.video.ffmpeg import check_suffix

    for path in inputs:
        if target.resolve() == path.resolve():
            raise InputError(f"{target} is an input and would be overwritten")
    if target.suffix and not target.is_dir():
        check_suffix(target)
        if len(kinds) > 1:
            raise InputError(f"{target} is one file, but there are {len(kinds)} kinds of output; give a folder")
        return {kinds[0]: target}
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is neither a folder nor a clip's name")
    return {kind: target / f"{kind}{suffix}" for kind in kinds}


def prepare_targets(job: "VideoJob", *, has_overwrite: bool) -> bool:
    """Remove what `has_overwrite` gives up; whether anything is left to do."""
    import shutil

    if has_overwrite:
        shutil.rmtree(job.work_folder, ignore_errors=True)
        return True
    if job.work_folder.exists():
        return True
    names = [f"{name}.png" for name in job.clip.names]
    return not all(
        target.is_file() if target.suffix else all((target / name).is_file() for name in names)
        for target in job.targets.values()
    )


def parse_colour(text: str) -> "Colour":
    """A colour in [0, 1].

    Raises:
        InputError: It is none.
    """
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise InputError(f"{text!r} is no colour such as green or #20a040") from error
    return red / 255, green / 255, blue / 255


def warn_of_clip(clip: "AbstractClip", masks: "Masks") -> None:
    """Say what may surprise, before the work begins."""
    if clip.info is not None and clip.info.is_rate_variable:
        click.echo(
            "Warning: the frames do not follow each other at one rate; each is kept, at the mean rate of "
            f"{float(clip.info.rate):.3f} per second, so the sound may be off in between",
            err=True,
        )
    if not masks.has_all:
        num_masks = sum(path is not None for path in masks.paths)
        click.echo(
            f"{num_masks} of {len(clip.names)} frames have a mask; in the others the target is followed", err=True
        )


def tell(report: "Report", clip: "AbstractClip") -> None:
    """Say what was done, and which frames to look at."""
    resumed = f", {report.num_resumed} done by an earlier run" if report.num_resumed else ""
    click.echo(f"{report.num_matted} frames matted{resumed}", err=True)
    for note in report.notes:
        click.echo(f"Note: {note}", err=True)
    numbered = enumerate(report.warnings)  # frames in a row have the same distance to their position
    for _, group in groupby(numbered, key=lambda item: item[1][0] - item[0]):
        indices, reasons = zip(*(warning for _, warning in group), strict=True)
        first, last = clip.names[indices[0]], clip.names[indices[-1]]
        frames = f"frame {first}" if first == last else f"frames {first} to {last}"
        click.echo(f"Warning: {frames}: {'; '.join(dict.fromkeys(reasons))}; look at them, and add a mask", err=True)
