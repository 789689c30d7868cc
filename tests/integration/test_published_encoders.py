"""Whole encoders of published size: equal to transformers' models, from files as transformers writes them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BeitConfig,
    BeitForMaskedImageModeling,
    BeitModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
)
from transformers.utils import logging

from mask2alpha.model.config import PRESETS, EncoderConfig
from mask2alpha.model.stage1_encoder.adapter import VitAdapterEncoder
from mask2alpha.pretrained import load_encoder_weights

SMALL = PRESETS["dinov2_small"].encoder
BASE = PRESETS["dinov2_base"].encoder
BEIT = PRESETS["beitv2_base"].encoder
logging.disable_progress_bar()


def sizes_of(config: EncoderConfig) -> dict[str, int]:
    return {
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "image_size": config.position_grid * config.patch_size,
        "patch_size": config.patch_size,
    }


def published_model(config: EncoderConfig) -> nn.Module:
    """Of the published architecture, with random weights, its tables and LayerScale random too."""
    model: nn.Module
    if config.positions == "relative":
        model = BeitModel(
            BeitConfig(**sizes_of(config), intermediate_size=4 * config.embed_dim, use_relative_position_bias=True)
        )
    elif config.num_register_tokens:
        model = Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**sizes_of(config)))
    else:
        model = Dinov2Model(Dinov2Config(**sizes_of(config)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return model.eval()


def run(encoder: VitAdapterEncoder, image: Tensor) -> Tensor:
    vit = encoder.vit
    grid = (image.shape[2] // vit.patch_size, image.shape[3] // vit.patch_size)
    return vit.final_norm(vit.run_last_block(vit.run_blocks(vit.embed(image), grid, 0, len(vit.blocks) - 1), grid))


def run_published(published: nn.Module, image: Tensor) -> Tensor:
    is_beit = isinstance(published, BeitModel)
    output = published(image, interpolate_pos_encoding=True) if is_beit else published(image)
    return output.last_hidden_state


def assert_equal(encoder: VitAdapterEncoder, published: nn.Module, grid: tuple[int, int]) -> None:
    image = torch.randn(1, 3, *(side * encoder.vit.patch_size for side in grid))
    torch.testing.assert_close(run(encoder.eval(), image), run_published(published, image), rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [SMALL, replace(SMALL, num_register_tokens=4), BASE, replace(BASE, num_register_tokens=4), BEIT],
    ids=["DINOv2 S", "DINOv2 S with registers", "DINOv2 B", "DINOv2 B with registers", "BEiT B"],
)
@torch.inference_mode()
def test_whole_encoders_equal_transformers(config: EncoderConfig, tmp_path: Path) -> None:
    published = published_model(config)
    published.save_pretrained(tmp_path)
    encoder = VitAdapterEncoder(config)
    load_encoder_weights(encoder, tmp_path)
    assert_equal(encoder, published, (config.position_grid, config.position_grid))
    assert_equal(encoder, published, (10, 16))


@pytest.mark.parametrize(
    "config", [SMALL, replace(SMALL, num_register_tokens=4), BEIT], ids=["DINOv2", "DINOv2 with registers", "BEiT"]
)
@torch.inference_mode()
def test_files_as_transformers_writes_them_load(config: EncoderConfig, tmp_path: Path) -> None:
    config = replace(config, embed_dim=48, depth=2, num_heads=3, position_grid=4, adapter_heads=3)
    published = published_model(config)
    published.save_pretrained(tmp_path)
    encoder = VitAdapterEncoder(config)
    load_encoder_weights(encoder, tmp_path)
    assert_equal(encoder, published, (4, 4))
    assert_equal(encoder, published, (3, 5))


@torch.inference_mode()
def test_a_pre_trained_beit_with_a_shared_bias_and_its_head_loads(tmp_path: Path) -> None:
    config = replace(BEIT, embed_dim=48, depth=2, num_heads=3, position_grid=4, adapter_heads=3)
    published = BeitForMaskedImageModeling(
        BeitConfig(
            **sizes_of(config),
            intermediate_size=192,
            use_shared_relative_position_bias=True,
            use_mask_token=True,
            vocab_size=10,
        )
    ).eval()
    nn.init.normal_(published.beit.shared_position_bias.relative_position_bias_table)
    published.save_pretrained(tmp_path)
    encoder = VitAdapterEncoder(config)
    load_encoder_weights(encoder, tmp_path)
    assert_equal(encoder, published.beit, (3, 5))


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "config", "model"),
    [
        ("facebook/dinov2-small", SMALL, Dinov2Model),
        ("facebook/dinov2-base", BASE, Dinov2Model),
        ("facebook/dinov2-with-registers-small", replace(SMALL, num_register_tokens=4), Dinov2WithRegistersModel),
        ("facebook/dinov2-with-registers-base", replace(BASE, num_register_tokens=4), Dinov2WithRegistersModel),
        ("microsoft/beit-base-patch16-224-pt22k", BEIT, BeitModel),
    ],
)
@torch.inference_mode()
def test_published_weights_load_from_the_hub(source: str, config: EncoderConfig, model: type[nn.Module]) -> None:
    encoder = VitAdapterEncoder(config)
    origin = load_encoder_weights(encoder, source)
    assert origin.licence == "Apache-2.0"
    assert_equal(encoder, model.from_pretrained(source).eval(), (10, 16))
