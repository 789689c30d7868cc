import pytest
import torch

from mask2alpha.model.colours import colour_cues


def test_estimate_of_mixed_light_is_its_share() -> None:
    local_colours = torch.tensor([[0.9, 0.2, 0.1, 0.1, 0.3, 0.8]])
    foreground, background = local_colours.split(3, dim=1)
    image = (0.3 * foreground.square() + 0.7 * background.square()).sqrt()
    cues = colour_cues(image, local_colours)
    assert (cues[0, 0].item() + 1) / 2 == pytest.approx(0.3, abs=0.01)
    assert cues[0, 1].item() == pytest.approx((foreground - background).norm().item())
    assert cues[0, 2].item() == pytest.approx((image - foreground).norm().item())
    assert cues[0, 3].item() == pytest.approx((image - background).norm().item())


def test_equal_colours_give_no_estimate() -> None:
    cues = colour_cues(torch.full((1, 3), 0.7), torch.full((1, 6), 0.5))
    assert cues[0, :2].tolist() == [-1.0, 0.0]
