"""The residual U-Net that recomputes the active pixels (paper 3.3, "SparseResNet").

It has no normalisation: a batch statistic would differ between the sparse network and its dense twin.
"""

from itertools import pairwise
from typing import cast

from jaxtyping import Bool, Float
from torch import Tensor, nn

from mask2alpha.model.stage3_detail.sparse import (
    DenseLevel,
    InverseConv,
    SparseTensor,
    StridedConv,
    SubmanifoldConv,
    compute_dtype,
)


class SparseResidualBlock(nn.Module):
    """Two submanifold convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = SubmanifoldConv(channels, channels)
        self.conv2 = SubmanifoldConv(channels, channels)

    def forward(self, sparse: SparseTensor) -> SparseTensor:
        """Refine the rows of `sparse`."""
        hidden = self.conv1(sparse)
        change = self.conv2(hidden.replace(hidden.features.relu_()))
        return sparse.replace(change.features.add_(sparse.features).relu_())

    def forward_dense(
        self, x: Float[Tensor, "batch channels height width"], level: DenseLevel
    ) -> Float[Tensor, "batch channels height width"]:
        """The same on a dense map that is zero outside the level's active set; so is the result."""
        hidden = level.relu_(self.conv1.forward_dense(x))
        return level.relu_(x + self.conv2.forward_dense(hidden))


class SparseResNet(nn.Module):
    """A residual U-Net on an active set, with one output per active pixel.

    Args:
        in_channels: Features of each active pixel.
        channels: Channels at strides 1, 2, 4, ...: one level each.

    The last convolution starts at zero, so a fresh network returns zero everywhere.
    """

    def __init__(self, in_channels: int, channels: tuple[int, ...] = (16, 32)) -> None:
        super().__init__()
        assert channels, "one level is the least"
        self.stem = SubmanifoldConv(in_channels, channels[0])
        self.down_blocks = nn.ModuleList(SparseResidualBlock(width) for width in channels)
        self.bottom_block = SparseResidualBlock(channels[-1])
        self.downs = nn.ModuleList(StridedConv(fine, coarse) for fine, coarse in pairwise(channels))
        self.ups = nn.ModuleList(InverseConv(coarse, fine) for fine, coarse in pairwise(channels))
        self.up_blocks = nn.ModuleList(SparseResidualBlock(width) for width in channels[:-1])
        self.head = SubmanifoldConv(channels[0], 1)
        nn.init.zeros_(self.head.weight)

    @property
    def stride(self) -> int:
        """Pixels per side that the coarsest level pools into one."""
        return int(2 ** len(self.downs))

    @property
    def reach(self) -> int:
        """How far, in pixels, the input that an output depends on can lie from it along an axis."""
        reach = 4  # the two blocks of the coarsest level
        for _ in self.downs:
            reach = 2 * reach + 1 + 4  # a cell further on either side, and the two blocks of this level
        return reach + 2  # stem and head

    def forward(self, sparse: SparseTensor) -> SparseTensor:
        """Compute one value per active pixel.

        Args:
            sparse: The inputs at the active pixels.

        Returns:
            One channel on the same active set.
        """
        x = self.stem(sparse)
        x = self.down_blocks[0](x.replace(x.features.relu_()))
        skips = []
        for down, block in zip(self.downs, self.down_blocks[1:], strict=True):
            skips.append(x)
            x = down(x)
            x = block(x.replace(x.features.relu_()))
        x = self.bottom_block(x)
        for up, block, skip in zip(reversed(self.ups), reversed(self.up_blocks), reversed(skips), strict=True):
            x = up(x, skip.active_set)
            x = block(x.replace(x.features.add_(skip.features).relu_()))
        output: SparseTensor = self.head(x)
        return output

    def forward_dense(
        self, x: Float[Tensor, "batch _in height width"], active: Bool[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch 1 height width"]:
        """The same on dense maps: the test's oracle, and the path of training and export.

        Args:
            x: The inputs; what they hold outside `active` does not matter.
            active: True at the active pixels.

        Returns:
            One value per pixel; zero outside `active`.
        """
        levels = [DenseLevel(active.to(compute_dtype(x)))]
        for _ in self.downs:
            levels.append(levels[-1].coarsened())
        x = x.to(levels[0].active.dtype) * levels[0].active
        x = levels[0].relu_(self.stem.forward_dense(x))
        blocks, up_blocks = _blocks(self.down_blocks), _blocks(self.up_blocks)
        x = blocks[0].forward_dense(x, levels[0])
        skips = []
        for down, block, level in zip(cast("list[StridedConv]", self.downs), blocks[1:], levels[1:], strict=True):
            skips.append(x)
            x = block.forward_dense(level.relu_(down.forward_dense(x)), level)
        x = self.bottom_block.forward_dense(x, levels[-1])
        ups = cast("list[InverseConv]", self.ups)
        for up, block, skip, level in zip(
            reversed(ups), reversed(up_blocks), reversed(skips), reversed(levels[:-1]), strict=True
        ):
            size = (skip.shape[-2], skip.shape[-1])
            x = block.forward_dense(level.relu_(up.forward_dense(x, size) + skip), level)
        return self.head.forward_dense(x) * levels[0].active


def _blocks(modules: nn.ModuleList) -> list[SparseResidualBlock]:
    return cast("list[SparseResidualBlock]", list(modules))
