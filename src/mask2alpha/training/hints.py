"""What the training of the `TrustAdapter` says about its masks: how far each is to be believed, or a trimap's band."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mask2alpha.model.values import DEFAULT_TRUST

EXACT_PART, BAND_PART = 0.3, 0.35
"""Shares of the masks: exact ones with a trust of 1, and trimaps. The rest are rough masks whose trust says how
rough they are."""
USUAL_ROUGHNESS, TRUST_SCALE = 0.006, 3.0
"""Roughness (see `find_roughness`) of a mask whose trust is the default; that of a trust of 1 and 0 is less and more by
this factor."""
BAND_REACHES = (3.0, 40.0)
"""Smallest and largest reach of a trimap's band, in pixels; drawn log-uniformly."""
GUESS_SHARE = 0.5
"""Share of the trimaps that keep a mask under the band; the others are one half there."""
BARELY_SOFT = 0.02
"""Alpha this close to 0 or 1 is not soft."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hints:
    """Masks with hints."""

    mask: Float[Tensor, "batch 1 height width"]
    """The masks, of which some are replaced by exact ones and by trimaps."""
    trust: Float[Tensor, " batch"]
    """How far each is believed, in [0, 1]."""
    is_decided: Bool[Tensor, "batch 1 h w"]
    """At stride 4: where a trimap decides alpha."""


@torch.no_grad()
def draw_hints(
    mask: Float[Tensor, "batch 1 height width"],
    truth: Float[Tensor, "batch 1 height width"],
    *,
    generator: torch.Generator,
) -> Hints:
    """Give each mask a hint.

    Args:
        mask: Rough masks in [0, 1].
        truth: True alphas in [0, 1].
        generator: For all draws.
    """
    count = len(mask)
    draws, reaches, guesses, outlines = torch.rand(4, count, generator=generator, device=mask.device)
    exact = (truth > 0.5).to(mask.dtype)
    hinted = mask.clone()
    trust = torch.full((count,), DEFAULT_TRUST, device=mask.device)
    is_decided = torch.zeros(count, 1, mask.shape[2] // 4, mask.shape[3] // 4, dtype=torch.bool, device=mask.device)
    roughness = find_roughness(mask, exact)
    for index in range(count):
        kind = draws[index].item()
        one = slice(index, index + 1)
        if kind < EXACT_PART:
            hinted[one], trust[index] = exact[one], 1.0
        elif kind < EXACT_PART + BAND_PART:
            least, most = BAND_REACHES
            reach = round(least * (most / least) ** reaches[index].item())
            is_open = _find_band(truth[one], reach, is_outline=outlines[index].item() < 0.5)
            is_decided[one] = F.max_pool2d(is_open.float(), 4) == 0
            hinted[one] = exact[one] if guesses[index] < GUESS_SHARE else torch.where(is_open, 0.5, exact[one])
        else:
            trust[index] = trust_of(roughness[index].item())
    return Hints(mask=hinted, trust=trust, is_decided=is_decided)


def find_roughness(
    mask: Float[Tensor, "batch 1 height width"], exact: Float[Tensor, "batch 1 height width"]
) -> Float[Tensor, " batch"]:
    """How far a mask's outline lies from the true one on average, over the target's extent (square root of its area).

    Measured at stride 4, where the pixels on and beside the outline are four times as many as it is long.
    """
    given, true = F.avg_pool2d(mask.float(), 4), F.avg_pool2d(exact.float(), 4)
    wrong = (given - true).abs().sum((1, 2, 3))
    outline = (F.max_pool2d(true, 3, 1, 1) + F.max_pool2d(-true, 3, 1, 1) > 0).sum((1, 2, 3)) / 4
    return wrong / outline.clamp(min=1) / true.sum((1, 2, 3)).clamp(min=1).sqrt()


def trust_of(roughness: float) -> float:
    """The trust that a mask of this roughness deserves, in [0, 1]; falls with the logarithm of the roughness."""
    steps = math.log(max(roughness, 1e-9) / USUAL_ROUGHNESS) / math.log(TRUST_SCALE)
    return min(1.0, max(0.0, (1 - steps) / 2))


def _find_band(
    truth: Float[Tensor, "1 1 height width"], reach: int, *, is_outline: bool
) -> Bool[Tensor, "1 1 height width"]:
    """A trimap's band: within `reach` pixels of the true outline, or of all that is soft."""
    is_target = (truth > 0.5).float()
    edge = F.max_pool2d(is_target, 3, 1, 1) + F.max_pool2d(-is_target, 3, 1, 1) > 0
    if not is_outline:
        edge = edge | ((truth > BARELY_SOFT) & (truth < 1 - BARELY_SOFT))
    band = edge.float()
    for kernel in ((2 * reach + 1, 1), (1, 2 * reach + 1)):
        band = F.max_pool2d(band, kernel, 1, (kernel[0] // 2, kernel[1] // 2))
    return band > 0
