"""EXIF orientations: how a camera lay when it took a photo. NumPy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDEWAYS = (5, 6, 7, 8)
"""Those that swap the sides."""


def turn_upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation (1 to 8; anything else counts as 1) of (H, W) or (H, W, C); the result is contiguous."""
    if orientation in SIDEWAYS:
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)
