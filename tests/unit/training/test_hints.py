import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mask2alpha.model.values import DEFAULT_TRUST
from mask2alpha.training.hints import BAND_REACHES, Hints, draw_hints, find_roughness, trust_of

SIDE = 192


def disc(radius: float) -> Tensor:
    """A soft disc: alpha falls from 1 to 0 over eight pixels."""
    distance = np.hypot(*np.mgrid[-SIDE / 2 : SIDE / 2, -SIDE / 2 : SIDE / 2])
    return torch.from_numpy(np.clip((radius + 4 - distance) / 8, 0, 1).astype(np.float32))[None, None]


def draw(seed: int = 0, count: int = 400) -> tuple[Tensor, Tensor, Hints]:
    truth = disc(60).expand(count, -1, -1, -1)
    mask = (disc(70).expand(count, -1, -1, -1) > 0.5).float()
    return mask, truth, draw_hints(mask, truth, generator=torch.Generator().manual_seed(seed))


def test_hints_are_true() -> None:
    mask, truth, hints = draw()
    exact = (truth > 0.5).float()
    is_band = hints.is_decided.flatten(1).any(1)
    is_exact = (hints.trust == 1) & ~is_band
    is_rough = (hints.trust < DEFAULT_TRUST) & ~is_band
    assert (is_band | is_exact | is_rough).all()
    assert min(part.float().mean() for part in (is_band, is_exact, is_rough)) > 0.1
    assert torch.equal(hints.mask[is_exact], exact[is_exact])
    assert torch.equal(hints.mask[~is_band & ~is_exact], mask[~is_band & ~is_exact])
    decided = hints.is_decided.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(hints.mask[decided], exact[decided])
    open_values = hints.mask[is_band][~decided[is_band]]
    assert set(open_values.unique().tolist()) == {0.0, 0.5, 1.0}


def test_a_band_leaves_the_outline_open() -> None:
    _, truth, hints = draw()
    is_band = hints.is_decided.flatten(1).any(1)
    is_half = ((truth > 0.4) & (truth < 0.6))[is_band]
    decided = hints.is_decided[is_band].repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert not decided[is_half].any()
    widths = (~hints.is_decided[is_band]).float().sum((1, 2, 3)) * 16 / (2 * math.pi * 60)
    assert widths.max() < 2 * BAND_REACHES[1] + 20
    assert widths.max() > 3 * widths.min()


def test_roughness_is_the_mean_distance_of_the_outlines_over_the_extent() -> None:
    exact = (disc(60) > 0.5).float()
    assert find_roughness(exact, exact).item() == 0
    for change in (-9, -4, 4, 9):
        expected = abs(change) / math.sqrt(math.pi * 60**2)
        given = (disc(60 + change) > 0.5).float()
        assert find_roughness(given, exact).item() == pytest.approx(expected, rel=0.35)


def test_trust_falls_with_roughness() -> None:
    trusts = [trust_of(roughness) for roughness in (0.0, 0.002, 0.004, 0.006, 0.01, 0.018, 0.2)]
    assert trusts == sorted(trusts, reverse=True)
    assert trusts[0] == trusts[1] == 1
    assert trusts[3] == DEFAULT_TRUST
    assert trusts[-2:] == [pytest.approx(0, abs=1e-9), 0]
