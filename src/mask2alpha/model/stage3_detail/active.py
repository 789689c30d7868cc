"""Which full-resolution pixels the detail stage recomputes, and how softly it enters at their rim (paper 3.3).

`select_active_pixels` is the paper's M_SG; `select_active_shm` is the baseline of SparseMat, which the paper compares
with. `limit_active_pixels` bounds the cost of either; `rim_weight` fades the result out at the rim of any of them.
"""

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from mask2alpha.errors import InputError

RIM_RADIUS = 2
"""Half the side, less the centre, of the window that `rim_weight` looks at, in pixels."""
RIM_FLOOR = 0.2
"""Share of active pixels in that window at which the weight reaches 0: that of a line one pixel wide."""


def select_active_pixels(
    predicted_error: Float[Tensor, "batch 1 height width"], *, error_threshold: float
) -> Bool[Tensor, "batch 1 height width"]:
    """Select the pixels that the detail stage recomputes.

    Args:
        predicted_error: The decoder's guess at |alpha - truth|, in [0, 1]; high where it is unsure.
        error_threshold: tau, in [0, 1]; 1 selects nothing.

    Returns:
        True where `predicted_error` is strictly above the threshold.

    Raises:
        InputError: `error_threshold` is outside [0, 1].

    Paper: section 3.3, the map M_SG; see docs/paper_map.md for the word "confidence".
    """
    if not 0 <= error_threshold <= 1:
        raise InputError(f"error_threshold must be in [0, 1]; got {error_threshold}")
    return predicted_error > error_threshold


def select_active_shm(
    alpha: Float[Tensor, "batch 1 height width"], *, lower: float = 0.01, upper: float = 0.99, window: int = 15
) -> Bool[Tensor, "batch 1 height width"]:
    """Select a dilated band around the semi-transparent pixels, as SparseMat's SHM does.

    Args:
        alpha: The coarse alpha upsampled to full resolution, in [0, 1].
        lower: Alphas strictly above it ...
        upper: ... and strictly below this one are semi-transparent.
        window: Side of the square by which they are dilated, in pixels; odd.

    Returns:
        True within the dilated band.

    Raises:
        InputError: `window` is even or not positive.

    Paper: the baseline "SHM" of Table 5.
    """
    if window < 1 or window % 2 == 0:
        raise InputError(f"window must be odd and positive; got {window}")
    band = ((alpha > lower) & (alpha < upper)).to(torch.float32)
    band = F.max_pool2d(band, (1, window), stride=1, padding=(0, window // 2))
    return F.max_pool2d(band, (window, 1), stride=1, padding=(window // 2, 0)) > 0


def limit_active_pixels(
    active: Bool[Tensor, "batch 1 height width"],
    predicted_error: Float[Tensor, "batch 1 height width"],
    *,
    active_budget: int | None,
) -> Bool[Tensor, "batch 1 height width"]:
    """Keep at most `active_budget` active pixels of each picture: those with the largest predicted errors.

    Args:
        active: The selected pixels.
        predicted_error: What they are ranked by; among equals the first in raster order stay.
        active_budget: Pixels per picture, at least 0; None keeps all.

    Returns:
        A subset of `active`; the same tensor where nothing exceeds the budget.

    Raises:
        InputError: `active_budget` is negative.
    """
    if active_budget is None:
        return active
    if active_budget < 0:
        raise InputError(f"active_budget must be at least 0 or None; got {active_budget}")
    # picture by picture: counting along an axis is twenty times slower on a CPU
    too_many = [index for index, one in enumerate(active) if int(torch.count_nonzero(one)) > active_budget]
    if not too_many:
        return active
    limited = active.clone()
    for picture in too_many:
        limited[picture] = _keep_largest(active[picture], predicted_error[picture], active_budget)
    return limited


def _keep_largest(active: Tensor, predicted_error: Tensor, count: int) -> Tensor:
    """The first `count` pixels of `active` by falling error, then by position; there are more of them than that."""
    if count == 0:
        return torch.zeros_like(active)
    errors = predicted_error[active]  # (P,), in raster order
    last = errors.topk(count, sorted=False).values.min()
    above, equal = errors > last, errors == last
    room = count - above.sum()
    kept = torch.zeros_like(active)
    kept[active] = above | (equal & (equal.cumsum(0) <= room))
    return kept


def rim_weight(active: Bool[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 1 height width"]:
    """Weigh the active pixels by how far inside the active set they lie, so that the detail has no jagged border.

    The weight is a smooth step of the share of active pixels in a 5 x 5 window: at a straight rim 0.5, 0.84, then 1.
    Pixels outside the image do not count, so the image border is no rim.

    Args:
        active: The active pixels, from any selection and any budget.

    Returns:
        The weight in [0, 1], float32; 1 well inside the active set and 0 outside it.
    """
    share = active.to(torch.float32)
    side = 2 * RIM_RADIUS + 1
    share = F.avg_pool2d(share, (1, side), stride=1, padding=(0, RIM_RADIUS), count_include_pad=False)
    share = F.avg_pool2d(share, (side, 1), stride=1, padding=(RIM_RADIUS, 0), count_include_pad=False)
    return smooth_step(share) * active


def count_active(active: Bool[Tensor, "batch 1 height width"], radius: int) -> UInt8[Tensor, "batch 1 height width"]:
    """How many pixels are active in the square window of `radius` around each pixel; `radius` is at most 7.

    Sums of shifted bytes, one axis after the other: for whole maps many times faster than a pooling of floats.
    """
    count = active.to(torch.uint8)
    for axis in (3, 2):
        length = count.shape[axis]
        total = count.clone()
        for shift in range(1, min(radius, length - 1) + 1):
            first, last = (count.narrow(axis, start, length - shift) for start in (0, shift))
            total.narrow(axis, shift, length - shift).add_(first)
            total.narrow(axis, 0, length - shift).add_(last)
        count = total
    return count


def smooth_step(share: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The weight that `rim_weight` gives to a share of active pixels in the window, both in [0, 1]."""
    ramp = ((share - RIM_FLOOR) / (1 - RIM_FLOOR)).clamp(0, 1)
    return ramp * ramp * (3 - 2 * ramp)
