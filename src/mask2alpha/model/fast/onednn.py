"""oneDNN's convolutions with addition and ReLU in the same operation, on a CPU, without gradient."""

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.layers import ConvBlock, MixBlock, ResidualBlock, SumConv
from mask2alpha.model.stage2_decoding.decoder import StepDecoder

ONEDNN_CONVOLUTION = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
"""oneDNN's convolution with a ReLU in the same pass over memory, which PyTorch calls in compiled code only; None in
builds without it (docs/decisions/0005)."""
ONEDNN_ADDING_CONVOLUTION = getattr(torch.ops.mkldnn, "_convolution_pointwise_", None)
"""The same, added to a tensor in place before the ReLU."""


def join_activations(model: nn.Module) -> None:
    """Replace convolutions, additions and ReLUs by joined operations, in place; on a CPU only.

    The batch norms must be folded and the weights stored in the dtype of the call. Where PyTorch lacks the operator,
    nothing changes.
    """
    if ONEDNN_CONVOLUTION is None or ONEDNN_ADDING_CONVOLUTION is None:
        return
    for name, child in model.named_children():
        if isinstance(child, ResidualBlock):
            setattr(model, name, JoinedResidualBlock(child))
        elif isinstance(child, MixBlock):
            setattr(model, name, JoinedMixBlock(child))
        elif isinstance(child, SumConv):
            setattr(model, name, JoinedSumConv(child))
        elif isinstance(child, ConvBlock):
            setattr(model, name, JoinedConvBlock(child))
        elif not isinstance(child, JoinedSumConv):
            join_activations(child)
    if isinstance(model, StepDecoder):
        model.rectify = nn.Identity()  # as `JoinedSumConv` does


class JoinedConvBlock(nn.Module):
    """A folded `ConvBlock` as one operation, without gradient."""

    def __init__(self, block: ConvBlock) -> None:
        super().__init__()
        assert isinstance(block.norm, nn.Identity)
        self.conv = block.conv
        self.activation = "relu" if block.has_relu else "none"

    def forward(self, x: Float[Tensor, "batch _in height width"]) -> Float[Tensor, "batch _out _h _w"]:
        """Convolve and rectify."""
        assert ONEDNN_CONVOLUTION is not None
        result: Tensor = ONEDNN_CONVOLUTION(*_arguments(x, self.conv), self.activation, [], "")
        return result


class JoinedResidualBlock(nn.Module):
    """A folded `ResidualBlock` as two operations, without gradient; it overwrites its input."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.first = JoinedConvBlock(block.first)
        self.conv = block.second.conv

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Add the correction and rectify."""
        assert ONEDNN_ADDING_CONVOLUTION is not None
        hidden = self.first(x)
        x = x.to(hidden.dtype)
        ONEDNN_ADDING_CONVOLUTION.binary(x, *_arguments(hidden, self.conv), "add", 1.0, "relu", [], "")
        return x


class JoinedMixBlock(nn.Module):
    """A folded `MixBlock` without gradient: two convolutions, the second added to the first, and no joined map."""

    def __init__(self, block: MixBlock) -> None:
        super().__init__()
        assert isinstance(block.norm, nn.Identity)
        self.conv = _with_inputs(block.conv, slice(0, block.channels), has_bias=False)
        self.conv_beside = _with_inputs(block.conv, slice(block.channels, None), has_bias=True)

    def forward(
        self, x: Float[Tensor, "batch _channels height width"], beside: Float[Tensor, "batch _beside height width"]
    ) -> Float[Tensor, "batch _out height width"]:
        """Convolve both, add and rectify."""
        assert ONEDNN_CONVOLUTION is not None
        assert ONEDNN_ADDING_CONVOLUTION is not None
        result: Tensor = ONEDNN_CONVOLUTION(*_arguments(beside, self.conv_beside), "none", [], "")
        ONEDNN_ADDING_CONVOLUTION.binary(result, *_arguments(x, self.conv), "add", 1.0, "relu", [], "")
        return result


class JoinedSumConv(nn.Module):
    """A `SumConv`, and the ReLU after it, as one operation, without gradient."""

    def __init__(self, conv: SumConv) -> None:
        super().__init__()
        self.conv = conv

    def forward(
        self, x: Float[Tensor, "batch _in height width"], added: Float[Tensor, "batch _out height width"]
    ) -> Float[Tensor, "batch _out height width"]:
        """Convolve, add and rectify."""
        assert ONEDNN_CONVOLUTION is not None
        x, *rest = _arguments(x, self.conv)
        added = added.to(x.dtype)
        result: Tensor = ONEDNN_CONVOLUTION.binary(x, added, *rest, "add", 1.0, "relu", [], "")
        return result


def _with_inputs(conv: nn.Conv2d, channels: slice, *, has_bias: bool) -> nn.Conv2d:
    """The part of a convolution that reads some of the input channels."""
    part = copy.deepcopy(conv)
    weight = conv.weight[:, channels].detach()
    part.in_channels = weight.shape[1]
    part.weight = nn.Parameter(weight.clone(memory_format=torch.channels_last), requires_grad=False)
    if not has_bias:
        part.bias = None
    return part


def _arguments(x: Tensor, conv: nn.Conv2d) -> tuple[Any, ...]:
    """What oneDNN's convolutions take: input, weight, bias, padding, stride, dilation, groups."""
    return x.to(conv.weight.dtype), conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups
