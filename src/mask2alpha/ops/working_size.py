"""Small photos are matted enlarged, and their mattes averaged back.

The encoder sees half of the resolution, and of a small photo that is too little. Photos are enlarged by 2 or by 3/2, so
that three pixels of the one size cover exactly two of the other, and all means are exact.
"""

from fractions import Fraction

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from mask2alpha.ops.units import as_unit
from mask2alpha.shapes import Size

LARGE, MEDIUM, NONE = Fraction(2), Fraction(3, 2), Fraction(1)


def working_factor(size: Size, least_side: int) -> Fraction:
    """By how much a photo of (height, width) is enlarged.

    The longer side decides: up to `least_side` it is enlarged by 2, up to 3/2 of `least_side` by 3/2, else not at all.
    """
    if max(size) <= least_side:
        return LARGE
    return MEDIUM if max(size) <= MEDIUM * least_side else NONE


def enlarge_image(image: Shaped[Tensor, "batch 3 _h _w"], factor: Fraction) -> Shaped[Tensor, "batch 3 height width"]:
    """A photo at its working size: itself if `factor` is 1, else floats in [0, 1], by bicubic interpolation.

    For 3/2, an odd side first repeats its last pixel.
    """
    if factor == NONE:
        return image
    whole = _pad(as_unit(image), factor)
    enlarged = F.interpolate(whole, scale_factor=float(factor), mode="bicubic", align_corners=False)
    return enlarged.clamp_(0, 1).contiguous(memory_format=torch.channels_last)


def enlarge_mask(mask: Shaped[Tensor, "batch 1 _h _w"], factor: Fraction) -> Shaped[Tensor, "batch 1 height width"]:
    """A mask at the working size: each pixel has the mean of what it covers, so that by 2 a hard mask stays hard."""
    if factor == NONE:
        return mask
    if factor.denominator == 1:
        return _repeat(mask, factor.numerator)
    return F.avg_pool2d(_repeat(_pad(as_unit(mask), factor), factor.numerator), factor.denominator)


def enlarge_alpha(alpha: Float[Tensor, "batch 1 _h _w"], factor: Fraction) -> Float[Tensor, "batch 1 height width"]:
    """A smooth alpha at the working size, for training; `shrink_alpha` makes nearly `alpha` of it again.

    Args:
        alpha: In [0, 1]; for 3/2 with even sides.
        factor: From `working_factor`.
    """
    size = (alpha.shape[2], alpha.shape[3])
    enlarged = torch.zeros((), device=alpha.device)
    for _ in range(5):  # what shrinking has lost is added again
        missing = alpha - shrink_alpha(enlarged, factor, size) if enlarged.ndim else alpha
        rest = F.interpolate(missing, scale_factor=float(factor), mode="bicubic", align_corners=False)
        enlarged = (enlarged + rest).clamp_(0, 1)
    return enlarged


def shrink_alpha(
    alpha: Float[Tensor, "batch 1 _h _w"], factor: Fraction, size: Size
) -> Float[Tensor, "batch 1 height width"]:
    """Alpha at the photo's size, (height, width): the mean over the area that each of its pixels was enlarged to."""
    if factor == NONE:
        return alpha
    return F.avg_pool2d(_repeat(alpha, factor.denominator), factor.numerator)[:, :, : size[0], : size[1]]


def _pad(x: Float[Tensor, "batch _c _h _w"], factor: Fraction) -> Float[Tensor, "batch _c height width"]:
    height, width = (-side % factor.denominator for side in x.shape[2:])
    return F.pad(x, (0, width, 0, height), mode="replicate")


def _repeat(x: Shaped[Tensor, "batch 1 _h _w"], count: int) -> Shaped[Tensor, "batch 1 height width"]:
    return x.repeat_interleave(count, dim=2).repeat_interleave(count, dim=3)
