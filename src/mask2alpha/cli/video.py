"""`mask2alpha video`: a clip and its masks in, a steady matte, cut-out or composite of every frame out."""

import math
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mask2alpha.cli.mask_options import exclusive_option, mask_options
from mask2alpha.cli.matte import build_predictor, model_digest, parse_format, parse_kinds
from mask2alpha.cli.network_options import network_options, recorded
from mask2alpha.cli.output_options import (
    background_option,
    bits_option,
    colour_options,
    compression_option,
    edge_option,
    space_option,
)
from mask2alpha.cli.progress_option import progress_option
from mask2alpha.cli.prompt_options import Coordinate, box_in_pixels, parse_box
from mask2alpha.cli.standard_streams import out_option
from mask2alpha.errors import InputError, VideoError
from mask2alpha.imaging.encode import FORMATS
from mask2alpha.imaging.made import MadeFiles, digest
from mask2alpha.imaging.targets import check_inputs_stay, names_a_file
from mask2alpha.ops.edges import EdgeOptions
from mask2alpha.progress import track
from mask2alpha.rendering import KINDS, WHOLE, OutputOptions, Window, read_background

if TYPE_CHECKING:
    from mask2alpha.ops.masks import MaskChoice
    from mask2alpha.video.clips import AbstractClip, Masks
    from mask2alpha.video.job import Report, VideoJob

_EXISTING = click.Path(exists=True, path_type=Path)
_OF_FRAMES = tuple(kind for kind, spec in KINDS.items() if not spec.needs_mask)


@click.command()
@click.argument("clip", type=_EXISTING, metavar="CLIP")
@click.argument("masks", type=_EXISTING, metavar="MASKS")
@out_option("A .mov or .webm file if there is one kind of output, or a folder.")
@click.option(
    "--output",
    "kinds",
    default="cutout",
    callback=parse_kinds,
    help=f"Kinds of output, separated by commas: {', '.join(_OF_FRAMES)}.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice([*FORMATS, "mov", "webm", "tiff", "jpeg"], case_sensitive=False),
    default="png",
    callback=parse_format,
    help="In a folder: a picture file per frame, or one ProRes 4444 (mov) or VP9 (webm) file per kind of output.",
)
@bits_option
@compression_option
@space_option
@click.option(
    "--objects",
    metavar="all|[NAME=]LABEL,...",
    help="The objects in masks that are maps of labels, such as dog=1,cat=2: values, palette indices or #rrggbb.",
)
@exclusive_option
@click.option("--from", "first", type=click.IntRange(min=1), help="First frame to matte, counted from 1.")
@click.option("--to", "last", type=click.IntRange(min=1), help="Last frame to matte.")
@click.option(
    "--region",
    callback=parse_box,
    metavar="L,T,R,B",
    help="Rectangle to matte: left, top, right, bottom, in pixels or per cent; alpha is 0 elsewhere.",
)
@click.option(
    "--steady/--no-steady",
    "is_steady",
    default=True,
    help="Follow motion, so that mattes do not flicker; or matte each frame by itself.",
)
@colour_options
@background_option("composites")
@edge_option
@mask_options
@network_options()
@click.option(
    "--overwrite", "has_overwrite", is_flag=True, help="Overwrite existing files, and restart an unfinished run."
)
@progress_option
def command(
    clip: Path,
    masks: Path,
    target: Path,
    kinds: tuple[str, ...],
    file_format: str,
    bits: int | None,
    compression: str,
    colour_space: str | None,
    objects: str | None,
    is_exclusive: bool,
    first: int | None,
    last: int | None,
    region: "tuple[Coordinate, ...] | None",
    is_steady: bool,
    colours: str,
    despill: str | None,
    background: str,
    edges: EdgeOptions,
    mask_choice: "MaskChoice",
    source: str,
    has_overwrite: bool,
    **settings: Any,
) -> None:
    """Matte every frame of CLIP, a folder of frames or a video file.

    MASKS is a folder or a video with a mask per frame, a folder with masks of some frames, or one mask of the first
    frame; the target is then followed forwards and backwards. If it gets lost, add a mask for that frame to the folder.
    Masks have the names of a folder's frames; those of a video are in order or, if there are fewer, end in the number
    of their frame, from 1 on. For several objects, MASKS is a folder with such a folder or video for each, or --objects
    names the labels in the masks; OUT then has a folder for each.

    A stopped run continues when the command is given again. Video files need ffmpeg on PATH.
    """
    from mask2alpha.video.clips import open_part
    from mask2alpha.video.job import VideoJob, run

    opened, opened_masks = open_part(
        clip, masks, mask_choice, first=first, last=last, objects=objects, colour_space=colour_space
    )
    conditions: dict[str, Any] = {"colours": colours, "key": despill, "background": background, "format": file_format}
    conditions |= {"mask_choice": repr(mask_choice), "model": source}
    conditions |= recorded(settings)
    conditions |= {} if edges.is_neutral else {"edges": edges.text}
    given = {"from": first, "to": last, "objects": objects, "exclusive": is_exclusive or None, "bits": bits}
    given |= {"color_space": colour_space, "region": repr(region) if region else None}
    given |= {"compression": None if compression == "zip" else compression}
    conditions |= {name: value for name, value in given.items() if value is not None}
    place = {"clip": clip.resolve(), "changed": clip.stat().st_mtime_ns, "target": target.resolve()}
    options = OutputOptions(bits=bits, compression=compression, background=read_background(background), edges=edges)
    job = VideoJob(
        clip=opened,
        objects=opened_masks,
        targets=plan_targets(target, kinds, file_format, list(opened_masks)),
        options=options.with_colours(colours, despill),
        file_format=file_format if file_format in FORMATS else "png",
        is_steady=is_steady,
        is_exclusive=is_exclusive,
        region=find_region(opened, region) if region else WHOLE,
        settings={name: str(value) for name, value in (conditions | place).items()},
    )
    inputs = list(dict.fromkeys([*opened.files, *(file for each in opened_masks.values() for file in each.files)]))
    check_inputs_stay((path for _, path in job.outputs), [*inputs, background, source])
    if has_overwrite:
        shutil.rmtree(job.work_folder, ignore_errors=True)
    made = MadeFiles(
        target.parent if target in job.targets.values() else target,
        conditions
        | {
            "model": model_digest(source),
            "background": digest(Path(background)) if Path(background).is_file() else background,
            "steady": is_steady,
            "inputs": [digest(path) for path in inputs],
        },
    )
    if not is_work_left(job, made, has_overwrite=has_overwrite):
        click.echo(f"{target} exists and is up to date; --overwrite makes it again", err=True)
        return
    warn_of_clip(opened, opened_masks)
    with (
        warnings.catch_warnings(record=True, action="default", category=UserWarning) as caught,  # once, not per frame
        track("matte", unit="frame", total=len(opened.names)) as progress,
    ):
        report = run(
            job,
            lambda: build_predictor(source, **settings),
            on_frame=lambda num_done: progress.update(num_done - progress.n),
            on_output=lambda kind, path: made.add(path, kind=kind),
        )
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        click.echo(f"Warning: {message}", err=True)
    show(report, opened)


def find_region(clip: "AbstractClip", region: tuple[Coordinate, ...]) -> Window:
    """The rows and columns of a rectangle, as far as it is in the frames; pixels that its sides cut belong to it.

    Raises:
        InputError: None of it is in the frames.
        VideoError: The first frame cannot be read.
    """
    photo = next(clip.frames(), None)
    if photo is None:
        raise VideoError("no frame of the clip can be read")
    height, width = photo.size
    box = box_in_pixels(region, (height, width))
    left, top, right, bottom = (
        min(max(number, 0.0), float(length)) for number, length in zip(box, (width, height) * 2, strict=True)
    )
    if not (left < right and top < bottom):  # also for nan
        numbers = ",".join(f"{number:g}" for number in box)
        raise InputError(
            f"--region {numbers} covers nothing of frames {width} wide and {height} high; give left, top, right, bottom"
        )
    return slice(math.floor(top), math.ceil(bottom)), slice(math.floor(left), math.ceil(right))


def plan_targets(
    target: Path, kinds: tuple[str, ...], file_format: str, objects: Sequence[str]
) -> dict[tuple[str, str], Path]:
    """Name of an object and kind of output to the file or folder it goes to.

    Raises:
        InputError: OUT is one file for several outputs, or has a suffix that is not written.
    """
    from mask2alpha.video.ffmpeg import WRITTEN_SUFFIXES

    for kind in kinds:
        if kind not in _OF_FRAMES:
            raise InputError(f"{kind} is not made of clips; choose from {', '.join(_OF_FRAMES)}")
    if names_a_file(target, WRITTEN_SUFFIXES, accepted=".mov (ProRes 4444), .webm (VP9)"):
        for what, many in (("kinds of output", kinds), ("objects", objects)):
            if len(many) > 1:
                raise InputError(f"{target} is a single file, but there are {len(many)} {what}; give a folder")
        return {(objects[0], kinds[0]): target}
    suffix = "" if file_format in FORMATS else f".{file_format}"
    return {
        (name, kind): target / name / f"{kind}{suffix}"
        for kind in kinds
        for name in ([""] if kind == "passes" and len(objects) > 1 else objects)
    }


def is_work_left(job: "VideoJob", made: MadeFiles, *, has_overwrite: bool) -> bool:
    """Whether an output is missing or was made from other inputs or options, or a run was not finished.

    Raises:
        InputError: A file that mask2alpha did not write is in the way.
    """
    if has_overwrite or job.work_folder.exists():
        return True
    wanted = [made.is_wanted(path, kind=kind) for kind, path in job.outputs]  # every file is checked
    return any(wanted)


def warn_of_clip(clip: "AbstractClip", objects: "Mapping[str, Masks]") -> None:
    """Warn of what may surprise, before the work begins."""
    if clip.info is not None and clip.info.is_rate_variable:
        click.echo(
            "Warning: the frame rate varies; every frame is kept, at the mean rate of "
            f"{float(clip.info.rate):.3f} per second, so the sound may be off in places",
            err=True,
        )
    for name, masks in objects.items():
        if not masks.has_all:
            num_masks = sum(masks.has_mask)
            click.echo(
                f"{num_masks} of {len(clip.names)} frames have a mask{f' of {name}' if name else ''}; "
                f"in the others {name or 'the target'} is followed",
                err=True,
            )


def show(report: "Report", clip: "AbstractClip") -> None:
    """Say what was done, and which frames to look at."""
    resumed = f", {report.num_resumed} done by an earlier run" if report.num_resumed else ""
    click.echo(f"{report.num_matted} frames matted{resumed}", err=True)
    for note in (*report.notes, *report.doubts(clip.names)):
        click.echo(f"Warning: {note}", err=True)
