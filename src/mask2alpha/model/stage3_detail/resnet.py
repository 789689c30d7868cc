"""The residual network that recomputes the active cells (paper 3.3, "SparseResNet").

It has no normalisation: a batch statistic would differ between the sparse network and its dense twin.
"""

from typing import cast

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mask2alpha.model.stage3_detail.sparse import DenseLevel, SparseTensor, SubmanifoldConv, compute_dtype


class SparseResidualBlock(nn.Module):
    """Two submanifold convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = SubmanifoldConv(channels, channels)
        self.conv2 = SubmanifoldConv(channels, channels)

    def forward(self, sparse: SparseTensor) -> SparseTensor:
        """Refine the rows of `sparse`."""
        hidden = relu(self.conv1(sparse))
        return relu(sparse.replace(sparse.features + self.conv2(hidden).features))

    def forward_dense(
        self, x: Float[Tensor, "batch channels height width"], level: DenseLevel
    ) -> Float[Tensor, "batch channels height width"]:
        """The same on a dense map that is zero outside the level's active set; so is the result."""
        hidden = level.relu_(self.conv1.forward_dense(x))
        return level.relu_(x + self.conv2.forward_dense(hidden))


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
        self.narrow_blocks = nn.Sequential(SparseResidualBlock(narrow), SparseResidualBlock(narrow))
        self.widen = nn.Linear(narrow, wide)
        self.last_block = SparseResidualBlock(wide)
        self.head = SubmanifoldConv(wide, out_channels)
        nn.init.zeros_(self.head.weight)

    def forward(self, sparse: SparseTensor) -> SparseTensor:
        """Compute the outputs of each active cell.

        Args:
            sparse: The inputs at the active cells.

        Returns:
            `out_channels` channels on the same active set.
        """
        x = self.first_block(relu(self.stem(sparse)))
        narrow = self.narrow_blocks(relu(x.replace(self.narrow(x.features))))
        x = self.last_block(relu(x.replace(self.widen(narrow.features) + x.features)))
        output: SparseTensor = self.head(x)
        return output

    def forward_dense(
        self, x: Float[Tensor, "batch _in rows columns"], active: Bool[Tensor, "batch 1 rows columns"]
    ) -> Float[Tensor, "batch _out rows columns"]:
        """The same on dense maps: the test's oracle, and the path of training.

        Args:
            x: The inputs; what they hold outside `active` does not matter.
            active: True at the active cells.

        Returns:
            `out_channels` values per cell; zero outside `active`.
        """
        level = DenseLevel(active.to(compute_dtype(x)))
        x = level.relu_(self.stem.forward_dense(x.to(level.active.dtype) * level.active))
        x = self.first_block.forward_dense(x, level)
        narrow = level.relu_(_apply_to_maps(self.narrow, x))
        for block in self.narrow_blocks:
            narrow = cast("SparseResidualBlock", block).forward_dense(narrow, level)
        x = self.last_block.forward_dense(level.relu_(_apply_to_maps(self.widen, narrow) + x), level)
        return self.head.forward_dense(x) * level.active


def relu(sparse: SparseTensor) -> SparseTensor:
    """Rectify the rows."""
    return sparse.replace(sparse.features.relu())


def _apply_to_maps(linear: nn.Linear, x: Float[Tensor, "batch _in rows columns"]) -> Tensor:
    return F.conv2d(x, linear.weight[:, :, None, None], linear.bias)
