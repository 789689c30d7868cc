"""Maps the names of published encoder weights to ours (paper 3.1).

It knows the names in the files of `transformers` (Dinov2Model, Dinov2WithRegistersModel, BeitModel, and models
that contain one under a prefix), the names that these classes use in memory since `transformers` 5, and the names of
the original repositories (facebookresearch/dinov2; beit and beit2 of microsoft/unilm). Ours are `VisionTransformer`'s.
"""

import re
from collections.abc import Mapping

from torch import Tensor

_PREFIX = re.compile(r"^(?:(?:module|model|backbone|beit|dinov2|dinov2_with_registers)\.)+")
_BLOCK = re.compile(r"^(?:encoder\.layer|layers|blocks)\.(\d+)\.(.+)$")

_OUTSIDE_BLOCKS = {
    "embeddings.cls_token": "class_token",
    "embeddings.register_tokens": "register_tokens",
    "embeddings.position_embeddings": "positions.table",
    "embeddings.patch_embeddings.projection.weight": "patch_embedding.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embedding.bias",
    "layernorm.weight": "final_norm.weight",
    "layernorm.bias": "final_norm.bias",
    "cls_token": "class_token",
    "register_tokens": "register_tokens",
    "pos_embed": "positions.table",
    "patch_embed.proj.weight": "patch_embedding.weight",
    "patch_embed.proj.bias": "patch_embedding.bias",
    "norm.weight": "final_norm.weight",
    "norm.bias": "final_norm.bias",
}
"""Published name -> ours."""

_SHARED_BIASES = (
    "encoder.relative_position_bias.relative_position_bias_table",
    "shared_position_bias.relative_position_bias_table",
    "rel_pos_bias.relative_position_bias_table",
)
"""One table for all blocks, in BEiT's pre-training; fine-tuning gives every block a copy, and so do we."""

_IN_BLOCKS = {
    "norm1": "norm1",
    "norm2": "norm2",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.attention.query": "attention.query",
    "attention.attention.key": "attention.key",
    "attention.attention.value": "attention.value",
    "attention.output.dense": "attention.projection",
    "attention.q_proj": "attention.query",
    "attention.k_proj": "attention.key",
    "attention.v_proj": "attention.value",
    "attention.o_proj": "attention.projection",
    "attn.proj": "attention.projection",
    "intermediate.dense": "mlp.expand",
    "output.dense": "mlp.contract",
    "mlp.fc1": "mlp.expand",
    "mlp.fc2": "mlp.contract",
}
"""Modules of a block with a weight and a bias."""

_LEAVES_IN_BLOCKS = {
    "attn.q_bias": "attention.query.bias",
    "attn.v_bias": "attention.value.bias",
    "layer_scale1.lambda1": "scale1.scale",
    "layer_scale2.lambda1": "scale2.scale",
    "lambda_1": "scale1.scale",
    "lambda_2": "scale2.scale",
    "ls1.gamma": "scale1.scale",
    "ls2.gamma": "scale2.scale",
    "gamma_1": "scale1.scale",
    "gamma_2": "scale2.scale",
}
"""Single tensors of a block."""

_FINAL_NORM = re.compile(r"^(?:layernorm|norm)\.")
_BIAS_TABLE = re.compile(r"(?:^|\.)relative_position_bias_table$")
_LEFT_OUT = re.compile(
    r"(?:^|\.)(?:mask_token|relative_position_index)$"
    r"|^(?:pooler|head|lm_head|classifier|fc_norm|cls_pt_layers|cls_pt_norm|cls_pt_lm_head)\."
)
"""Parts for other tasks: masked-image modelling, classification, BEiT v2's [CLS] pre-training, derived indices."""


def rename_published(
    tensors: Mapping[str, Tensor], *, depth: int, has_final_norm: bool = True
) -> tuple[dict[str, Tensor], list[str]]:
    """Give published weights our names.

    Args:
        tensors: Published name -> tensor.
        depth: Number of blocks; a relative-position table shared by all is repeated for each.
        has_final_norm: False for an encoder without a norm after the last block; a published one is then left out, with
            the heads and tokens for other tasks.

    Returns:
        Our name -> tensor, and the published names that are unknown or stand for a tensor that another name has given.
    """
    ours: dict[str, Tensor] = {}
    unknown: list[str] = []
    for published, tensor in tensors.items():
        name = _PREFIX.sub("", published)
        if _LEFT_OUT.search(name) or (not has_final_norm and _FINAL_NORM.match(name)):
            continue
        found = _rename_one(name, tensor, depth)
        if not found or found.keys() & ours.keys():
            unknown.append(published)
        else:
            ours.update(found)
    return ours, unknown


def _rename_one(name: str, tensor: Tensor, depth: int) -> dict[str, Tensor]:
    if name in _OUTSIDE_BLOCKS:
        return {_OUTSIDE_BLOCKS[name]: tensor}
    if name in _SHARED_BIASES:
        return {f"position_biases.{index}.table": tensor for index in range(depth)}
    in_block = _BLOCK.match(name)
    return {} if in_block is None else _rename_in_block(int(in_block[1]), in_block[2], tensor)


def _rename_in_block(index: int, name: str, tensor: Tensor) -> dict[str, Tensor]:
    block = f"blocks.{index}"
    if _BIAS_TABLE.search(name):
        return {f"position_biases.{index}.table": tensor}
    if name in _LEAVES_IN_BLOCKS:
        return {f"{block}.{_LEAVES_IN_BLOCKS[name]}": tensor}
    module, _, leaf = name.rpartition(".")
    if leaf not in ("weight", "bias"):
        return {}
    if module == "attn.qkv" and tensor.shape[0] % 3 == 0:
        parts = zip(("query", "key", "value"), tensor.chunk(3), strict=True)
        return {f"{block}.attention.{part}.{leaf}": values for part, values in parts}
    if module in _IN_BLOCKS:
        return {f"{block}.{_IN_BLOCKS[module]}.{leaf}": tensor}
    return {}
