"""Fuses the encoder's maps, the mask and the evidence into one map at H/4, which every decoding step reads."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.config import DecoderConfig
from mask2alpha.model.layers import MixBlock, ResidualBlock, to_map
from mask2alpha.model.stage2_decoding.evidence import count_cues, shown_cues
from mask2alpha.model.values import Evidence, GuidedFeatures


class FeatureFusion(nn.Module):
    """A feature pyramid from the coarsest map down to stride 4, with mask and evidence beside it at each level.

    Runs once per mask, before the loop, so that a step is a few light convolutions. A level takes one convolution; only
    the finest, where thin parts are told apart, has a residual block besides (docs/decisions/0007). The guided tokens
    of a backbone, whatever their grid, join the two coarsest levels; the last consists of them alone.

    Args:
        in_channels: Channels of the feature maps, finest first.
        num_projected: Number of the finest maps that no mask changes. `project` runs on them once per image, and
            `forward` expects its results.
        config: Widths, and which evidence is read.
    """

    def __init__(self, in_channels: tuple[int, ...], num_projected: int, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.num_projected = num_projected
        num_levels = len(in_channels) + (config.token_channels > 0)
        widths = [min(config.pyramid_channels, config.fused_channels * 2**level) for level in range(num_levels)]
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, widths[level], 1) for level, channels in enumerate(in_channels)
        )
        self.token_laterals = nn.ModuleDict(
            {str(level): nn.Conv2d(config.token_channels, widths[level], 1) for level in range(num_levels)[-2:]}
            if config.token_channels
            else {}
        )
        self.reductions = nn.ModuleList(nn.Conv2d(coarser, width, 1) for width, coarser in pairwise(widths))
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.mixers = nn.ModuleList(MixBlock(width, 1 + count_cues(config), width) for width in widths)
        self.finish = ResidualBlock(widths[0])

    def project(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The maps of an image, with the finest `num_projected` of them through their lateral convolutions."""
        finest, rest = maps[: self.num_projected], maps[self.num_projected :]
        return (*(self.laterals[level](feature_map) for level, feature_map in enumerate(finest)), *rest)

    def forward(
        self, guided: GuidedFeatures, mask_os4: Float[Tensor, "batch 1 h w"], evidence: Evidence
    ) -> Float[Tensor, "batch channels h w"]:
        """Fuse.

        Args:
            guided: The features of the mask; their maps have been through `project`.
            mask_os4: The mask in [0, 1], at stride 4.
            evidence: The evidence given the mask.

        Returns:
            The fused map at stride 4.
        """
        levels = [self._features_of(level, guided) for level in range(len(self.mixers))]
        return self.fuse_levels(levels, mask_os4, evidence)

    def fuse_levels(
        self, levels: Sequence[Tensor], mask_os4: Float[Tensor, "batch 1 h w"], evidence: Evidence
    ) -> Float[Tensor, "batch channels h w"]:
        """As `forward`, given the features of each level, finest first."""
        beside = [torch.cat([2 * mask_os4 - 1, *shown_cues(evidence, self.config)], dim=1)]
        for _ in self.mixers[1:]:
            beside.append(F.avg_pool2d(beside[-1], 2))
        fused: Tensor | None = None
        for level in range(len(self.mixers) - 1, -1, -1):
            features = levels[level]
            if fused is not None:
                features = self.enlarge(self.reductions[level](fused)).add_(features)
            level_beside = beside[level].to(features.dtype, memory_format=torch.channels_last)
            fused = self.mixers[level](features, level_beside)
        assert fused is not None
        finished: Tensor = self.finish(fused)
        return finished

    def _features_of(self, level: int, guided: GuidedFeatures) -> Tensor:
        """The features of one level: the stem's map, the backbone's tokens, or their sum."""
        parts: list[Tensor] = []
        if level < len(guided.maps):
            feature_map = guided.maps[level]
            parts.append(feature_map if level < self.num_projected else self.laterals[level](feature_map))
        if str(level) in self.token_laterals:
            spread = self.spread_tokens(level, guided)
            parts.append(spread if guided.box is None else guided.box.cut(spread))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def spread_tokens(self, level: int, guided: GuidedFeatures) -> Float[Tensor, "batch _channels _h _w"]:
        """The backbone's guided tokens as a map for one level, over the whole image."""
        tokens = self.token_laterals[str(level)](to_map(guided.tokens, guided.token_grid))
        stride = 4 * 2**level
        size = (guided.size[0] // stride, guided.size[1] // stride)
        return F.interpolate(tokens, size, mode="bilinear", align_corners=False)
