import pytest
import torch
from torch import nn

from mask2alpha.model.config import PRESETS, ModelConfig
from mask2alpha.model.mask2alpha import Mask2Alpha

NUM_PARAMETERS_M = {
    "tiny": (0.0, 1.0),
    "tiny_backbone": (0.0, 1.0),
    "small": (1.0, 8.0),
    "base": (21.0, 26.0),
    "dinov2_small": (21.0, 40.0),
    "dinov2_base": (86.0, 150.0),
    "beitv2_base": (86.0, 150.0),
}
"""Bounds in millions."""


def count_parameters(model: nn.Module) -> float:
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


def run_at_64(config: ModelConfig) -> None:
    torch.manual_seed(0)
    model = Mask2Alpha(config).eval()
    image = torch.rand(1, 3, 64, 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, 16:48, 16:48] = 1
    with torch.inference_mode():
        output = model(image, mask)
    assert output.alpha.shape == (1, 1, 64, 64)
    assert output.predicted_error.shape == (1, 1, 64, 64)
    assert output.active.dtype == torch.bool
    assert output.alpha.isfinite().all()
    assert 0 <= output.alpha.min() <= output.alpha.max() <= 1


def test_the_presets_are_pinned() -> None:
    assert set(PRESETS) == set(NUM_PARAMETERS_M)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_builds_within_its_size(name: str) -> None:
    with torch.device("meta"):
        model = Mask2Alpha(PRESETS[name])
    smallest, largest = NUM_PARAMETERS_M[name]
    assert smallest <= count_parameters(model) <= largest


@pytest.mark.parametrize("name", ["tiny", "tiny_backbone", "small", "base", "dinov2_small"])
def test_every_light_preset_runs(name: str) -> None:
    run_at_64(PRESETS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dinov2_base", "beitv2_base"])
def test_every_heavy_preset_runs(name: str) -> None:
    run_at_64(PRESETS[name])


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_survives_its_own_metadata(name: str) -> None:
    assert ModelConfig.from_dict(PRESETS[name].to_dict()) == PRESETS[name]
