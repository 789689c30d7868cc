"""Resampling without gradient, equal to PyTorch's general kernels up to rounding and several times faster on a CPU."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.ops.resize import bilinear_axis
from mask2alpha.ops.resize import upsample as upsample_plainly
from mask2alpha.shapes import Size

ROWS_AT_ONCE = 64
"""Full-resolution rows that `upsample` makes at a time on a CPU."""


class FastAvgPool2d(nn.AvgPool2d):
    """The mean of each 2 x 2 pixels, added up row by row where the channels are last in memory."""

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels _h _w"]:
        """Halve both sides, which are even."""
        if self.kernel_size != 2 or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        batch, channels, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width * channels)
        pairs = torch.add(rows[:, :, 0], rows[:, :, 1]).view(batch, height // 2, width // 2, 2, channels)
        return torch.add(pairs[..., 0, :], pairs[..., 1, :]).mul_(0.25).permute(0, 3, 1, 2)


class FastUpsample(nn.Upsample):
    """Bilinear upsampling by a whole, even factor, one axis after the other where the channels are last in memory.

    Each output row or column is one mixture of two whole input rows or columns.
    """

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels _height _width"]:
        """Enlarge by `scale_factor`."""
        assert isinstance(self.scale_factor, float)
        factor = int(self.scale_factor)
        is_fitting = (
            self.mode == "bilinear" and not self.align_corners and factor % 2 == 0 and factor == self.scale_factor
        )
        if not is_fitting or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        batch, channels, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1)  # (B, H, W, C), contiguous
        wide = _enlarge_axis(pixels.reshape(batch * height, width, channels), factor)
        tall = _enlarge_axis(wide.view(batch, height, width * factor * channels), factor)
        return tall.view(batch, height * factor, width * factor, channels).permute(0, 3, 1, 2)


def _enlarge_axis(lines: Float[Tensor, "outer length inner"], factor: int) -> Float[Tensor, "outer _length inner"]:
    """Enlarge along the middle axis."""
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


@torch.no_grad()
def upsample(
    x: Float[Tensor, "batch channels h w"],
    size: Size,
    *,
    spanned: Size,
    origin: tuple[int, int] = (0, 0),
    whole: Size | None = None,
    first: tuple[int, int] = (0, 0),
) -> Float[Tensor, "batch channels height width"]:
    """As `ops.resize.upsample`, some rows at a time, which stay in the cache; nothing else of full size is made."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    whole = whole or (x.shape[2], x.shape[3])
    if whole == (x.shape[2], x.shape[3]):
        wide = F.interpolate(x, (x.shape[2], spanned[1]), mode="bilinear", align_corners=False)
        wide = wide[..., origin[1] : origin[1] + size[1]]
    else:
        height = x.shape[2]  # stays
        wide = upsample_plainly(
            x,
            (height, size[1]),
            spanned=(height, spanned[1]),
            origin=(0, origin[1]),
            whole=(height, whole[1]),
            first=(0, first[1]),
        )
    index = torch.arange(origin[0], origin[0] + size[0], device=x.device)
    top, bottom, weight = bilinear_axis(index, whole[0], spanned[0], x.dtype, first=first[0], length=x.shape[2])
    result = _allocate((x.shape[0], x.shape[1], *size), like=x)
    step = ROWS_AT_ONCE if x.device.type == "cpu" else size[0]
    for start in range(0, size[0], step):
        part = slice(start, start + step)
        upper, lower = wide.index_select(2, top[part]), wide.index_select(2, bottom[part])
        torch.lerp(upper, lower, weight[part, None], out=result[:, :, part])
    return result


def _allocate(shape: tuple[int, ...], *, like: Tensor) -> Tensor:
    """Memory for a map of full size; on a CPU NumPy's, which asks for large pages and so costs a third to fill."""
    if like.device.type != "cpu" or like.dtype != torch.float32:
        return like.new_empty(shape)
    return torch.from_numpy(np.empty(shape, dtype=np.float32))
