"""`mask2alpha matte`: photographs and masks in, mattes and what is made of them out."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mask2alpha.errors import InputError, Mask2AlphaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mask2alpha.imaging.decode import Photo
    from mask2alpha.imaging.pairs import PhotoMasks
    from mask2alpha.pipeline.abstract import AbstractPredictor
    from mask2alpha.pipeline.matte import Matte

OUTPUTS = ("alpha", "cutout", "foreground", "composite", "comparison")
_EXISTING = click.Path(exists=True, path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPlan:
    """Which pictures are made of a matte, and under which names."""

    target: Path
    """A file, for one matte and one kind of output; otherwise a folder."""
    kinds: tuple[str, ...]
    is_file: bool
    background: "NDArray[Any] | tuple[float, float, float]"
    """Of composites and comparisons."""

    def path(self, stem: str, kind: str) -> Path:
        """Where the `kind` of output of the mask called `stem` goes."""
        return self.target if self.is_file else self.target / kind / f"{stem}.png"

    def missing(self, stem: str, *, has_overwrite: bool) -> list[str]:
        """The kinds still to be made; a file that exists is complete, because files are written whole."""
        return [kind for kind in self.kinds if has_overwrite or not self.path(stem, kind).exists()]


def parse_outputs(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """The kinds of output in "alpha,cutout"."""
    kinds = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    unknown = [kind for kind in kinds if kind not in OUTPUTS]
    if unknown or not kinds:
        raise click.BadParameter(f"{', '.join(unknown) or 'nothing'}: choose from {', '.join(OUTPUTS)}")
    return kinds


@click.command()
@click.argument("photos", type=_EXISTING, metavar="PHOTO")
@click.argument("masks", type=_EXISTING, metavar="MASK")
@click.option("-o", "--out", "target", type=click.Path(path_type=Path), required=True, help="File or folder to write.")
@click.option(
    "--output",
    "kinds",
    default="alpha",
    show_default=True,
    callback=parse_outputs,
    help=f"What to write, with commas between: {', '.join(OUTPUTS)}.",
)
@click.option(
    "--background",
    default="white",
    show_default=True,
    metavar="COLOR|FILE",
    help="Of composites and comparisons: a colour (name or #rrggbb) or a picture.",
)
@click.option(
    "--model",
    "source",
    default="small",
    show_default=True,
    help="Shipped name, .safetensors file or folder, or hub id org/name.",
)
@click.option("--steps", "num_steps", type=click.IntRange(min=1), help="Decoding steps.  [default: the model's]")
@click.option(
    "--error-threshold",
    type=click.FloatRange(0, 1),
    help="Recompute pixels whose predicted error is higher.  [default: the model's]",
)
@click.option("--active-budget", type=click.IntRange(min=0), help="Most pixels recomputed.  [default: no limit]")
@click.option("--device", help="cpu, cuda, cuda:1, mps.  [default: cuda where there is one]")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    help="Of the network's arithmetic.  [default: bfloat16 where the hardware has it]",
)
@click.option("--overwrite", "has_overwrite", is_flag=True, help="Make again what exists.")
def command(
    photos: Path,
    masks: Path,
    target: Path,
    kinds: tuple[str, ...],
    background: str,
    source: str,
    num_steps: int | None,
    error_threshold: float | None,
    active_budget: int | None,
    device: str | None,
    dtype: str | None,
    has_overwrite: bool,
) -> None:
    """Matte PHOTO with MASK, two files or two folders.

    In folders, a mask belongs to the photo of the same name; photo__label.png are several masks of one photo. OUT is a
    picture file for one photo, mask and kind of output; otherwise a folder, which gets OUT/<kind>/<mask>.png. What
    exists is skipped. After a failure the others are still done; the exit code is then 1.
    """
    from mask2alpha.imaging.pairs import match_pairs

    pairing = match_pairs(photos, masks)
    for what, left_over in (
        ("photo without a mask", pairing.unmatched_photos),
        ("mask without a photo", pairing.unmatched_masks),
    ):
        for path in left_over:
            click.echo(f"Warning: {what}: {path}", err=True)
    if not pairing.pairs:
        raise InputError(
            f"no photo in {photos} matches a mask in {masks}; a mask is called as its photo, or photo__label"
        )
    plan = make_plan(
        target, kinds, background, inputs=(photos, masks), num_mattes=sum(len(pair.masks) for pair in pairing.pairs)
    )
    todo = [
        (pair, mask)
        for pair in pairing.pairs
        for mask in pair.masks
        if plan.missing(_stem(pair, mask), has_overwrite=has_overwrite)
    ]
    num_skipped = sum(len(pair.masks) for pair in pairing.pairs) - len(todo)
    failures: dict[Path, str] = {}
    if todo:
        predictor = build_predictor(
            source,
            device=device,
            dtype=dtype,
            num_steps=num_steps,
            error_threshold=error_threshold,
            active_budget=active_budget,
        )
        failures = matte_all(predictor, pairing.pairs, plan, has_overwrite=has_overwrite, total=len(todo))
    click.echo(
        f"{len(todo) - len(failures)} matted, {num_skipped} skipped because they exist, {len(failures)} failed",
        err=True,
    )
    for path, reason in failures.items():
        click.echo(f"Failed: {path}: {reason}", err=True)
    if failures:
        raise SystemExit(1)


def build_predictor(source: str, *, dtype: str | None, **settings: Any) -> "AbstractPredictor":
    """Load the model and wrap it; the only place where this command imports PyTorch."""
    import torch

    from mask2alpha.checkpoints import load_model
    from mask2alpha.pipeline.predictor import Predictor

    return Predictor(load_model(source), dtype=getattr(torch, dtype) if dtype else None, **settings)


def make_plan(
    target: Path, kinds: tuple[str, ...], background: str, *, inputs: tuple[Path, ...], num_mattes: int
) -> OutputPlan:
    """Decide whether OUT is a file, and check before any work that it can hold the output.

    Raises:
        InputError: OUT is one file but there are several outputs, or is an input; or the background is neither a
            colour nor a file.
        ImageFileError: The format cannot hold it, or the background cannot be read.
    """
    from mask2alpha.imaging.encode import FORMAT_OF_SUFFIX, check_format

    is_file = target.suffix.lower() in FORMAT_OF_SUFFIX and not target.is_dir()
    if is_file and (num_mattes > 1 or len(kinds) > 1):
        raise InputError(
            f"{target} is a file, but there are {num_mattes * len(kinds)} pictures to write; give a folder"
        )
    if target.resolve() in [path.resolve() for path in inputs if path.is_file()]:
        raise InputError(f"{target} is an input and would be overwritten")
    if not is_file and target.exists() and not target.is_dir():
        raise InputError(f"{target} is neither a folder nor a picture's name")
    if is_file:
        check_format(target, has_alpha=kinds[0] == "cutout", is_16_bit=False)
    return OutputPlan(target=target, kinds=kinds, is_file=is_file, background=parse_background(background))


def parse_background(text: str) -> "NDArray[Any] | tuple[float, float, float]":
    """A colour in [0, 1] or the pixels of a picture file.

    Raises:
        InputError: It is neither.
        ImageFileError: The file cannot be read.
    """
    from PIL import ImageColor

    from mask2alpha.imaging.decode import read_image

    if Path(text).is_file():
        return read_image(text).pixels
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise InputError(f"background {text!r} is neither a file nor a colour such as white or #20a040") from error
    return red / 255, green / 255, blue / 255


def matte_all(
    predictor: "AbstractPredictor",
    pairs: "tuple[PhotoMasks, ...]",
    plan: OutputPlan,
    *,
    has_overwrite: bool,
    total: int,
) -> dict[Path, str]:
    """Matte what is missing, photo by photo; each photo is read and encoded once.

    Returns:
        The reason for each mask that failed.
    """
    from tqdm import tqdm

    failures: dict[Path, str] = {}
    with tqdm(total=total, unit="matte", disable=None) as progress:
        for pair in pairs:
            wanted = {mask: plan.missing(_stem(pair, mask), has_overwrite=has_overwrite) for mask in pair.masks}
            wanted = {mask: kinds for mask, kinds in wanted.items() if kinds}
            if wanted:
                failures |= _matte_photo(predictor, pair, wanted, plan, progress)
    return failures


def _matte_photo(
    predictor: "AbstractPredictor", pair: "PhotoMasks", wanted: dict[Path, list[str]], plan: OutputPlan, progress: Any
) -> dict[Path, str]:
    from mask2alpha.imaging.decode import read_image, read_mask

    failures: dict[Path, str] = {}
    photo = encoded = None
    for mask_path, kinds in wanted.items():
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", UserWarning)
                if photo is None or encoded is None:
                    photo = read_image(pair.photo)
                    encoded = predictor.encode(photo.pixels)
                mask = read_mask(mask_path)
                matte = predictor.predict(encoded, mask)
                for kind in kinds:
                    _write(matte, mask, photo, kind, plan, plan.path(_stem(pair, mask_path), kind))
            for warning in caught:
                progress.write(f"Warning: {mask_path}: {warning.message}")
        # RuntimeError: PyTorch's way to say that memory ran out
        except (Mask2AlphaError, OSError, MemoryError, RuntimeError) as error:
            failures[mask_path] = " ".join(str(error).split()) or type(error).__name__
        progress.update()
    return failures


def _write(matte: "Matte", mask: "NDArray[np.uint8]", photo: "Photo", kind: str, plan: OutputPlan, path: Path) -> None:
    import numpy as np

    from mask2alpha.imaging.encode import write_image

    if kind == "alpha":
        scale = np.iinfo(photo.pixels.dtype).max if path.suffix.lower() == ".png" else 255
        array = np.rint(matte.alpha * scale).astype(photo.pixels.dtype if scale > 255 else np.uint8)
    elif kind == "cutout":
        array = matte.cutout()
    elif kind == "foreground":
        array = matte.foreground()
    elif kind == "composite":
        array = matte.composite(plan.background)
    else:
        array = _comparison(matte, mask, plan)
    write_image(path, array, icc_profile=None if kind == "alpha" else photo.icc_profile)


def _comparison(matte: "Matte", mask: "NDArray[np.uint8]", plan: OutputPlan) -> "NDArray[Any]":
    """Photo, mask over the photo, alpha and composite side by side."""
    import numpy as np

    photo = matte.image
    height, width = matte.alpha.shape
    top = np.iinfo(photo.dtype).max
    rows, columns = np.arange(height) * mask.shape[0] // height, np.arange(width) * mask.shape[1] // width
    share = mask[rows][:, columns, None].astype(np.float32) / 255 * 0.5
    red = np.array([1.0, 0.1, 0.1], dtype=np.float32) * top
    overlay = np.rint(photo * (1 - share) + red * share).astype(photo.dtype)
    alpha = np.repeat(np.rint(matte.alpha * top).astype(photo.dtype)[..., None], 3, axis=2)
    return np.concatenate([photo, overlay, alpha, matte.composite(plan.background)], axis=1)


def _stem(pair: "PhotoMasks", mask: Path) -> str:
    """Of the output: the mask's where it says more than the photo's."""
    return mask.stem if mask.stem.startswith(pair.photo.stem) else pair.photo.stem
