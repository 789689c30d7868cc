from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BeitConfig,
    BeitModel,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
)

from mask2alpha.errors import InputError
from mask2alpha.model.config import EncoderConfig
from mask2alpha.model.pretrained_names import rename_published
from mask2alpha.model.stage1_encoder.vit import AbsolutePositions, RelativePositionBias, VisionTransformer

DINOV2 = EncoderConfig(
    kind="vit_adapter",
    patch_size=14,
    embed_dim=48,
    depth=3,
    num_heads=3,
    positions="absolute",
    position_grid=5,
    has_class_token=True,
)
DINOV2_WITH_REGISTERS = replace(DINOV2, num_register_tokens=4)
BEIT = replace(
    DINOV2,
    patch_size=16,
    positions="relative",
    has_key_bias=False,
    has_final_norm=False,
    layer_norm_eps=1e-12,
)
CONFIGS = {"DINOv2": DINOV2, "DINOv2 with registers": DINOV2_WITH_REGISTERS, "BEiT": BEIT}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def randomise(model: nn.Module, scale: float = 0.1) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += scale * torch.randn_like(parameter)


def published_model(config: EncoderConfig) -> nn.Module:
    """The model of `transformers` with the same architecture and random weights, its tables random too."""
    sizes = {
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "image_size": config.position_grid * config.patch_size,
        "patch_size": config.patch_size,
    }
    model: nn.Module
    if config.positions == "relative":
        model = BeitModel(
            BeitConfig(
                **sizes,
                intermediate_size=4 * config.embed_dim,
                use_relative_position_bias=True,
                use_mask_token=True,
                layer_scale_init_value=0.5,
            )
        )
    elif config.num_register_tokens:
        model = Dinov2WithRegistersModel(
            Dinov2WithRegistersConfig(**sizes, num_register_tokens=config.num_register_tokens)
        )
    else:
        model = Dinov2Model(Dinov2Config(**sizes))
    randomise(model)
    return model.eval()


def our_model(config: EncoderConfig, published: nn.Module) -> VisionTransformer:
    tensors, unknown = rename_published(
        published.state_dict(), depth=config.depth, has_final_norm=config.has_final_norm
    )
    assert not unknown
    ours = VisionTransformer(config).eval()
    ours.load_state_dict(tensors)
    return ours


def run(ours: VisionTransformer, image: Tensor, key_scale: Tensor | None = None) -> Tensor:
    grid = (image.shape[2] // ours.patch_size, image.shape[3] // ours.patch_size)
    tokens = ours.run_blocks(ours.embed(image), grid, 0, len(ours.blocks) - 1)
    return ours.final_norm(ours.run_last_block(tokens, grid, key_scale))


def run_published(published: nn.Module, image: Tensor) -> Tensor:
    is_beit = isinstance(published, BeitModel)
    output = published(image, interpolate_pos_encoding=True) if is_beit else published(image)
    return output.last_hidden_state


@every_config
@pytest.mark.parametrize("grid", [(5, 5), (4, 7), (9, 6)])
@torch.inference_mode()
def test_equals_transformers(config: EncoderConfig, grid: tuple[int, int]) -> None:
    published = published_model(config)
    image = torch.randn(2, 3, grid[0] * config.patch_size, grid[1] * config.patch_size)
    torch.testing.assert_close(
        run(our_model(config, published), image), run_published(published, image), rtol=0, atol=1e-4
    )


@every_config
@torch.inference_mode()
def test_key_scale_of_ones_is_the_published_block(config: EncoderConfig) -> None:
    ours = VisionTransformer(config).eval()
    randomise(ours)
    image = torch.randn(2, 3, 4 * config.patch_size, 6 * config.patch_size)
    ones = torch.ones(2, 24 + ours.num_extra_tokens)
    torch.testing.assert_close(run(ours, image, ones), run(ours, image), rtol=0, atol=1e-5)
    assert (run(ours, image, 2 * ones) - run(ours, image)).abs().max() > 1e-3


@every_config
def test_key_scale_multiplies_the_scores_before_the_position_bias(config: EncoderConfig) -> None:
    config = replace(config, depth=1)
    ours = VisionTransformer(config).eval()
    randomise(ours, 0.3)
    grid = (2, 3)
    tokens = torch.randn(1, 6 + ours.num_extra_tokens, config.embed_dim)
    key_scale = torch.rand(1, tokens.shape[1]) + 0.5
    block = ours.blocks[0]
    normed = block.norm1(tokens)
    heads = (config.num_heads, config.embed_dim // config.num_heads)
    query, key, value = (
        layer(normed).unflatten(-1, heads).transpose(1, 2)
        for layer in (block.attention.query, block.attention.key, block.attention.value)
    )
    scores = query @ key.transpose(2, 3) / heads[1] ** 0.5 * key_scale.view(1, 1, 1, -1)
    if ours.position_biases is not None:
        scores = scores + ours.position_biases[0](grid)
    attended = (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
    expected = tokens + block.scale1(block.attention.projection(attended))
    expected = expected + block.scale2(block.mlp(block.norm2(expected)))
    torch.testing.assert_close(ours.run_last_block(tokens, grid, key_scale), expected, rtol=1e-5, atol=1e-5)


@every_config
@torch.inference_mode()
def test_batch_equals_one_by_one(config: EncoderConfig) -> None:
    ours = VisionTransformer(config).eval()
    randomise(ours)
    images = torch.randn(3, 3, 4 * config.patch_size, 6 * config.patch_size)
    together = run(ours, images)
    for index in range(3):
        torch.testing.assert_close(together[index : index + 1], run(ours, images[index : index + 1]))


@every_config
@torch.inference_mode()
def test_runs_in_bfloat16(config: EncoderConfig) -> None:
    ours = VisionTransformer(config).eval()
    randomise(ours)
    image = torch.randn(1, 3, 4 * config.patch_size, 6 * config.patch_size)
    exact = run(ours, image)
    rounded = run(ours.bfloat16(), image.bfloat16())
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).abs().mean() < 0.05 * exact.abs().mean()


def test_relative_bias_is_the_tables_entry_for_each_displacement() -> None:
    bias = RelativePositionBias(2, side=3)
    nn.init.normal_(bias.table)
    between = bias((3, 3))[0]
    for query in range(9):
        for key in range(9):
            down, right = query // 3 - key // 3, query % 3 - key % 3
            expected = bias.table[(down + 2) * 5 + right + 2]
            torch.testing.assert_close(between[:, 1 + query, 1 + key], expected, rtol=0, atol=0)
    class_to_patch, patch_to_class, class_to_class = bias.table[-3:]
    assert (between[:, 0, 1:] == class_to_patch.unsqueeze(1)).all()
    assert (between[:, 1:, 0] == patch_to_class.unsqueeze(1)).all()
    assert (between[:, 0, 0] == class_to_class).all()


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (3, 5), (8, 4)])
def test_relative_bias_of_any_grid_depends_on_the_displacement_alone(grid: tuple[int, int]) -> None:
    bias = RelativePositionBias(2, side=3)
    nn.init.normal_(bias.table)
    rows, columns = grid
    between = bias(grid)[0, :, 1:, 1:].reshape(2, rows, columns, rows, columns)
    torch.testing.assert_close(between[:, 1:, :, 1:], between[:, :-1, :, :-1])
    torch.testing.assert_close(between[:, :, 1:, :, 1:], between[:, :, :-1, :, :-1])


def test_relative_bias_remembers_nothing() -> None:
    bias = RelativePositionBias(2, side=3)
    attributes = set(vars(bias))
    before = bias((4, 4))
    nn.init.ones_(bias.table)
    assert (bias((4, 4)) == 1).all()
    assert not before.any()
    assert bias.double()((4, 4)).dtype == torch.float64
    assert set(vars(bias)) == attributes
    assert list(bias.state_dict()) == ["table"]


def test_relative_bias_has_a_gradient_at_every_displacement() -> None:
    bias = RelativePositionBias(1, side=2).double()
    nn.init.normal_(bias.table)
    weights = torch.randn(1, 1, 7, 7, dtype=torch.float64)

    def weighted(table: Tensor) -> Tensor:
        return (torch.func.functional_call(bias, {"table": table}, ((2, 3),)) * weights).sum()

    assert torch.autograd.gradcheck(weighted, bias.table.detach().requires_grad_())


def test_absolute_positions_of_their_own_grid_are_the_table() -> None:
    positions = AbsolutePositions(8, side=4, has_class_token=True, is_antialiased=True)
    assert positions((4, 4)) is positions.table
    assert positions((3, 6)).shape == (1, 19, 8)
    torch.testing.assert_close(positions((3, 6))[:, 0], positions.table[:, 0])


def test_without_class_token_and_norms_there_are_patches_only() -> None:
    ours = VisionTransformer(replace(DINOV2, has_class_token=False, has_final_norm=False, layer_scale=False))
    assert run(ours, torch.randn(1, 3, 28, 42)).shape == (1, 6, 48)


@pytest.mark.parametrize(
    "config",
    [
        replace(DINOV2, positions="conv"),
        replace(BEIT, has_class_token=False),
        replace(BEIT, num_register_tokens=1),
    ],
)
def test_unknown_architectures_are_refused(config: EncoderConfig) -> None:
    with pytest.raises(InputError, match="positions"):
        VisionTransformer(config)
