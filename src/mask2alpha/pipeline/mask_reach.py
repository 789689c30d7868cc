"""How far a mask's outline may be wrong; beyond that, alpha is the mask's value.

An empty and a full mask are answered without the network. So that one stray pixel does not change the whole answer, the
network decides a pixel only if enough of the other side is near it: for some radius r, the square of that radius
around it holds at least (r / REACH)² pixels of the other side. A speck of area A so reaches about REACH times its own
side. An object reaches over all that a rough mask of it can miss, and for one that covers a fair share of the photo the
network decides every pixel. A thin target is often drawn as a stroke; a thin gap is not, so a gap reaches only as far
as REACH times its width, and a line across a full mask hardly moves alpha.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.model.mask2alpha import STRIDE_MULTIPLE

REACH = 3
"""How far a mask may be wrong, as a multiple of the side of what it marks, or leaves out."""
SOLID = 0.9
"""Share of a square that must be left out, for a gap in the mask to be as wide as the square."""
CELLS = 256
"""Cells along the longer side on which distances are measured, at most."""


def network_share(mask: Float[Tensor, "1 1 height width"]) -> Float[Tensor, "1 1 _rows _columns"] | None:
    """Where the network decides alpha, and where alpha is the mask's value.

    Args:
        mask: In [0, 1]; sides that are multiples of 64.

    Returns:
        1 where the network decides, 0 where the mask does, on a coarse grid that spans the mask. None: the network
        decides everywhere, as for nearly every mask.
    """
    side = max(mask.shape[2:])
    cell = next(size for size in (1, 2, 4, 8, 16, 32, 64) if side <= size * CELLS or size == STRIDE_MULTIPLE)
    share_of_target = float(mask.mean())
    num_pixels = mask.shape[2] * mask.shape[3]
    # if both sides fill the square that holds the whole mask well enough, the network decides every pixel
    if min(share_of_target, 1 - share_of_target) * num_pixels >= (side / REACH) ** 2:
        return None
    target = F.avg_pool2d(mask, cell) if cell > 1 else mask
    share = torch.minimum(_is_reached(target, cell), _is_reached(1 - target, cell, is_gap=True))
    return None if bool((share == 1).all()) else share


def _is_reached(
    part: Float[Tensor, "1 1 rows columns"], cell: int, *, is_gap: bool = False
) -> Float[Tensor, "1 1 rows columns"]:
    """For each cell, whether there is a radius within which enough of a side's pixels are; 0 to 1.

    Args:
        part: Share of each cell that belongs to the side.
        cell: Side of a cell, in pixels.
        is_gap: Whether the side also has to be wide enough, somewhere within that radius.
    """
    rows, columns = part.shape[2:]
    sums = F.pad(part.double().cumsum(2).cumsum(3), (1, 0, 1, 0))
    # what fills half of a fair share of the photo reaches as far as a target does, however thin it is
    filled = 2 * float(sums[..., -1, -1]) / (max(rows, columns) / REACH) ** 2
    best = torch.zeros_like(part, dtype=torch.float64)
    for power in range(math.ceil(math.log2(max(rows, columns))) + 1):
        radius = 2**power
        found = _box_sums(sums, radius, radius + 1) / (radius / REACH) ** 2
        if is_gap:
            width = math.ceil(radius / REACH)
            solid = _box_sums(sums, width // 2, width - width // 2) / (SOLID * width**2)
            found = torch.minimum(found, _largest_within(solid, radius).clamp_(min=filled))
        torch.maximum(best, found, out=best)
    return (2 * best - 1).clamp_(0, 1).float()


def _box_sums(sums: Float[Tensor, "1 1 _rows _columns"], before: int, after: int) -> Float[Tensor, "1 1 rows columns"]:
    """For each cell, the sum over the square from `before` cells before it up to, but without, `after` behind it.

    Args:
        sums: Running sums along both axes, with a row and a column of zeros in front.
        before: In cells.
        after: In cells.
    """
    rows, columns = sums.shape[2] - 1, sums.shape[3] - 1
    row, column = torch.arange(rows, device=sums.device), torch.arange(columns, device=sums.device)
    top, bottom = (row - before).clamp(min=0), (row + after).clamp(max=rows)
    left, right = (column - before).clamp(min=0), (column + after).clamp(max=columns)
    strips = sums.index_select(2, bottom) - sums.index_select(2, top)
    return strips.index_select(3, right) - strips.index_select(3, left)


def _largest_within(values: Float[Tensor, "1 1 rows columns"], radius: int) -> Float[Tensor, "1 1 rows columns"]:
    """For each cell, the largest value in the square of a radius around it."""
    for axis in (2, 3):
        reach = min(radius, values.shape[axis] - 1)
        kernel, padding = ([2 * reach + 1, 1], [reach, 0]) if axis == 2 else ([1, 2 * reach + 1], [0, reach])
        values = F.max_pool2d(values, kernel, 1, padding)
    return values
