"""Trimaps made from the truth, on which the adapter for trimaps is trained."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

BAND_SHARE = 0.5
"""Share of the trimaps that are a band along the border of the exact mask, with that mask under it; the band may be too
narrow for the truth."""
GUESS_SHARE = 0.25
"""Share of those that are open where the truth is soft and around it, with the rough mask under the open part. The
others are open there, too, and say nothing of the open part."""
_WIDEST_BAND = 64.0
"""Largest distance from the border, in pixels, that a band along an exact mask covers on each side."""
_WIDEST_MARGIN = 48.0
"""Largest distance in pixels by which a trimap's open part reaches beyond the soft pixels."""


def draw_trimaps(
    masks: Float[Tensor, "batch 1 height width"],
    truth: Float[Tensor, "batch 1 height width"],
    generator: torch.Generator,
) -> tuple[Float[Tensor, "batch 1 height width"], Bool[Tensor, "batch 1 _h4 _w4"]]:
    """A trimap for each target.

    Args:
        masks: Rough masks in [0, 1].
        truth: True alphas in [0, 1]; sides are multiples of 4.
        generator: For the draws.

    Returns:
        Masks in [0, 1], 0.5 where a trimap says nothing; and at stride 4, True where alpha is the mask's value.
    """
    exact = (truth > 0.5).to(masks.dtype)
    made, is_decided = [], []
    for index in range(len(masks)):
        one = slice(index, index + 1)
        kind, width = torch.rand(2, generator=generator, device=masks.device).tolist()
        mask, is_open = exact[one], _border(exact[one])
        if kind < BAND_SHARE:
            is_open = _widen(is_open, _draw_radius(width, _WIDEST_BAND))
        else:
            is_soft = ((truth[one] - mask).abs() > 0.02).to(mask.dtype)
            is_open = _widen(torch.maximum(is_soft, is_open), _draw_radius(width, _WIDEST_MARGIN))
            guess = masks[one] if kind < BAND_SHARE + GUESS_SHARE else torch.full_like(mask, 0.5)
            mask = torch.where(is_open > 0, guess, mask)
        made.append(mask)
        is_decided.append(F.max_pool2d(is_open, 4) == 0)
    return torch.cat(made), torch.cat(is_decided)


def _draw_radius(share: float, largest: float) -> int:
    """A radius from 1 to `largest`, evenly on a logarithmic scale."""
    return round(math.exp(share * math.log(largest)))


def _border(mask: Float[Tensor, "1 1 height width"]) -> Float[Tensor, "1 1 height width"]:
    """1 on both sides of the mask's border."""
    return _widen(mask, 1) - (1 - _widen(1 - mask, 1))


def _widen(marked: Float[Tensor, "1 1 height width"], radius: int) -> Float[Tensor, "1 1 height width"]:
    """The marked pixels, and all within a square of `radius` pixels."""
    for kernel in ((2 * radius + 1, 1), (1, 2 * radius + 1)):
        marked = F.max_pool2d(marked, kernel, 1, (kernel[0] // 2, kernel[1] // 2))
    return marked
