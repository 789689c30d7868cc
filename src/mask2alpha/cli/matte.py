"""`mask2alpha matte`: photographs and masks in, mattes and what is made of them out."""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mask2alpha.cli.mask_options import mask_options
from mask2alpha.cli.network_options import network_options
from mask2alpha.errors import ImageFileError, InputError, Mask2AlphaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mask2alpha.imaging.encode import Tags
    from mask2alpha.imaging.pairs import PhotoMasks
    from mask2alpha.imaging.photo import Photo
    from mask2alpha.ops.masks import MaskChoice
    from mask2alpha.pipeline.abstract import AbstractPredictor
    from mask2alpha.pipeline.matte import EncodedImage, Matte

OUTPUTS = ("alpha", "cutout", "cutout_premultiplied", "foreground", "composite", "comparison", "passes")
FORMATS = ("png", "tif", "exr", "webp", "jpg")
_EXISTING = click.Path(exists=True, path_type=Path)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPlan:
    """Which pictures are made of a matte, and under which names."""

    target: Path
    """A file, for one matte and one kind of output; otherwise a folder."""
    kinds: tuple[str, ...]
    is_file: bool
    background: "Photo"
    """Of composites and comparisons; of one pixel where it is a colour."""
    suffix: str | None = None
    """Of the files in the folder; None: ".exr" for photographs called so, ".png" for others and for comparisons."""
    bits: int | None = None
    """Per sample; None: what keeps the photograph's values."""
    has_metadata: bool = False
    has_gps: bool = False
    mask_choice: "MaskChoice | None" = None
    """What the masks' files do not say."""

    def path(self, stem: str, kind: str, photo: Path) -> Path:
        """Where the `kind` of output of the mask called `stem` goes."""
        if self.is_file:
            return self.target
        if kind == "passes" or (self.suffix is None and kind != "comparison" and photo.suffix.lower() == ".exr"):
            return self.target / kind / f"{stem}.exr"
        return self.target / kind / f"{stem}{self.suffix or '.png'}"

    def missing(self, pair: "PhotoMasks", mask: Path, *, has_overwrite: bool) -> dict[str, Path]:
        """The kinds still to be made, and where; a file that exists is complete, because files are written whole."""
        paths = {kind: self.path(_stem(pair, mask), kind, pair.photo) for kind in self.kinds}
        return {kind: path for kind, path in paths.items() if has_overwrite or not path.exists()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedPhoto:
    """A photograph as read, as the network sees it, and encoded."""

    photo: "Photo"
    shown: "Photo"
    """In sRGB."""
    encoded: "EncodedImage"


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
    "--format",
    "file_format",
    type=click.Choice(FORMATS),
    help="Of the files in a folder.  [default: exr for .exr photos, png for others]",
)
@click.option(
    "--bits",
    type=click.Choice(["8", "16", "32"]),
    help="Per sample: 8, 16, or floating: 32 in TIFF, 16 or 32 in EXR.  [default: as the photo]",
)
@click.option("--keep-metadata", "has_metadata", is_flag=True, help="Keep the photo's EXIF and XMP, but not the place.")
@click.option("--keep-gps", "has_gps", is_flag=True, help="With --keep-metadata: keep the place as well.")
@click.option(
    "--background",
    default="white",
    show_default=True,
    metavar="COLOR|FILE",
    help="Of composites and comparisons: a colour (name or #rrggbb) or a picture.",
)
@mask_options
@network_options()
@click.option("--overwrite", "has_overwrite", is_flag=True, help="Make again what exists.")
def command(
    photos: Path,
    masks: Path,
    target: Path,
    kinds: tuple[str, ...],
    file_format: str | None,
    bits: str | None,
    has_metadata: bool,
    has_gps: bool,
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
    """Matte PHOTO with MASK, two files or two folders.

    In folders, a mask belongs to the photo of the same name; photo__label.png are several masks of one photo. OUT is a
    picture file for one photo, mask and kind of output; otherwise a folder, which gets OUT/<kind>/<mask>.png. What
    exists is skipped. After a failure the others are still done; the exit code is then 1.

    Cut-outs keep the depth and the colour profile of the photo; "cutout" is straight, "cutout_premultiplied" is
    multiplied by alpha, "passes" is one OpenEXR file with both, the alpha and the predicted error.
    """
    from mask2alpha.imaging.atomic import remove_leftovers
    from mask2alpha.imaging.pairs import match_pairs

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
            f"no photo in {photos} matches a mask in {masks}; a mask is called as its photo, photo_mask or photo__label"
        )
    if has_gps and not has_metadata:
        raise InputError("--keep-gps has a meaning only with --keep-metadata")
    plan = make_plan(
        target,
        kinds,
        background,
        inputs=(photos, masks),
        photo_suffixes={pair.photo.suffix.lower() for pair in pairing.pairs},
        num_mattes=sum(len(pair.masks) for pair in pairing.pairs),
        suffix=f".{file_format}" if file_format else None,
        bits=int(bits) if bits else None,
    )
    plan = replace(plan, has_metadata=has_metadata, has_gps=has_gps, mask_choice=mask_choice)
    for folder in [target.parent] if plan.is_file else [target / kind for kind in kinds]:
        remove_leftovers(folder)
    todo = [
        (pair, mask)
        for pair in pairing.pairs
        for mask in pair.masks
        if plan.missing(pair, mask, has_overwrite=has_overwrite)
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
    target: Path,
    kinds: tuple[str, ...],
    background: str,
    *,
    inputs: tuple[Path, ...],
    photo_suffixes: set[str],
    num_mattes: int,
    suffix: str | None = None,
    bits: int | None = None,
) -> OutputPlan:
    """Decide whether OUT is a file, and check before any work that it can hold the output.

    Raises:
        InputError: OUT is one file but there are several outputs, or is an input; or the background is neither a
            colour nor a file.
        ImageFileError: The format cannot hold it, its extra is missing, or the background cannot be read.
    """
    from mask2alpha.imaging.encode import FORMAT_OF_SUFFIX

    is_file = target.suffix.lower() in FORMAT_OF_SUFFIX and not target.is_dir()
    if is_file and (num_mattes > 1 or len(kinds) > 1):
        raise InputError(
            f"{target} is a file, but there are {num_mattes * len(kinds)} pictures to write; give a folder"
        )
    if target.resolve() in [path.resolve() for path in inputs if path.is_file()]:
        raise InputError(f"{target} is an input and would be overwritten")
    if not is_file and target.exists() and not target.is_dir():
        raise InputError(f"{target} is neither a folder nor a picture's name")
    plan = OutputPlan(
        target=target, kinds=kinds, is_file=is_file, background=parse_background(background), suffix=suffix, bits=bits
    )
    for kind in kinds:
        for path in {plan.path("NAME", kind, Path(f"NAME{photo_suffix}")) for photo_suffix in sorted(photo_suffixes)}:
            _check_writable(path, kind, bits)
    return plan


def _check_writable(path: Path, kind: str, bits: int | None) -> None:
    """Encode a picture of one pixel: whatever is refused is refused before any work."""
    import numpy as np

    from mask2alpha.imaging.encode import Tags, encode_image

    suffix = path.suffix.lower()
    if kind == "passes" and suffix != ".exr":
        raise ImageFileError(f"{path}: passes are written as .exr")
    dtypes = {8: np.uint8, 16: np.float16 if suffix == ".exr" else np.uint16, 32: np.float32}
    dtype = dtypes[bits or (16 if suffix == ".exr" else 8)]
    is_premultiplied = kind == "cutout_premultiplied"
    channels = 4 if kind in ("cutout", "cutout_premultiplied", "passes") else 3
    encode_image(np.ones((1, 1, channels), dtype=dtype), path, tags=Tags(is_premultiplied=is_premultiplied))


def parse_background(text: str) -> "Photo":
    """A picture file, or a colour as a picture of one pixel.

    Raises:
        InputError: It is neither.
        ImageFileError: The file cannot be read.
    """
    import numpy as np
    from PIL import ImageColor

    from mask2alpha.imaging.decode import read_image
    from mask2alpha.imaging.photo import Photo

    if Path(text).is_file():
        return read_image(text)
    try:
        colour = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise InputError(f"background {text!r} is neither a file nor a colour such as white or #20a040") from error
    return Photo(pixels=np.array([[colour]], dtype=np.uint8))


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
            wanted = {mask: plan.missing(pair, mask, has_overwrite=has_overwrite) for mask in pair.masks}
            wanted = {mask: paths for mask, paths in wanted.items() if paths}
            if wanted:
                failures |= _matte_photo(predictor, pair, wanted, plan, progress)
    return failures


def _matte_photo(
    predictor: "AbstractPredictor",
    pair: "PhotoMasks",
    wanted: dict[Path, dict[str, Path]],
    plan: OutputPlan,
    progress: Any,
) -> dict[Path, str]:
    from mask2alpha.imaging.fitted_masks import read_fitted_mask

    failures: dict[Path, str] = {}
    loaded: LoadedPhoto | None = None
    for mask_path, paths in wanted.items():
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", UserWarning)
                if loaded is None:
                    loaded = _load(predictor, pair.photo)
                mask = read_fitted_mask(
                    mask_path,
                    loaded.encoded.size,
                    orientation=loaded.photo.orientation,
                    choice=plan.mask_choice,
                )
                matte = predictor.predict(loaded.encoded, mask)
                for kind, path in paths.items():
                    _write(matte, mask.as_bytes(), loaded, kind, plan, path)
            for message in dict.fromkeys(str(warning.message) for warning in caught):
                progress.write(f"Warning: {mask_path}: {message}")
        # RuntimeError: PyTorch's way to say that memory ran out
        except (Mask2AlphaError, OSError, MemoryError, RuntimeError) as error:
            failures[mask_path] = " ".join(str(error).split()) or type(error).__name__
        progress.update()
    return failures


def _load(predictor: "AbstractPredictor", path: Path) -> LoadedPhoto:
    from mask2alpha.imaging.decode import read_image

    photo = read_image(path)
    if photo.alpha is not None and photo.alpha.min() != photo.alpha.max():
        warnings.warn("the photo has transparent parts; the colours stored there are matted like others", stacklevel=2)
    shown = photo.in_srgb()
    return LoadedPhoto(photo=photo, shown=shown, encoded=predictor.encode(shown.pixels))


def _write(
    matte: "Matte", mask: "NDArray[np.uint8]", loaded: LoadedPhoto, kind: str, plan: OutputPlan, path: Path
) -> None:
    import numpy as np

    from mask2alpha.imaging.encode import write_image, write_passes
    from mask2alpha.matte_pictures import background_for, comparison_panels, make_passes, scaled

    suffix = path.suffix.lower()
    is_for_looking = kind == "comparison" or (kind == "composite" and suffix != ".exr")
    photo = (loaded.shown if is_for_looking else loaded.photo).for_output(suffix, plan.bits)
    matte = matte.with_image(photo.pixels)
    if kind == "passes":
        write_passes(path, make_passes(matte), primaries=photo.primaries)
        return
    if kind == "alpha":
        array = scaled(matte.alpha, photo.pixels.dtype)
    elif kind == "foreground":
        array = matte.foreground()
    elif kind == "composite":
        array = matte.composite(background_for(photo, plan.background))
    elif kind == "comparison":
        panels = comparison_panels(matte, mask, background_for(photo, plan.background))
        array = np.concatenate(panels, axis=1)
    else:
        array = matte.cutout(is_premultiplied=kind == "cutout_premultiplied")
    is_kept_grey = photo.is_grey and kind in ("cutout", "cutout_premultiplied", "foreground")
    if is_kept_grey and suffix in (".png", ".tif", ".tiff"):
        array = array[..., [0, 3]] if array.shape[2] == 4 else array[..., 0]
    write_image(path, array, tags=_tags(photo, kind, plan))


def _tags(photo: "Photo", kind: str, plan: OutputPlan) -> "Tags":
    """The profile where the colours are the photograph's, and of its metadata what was asked for."""
    from mask2alpha.imaging.encode import Tags
    from mask2alpha.imaging.metadata import upright_xmp, without_gps_exif

    exif, xmp = (photo.exif, photo.xmp) if plan.has_metadata else (None, None)
    return Tags(
        icc_profile=photo.icc_profile if kind != "alpha" else None,
        primaries=photo.primaries if kind != "alpha" else None,
        is_premultiplied=kind == "cutout_premultiplied",
        exif=exif if exif is None or plan.has_gps else without_gps_exif(exif),
        xmp=None if xmp is None else upright_xmp(xmp, has_gps=plan.has_gps),
    )


def _stem(pair: "PhotoMasks", mask: Path) -> str:
    """Of the output: the mask's where it says more than the photo's."""
    from mask2alpha.imaging.pairs import output_stem

    return output_stem(pair.photo.stem, mask.stem)
