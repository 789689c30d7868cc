"""The adapter for masks that are believed more than usual."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mask2alpha.errors import TrainingError
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.values import MattingOutput, RunOptions
from mask2alpha.training.loop import train_trust_alone


@pytest.fixture
def model() -> Mask2Alpha:
    """A model whose adapter is as good as trained: its head is not zero."""
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS["tiny_backbone"]).eval()
    assert model.trust is not None
    for parameter in model.trust.head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def run(model: Mask2Alpha, options: RunOptions) -> MattingOutput:
    generator = torch.Generator().manual_seed(0)
    image, mask = torch.rand(1, 3, 64, 128, generator=generator), torch.zeros(1, 1, 64, 128)
    mask[:, :, 16:48, 32:96] = 1
    with torch.inference_mode():
        return model(image, mask, options)


def coarse(model: Mask2Alpha, options: RunOptions) -> Tensor:
    return run(model, options).coarse.alpha_logits


def test_at_the_default_trust_the_network_is_the_one_without_it(model: Mask2Alpha) -> None:
    config = replace(model.config, decoder=replace(model.config.decoder, trust_channels=0))
    without = Mask2Alpha(config).eval()
    without.load_state_dict({name: value for name, value in model.state_dict().items() if not name.startswith("trust")})
    assert torch.equal(run(model, RunOptions()).alpha, run(without, RunOptions()).alpha)


def test_only_more_trust_changes_the_matte(model: Mask2Alpha) -> None:
    usual, less, some, full = (coarse(model, RunOptions(trust=trust)) for trust in (0.5, 0.0, 0.75, 1.0))
    assert torch.equal(less, usual)
    assert (some - usual).abs().max() > 1e-3
    assert (full - some).abs().max() > 1e-3


def test_only_the_adapter_is_trained(model: Mask2Alpha) -> None:
    train_trust_alone(model.train())
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if name.startswith("trust.")}
    assert {name for name, module in model.named_children() if module.training} == {"trust"}
    with pytest.raises(TrainingError, match="trust_channels"):
        train_trust_alone(Mask2Alpha(PRESETS["tiny"]))
