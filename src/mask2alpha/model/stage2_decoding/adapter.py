"""What a mask is known to be, as a change of the fused features (not in the paper; docs/decisions/0048).

Without such knowledge nothing is changed, so the network is the one that it would be without adapters.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mask2alpha.model.config import DecoderConfig
from mask2alpha.model.layers import ConvBlock, ResidualBlock
from mask2alpha.model.stage2_decoding.evidence import count_cues, shown_cues
from mask2alpha.model.values import Evidence


class MaskAdapter(nn.Module):
    """A two-level U-Net at H/4 whose output is added to the fused features, once per mask.

    Its head starts at zero.
    """

    def __init__(self, config: DecoderConfig, *, channels: int, reads_decided: bool) -> None:
        super().__init__()
        self.config = config
        self.read = ConvBlock(config.fused_channels + 1 + count_cues(config) + reads_decided, channels)
        self.down = nn.Sequential(
            ConvBlock(channels, 2 * channels, stride=2), ResidualBlock(2 * channels), ResidualBlock(2 * channels)
        )
        self.up = nn.Conv2d(2 * channels, channels, 1)
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.merge = nn.Sequential(ConvBlock(channels, channels), ResidualBlock(channels))
        self.head = nn.Conv2d(channels, config.fused_channels, 1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self,
        fused: Float[Tensor, "batch channels h w"],
        mask_os4: Float[Tensor, "batch 1 h w"],
        evidence: Evidence,
        is_decided: Bool[Tensor, "_batch 1 h w"] | None = None,
    ) -> Float[Tensor, "batch channels h w"]:
        """What to add to the fused features.

        Args:
            fused: From `FeatureFusion`.
            mask_os4: The masks in [0, 1].
            evidence: The evidence given the masks.
            is_decided: Where alpha is the mask's value for certain, for all masks or for each; given if and only if
                the adapter `reads_decided`.
        """
        parts = [2 * mask_os4 - 1, *shown_cues(evidence, self.config)]
        if is_decided is not None:
            parts.append(is_decided.expand_as(mask_os4))
        beside = torch.cat([part.to(fused.dtype) for part in parts], dim=1)
        x = self.read(torch.cat([fused, beside], dim=1).contiguous(memory_format=torch.channels_last))
        x = self.merge(self.enlarge(self.up(self.down(x))) + x)
        added: Tensor = self.head(x)
        return added
