"""Submanifold sparse convolutions on 2-D grids in plain PyTorch, each with a dense twin (paper 3.3).

The active pixels have one feature row each, in raster order. A dense int32 map from pixel to row finds the neighbours;
a convolution gathers their rows and multiplies them with the weight. It runs forward and backward on any device and
dtype that has `index_select` and matrix products.

`SubmanifoldConv.forward_dense` computes the same on dense maps, with the same parameters: its input must be zero
outside the active set, and only its output inside it counts. `DenseLevel` clears the rest.

Legend: P active places (rows), B batch, H rows and W columns of the map. What the detail stage calls a cell is a pixel
here.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from mask2alpha.shapes import Size

MARGIN = 1
"""Empty pixels around each image of an index map: the reach of a convolution's window."""


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype in which convolutions of `tensor` run: autocast's where it is on, otherwise the tensor's own."""
    if torch.is_autocast_enabled(tensor.device.type):
        return torch.get_autocast_dtype(tensor.device.type)
    return tensor.dtype


@dataclass(frozen=True, kw_only=True, eq=False)
class ActiveSet:
    """The active pixels of one resolution level, and their neighbours, which are found once for all layers."""

    coordinates: Int64[Tensor, "points 3"]
    """(batch, row, column) of each active pixel, in raster order, image after image."""
    size: Size
    """(height, width) of the level's map."""
    batch_size: int
    """Images in the batch, those without an active pixel included."""

    @classmethod
    def from_mask(cls, active: Bool[Tensor, "batch 1 height width"]) -> "ActiveSet":
        """The active set of a dense map that is True at the active pixels."""
        batch_size, _, height, width = active.shape
        return cls(coordinates=active[:, 0].nonzero(), size=(height, width), batch_size=batch_size)

    def __len__(self) -> int:
        return len(self.coordinates)

    @cached_property
    def index_map(self) -> Int32[Tensor, "batch _rows _columns"]:
        """Each pixel's row number, P where there is none; with `MARGIN` empty pixels on every side."""
        rows, columns = self.size[0] + 2 * MARGIN, self.size[1] + 2 * MARGIN
        numbers = torch.arange(len(self), device=self.coordinates.device, dtype=torch.int32)
        index_map = numbers.new_full((self.batch_size, rows, columns), len(self))
        index_map.view(-1)[self._padded_positions] = numbers
        return index_map

    @cached_property
    def neighbours(self) -> Int32[Tensor, "points 9"]:
        """Row numbers of the 3 x 3 window around each pixel, in raster order; P where a neighbour is not active."""
        reach = torch.arange(-1, 2, device=self.coordinates.device, dtype=torch.int32)
        offsets = (reach[:, None] * (self.size[1] + 2 * MARGIN) + reach).flatten()
        positions = self._padded_positions[:, None] + offsets
        return self.index_map.view(-1).index_select(0, positions.view(-1)).view(positions.shape)

    def gather(self, dense: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "points channels"]:
        """The rows of a dense map at the active pixels."""
        batch, row, column = self.coordinates.unbind(1)
        return dense[batch, :, row, column]

    def scatter(self, rows: Float[Tensor, "points channels"]) -> Float[Tensor, "batch channels height width"]:
        """The dense map that has the rows at the active pixels and zeros elsewhere."""
        dense = rows.new_zeros(self.batch_size, *self.size, rows.shape[1])
        return dense.index_put(self.coordinates.unbind(1), rows).permute(0, 3, 1, 2)

    @cached_property
    def _padded_positions(self) -> Int32[Tensor, " points"]:
        """Where each pixel lies in the flattened index map."""
        batch, row, column = self.coordinates.unbind(1)
        rows, columns = self.size[0] + 2 * MARGIN, self.size[1] + 2 * MARGIN
        return ((batch * rows + row + MARGIN) * columns + column + MARGIN).to(torch.int32)


class SubmanifoldConv(nn.Module):
    """A 3 x 3 convolution with bias that keeps the active set: inactive pixels neither give nor receive."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(
        self, rows: Float[Tensor, "points _in"], neighbours: Int32[Tensor, "points 9"]
    ) -> Float[Tensor, "points _out"]:
        """Convolve each row with those of its 3 x 3 window (`ActiveSet.neighbours`); absent ones count as zero."""
        rows = rows.to(compute_dtype(rows))
        padded = torch.cat([rows, rows.new_zeros(1, rows.shape[1])])  # row P stands for absent neighbours
        gathered = padded.index_select(0, neighbours.flatten())  # (P * 9, C)
        matrix = self.weight.to(rows.dtype).permute(2, 3, 1, 0).reshape(-1, self.weight.shape[0])  # (9 * C, M)
        return gathered.view(-1, matrix.shape[0]) @ matrix + self.bias.to(rows.dtype)

    def forward_dense(self, x: Float[Tensor, "batch _in height width"]) -> Float[Tensor, "batch _out height width"]:
        """The same on a dense map, at the pixels of the active set."""
        return F.conv2d(x, self.weight, self.bias, padding=1)


class DenseLevel:
    """The active set of one resolution level as a dense map: the twin of `ActiveSet`.

    Args:
        presence: What features are multiplied by, 0 outside the active set; its dtype is that of the level's features.
    """

    def __init__(self, presence: Float[Tensor, "batch 1 height width"]) -> None:
        self.presence = presence
        self._of_features = presence

    def relu(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Apply ReLU, in place, then multiply by the presence, which clears what lies outside the active set."""
        if self._of_features.shape != x.shape:
            # in the full shape of `x`: broadcasting along the channels is slow in the channels-last format
            self._of_features = torch.empty_like(x.detach()).copy_(self.presence)
        return x.relu_() * self._of_features
