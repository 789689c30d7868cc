"""The semantic evidence: which side each place belongs to, according to the backbone's tokens.

A ridge regression of target against surroundings on the components of the guided tokens, fitted on the cells that lie
surely on one side and evaluated everywhere. It takes the paper's mask-guided feature selection literally: for each
mask, it finds the direction of the features that separates target and surroundings. Not in the paper in this form; see
docs/paper_map.md.

Legend: x components of a cell (D of them), w weights of the cells, y 1 in the target and -1 outside, C = sum w x x', v
mean variance of a component. The regression is ``b = (C + RIDGE v I)^-1 sum w x y``, the score of a cell ``b' x``.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.model.values import COMPONENT_STRIDE
from mask2alpha.shapes import Size

NUM_SEMANTIC_CUES = 1
"""Channels of the semantic evidence."""
RIDGE = 1.0
"""Strength of the regularisation, over the mean variance of a component."""
UNSURE_WEIGHT = 0.02
"""Weight of a cell near the mask's border, beside 1 of a cell well inside (or outside)."""
LARGEST_SCORE = 1.5
"""Scores are clamped to plus and minus this; about 1 is sure."""
NEWTON_STEPS = 9
"""Iterations of `_solve`. The largest eigenvalue of C + RIDGE v I is at most (D + RIDGE) v, the smallest at least
RIDGE v, so with 32 components the error is below 1e-13 after nine."""


def find_semantic_evidence(
    components: Float[Tensor, "batch components h16 w16"],
    matte_os4: Float[Tensor, "batch 1 h w"],
    *,
    reach: int,
) -> Float[Tensor, "batch 1 h w"]:
    """How surely each pixel belongs to the target, by the regression on the components.

    Args:
        components: Of the guided tokens, at stride 16.
        matte_os4: The mask, or a better guess at alpha, at stride 4, in [0, 1].
        reach: Side of a token in cells of stride 16, rounded up: cells nearer to the other side than this are unsure.

    Returns:
        Scores at stride 4, positive in the target, within plus and minus `LARGEST_SCORE`.
    """
    sides, covered = cover_cells(matte_os4)
    solid = -F.max_pool2d(-covered, 2 * reach + 1, stride=1, padding=reach)
    return score_cells(components, sides, solid)


def cover_cells(
    matte_os4: Float[Tensor, "batch 1 h w"],
) -> tuple[Float[Tensor, "batch 2 h w"], Float[Tensor, "batch 2 _h16 _w16"]]:
    """Shares of target and surroundings in each pixel, and the least share that a pixel of each cell has."""
    sides = torch.cat([matte_os4, 1 - matte_os4], dim=1).float()
    return sides, -F.max_pool2d(-sides, COMPONENT_STRIDE // 4)


def score_cells(
    components: Float[Tensor, "batch components h16 w16"],
    sides: Float[Tensor, "batch 2 h w"],
    solid: Float[Tensor, "batch 2 h16 w16"],
) -> Float[Tensor, "batch 1 h w"]:
    """Fit the regression and evaluate it; `solid` is the least share that any cell within reach has."""
    cell = COMPONENT_STRIDE // 4
    with torch.autocast(components.device.type, enabled=False):
        weight = (solid + UNSURE_WEIGHT * F.avg_pool2d(sides, cell)).flatten(2) + 1e-6
        weight = 0.5 * weight / weight.sum(dim=2, keepdim=True)  # (B, 2, N); each side weighs one half
        both = weight.sum(dim=1, keepdim=True)
        x = components.float().flatten(2)  # (B, D, N)
        x = x - (x * both).sum(dim=2, keepdim=True)
        covariance = (x * both) @ x.transpose(1, 2)
        moment = x @ (weight[:, :1] - weight[:, 1:]).transpose(1, 2)  # (B, D, 1)
        scores = (_solve(covariance, moment) * x).sum(dim=1)
        scores = scores.view(x.shape[0], 1, *components.shape[2:]).clamp(-LARGEST_SCORE, LARGEST_SCORE)
        return F.interpolate(scores, scale_factor=cell, mode="bilinear", align_corners=False)


def find_reach(size: Size, token_grid: Size) -> int:
    """Side of a token in cells of stride 16, rounded, at least 1; `size` is the encoded image's."""
    side = math.sqrt(size[0] * size[1] / (token_grid[0] * token_grid[1]))
    return max(1, round(side / COMPONENT_STRIDE))


def _solve(
    covariance: Float[Tensor, "batch dim dim"], moment: Float[Tensor, "batch dim 1"]
) -> Float[Tensor, "batch dim 1"]:
    """The ridge regression's coefficients, by Newton's iteration for the inverse: products alone, in any backend."""
    dim = covariance.shape[1]
    identity = torch.eye(dim, device=covariance.device, dtype=covariance.dtype)
    variance = (covariance * identity).sum(dim=(1, 2))[:, None, None] / dim + 1e-6
    matrix = covariance / variance + RIDGE * identity  # eigenvalues between RIDGE and RIDGE + dim
    inverse = 2 / (2 * RIDGE + dim) * identity.expand_as(matrix)
    for _ in range(NEWTON_STEPS):
        inverse = inverse @ (2 * identity - matrix @ inverse)
    return inverse @ (moment / variance)
