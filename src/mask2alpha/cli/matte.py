"""`mask2alpha matte`: photos and masks in, mattes and other outputs out."""

import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mask2alpha.cli.mask_options import exclusive_option, mask_options
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
from mask2alpha.cli.prompt_options import mask_from_prompt
from mask2alpha.cli.standard_streams import (
    check_standard_output,
    is_stream,
    out_option,
    read_standard_input,
    write_standard_output,
)
from mask2alpha.errors import InputError, Mask2AlphaError
from mask2alpha.imaging.encode import FORMATS, WRITTEN_SUFFIXES
from mask2alpha.imaging.made import MadeFiles, digest
from mask2alpha.imaging.targets import check_inputs_stay, names_a_file, prepare_folder
from mask2alpha.ops.edges import EdgeOptions
from mask2alpha.progress import track
from mask2alpha.rendering import KINDS, OutputOptions, RenderedMatte, check_output, output_suffix, read_background

if TYPE_CHECKING:
    from mask2alpha.imaging.pairs import PhotoMasks
    from mask2alpha.ops.masks import Mask, MaskChoice
    from mask2alpha.pipeline.abstract import AbstractPredictor
    from mask2alpha.pipeline.predictor import Predictor

_EXISTING = click.Path(exists=True, path_type=Path, allow_dash=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The outputs of one mask that are still to be made."""

    mask: Path
    outputs: Mapping[str, Path]
    """Kind of output to its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPlan:
    """Which outputs are made of a matte, and under which names."""

    target: Path
    """A file, for one matte and one kind of output; otherwise a folder."""
    kinds: tuple[str, ...]
    options: OutputOptions
    file_format: str | None
    """Of the files in the folder; None: OpenEXR for OpenEXR photos and PNG for others."""
    mask_choice: "MaskChoice"
    """What the files of the masks do not say."""
    colour_space: str | None
    """Of the photos, one of `imaging.spaces.SPACES`; None: what their files say."""
    is_exclusive: bool
    """Whether the mattes of a photo add up to at most 1; then all of them are made again if one is."""

    @property
    def is_stdout(self) -> bool:
        """Whether the only output goes to standard output."""
        return is_stream(self.target)

    @property
    def is_file(self) -> bool:
        """Whether there is a single output, which goes to a file or to standard output."""
        return self.is_stdout or names_a_file(self.target, WRITTEN_SUFFIXES)

    @property
    def folder(self) -> Path:
        """The folder of the record of what made the outputs."""
        return self.target.parent if self.is_file else self.target

    def paths(self, pair: "PhotoMasks", mask: Path) -> dict[str, Path]:
        """Kind of output to its file."""
        if self.is_file and not self.is_stdout:
            return dict.fromkeys(self.kinds, self.target)
        from mask2alpha.imaging.pairs import output_stem

        stem = output_stem(pair.photo.stem, mask.stem)
        return {
            kind: self.target / kind / f"{stem}{output_suffix(kind, pair.photo, self.file_format)}"
            for kind in self.kinds
        }

    def all_paths(self, pairs: "Iterable[PhotoMasks]") -> list[Path]:
        """The files of all outputs."""
        if self.is_stdout:
            return []
        return [path for pair in pairs for mask in pair.masks for path in self.paths(pair, mask).values()]

    def check(self, pairs: "tuple[PhotoMasks, ...]") -> None:
        """Check before any work that OUT can hold the outputs.

        Raises:
            InputError: OUT is one file but there are several outputs, or has a suffix that is not written.
            ImageFileError: The format cannot hold a kind of output, or its extra is missing.
        """
        num_outputs = sum(len(pair.masks) for pair in pairs) * len(self.kinds)
        if self.is_file and num_outputs > 1:
            told = f"{self.target} is a single file, but there are {num_outputs} outputs to write; give a folder"
            raise InputError(told)
        suffixes = FORMATS[self.file_format].suffixes if self.file_format else ()
        if self.is_file and not self.is_stdout and suffixes and self.target.suffix.lower() not in suffixes:
            raise InputError(f"{self.target} is not a name for --format {self.file_format}; leave one of them out")
        paths = {(kind, path.suffix): path for each in pairs for kind, path in self.paths(each, each.masks[0]).items()}
        for (kind, _), path in paths.items():
            check_output(path, kind, self.options.bits)

    def tasks(self, pair: "PhotoMasks", made: MadeFiles, *, has_overwrite: bool) -> list[Task]:
        """What is still to be made of a photo.

        Raises:
            InputError: A file that mask2alpha did not write is in the way.
        """
        tasks = []
        for mask in pair.masks:
            outputs = {
                kind: path
                for kind, path in self.paths(pair, mask).items()
                if self.is_stdout or has_overwrite or made.is_wanted(path, kind=kind, photo=pair.photo, mask=mask)
            }
            if outputs:
                tasks.append(Task(mask=mask, outputs=outputs))
        if self.is_exclusive and tasks:
            return [Task(mask=mask, outputs=self.paths(pair, mask)) for mask in pair.masks]
        return tasks


def parse_kinds(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """The kinds of output in "alpha,cutout"."""
    if value is None:
        return None
    kinds = tuple(dict.fromkeys(part.strip().lower() for part in value.split(",") if part.strip()))
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise click.BadParameter(f"{', '.join(unknown) or 'nothing'}: choose from {', '.join(KINDS)}")
    return kinds


def kind_in_name(target: Path) -> str:
    """The kind of output that the name of a picture file ends with, as in photo_cutout.png; otherwise alpha.

    The name mask.png means alpha, because an alpha matte is what others call a mask.
    """
    is_picture = target.suffix.lower() in WRITTEN_SUFFIXES and not target.is_dir()
    stem = target.stem.lower() if is_picture else ""
    named = [kind for kind in KINDS if kind != "mask" and re.search(rf"(?<![a-z]){kind}$", stem)]
    return max(named, key=len, default="alpha")


def says_no_kind(target: Path) -> bool:
    """Whether the name of a picture file holds alpha although it does not say so, as photo.png does."""
    return kind_in_name(target) == "alpha" and not target.stem.lower().endswith(("alpha", "matte", "mask"))


def parse_format(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A format by its name, in either spelling: jpeg is jpg."""
    return next((name for name, known in FORMATS.items() if f".{value}" in known.suffixes), value)


@click.command()
@click.argument("photos", type=_EXISTING, metavar="PHOTO")
@click.argument("masks", type=_EXISTING, metavar="[MASK]", required=False)
@out_option("File or folder to write; - for standard output.", allow_dash=True)
@click.option(
    "--output",
    "kinds",
    callback=parse_kinds,
    help=f"Kinds of output, separated by commas: {', '.join(KINDS)}.  "
    "[default: the one that the name of a file ends with, as in cutout.png; otherwise alpha]",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice([*FORMATS, "tiff", "jpeg"], case_sensitive=False),
    callback=parse_format,
    help="File format in a folder or on standard output.  [default: exr for .exr photos, png for others]",
)
@bits_option
@compression_option
@space_option
@click.option(
    "--keep-metadata",
    "has_metadata",
    is_flag=True,
    help="Keep the photo's EXIF, XMP and resolution, without the location.",
)
@click.option("--keep-gps", "has_gps", is_flag=True, help="With --keep-metadata: keep the location as well.")
@background_option("composites and comparisons")
@colour_options
@edge_option
@exclusive_option
@mask_options
@network_options()
@mask_from_prompt
@click.option("--overwrite", "has_overwrite", is_flag=True, help="Overwrite existing files.")
@progress_option
def command(
    photos: Path,
    masks: Path,
    target: Path,
    kinds: tuple[str, ...] | None,
    file_format: str | None,
    bits: int | None,
    compression: str,
    colour_space: str | None,
    has_metadata: bool,
    has_gps: bool,
    background: str,
    colours: str,
    despill: str | None,
    edges: EdgeOptions,
    is_exclusive: bool,
    mask_choice: "MaskChoice",
    source: str,
    has_overwrite: bool,
    **settings: Any,
) -> None:
    """Matte PHOTO with MASK, two files or two folders, or with what --point, --box or --stroke select in one PHOTO.

    In place of a file, - means standard input.

    In folders, a mask belongs to the photo of the same name; photo__label.png are several masks of one photo. OUT is a
    picture file if there is one photo, one mask and one kind of output; otherwise it is a folder, which receives
    OUT/<kind>/<mask>.png.

    Outputs that exist and were made from the same photo, mask and options are skipped; those that were made from others
    are made again. Files that mask2alpha did not write are replaced only with --overwrite. If a photo fails, the others
    are still matted, and the exit status is 1.

    Cutouts keep the bit depth and the colour profile of the photo. The alpha of "cutout" is straight, the colours of
    "cutout_premultiplied" are multiplied by alpha, and "passes" is one OpenEXR file with colours, alpha and predicted
    error.
    """
    from mask2alpha.imaging.pairs import match_pairs

    check_standard_output(target)
    photos, masks = read_standard_input(photos, masks)
    pairing = match_pairs(photos, masks)
    for what, left_over in (
        ("photo without a mask", pairing.unmatched_photos),
        ("mask without a photo", pairing.unmatched_masks),
    ):
        for path in left_over:
            like = pairing.nearest.get(path)
            click.echo(f"Warning: {what}: {path}" + (f" (the nearest name is {like})" if like else ""), err=True)
    if not pairing.pairs:
        raise InputError(
            f"no photo in {photos} matches a mask in {masks}; "
            "a mask has the name of its photo, photo_mask or photo__label"
        )
    if has_gps and not has_metadata:
        raise InputError("--keep-gps has an effect only with --keep-metadata")
    plan = OutputPlan(
        target=target,
        kinds=kinds or (kind_in_name(target),),
        options=OutputOptions(
            bits=bits,
            compression=compression,
            background=read_background(background),
            has_metadata=has_metadata,
            has_gps=has_gps,
            edges=edges,
        ).with_colours(colours, despill),
        file_format=file_format,
        mask_choice=mask_choice,
        colour_space=colour_space,
        is_exclusive=is_exclusive,
    )
    plan.check(pairing.pairs)
    check_inputs_stay(
        plan.all_paths(pairing.pairs),
        [*(path for pair in pairing.pairs for path in (pair.photo, *pair.masks)), background, source],
    )
    made = MadeFiles(
        plan.folder,
        {
            "model": model_digest(source),
            "background": digest(Path(background)) if Path(background).is_file() else background,
            "options": [plan.options.bits, has_metadata, has_gps],
            "mask_choice": repr(mask_choice),
            **recorded(settings),
            **({} if edges.is_neutral else {"edges": edges.text}),
            **({"exclusive": True} if is_exclusive else {}),
            **({"color_space": colour_space} if colour_space else {}),
            **({} if compression == "zip" else {"compression": compression}),
            **({} if colours == "clean" else {"colours": colours}),
            **({"despill": despill} if despill else {}),
        },
    )
    tasks = {pair: plan.tasks(pair, made, has_overwrite=has_overwrite) for pair in pairing.pairs}
    num_tasks = sum(map(len, tasks.values()))
    failures: dict[Path, str] = {}
    if num_tasks:
        if not plan.is_stdout:
            for folder in {path.parent for path in plan.all_paths(pairing.pairs)}:
                prepare_folder(folder)
        failures = matte_all(build_predictor(source, **settings), tasks, plan, made)
    num_skipped = sum(len(pair.masks) for pair in pairing.pairs) - num_tasks
    skipped = f", {num_skipped} skipped because they exist" if num_skipped else ""
    click.echo(f"{num_tasks - len(failures)} matted{skipped}, {len(failures)} failed", err=True)
    for path, reason in failures.items():
        click.echo(f"Failed: {path}: {reason}", err=True)
    if failures:
        raise SystemExit(1)
    if kinds is None and plan.is_file and not plan.is_stdout and says_no_kind(target):
        click.echo(
            f"{target} holds the alpha matte. For a cut-out, name it {target.stem}_cutout.png or add --output cutout",
            err=True,
        )


def build_predictor(source: str, *, dtype: str | None, **settings: Any) -> "Predictor":
    """Load a model and make it ready to run."""
    import torch

    from mask2alpha.checkpoints import load_model
    from mask2alpha.pipeline.predictor import Predictor

    return Predictor(load_model(source), dtype=getattr(torch, dtype) if dtype else None, **settings)


def model_digest(source: str) -> str:
    """What tells weights apart, wherever they are.

    Raises:
        CheckpointError: The model cannot be found.
    """
    from mask2alpha.checkpoints import find_checkpoint

    return digest(find_checkpoint(source))


def matte_all(
    predictor: "AbstractPredictor", tasks: "Mapping[PhotoMasks, list[Task]]", plan: OutputPlan, made: MadeFiles
) -> dict[Path, str]:
    """Matte photo by photo; each photo is read and encoded once.

    Returns:
        The reason for each mask that failed.
    """
    failures: dict[Path, str] = {}
    with track("matte", unit="matte", total=sum(map(len, tasks.values()))) as progress:
        for pair, wanted in tasks.items():
            with _noting(failures, pair.photo, [task.mask for task in wanted]):
                _matte_photo(predictor, pair, wanted, plan, made, failures)
            progress.update(len(wanted))
    return failures


def _matte_photo(
    predictor: "AbstractPredictor",
    pair: "PhotoMasks",
    tasks: list[Task],
    plan: OutputPlan,
    made: MadeFiles,
    failures: dict[Path, str],
) -> None:
    """Write the outputs of all masks of a photo; a mask that cannot be read does not keep the others from it."""
    from mask2alpha.imaging.decode import read_image
    from mask2alpha.imaging.fitted_masks import read_fitted_mask

    photo = read_image(pair.photo).taken_as(plan.colour_space)
    if photo.alpha is not None and photo.alpha.min() != photo.alpha.max():
        warnings.warn("the photo has transparent parts; the colours stored there are matted like others", stacklevel=2)
    read: list[tuple[Task, Mask]] = []
    for task in tasks:
        with _noting(failures, task.mask, [task.mask]):
            mask = read_fitted_mask(task.mask, photo.size, orientation=photo.orientation, choice=plan.mask_choice)
            read.append((task, mask))
    mattes = predictor.predict_instances(
        photo.in_srgb().pixels, {str(task.mask): mask for task, mask in read}, is_exclusive=plan.is_exclusive
    )
    for (task, mask), matte in zip(read, mattes, strict=True):
        rendered = RenderedMatte(photo, matte, mask=mask.as_bytes(), options=plan.options)
        with _noting(failures, task.mask, [task.mask]):
            for kind, target in task.outputs.items():
                if plan.is_stdout:
                    write_standard_output(rendered.encode(target, kind))
                else:
                    rendered.write(target, kind)
                    made.add(target, kind=kind, photo=pair.photo, mask=task.mask)


@contextmanager
def _noting(failures: dict[Path, str], source: Path, masks: Iterable[Path]) -> Iterator[None]:
    """Print the warnings of a block with the file that they are about, and note for its masks why it failed."""
    from tqdm import tqdm

    with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
        try:
            yield
        except BrokenPipeError:  # the reader of standard output has left
            raise
        # PyTorch says by a RuntimeError that memory ran out
        except (Mask2AlphaError, OSError, MemoryError, RuntimeError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            failures.update({mask: reason for mask in masks if mask not in failures})
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        tqdm.write(f"Warning: {source}: {message}", file=sys.stderr)
