"""The colours of the target and of its surroundings, and what they say about a pixel.

Where the photograph's colours differ, alpha is nearly the position of a pixel's colour between the colour of the target
nearby and that of the background nearby: the idea of sampling-based matting. Where target or surroundings have many
colours, it is told by how often each has a pixel's colour: the idea of GrabCut. A network of few weights hardly learns
the products and quotients in it, so it is given the result. Not in the paper; see docs/decisions/0009.

What is target and what is surroundings is told by a matte: at first the mask, later the last decoding step's result.

Legend: I the image, F and B the local colours of target and surroundings, all in [0, 1].
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.model.outputs import ColourEvidence

NUM_CUES = 4
"""Channels of `colour_cues`."""
NUM_MAP_CUES = NUM_CUES + 1
"""Channels of `ColourEvidence.cues`."""
NUM_COLOURS = 6
"""Channels of `find_local_colours`."""
WINDOW = 11
"""Side of the window over which colours are averaged, in cells of 16 full-resolution pixels."""
UNSURE_WEIGHT = 0.05
"""Weight of a cell near the mask's border, beside 1 of a cell well inside (or outside)."""
GLOBAL_WEIGHT = 1e-3
"""Weight of the mean over the whole picture, for places with no target (or surroundings) in the window."""
LEAST_CONTRAST = 0.002
"""Squared distance of the light of F and B at which the estimate is halfway to undecided."""
BINS = 16
"""Bins of the colour histograms, per channel."""
RARE_COLOUR = 2e-5
"""Share of target and surroundings at which a colour's evidence is halfway to none."""


@torch.no_grad()
def find_colour_evidence(
    thumbnail: Float[Tensor, "batch 3 h w"], matte_os4: Float[Tensor, "batch 1 h w"]
) -> ColourEvidence:
    """All that the colours say about each pixel at stride 4, given a guess at the target; not differentiated.

    Args:
        thumbnail: The photograph at stride 4, in [0, 1]; sides multiples of 4.
        matte_os4: The mask, or a better guess at alpha, at stride 4, in [0, 1].
    """
    thumbnail, matte = thumbnail.float(), matte_os4.float()
    local_colours = find_local_colours(thumbnail, matte)
    cues = torch.cat([colour_cues(thumbnail, local_colours), colour_odds(thumbnail, matte)], dim=1)
    return ColourEvidence(local_colours=local_colours, cues=cues)


@torch.no_grad()
def colour_odds(
    thumbnail: Float[Tensor, "batch 3 h w"], matte_os4: Float[Tensor, "batch 1 h w"]
) -> Float[Tensor, "batch 1 h w"]:
    """How much more often the target has a pixel's colour than the surroundings, over the whole picture.

    Args:
        thumbnail: The photograph at stride 4, in [0, 1]; sides multiples of 4.
        matte_os4: The mask, or a better guess at alpha, at stride 4, in [0, 1].

    Returns:
        ``(f - b) / (f + b + c)`` in [-1, 1], f and b the smoothed shares of the colour in target and surroundings.
        Not differentiated.
    """
    batch = len(thumbnail)
    sides = torch.cat([matte_os4, 1 - matte_os4], dim=1)  # (B, 2, h, w): target, surroundings
    weight = F.interpolate(_shrunk(sides), scale_factor=4) + UNSURE_WEIGHT * sides
    red, green, blue = (thumbnail * BINS).long().clamp(0, BINS - 1).unbind(1)
    colour = ((red * BINS + green) * BINS + blue).flatten(1).unsqueeze(1).expand(-1, 2, -1)
    shares = torch.zeros(batch, 2, BINS**3, device=thumbnail.device).scatter_add_(2, colour, weight.flatten(2))
    shares = (shares / shares.sum(2, keepdim=True).clamp(min=1e-6)).view(batch, 2, BINS, BINS, BINS)
    for _ in range(2):
        shares = F.avg_pool3d(F.pad(shares, (1,) * 6, mode="replicate"), 3, stride=1)
    shares = shares.flatten(2).gather(2, colour).view_as(weight)
    inside, outside = shares[:, :1], shares[:, 1:]
    return (inside - outside) / (inside + outside + RARE_COLOUR)


@torch.no_grad()
def find_local_colours(
    thumbnail: Float[Tensor, "batch 3 h w"], matte_os4: Float[Tensor, "batch 1 h w"]
) -> Float[Tensor, "batch 6 h w"]:
    """Average the colours well inside the target, and well outside it, over a large window around each pixel.

    Args:
        thumbnail: The photograph at stride 4, in [0, 1].
        matte_os4: The mask, or a better guess at alpha, at stride 4, in [0, 1].

    Returns:
        F (3 channels), then B (3), smooth maps at stride 4. Not differentiated.
    """
    cells = F.avg_pool2d(thumbnail.float(), 4)
    matte = matte_os4.float()
    inside = _shrunk(matte) + UNSURE_WEIGHT * F.avg_pool2d(matte, 4)
    outside = _shrunk(1 - matte) + UNSURE_WEIGHT * F.avg_pool2d(1 - matte, 4)
    colours = torch.cat([_local_mean(cells, inside), _local_mean(cells, outside)], dim=1)
    return F.interpolate(colours, scale_factor=4, mode="bilinear", align_corners=False)


def _shrunk(matte: Tensor) -> Tensor:
    """1 for the cells that the matte covers together with all their neighbours."""
    covered = -F.max_pool2d(-matte, 4)
    return -F.max_pool2d(-covered, 3, stride=1, padding=1)


def _local_mean(cells: Tensor, weight: Tensor) -> Tensor:
    everywhere = (cells * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1e-6)
    colours = _box(cells * weight) + GLOBAL_WEIGHT * everywhere
    return colours / (_box(weight) + GLOBAL_WEIGHT)


def _box(x: Tensor) -> Tensor:
    x = F.avg_pool2d(x, (1, WINDOW), stride=1, padding=(0, WINDOW // 2))
    return F.avg_pool2d(x, (WINDOW, 1), stride=1, padding=(WINDOW // 2, 0))


@torch.no_grad()
def colour_cues(
    image: Float[Tensor, "batch 3 *pixels"], local_colours: Float[Tensor, "batch 6 *pixels"]
) -> Float[Tensor, "batch 4 *pixels"]:
    """What the local colours say about each pixel.

    Args:
        image: Colours in [0, 1]; a map, or rows of single pixels.
        local_colours: F and B at the same pixels.

    Returns:
        The estimate of alpha from colour alone, ``(I - B) . (F - B) / (|F - B|^2 + c)`` of the light, which is what a
        camera mixes and about the square of the coded values, scaled from [0, 1] to [-1, 1] and clamped to [-2, 2];
        then |F - B|, |I - F| and |I - B| of the coded values. Not differentiated.
    """
    foreground, background = local_colours[:, :3], local_colours[:, 3:]
    behind = background.square()
    difference = foreground.square() - behind
    contrast = difference.square().sum(1, keepdim=True)
    estimate = ((image.square() - behind) * difference).sum(1, keepdim=True) / (contrast + LEAST_CONTRAST)
    pairs = ((foreground, background), (image, foreground), (image, background))
    distances = torch.cat([(one - other).square().sum(1, keepdim=True) for one, other in pairs], dim=1).sqrt()
    return torch.cat([(2 * estimate - 1).clamp(-2, 2), distances], dim=1)
