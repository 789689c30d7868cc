"""The default encoder: a frozen, published ViT beside a convolutional stem (paper 3.1).

The ViT gives semantics, the stem fine strides. The ViT sees the whole photo on about `token_budget` patches, whatever
its size and shape, so that its cost is the same for every photo; a patch may then stand for 14 or for 80 pixels of the
image. The mask steers the ViT's last block, as in the other encoders.

The semantic evidence is fitted on the principal components of the guided tokens.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.model.config import EncoderConfig
from mask2alpha.model.layers import Block, to_map
from mask2alpha.model.stage1_encoder.encoder import Encoder, Stem
from mask2alpha.model.stage1_encoder.guidance import MaskGuidance
from mask2alpha.model.stage1_encoder.normalization import HalfResolutionInput
from mask2alpha.model.stage1_encoder.vit import VisionTransformer
from mask2alpha.model.values import COMPONENT_STRIDE, GuidedFeatures, ImageEncoding
from mask2alpha.shapes import Size


class BackboneEncoder(Encoder):
    """Image -> the stem's maps at strides 4, 8, 16, and the ViT's tokens; the mask steers the ViT's last block."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.input = HalfResolutionInput(config)
        self.stages = Stem(config)
        self.vit = VisionTransformer(config).requires_grad_(False)
        self.guidance = MaskGuidance() if config.has_guidance else None
        self.num_extra_tokens = self.vit.num_extra_tokens
        self.token_budget = config.token_budget
        self.register_buffer("component_mean", torch.zeros(config.embed_dim))
        self.register_buffer("component_basis", torch.eye(config.embed_dim, config.num_components))
        self.component_mean: Tensor
        self.component_basis: Tensor
        self.out_channels = config.stem_channels
        self.num_kept_maps = len(config.stem_channels)

    def token_grid(self, size: Size, budget: int | None = None) -> Size:
        """(rows, columns) of the patches on an image of (height, width): about square ones, about `budget` of them."""
        return find_token_grid(size, budget or self.token_budget)

    def encode(self, image: Float[Tensor, "batch 3 height width"], token_budget: int | None = None) -> ImageEncoding:
        """See `Encoder.encode`; `token_budget` overrides the configuration's."""
        half, thumbnail = self.input(image)
        size = (image.shape[2], image.shape[3])
        grid = self.token_grid(size, token_budget)
        with torch.no_grad():
            tokens = self.run_vit(fit_patches(image, half, self.input, grid, patch_size=self.vit.patch_size))
        return ImageEncoding(tokens=tokens, token_grid=grid, maps=self.stages(half), thumbnail=thumbnail, size=size)

    def run_stem(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> tuple[tuple[Float[Tensor, "batch _channels _h _w"], ...], Float[Tensor, "batch 3 _h4 _w4"]]:
        """The stem's maps and the thumbnail, without the ViT."""
        half, thumbnail = self.input(image)
        return self.stages(half), thumbnail

    def run_vit(self, patches: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch tokens dim"]:
        """The tokens before the guided block, from the result of `fit_patches`."""
        grid = (patches.shape[2] // self.vit.patch_size, patches.shape[3] // self.vit.patch_size)
        return self.vit.run_blocks(self.vit.embed(patches), grid, 0, len(self.vit.blocks) - 1)

    def guide(self, encoding: ImageEncoding, mask: Float[Tensor, "batch 1 height width"]) -> GuidedFeatures:
        """See `Encoder.guide`; the maps are those of the image alone."""
        tokens = self.vit.run_last_block(encoding.tokens, encoding.token_grid, self.scale_keys(encoding, mask))
        patches = self.vit.final_norm(tokens)[:, self.vit.num_extra_tokens :]
        components = self._find_components(patches, encoding.token_grid, encoding.size)
        return GuidedFeatures.of(encoding, maps=encoding.maps, tokens=patches, components=components)

    def last_block(self, grid: Size) -> tuple[Block, Float[Tensor, "1 heads tokens tokens"] | None]:
        """See `Encoder.last_block`."""
        return self.vit.last_block(grid)

    @torch.no_grad()
    def _find_components(
        self, patches: Float[Tensor, "batch tokens dim"], grid: Size, size: Size
    ) -> Float[Tensor, "batch components _h _w"]:
        """The principal components of the tokens, spread over the image; not differentiated."""
        with torch.autocast(patches.device.type, enabled=False):
            components = (patches.float() - self.component_mean) @ self.component_basis
            spread = (size[0] // COMPONENT_STRIDE, size[1] // COMPONENT_STRIDE)
            return F.interpolate(to_map(components, grid), spread, mode="bilinear", align_corners=False)


def find_token_grid(size: Size, budget: int) -> Size:
    """(rows, columns) of the patches on an image of (height, width): about square ones, about `budget` of them."""
    shape = math.sqrt(size[0] / size[1])
    return max(1, round(math.sqrt(budget) * shape)), max(1, round(math.sqrt(budget) / shape))


def fit_patches(
    image: Float[Tensor, "batch 3 height width"],
    half: Float[Tensor, "batch 3 _h2 _w2"],
    normalization: HalfResolutionInput,
    grid: Size,
    *,
    patch_size: int,
) -> Float[Tensor, "batch 3 _height _width"]:
    """The normalised image at the ViT's size, from the smallest version that has enough pixels.

    Args:
        image: In [0, 1].
        half: The image, normalised and at half the resolution.
        normalization: What made `half`.
        grid: (rows, columns) of the patches.
        patch_size: Pixels of the result per patch and side.
    """
    size = (grid[0] * patch_size, grid[1] * patch_size)
    source = half if half.shape[2] >= size[0] else normalization.normalize(image)
    return F.interpolate(source, size, mode="bicubic", align_corners=False, antialias=True)
