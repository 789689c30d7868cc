"""How far a mask's outline may be wrong; beyond that, alpha is the mask's value.

An empty and a full mask are answered without the network. So that one stray pixel does not change the whole answer, the
network decides a pixel only if enough of the other side is near it: for some radius r, the square of that radius
around it holds at least (r / REACH)² pixels of the other side. A speck of area A so reaches about REACH times its own
side. An object reaches over all that a rough mask of it can miss, and for one that covers a fair share of the photo the
network decides every pixel.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.model.mask2alpha import STRIDE_MULTIPLE

REACH = 3
"""How far a mask may be wrong, as a multiple of the side of what it marks, or leaves out."""
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
    reached = [_is_reached(part, cell) for part in (target, 1 - target)]
    share = torch.minimum(reached[0], reached[1])
    return None if bool((share == 1).all()) else share


def _is_reached(part: Float[Tensor, "1 1 rows columns"], cell: int) -> Float[Tensor, "1 1 rows columns"]:
    """For each cell, whether there is a radius within which enough of a side's pixels are; 0 to 1.

    Args:
        part: Share of each cell that belongs to the side.
        cell: Side of a cell, in pixels.
    """
    rows, columns = part.shape[2:]
    sums = F.pad(part.double().cumsum(2).cumsum(3), (1, 0, 1, 0)) * cell**2
    row, column = torch.arange(rows, device=part.device), torch.arange(columns, device=part.device)
    best = torch.zeros_like(sums[..., 1:, 1:])
    for power in range(math.ceil(math.log2(max(rows, columns))) + 1):
        radius = 2**power
        top, bottom = (row - radius).clamp(min=0), (row + radius + 1).clamp(max=rows)
        left, right = (column - radius).clamp(min=0), (column + radius + 1).clamp(max=columns)
        low, high = sums.index_select(2, top), sums.index_select(2, bottom)
        found = (high - low).index_select(3, right) - (high - low).index_select(3, left)
        torch.maximum(best, found / (radius * cell / REACH) ** 2, out=best)
    return (2 * best - 1).clamp_(0, 1).float()
