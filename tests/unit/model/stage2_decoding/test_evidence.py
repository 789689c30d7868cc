import pytest
import torch

from mask2alpha.model.config import DecoderConfig
from mask2alpha.model.stage2_decoding.evidence import count_cues, find_evidence
from mask2alpha.model.values import Evidence, GuidedFeatures


def find(thumbnail: torch.Tensor, matte_os4: torch.Tensor) -> Evidence:
    batch, _, h, w = thumbnail.shape
    tokens = torch.zeros(batch, 1, 1)
    guided = GuidedFeatures(maps=(), tokens=tokens, token_grid=(1, 1), thumbnail=thumbnail, size=(4 * h, 4 * w))
    return find_evidence(guided, matte_os4)


def test_as_many_cues_are_found_as_are_counted() -> None:
    evidence = find(torch.rand(1, 3, 16, 16), torch.rand(1, 1, 16, 16))
    assert evidence.cues.shape[1] == count_cues(DecoderConfig())
    assert count_cues(DecoderConfig(has_colour_cues=False)) == 0


def two_colours(alpha: torch.Tensor, foreground: list[float], background: list[float]) -> torch.Tensor:
    front, back = (torch.tensor(colour).view(1, 3, 1, 1) for colour in (foreground, background))
    return alpha * front + (1 - alpha) * back


def test_local_colours_are_those_well_inside_and_well_outside() -> None:
    alpha = torch.zeros(1, 1, 64, 64)
    alpha[..., 16:48, 16:48] = 1
    thumbnail = two_colours(alpha, [0.9, 0.2, 0.1], [0.1, 0.3, 0.8])
    colours = find(thumbnail, alpha).local_colours
    near = colours[0, :, 30, 15]  # at the border
    torch.testing.assert_close(near, torch.tensor([0.9, 0.2, 0.1, 0.1, 0.3, 0.8]), rtol=0, atol=0.02)


@pytest.mark.parametrize("radius", [-3, 3])
def test_estimate_follows_the_colours_where_the_mask_is_wrong(radius: int) -> None:
    alpha = torch.zeros(1, 1, 64, 64)
    alpha[..., 16:48, 16:48] = 1
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16 - radius : 48 + radius, 16 - radius : 48 + radius] = 1
    thumbnail = two_colours(alpha, [0.9, 0.2, 0.1], [0.1, 0.3, 0.8])
    estimate = (find(thumbnail, mask).cues[:, :1] + 1) / 2
    assert (estimate - alpha).abs().mean() < 0.05
    assert (mask - alpha).abs().mean() > 0.08


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_masks_give_finite_cues(value: float) -> None:
    thumbnail = torch.rand(2, 3, 16, 32)
    evidence = find(thumbnail, torch.full((2, 1, 16, 32), value))
    assert evidence.cues.isfinite().all()
    assert evidence.local_colours.isfinite().all()


def test_pictures_do_not_influence_each_other() -> None:
    thumbnail, mask = torch.rand(2, 3, 32, 32), (torch.rand(2, 1, 32, 32) > 0.5).float()
    both, second = find(thumbnail, mask), find(thumbnail[1:], mask[1:])
    torch.testing.assert_close(both.local_colours[1:], second.local_colours)
    torch.testing.assert_close(both.cues[1:], second.cues)


def test_odds_tell_a_target_of_two_colours_from_surroundings_whose_mean_is_the_same() -> None:
    alpha = torch.zeros(1, 1, 64, 64)
    alpha[..., 16:48, 16:48] = 1
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:44, 20:44] = 1  # a quarter of the target is missing
    stripes = (torch.arange(64) // 4 % 2).float().expand(1, 1, 64, 64)
    target = two_colours(stripes, [0.9, 0.5, 0.1], [0.1, 0.5, 0.9])
    thumbnail = alpha * target + (1 - alpha) * 0.5
    odds = find(thumbnail, mask).cues[:, 4:]
    assert odds[alpha > 0.5].min() > 0.8
    assert odds[alpha < 0.5].max() < -0.8


def test_odds_are_near_zero_where_both_have_the_same_colours() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 16:48] = 1
    evidence = find(torch.full((1, 3, 64, 64), 0.3), mask)
    assert evidence.cues[:, 4].abs().max() < 1e-3
