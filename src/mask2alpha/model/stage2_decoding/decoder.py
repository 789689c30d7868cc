"""One decoding step: (fused features, mixed matte, states, evidence) -> alpha and predicted error (paper 3.2)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.config import DecoderConfig
from mask2alpha.model.layers import ConvBlock, ResidualBlock, SumConv
from mask2alpha.model.stage2_decoding.evidence import count_cues, shown_cues
from mask2alpha.model.values import CoarseMatte, DecodingState, FusedFeatures

INITIAL_ERROR_LOGIT = -2.0
"""Bias of the error head at the start: a predicted error of 0.12 everywhere."""


class StepDecoder(nn.Module):
    """A light two-level U-Net at H/4, applied once per step.

    The fused features do not change between the steps, so their convolution is done once by `prepare`.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        channels, channels_os8 = config.step_channels, config.step_channels_os8
        self.prepare = nn.Conv2d(config.fused_channels, channels, 3, padding=1)
        self.state = SumConv(2 + count_cues(config), channels, 3, padding=1, bias=False)
        self.norm: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(channels)
        self.rectify: nn.ReLU | nn.Identity = nn.ReLU(inplace=True)
        self.down = nn.Sequential(
            ConvBlock(channels, channels_os8, stride=2), ResidualBlock(channels_os8), ResidualBlock(channels_os8)
        )
        self.up = nn.Conv2d(channels_os8, channels, 1)
        self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.merge = nn.Sequential(ConvBlock(channels, channels), ResidualBlock(channels))
        self.heads = nn.Conv2d(channels, 2, 3, padding=1)
        with torch.no_grad():
            assert self.heads.bias is not None
            self.heads.bias.copy_(torch.tensor([0.0, INITIAL_ERROR_LOGIT]))

    def forward(self, fused: FusedFeatures, state: DecodingState) -> CoarseMatte:
        """Predict from a state.

        Args:
            fused: The fused features, of which the step reads `prepared`.
            state: The mixed matte, the states of the pixels, and the evidence.

        Returns:
            Alpha logits and predicted error in float32.
        """
        alpha_logits, error_logits = torch.split(self.predict_logits(fused.prepared, state), 1, dim=1)
        return CoarseMatte(
            alpha_logits=alpha_logits,
            predicted_error=error_logits.sigmoid(),
            features=fused.features,
            local_colours=state.evidence.local_colours,
            spanned=fused.guided.spanned,
            box=fused.guided.box,
        )

    def predict_logits(
        self, prepared: Float[Tensor, "batch step_channels h w"], state: DecodingState
    ) -> Float[Tensor, "batch 2 h w"]:
        """The logits of alpha and of the predicted error, in float32."""
        parts = [2 * state.mixed_matte - 1, state.is_fine.to(state.mixed_matte.dtype)]
        parts += shown_cues(state.evidence, self.config)
        shown = torch.cat(parts, dim=1).to(prepared.dtype, memory_format=torch.channels_last)
        x = self.rectify(self.norm(self.state(shown, prepared)))
        context = self.enlarge(self.up(self.down(x)))
        x = self.merge(context.add_(x))
        logits: Tensor = self.heads(x).float()
        return logits
