"""Colour evidence: the colours of target and surroundings, and how each pixel at stride 4 compares with them.

The local colours are means over a window, of cells well inside and well outside the target. Where target or
surroundings have many colours, histograms tell them apart: how often each side has a pixel's colour, the idea of
GrabCut. Not in the paper; see docs/decisions/0009.

The two sides come from a matte: at first the mask, later the result of the last decoding step.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.model.colours import NUM_CUES, colour_cues

NUM_COLOUR_CUES = NUM_CUES + 1
"""Channels of the cues of `find_colour_evidence`."""
WINDOW = 11
"""Side of the window over which colours are averaged, in cells of 16 full-resolution pixels."""
UNSURE_WEIGHT = 0.05
"""Weight of a cell near the mask's border, beside 1 of a cell well inside (or outside)."""
GLOBAL_WEIGHT = 1e-3
"""Weight of the mean over the whole image, for places without target (or surroundings) in the window."""
BINS = 16
"""Bins of the colour histograms, per channel."""
BIN_SHIFT = 1e-3
"""Moves the borders of the bins, in bins, away from the means of bytes: on a border, the order in which a runtime adds
the pixels would choose the bin."""
RARE_COLOUR = 2e-5
"""Share of target and surroundings at which a colour's evidence is halfway to none."""


def find_colour_evidence(
    thumbnail: Float[Tensor, "batch 3 h w"], matte_os4: Float[Tensor, "batch 1 h w"]
) -> tuple[Float[Tensor, "batch 6 h w"], Float[Tensor, "batch 5 h w"]]:
    """The colour evidence of each pixel at stride 4, given a guess at the target.

    Args:
        thumbnail: The image at stride 4, in [0, 1]; sides multiples of 4.
        matte_os4: The mask, or a better guess at alpha, at stride 4, in [0, 1].

    Returns:
        The local colours F and B, and the cues: those of `colour_cues`, then the odds of the pixel's colour.
    """
    thumbnail, matte = thumbnail.float(), matte_os4.float()
    sides = torch.cat([matte, 1 - matte], dim=1)
    solid = _solid_cells(sides)
    local_colours = _find_local_colours(thumbnail, sides, solid)
    cues = torch.cat([colour_cues(thumbnail, local_colours), _colour_odds(thumbnail, sides, solid)], dim=1)
    return local_colours, cues


def _solid_cells(sides: Float[Tensor, "batch 2 h w"]) -> Float[Tensor, "batch 2 _h _w"]:
    """1 for the cells of 4 x 4 that the target (or the surroundings) covers together with all their neighbours."""
    covered = -F.max_pool2d(-sides, 4)
    return -F.max_pool2d(-covered, 3, stride=1, padding=1)


def _colour_odds(
    thumbnail: Float[Tensor, "batch 3 h w"],
    sides: Float[Tensor, "batch 2 h w"],
    solid: Float[Tensor, "batch 2 _h _w"],
) -> Float[Tensor, "batch 1 h w"]:
    """How much more often the target has a pixel's colour than the surroundings, over the whole image.

    Args:
        thumbnail: The image at stride 4, in [0, 1].
        sides: Shares of target and surroundings in each pixel.
        solid: From `_solid_cells`.

    Returns:
        ``(f - b) / (f + b + c)`` in [-1, 1], f and b the smoothed shares of the colour in target and surroundings.
    """
    batch = thumbnail.shape[0]
    weight = F.interpolate(solid, scale_factor=4) + UNSURE_WEIGHT * sides
    red, green, blue = (thumbnail * BINS + BIN_SHIFT).long().clamp(0, BINS - 1).unbind(1)
    colour = ((red * BINS + green) * BINS + blue).flatten(1).unsqueeze(1).expand(-1, 2, -1)
    shares = torch.zeros(batch, 2, BINS**3, device=thumbnail.device).scatter_add_(2, colour, weight.flatten(2))
    shares = (shares / shares.sum(2, keepdim=True).clamp(min=1e-6)).view(batch, 2, BINS, BINS, BINS)
    for _ in range(2):
        shares = F.avg_pool3d(F.pad(shares, (1,) * 6, mode="replicate"), 3, stride=1)
    shares = shares.flatten(2).gather(2, colour).view_as(weight)
    inside, outside = shares[:, :1], shares[:, 1:]
    return (inside - outside) / (inside + outside + RARE_COLOUR)


def _find_local_colours(
    thumbnail: Float[Tensor, "batch 3 h w"],
    sides: Float[Tensor, "batch 2 h w"],
    solid: Float[Tensor, "batch 2 _h _w"],
) -> Float[Tensor, "batch 6 h w"]:
    """Average the colours well inside the target, and well outside it, over a large window around each pixel.

    Args:
        thumbnail: The image at stride 4, in [0, 1].
        sides: Shares of target and surroundings in each pixel.
        solid: From `_solid_cells`.

    Returns:
        F (3 channels), then B (3), smooth maps at stride 4.
    """
    weight = (solid + UNSURE_WEIGHT * F.avg_pool2d(sides, 4)).unsqueeze(2)  # (B, 2, 1, h, w)
    weighted = F.avg_pool2d(thumbnail, 4).unsqueeze(1) * weight  # (B, 2, 3, h, w)
    everywhere = weighted.sum((3, 4), keepdim=True) / weight.sum((3, 4), keepdim=True).clamp(min=1e-6)
    nearby = _window_mean(torch.cat([weighted, weight], dim=2))
    colours = (nearby[:, :, :3] + GLOBAL_WEIGHT * everywhere) / (nearby[:, :, 3:] + GLOBAL_WEIGHT)
    return F.interpolate(colours.flatten(1, 2), scale_factor=4, mode="bilinear", align_corners=False)


def _window_mean(x: Float[Tensor, "*maps h w"]) -> Float[Tensor, "*maps h w"]:
    """Mean over a window of `WINDOW` cells around each cell, what lies outside counting as zero.

    It adds the cells one after the other: differences of running sums are mostly rounding where a window has hardly any
    weight, and rounding differs between runtimes.
    """
    reach = WINDOW // 2
    for axis, padding in ((-1, (reach, reach)), (-2, (0, 0, reach, reach))):
        length, padded = x.shape[axis], F.pad(x, padding)
        x = padded.narrow(axis, 0, length)
        for shift in range(1, WINDOW):
            x = x + padded.narrow(axis, shift, length)
        x = x / WINDOW
    return x
