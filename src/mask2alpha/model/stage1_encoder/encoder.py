"""What the encoders have in common: the mask steers their last transformer block (paper 3.1)."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.config import EncoderConfig
from mask2alpha.model.layers import Block, ConvBlock, ResidualBlock
from mask2alpha.model.stage1_encoder.guidance import MaskGuidance
from mask2alpha.model.values import GuidedFeatures, ImageEncoding
from mask2alpha.shapes import Size


class Encoder(nn.Module, ABC):
    """Stage 1: `encode` sees the image alone, `guide` the mask."""

    out_channels: tuple[int, ...]
    """Channels of the maps that `guide` returns, finest first."""
    num_kept_maps: int
    """Number of the finest maps that no mask changes: `guide` hands them on as they are."""
    num_extra_tokens: int = 0
    """[CLS] and registers in front of the patch tokens."""

    guidance: MaskGuidance | None
    """None: the last block does not see the mask (the paper's Table 3)."""

    @abstractmethod
    def encode(self, image: Float[Tensor, "batch 3 height width"]) -> ImageEncoding:
        """Compute all that depends on the image alone; `image` is in [0, 1], its sides are multiples of 64."""

    @abstractmethod
    def guide(self, encoding: ImageEncoding, mask: Float[Tensor, "batch 1 height width"]) -> GuidedFeatures:
        """The features for one mask per encoding; `mask` is of the encoded size, in [0, 1]."""

    @abstractmethod
    def last_block(self, grid: Size) -> tuple[Block, Float[Tensor, "1 heads tokens tokens"] | None]:
        """The block that the mask steers, and its position bias for patches on `grid` = (rows, columns)."""

    def scale_keys(
        self, encoding: ImageEncoding, mask: Float[Tensor, "batch 1 height width"]
    ) -> Float[Tensor, "batch tokens"] | None:
        """The factor on each key of the last block (MGFSM); None: the model has no guidance."""
        if self.guidance is None:
            return None
        key_scale: Tensor = self.guidance(mask, encoding.token_grid, num_extra_tokens=self.num_extra_tokens)
        return key_scale

    def received_attention(
        self, encoding: ImageEncoding, mask: Float[Tensor, "batch 1 height width"], *, has_guidance: bool = True
    ) -> Float[Tensor, "batch rows columns"]:
        """How much attention each patch receives in the last block, averaged over heads and the patches' queries.

        Args:
            encoding: From `encode`.
            mask: In [0, 1], at the size of the encoded image.
            has_guidance: False: as if the mask did not steer the block.

        Returns:
            At least 0. With what [CLS] and the registers receive, it sums to 1 over the grid.
        """
        block, position_bias = self.last_block(encoding.token_grid)
        received = block.attention.received(
            block.norm1(encoding.tokens),
            position_bias=position_bias,
            key_scale=self.scale_keys(encoding, mask) if has_guidance else None,
            num_extra_tokens=self.num_extra_tokens,
        )
        return received[:, self.num_extra_tokens :].reshape(-1, *encoding.token_grid)


class Stem(nn.ModuleList):
    """Residual convolutions in stages, each of which halves the resolution."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        previous = 3
        for width, blocks in zip(config.stem_channels, config.stem_blocks, strict=True):
            residuals = [ResidualBlock(width) for _ in range(blocks)]
            self.append(nn.Sequential(ConvBlock(previous, width, stride=2), *residuals))
            previous = width

    def forward(self, half: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        """The map of each stage, finest first, of the normalised image at half the resolution."""
        maps = []
        for stage in self:
            half = stage(half)
            maps.append(half)
        return tuple(maps)
