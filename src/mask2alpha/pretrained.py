"""Start a ViT-Adapter encoder from published weights: DINOv2, with or without registers, BEiT and BEiT v2.

=================================================  ==================================================================
source                                             fits
=================================================  ==================================================================
`facebook/dinov2-small`                            preset `dinov2_small`
`facebook/dinov2-base`                             preset `dinov2_base`
`facebook/dinov2-with-registers-small`, `-base`    the same with `num_register_tokens=4`
`microsoft/beit-base-patch16-224-pt22k`            preset `beitv2_base` (BEiT's first version, of the same architecture)
a local .safetensors file or folder                whatever it holds, in any naming that `model.pretrained_names` knows
=================================================  ==================================================================

BEiT v2 is published as a pickle (.pth) only. Pickles are refused; where you trust one, convert it once::

    weights = torch.load("beitv2_base_patch16_224_pt1k.pth", weights_only=True)["model"]
    safetensors.torch.save_file({name: tensor.clone() for name, tensor in weights.items()}, "beitv2_base.safetensors")
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mask2alpha.checkpoints import check_fit, find_checkpoint, read_tensors
from mask2alpha.model.pretrained_names import rename_published
from mask2alpha.model.stage1_encoder.adapter import VitAdapterEncoder
from mask2alpha.model.stage1_encoder.backbone import BackboneEncoder

LICENCES = {
    "facebook/dinov2-small": "Apache-2.0",
    "facebook/dinov2-base": "Apache-2.0",
    "facebook/dinov2-with-registers-small": "Apache-2.0",
    "facebook/dinov2-with-registers-base": "Apache-2.0",
    "microsoft/beit-base-patch16-224-pt22k": "Apache-2.0",
}
"""What the publishers state on the hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightOrigin:
    """Where an encoder's first weights came from, for a checkpoint's `initial_weights`."""

    name: str
    """The hub id, or the local file's name."""
    sha256: str
    """Of the file."""
    licence: str | None
    """An SPDX name; None where it is not known, as for local files."""


def load_encoder_weights(encoder: VitAdapterEncoder | BackboneEncoder, source: str | Path) -> WeightOrigin:
    """Load published weights into the ViT of `encoder`; the adapter's own layers are not touched.

    Args:
        encoder: Its configuration must fit the weights; on an error it is left as it was.
        source: A hub id `org/name` or `org/name@revision` (file `model.safetensors`), or a .safetensors file or a
            folder with one.

    Returns:
        What was loaded.

    Raises:
        CheckpointError: The file cannot be found or read, is a pickle, or does not fit; the message names the tensors
            that are missing, unknown, or of another shape.
    """
    path = find_checkpoint(source)
    published = read_tensors(path)
    expected = encoder.vit.state_dict()
    has_final_norm = "final_norm.weight" in expected
    tensors, unknown = rename_published(published, depth=len(encoder.vit.blocks), has_final_norm=has_final_norm)
    check_fit(expected, tensors, source=path, target="the encoder's ViT", unknown=unknown)
    encoder.vit.load_state_dict(tensors)
    is_local = Path(source).exists()
    return WeightOrigin(
        name=path.name if is_local else str(source),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        licence=None if is_local else LICENCES.get(str(source).partition("@")[0]),
    )
