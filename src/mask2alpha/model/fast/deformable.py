"""Deformable attention on a CPU: `F.embedding_bag` gathers and adds in one pass, as `F.grid_sample` up to rounding."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.model.stage1_encoder.deformable import DeformableAttention, sample_levels
from mask2alpha.shapes import Size


class FastDeformableAttention(DeformableAttention):
    """See the module's docstring."""

    def sample(
        self, values: Tensor, grids: Sequence[Size], places: Tensor, weights: Tensor
    ) -> Float[Tensor, "batch queries dim"]:
        """As `sample_levels`."""
        return (sum_corners if values.device.type == "cpu" else sample_levels)(values, grids, places, weights)


def sum_corners(
    values: Float[Tensor, "batch tokens heads head_dim"],
    grids: Sequence[Size],
    places: Float[Tensor, "batch queries heads levels points 2"],
    weights: Float[Tensor, "batch queries heads levels points"],
) -> Float[Tensor, "batch queries heads*head_dim"]:
    """`sample_levels` as one weighted sum per query and head, over the four corners around each place."""
    batch, queries, heads = places.shape[:3]
    dtype = torch.promote_types(values.dtype, torch.float32)
    image = torch.arange(batch).view(-1, 1, 1, 1) * values.shape[1]
    head = torch.arange(heads).view(1, 1, -1, 1)
    rows_read, shares = [], []
    start = 0
    for level, (rows, columns) in enumerate(grids):
        x, y = places[:, :, :, level].to(dtype).unbind(-1)  # (B, queries, heads, points)
        x, y = x * columns - 0.5, y * rows - 0.5
        left, top = x.floor(), y.floor()
        along_x, along_y = x - left, y - top
        for row, row_share in ((top, 1 - along_y), (top + 1, along_y)):
            of_row = weights[:, :, :, level].to(dtype) * row_share * ((row >= 0) & (row < rows))
            row_start = image + start + row.clamp(0, rows - 1).long() * columns
            for column, column_share in ((left, 1 - along_x), (left + 1, along_x)):
                shares.append(of_row * column_share * ((column >= 0) & (column < columns)))
                rows_read.append((row_start + column.clamp(0, columns - 1).long()) * heads + head)
        start += rows * columns
    summed = F.embedding_bag(
        torch.cat(rows_read, dim=-1).flatten(0, 2),
        values.to(dtype).flatten(0, 2),
        per_sample_weights=torch.cat(shares, dim=-1).flatten(0, 2),
        mode="sum",
    )
    return summed.view(batch, queries, -1).to(values.dtype)
