"""Trimaps: masks that say of each pixel that it is the target, that it is not, or that nobody knows.

Black and white hold; in the grey between, the network decides. A grey just below half of white means that the pixel is
probably not the target, one just above that it probably is. So a band can be painted over a mask, and the mask stays
known under it: 127 where it was black, 128 where it was white. Trimaps with one grey say nothing of the band.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2alpha.ops.masks import NEAR_HALF

_LEAST_FILL = 1 / 3
"""Share of the grey pixels that must lie in the middle of nine; the grey of a smooth outline is thinner."""


def find_unsure(mask: NDArray[Any]) -> NDArray[np.bool_] | None:
    """The grey pixels of a trimap.

    Args:
        mask: (H, W); bool, uint8 of which 255 is the target, or floats in [0, 1].

    Returns:
        (H, W), True where the trimap leaves alpha open. None: the mask is no trimap: it has other values, no grey or
        nothing else, or a grey that is nowhere three pixels wide.
    """
    if mask.dtype == np.bool_:
        return None
    top = 255 if mask.dtype == np.uint8 else 1
    is_grey = (mask > 0) & (mask < top)
    if not is_grey.any() or is_grey.all() or np.abs(2.0 * mask[is_grey] / top - 1).max() > NEAR_HALF:
        return None
    inner = is_grey[1:-1] & is_grey[:-2] & is_grey[2:]
    inner = inner[:, 1:-1] & inner[:, :-2] & inner[:, 2:]
    return is_grey if inner.sum() >= _LEAST_FILL * is_grey.sum() else None


def has_guess(mask: NDArray[Any], is_unsure: NDArray[np.bool_]) -> bool:
    """Whether the grey of a trimap says which pixels are probably the target: whether it lies on both sides of half."""
    low, high = mask[is_unsure].min(), mask[is_unsure].max()
    half = 127.5 if mask.dtype == np.uint8 else 0.5
    return bool(low < half < high)
