"""Checks the user's arrays and converts them to the network's tensors.

Images: (H, W, 3) or grey (H, W), uint8, uint16 or float in [0, 1]. Masks: (H, W), bool, 0/1, 0/255, soft, or a trimap
(0, 128, 255), as `mask2alpha.ops.masks` understands them; or a `Mask`, whose meaning is known. Tensors:
(1, 3, H, W) and (1, 1, H, W), float32 in [0, 1]; or *pixels*, which keep their type (bool, uint8) to save memory
and are turned into floats a few at a time.
"""

import math
import warnings
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from numpy.typing import NDArray
from torch import Tensor

from mask2alpha.errors import InputError
from mask2alpha.ops.mask_fit import fit_mask
from mask2alpha.ops.masks import DrawnMask, Fit, Mask, understand
from mask2alpha.ops.units import as_unit
from mask2alpha.shapes import Size

MAX_SIDE = 65_500
"""Longest side accepted, in pixels."""
_IMAGE_KINDS = "(height, width, 3) or (height, width), uint8, uint16 or float in [0, 1]"
OVERSHOOT = 1 / 16
"""Floats of an image this far below 0 or above 1 are clamped: rounding and resampling leave [0, 1] a little."""
_MASK_KINDS = "(height, width), bool, 0/1, 0/255 or float in [0, 1]"


def image_to_tensor(image: Any) -> Float[Tensor, "1 3 height width"]:
    """Check an image and scale it to [0, 1]; grey is repeated over the three channels.

    Raises:
        InputError: It is not an image as in this module's docstring. An image with an alpha channel is refused, because
            the caller has to decide about the hidden colours.
    """
    array = _checked_image(image)
    pixels = torch.from_numpy(_image_values(array)).view(*array.shape[:2], -1)
    return pixels.expand(-1, -1, 3)[None].permute(0, 3, 1, 2)  # channels last, as the array was


def image_to_pixels(image: Any) -> Shaped[Tensor, "1 3 height width"]:
    """As `image_to_tensor`, but uint8 stays uint8, if possible without a copy; channels last in memory."""
    array = _checked_image(image)
    if array.dtype != np.uint8:
        return image_to_tensor(image).contiguous(memory_format=torch.channels_last)
    colours = array if array.ndim == 3 and array.shape[2] == 3 else np.repeat(array.reshape(*array.shape[:2], 1), 3, 2)
    return _as_tensor(np.ascontiguousarray(colours)).permute(2, 0, 1)[None]


def _as_tensor(array: NDArray[Any]) -> Tensor:
    with warnings.catch_warnings():  # arrays from Pillow are read-only; we do not write to them
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _checked_image(image: Any) -> NDArray[Any]:
    array = _as_array(image, "image", _IMAGE_KINDS)
    if array.ndim == 3 and array.shape[2] in (2, 4):
        raise InputError(
            f"image has {array.shape[2]} channels, the last of them probably alpha; pass its colours alone "
            "(image[..., :-1]) or composite it over a background first"
        )
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        raise InputError(f"image of shape {array.shape} looks channel-first; pass {_IMAGE_KINDS}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise InputError(f"image of shape {array.shape} cannot be used; accepted: {_IMAGE_KINDS}")
    _check_sides(array.shape[:2], "image")
    return array


def colours_to_tensor(image: Any) -> tuple[Float[Tensor, "1 3 height width"], float]:
    """As `image_to_tensor`, but floats may be linear light: any finite values.

    Returns:
        The colours divided by a power of two that brings them to [0, 1], negative ones raised to 0; and that power.

    Raises:
        InputError: As `image_to_tensor`, but for the range.
    """
    if not isinstance(image, np.ndarray) or not np.issubdtype(image.dtype, np.floating) or image.size == 0:
        return image_to_tensor(image), 1.0
    _, high = _finite_range(image, "image")
    scale = 2.0 ** min(127, math.ceil(math.log2(high))) if high > 1 else 1.0
    return image_to_tensor(np.clip(image.astype(np.float32) / np.float32(scale), 0, 1)), scale


def mask_to_tensor(mask: Any, size: Size, *, fit: Fit = "aspect") -> Float[Tensor, "1 1 height width"]:
    """Check one mask, scale it to [0, 1] and bring it to the image's size.

    Args:
        mask: (H, W), with axes of length 1 around it or not.
        size: (height, width) of the image. A mask of another size and the same aspect is resampled, with a
            `UserWarning`; one with only two values keeps two values.
        fit: `stretch` takes another aspect as well.

    Raises:
        InputError: It is not a mask as in this module's docstring.
    """
    return as_unit(mask_to_pixels(mask, size, fit=fit))


def mask_to_pixels(
    mask: Any, size: Size, *, name: str = "mask", fit: Fit = "aspect"
) -> Shaped[Tensor, "1 1 height width"]:
    """As `mask_to_tensor`, but bool stays bool, 0/1 become bool and 0/255 uint8, if possible without a copy.

    Messages call the mask by its `name`.
    """
    notes: list[str] = []
    if not isinstance(mask, Mask):
        array = _without_single_axes(_as_array(mask, name, _MASK_KINDS))
        if array.ndim == 3 and array.shape[2] in (3, 4):
            raise InputError(
                f"{name} of shape {array.shape} is a colour image; pass one channel, for example {name}[..., 0]"
            )
        if array.ndim != 2:
            is_stack_last = array.ndim == 3 and array.shape[:2] == size != array.shape[1:]
            several = f"{name}.transpose(2, 0, 1) goes" if is_stack_last else "several masks go"
            raise InputError(
                f"{name} of shape {array.shape} cannot be used; accepted: {_MASK_KINDS}"
                + (f"; {several} to predict_instances" if array.ndim == 3 else "")
            )
        _check_sides(array.shape, name)
        mask, notes = understand(DrawnMask(values=array, top=_white(array)), name=name)
    mask, told = fit_mask(mask, size, fit=fit, name=name, has_options=False)
    for note in (*notes, *told):
        warnings.warn(note, UserWarning, stacklevel=5)
    return _as_tensor(np.ascontiguousarray(mask.values))[None, None]


def _white(array: NDArray[Any]) -> int | None:
    """The integer that is white in an array, if its dtype tells."""
    return int(np.iinfo(array.dtype).max) if array.dtype in (np.uint8, np.uint16) else None


def _without_single_axes(array: NDArray[Any]) -> NDArray[Any]:
    """(H, W) of (H, W, 1), (1, H, W), (1, 1, H, W) and the like."""
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    return array


def split_masks(masks: Any, size: Size | None = None) -> list[Any]:
    """The masks in a (K, H, W) array, or in a sequence of what `mask_to_tensor` takes.

    Args:
        masks: (K, H, W), (K, 1, H, W) or (K, H, W, 1); or a list or tuple.
        size: (height, width) of the image; an array that has it in front is refused.

    Raises:
        InputError: It is neither, or an array that has the masks along another axis.
    """
    if isinstance(masks, (list, tuple)):
        return list(masks)
    if not isinstance(masks, np.ndarray):
        raise InputError(
            f"masks is a {type(masks).__name__}; accepted: an array (masks, height, width) or a list of masks"
        )
    if masks.ndim == 4 and 1 in (masks.shape[1], masks.shape[3]):
        masks = masks[:, 0] if masks.shape[1] == 1 else masks[..., 0]
    advice = ""
    if masks.ndim == 2:
        advice = "; one mask goes to predict"
    elif masks.ndim == 3 and masks.shape[:2] == size and masks.shape[1:] != size:
        advice = "; masks.transpose(2, 0, 1) brings the masks to the front"
    if masks.ndim != 3 or advice:
        raise InputError(f"masks of shape {masks.shape} cannot be used; accepted: (masks, height, width){advice}")
    return list(masks)


def _as_array(value: Any, name: str, accepted: str) -> NDArray[Any]:
    if not isinstance(value, np.ndarray):
        raise InputError(
            f"{name} is a {type(value).__name__}, not a NumPy array; accepted: {accepted} "
            "(np.asarray converts a PIL image, mask2alpha.imaging.decode reads a file)"
        )
    return value.astype(value.dtype.newbyteorder("="), copy=False)  # files of 16 bits often have the other byte order


def _check_sides(shape: tuple[int, ...], name: str) -> None:
    if min(shape) < 1 or max(shape) > MAX_SIDE:
        raise InputError(f"{name} is {shape[0]} x {shape[1]} pixels; accepted: 1 to {MAX_SIDE} on each side")


def _image_values(array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype in (np.uint8, np.uint16):
        values = array.astype(np.float32, order="C")
        values /= np.float32(np.iinfo(array.dtype).max)
        return values
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"image is of type {array.dtype}; accepted: uint8, uint16 or float in [0, 1]")
    low, high = _finite_range(array, "image")
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        top = next((top for top in (255, 65535) if high <= top and low >= 0), None)
        advice = f"; divide it by {top}" if top and high >= 2 else ""
        raise InputError(f"image has values from {low:g} to {high:g}; a float image is in [0, 1]{advice}")
    values = array.astype(np.float32, order="C")
    return values if low >= 0 and high <= 1 else np.clip(values, 0, 1, out=values)


def _finite_range(array: NDArray[Any], name: str) -> tuple[float, float]:
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise InputError(f"{name} has values that are not finite (NaN or infinity)")
    return low, high
