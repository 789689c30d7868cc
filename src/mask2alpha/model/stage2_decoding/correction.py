"""The correction of a rough mask by the matte made with it (not in the paper; docs/decisions/0048).

The network trusts its mask: what the mask has wrong by many pixels, the matte has wrong by some. Where the coarse
matte contradicts the mask far from the mask's border, the matte is nearly always right. There the matte replaces the
mask, and the fusion and the first step run once more. Near its border the mask stays: a good mask is more precise there
than the coarse matte.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mask2alpha.model.box import FAR_LOGIT, spread
from mask2alpha.model.values import CoarseMatte

NEAR = 2
"""Pixels of stride 4 on each side of the mask's border in which a contradiction alone corrects nothing."""
LARGEST_REACH = 12
"""How far a correction reaches around the part of a contradiction far from the border, in pixels of stride 4."""


@torch.no_grad()
def correct_mask(
    mask: Float[Tensor, "batch 1 height width"], coarse: CoarseMatte
) -> Float[Tensor, "batch 1 height width"] | None:
    """Correct a mask where the matte made with it contradicts it far from its border; not differentiated.

    Args:
        mask: Of the encoded size, in [0, 1]; above 0.5 is the target.
        coarse: The prediction of a decoding step with this mask.

    Returns:
        The corrected mask, or None if there is nothing to correct.
    """
    alpha_os4 = spread(coarse.alpha_logits, coarse.box, outside=FAR_LOGIT).sigmoid()
    is_wrong = find_contradictions(F.avg_pool2d(mask, 4) > 0.5, alpha_os4 > 0.5)
    return replace_in_mask(mask, alpha_os4, is_wrong) if is_wrong.any() else None


@torch.no_grad()
def rebuild_mask(
    mask: Float[Tensor, "batch 1 height width"], coarse: CoarseMatte
) -> Float[Tensor, "batch 1 height width"]:
    """The matte of a decoding step, made hard: a mask of the same size that owes nothing to the given one."""
    alpha_os4 = spread(coarse.alpha_logits, coarse.box, outside=FAR_LOGIT).sigmoid().to(mask.dtype)
    alpha = F.interpolate(alpha_os4, scale_factor=4, mode="bilinear", align_corners=False)
    return (alpha > 0.5).to(mask.dtype)


def find_contradictions(
    is_masked: Bool[Tensor, "batch 1 h w"], is_target: Bool[Tensor, "batch 1 h w"]
) -> Bool[Tensor, "batch 1 h w"]:
    """The pixels to correct: connected contradictions that reach further than `NEAR` from the mask's border.

    Each is enlarged by one pixel, so that its outline lies where mask and matte agree.
    """
    deep, differ = find_deep_contradictions(is_masked, is_target)
    return enlarge_contradictions(deep, differ) if deep.any() else deep > 0


def find_deep_contradictions(
    is_masked: Bool[Tensor, "batch 1 h w"], is_target: Bool[Tensor, "batch 1 h w"]
) -> tuple[Float[Tensor, "batch 1 h w"], Float[Tensor, "batch 1 h w"]]:
    """The contradictions further than `NEAR` from the mask's border, and all contradictions; 0 or 1."""
    masked, differ = is_masked.float(), (is_masked != is_target).float()
    window = 2 * NEAR + 1
    is_near_border = F.max_pool2d(masked, window, 1, NEAR) + F.max_pool2d(-masked, window, 1, NEAR) > 0
    return differ * ~is_near_border, differ


def enlarge_contradictions(
    deep: Float[Tensor, "batch 1 h w"], differ: Float[Tensor, "batch 1 h w"]
) -> Bool[Tensor, "batch 1 h w"]:
    """The contradictions that deep ones reach within `LARGEST_REACH`, enlarged by one pixel."""
    for _ in range(LARGEST_REACH):
        deep = F.max_pool2d(deep, 3, 1, 1) * differ
    return F.max_pool2d(deep, 3, 1, 1) > 0


def replace_in_mask(
    mask: Float[Tensor, "batch 1 height width"],
    alpha_os4: Float[Tensor, "batch 1 _h _w"],
    is_wrong: Bool[Tensor, "batch 1 _h _w"],
) -> Float[Tensor, "batch 1 height width"]:
    """The mask with alpha, enlarged, where `is_wrong`."""
    alpha = F.interpolate(alpha_os4.to(mask.dtype), scale_factor=4, mode="bilinear", align_corners=False)
    return torch.where(is_wrong.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3), alpha, mask)
