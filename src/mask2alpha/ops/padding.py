"""Padding to the sizes that the network takes."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.shapes import Size


def padded_size(size: Size, multiple: int) -> Size:
    """The smallest (height, width) that holds `size` and whose sides are multiples of `multiple`."""
    height, width = size
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def pad_to_multiple(
    x: Float[Tensor, "batch channels _h _w"], multiple: int
) -> Float[Tensor, "batch channels height width"]:
    """Repeat the last row and column until both sides are multiples of `multiple`.

    Repeating, rather than zeros, keeps what the frame cuts off cut off: no edge appears that the photo does not have.
    """
    height, width = x.shape[2:]
    padded_height, padded_width = padded_size((height, width), multiple)
    if (padded_height, padded_width) == (height, width):
        return x
    return F.pad(x, (0, padded_width - width, 0, padded_height - height), mode="replicate")
