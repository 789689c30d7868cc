"""More trust in a mask than usual, or a trimap, as a change of the fused features (not in the paper; docs/decisions/0048).

At the usual trust nothing is changed, so the network is the one that it would be without.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mask2alpha.model.config import DecoderConfig
from mask2alpha.model.layers import ConvBlock, ResidualBlock
from mask2alpha.model.stage2_decoding.evidence import count_cues, shown_cues
from mask2alpha.model.values import DEFAULT_TRUST, Evidence


class TrustAdapter(nn.Module):
    """A two-level U-Net at H/4 that adds to the fused features, once per mask.

    Its head starts at zero.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.trust_channels
        self.read = ConvBlock(config.fused_channels + 2 + count_cues(config), channels)
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
        trust: Float[Tensor, " _batch"],
        is_decided: Bool[Tensor, "_batch 1 h w"] | None = None,
    ) -> Float[Tensor, "batch channels h w"]:
        """The fused features, given how far the masks are believed.

        Args:
            fused: From `FeatureFusion`.
            mask_os4: The masks in [0, 1].
            evidence: The evidence given the masks.
            trust: In [0, 1], of all masks or of each. Up to the default it changes nothing.
            is_decided: Where alpha is the mask's value for certain, for all masks or for each; None: nowhere.
        """
        decided = torch.zeros_like(mask_os4) if is_decided is None else is_decided.expand_as(mask_os4)
        parts = [2 * mask_os4 - 1, *shown_cues(evidence, self.config), decided]
        beside = torch.cat([part.to(fused.dtype) for part in parts], dim=1)
        x = self.read(torch.cat([fused, beside], dim=1).contiguous(memory_format=torch.channels_last))
        x = self.merge(self.enlarge(self.up(self.down(x))) + x)
        share = ((trust - DEFAULT_TRUST) / (1 - DEFAULT_TRUST)).clamp(min=0).to(x.dtype)
        changed: Tensor = fused + share.view(-1, 1, 1, 1) * self.head(x)
        return changed
