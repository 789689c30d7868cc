"""How far a mask is believed: a number in [0, 1] that becomes options of the decoder and pixels that are decided.

Below 0.5, the matte of the first step may correct the mask more often, and at last, made hard, takes its place. Above
0.5 it corrects nothing, a single step decodes, since further ones lead away from a mask that is right, and beyond a
distance from the mask's border alpha is the mask's value, which the decoder takes as known.
"""

import math
from dataclasses import replace

import torch.nn.functional as F
from jaxtyping import Bool, Shaped
from torch import Tensor

from mask2alpha.errors import InputError
from mask2alpha.model.values import DEFAULT_TRUST, RunOptions
from mask2alpha.ops.units import as_unit

LITTLE_TRUST = 0.25
"""Up to this, the matte takes the mask's place."""
MOST_CORRECTIONS = 3
WIDEST_REACH = 1
"""Distance just above `DEFAULT_TRUST` beyond which the mask decides, in extents of the target: square roots of
its area. It shrinks by equal factors to one pixel at a trust of 1."""


def check_trust(trust: float | int) -> float:
    """The trust as a float.

    Raises:
        InputError: It is not in [0, 1].
    """
    if not 0 <= trust <= 1:
        raise InputError(f"trust must be in [0, 1]; got {trust}")
    return float(trust)


def with_trust(options: RunOptions, trust: float) -> RunOptions:
    """The options of a run with that trust; those that are given where it is the default."""
    if trust == DEFAULT_TRUST:
        return options
    if trust > DEFAULT_TRUST:
        return replace(options, trust=trust, num_corrections=0, num_steps=options.num_steps or 1)
    return replace(options, trust=trust, num_corrections=MOST_CORRECTIONS, rebuilds_mask=trust <= LITTLE_TRUST)


def find_decided(mask: Shaped[Tensor, "1 1 height width"], trust: float) -> Bool[Tensor, "1 1 height width"] | None:
    """Where a mask is believed without the network; None: nowhere.

    Args:
        mask: bool, uint8 of which 255 is the target, or floats in [0, 1]; above 0.5 is the target.
        trust: In [0, 1].
    """
    if trust <= DEFAULT_TRUST:
        return None
    is_target = (as_unit(mask) > 0.5).float()
    widest = max(1.0, WIDEST_REACH * math.sqrt(float(is_target.sum())))
    reach = widest ** ((1 - trust) / (1 - DEFAULT_TRUST))
    cell = max(1, int(reach / 4))  # distances are measured between squares of this side
    window = 2 * math.ceil(reach / cell) + 1
    extremes = []
    for part in (is_target, 1 - is_target):
        cells = F.max_pool2d(part, cell, ceil_mode=True)
        for kernel in ((window, 1), (1, window)):
            cells = F.max_pool2d(cells, kernel, 1, (kernel[0] // 2, kernel[1] // 2))
        extremes.append(cells)
    is_far = (extremes[0] != extremes[1]).repeat_interleave(cell, dim=2).repeat_interleave(cell, dim=3)
    return is_far[:, :, : mask.shape[2], : mask.shape[3]]
