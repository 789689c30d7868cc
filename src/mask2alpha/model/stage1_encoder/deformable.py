"""Multi-scale deformable attention in plain PyTorch, as the ViT-Adapter uses it (paper 3.1).

Every query looks at a few learnt places around its own position on each of several feature maps, instead of at every
token. `F.grid_sample` fetches the values, so there is no extension to compile and every device works.

Legend: a *level* is one of the feature maps; their tokens stand one map after the other, each in raster order. Places
are (x, y) in [0, 1], the corner of the image being (0, 0) and the centre of the first of n pixels 0.5 / n.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.shapes import Size


def token_centres(grids: Sequence[Size], like: Tensor) -> Float[Tensor, "queries 2"]:
    """The (x, y) centres, in [0, 1], of the tokens of `grids`, level after level; float32, on the device of `like`."""
    centres = []
    for rows, columns in grids:
        y = (torch.arange(rows, device=like.device, dtype=torch.float32) + 0.5) / rows
        x = (torch.arange(columns, device=like.device, dtype=torch.float32) + 0.5) / columns
        centres.append(torch.stack([x.repeat(rows), y.repeat_interleave(columns)], dim=-1))
    return torch.cat(centres)


def sample_levels(
    values: Float[Tensor, "batch tokens heads head_dim"],
    grids: Sequence[Size],
    places: Float[Tensor, "batch queries heads levels points 2"],
    weights: Float[Tensor, "batch queries heads levels points"],
) -> Float[Tensor, "batch queries heads*head_dim"]:
    """The weighted sum of the values at the given places, read bilinearly; outside a map the value is zero.

    Args:
        values: One vector per token and head.
        grids: (rows, columns) of each level; their areas add up to `tokens`.
        places: Where to look, (x, y) in [0, 1] on every level.
        weights: The weight of each place.

    Returns:
        For every query the heads' sums, one head after the other, in the dtype of `values`.
    """
    batch, queries, heads = places.shape[:3]
    # Half precision would move the places by up to half a pixel: sample in float32 (float64 stays float64).
    dtype = torch.promote_types(values.dtype, torch.float32)
    total: Tensor | None = None
    start = 0
    for level, (rows, columns) in enumerate(grids):
        level_values = values[:, start : start + rows * columns].to(dtype)
        start += rows * columns
        level_values = level_values.permute(0, 2, 3, 1).contiguous().view(batch * heads, -1, rows, columns)
        level_places = places[:, :, :, level].to(dtype).transpose(1, 2).contiguous().flatten(0, 1)
        # (B * heads, queries, points, 2)
        sampled = F.grid_sample(
            level_values, 2 * level_places - 1, mode="bilinear", padding_mode="zeros", align_corners=False
        )  # (B * heads, head_dim, queries, points)
        level_weights = weights[:, :, :, level].to(dtype).transpose(1, 2).contiguous().flatten(0, 1).unsqueeze(1)
        summed = (sampled * level_weights).sum(dim=-1)
        total = summed if total is None else total + summed
    assert total is not None
    return total.view(batch, -1, queries).transpose(1, 2).to(values.dtype)


class DeformableAttention(nn.Module):
    """Queries gather values from learnt places around them on every level.

    At the start each head looks along its own direction, each point one pixel farther, with equal weights.
    """

    def __init__(self, dim: int, *, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        self.shape = (num_heads, num_levels, num_points)
        self.offsets = nn.Linear(dim, num_heads * num_levels * num_points * 2)
        self.weights = nn.Linear(dim, num_heads * num_levels * num_points)
        self.value = nn.Linear(dim, dim)
        self.projection = nn.Linear(dim, dim)
        self._initialise()

    def _initialise(self) -> None:
        num_heads, _, num_points = self.shape
        angles = torch.arange(num_heads, dtype=torch.float32) * (2 * math.pi / num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        distances = torch.arange(1, num_points + 1, dtype=torch.float32)
        steps = directions.view(num_heads, 1, 1, 2) * distances.view(1, 1, num_points, 1)
        nn.init.zeros_(self.offsets.weight)
        with torch.no_grad():
            self.offsets.bias.copy_(steps.expand(*self.shape, 2).flatten())
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        for layer in (self.value, self.projection):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        queries: Float[Tensor, "batch queries dim"],
        centres: Float[Tensor, "queries 2"],
        features: Float[Tensor, "batch tokens dim"],
        grids: Sequence[Size],
    ) -> Float[Tensor, "batch queries dim"]:
        """Attend.

        Args:
            queries: Normalised tokens that look.
            centres: Where each of them stands, (x, y) in [0, 1].
            features: Normalised tokens looked at, level after level.
            grids: (rows, columns) of each level of `features`.

        Returns:
            What the queries gathered, projected.
        """
        num_heads, num_levels, num_points = self.shape
        assert len(grids) == num_levels
        values = self.value(features).unflatten(-1, (num_heads, -1))
        weights = self.weights(queries).unflatten(-1, (num_heads, num_levels * num_points)).softmax(dim=-1)
        sizes_wh = centres.new_tensor([(columns, rows) for rows, columns in grids])
        offsets = self.offsets(queries).unflatten(-1, (*self.shape, 2)) / sizes_wh.view(-1, 1, 2)  # pixels to [0, 1]
        places = centres.view(1, -1, 1, 1, 1, 2) + offsets
        gathered = self.sample(values, grids, places, weights.unflatten(-1, (num_levels, num_points)))
        projected: Tensor = self.projection(gathered)
        return projected

    def sample(
        self, values: Tensor, grids: Sequence[Size], places: Tensor, weights: Tensor
    ) -> Float[Tensor, "batch queries dim"]:
        """See `sample_levels`."""
        return sample_levels(values, grids, places, weights)
