"""Resampling without gradient, equal to PyTorch's general kernels up to rounding and several times faster on a CPU."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mask2alpha.ops.resize import bilinear_axis
from mask2alpha.ops.resize import upsample as upsample_plainly
from mask2alpha.ops.units import as_unit
from mask2alpha.shapes import Size

ROWS_AT_ONCE = 64
"""Full-resolution rows that `upsample` makes at a time on a CPU."""
NUM_BANDS = 64
"""Bands in which `shrink_by_area` divides a mask."""
BANDS_AT_ONCE = 4
"""Number of bands that `shrink_by_area` makes at a time: they stay in the cache together."""


class FastAvgPool2d(nn.AvgPool2d):
    """The mean of each 2 x 2 pixels, added up row by row where the channels are last in memory."""

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels _h _w"]:
        """As `nn.AvgPool2d`; where it halves, both sides are even."""
        is_halving = (self.kernel_size, self.stride, self.padding) == (2, 2, 0)
        if not is_halving or not x.is_contiguous(memory_format=torch.channels_last):
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
        """As `nn.Upsample`."""
        factor = self.scale_factor
        is_bilinear = self.mode == "bilinear" and not self.align_corners
        if not isinstance(factor, float) or factor % 2 or not is_bilinear:
            return super().forward(x)
        if not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        factor = int(factor)
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


def shrink_by_area(x: Shaped[Tensor, "1 1 _h _w"], size: Size, *, spanned: Size) -> Float[Tensor, "1 1 height width"]:
    """`F.interpolate(mode="area")` of pixels padded to `spanned` by repeating the last row and column.

    No map of full size is made. Both heights are multiples of 64, so that each 64th of one is a 64th of the other: a
    band. Some bands are made at a time.

    Args:
        x: bool, uint8 of which 255 is 1, or floats in [0, 1]; the upper left of what is padded.
        size: (height, width), multiples of 64.
        spanned: (height, width) of the padded pixels, multiples of 64.
    """
    own = (x.shape[2], x.shape[3])
    means = [
        _area_means(side // NUM_BANDS, new // NUM_BANDS).to(x.device) for side, new in zip(spanned, size, strict=True)
    ]
    rows = torch.arange(spanned[0], device=x.device).clamp(max=own[0] - 1)
    small = torch.empty(size, device=x.device)
    groups, missing = NUM_BANDS // BANDS_AT_ONCE, spanned[1] - own[1]
    for group_rows, small_rows in zip(rows.view(groups, -1), small.view(groups, -1), strict=True):
        bands = as_unit(x[0, 0].index_select(0, group_rows)).view(BANDS_AT_ONCE, -1, own[1])
        bands = means[0] @ (F.pad(bands, (0, missing), mode="replicate") if missing else bands)
        shrunk = bands.view(-1, means[1].shape[1]) @ means[1].t()
        small_rows.copy_(shrunk.view(-1).clamp_(0, 1))  # sums of rounded shares may miss 1 by a bit
    return small[None, None]


def _area_means(length: int, new_length: int) -> Float[Tensor, "_new _old"]:
    """The matrix that takes the mean of the pixels, whole ones, that each new pixel touches."""
    index, new = torch.arange(length), torch.arange(new_length)[:, None]
    touched = (index >= new * length // new_length) & (index < -(-(new + 1) * length // new_length))
    return touched / touched.sum(dim=1, keepdim=True)
