"""The outputs that are made of a matte: what each kind is, which formats hold it, how it is rendered and written.

The command line, the service, batches and clips all come here. A new kind of output is a function and an entry in
`KINDS`; a new format is an entry in `imaging.encode.FORMATS`.

Colours are the photo's own values, in the depth and format of the file. The target's colours are estimated once per
matte, in the values that the photo came in, and are then converted as the photo is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.imaging.colour import from_srgb_primaries, to_srgb_primaries, with_depth
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import FORMATS, encode_image, encode_passes, find_format, write_file, write_image
from mask2alpha.imaging.metadata import upright_xmp, without_gps_exif
from mask2alpha.imaging.photo import Photo, Tags
from mask2alpha.ops.edges import EdgeOptions

if TYPE_CHECKING:  # PyTorch is imported by what renders, so that the command line answers at once
    from mask2alpha.pipeline.matte import Matte

Window: TypeAlias = tuple[slice, slice]
"""Rows and columns."""
WHOLE: Window = (slice(None), slice(None))
_LEAST_KEY_CHROMA = 26
"""Least distance of the largest and smallest channel of a screen's colour, of 255; `despill` takes no less."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutputOptions:
    """How outputs are rendered, whatever their kind."""

    bits: int | None = None
    """Per sample: 8, 16 or 32; None: what keeps the photo's values."""
    compression: str = "zip"
    """Of OpenEXR files: one of `imaging.exr.COMPRESSIONS`."""
    background: Photo | None = None
    """Of composites and comparisons: a photo, or one pixel for a plain colour; None: white."""
    has_metadata: bool = False
    """Whether the photo's EXIF, XMP and resolution are kept."""
    has_gps: bool = False
    """Whether they keep the place."""
    clean_share: float | int = 1.0
    """In [0, 1]: how far the colours in soft edges go from the photo's to the target's own, which are estimated."""
    key: Photo | None = None
    """One pixel: the colour of a screen whose spill is removed."""
    despill_share: float | int = 1.0
    """In [0, 1]: the share of the spill that is removed."""
    edges: EdgeOptions = field(default_factory=EdgeOptions)
    """How the edge of the matte is changed, before the target's colours are estimated."""

    def with_colours(self, colours: str | None = "clean", despill: str | None = None) -> "OutputOptions":
        """The same with colours as users give them.

        Args:
            colours: "clean", "original" or a share in [0, 1]: what `clean_share` is.
            despill: The colour of a screen, and the share of its light to remove: "green", "#10c040:0.5"; None or "":
                nothing is removed.

        Raises:
            InputError: A text has another form, or the colour is grey.
        """
        shares = {"clean": 1.0, "original": 0.0}
        clean = shares[colours] if colours in shares else _read_share(str(colours), "colours", "clean, original, or ")
        if not despill:
            return replace(self, clean_share=clean)
        colour, _, share = despill.partition(":")
        key = plain_colour(colour, "despill")
        if int(key.pixels.max()) - int(key.pixels.min()) < _LEAST_KEY_CHROMA:
            raise InputError(f"despill {colour[:80]!r} is grey, and a screen has a colour, such as green or #10c040")
        return replace(self, clean_share=clean, key=key, despill_share=_read_share(share or "1", "despill", "COLOR:"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of output."""

    render: "Callable[[Scene], Sequence[NDArray[Any]] | Mapping[str, NDArray[Any]]]"
    """Panels that are written side by side, or the layers of an OpenEXR file."""
    channels: int = 3
    """1: alpha or another map; 3: colours; 4: colours and alpha."""
    is_premultiplied: bool = False
    is_over_background: bool = False
    """Whether it shows a background, which is in sRGB or linear light: photos with another profile are converted."""
    is_map: bool = False
    """Whether it is written in 8 bits, or as half floats where the format holds no whole numbers."""

    needs_mask: bool = False
    """Whether the rough mask is shown."""

    @property
    def has_colours(self) -> bool:
        """Whether the photo's profile and primaries belong to it."""
        return self.channels > 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """What a kind of output is rendered from, all in the values of the file that is written."""

    photo: Photo
    foreground: Callable[[], NDArray[Any]]
    """Makes the target's own colours, (H, W, 3), of the photo's dtype."""
    matte: "Matte"
    mask: NDArray[np.uint8] | None
    background: Photo

    @property
    def alpha(self) -> NDArray[Any]:
        """(H, W), of the photo's dtype."""
        return scale_values(self.matte.alpha, self.photo.pixels.dtype)

    @property
    def red_mask(self) -> NDArray[Any]:
        """The photo with the rough mask over it in red."""
        photo, size = self.photo.pixels, self.matte.alpha.shape
        assert self.mask is not None
        rows, columns = (np.arange(size[i]) * self.mask.shape[i] // size[i] for i in (0, 1))
        share = self.mask[rows][:, columns, None].astype(np.float32) / 255 * 0.5
        red = scale_values(np.array([1.0, 0.1, 0.1], dtype=np.float32), photo.dtype)
        return _as_dtype(photo * (1 - share) + red * share, photo.dtype)


class RenderedMatte:
    """A matte of a photo, and the outputs that are made of it."""

    def __init__(
        self,
        photo: Photo,
        matte: "Matte",
        *,
        mask: NDArray[np.uint8] | None = None,
        options: OutputOptions | None = None,
    ) -> None:
        """Take a matte and the photo that it was made of.

        Args:
            photo: As it was read, of the matte's size.
            matte: Of the photo.
            mask: (H, W), 0 to 255, of any size; comparisons and the output `mask` need it.
            options: How outputs are rendered.
        """
        self.options = options or OutputOptions()
        self.photo = photo
        self.matte = matte.with_edges(self.options.edges)
        self.mask = mask

    def write(self, path: Path, kind: str, *, window: Window | None = None) -> None:
        """Write one kind of output.

        Args:
            path: Its suffix decides on the format.
            kind: One of `KINDS`.
            window: Rows and columns to cut out; None: all.

        Raises:
            ImageFileError: The format cannot hold it, or the file cannot be written.
        """
        write_file(path, self.encode(path, kind, window=window))

    def encode(self, name: str | Path, kind: str, *, window: Window | None = None) -> bytes:
        """The bytes of one kind of output; see `write`."""
        made, tags = self.render(kind, Path(name).suffix, window=window)
        if isinstance(made, Mapping):
            return encode_passes(made, name, tags=tags)
        return encode_image(made, name, tags=tags)

    def render(
        self, kind: str, suffix: str, *, bits: int | None = None, window: Window | None = None
    ) -> tuple[NDArray[Any] | Mapping[str, NDArray[Any]], Tags]:
        """One kind of output as an array or as layers, and what its file says about it.

        Args:
            kind: One of `KINDS`.
            suffix: Of the file: decides on depth, grey and linear light.
            bits: Per sample; None: those of the options.
            window: Rows and columns to cut out; None: all.
        """
        spec = KINDS[kind]
        as_read = self.photo if spec.has_colours else Photo(pixels=np.zeros_like(self.photo.pixels[:1, :1]))
        photo = self._convert(as_read, spec, suffix, bits or self.options.bits)
        scene = Scene(
            photo=photo,
            foreground=lambda: self._foreground_as(photo, spec, suffix),
            matte=self.matte,
            mask=self.mask,
            background=self.options.background or WHITE,
        )
        made = spec.render(scene)
        tags = self._tags(photo, spec)
        if isinstance(made, Mapping):
            return {layer: _cut(array, window) for layer, array in made.items()}, tags
        array = np.concatenate([_cut(panel, window) for panel in made], axis=1)
        if _is_kept_grey(photo, spec, suffix) and not spec.is_over_background:
            array = array[..., [0, 3]] if array.shape[2] == 4 else array[..., 0]
        return (_as_map(array, suffix) if spec.is_map else array), tags

    def _convert(self, photo: Photo, spec: Kind, suffix: str, bits: int | None) -> Photo:
        """A photo in the values that are written."""
        is_light = photo.is_linear or photo.space is not None or suffix.lower() == ".exr"
        loses_profile = spec.is_over_background or (photo.is_grey and not _is_kept_grey(photo, spec, suffix))
        if loses_profile and spec.has_colours and not is_light:
            photo = photo.in_srgb()
        return photo.for_output(suffix, bits)

    def _foreground_as(self, photo: Photo, spec: Kind, suffix: str) -> NDArray[Any]:
        """The target's colours, converted as `photo` was; the photo's own where alpha is 1, bit for bit."""
        bits = photo.pixels.dtype.itemsize * 8
        colours = self._convert(replace(self.photo, pixels=self._own_foreground), spec, suffix, bits).pixels
        if self.options.key is None:
            colours = np.where((self.matte.alpha == 1)[..., None], photo.pixels, colours)
        return colours

    @cached_property
    def _own_foreground(self) -> NDArray[Any]:
        """The target's colours in the values of the photo as it was read; 16 bits or floats, so that little is lost."""
        pixels = self.photo.pixels
        pixels = with_depth(pixels, 16) if pixels.dtype.kind == "u" else pixels.astype(np.float32, copy=False)
        share = self.options.clean_share
        if share > 0:
            own = self.matte.with_image(pixels).foreground()
            is_soft = ((self.matte.alpha > 0) & (self.matte.alpha < 1))[..., None]
            part = _as_dtype(pixels + np.float32(share) * (own.astype(np.float32) - pixels), pixels.dtype)
            pixels = own if share == 1 else np.where(is_soft, part, own)
        if self.options.key is not None:
            key = background_for(self.photo, self.options.key)
            pixels = _remove_spill(pixels, key, self.options.despill_share)
        return pixels

    def _tags(self, photo: Photo, spec: Kind) -> Tags:
        """The profile where the colours are the photo's, and the metadata that was asked for."""
        options = self.options
        exif, xmp = (self.photo.exif, self.photo.xmp) if options.has_metadata else (None, None)
        return Tags(
            icc_profile=photo.icc_profile if spec.has_colours else None,
            primaries=photo.primaries if spec.has_colours else None,
            is_premultiplied=spec.is_premultiplied,
            exif=exif if exif is None or options.has_gps else without_gps_exif(exif),
            xmp=None if xmp is None else upright_xmp(xmp, has_gps=options.has_gps),
            resolution=self.photo.resolution if options.has_metadata else None,
            compression=options.compression,
        )


def encode_objects(rendered: Mapping[str, RenderedMatte], name: str | Path) -> bytes:
    """One OpenEXR file of several objects of a photo, by their names.

    Its colours and alpha are those of all cut-outs together, premultiplied; where the mattes add up to more than 1,
    they are scaled to 1. `photo` is one layer; `alpha`, `foreground` and `error` have one per object: `alpha.dog`.

    Raises:
        ImageFileError: The suffix is not `.exr`, or the extra is missing.
    """
    cutouts, layers = [], {}
    for each, one in rendered.items():
        made, tags = one.render("passes", ".exr")
        assert isinstance(made, Mapping)
        cutouts.append(made[""].astype(np.float32))
        layers["photo"] = made["photo"]
        layers |= {f"{layer}.{each}": made[layer] for layer in ("alpha", "foreground", "error")}
    whole = np.sum(cutouts, axis=0)
    whole = _as_dtype(whole / np.maximum(1, whole[..., 3:]), layers["photo"].dtype)
    return encode_passes({"": whole, **layers}, name, tags=tags)


def check_output(path: Path, kind: str, bits: int | None = None) -> None:
    """Check that a format holds a kind of output, by encoding one pixel of it.

    Raises:
        ImageFileError: It does not, its suffix is unknown, or the extra for it is not installed.
    """
    spec, held = KINDS[kind], find_format(path)
    if kind == "passes":
        encode_passes({"": np.ones((1, 1, 4), np.float32)}, path)
    is_float_only = "uint8" not in held.dtypes
    dtypes = {8: np.uint8, 16: np.float16 if is_float_only else np.uint16, 32: np.float32}
    dtype = dtypes[(not spec.is_map and bits) or (16 if is_float_only else 8)]
    encode_image(
        np.ones((1, 1, max(3, spec.channels)), dtype=dtype), path, tags=Tags(is_premultiplied=spec.is_premultiplied)
    )


def output_suffix(kind: str, photo: str | Path, wanted: str | None = None) -> str:
    """The suffix of an output in a folder.

    Args:
        kind: One of `KINDS`.
        photo: The photo's file name: light in OpenEXR stays light.
        wanted: The format that was asked for, one of `imaging.encode.FORMATS`.
    """
    if kind == "passes":
        return ".exr"
    if wanted is not None:
        return FORMATS[wanted].suffixes[0]
    return ".exr" if Path(photo).suffix.lower() == ".exr" and kind != "comparison" else ".png"


def write_map(path: Path, values: NDArray[Any], window: Window | None = None) -> None:
    """Write (H, W) values in [0, 1] as grey of 8 bits, or as half floats where the format holds no whole numbers."""
    write_image(path, _as_map(_cut(values, window), path.suffix))


def read_background(text: str) -> Photo:
    """A picture file, or a colour as a photo of one pixel.

    Raises:
        InputError: It is neither.
        ImageFileError: The file cannot be read.
    """
    if Path(text).is_file():
        return read_image(text)
    try:
        return plain_colour(text)
    except InputError as error:
        raise InputError(f"background {text!r} is neither a file nor a colour such as white or #20a040") from error


def plain_colour(text: str, name: str = "colour") -> Photo:
    """A colour in words or numbers as a photo of one pixel.

    Args:
        text: Such as white or #20a040.
        name: What messages call it.

    Raises:
        InputError: It is not a colour.
    """
    from PIL import ImageColor

    try:
        colour = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise InputError(f"{name} {text[:80]!r} is not a colour such as white or #20a040") from error
    return Photo(pixels=np.array([[colour]], dtype=np.uint8))


def scale_values(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in [0, 1] as a dtype holds them: integers up to the dtype's largest, floats as they are."""
    values = values.astype(np.float32, copy=False)
    return values.astype(dtype) if dtype.kind == "f" else np.rint(values * np.iinfo(dtype).max).astype(dtype)


def background_for(photo: Photo, background: Photo) -> NDArray[Any]:
    """A background, (H, W, 3), in the values of a photo; whole numbers as floats in [0, 1]."""
    pixels = background.in_srgb().pixels
    if photo.is_linear or photo.space is not None:
        light = background.for_output(".exr", 32)
        pixels = light.pixels if light.primaries is None else to_srgb_primaries(light.pixels, light.primaries)
        if photo.primaries is not None:
            pixels = from_srgb_primaries(pixels, photo.primaries)
        if photo.space is not None:
            pixels = photo.space.numbers(pixels)
    top = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    return np.asarray(pixels.astype(np.float32) / np.float32(top))


def _cutout(scene: Scene) -> list[NDArray[Any]]:
    return [np.dstack([scene.foreground(), scene.alpha])]


def _cutout_premultiplied(scene: Scene) -> list[NDArray[Any]]:
    colours = scene.foreground()
    return [np.dstack([_as_dtype(colours * scene.matte.alpha[..., None], colours.dtype), scene.alpha])]


def _composite(scene: Scene) -> list[NDArray[Any]]:
    colours, alpha = scene.foreground(), scene.matte.alpha[..., None]
    top = 1 if colours.dtype.kind == "f" else np.iinfo(colours.dtype).max
    behind = _cover(background_for(scene.photo, scene.background), scene.matte.alpha.shape) * np.float32(top)
    return [np.where(alpha == 1, colours, _as_dtype(behind + alpha * (colours - behind), colours.dtype))]


def _comparison(scene: Scene) -> list[NDArray[Any]]:
    return [scene.photo.pixels, scene.red_mask, np.repeat(scene.alpha[..., None], 3, axis=2), *_composite(scene)]


def _passes(scene: Scene) -> dict[str, NDArray[Any]]:
    """The premultiplied cut-out, as OpenEXR expects it, and what it is made of."""
    return {
        "": _cutout_premultiplied(scene)[0],
        "foreground": scene.foreground(),
        "photo": scene.photo.pixels,
        "alpha": scene.alpha,
        "error": scale_values(scene.matte.predicted_error, scene.photo.pixels.dtype),
    }


def _mask(scene: Scene) -> list[NDArray[Any]]:
    assert scene.mask is not None
    return [scene.mask / np.float32(255)]


KINDS: Mapping[str, Kind] = {
    "alpha": Kind(render=lambda scene: [scene.alpha], channels=1),
    "cutout": Kind(render=_cutout, channels=4),
    "cutout_premultiplied": Kind(render=_cutout_premultiplied, channels=4, is_premultiplied=True),
    "foreground": Kind(render=lambda scene: [scene.foreground()]),
    "composite": Kind(render=_composite, is_over_background=True),
    "comparison": Kind(render=_comparison, is_over_background=True, needs_mask=True),
    "passes": Kind(render=_passes, channels=4),
    "mask": Kind(render=_mask, channels=1, is_map=True, needs_mask=True),
    "error": Kind(render=lambda scene: [scene.matte.predicted_error], channels=1, is_map=True),
}
"""Everything that is made of a matte, by the name that users choose it by."""
WHITE = Photo(pixels=np.full((1, 1, 3), 255, np.uint8))


def _cut(array: NDArray[Any], window: Window | None) -> NDArray[Any]:
    return array if window is None else array[window]


def _as_dtype(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values that were computed in floats, in the range of a dtype."""
    if dtype.kind == "f":
        return np.asarray(np.minimum(values, np.finfo(dtype).max), dtype)
    return np.asarray(np.rint(np.clip(values, 0, np.iinfo(dtype).max)), dtype)


def _as_map(values: NDArray[Any], suffix: str) -> NDArray[Any]:
    is_whole = "uint8" in find_format(f"map{suffix}").dtypes
    return scale_values(values, np.dtype(np.uint8 if is_whole else np.float16))


def _is_kept_grey(photo: Photo, spec: Kind, suffix: str) -> bool:
    """Whether a grey photo gives a grey file."""
    return (
        photo.is_grey
        and spec.has_colours
        and len(suffix) > 1
        and {3: 1, 4: 2}[spec.channels] in find_format(f"output{suffix}").grey_channels
        and suffix.lower() != ".exr"
    )


def _cover(background: NDArray[Any], size: tuple[int, ...]) -> NDArray[Any]:
    """A background scaled to cover (height, width) and cropped around its centre; a single pixel stays one."""
    if background.shape[:2] == (1, 1):
        return background
    import torch

    from mask2alpha.pipeline.matte import cover

    covering = cover(torch.from_numpy(background).permute(2, 0, 1)[None], (size[0], size[1]))
    return np.asarray(covering[0].permute(1, 2, 0).numpy())


def _read_share(text: str, name: str, others: str) -> float:
    """A number in [0, 1]; `others` says what else is accepted."""
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InputError(f"{name} is {text[:40]!r}; accepted: {others}a share from 0 to 1")
    return share


def _remove_spill(colours: NDArray[Any], key: NDArray[Any], share: float | int) -> NDArray[Any]:
    """Remove the light of a screen from colours; linear light above 1 is scaled to [0, 1] meanwhile."""
    import torch

    from mask2alpha.pipeline.foreground import despill

    top = max(1.0, float(colours.max())) if colours.dtype.kind == "f" else np.iinfo(colours.dtype).max
    unit = torch.from_numpy(np.clip(colours.astype(np.float32) / np.float32(top), 0, 1)).permute(2, 0, 1)
    red, green, blue = (float(value) for value in key[0, 0].clip(0, 1))
    despilled = despill(unit, (red, green, blue), strength=float(share)).permute(1, 2, 0).numpy()
    return _as_dtype(despilled * np.float32(top), colours.dtype)
