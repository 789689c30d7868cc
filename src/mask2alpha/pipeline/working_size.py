"""Small photos are matted at twice their size, and their mattes averaged back."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from mask2alpha.ops.units import as_unit
from mask2alpha.shapes import Size

FACTOR = 2
"""How much larger a small photo is matted."""


def working_factor(size: Size, least_side: int) -> int:
    """By how much a photo of (height, width) is enlarged: `FACTOR` up to `least_side` on its longer side, else 1."""
    return FACTOR if max(size) <= least_side else 1


def enlarge_image(image: Shaped[Tensor, "1 3 _h _w"], factor: int) -> Shaped[Tensor, "1 3 height width"]:
    """A photo at its working size: itself if `factor` is 1, else floats in [0, 1], by bicubic interpolation."""
    if factor == 1:
        return image
    enlarged = F.interpolate(as_unit(image), scale_factor=factor, mode="bicubic", align_corners=False)
    return enlarged.clamp_(0, 1).contiguous(memory_format=torch.channels_last)


def enlarge_mask(mask: Shaped[Tensor, "1 1 _h _w"], factor: int) -> Shaped[Tensor, "1 1 height width"]:
    """A mask at the working size: each pixel repeated, so that a hard mask stays hard."""
    if factor == 1:
        return mask
    return mask.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)


def shrink_alpha(alpha: Float[Tensor, "batch 1 _h _w"], factor: int) -> Float[Tensor, "batch 1 height width"]:
    """Alpha at the photo's size: the mean over the pixels that each of its pixels was enlarged to."""
    return alpha if factor == 1 else F.avg_pool2d(alpha, factor)
