"""Puts the fast functions into a model."""

import copy
from collections.abc import Mapping

import torch
from torch import nn

from mask2alpha.model.fast.attention import FastAttention
from mask2alpha.model.fast.deformable import FastDeformableAttention
from mask2alpha.model.fast.detail import FastDetailRecovery
from mask2alpha.model.fast.folding import fold_batch_norm, store_weights_as
from mask2alpha.model.fast.onednn import join_activations
from mask2alpha.model.fast.regions import FastMaskGuidance
from mask2alpha.model.fast.resampling import FastAvgPool2d, FastUpsample
from mask2alpha.model.fast.sparse import FastSparseResNet
from mask2alpha.model.layers import Attention
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage1_encoder.deformable import DeformableAttention
from mask2alpha.model.stage1_encoder.guidance import MaskGuidance
from mask2alpha.model.stage3_detail.recovery import DetailRecovery
from mask2alpha.model.stage3_detail.resnet import SparseResNet

TWINS: dict[type[nn.Module], type[nn.Module]] = {
    Attention: FastAttention,
    DeformableAttention: FastDeformableAttention,
    DetailRecovery: FastDetailRecovery,
    MaskGuidance: FastMaskGuidance,
    SparseResNet: FastSparseResNet,
    nn.AvgPool2d: FastAvgPool2d,
    nn.Upsample: FastUpsample,
}
"""Modules and their replacements: subclasses with the same parameters and a faster method."""


def optimise(model: Mask2Alpha, *, device: torch.device, dtype: torch.dtype) -> Mask2Alpha:
    """Copy a model to a device in its fastest form; for inference only.

    Args:
        model: It is copied; later changes of its weights have no effect on the copy.
        device: Where the copy runs.
        dtype: The dtype of convolutions and linear layers; autocast then has nothing to convert.

    Returns:
        The same function up to rounding, in evaluation mode.
    """
    model = copy.deepcopy(model).eval()
    fold_batch_norm(model)
    store_weights_as(model, dtype)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    put_twins(model)
    if device.type == "cpu":
        join_activations(model)
    return model


def put_twins(model: nn.Module, twins: Mapping[type[nn.Module], type[nn.Module]] = TWINS) -> None:
    """Replace modules by their twins, in place."""
    for module in model.modules():
        module.__class__ = twins.get(type(module), type(module))
