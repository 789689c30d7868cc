"""The adapters for masks that are believed more than usual, and for trimaps."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mask2alpha.errors import TrainingError
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.values import MattingOutput, RunOptions
from mask2alpha.training.loop import choose_part


@pytest.fixture
def model() -> Mask2Alpha:
    """A model whose adapters are as good as trained: their heads are not zero."""
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS["tiny_backbone"]).eval()
    for adapter in (model.trust, model.trimap):
        assert adapter is not None
        for parameter in adapter.head.parameters():
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


def test_without_more_trust_or_a_trimap_the_network_is_the_one_without_adapters(model: Mask2Alpha) -> None:
    config = replace(model.config, decoder=replace(model.config.decoder, trust_channels=0, trimap_channels=0))
    without = Mask2Alpha(config).eval()
    tensors = model.state_dict().items()
    without.load_state_dict({name: tensor for name, tensor in tensors if not name.startswith(("trust", "trimap"))})
    assert torch.equal(run(model, RunOptions()).alpha, run(without, RunOptions()).alpha)


def test_only_more_trust_changes_the_matte(model: Mask2Alpha) -> None:
    usual, less, some, full = (coarse(model, RunOptions(trust=trust)) for trust in (0.5, 0.0, 0.75, 1.0))
    assert torch.equal(less, usual)
    assert (some - usual).abs().max() > 1e-3
    assert (full - some).abs().max() > 1e-3


def test_a_trimap_has_an_adapter_of_its_own(model: Mask2Alpha) -> None:
    is_decided = torch.zeros(1, 1, 16, 32, dtype=torch.bool)
    is_decided[..., :2] = True
    trimap = coarse(model, RunOptions(is_decided=is_decided))
    trusted = coarse(model, RunOptions(is_decided=is_decided, trust=0.75))  # no trimap, but a mask that decides
    model.trimap = None
    assert (trimap - coarse(model, RunOptions(is_decided=is_decided)))[~is_decided].abs().max() > 1e-3
    assert torch.equal(trusted, coarse(model, RunOptions(is_decided=is_decided, trust=0.75)))


@pytest.mark.parametrize("part", ["trust", "trimap"])
def test_only_the_adapter_is_trained(part: str, model: Mask2Alpha) -> None:
    choose_part(model.train(), part)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in model.named_parameters() if name.startswith(f"{part}.")}
    assert {name for name, module in model.named_children() if module.training} == {part}
    with pytest.raises(TrainingError, match=f"{part}_channels"):
        choose_part(Mask2Alpha(PRESETS["tiny"]), part)


def test_adapters_are_not_trained_with_the_rest(model: Mask2Alpha) -> None:
    choose_part(model.train(), "all")
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert {name for name in frozen if not name.startswith("encoder.")} == {
        name for name, _ in model.named_parameters() if name.startswith(("trust.", "trimap."))
    }
