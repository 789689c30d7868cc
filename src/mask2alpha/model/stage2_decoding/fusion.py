"""Fuse the encoder's maps and the mask into the one map at H/4 that every decoding step reads."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.colours import NUM_MAP_CUES
from mask2alpha.model.config import DecoderConfig
from mask2alpha.model.layers import MixBlock, ResidualBlock
from mask2alpha.ops.resize import enlarge


class FeatureFusion(nn.Module):
    """A feature pyramid from the coarsest map down to stride 4; mask and colour cues are beside it at each level.

    Runs once per mask, before the loop, so that a step is a few light convolutions. A level takes one convolution; only
    the finest, where thin parts are told apart, has a residual block besides (docs/decisions/0007).
    """

    def __init__(self, in_channels: tuple[int, ...], config: DecoderConfig) -> None:
        super().__init__()
        widths = [min(config.pyramid_channels, config.fused_channels * 2**level) for level in range(len(in_channels))]
        num_beside = 1 + NUM_MAP_CUES * config.has_colour_cues
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, width, 1) for channels, width in zip(in_channels, widths, strict=True)
        )
        self.reductions = nn.ModuleList(nn.Conv2d(coarser, width, 1) for width, coarser in pairwise(widths))
        self.mixers = nn.ModuleList(MixBlock(width, num_beside, width) for width in widths)
        self.finish = ResidualBlock(widths[0])

    def project(self, image_maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The lateral convolutions of the finest maps, done once per image where the mask has no part in them."""
        return tuple(self.laterals[level](feature_map) for level, feature_map in enumerate(image_maps))

    def forward(
        self, pyramid: tuple[Tensor, ...], beside_os4: Float[Tensor, "batch _beside h w"], *, num_projected: int = 0
    ) -> Float[Tensor, "batch channels h w"]:
        """Fuse.

        Args:
            pyramid: Feature maps at strides 4, 8, 16, ..., finest first.
            beside_os4: What stands beside the features at each level: the mask as -1 and 1 and, with
                `has_colour_cues`, the five cues; at stride 4.
            num_projected: How many of the finest maps have been through `project`.

        Returns:
            The fused map at stride 4.
        """
        beside = [beside_os4]
        for _ in pyramid[1:]:
            beside.append(F.avg_pool2d(beside[-1], 2))
        fused: Tensor | None = None
        for level in range(len(pyramid) - 1, -1, -1):
            features = pyramid[level] if level < num_projected else self.laterals[level](pyramid[level])
            if fused is not None:
                features = enlarge(self.reductions[level](fused), 2).add_(features)
            level_beside = beside[level].to(features.dtype, memory_format=torch.channels_last)
            fused = self.mixers[level](features, level_beside)
        assert fused is not None
        finished: Tensor = self.finish(fused)
        return finished
