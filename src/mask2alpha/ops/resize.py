"""Resampling of tensors."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.shapes import Size


def resize(x: Float[Tensor, "batch channels _h _w"], size: Size) -> Float[Tensor, "batch channels height width"]:
    """Bilinear resampling to (height, width), with low-pass filtering where a side shrinks; range is kept."""
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)


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


def upsample(
    x: Float[Tensor, "batch channels h w"],
    size: Size,
    *,
    spanned: Size,
    origin: tuple[int, int] = (0, 0),
    whole: Size | None = None,
    first: tuple[int, int] = (0, 0),
) -> Float[Tensor, "batch channels height width"]:
    """A coarse map enlarged bilinearly, or a part of that, in at least float32: alphas near 1 need more than 8 bits.

    It equals `F.interpolate` of the whole map to `spanned`, cut to what is wanted.

    Args:
        x: A coarse map, or a part of one.
        size: (height, width) wanted.
        spanned: (height, width) that the whole map spans.
        origin: (row, column) of the upper left of what is wanted, in what the whole map spans.
        whole: (h, w) of the whole map; default: that of `x`.
        first: (row, column) of the whole map at which `x` begins.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    whole = whole or (x.shape[2], x.shape[3])
    for axis in (0, 1):
        index = torch.arange(origin[axis], origin[axis] + size[axis], device=x.device)
        length = x.shape[2 + axis]
        lower, upper, weight = bilinear_axis(
            index, whole[axis], spanned[axis], x.dtype, first=first[axis], length=length
        )
        low, high = x.index_select(2 + axis, lower), x.index_select(2 + axis, upper)
        x = torch.lerp(low, high, weight if axis else weight[:, None])
    return x


def bilinear_axis(
    index: Tensor, in_length: int, out_length: int, dtype: torch.dtype, *, first: int = 0, length: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """For output indices along one axis: the two input indices, and the weight of the second.

    Args:
        index: Output indices.
        in_length: Of the whole input.
        out_length: Of the whole output.
        dtype: Of the weight.
        first: Where the part of the input that is at hand begins; the indices returned count from there.
        length: Of that part; indices outside it become its ends. Default: the whole input.
    """
    source = ((index.to(dtype) + 0.5) * (in_length / out_length) - 0.5).clamp(min=0)
    lower = source.floor()
    weight = source - lower
    last = (in_length if length is None else length) - 1
    lower = lower.long() - first
    return lower.clamp(0, last), (lower + 1).clamp(0, last), weight
