"""Resampling of tensors."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.shapes import Size

ROWS_AT_ONCE = 64
"""Full-resolution rows that `upsample` makes at a time on a CPU."""


def resize(picture: Float[Tensor, "batch channels _h _w"], size: Size) -> Float[Tensor, "batch channels height width"]:
    """Bilinear resampling to (height, width), with low-pass filtering where a side shrinks; range is kept."""
    if picture.shape[2:] == size:
        return picture
    return F.interpolate(picture, size, mode="bilinear", align_corners=False, antialias=True)


def halve(picture: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels _h _w"]:
    """The mean of each 2 x 2 pixels; both sides are even.

    Without gradient, a channels-last picture is added up row by row, which on a CPU is several times faster.
    """
    if torch.is_grad_enabled() or not picture.is_contiguous(memory_format=torch.channels_last):
        return F.avg_pool2d(picture, 2)
    batch, channels, height, width = picture.shape
    rows = picture.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width * channels)
    pairs = torch.add(rows[:, :, 0], rows[:, :, 1]).view(batch, height // 2, width // 2, 2, channels)
    return torch.add(pairs[..., 0, :], pairs[..., 1, :]).mul_(0.25).permute(0, 3, 1, 2)


def enlarge(
    feature_map: Float[Tensor, "batch channels h w"], factor: int
) -> Float[Tensor, "batch channels _height _width"]:
    """Bilinear upsampling by a whole, even factor, equal to `F.interpolate` up to rounding.

    Without gradient, a channels-last map is enlarged one axis after the other, each output row or column being one
    mixture of two whole input rows or columns: on a CPU several times faster than the general kernel.
    """
    assert factor % 2 == 0
    batch, channels, height, width = feature_map.shape
    if torch.is_grad_enabled() or not feature_map.is_contiguous(memory_format=torch.channels_last):
        return F.interpolate(feature_map, scale_factor=factor, mode="bilinear", align_corners=False)
    pixels = feature_map.permute(0, 2, 3, 1)  # (B, H, W, C), contiguous
    wide = _enlarge_axis(pixels.reshape(batch * height, width, channels), factor)
    tall = _enlarge_axis(wide.view(batch, height, width * factor * channels), factor)
    return tall.view(batch, height * factor, width * factor, channels).permute(0, 3, 1, 2)


def _enlarge_axis(lines: Float[Tensor, "outer length inner"], factor: int) -> Float[Tensor, "outer _length inner"]:
    """`enlarge` along the middle axis."""
    outer, length, inner = lines.shape
    enlarged = lines.new_empty(outer, length, factor, inner)
    for phase in range(factor):
        offset = (phase + 0.5) / factor - 0.5  # from the centre of the input pixel, in input pixels
        if offset < 0:
            enlarged[:, 0, phase] = lines[:, 0]
            torch.lerp(lines[:, 1:], lines[:, :-1], -offset, out=enlarged[:, 1:, phase])
        else:
            enlarged[:, -1, phase] = lines[:, -1]
            torch.lerp(lines[:, :-1], lines[:, 1:], offset, out=enlarged[:, :-1, phase])
    return enlarged.view(outer, length * factor, inner)


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
    x: Float[Tensor, "batch 1 h w"], size: Size, *, spanned: Size, origin: tuple[int, int] = (0, 0)
) -> Float[Tensor, "batch 1 height width"]:
    """A map enlarged bilinearly, or a part of that, in at least float32: alphas near 1 need more than 8 bits.

    Without gradient, some rows at a time, which stay in the cache; nothing else of full size is made.

    Args:
        x: A coarse map.
        size: (height, width) wanted.
        spanned: (height, width) that the whole map spans.
        origin: (row, column) in it of the upper left of what is wanted; without gradient only.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if torch.is_grad_enabled():
        assert origin == (0, 0)
        return interpolate(x, size, spanned)
    wide = interpolate(x, (x.shape[2], origin[1] + size[1]), (x.shape[2], spanned[1]))[..., origin[1] :]
    row = torch.arange(origin[0], origin[0] + size[0], device=x.device)
    top, bottom, weight = bilinear_axis(row, x.shape[2], spanned[0], x.dtype)
    result = _allocate((x.shape[0], 1, *size), like=x)
    step = ROWS_AT_ONCE if x.device.type == "cpu" else size[0]
    for start in range(0, size[0], step):
        part = slice(start, start + step)
        upper, lower = wide.index_select(2, top[part]), wide.index_select(2, bottom[part])
        torch.lerp(upper, lower, weight[part, None], out=result[:, :, part])
    return result


def interpolate(x: Float[Tensor, "batch channels h w"], size: Size, spanned: Size) -> Tensor:
    """The upper left part of `size` of a map that is enlarged bilinearly to `spanned`."""
    return F.interpolate(x, size=spanned, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]


def bilinear_axis(index: Tensor, in_length: int, out_length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """For output indices along one axis: the two input indices, and the weight of the second."""
    source = ((index.to(dtype) + 0.5) * (in_length / out_length) - 0.5).clamp(min=0)
    lower = source.floor()
    weight = source - lower
    lower = lower.long()
    return lower, (lower + 1).clamp(max=in_length - 1), weight


def _allocate(shape: tuple[int, ...], *, like: Tensor) -> Tensor:
    """Memory for a map of full size; on a CPU NumPy's, which asks for large pages and so costs a third to fill."""
    if like.device.type != "cpu" or like.dtype != torch.float32:
        return like.new_empty(shape)
    return torch.from_numpy(np.empty(shape, dtype=np.float32))
