"""A model made for inference: the same function with fewer operations.

Batch norms are folded into the convolutions before them, and the weights of convolutions and linear layers are stored
in the dtype they are multiplied in, so that no call has to convert them.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mask2alpha.model.layers import ConvBlock
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage2_decoding.decoder import StepDecoder


def fold_batch_norm(model: Mask2Alpha) -> Mask2Alpha:
    """A copy, in evaluation mode, without batch norms; it returns what `model.eval()` does, up to rounding."""
    folded = copy.deepcopy(model).eval()
    for module in folded.modules():
        if isinstance(module, ConvBlock) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv, module.norm = fuse_conv_bn_eval(module.conv, module.norm), nn.Identity()
        elif isinstance(module, StepDecoder) and isinstance(module.norm, nn.BatchNorm2d):
            _fold_sum(module, module.norm)
    return folded


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
