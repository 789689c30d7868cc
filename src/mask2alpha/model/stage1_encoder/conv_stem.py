"""The light encoder of the small models: a residual convolutional stem, ViT blocks on its last map (paper 3.1).

The stem takes the place of patch embedding and adapter; the guided last block is the same as in `VitAdapterEncoder`.
"""

from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.config import EncoderConfig
from mask2alpha.model.layers import Block, ConvBlock, to_map, to_tokens
from mask2alpha.model.stage1_encoder.encoder import Encoder, Stem
from mask2alpha.model.stage1_encoder.guidance import MaskGuidance
from mask2alpha.model.stage1_encoder.normalization import HalfResolutionInput
from mask2alpha.model.values import GuidedFeatures, ImageEncoding
from mask2alpha.shapes import Size


class ConvStemEncoder(Encoder):
    """Image -> maps at strides 4, 8, 16, 32; the mask steers the last of the ViT blocks at stride 32."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        channels, dim = config.stem_channels, config.embed_dim
        self.input = HalfResolutionInput(config)
        self.stages = Stem(config)
        self.embedding = ConvBlock(channels[-1], dim, kernel_size=1, has_relu=False)
        self.positions = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.guidance = MaskGuidance() if config.has_guidance else None
        self.final_norm = nn.LayerNorm(dim, eps=config.layer_norm_eps) if config.has_final_norm else nn.Identity()
        self.out_channels = (*channels[:-1], dim)
        self.num_kept_maps = len(channels) - 1

    def encode(self, image: Float[Tensor, "batch 3 height width"]) -> ImageEncoding:
        """See `Encoder.encode`."""
        half, thumbnail = self.input(image)
        *maps, coarsest = self.stages(half)
        x = self.embedding(coarsest)
        x = x + self.positions(x)
        tokens = to_tokens(x)
        for block in list(self.blocks)[:-1]:
            tokens = block(tokens)
        return ImageEncoding(
            tokens=tokens,
            token_grid=(x.shape[2], x.shape[3]),
            maps=tuple(maps),
            thumbnail=thumbnail,
            size=(image.shape[2], image.shape[3]),
        )

    def guide(self, encoding: ImageEncoding, mask: Float[Tensor, "batch 1 height width"]) -> GuidedFeatures:
        """See `Encoder.guide`; `out_channels` channels at strides 4, 8, 16, 32."""
        block, _ = self.last_block(encoding.token_grid)
        tokens = self.final_norm(block(encoding.tokens, key_scale=self.scale_keys(encoding, mask)))
        return GuidedFeatures.of(encoding, maps=(*encoding.maps, to_map(tokens, encoding.token_grid)), tokens=tokens)

    def last_block(self, grid: Size) -> tuple[Block, None]:
        """See `Encoder.last_block`; the positions are in the tokens."""
        block = self.blocks[-1]
        assert isinstance(block, Block)
        return block, None
