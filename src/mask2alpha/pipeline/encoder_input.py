"""Resizes a photo and its mask to the size at which they are encoded, without a copy of full size.

Both are padded to multiples of 64 at the right and at the bottom, by repeating the last column and row. The encoded
size is that of the padded photo, or a smaller one.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from mask2alpha.model.fast.resampling import shrink_by_area
from mask2alpha.model.mask2alpha import STRIDE_MULTIPLE
from mask2alpha.ops.padding import pad_to_multiple, padded_size
from mask2alpha.ops.units import as_unit
from mask2alpha.shapes import Size


def shrink_image(image: Shaped[Tensor, "1 3 _h _w"], size: Size) -> Float[Tensor, "1 3 height width"]:
    """The padded photo at another size, low-pass filtered where it shrinks.

    Args:
        image: uint8, or floats in [0, 1]; channels last in memory.
        size: (height, width), multiples of 64, at most the padded size.

    Returns:
        Floats in [0, 1].
    """
    own = (image.shape[2], image.shape[3])
    padded = padded_size(own, STRIDE_MULTIPLE)
    if size == padded:
        return pad_to_multiple(as_unit(image), STRIDE_MULTIPLE)
    is_bytes_on_cpu = image.dtype == torch.uint8 and image.device.type == "cpu"  # other devices lack the kernel
    given = image if is_bytes_on_cpu else as_unit(image)
    scale = (size[0] / padded[0], size[1] / padded[1])
    small = as_unit(F.interpolate(given, scale_factor=scale, mode="bilinear", antialias=True))
    missing = size[0] - small.shape[2], size[1] - small.shape[3]
    return F.pad(small, (0, missing[1], 0, missing[0]), mode="replicate")


def shrink_mask(mask: Shaped[Tensor, "1 1 _h _w"], size: Size) -> Float[Tensor, "1 1 height width"]:
    """The padded mask at another size, each pixel the mean of the area it covers.

    Args:
        mask: bool, uint8 of which 255 is 1, or floats in [0, 1].
        size: (height, width), multiples of 64, at most the padded size.

    Returns:
        Floats in [0, 1].
    """
    padded = padded_size((mask.shape[2], mask.shape[3]), STRIDE_MULTIPLE)
    if size == padded:
        return pad_to_multiple(as_unit(mask), STRIDE_MULTIPLE)
    return shrink_by_area(mask, size, spanned=padded)
