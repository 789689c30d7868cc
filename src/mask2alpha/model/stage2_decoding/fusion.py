"""Fuse the encoder's maps and the mask into the one map at H/4 that every decoding step reads."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.config import DecoderConfig
from mask2alpha.model.layers import ConvBlock, ResidualBlock


class FeatureFusion(nn.Module):
    """A feature pyramid from the coarsest map down to stride 4; the mask is beside the features at each level.

    Runs once per mask, before the loop, so that a step is a few light convolutions.
    """

    def __init__(self, in_channels: tuple[int, ...], config: DecoderConfig) -> None:
        super().__init__()
        widths = [min(config.pyramid_channels, config.fused_channels * 2**level) for level in range(len(in_channels))]
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, width, 1) for channels, width in zip(in_channels, widths, strict=True)
        )
        self.reductions = nn.ModuleList(nn.Conv2d(coarser, width, 1) for width, coarser in pairwise(widths))
        self.mixers = nn.ModuleList(
            nn.Sequential(ConvBlock(width + 1, width), ResidualBlock(width)) for width in widths
        )

    def forward(
        self, pyramid: tuple[Tensor, ...], mask_os4: Float[Tensor, "batch 1 h w"]
    ) -> Float[Tensor, "batch channels h w"]:
        """Fuse.

        Args:
            pyramid: Feature maps at strides 4, 8, 16, ..., finest first.
            mask_os4: The mask in [0, 1] at stride 4.

        Returns:
            The fused map at stride 4.
        """
        masks = [2 * mask_os4 - 1]
        for _ in pyramid[1:]:
            masks.append(F.avg_pool2d(masks[-1], 2))
        fused: Tensor | None = None
        for level in range(len(pyramid) - 1, -1, -1):
            features = self.laterals[level](pyramid[level])
            if fused is not None:
                reduced = self.reductions[level](fused)
                features = features + F.interpolate(reduced, scale_factor=2, mode="bilinear", align_corners=False)
            fused = self.mixers[level](torch.cat([features, masks[level].to(features.dtype)], dim=1))
        assert fused is not None
        return fused
