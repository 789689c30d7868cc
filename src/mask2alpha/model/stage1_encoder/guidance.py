"""MGFSM, the mask-guided scaling of the last attention block (paper 3.1).

The paper adds ``S = (beta R + r) * (Q K^T)`` to ``Q K^T``. With R weighing the key (the token attended to), the sum is
``(1 + r + beta R_j) * q_i k_j``: one factor per key. See docs/paper_map.md for the choice.

Legend: R is `region_relevance`, beta `relevance_gain`, r `relevance_bias`.
"""

from enum import IntEnum

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from mask2alpha.shapes import Size


class Region(IntEnum):
    """Position of a token relative to the mask."""

    BACKGROUND = 0
    EDGE = 1
    FOREGROUND = 2


RELEVANCE = (0.5, 1.0, 2.0)
"""R of a background, an edge and a foreground token (paper 3.1)."""


def find_regions(mask: Float[Tensor, "batch 1 height width"], grid: Size) -> Int[Tensor, "batch rows columns"]:
    """Divide the tokens into foreground, edge and background, like a trimap.

    A token is foreground where the mask eroded by one token still covers it all, background outside the mask dilated by
    one token, and edge in the band between.

    Args:
        mask: In [0, 1] at full resolution; above 0.5 is the target.
        grid: (rows, columns) of the tokens.

    Returns:
        A `Region` per token.
    """
    touched = (F.adaptive_max_pool2d(mask, grid) > 0.5).to(torch.float32)  # 1 where the mask touches the token
    covered = (-F.adaptive_max_pool2d(-mask, grid) > 0.5).to(torch.float32)  # 1 where it covers the token
    return sort_tokens(touched, covered)


def sort_tokens(
    touched: Float[Tensor, "batch 1 rows columns"], covered: Float[Tensor, "batch 1 rows columns"]
) -> Int[Tensor, "batch rows columns"]:
    """The `Region` of each token, given which the mask touches and which it covers (1 or 0)."""
    dilated = F.max_pool2d(touched, 3, stride=1, padding=1)
    eroded = -F.max_pool2d(-covered, 3, stride=1, padding=1)
    return (dilated + eroded).squeeze(1).round().to(torch.int64)


class MaskGuidance(nn.Module):
    """The two learnt scalars of MGFSM; zero at the start, where the guided block equals the plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.relevance_gain = nn.Parameter(torch.zeros(()))
        self.relevance_bias = nn.Parameter(torch.zeros(()))
        self.register_buffer("relevance", torch.tensor(RELEVANCE), persistent=False)
        self.relevance: Tensor

    def forward(
        self, mask: Float[Tensor, "batch 1 height width"], grid: Size, *, num_extra_tokens: int = 0
    ) -> Float[Tensor, "batch tokens"]:
        """The factor on each key.

        Args:
            mask: In [0, 1] at full resolution.
            grid: (rows, columns) of the patch tokens.
            num_extra_tokens: [CLS] and registers in front of the patch tokens; their factor is 1.

        Returns:
            ``1 + r + beta R`` per patch token, 1 per extra token.
        """
        region_relevance = self.relevance[self.find_regions(mask, grid)].flatten(1)  # (B, rows * columns)
        key_scale = 1 + self.relevance_bias + self.relevance_gain * region_relevance
        return F.pad(key_scale, (num_extra_tokens, 0), value=1.0)

    def find_regions(
        self, mask: Float[Tensor, "batch 1 height width"], grid: Size
    ) -> Int[Tensor, "batch rows columns"]:
        """See the function `find_regions`."""
        return find_regions(mask, grid)
