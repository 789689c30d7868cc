"""The residual network that recomputes the active cells (paper 3.3, "SparseResNet").

It has no normalisation: a batch statistic would differ between the sparse network and its dense twin.
"""

from typing import cast

import torch.nn.functional as F
from jaxtyping import Float, Int32
from torch import Tensor, nn

from mask2alpha.model.stage3_detail.sparse import DenseLevel, SubmanifoldConv, compute_dtype


class SparseResidualBlock(nn.Module):
    """Two submanifold convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = SubmanifoldConv(channels, channels)
        self.conv2 = SubmanifoldConv(channels, channels)

    def forward(
        self,
        rows: Float[Tensor, "points channels"],
        neighbours: Int32[Tensor, "points 9"],
        presence: Float[Tensor, "points 1"],
    ) -> Float[Tensor, "points channels"]:
        """Refine the rows of the active cells."""
        hidden = self.conv1(rows, neighbours).relu() * presence
        refined: Tensor = rows + self.conv2(hidden, neighbours)
        return refined.relu() * presence

    def forward_dense(
        self, x: Float[Tensor, "batch channels height width"], level: DenseLevel
    ) -> Float[Tensor, "batch channels height width"]:
        """The same on a dense map that is zero outside the level's active set; so is the result."""
        hidden = level.relu(self.conv1.forward_dense(x))
        return level.relu(x + self.conv2.forward_dense(hidden))


class SparseResNet(nn.Module):
    """Residual blocks on an active set: a wide one, narrow ones beside what skips them, and a wide one.

    Args:
        in_channels: Features of each active cell.
        channels: Of the wide blocks, and of the narrow ones.
        out_channels: Outputs of each active cell.

    The last convolution starts at zero, so a fresh network returns zero everywhere.
    """

    reach = 10
    """How many cells away, along an axis, an input can lie on which an output depends."""

    def __init__(self, in_channels: int, channels: tuple[int, int], out_channels: int) -> None:
        super().__init__()
        wide, narrow = channels
        self.stem = SubmanifoldConv(in_channels, wide)
        self.first_block = SparseResidualBlock(wide)
        self.narrow = nn.Linear(wide, narrow)
        self.narrow_blocks = nn.ModuleList(SparseResidualBlock(narrow) for _ in range(2))
        self.widen = nn.Linear(narrow, wide)
        self.last_block = SparseResidualBlock(wide)
        self.head = SubmanifoldConv(wide, out_channels)
        nn.init.zeros_(self.head.weight)

    def forward(
        self,
        rows: Float[Tensor, "points _in"],
        neighbours: Int32[Tensor, "points 9"],
        presence: Float[Tensor, "points 1"],
    ) -> Float[Tensor, "points _out"]:
        """Compute the outputs of each active cell.

        Args:
            rows: The inputs of the active cells.
            neighbours: `ActiveSet.neighbours`.
            presence: What the features of each cell are multiplied by, `find_presence`.

        Returns:
            `out_channels` values per active cell.
        """
        presence = presence.to(compute_dtype(rows))
        x = self.first_block(self.stem(rows * presence, neighbours).relu() * presence, neighbours, presence)
        narrow = self.narrow(x).relu() * presence
        for block in self.narrow_blocks:
            narrow = block(narrow, neighbours, presence)
        x = self.last_block((self.widen(narrow) + x).relu() * presence, neighbours, presence)
        output: Tensor = self.head(x, neighbours)
        return output

    def forward_dense(
        self, x: Float[Tensor, "batch _in rows columns"], presence: Float[Tensor, "batch 1 rows columns"]
    ) -> Float[Tensor, "batch _out rows columns"]:
        """The same on dense maps: the test's oracle, and the path of training.

        Args:
            x: The inputs; what they hold outside the active cells does not matter.
            presence: Of the active cells, in [0, 1]; 0 elsewhere.

        Returns:
            `out_channels` values per cell; zero where the presence is.
        """
        level = DenseLevel(presence.to(compute_dtype(x)))
        x = level.relu(self.stem.forward_dense(x.to(level.presence.dtype) * level.presence))
        x = self.first_block.forward_dense(x, level)
        narrow = level.relu(_apply_to_maps(self.narrow, x))
        for block in self.narrow_blocks:
            narrow = cast("SparseResidualBlock", block).forward_dense(narrow, level)
        x = self.last_block.forward_dense(level.relu(_apply_to_maps(self.widen, narrow) + x), level)
        return self.head.forward_dense(x) * (level.presence > 0)


def _apply_to_maps(linear: nn.Linear, x: Float[Tensor, "batch _in rows columns"]) -> Tensor:
    return F.conv2d(x, linear.weight[:, :, None, None], linear.bias)
