"""Inputs of the detail stage's tests, of the plain form and of the fast one."""

import torch

from mask2alpha.model.config import DetailConfig
from mask2alpha.model.stage3_detail.recovery import DetailRecovery
from mask2alpha.model.values import CoarseMatte

SHAPES = [(2, 8, 10), (1, 7, 9), (2, 1, 5), (1, 1, 1)]
DENSITIES = ["some", "none", "all", "one"]
FUSED_CHANNELS = 6


def make_active(shape, density, seed=0):
    batch, height, width = shape
    generator = torch.Generator().manual_seed(seed)
    active = torch.rand(batch, 1, height, width, generator=generator) > 0.6
    if density == "one":
        active[:] = False
        active[-1, 0, height // 2, width - 1] = True
    elif density != "some":
        active[:] = density == "all"
    return active


def make_map(active, channels, seed=1):
    """A dense map that is zero outside the active set."""
    generator = torch.Generator().manual_seed(seed)
    batch, _, height, width = active.shape
    return torch.randn(batch, channels, height, width, generator=generator) * active


def randomise(module, seed=2):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def assert_close(actual, expected):
    assert torch.allclose(actual, expected, atol=1e-5), (actual - expected).abs().max()


def make_detail(selection="sgsdr", *, channels=(4, 6), is_fresh=False):
    torch.manual_seed(0)
    detail = DetailRecovery(DetailConfig(selection=selection, channels=channels, feature_channels=3), FUSED_CHANNELS)
    if not is_fresh and selection != "none":
        torch.nn.init.normal_(detail.network.head.weight, std=0.5)
    return detail


def make_coarse(batch=2, height=32, width=40, seed=1):
    """An image, a mask, and a coarse matte of them."""
    generator = torch.Generator().manual_seed(seed)

    def random(channels, stride):
        return torch.rand(batch, channels, height // stride, width // stride, generator=generator)

    logits = (8 * random(1, 4) - 4).requires_grad_()
    features = random(FUSED_CHANNELS, 4).requires_grad_()
    coarse = CoarseMatte(
        alpha_logits=logits, predicted_error=random(1, 4), features=features, local_colours=random(6, 4)
    )
    return random(3, 1), (random(1, 1) > 0.5).float(), coarse
