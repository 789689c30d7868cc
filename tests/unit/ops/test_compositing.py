import torch

from mask2alpha.ops.compositing import composite


def test_alpha_chooses_between_foreground_and_background() -> None:
    foreground, background = torch.ones(3, 1, 3), torch.zeros(3, 1, 3)
    alpha = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 3)
    assert torch.equal(composite(foreground, background, alpha), alpha.expand(3, 1, 3))
