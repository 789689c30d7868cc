"""One decoding step: (fused features, mixed matte, states) -> alpha and predicted error (paper 3.2)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.colours import NUM_MAP_CUES
from mask2alpha.model.config import DecoderConfig
from mask2alpha.model.layers import ConvBlock, ResidualBlock, SumConv
from mask2alpha.model.outputs import CoarseMatte, DecodingState
from mask2alpha.ops.resize import enlarge

INITIAL_ERROR_LOGIT = -2.0
"""Bias of the error head at the start: a predicted error of 0.12 everywhere."""


class StepDecoder(nn.Module):
    """A light two-level U-Net at H/4, applied once per step.

    The fused features do not change between the steps, so their convolution is done once by `prepare`.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        channels, channels_os8 = config.step_channels, config.step_channels_os8
        self.prepare = nn.Conv2d(config.fused_channels, channels, 3, padding=1)
        num_cues = NUM_MAP_CUES * config.has_colour_cues
        self.state = SumConv(2 + num_cues, channels, 3, padding=1, bias=False)
        self.has_colour_cues = config.has_colour_cues
        self.norm: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(channels)
        self.rectify: nn.ReLU | nn.Identity = nn.ReLU(inplace=True)
        self.down = nn.Sequential(
            ConvBlock(channels, channels_os8, stride=2), ResidualBlock(channels_os8), ResidualBlock(channels_os8)
        )
        self.up = nn.Conv2d(channels_os8, channels, 1)
        self.merge = nn.Sequential(ConvBlock(channels, channels), ResidualBlock(channels))
        self.heads = nn.Conv2d(channels, 2, 3, padding=1)
        with torch.no_grad():
            assert self.heads.bias is not None
            self.heads.bias.copy_(torch.tensor([0.0, INITIAL_ERROR_LOGIT]))

    def forward(
        self,
        prepared: Float[Tensor, "batch step_channels h w"],
        features: Float[Tensor, "batch fused_channels h w"],
        state: DecodingState,
    ) -> CoarseMatte:
        """Predict from a state.

        Args:
            prepared: `prepare(features)`.
            features: The fused features, handed on in the result.
            state: The mixed matte, the states of the pixels, and what the colours say.

        Returns:
            Alpha logits and predicted error in float32.
        """
        parts = [2 * state.mixed_matte - 1, state.is_fine.to(state.mixed_matte.dtype)]
        if self.has_colour_cues:
            parts.append(state.evidence.cues)
        shown = torch.cat(parts, dim=1).to(prepared.dtype, memory_format=torch.channels_last)
        x = self.rectify(self.norm(self.state(shown, prepared)))
        context = enlarge(self.up(self.down(x)), 2)
        x = self.merge(context.add_(x))
        alpha_logits, error_logits = self.heads(x).float().split(1, dim=1)
        return CoarseMatte(
            alpha_logits=alpha_logits,
            predicted_error=exact_sigmoid(error_logits),
            features=features,
            local_colours=state.evidence.local_colours,
        )


def exact_sigmoid(logits: Float[Tensor, "batch 1 h w"]) -> Float[Tensor, "batch 1 h w"]:
    """The sigmoid with a small relative error near 0, too, where the most confident pixels are told apart by it.

    ONNX Runtime's own sigmoid has an absolute error: there it is off by up to several times the value.
    """
    is_tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if torch.is_grad_enabled() and not is_tracing:
        return logits.sigmoid()  # the gradient of what follows overflows
    return (1 + (-logits).exp()).reciprocal()
