"""How far the mask is believed, as a change of the fused features (not in the paper; docs/decisions/0050).

Where nothing is said about the mask, nothing is changed, and the network is the one that it would be without.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.config import DecoderConfig
from mask2alpha.model.layers import ConvBlock, ResidualBlock
from mask2alpha.model.stage2_decoding.evidence import count_cues, shown_cues
from mask2alpha.model.values import Evidence, GuidedFeatures


class TrustAdapter(nn.Module):
    """A two-level U-Net at H/4 that adds to the fused features, once per mask.

    One of its heads is for masks that are believed more than usual, the other for those that are believed less. Both
    start at zero.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.trust_channels
        self.read = ConvBlock(config.fused_channels + 1 + count_cues(config), channels)
        self.down = nn.Sequential(
            ConvBlock(channels, 2 * channels, stride=2), ResidualBlock(2 * channels), ResidualBlock(2 * channels)
        )
        self.up = nn.Conv2d(2 * channels, channels, 1)
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.merge = nn.Sequential(ConvBlock(channels, channels), ResidualBlock(channels))
        self.heads = nn.ModuleDict({name: nn.Conv2d(channels, config.fused_channels, 1) for name in ("more", "less")})
        for head in self.heads.values():
            for parameter in head.parameters():
                nn.init.zeros_(parameter)

    def forward(
        self,
        fused: Float[Tensor, "batch channels h w"],
        mask_os4: Float[Tensor, "batch 1 h w"],
        evidence: Evidence,
        trust: Float[Tensor, "batch 1 h w"],
    ) -> Float[Tensor, "batch channels h w"]:
        """The fused features, given how far the mask is believed.

        Args:
            fused: From `FeatureFusion`.
            mask_os4: The mask in [0, 1].
            evidence: The evidence given the mask.
            trust: From `find_trust`.
        """
        parts = [2 * mask_os4 - 1, *shown_cues(evidence, self.config)]
        beside = torch.cat(parts, dim=1).to(fused.dtype)
        x = self.read(torch.cat([fused, beside], dim=1).contiguous(memory_format=torch.channels_last))
        x = self.merge(self.enlarge(self.up(self.down(x))) + x)
        more, less = F.relu(trust).to(x.dtype), F.relu(-trust).to(x.dtype)
        changed: Tensor = fused + more * self.heads["more"](x) + less * self.heads["less"](x)
        return changed


def find_trust(guided: GuidedFeatures, mask_os4: Float[Tensor, "batch 1 h w"]) -> Float[Tensor, "batch 1 h w"] | None:
    """How far the mask is believed at each pixel: 0 as usual, 1 where alpha is decided, -1 not at all.

    Returns:
        In [-1, 1]; None: as usual everywhere.
    """
    if guided.trust is None and guided.is_decided is None:
        return None
    trust = torch.zeros_like(mask_os4)
    if guided.trust is not None:
        trust = trust + (2 * guided.trust.float() - 1).view(-1, 1, 1, 1)
    return trust if guided.is_decided is None else torch.where(guided.is_decided, 1.0, trust)
