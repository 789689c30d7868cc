"""Batch norms folded into the convolutions before them, and weights stored in the dtype they are multiplied in."""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mask2alpha.model.layers import ConvBlock
from mask2alpha.model.stage2_decoding.decoder import StepDecoder


def fold_batch_norm(model: nn.Module) -> None:
    """Take the batch norms out of a model in evaluation mode, in place; its results stay, up to rounding."""
    for module in model.modules():
        if isinstance(module, ConvBlock) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv, module.norm = fuse_conv_bn_eval(module.conv, module.norm), nn.Identity()
        elif isinstance(module, StepDecoder) and isinstance(module.norm, nn.BatchNorm2d):
            _fold_sum(module, module.norm)


@torch.no_grad()
def _fold_sum(decoder: StepDecoder, norm: nn.BatchNorm2d) -> None:
    """The decoder's first norm follows the sum of two convolutions: both are scaled, one takes the shift."""
    scale, shift = _scale_and_shift(norm)
    decoder.state.weight.mul_(scale.view(-1, 1, 1, 1))
    decoder.prepare.weight.mul_(scale.view(-1, 1, 1, 1))
    assert decoder.prepare.bias is not None
    decoder.prepare.bias.mul_(scale).add_(shift)
    decoder.norm = nn.Identity()


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return scale, norm.bias - mean * scale


def store_weights_as(model: nn.Module, dtype: torch.dtype) -> None:
    """Convert, in place, the weights of the convolutions and linear layers; autocast then finds nothing to convert.

    Norms, learnt scales and tables stay as they are: autocast computes with them in their own dtype.
    """
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.to(dtype)
