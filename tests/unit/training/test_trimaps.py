"""The trimaps on which their adapter is trained."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mask2alpha.training import trimaps
from mask2alpha.training.trimaps import draw_trimaps

SIDE = 128


def make_targets(count: int) -> tuple[Tensor, Tensor]:
    """Rough masks, and soft discs of which they miss a part."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    distance = ((rows - SIDE / 2) ** 2 + (columns - SIDE / 2) ** 2).sqrt()
    truth = ((40 - distance) / 10).clamp(0, 1).expand(count, 1, -1, -1)
    masks = (distance < 25).float().expand(count, 1, -1, -1)
    return masks, truth


def draw(kind: str, monkeypatch: pytest.MonkeyPatch, count: int = 8) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rough masks, truth, and what is drawn when only one kind is."""
    for name in ("BAND_SHARE", "GUESS_SHARE"):
        monkeypatch.setattr(trimaps, name, float(name == kind))
    masks, truth = make_targets(count)
    return masks, truth, *draw_trimaps(masks, truth, torch.Generator().manual_seed(0))


def test_a_band_lies_along_the_border_of_an_exact_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    _, truth, made, is_decided = draw("BAND_SHARE", monkeypatch)
    assert torch.equal(made, (truth > 0.5).float())
    shares = is_decided.float().mean((1, 2, 3))
    assert shares.unique().numel() > 4  # bands of many widths
    on_border = F.max_pool2d(made, 4) != -F.max_pool2d(-made, 4)
    assert not is_decided[on_border].any()


@pytest.mark.parametrize(("kind", "has_guess"), [("GUESS_SHARE", True), ("NONE", False)])
def test_a_trimap_decides_only_what_the_truth_does(kind: str, has_guess: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    masks, truth, made, is_decided = draw(kind, monkeypatch)
    decided = F.interpolate(is_decided.float(), scale_factor=4) > 0
    assert decided.any()
    assert torch.equal(made[decided], truth[decided].round())
    assert ((truth[decided] < 0.03) | (truth[decided] > 0.97)).all()
    unsure = (truth > 0.1) & (truth < 0.9)
    assert torch.equal(made[unsure], masks[unsure] if has_guess else torch.full_like(made[unsure], 0.5))
