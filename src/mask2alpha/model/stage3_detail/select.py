"""Selects the parts of the photo that the detail stage recomputes, with a soft rim (paper 3.3).

The unit is a *cell* of 2 x 2 full-resolution pixels (`ops/cells.py`).

`select_active` is the paper's M_SG; `select_active_shm` is the baseline of SparseMat, which the paper compares with.
`limit_active` bounds the cost of either; `find_presence` lets a cell in gradually, and `rim_weight` fades the result
out at the rim of the selection.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from mask2alpha.ops.cells import CELL

SHM_BAND = (0.01, 0.99)
"""SHM takes alphas strictly between these for semi-transparent."""
SHM_WINDOW = 15
"""Side of the square by which SHM dilates them, in pixels; odd."""
FADE = 5e-4
"""Range of predicted errors above the threshold in which the presence of a cell grows from 0 to 1."""
RIM_FLOOR = 0.2
"""Share of active cells in the window of `rim_weight` at which the weight reaches 0."""


def select_active(
    predicted_error: Float[Tensor, "batch 1 rows columns"], *, error_threshold: float
) -> Bool[Tensor, "batch 1 rows columns"]:
    """Select the cells that the detail stage recomputes.

    Args:
        predicted_error: The decoder's guess at |alpha - truth| in each cell, in [0, 1]; high where it is unsure.
        error_threshold: tau, in [0, 1]; 1 selects nothing.

    Returns:
        True where `predicted_error` is strictly above the threshold.

    Paper: section 3.3, the map M_SG; see docs/paper_map.md for the word "confidence".
    """
    return predicted_error > error_threshold


def find_presence(predicted_error: Float[Tensor, "*shape"], *, error_threshold: float) -> Float[Tensor, "*shape"]:
    """How far cells take part in the detail stage: not at the threshold, in full from `FADE` above it on.

    The sparse network's features are multiplied by it, so that a cell does not appear at once for its neighbours.
    Otherwise rounding could decide whether a cell at the threshold takes part, which can change alpha by 0.06.

    Args:
        predicted_error: As for `select_active`.
        error_threshold: As for `select_active`; negative: all cells take part in full.

    Returns:
        In [0, 1].
    """
    return ((predicted_error - error_threshold) / FADE).clamp(0, 1)


def select_active_shm(alpha: Float[Tensor, "batch 1 height width"]) -> Bool[Tensor, "batch 1 rows columns"]:
    """Select the cells in a dilated band around the semi-transparent pixels, as SparseMat's SHM does.

    Args:
        alpha: The coarse alpha upsampled to full resolution, in [0, 1].

    Returns:
        True for the cells of which a pixel is within the dilated band.

    Paper: the baseline "SHM" of Table 5.
    """
    lower, upper = SHM_BAND
    band = ((alpha > lower) & (alpha < upper)).to(torch.float32)
    band = F.max_pool2d(band, (1, SHM_WINDOW), stride=1, padding=(0, SHM_WINDOW // 2))
    band = F.max_pool2d(band, (SHM_WINDOW, 1), stride=1, padding=(SHM_WINDOW // 2, 0))
    missing = tuple(-length % CELL for length in band.shape[2:])
    return F.max_pool2d(F.pad(band, (0, missing[1], 0, missing[0])), CELL) > 0


def limit_active(
    active: Bool[Tensor, "batch 1 rows columns"],
    predicted_error: Float[Tensor, "batch 1 rows columns"],
    *,
    active_budget: int | None,
) -> Bool[Tensor, "batch 1 rows columns"]:
    """Keep at most `active_budget` pixels of active cells in each image: the cells with the largest errors.

    Args:
        active: The selected cells.
        predicted_error: Cells are ranked by it; among equal ones the first in raster order stay.
        active_budget: Pixels per image, at least 0; None keeps all.

    Returns:
        A subset of `active`; the same tensor where nothing exceeds the budget.
    """
    if active_budget is None:
        return active
    count = active_budget // CELL**2
    # image by image: counting along an axis is twenty times slower on a CPU
    too_many = [index for index, one in enumerate(active) if int(torch.count_nonzero(one)) > count]
    if not too_many:
        return active
    limited = active.clone()
    for index in too_many:
        limited[index] = _keep_largest(active[index], predicted_error[index], count)
    return limited


def _keep_largest(active: Tensor, predicted_error: Tensor, count: int) -> Tensor:
    """The first `count` cells of `active` by falling error, then by position; there are more of them than that."""
    if count == 0:
        return torch.zeros_like(active)
    errors = predicted_error[active]  # (P,), in raster order
    last = errors.topk(count, sorted=False).values.min()
    above, equal = errors > last, errors == last
    room = count - above.sum()
    kept = torch.zeros_like(active)
    kept[active] = above | (equal & (equal.cumsum(0) <= room))
    return kept


def rim_weight(presence: Float[Tensor, "batch 1 rows columns"]) -> Float[Tensor, "batch 1 rows columns"]:
    """Weigh the active cells by how far inside the active set they lie, so that the detail has no jagged border.

    The weight is a smooth step of the mean presence in a 3 x 3 window, times the presence: at a straight rim 0.62, then
    1. Cells outside the photo do not count, so that its border is not a rim.

    Args:
        presence: Of the active cells, in [0, 1]; 0 elsewhere.

    Returns:
        The weight in [0, 1], float32; 1 well inside the active set and 0 outside it.
    """
    presence = presence.to(torch.float32)
    return smooth_step(F.avg_pool2d(presence, 3, stride=1, padding=1, count_include_pad=False)) * presence


def smooth_step(share: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The weight that `rim_weight` gives to a mean presence in the window, both in [0, 1]."""
    ramp = ((share - RIM_FLOOR) / (1 - RIM_FLOOR)).clamp(0, 1)
    return ramp * ramp * (3 - 2 * ramp)
