"""Bringing a mask of another size, or in the camera's orientation, to its photo."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mask2alpha.errors import InputError
from mask2alpha.ops.masks import Fit, Mask
from mask2alpha.ops.orientation import SIDEWAYS, turn_upright
from mask2alpha.ops.resize import resize
from mask2alpha.ops.trimap import find_unsure, has_guess
from mask2alpha.shapes import Size

_TOLERANCE = 0.01
"""Share of a side by which a mask's aspect may differ from the photo's; one pixel is allowed in any case."""


def fit_mask(
    mask: Mask, size: Size, *, orientation: int = 1, fit: Fit = "aspect", name: str = "mask", has_options: bool = True
) -> tuple[Mask, list[str]]:
    """Bring a mask to the size of its photo.

    Args:
        mask: Of any size. One with only two values keeps two values, and a trimap remains one.
        size: (height, width) of the upright photo.
        orientation: The photo's EXIF orientation, 1 to 8, which was undone when the photo was read. A mask whose sides
            are the photo's, swapped, is turned in the same way.
        fit: Whether a mask of another aspect is refused or stretched.
        name: What messages call the mask.
        has_options: Whether the mask came as a file, whose user can choose `fit`; for the messages. Arrays are told
            their shapes, height first.

    Returns:
        The mask, and notes on what was done to it.

    Raises:
        InputError: The mask's aspect is not the photo's.
    """
    given = mask.values.shape
    if given == size:
        return mask, []
    if mask.values.min() == mask.values.max():  # the same at any size, such as an empty one
        return Mask(values=np.full(size, mask.values.flat[0])), []
    if fit == "aspect" and given == size[::-1] and orientation in SIDEWAYS:
        turned = Mask(values=turn_upright(mask.values, orientation))
        return turned, [
            f"{name} lay as the camera saw it and was turned as the photo is (EXIF orientation {orientation})"
        ]
    if fit == "aspect" and not _is_same_aspect(given, size):
        is_swapped = _is_same_aspect(given, size[::-1])
        advice = "turn it" if is_swapped else "give a mask of the photo's aspect"
        raise InputError(
            f"{name} is {given[1]} x {given[0]} pixels (width x height) and the photo {size[1]} x {size[0]}: "
            + ("the sides are swapped; " if is_swapped else "another aspect; ")
            + advice
            + (
                ", or have it stretched with --fit stretch"
                if has_options
                else ", or resize it to the photo's size first"
            )
        )
    values = torch.from_numpy(np.ascontiguousarray(mask.values))[None, None]
    unit = values.float().div_(255) if values.dtype == torch.uint8 else values.float()
    resized = resize(unit, size).clamp(0, 1)
    is_binary = bool(((unit == 0) | (unit == 1)).all())
    fitted = resized > 0.5 if is_binary else resized
    if (is_unsure := find_unsure(mask.values)) is not None:
        fitted = _fit_trimap(unit, torch.from_numpy(is_unsure)[None, None], size)
    note = (
        f"{name} of {given[1]} x {given[0]} was resized to the photograph's {size[1]} x {size[0]}"
        if has_options
        else f"{name} of size {given[0]} x {given[1]} was resized to the image's {size[0]} x {size[1]}"
    )
    return Mask(values=fitted[0, 0].numpy()), [note]


def _fit_trimap(
    unit: Float[Tensor, "1 1 _h _w"], is_unsure: Bool[Tensor, "1 1 _h _w"], size: Size
) -> Float[Tensor, "1 1 height width"]:
    """A trimap at another size: what a grey pixel touches is grey, on the side of half on which the mask lies there."""
    is_open = resize(is_unsure.float(), size) > 1 / 255
    is_target = resize(unit, size) > 0.5
    has_sides = has_guess(unit[0, 0].numpy())
    grey = torch.where(is_target, 128 / 255, 127 / 255) if has_sides else torch.tensor(128 / 255)
    return torch.where(is_open, grey, is_target.float())


def _is_same_aspect(given: tuple[int, ...], size: tuple[int, ...]) -> bool:
    """Whether one side of the smaller picture is what its other side asks for, within a pixel or a hundredth."""
    (height, width), (large_height, large_width) = sorted((given, size), key=math.prod)
    wanted_width, wanted_height = height * large_width / large_height, width * large_height / large_width
    return abs(width - wanted_width) <= max(1.0, _TOLERANCE * wanted_width) or abs(height - wanted_height) <= max(
        1.0, _TOLERANCE * wanted_height
    )
