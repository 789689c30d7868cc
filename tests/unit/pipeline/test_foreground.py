import numpy as np
import pytest
import torch
from pymatting import estimate_foreground_ml

from mask2alpha.errors import InputError
from mask2alpha.pipeline.foreground import despill, estimate_foreground


def soft_scene(size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Image, alpha and true foreground: smooth colours and a hairy matte, composited and rounded to 8 bits."""
    generator = torch.Generator().manual_seed(seed)

    def smooth(channels: int, cells: int) -> torch.Tensor:
        noise = torch.rand(1, channels, cells, cells, generator=generator)
        return torch.nn.functional.interpolate(noise, (size, size), mode="bicubic")[0].clamp(0, 1)

    true_foreground, background = smooth(3, 6), smooth(3, 12)
    blob, strands = smooth(1, 5) - 0.5, smooth(1, size // 3) - 0.5
    alpha = (0.5 + 4 * blob + 2 * strands * (1 - 2 * blob.abs())).clamp(0, 1)
    image = alpha * true_foreground + (1 - alpha) * background
    return (image * 255).round() / 255, alpha, true_foreground


def colour_error(foreground: torch.Tensor, true_foreground: torch.Tensor, alpha: torch.Tensor) -> float:
    is_mixed = ((alpha > 0.02) & (alpha < 0.98)).expand(3, -1, -1)
    return float(((foreground - true_foreground).abs() * alpha)[is_mixed].mean())


@pytest.mark.parametrize("seed", range(4))
def test_colours_are_no_worse_than_pymattings(seed: int) -> None:
    image, alpha, true_foreground = soft_scene(192, seed)
    reference = estimate_foreground_ml(image.permute(1, 2, 0).double().numpy(), alpha[0].double().numpy())
    reference_error = colour_error(
        torch.from_numpy(np.ascontiguousarray(reference)).permute(2, 0, 1).float(), true_foreground, alpha
    )
    own_error = colour_error(estimate_foreground(image, alpha), true_foreground, alpha)
    assert own_error <= reference_error
    assert own_error < 0.5 * colour_error(image, true_foreground, alpha)


def test_opaque_pixels_keep_their_colours_exactly() -> None:
    image, alpha, _ = soft_scene(64, 0)
    foreground = estimate_foreground(image, alpha)
    is_opaque = (alpha == 1).expand(3, -1, -1)
    assert is_opaque.any()
    assert torch.equal(foreground[is_opaque], image[is_opaque])


def test_nothing_of_the_background_is_left_under_alpha_zero() -> None:
    image = torch.zeros(3, 64, 64)
    image[0, :, :32], image[2, :, 32:] = 1, 1  # red target, blue background
    alpha = torch.zeros(1, 64, 64)
    alpha[:, :, :32] = 1
    foreground = estimate_foreground(image, alpha)
    assert foreground[0].min() > 0.95
    assert foreground[2].max() < 0.05


def test_two_flat_colours_are_told_apart_through_a_ramp() -> None:
    alpha = torch.linspace(0, 1, 48).expand(1, 48, 48).contiguous()
    red, blue = torch.tensor([1.0, 0, 0]).view(3, 1, 1), torch.tensor([0, 0, 1.0]).view(3, 1, 1)
    foreground = estimate_foreground(alpha * red + (1 - alpha) * blue, alpha)
    assert (foreground - red).abs()[:, :, 6:].max() < 0.08


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (33, 2), (5, 90)])
def test_any_size(size: tuple[int, int]) -> None:
    foreground = estimate_foreground(torch.rand(3, *size), torch.rand(1, *size))
    assert foreground.shape == (3, *size)
    assert foreground.min() >= 0
    assert foreground.max() <= 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_flat_alpha_gives_the_image_or_something_finite(value: float) -> None:
    image = torch.rand(3, 20, 20)
    foreground = estimate_foreground(image, torch.full((1, 20, 20), value))
    assert foreground.isfinite().all()
    assert value == 0 or torch.equal(foreground, image)


GREEN = (0.1, 0.8, 0.2)


def test_despilling_limits_a_green_key_to_the_stronger_other_channel() -> None:
    colours = torch.rand(3, 20, 20)
    clean = despill(colours, (0.0, 1.0, 0.0))
    is_greenest = colours[1] > torch.maximum(colours[0], colours[2])
    assert torch.allclose(clean[1][is_greenest], torch.maximum(clean[0], clean[2])[is_greenest], atol=1e-5)
    assert torch.allclose(clean[:, ~is_greenest], colours[:, ~is_greenest], atol=1e-6)
    assert torch.allclose(clean.mean(0), colours.mean(0), atol=1e-5)


@pytest.mark.parametrize("key", [GREEN, (0.05, 0.2, 0.9), (0.9, 0.1, 0.7)])
def test_a_screens_spill_is_taken_away_and_grey_stays(key: tuple[float, float, float]) -> None:
    grey = torch.full((3, 4, 4), 0.5)
    spilled = grey + 0.2 * (torch.tensor(key) - torch.tensor(key).mean()).view(3, 1, 1)
    assert torch.allclose(despill(spilled, key), grey, atol=1e-4)
    assert torch.allclose(despill(grey, key), grey, atol=1e-6)
    half = despill(spilled, key, strength=0.5)
    assert torch.allclose(half, (spilled + grey) / 2, atol=1e-4)


@pytest.mark.parametrize("key", [(0.5, 0.5, 0.5), (0.0, 2.0, 0.0)])
def test_a_key_without_hue_or_out_of_range_is_refused(key: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="key must be a colour"):
        despill(torch.rand(3, 4, 4), key)
