import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mask2alpha.errors import CheckpointError
from mask2alpha.model.config import EncoderConfig
from mask2alpha.model.pretrained_names import rename_published
from mask2alpha.model.stage1_encoder.adapter import VitAdapterEncoder
from mask2alpha.pretrained import load_encoder_weights

DINOV2 = EncoderConfig(
    kind="vit_adapter",
    stem_channels=(4,),
    patch_size=14,
    embed_dim=12,
    depth=2,
    num_heads=2,
    positions="absolute",
    position_grid=3,
    has_class_token=True,
    num_register_tokens=4,
    adapter_heads=2,
    adapter_points=1,
)
BEIT = replace(
    DINOV2, patch_size=16, positions="relative", num_register_tokens=0, has_key_bias=False, has_final_norm=False
)


def original_dinov2(depth: int = 2) -> dict[str, Tensor]:
    """The names and shapes in facebookresearch/dinov2, with registers; width 12, patch 14, a 3 x 3 table."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, 12),
        "pos_embed": (1, 10, 12),
        "register_tokens": (1, 4, 12),
        "mask_token": (1, 12),
        "patch_embed.proj.weight": (12, 3, 14, 14),
        "patch_embed.proj.bias": (12,),
        "norm.weight": (12,),
        "norm.bias": (12,),
    }
    for index in range(depth):
        block = f"blocks.{index}"
        for norm in ("norm1", "norm2"):
            shapes |= {f"{block}.{norm}.weight": (12,), f"{block}.{norm}.bias": (12,)}
        shapes |= {
            f"{block}.attn.qkv.weight": (36, 12),
            f"{block}.attn.qkv.bias": (36,),
            f"{block}.attn.proj.weight": (12, 12),
            f"{block}.attn.proj.bias": (12,),
            f"{block}.ls1.gamma": (12,),
            f"{block}.ls2.gamma": (12,),
            f"{block}.mlp.fc1.weight": (48, 12),
            f"{block}.mlp.fc1.bias": (48,),
            f"{block}.mlp.fc2.weight": (12, 48),
            f"{block}.mlp.fc2.bias": (12,),
        }
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def original_beit(*, is_shared: bool) -> dict[str, Tensor]:
    """The names and shapes in microsoft/unilm beit2, as pre-trained (one shared bias) or fine-tuned (one per block)."""
    tensors = original_dinov2()
    for name in ("pos_embed", "register_tokens"):
        del tensors[name]
    tensors["patch_embed.proj.weight"] = torch.randn(12, 3, 16, 16)
    tensors |= {"lm_head.weight": torch.randn(9, 12), "cls_pt_layers.0.norm1.weight": torch.randn(12)}
    for index in range(2):
        block = f"blocks.{index}"
        qkv_bias = tensors.pop(f"{block}.attn.qkv.bias")
        tensors |= {f"{block}.attn.q_bias": qkv_bias[:12], f"{block}.attn.v_bias": qkv_bias[24:]}
        tensors |= {f"{block}.gamma_{i}": tensors.pop(f"{block}.ls{i}.gamma") for i in (1, 2)}
        if not is_shared:
            tensors[f"{block}.attn.relative_position_bias_table"] = torch.randn(28, 2)
            tensors[f"{block}.attn.relative_position_index"] = torch.zeros(10, 10, dtype=torch.int64)
    if is_shared:
        tensors["rel_pos_bias.relative_position_bias_table"] = torch.randn(28, 2)
        tensors["rel_pos_bias.relative_position_index"] = torch.zeros(10, 10, dtype=torch.int64)
    return tensors


def save(tensors: dict[str, Tensor], path: Path) -> Path:
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    return path


@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
def test_original_dinov2_names_load(tmp_path: Path, prefix: str) -> None:
    encoder = VitAdapterEncoder(DINOV2)
    published = original_dinov2()
    path = save({prefix + name: tensor for name, tensor in published.items()}, tmp_path / "dinov2.safetensors")
    origin = load_encoder_weights(encoder, path)
    block = encoder.vit.blocks[1]
    qkv = torch.cat([block.attention.query.weight, block.attention.key.weight, block.attention.value.weight])
    assert torch.equal(qkv, published["blocks.1.attn.qkv.weight"])
    assert torch.equal(block.attention.key.bias, published["blocks.1.attn.qkv.bias"][12:24])
    assert torch.equal(block.scale2.scale, published["blocks.1.ls2.gamma"])
    assert encoder.vit.positions is not None
    assert torch.equal(encoder.vit.positions.table, published["pos_embed"])
    assert (origin.name, origin.licence) == ("dinov2.safetensors", None)
    assert re.fullmatch("[0-9a-f]{64}", origin.sha256)


@pytest.mark.parametrize("is_shared", [True, False])
def test_original_beit_names_load(tmp_path: Path, is_shared: bool) -> None:
    encoder = VitAdapterEncoder(BEIT)
    published = original_beit(is_shared=is_shared)
    load_encoder_weights(encoder, save(published, tmp_path / "beit.safetensors"))
    attention = encoder.vit.blocks[0].attention
    assert attention.key.bias is None
    assert torch.equal(attention.value.bias, published["blocks.0.attn.v_bias"])
    assert torch.equal(attention.key.weight, published["blocks.0.attn.qkv.weight"][12:24])
    assert encoder.vit.position_biases is not None
    for index, bias in enumerate(encoder.vit.position_biases):
        name = "rel_pos_bias" if is_shared else f"blocks.{index}.attn"
        assert torch.equal(bias.table, published[f"{name}.relative_position_bias_table"])


def test_a_shared_bias_becomes_independent_tables(tmp_path: Path) -> None:
    encoder = VitAdapterEncoder(BEIT)
    load_encoder_weights(encoder, save(original_beit(is_shared=True), tmp_path / "beit.safetensors"))
    assert encoder.vit.position_biases is not None
    first, second = encoder.vit.position_biases
    torch.nn.init.zeros_(first.table)
    assert second.table.any()


def test_a_folder_and_half_precision_load(tmp_path: Path) -> None:
    encoder = VitAdapterEncoder(DINOV2)
    save({name: tensor.half() for name, tensor in original_dinov2().items()}, tmp_path / "model.safetensors")
    load_encoder_weights(encoder, tmp_path)
    assert all(parameter.dtype == torch.float32 for parameter in encoder.parameters())


def test_the_adapter_is_not_touched(tmp_path: Path) -> None:
    encoder = VitAdapterEncoder(DINOV2)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items() if not name.startswith("vit.")}
    load_encoder_weights(encoder, save(original_dinov2(), tmp_path / "dinov2.safetensors"))
    after = encoder.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_errors_name_missing_unknown_and_misshaped_tensors_and_change_nothing(tmp_path: Path) -> None:
    encoder = VitAdapterEncoder(DINOV2)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    published = original_dinov2()
    del published["cls_token"]
    published["blocks.0.attn.rotary.freqs"] = torch.ones(2)
    published["pos_embed"] = torch.randn(1, 5, 12)
    with pytest.raises(CheckpointError) as caught:
        load_encoder_weights(encoder, save(published, tmp_path / "odd.safetensors"))
    message = str(caught.value)
    assert "1 missing: class_token" in message
    assert "1 unknown: blocks.0.attn.rotary.freqs" in message
    assert "positions.table (1, 5, 12) instead of (1, 10, 12)" in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


def test_weights_of_a_deeper_encoder_do_not_fit(tmp_path: Path) -> None:
    path = save(original_dinov2(depth=3), tmp_path / "deep.safetensors")
    with pytest.raises(CheckpointError, match=r"unknown: blocks\.2\.attention\.key\.bias"):
        load_encoder_weights(VitAdapterEncoder(DINOV2), path)


def test_two_names_for_one_tensor_are_refused() -> None:
    published = {"cls_token": torch.zeros(1, 1, 12), "module.cls_token": torch.ones(1, 1, 12)}
    assert rename_published(published, depth=2)[1] == ["module.cls_token"]


@pytest.mark.parametrize("name", ["weights.pth", "pytorch_model.bin", "weights.pt"])
def test_pickles_are_refused_with_advice(tmp_path: Path, name: str) -> None:
    torch.save(original_dinov2(), tmp_path / name)
    with pytest.raises(CheckpointError, match="convert"):
        load_encoder_weights(VitAdapterEncoder(DINOV2), tmp_path / name)


def test_a_pickle_under_another_name_is_not_opened(tmp_path: Path) -> None:
    torch.save(original_dinov2(), tmp_path / "disguised.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_encoder_weights(VitAdapterEncoder(DINOV2), tmp_path / "disguised.safetensors")


def test_what_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent"):
        load_encoder_weights(VitAdapterEncoder(DINOV2), tmp_path / "absent.safetensors")
