"""The light encoder of the small models: a residual convolutional stem, ViT blocks on its last map (paper 3.1).

The stem takes the place of patch embedding and adapter; the guided last block is the same as in `VitAdapterEncoder`.
"""

from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.config import EncoderConfig
from mask2alpha.model.layers import Block, ConvBlock, ResidualBlock, to_map, to_tokens
from mask2alpha.model.stage1_encoder.guidance import MaskGuidance
from mask2alpha.model.stage1_encoder.normalization import HalfResolutionInput
from mask2alpha.model.values import GuidedFeatures, ImageEncoding


class ConvStemEncoder(nn.Module):
    """Image -> maps at strides 4, 8, 16, 32; the mask steers the last of the ViT blocks at stride 32."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.input = HalfResolutionInput(config)
        channels = config.stem_channels
        self.stages = nn.ModuleList()
        previous = 3
        for width, blocks in zip(channels, config.stem_blocks, strict=True):
            residuals = [ResidualBlock(width) for _ in range(blocks)]
            self.stages.append(nn.Sequential(ConvBlock(previous, width, stride=2), *residuals))
            previous = width
        dim = config.embed_dim
        self.embedding = ConvBlock(previous, dim, kernel_size=1, has_relu=False)
        self.positions = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.blocks = nn.ModuleList(
            Block(
                dim,
                config.num_heads,
                mlp_ratio=config.mlp_ratio,
                layer_scale=config.layer_scale,
                has_key_bias=config.has_key_bias,
                layer_norm_eps=config.layer_norm_eps,
            )
            for _ in range(config.depth)
        )
        self.guidance = MaskGuidance() if config.has_guidance else None
        self.final_norm = nn.LayerNorm(dim, eps=config.layer_norm_eps) if config.has_final_norm else nn.Identity()
        self.out_channels = (*channels[:-1], dim)
        self.num_kept_maps = len(channels) - 1
        """Number of the finest maps that no mask changes: `guide` hands them on as they are."""

    def encode(self, image: Float[Tensor, "batch 3 height width"]) -> ImageEncoding:
        """Compute all that depends on the image alone; `image` is in [0, 1], its sides are multiples of 64."""
        x, thumbnail = self.input(image)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        x = self.embedding(x)
        x = x + self.positions(x)
        grid = (x.shape[2], x.shape[3])
        tokens = to_tokens(x)
        for block in list(self.blocks)[:-1]:
            tokens = block(tokens)
        return ImageEncoding(
            tokens=tokens,
            token_grid=grid,
            maps=tuple(maps[:-1]),
            thumbnail=thumbnail,
            size=(image.shape[2], image.shape[3]),
        )

    def guide(self, encoding: ImageEncoding, mask: Float[Tensor, "batch 1 height width"]) -> GuidedFeatures:
        """The features for one mask: `out_channels` channels at strides 4, 8, 16, 32."""
        key_scale = None if self.guidance is None else self.guidance(mask, encoding.token_grid)
        tokens = self.final_norm(self.blocks[-1](encoding.tokens, key_scale=key_scale))
        return GuidedFeatures(
            maps=(*encoding.maps, to_map(tokens, encoding.token_grid)),
            tokens=tokens,
            token_grid=encoding.token_grid,
            thumbnail=encoding.thumbnail,
            size=encoding.size,
            spanned=encoding.spanned,
        )

    def received_attention(
        self, encoding: ImageEncoding, mask: Float[Tensor, "batch 1 height width"], *, has_guidance: bool = True
    ) -> Float[Tensor, "batch rows columns"]:
        """How much attention each token receives in the guided block, averaged over heads and looking tokens.

        Args:
            encoding: From `encode`.
            mask: In [0, 1], at the size of the encoded image.
            has_guidance: False: as if the mask did not steer the block.

        Returns:
            At least 0; sums to 1 over the grid.
        """
        guidance = self.guidance if has_guidance else None
        key_scale = None if guidance is None else guidance(mask, encoding.token_grid)
        block = self.blocks[-1]
        assert isinstance(block, Block)
        received = block.received_attention(encoding.tokens, key_scale=key_scale)
        return received.view(-1, *encoding.token_grid)
