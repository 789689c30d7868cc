"""Local colours of the target and of its surroundings, and what they say about a pixel.

Where the photograph's colours differ, alpha is nearly the position of a pixel's colour between the colour of the target
nearby and that of the background nearby: the idea of sampling-based matting. A network of few weights hardly learns the
products and quotients in it, so it is given the result. Not in the paper; see docs/decisions/0009.

Legend: I the image, F and B the local colours of target and surroundings, all in [0, 1].
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

NUM_CUES = 4
"""Channels of `colour_cues`."""
NUM_COLOURS = 6
"""Channels of `find_local_colours`."""
WINDOW = 11
"""Side of the window over which colours are averaged, in cells of 16 full-resolution pixels."""
UNSURE_WEIGHT = 0.05
"""Weight of a cell near the mask's border, beside 1 of a cell well inside (or outside)."""
GLOBAL_WEIGHT = 1e-3
"""Weight of the mean over the whole picture, for places with no target (or surroundings) in the window."""
LEAST_CONTRAST = 0.01
"""Squared distance of F and B at which the estimate is halfway to undecided."""


@torch.no_grad()
def find_local_colours(
    thumbnail: Float[Tensor, "batch 3 h w"], mask_os4: Float[Tensor, "batch 1 h w"]
) -> Float[Tensor, "batch 6 h w"]:
    """Average the colours well inside the mask, and well outside it, over a large window around each pixel.

    Args:
        thumbnail: The photograph at stride 4, in [0, 1].
        mask_os4: The mask at stride 4, in [0, 1].

    Returns:
        F (3 channels), then B (3), smooth maps at stride 4. Not differentiated.
    """
    cells = F.avg_pool2d(thumbnail.float(), 4)
    mask = mask_os4.float()
    inside = _shrunk(mask) + UNSURE_WEIGHT * F.avg_pool2d(mask, 4)
    outside = _shrunk(1 - mask) + UNSURE_WEIGHT * F.avg_pool2d(1 - mask, 4)
    colours = torch.cat([_local_mean(cells, inside), _local_mean(cells, outside)], dim=1)
    return F.interpolate(colours, scale_factor=4, mode="bilinear", align_corners=False)


def _shrunk(mask: Tensor) -> Tensor:
    """1 for the cells that the mask covers together with all their neighbours."""
    covered = -F.max_pool2d(-mask, 4)
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
        The estimate of alpha from colour alone, ``(I - B) . (F - B) / (|F - B|^2 + c)``, scaled from [0, 1] to
        [-1, 1] and clamped to [-2, 2]; then |F - B|, |I - F| and |I - B|. Not differentiated.
    """
    foreground, background = local_colours[:, :3], local_colours[:, 3:]
    difference = foreground - background
    offset = image - background
    contrast = difference.square().sum(1, keepdim=True)
    estimate = (offset * difference).sum(1, keepdim=True) / (contrast + LEAST_CONTRAST)
    to_foreground = (image - foreground).square().sum(1, keepdim=True)
    to_background = offset.square().sum(1, keepdim=True)
    distances = torch.cat([contrast, to_foreground, to_background], dim=1).sqrt()
    return torch.cat([(2 * estimate - 1).clamp(-2, 2), distances], dim=1)
