"""Resampling of tensors."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.shapes import Size


def resize(picture: Float[Tensor, "batch channels _h _w"], size: Size) -> Float[Tensor, "batch channels height width"]:
    """Bilinear resampling to (height, width), with low-pass filtering where a side shrinks; range is kept."""
    if picture.shape[2:] == size:
        return picture
    return F.interpolate(picture, size, mode="bilinear", align_corners=False, antialias=True)


def shrink_to_side(size: Size, *, max_side: int, multiple: int) -> Size:
    """The size nearest to `size` in shape whose longer side is at most `max_side`, sides multiples of `multiple`.

    Args:
        size: (height, width), multiples of `multiple`.
        max_side: In pixels; at least `multiple`.
        multiple: Of both returned sides.

    Returns:
        `size` itself where it fits.
    """
    longest = max(size)
    if longest <= max_side:
        return size
    largest = max_side // multiple * multiple
    height, width = (
        min(largest, max(multiple, round(side * largest / longest / multiple) * multiple)) for side in size
    )
    return height, width
