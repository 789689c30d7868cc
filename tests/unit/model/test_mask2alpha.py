from dataclasses import replace

import pytest
import torch

from mask2alpha.errors import InputError
from mask2alpha.model.config import PRESETS, ModelConfig
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.values import RunOptions

TINY = PRESETS["tiny"]
ONE_STEP = RunOptions(num_steps=1)
"""With more steps, the last bit of a predicted error may decide which of two pixels turns fine first."""


@pytest.fixture
def model() -> Mask2Alpha:
    """A tiny model with random weights everywhere, also in the layers that start at zero."""
    torch.manual_seed(0)
    model = Mask2Alpha(TINY).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def masks() -> torch.Tensor:
    masks = torch.zeros(3, 1, 128, 192)
    masks[0, :, 20:90, 30:120] = 1
    masks[1, :, 60:, 100:] = 1
    masks[2, :, :, :40] = 1
    return masks


@torch.inference_mode()
def test_one_encoding_with_many_masks_equals_separate_runs(
    model: Mask2Alpha, image: torch.Tensor, masks: torch.Tensor
) -> None:
    encoding = model.encode(image)
    for repeated in (encoding.select(torch.zeros(3, dtype=torch.int64)), encoding.repeat(3)):
        many = model(image.expand(3, -1, -1, -1), masks, encoding=repeated)
        alone = model(image.expand(3, -1, -1, -1), masks, ONE_STEP, encoding=repeated)
        for index in range(3):
            one = slice(index, index + 1)
            assert (many.alpha[one] - model(image, masks[one]).alpha).abs().mean() < 1e-3
            torch.testing.assert_close(alone.alpha[one], model(image, masks[one], ONE_STEP).alpha, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_batch_equals_one_by_one(model: Mask2Alpha, masks: torch.Tensor) -> None:
    images = torch.rand(3, 3, 128, 192, generator=torch.Generator().manual_seed(3))
    many_steps, one_step = model(images, masks), model(images, masks, ONE_STEP)
    for index in range(3):
        one = slice(index, index + 1)
        assert (many_steps.alpha[one] - model(images[one], masks[one]).alpha).abs().mean() < 1e-3
        alone = model(images[one], masks[one], ONE_STEP)
        torch.testing.assert_close(one_step.alpha[one], alone.alpha, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_sparse_detail_equals_its_dense_twin(model: Mask2Alpha, image: torch.Tensor, masks: torch.Tensor) -> None:
    for threshold in (0.0, 0.1, 1.0):
        sparse = model(image, masks[:1], RunOptions(error_threshold=threshold))
        dense = model(image, masks[:1], RunOptions(error_threshold=threshold, is_sparse=False))
        # the colour cues enlarge float32's rounding
        torch.testing.assert_close(sparse.alpha, dense.alpha, rtol=0, atol=3e-5)


@torch.inference_mode()
def test_threshold_one_returns_the_upsampled_coarse_matte(
    model: Mask2Alpha, image: torch.Tensor, masks: torch.Tensor
) -> None:
    output = model(image, masks[:1], RunOptions(error_threshold=1.0))
    assert not output.active.any()
    upsampled = torch.nn.functional.interpolate(output.coarse.alpha_logits, (128, 192), mode="bilinear").sigmoid()
    torch.testing.assert_close(output.alpha, upsampled)


@torch.inference_mode()
def test_an_encoding_of_a_smaller_image_serves_the_full_resolution(
    model: Mask2Alpha, image: torch.Tensor, masks: torch.Tensor
) -> None:
    smaller = torch.nn.functional.interpolate(image, (64, 128), mode="area")
    options = RunOptions(error_threshold=0.05)
    output = model(image, masks[:1], options, encoding=model.encode(smaller))
    assert output.alpha.shape == (1, 1, 128, 192)
    assert output.coarse.alpha_logits.shape == (1, 1, 16, 32)


@pytest.mark.parametrize(
    "config",
    [
        replace(TINY, encoder=replace(TINY.encoder, has_guidance=False)),
        replace(TINY, decoder=replace(TINY.decoder, is_iterative=False)),
        replace(TINY, decoder=replace(TINY.decoder, update="sticky")),
        replace(TINY, detail=replace(TINY.detail, selection="none")),
        replace(TINY, detail=replace(TINY.detail, selection="shm")),
    ],
    ids=["no MGFSM", "no iteration", "sticky", "no detail", "SHM"],
)
@torch.inference_mode()
def test_every_ablation_runs(config: ModelConfig, image: torch.Tensor, masks: torch.Tensor) -> None:
    output = Mask2Alpha(config).eval()(image, masks[:1])
    assert output.alpha.shape == (1, 1, 128, 192)
    assert torch.isfinite(output.alpha).all()


def test_an_image_that_is_not_padded_is_refused(model: Mask2Alpha, image: torch.Tensor, masks: torch.Tensor) -> None:
    with pytest.raises(InputError, match="image is 100 x 192; its sides must be multiples of 64"):
        model(image[:, :, :100], masks[:1, :, :100])


@torch.inference_mode()
def test_decode_is_deprecated_and_does_what_forward_does(
    model: Mask2Alpha, image: torch.Tensor, masks: torch.Tensor
) -> None:
    encoding = model.encode(image)
    with pytest.warns(DeprecationWarning, match=r"since 0\.2 and goes in 0\.4; call `forward"):
        old = model.decode(image, encoding, masks[:1])
    assert torch.equal(old.alpha, model(image, masks[:1], encoding=encoding).alpha)


def test_configuration_survives_the_round_trip_through_plain_values() -> None:
    for config in PRESETS.values():
        assert ModelConfig.from_dict(config.to_dict()) == config


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    model = Mask2Alpha(TINY).train()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    image, mask = torch.rand(2, 3, 128, 128), torch.zeros(2, 1, 128, 128)
    mask[..., 30:80, 40:100] = 1
    output = model(image, mask, RunOptions(error_threshold=0.0))
    (output.alpha.mean() + output.predicted_error.mean()).backward()
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert missing == []
