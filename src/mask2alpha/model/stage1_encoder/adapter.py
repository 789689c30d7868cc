"""The large encoder: a published ViT with a ViT-Adapter, the mask steering its last block (paper 3.1).

The adapter keeps a spatial prior (convolutions on the same image) beside the ViT. Before each group of blocks the
*injector* adds what the prior sees to the ViT's tokens; after it the *extractor* adds what the tokens know to the
prior. Everything up to the last block depends on the image alone. After the last block, which sees the mask, come the
last extractors, and the ViT's map is merged into the pyramid: that is all a further mask costs.

Strides count full-resolution pixels (the encoder's own input is half that). The prior has a map of `stem_channels[0]`
channels at stride 4, which decoding at a quarter of the resolution needs and the ViT-Adapter lacks, one of half the
token dimension at 8, and three of the token dimension at 16, 32, 64: the *levels*, which the exchange is about.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.config import EncoderConfig
from mask2alpha.model.layers import Block, ConvBlock, to_map, to_tokens
from mask2alpha.model.stage1_encoder.deformable import DeformableAttention, token_centres
from mask2alpha.model.stage1_encoder.encoder import Encoder
from mask2alpha.model.stage1_encoder.guidance import MaskGuidance
from mask2alpha.model.stage1_encoder.normalization import HalfResolutionInput
from mask2alpha.model.stage1_encoder.vit import VisionTransformer
from mask2alpha.model.values import GuidedFeatures, ImageEncoding
from mask2alpha.shapes import Size

NUM_INTERACTIONS = 4
"""Groups of blocks between which prior and tokens exchange (fewer if there are fewer blocks)."""
TOKEN_STRIDE = 32
"""Full-resolution pixels per token and side, whatever the patch size: `VitAdapterEncoder` resizes its input to fit."""


class SpatialPrior(nn.Module):
    """Convolutions on the half-resolution image: maps at strides 4, 8, 16, 32, 64 of the full one."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvBlock(3, width, stride=2), ConvBlock(width, width), ConvBlock(width, width))
        self.to_os8 = nn.MaxPool2d(3, stride=2, padding=1)
        self.to_os16 = ConvBlock(width, 2 * width, stride=2)
        self.to_os32 = ConvBlock(2 * width, 4 * width, stride=2)
        self.to_os64 = ConvBlock(4 * width, 4 * width, stride=2)
        self.projections = nn.ModuleList(
            [
                nn.Conv2d(width, dim // 2, 1),
                nn.Conv2d(2 * width, dim, 1),
                nn.Conv2d(4 * width, dim, 1),
                nn.Conv2d(4 * width, dim, 1),
            ]
        )

    def forward(self, image: Float[Tensor, "batch 3 _height _width"]) -> tuple[Tensor, ...]:
        """Five maps, finest first: `width` channels, half the token dimension, then three of the token dimension."""
        os4 = self.stem(image)
        os8 = self.to_os8(os4)
        os16 = self.to_os16(os8)
        os32 = self.to_os32(os16)
        coarser = (os8, os16, os32, self.to_os64(os32))
        return (os4, *(project(x) for project, x in zip(self.projections, coarser, strict=True)))


class Injector(nn.Module):
    """Adds to the patch tokens what they find in the prior; its gain starts at zero, so the ViT starts unchanged."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.query_norm = nn.LayerNorm(dim)
        self.feature_norm = nn.LayerNorm(dim)
        self.attention = DeformableAttention(
            dim, num_heads=config.adapter_heads, num_levels=3, num_points=config.adapter_points
        )
        self.gain = nn.Parameter(torch.zeros(dim))

    def forward(
        self,
        patches: Float[Tensor, "batch patches dim"],
        grid: Size,
        spatial: Float[Tensor, "batch spatial dim"],
        grids: Sequence[Size],
    ) -> Float[Tensor, "batch patches dim"]:
        """The patch tokens of `grid`, having looked at the prior's levels of `grids`."""
        centres = token_centres([grid], patches)
        found = self.attention(self.query_norm(patches), centres, self.feature_norm(spatial), grids)
        injected: Tensor = patches + self.gain * found
        return injected


class ConvFeedForward(nn.Module):
    """A thin MLP with a depth-wise convolution on each level between its two layers."""

    def __init__(self, dim: int, *, ratio: float = 0.25) -> None:
        super().__init__()
        hidden = max(int(dim * ratio), 1)
        self.expand = nn.Linear(dim, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.contract = nn.Linear(hidden, dim)

    def forward(
        self, spatial: Float[Tensor, "batch spatial dim"], grids: Sequence[Size]
    ) -> Float[Tensor, "batch spatial dim"]:
        """Expand, look around on each level, activate, contract."""
        levels = [self.depthwise(level) for level in _split_levels(self.expand(spatial), grids)]
        mixed: Tensor = self.contract(F.gelu(_join_levels(levels)))
        return mixed


class Extractor(nn.Module):
    """Adds to the prior's tokens what they find among the patch tokens."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.query_norm = nn.LayerNorm(dim)
        self.feature_norm = nn.LayerNorm(dim)
        self.attention = DeformableAttention(
            dim, num_heads=config.adapter_heads, num_levels=1, num_points=config.adapter_points
        )
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.feed_forward = ConvFeedForward(dim)

    def forward(
        self,
        spatial: Float[Tensor, "batch spatial dim"],
        grids: Sequence[Size],
        patches: Float[Tensor, "batch patches dim"],
        grid: Size,
    ) -> Float[Tensor, "batch spatial dim"]:
        """The prior's tokens of `grids`, having looked at the patch tokens of `grid`."""
        centres = token_centres(grids, spatial)
        spatial = spatial + self.attention(self.query_norm(spatial), centres, self.feature_norm(patches), [grid])
        extracted: Tensor = spatial + self.feed_forward(self.feed_forward_norm(spatial), grids)
        return extracted


class PyramidMerge(nn.Module):
    """Adds the ViT's map to the prior's levels and normalises every pixel."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        # BEiT has no norm after its last block, and its tokens would drown the prior.
        self.token_norm = nn.Identity() if config.has_final_norm else nn.LayerNorm(dim)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.halve = nn.AvgPool2d(2)

    def forward(self, levels: Sequence[Tensor], patches: Float[Tensor, "batch patches dim"]) -> tuple[Tensor, ...]:
        """The maps at strides 16, 32, 64.

        Args:
            levels: The prior's maps at these strides.
            patches: The ViT's patch tokens, which stand on the grid of the middle level.

        Returns:
            The merged maps, finest first.
        """
        os16, os32, os64 = levels
        vit_map = to_map(self.token_norm(patches).to(os16.dtype), (os32.shape[2], os32.shape[3]))
        sums = (self.enlarge(vit_map) + os16, os32 + vit_map, os64 + self.halve(vit_map))
        return tuple(_norm_channels(norm, x) for norm, x in zip(self.norms, sums, strict=True))


class VitAdapterEncoder(Encoder):
    """Image -> maps at strides 4, 8, 16, 32, 64; the mask steers the last block of a published ViT.

    A token stands for 32 x 32 pixels of the image (16 x 16 of the halved one), whatever the patch size. With
    patches of 14 pixels the halved image is resized by 14 / 16 for the ViT alone: its weights stay as published
    and its tokens stand exactly on the prior's grid at stride 32.

    To keep a further mask cheap, three things differ from the ViT-Adapter: after the last group of blocks there is one
    extractor, not three, and it is for stride 64 alone (one query in twenty-one), because strides 16 and 32 learn of
    the mask from the ViT's map itself; the map at stride 8 is the prior's, of half the token dimension, and meets the
    mask in the fusion; the finest map is the stem's, before pooling.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim, width = config.embed_dim, config.stem_channels[0]
        self.input = HalfResolutionInput(config)
        self.vit = VisionTransformer(config)
        self.prior = SpatialPrior(width, dim)
        self.level_embedding = nn.Parameter(torch.empty(3, dim).normal_(std=0.02))
        count = min(NUM_INTERACTIONS, config.depth)
        self.stops = tuple((index + 1) * config.depth // count for index in range(count))
        self.injectors = nn.ModuleList(Injector(config) for _ in range(count))
        self.extractors = nn.ModuleList(Extractor(config) for _ in range(count - 1))
        self.last_extractor = Extractor(config)
        self.merge = PyramidMerge(config)
        self.guidance = MaskGuidance() if config.has_guidance else None
        self.num_extra_tokens = self.vit.num_extra_tokens
        self.out_channels = (width, dim // 2, dim, dim, dim)
        self.num_kept_maps = 2

    def encode(self, image: Float[Tensor, "batch 3 height width"]) -> ImageEncoding:
        """See `Encoder.encode`.

        The maps are the prior's at strides 4, 8, 16, 32, 64; the last three have looked at the tokens of all groups of
        blocks but the last.
        """
        height, width = image.shape[2:]
        grid = (height // TOKEN_STRIDE, width // TOKEN_STRIDE)
        half_image, thumbnail = self.input(image)
        os4, os8, *levels = self.prior(half_image)
        grids = _grids_of(levels)
        spatial = _join_levels(
            [level + self.level_embedding[index].view(-1, 1, 1) for index, level in enumerate(levels)]
        )
        tokens = self.vit.embed(self._fit_patches(half_image, grid))
        start = 0
        for index, stop in enumerate(self.stops):
            is_last = index == len(self.stops) - 1
            extra, patches = self._split_tokens(tokens)
            tokens = torch.cat([extra, self.injectors[index](patches, grid, spatial, grids)], dim=1)
            tokens = self.vit.run_blocks(tokens, grid, start, stop - 1 if is_last else stop)
            if not is_last:
                spatial = self.extractors[index](spatial, grids, self._split_tokens(tokens)[1], grid)
            start = stop
        maps = (os4, os8, *_split_levels(spatial.to(os8.dtype), grids))
        return ImageEncoding(tokens=tokens, token_grid=grid, maps=maps, thumbnail=thumbnail, size=(height, width))

    def guide(self, encoding: ImageEncoding, mask: Float[Tensor, "batch 1 height width"]) -> GuidedFeatures:
        """See `Encoder.guide`; `out_channels` channels at strides 4, 8, 16, 32, 64."""
        grid = encoding.token_grid
        tokens = self.vit.run_last_block(encoding.tokens, grid, self.scale_keys(encoding, mask))
        patches = self._split_tokens(tokens)[1]
        os4, os8, os16, os32, os64 = encoding.maps
        coarsest = [(os64.shape[2], os64.shape[3])]
        extracted = self.last_extractor(to_tokens(os64), coarsest, patches, grid)
        levels = [os16, os32, to_map(extracted, coarsest[0])]
        guided = self.vit.final_norm(patches)
        return GuidedFeatures.of(encoding, maps=(os4, os8, *self.merge(levels, guided)), tokens=guided)

    def last_block(self, grid: Size) -> tuple[Block, Float[Tensor, "1 heads tokens tokens"] | None]:
        """See `Encoder.last_block`."""
        return self.vit.last_block(grid)

    def _fit_patches(self, half_image: Tensor, grid: Size) -> Tensor:
        size = (grid[0] * self.vit.patch_size, grid[1] * self.vit.patch_size)
        if size == tuple(half_image.shape[2:]):
            return half_image
        return F.interpolate(half_image, size=size, mode="bicubic", align_corners=False)

    def _split_tokens(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return tokens[:, : self.vit.num_extra_tokens], tokens[:, self.vit.num_extra_tokens :]


def _grids_of(levels: Sequence[Tensor]) -> list[Size]:
    return [(level.shape[2], level.shape[3]) for level in levels]


def _join_levels(levels: Sequence[Tensor]) -> Tensor:
    return torch.cat([to_tokens(level) for level in levels], dim=1)


def _split_levels(tokens: Tensor, grids: Sequence[Size]) -> list[Tensor]:
    areas = [rows * columns for rows, columns in grids]
    return [to_map(level, grid) for level, grid in zip(torch.split(tokens, areas, dim=1), grids, strict=True)]


def _norm_channels(norm: nn.Module, feature_map: Tensor) -> Tensor:
    normed: Tensor = norm(feature_map.permute(0, 2, 3, 1))
    return normed.permute(0, 3, 1, 2)
