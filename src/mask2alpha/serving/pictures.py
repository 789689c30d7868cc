"""The pictures that are made of a matte: the same files that the `matte` command writes, and maps for overlays."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.evaluation.figures import StepMaps
from mask2alpha.evaluation.inspection import replay_steps, scale_mask
from mask2alpha.imaging.encode import Tags, encode_image, write_image, write_passes
from mask2alpha.imaging.photo import Photo
from mask2alpha.matte_pictures import background_for, comparison_panels, make_passes, scaled
from mask2alpha.model.mask2alpha import STRIDE_MULTIPLE
from mask2alpha.ops.masks import Mask
from mask2alpha.ops.padding import pad_to_multiple
from mask2alpha.pipeline.matte import EncodedImage, Matte
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.preprocess import mask_to_tensor
from mask2alpha.shapes import Size

Window: TypeAlias = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MattedPhoto:
    """A matte, and the pictures that belong to it."""

    photo: Photo
    """As it was read."""
    shown: Photo
    """In sRGB, as the network saw it."""
    matte: Matte
    mask: NDArray[np.uint8]
    """(H, W), the rough mask, at the size of the matte."""
    background: Photo
    """Of composites and comparisons; of one pixel where it is a colour."""

    def write(self, path: Path, kind: str, *, bits: int | None, window: Window | None) -> None:
        """Write one picture, by the rules of the `matte` command.

        Args:
            path: Its suffix decides on the format.
            kind: One of the outputs, but `active` and `steps`.
            bits: Per sample; None: what keeps the photograph's values.
            window: Rows and columns to cut out; None: all.

        Raises:
            ImageFileError: The format cannot hold it.
        """
        suffix = path.suffix
        is_for_looking = kind == "comparison" or (kind == "composite" and suffix != ".exr")
        photo = (self.shown if is_for_looking else self.photo).for_output(suffix, bits)
        matte = self.matte.with_image(photo.pixels)
        if kind == "passes":
            write_passes(path, {name: _cut(layer, window) for name, layer in make_passes(matte).items()})
            return
        if kind in ("mask", "error"):
            write_map(path, self.mask / np.float32(255) if kind == "mask" else matte.predicted_error, window)
            return
        if kind == "alpha":
            array = scaled(matte.alpha, photo.pixels.dtype)
        elif kind == "foreground":
            array = matte.foreground()
        elif kind == "composite":
            array = matte.composite(background_for(photo, self.background))
        elif kind == "comparison":
            panels = comparison_panels(matte, self.mask, background_for(photo, self.background))
            array = np.concatenate([_cut(panel, window) for panel in panels], axis=1)
        else:
            array = matte.cutout(is_premultiplied=kind == "cutout_premultiplied")
        if photo.is_grey and kind in ("cutout", "cutout_premultiplied", "foreground") and suffix in (".png", ".tif"):
            array = array[..., [0, 3]] if array.shape[2] == 4 else array[..., 0]
        is_grey = array.ndim == 2 or array.shape[2] == 2
        tags = Tags(
            icc_profile=photo.icc_profile if kind != "alpha" and is_grey == photo.is_grey else None,
            primaries=photo.primaries if kind != "alpha" else None,
            is_premultiplied=kind == "cutout_premultiplied",
        )
        write_image(path, array if kind == "comparison" else _cut(array, window), tags=tags)


def write_map(path: Path, values: NDArray[Any], window: Window | None = None) -> None:
    """Write (H, W) values in [0, 1] as grey of 8 bits, or as floats where the format holds nothing else."""
    write_image(path, _cut(scaled(values, np.dtype(np.float16 if path.suffix == ".exr" else np.uint8)), window))


def check_writable(path: Path, kind: str, bits: int | None) -> None:
    """Refuse before any work what a format cannot hold, by writing a picture of one pixel.

    Raises:
        InputError: It cannot.
    """
    suffix = path.suffix
    dtypes = {8: np.uint8, 16: np.float16 if suffix == ".exr" else np.uint16, 32: np.float32}
    dtype = dtypes[bits or (16 if suffix == ".exr" else 8)]
    channels = 4 if kind in ("cutout", "cutout_premultiplied", "passes") else 3
    try:
        if kind == "passes" and suffix != ".exr":
            raise ImageFileError(f"{path}: passes are written as .exr")
        tags = Tags(is_premultiplied=kind == "cutout_premultiplied")
        encode_image(np.ones((1, 1, channels), dtype=dtype), path, tags=tags)
    except ImageFileError as error:
        raise InputError(f"{kind} cannot be had so: {str(error).removeprefix(f'{path}: ')}") from error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inside:
    """What the network did on its way to a matte."""

    active: NDArray[np.bool_]
    """(H, W): the pixels that the detail stage recomputed at full resolution."""
    steps: tuple[StepMaps, ...]
    """Each decoding step, oldest first, at a quarter of the resolution at which the photograph was encoded."""


def look_inside(predictor: Predictor, encoded: EncodedImage, mask: NDArray[np.uint8]) -> Inside | None:
    """Run the network once more, with a trace.

    Returns:
        None for an empty or a full mask, which the predictor answers without the network.
    """
    if mask.min() == mask.max() and mask.max() in (0, 255):
        return None
    padded_mask = pad_to_multiple(mask_to_tensor(Mask(values=mask), encoded.size), STRIDE_MULTIPLE).to(predictor.device)
    is_mixed = predictor.dtype != torch.float32
    with torch.inference_mode(), torch.autocast(predictor.device.type, dtype=predictor.dtype, enabled=is_mixed):
        output = predictor.model.decode(
            encoded.padded, encoded.encoding, padded_mask, replace(predictor.options, has_trace=True)
        )
        fused = predictor.model.fuse(encoded.encoding, scale_mask(padded_mask, encoded.encoding))
        steps = replay_steps(predictor.model, fused, output.coarse)
    height, width = encoded.size
    share = height / encoded.padded.shape[2], width / encoded.padded.shape[3]
    return Inside(
        active=np.ascontiguousarray(output.active[0, 0, :height, :width].cpu().numpy()),
        steps=tuple(
            StepMaps(
                mixed_matte=_covered(step.mixed_matte, share),
                is_fine=_covered(step.is_fine, share),
                alpha=_covered(step.alpha, share),
            )
            for step in steps
        ),
    )


def maps_of(kind: str, inside: Inside | None, size: Size) -> dict[str, NDArray[Any]]:
    """The maps of `active` or `steps`, in [0, 1], by the name that they add to an object's.

    Args:
        kind: `active` or `steps`.
        inside: None: nothing was recomputed, and there were no steps.
        size: (height, width) of the matte.
    """
    if kind == "active":
        return {"active": np.zeros(size, dtype=np.bool_) if inside is None else inside.active}
    maps: dict[str, NDArray[Any]] = {}
    for number, step in enumerate(() if inside is None else inside.steps, start=1):
        maps[f"step-{number}_alpha"] = step.alpha
        maps[f"step-{number}_fine"] = step.is_fine
    return maps


def _cut(array: NDArray[Any], window: Window | None) -> NDArray[Any]:
    return array if window is None else array[window]


def _covered(values: NDArray[Any], share: tuple[float, float]) -> NDArray[Any]:
    """The part of a map that lies over the photograph and not over its padding."""
    return values[: math.ceil(values.shape[0] * share[0]), : math.ceil(values.shape[1] * share[1])]
