"""From the user's arrays to the network's tensors: every check of an image or a mask is here.

Images: (H, W, 3) or grey (H, W), uint8, uint16 or float in [0, 1]. Masks: (H, W), bool, 0/1, 0/255, soft, or a trimap
(0, 128, 255). Tensors: (1, 3, H, W) and (1, 1, H, W), float32 in [0, 1]; or *pixels*, which stay as small in memory as
they came (bool, uint8) and are turned into floats a few at a time.
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
from mask2alpha.ops.resize import resize
from mask2alpha.ops.units import as_unit
from mask2alpha.shapes import Size

MAX_SIDE = 65_500
"""Longest side accepted, in pixels."""
_IMAGE_KINDS = "(height, width, 3) or (height, width), uint8, uint16 or float in [0, 1]"
_MASK_KINDS = "(height, width), bool, 0/1, 0/255 or float in [0, 1]"


def image_to_tensor(image: Any) -> Float[Tensor, "1 3 height width"]:
    """Check an image and scale it to [0, 1]; grey is repeated over the three channels.

    Raises:
        InputError: It is no image as this module's docstring says; an image with an alpha channel is refused, because
            whether its hidden colours count is for the caller to decide.
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
    with warnings.catch_warnings():  # arrays of Pillow's pictures are read-only; we do not write
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


def mask_to_tensor(mask: Any, size: Size, *, name: str = "mask") -> Float[Tensor, "1 1 height width"]:
    """Check one mask, scale it to [0, 1] and bring it to the image's size.

    Args:
        mask: (H, W).
        size: (height, width) of the image. A mask of another size is resampled, with a `UserWarning`; one with only two
            values keeps two values.
        name: What messages call the argument.

    Raises:
        InputError: It is no mask as this module's docstring says.
    """
    return as_unit(mask_to_pixels(mask, size, name=name))


def mask_to_pixels(mask: Any, size: Size, *, name: str = "mask") -> Shaped[Tensor, "1 1 height width"]:
    """As `mask_to_tensor`, but bool stays bool, 0/1 become bool and 0/255 uint8, if possible without a copy."""
    array = _as_array(mask, name, _MASK_KINDS)
    if array.ndim == 3 and array.shape[2] in (3, 4):
        raise InputError(
            f"{name} of shape {array.shape} is a colour picture; pass one channel, for example {name}[..., 0]"
        )
    if array.ndim != 2:
        raise InputError(
            f"{name} of shape {array.shape} cannot be used; accepted: {_MASK_KINDS}"
            + ("; several masks go to predict_instances" if array.ndim == 3 else "")
        )
    _check_sides(array.shape, name)
    values = _as_tensor(np.ascontiguousarray(_mask_values(array, name)))[None, None]
    if array.shape == size:
        return values
    values = as_unit(values)
    warnings.warn(
        f"{name} of size {array.shape[0]} x {array.shape[1]} was resized to the image's {size[0]} x {size[1]}",
        UserWarning,
        stacklevel=5,
    )
    resized = resize(values, size).clamp(0, 1)
    return resized > 0.5 if bool(((values == 0) | (values == 1)).all()) else resized


def split_masks(masks: Any) -> list[NDArray[Any]]:
    """The (H, W) masks in a (K, H, W) array or a sequence of (H, W) arrays.

    Raises:
        InputError: It is neither.
    """
    if isinstance(masks, np.ndarray):
        if masks.ndim != 3:
            raise InputError(f"masks of shape {masks.shape} cannot be used; accepted: (masks, height, width)")
        return list(masks)
    if isinstance(masks, (list, tuple)):
        return list(masks)
    raise InputError(f"masks is a {type(masks).__name__}; accepted: an array (masks, height, width) or a list of masks")


def _as_array(value: Any, name: str, accepted: str) -> NDArray[Any]:
    if not isinstance(value, np.ndarray):
        raise InputError(
            f"{name} is a {type(value).__name__}, not a NumPy array; accepted: {accepted} "
            "(np.asarray converts a PIL picture, mask2alpha.imaging.decode reads a file)"
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
    if low < 0 or high > 1:
        advice = "; divide it by 255" if 1 < high <= 255 and low >= 0 else ""
        raise InputError(f"image has values from {low:g} to {high:g}; a float image is in [0, 1]{advice}")
    return array.astype(np.float32, order="C")


def _mask_values(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Bool, uint8 of which 255 is 1, or float32 in [0, 1]."""
    if array.dtype == np.bool_:
        return array
    if np.issubdtype(array.dtype, np.floating):
        low, high = _finite_range(array, name)
        if low < 0 or high > 1:
            advice = "; divide it by 255" if 1 < high <= 255 and low >= 0 else ""
            raise InputError(f"{name} has values from {low:g} to {high:g}; a float mask is in [0, 1]{advice}")
        return array.astype(np.float32, copy=False)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"{name} is of type {array.dtype}; accepted: {_MASK_KINDS}")
    low, high = int(array.min()), int(array.max())
    scale = next((top for top in (1, 255, 65535) if high <= top), None)
    if low < 0 or scale is None or (scale == 65535 and array.dtype != np.uint16):
        raise InputError(f"{name} has values from {low} to {high}; accepted: {_MASK_KINDS}")
    if scale > 1 and high < scale // 2:
        raise InputError(
            f"{name} has whole values from {low} to {high}, which looks like a map of labels; "
            f"pass one mask per label, for example {name} == {high}"
        )
    if scale == 1:
        return array.view(np.bool_) if array.dtype == np.uint8 else array.astype(np.bool_)
    return array.astype(np.uint8, copy=False) if scale == 255 else array.astype(np.float32) / np.float32(scale)


def _finite_range(array: NDArray[Any], name: str) -> tuple[float, float]:
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise InputError(f"{name} has values that are not finite (NaN or infinity)")
    return low, high
