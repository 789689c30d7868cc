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
_MOST_SOFT = 0.01
"""Share of the other soft pixels that may; those of a smooth outline do not, those of a soft mask do."""


def find_unsure(mask: NDArray[Any]) -> NDArray[np.bool_] | None:
    """The pixels that a trimap leaves open: its grey, and its outline where that is smooth.

    Args:
        mask: (H, W); bool, uint8 of which 255 is the target, or floats in [0, 1].

    Returns:
        (H, W), True where alpha is open. None: the mask is no trimap: it has no grey that is three pixels wide, nothing
        that is black or white, or other values over more than an outline.
    """
    if mask.dtype == np.bool_:
        return None
    is_open = (mask > 0) & (mask < (255 if mask.dtype == np.uint8 else 1))
    if not is_open.any() or is_open.all():
        return None
    is_grey = is_open & is_middle_grey(mask)
    is_soft = is_open & ~is_grey
    is_thin = _middles(is_grey).sum() < _LEAST_FILL * is_grey.sum()
    if is_thin or not is_grey.any() or _middles(is_soft).sum() > _MOST_SOFT * is_soft.sum():
        return None
    return is_open


def has_guess(trimap: NDArray[Any]) -> bool:
    """Whether the grey of a trimap says which pixels are probably the target: whether it lies on both sides of half."""
    grey = trimap[is_middle_grey(trimap)]
    half = 127.5 if trimap.dtype == np.uint8 else 0.5
    return bool(grey.min() < half < grey.max())


def is_middle_grey(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a mask has a value near half, such as 127 or 128 of 255."""
    top = 255 if mask.dtype == np.uint8 else 1
    least, most = (top * (1 + sign * NEAR_HALF) / 2 for sign in (-1, 1))
    return np.asarray((mask >= least) & (mask <= most))


def _middles(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels that are marked with all eight around them; those at the frame are left out."""
    rows = marked[1:-1] & marked[:-2] & marked[2:]
    return rows[:, 1:-1] & rows[:, :-2] & rows[:, 2:]
