"""The photograph and its mask at the size at which they are encoded, made without a copy of full size.

Both are thought of as padded to multiples of 64 at the right and below, by repeating the last column and row; the
encoded size is that of the padded photograph, or a smaller one.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from mask2alpha.model.values import STRIDE_MULTIPLE
from mask2alpha.ops.padding import pad_to_multiple, padded_size
from mask2alpha.ops.units import as_unit
from mask2alpha.shapes import Size

BANDS_AT_ONCE = 4
"""Of the 64 bands of a mask, how many `shrink_mask` makes at a time: they stay in the cache together."""


def shrink_image(image: Shaped[Tensor, "1 3 _h _w"], size: Size) -> Float[Tensor, "1 3 height width"]:
    """The padded photograph at another size, low-pass filtered where it shrinks.

    Args:
        image: uint8, or floats in [0, 1]; channels last in memory.
        size: (height, width), multiples of 64, at most the padded size.

    Returns:
        Floats in [0, 1].
    """
    own = (image.shape[2], image.shape[3])
    padded = padded_size(own, STRIDE_MULTIPLE)
    if size == padded:
        return pad_to_multiple(as_unit(image), STRIDE_MULTIPLE)
    is_bytes_on_cpu = image.dtype == torch.uint8 and image.device.type == "cpu"  # elsewhere no kernel takes bytes
    picture = image if is_bytes_on_cpu else as_unit(image)
    scale = (size[0] / padded[0], size[1] / padded[1])
    small = as_unit(F.interpolate(picture, scale_factor=scale, mode="bilinear", antialias=True))
    missing = size[0] - small.shape[2], size[1] - small.shape[3]
    return F.pad(small, (0, missing[1], 0, missing[0]), mode="replicate")


def shrink_mask(mask: Shaped[Tensor, "1 1 _h _w"], size: Size) -> Float[Tensor, "1 1 height width"]:
    """The padded mask at another size, each pixel the mean of the area it covers.

    It is made in bands, some at a time. Both heights being multiples of 64, each 64th of one is a 64th of the other.

    Args:
        mask: bool, uint8 of which 255 is 1, or floats in [0, 1].
        size: (height, width), multiples of 64, at most the padded size.

    Returns:
        Floats in [0, 1].
    """
    own = (mask.shape[2], mask.shape[3])
    padded = padded_size(own, STRIDE_MULTIPLE)
    if size == padded:
        return pad_to_multiple(as_unit(mask), STRIDE_MULTIPLE)
    means = [
        _area_means(side // STRIDE_MULTIPLE, new // STRIDE_MULTIPLE).to(mask.device)
        for side, new in zip(padded, size, strict=True)
    ]
    rows = torch.arange(padded[0], device=mask.device).clamp(max=own[0] - 1)
    small = torch.empty(size, device=mask.device)
    groups, missing = STRIDE_MULTIPLE // BANDS_AT_ONCE, padded[1] - own[1]
    for group_rows, small_rows in zip(rows.view(groups, -1), small.view(groups, -1), strict=True):
        bands = as_unit(mask[0, 0].index_select(0, group_rows)).view(BANDS_AT_ONCE, -1, own[1])
        bands = means[0] @ (F.pad(bands, (0, missing), mode="replicate") if missing else bands)
        shrunk = bands.view(-1, means[1].shape[1]) @ means[1].t()
        small_rows.copy_(shrunk.view(-1).clamp_(0, 1))  # sums of rounded shares may miss 1 by a bit
    return small[None, None]


def _area_means(length: int, new_length: int) -> Float[Tensor, "_new _old"]:
    """The matrix that takes the mean of the pixels, whole ones, that each new pixel touches."""
    index, new = torch.arange(length), torch.arange(new_length)[:, None]
    touched = (index >= new * length // new_length) & (index < -(-(new + 1) * length // new_length))
    return touched / touched.sum(dim=1, keepdim=True)
