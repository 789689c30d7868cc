import copy

import pytest
import torch
from torch import nn

from marks import needs_bfloat16
from mask2alpha.model.config import PRESETS
from mask2alpha.model.fast.folding import fold_batch_norm, store_weights_as
from mask2alpha.model.fast.onednn import JoinedMixBlock, JoinedResidualBlock, JoinedSumConv, join_activations
from mask2alpha.model.fast.optimise import TWINS, optimise
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.values import RunOptions


@pytest.fixture
def model() -> Mask2Alpha:
    """A tiny model whose norms have statistics, scales and shifts of all kinds."""
    model = Mask2Alpha(PRESETS["tiny"])
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.3, 3)
            module.weight.data.uniform_(-1.5, 1.5)
            module.bias.data.normal_(std=0.3)
    return model


@pytest.fixture
def image_and_mask() -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.zeros(2, 1, 64, 128)
    mask[0, :, 10:50, 20:90] = 1
    mask[1, :, 40:] = 1
    return torch.rand(2, 3, 64, 128).contiguous(memory_format=torch.channels_last), mask


def fold(model: Mask2Alpha) -> Mask2Alpha:
    folded = copy.deepcopy(model).eval()
    fold_batch_norm(folded)
    return folded


def test_the_folded_model_has_no_batch_norm_and_equals_the_original(
    model: Mask2Alpha, image_and_mask: tuple[torch.Tensor, torch.Tensor]
) -> None:
    options = RunOptions(num_steps=1)  # which pixels turn fine may depend on the last bit
    with torch.inference_mode():
        expected = model.eval()(*image_and_mask, options)
        folded = fold(model)
        result = folded(*image_and_mask, options)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(result.coarse.alpha_logits, expected.coarse.alpha_logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(result.alpha, expected.alpha, rtol=0, atol=1e-5)


def test_inference_equals_the_graph_that_training_differentiates(
    model: Mask2Alpha, image_and_mask: tuple[torch.Tensor, torch.Tensor]
) -> None:
    options = RunOptions(num_steps=1)
    model.eval()
    recorded = model(*image_and_mask, options)
    with torch.inference_mode():
        result = model(*image_and_mask, options)
    assert recorded.alpha.requires_grad
    torch.testing.assert_close(result.alpha, recorded.alpha.detach(), rtol=0, atol=1e-5)


def test_optimising_leaves_the_original_alone(model: Mask2Alpha) -> None:
    before = copy.deepcopy(model.state_dict())
    optimise(model.train(), device=torch.device("cpu"), dtype=torch.bfloat16)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_stored_weights_give_what_autocast_gives(
    model: Mask2Alpha, image_and_mask: tuple[torch.Tensor, torch.Tensor]
) -> None:
    folded = fold(model)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        expected = folded(*image_and_mask)
        store_weights_as(folded, torch.bfloat16)
        result = folded(*image_and_mask)
    assert folded.decoder.heads.weight.dtype == torch.bfloat16
    assert torch.equal(result.alpha, expected.alpha)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), pytest.param(torch.bfloat16, 0.05, marks=needs_bfloat16)]
)
def test_joined_convolutions_equal_the_separate_operations(
    model: Mask2Alpha, image_and_mask: tuple[torch.Tensor, torch.Tensor], dtype: torch.dtype, tolerance: float
) -> None:
    image, mask = image_and_mask
    folded = fold(model)
    store_weights_as(folded, dtype)
    folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    joined = copy.deepcopy(folded)
    join_activations(joined)
    join_activations(joined)  # as when a predictor is made of another one's model
    kinds = {type(module) for module in joined.modules()}
    assert kinds >= {JoinedResidualBlock, JoinedMixBlock, JoinedSumConv}
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != torch.float32):
        maps = []
        for network in (folded, joined):
            encoding = network.encode(image)
            coarse = network(image, mask, RunOptions(num_steps=1), encoding=encoding).coarse
            maps.append((*encoding.maps, coarse.features, coarse.alpha_logits, coarse.predicted_error))
    expected, result = maps
    for one, other in zip(result, expected, strict=True):
        scale = other.float().abs().max().item()
        torch.testing.assert_close(one.float(), other.float(), rtol=0, atol=tolerance * scale)


@torch.inference_mode()
def test_the_optimised_model_equals_the_plain_one_and_can_be_optimised_again(
    model: Mask2Alpha, image_and_mask: tuple[torch.Tensor, torch.Tensor]
) -> None:
    options = RunOptions(num_steps=1, error_threshold=0.3)
    expected = model.eval()(*image_and_mask, options)
    once = optimise(model, device=torch.device("cpu"), dtype=torch.float32)
    twice = optimise(once, device=torch.device("cpu"), dtype=torch.float32)
    assert {type(module) for module in once.modules()}.isdisjoint(TWINS)
    for network in (once, twice):
        result = network(*image_and_mask, options)
        torch.testing.assert_close(result.coarse.alpha_logits, expected.coarse.alpha_logits, rtol=1e-4, atol=1e-4)
        assert (result.active_cells == expected.active_cells).float().mean() > 0.99
        assert (result.alpha - expected.alpha).abs().mean() < 1e-3
