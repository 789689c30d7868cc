import pytest
import torch

from mask2alpha.export.graphs import StateGraph, WindowMaskGuidance, exact_sigmoid
from mask2alpha.model.config import PRESETS
from mask2alpha.model.stage1_encoder.guidance import Region, find_regions
from mask2alpha.model.stage2_decoding.evidence import find_evidence
from mask2alpha.model.stage2_decoding.evidence_semantics import find_reach
from mask2alpha.model.stage2_decoding.refine import mix
from mask2alpha.model.stage2_decoding.states import advance, coarse_prob
from mask2alpha.model.values import GuidedFeatures


def test_predicted_errors_are_exact_near_zero() -> None:
    logits = torch.tensor([-120.0, -40.0, -17.0, -9.0, 0.0, 9.0, 40.0, 120.0]).view(1, 1, 2, 4)
    expected = logits.double().sigmoid().float()
    torch.testing.assert_close(exact_sigmoid(logits), expected, rtol=1e-6, atol=1e-38)
    torch.testing.assert_close(logits.sigmoid(), expected, rtol=1e-6, atol=1e-38)  # as the decoder has it
    logits.requires_grad_()
    logits.sigmoid().sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_the_state_graph_does_what_refine_does() -> None:
    assert PRESETS["tiny"].decoder.has_colour_cues
    generator = torch.Generator().manual_seed(0)
    thumbnail = torch.rand(1, 3, 16, 24, generator=generator)
    mask = (torch.rand(2, 1, 16, 24, generator=generator) > 0.5).float()
    alpha, error = torch.rand(2, 2, 1, 16, 24, generator=generator)
    coarse = torch.zeros_like(mask, dtype=torch.bool)
    was_fine = advance(coarse, error.flip(3), step=1, num_steps=3)
    shown = thumbnail.expand(2, -1, -1, -1)
    guided = GuidedFeatures(maps=(), tokens=torch.zeros(2, 1, 1), token_grid=(1, 1), thumbnail=shown, size=(64, 96))
    for step, before in ((1, coarse), (2, was_fine)):
        share = torch.tensor(1 - coarse_prob(step / 3), dtype=torch.float64)
        mixed_matte, is_fine, cues, local_colours = StateGraph()(thumbnail, mask, alpha, error, before, share)
        expected = advance(before, error, step=step, num_steps=3)
        assert torch.equal(is_fine, expected)
        torch.testing.assert_close(mixed_matte, mix(alpha, mask, expected))
        evidence = find_evidence(guided, alpha)
        torch.testing.assert_close(cues, evidence.cues)
        torch.testing.assert_close(local_colours, evidence.local_colours)
    start, is_fine, *_ = StateGraph()(thumbnail, mask, mask, mask, coarse, torch.tensor(0.0, dtype=torch.float64))
    assert torch.equal(start, mask)
    assert not is_fine.any()


@pytest.mark.parametrize(("token_grid", "cells"), [((4, 6), 2), ((2, 3), 4), ((1, 1), 10)])
def test_the_state_graph_finds_the_semantic_evidence_at_any_reach(token_grid: tuple[int, int], cells: int) -> None:
    generator = torch.Generator().manual_seed(0)
    thumbnail = torch.rand(1, 3, 32, 48, generator=generator)
    components = torch.randn(2, 4, 8, 12, generator=generator)
    alpha = torch.zeros(2, 1, 32, 48)
    alpha[0, :, 4:20, 8:36], alpha[1, :, 16:] = 1, 0.9
    error, coarse = torch.zeros_like(alpha), torch.zeros_like(alpha, dtype=torch.bool)
    guided = GuidedFeatures(
        maps=(),
        tokens=torch.zeros(2, 1, 1),
        token_grid=token_grid,
        thumbnail=thumbnail.expand(2, -1, -1, -1),
        components=components,
        size=(128, 192),
    )
    reach = torch.tensor(find_reach(guided.size, token_grid))
    share = torch.tensor(0.5, dtype=torch.float64)
    _, _, cues, _ = StateGraph()(thumbnail, alpha, alpha, error, coarse, share, components, reach)
    expected = find_evidence(guided, alpha).cues
    assert reach == cells
    assert cues.shape[1] == 6
    torch.testing.assert_close(cues, expected)


@pytest.mark.parametrize("grid", [(4, 6), (5, 7), (13, 3), (1, 1)])
def test_regions_of_any_token_grid_are_exact(grid: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(2, 1, 128, 192)
    mask[0, :, 20:107, 31:160] = 1
    mask[1, :, 64:] = torch.rand(64, 192, generator=generator)
    regions = WindowMaskGuidance().find_regions(mask, grid)
    assert torch.equal(regions, find_regions(mask, grid))
    assert (regions == Region.EDGE).any()
