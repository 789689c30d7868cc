"""Estimating the target's colours, cleaned of the background that shone through.

The multi-level method of Germer, Uelwer, Conrad and Harmeling, "Fast Multi-Level Foreground Estimation" (2020): from a
single pixel up to the full size, each level starts from the one below and solves, pixel by pixel, for the foreground F
and background B that explain the image (``alpha F + (1 - alpha) B = image``) while staying near their neighbours', the
more so where alpha changes. Each pixel is a 2 x 2 linear system; here all pixels of one colour of a chessboard are
solved at once, then those of the other, so that each half sees the other's newest values.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mask2alpha.ops.resize import resize
from mask2alpha.shapes import Size

_REGULARIZATION = 1e-5
"""Pull towards the neighbours' colours where alpha is flat."""
_GRADIENT_WEIGHT = 1.0
"""Additional pull per unit of alpha difference between neighbours."""
_SMALL_SIDE = 32
"""Levels whose longer side is at most this get more sweeps and are solved everywhere."""
_SMALL_SWEEPS, _LARGE_SWEEPS = 10, 4
_ROWS_AT_ONCE = 2**16
"""Pixels solved together; bounds memory and keeps the work in the cache."""


def estimate_foreground(
    image: Float[Tensor, "3 height width"], alpha: Float[Tensor, "1 height width"]
) -> Float[Tensor, "3 height width"]:
    """The colours of the target alone, in [0, 1].

    Args:
        image: What was photographed, in [0, 1].
        alpha: Its matte, in [0, 1].

    Returns:
        Where alpha is 1, the image itself; where it is 0, colours that continue those nearby.
    """
    size = (image.shape[1], image.shape[2])
    colours = torch.cat([_mean_colour(image, alpha), _mean_colour(image, 1 - alpha)])[None]  # (1, 6, 1, 1)
    for level_size in _level_sizes(size):
        level_image = F.interpolate(image[None], level_size, mode="nearest-exact")
        level_alpha = F.interpolate(alpha[None], level_size, mode="nearest-exact")
        colours = resize(colours, level_size)
        colours = torch.where(_certain(level_alpha), level_image.repeat(1, 2, 1, 1), colours)
        is_small = max(level_size) <= _SMALL_SIDE
        solved = torch.ones_like(level_alpha, dtype=torch.bool) if is_small else _has_unsure_neighbour(level_alpha)
        colours = _solve(colours, level_image, level_alpha, solved, sweeps=_SMALL_SWEEPS if is_small else _LARGE_SWEEPS)
    foreground = torch.where(alpha == 1, image, colours[0, :3])
    return foreground.clamp(0, 1)


def _mean_colour(
    image: Float[Tensor, "3 height width"], weight: Float[Tensor, "1 height width"]
) -> Float[Tensor, "3 1 1"]:
    total = weight.sum()
    weighted = (image * weight).sum((1, 2), keepdim=True) / total.clamp(min=1e-6)
    return weighted if total > 0 else image.mean((1, 2), keepdim=True)


def _level_sizes(size: Size) -> list[Size]:
    """From 1 x 1 to `size`, each side growing by a constant factor of at most 2."""
    count = max(1, (max(size) - 1).bit_length())
    return [(round(size[0] ** (level / count)), round(size[1] ** (level / count))) for level in range(count)] + [size]


def _certain(alpha: Float[Tensor, "1 1 h w"]) -> Bool[Tensor, "1 6 h w"]:
    """Where the image is the foreground's (first three channels) or the background's colour (last three)."""
    return torch.cat([alpha == 1, alpha == 0], dim=1).repeat_interleave(3, dim=1)


def _has_unsure_neighbour(alpha: Float[Tensor, "1 1 h w"]) -> Bool[Tensor, "1 1 h w"]:
    """Pixels whose 3 x 3 surrounding is neither all 0 nor all 1."""
    largest = F.max_pool2d(alpha, 3, stride=1, padding=1)
    smallest = -F.max_pool2d(-alpha, 3, stride=1, padding=1)
    return (largest > 0) & (smallest < 1)


def _solve(
    colours: Float[Tensor, "1 6 h w"],
    image: Float[Tensor, "1 3 h w"],
    alpha: Float[Tensor, "1 1 h w"],
    solved: Bool[Tensor, "1 1 h w"],
    *,
    sweeps: int,
) -> Float[Tensor, "1 6 h w"]:
    """Improve the colours at the `solved` pixels by some sweeps over the chessboard."""
    height, width = alpha.shape[2:]
    colour_rows = colours[0].flatten(1).t().contiguous()  # (h * w, 6), changed below
    image_rows = image[0].flatten(1).t().contiguous()
    alpha_rows = alpha.flatten()
    coordinates = solved[0, 0].nonzero()
    parity = coordinates.sum(1) % 2
    chunks = [
        _equations(part[:, 0], part[:, 1], image_rows, alpha_rows, (height, width))
        for half in (coordinates[parity == 0], coordinates[parity == 1])
        for part in torch.split(half, _ROWS_AT_ONCE)
    ]
    for _ in range(sweeps):
        for equations in chunks:
            equations.solve_into(colour_rows)
    return colour_rows.t().reshape(1, 6, height, width)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Equations:
    """The linear systems of some pixels, none the neighbour of another."""

    pixels: Int64[Tensor, " points"]
    """Positions in raster order."""
    neighbours: Int64[Tensor, "points 4"]
    """Positions of the neighbours; at the frame the pixel itself stands for a missing one."""
    weights: Float[Tensor, "points 4"]
    """The neighbours' shares in the mean."""
    gains: Float[Tensor, "points 2"]
    """How much of what the mean leaves unexplained goes to foreground and background."""
    alpha: Float[Tensor, "points 1"]
    image: Float[Tensor, "points 3"]

    def solve_into(self, colour_rows: Float[Tensor, "pixels 6"]) -> None:
        """Set the pixels' colours to the solution, given their neighbours' colours.

        With the neighbours' weighted means F' and B' and the sum t of their weights, the minimum of
        |alpha F + (1 - alpha) B - image|^2 + t |F - F'|^2 + t |B - B'|^2 is F' + alpha r / d and
        B' + (1 - alpha) r / d, where r = image - alpha F' - (1 - alpha) B' and d = alpha^2 + (1 - alpha)^2 + t.
        """
        means = torch.bmm(self.weights.unsqueeze(1), colour_rows[self.neighbours]).squeeze(1)
        foreground, background = means[:, :3], means[:, 3:]
        unexplained = self.image - self.alpha * foreground - (1 - self.alpha) * background
        means[:, :3] += self.gains[:, :1] * unexplained
        means[:, 3:] += self.gains[:, 1:] * unexplained
        colour_rows[self.pixels] = means.clamp_(0, 1)


def _equations(
    row: Int64[Tensor, " points"],
    column: Int64[Tensor, " points"],
    image_rows: Float[Tensor, "pixels 3"],
    alpha_rows: Float[Tensor, " pixels"],
    size: Size,
) -> _Equations:
    height, width = size
    pixels = row * width + column
    neighbours = torch.stack(
        [
            (row - 1).clamp(min=0) * width + column,
            (row + 1).clamp(max=height - 1) * width + column,
            row * width + (column - 1).clamp(min=0),
            row * width + (column + 1).clamp(max=width - 1),
        ],
        dim=1,
    )
    alpha = alpha_rows[pixels, None]
    weights = _REGULARIZATION + _GRADIENT_WEIGHT * (alpha_rows[neighbours] - alpha).abs()
    total = weights.sum(1, keepdim=True)
    shares = torch.cat([alpha, 1 - alpha], dim=1)
    gains = shares / (shares.square().sum(1, keepdim=True) + total)
    return _Equations(
        pixels=pixels,
        neighbours=neighbours,
        weights=weights / total,
        gains=gains,
        alpha=alpha,
        image=image_rows[pixels],
    )
