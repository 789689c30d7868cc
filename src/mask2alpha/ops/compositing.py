"""The compositing equation."""

from jaxtyping import Float
from torch import Tensor


def composite(
    foreground: Float[Tensor, "*batch 3 height width"],
    background: Float[Tensor, "*batch 3 height width"],
    alpha: Float[Tensor, "*batch 1 height width"],
) -> Float[Tensor, "*batch 3 height width"]:
    """``alpha * foreground + (1 - alpha) * background``; all in [0, 1]."""
    return background + alpha * (foreground - background)
