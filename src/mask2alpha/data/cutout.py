"""One cut-out foreground, straight colours with their alpha, and the source of textures."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cutout:
    """A foreground with its alpha, to be put over any background.

    The composite is `alpha * colour + (1 - alpha) * background`, with alpha in [0, 1].
    """

    colour: NDArray[np.uint8]
    """(height, width, 3) straight RGB, not multiplied by alpha; defined also where alpha is soft or zero."""
    alpha: NDArray[np.uint8]
    """(height, width), 0 transparent to 255 opaque."""


TextureSource = Callable[[np.random.Generator, int], NDArray[np.uint8]]
"""(rng, size) -> a random crop of a photo, (size, size, 3) uint8 RGB."""
