import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mask2alpha.model.stage2_decoding.evidence_semantics import (
    LARGEST_SCORE,
    RIDGE,
    UNSURE_WEIGHT,
    find_reach,
    find_semantic_evidence,
)


def two_sides(dim: int = 8, side: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Components that differ between the left and the right half, and the matte of the left half at stride 4."""
    generator = torch.Generator().manual_seed(seed)
    components = torch.randn(1, dim, side, side, generator=generator)
    components[:, 0, :, : side // 2] += 6
    matte = torch.zeros(1, 1, 4 * side, 4 * side)
    matte[..., : 2 * side] = 1
    return components, matte


def solved_directly(components: np.ndarray, matte: np.ndarray, reach: int) -> np.ndarray:
    """The weighted ridge regression from its definition, cell by cell, in float64."""
    dim, rows, columns = components.shape
    sides = np.stack([matte, 1 - matte])
    cells = sides.reshape(2, rows, 4, columns, 4)
    covered, share = cells.min(axis=(2, 4)), cells.mean(axis=(2, 4))
    solid = np.empty_like(covered)
    for row in range(rows):
        for column in range(columns):
            window = np.s_[:, max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
            solid[:, row, column] = covered[window].min(axis=(1, 2))
    weight = (solid + UNSURE_WEIGHT * share).reshape(2, -1) + 1e-6
    weight = 0.5 * weight / weight.sum(axis=1, keepdims=True)
    x = components.reshape(dim, -1).astype(np.float64)
    x = x - (x * weight.sum(axis=0)).sum(axis=1, keepdims=True)
    covariance = (x * weight.sum(axis=0)) @ x.T
    variance = np.trace(covariance) / dim + 1e-6
    slope = np.linalg.solve(covariance + RIDGE * variance * np.eye(dim), x @ (weight[0] - weight[1]))
    return np.clip(slope @ x, -LARGEST_SCORE, LARGEST_SCORE).reshape(rows, columns)


def at_cells(scores: torch.Tensor) -> np.ndarray:
    """Stride 16 again: bilinear upsampling by four keeps the means of a cell's four middle pixels."""
    rows, columns = scores.shape[2] // 4, scores.shape[3] // 4
    return scores[0, 0].view(rows, 4, columns, 4)[:, 1:3, :, 1:3].mean(dim=(1, 3)).numpy()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), dim=st.sampled_from([1, 4, 32]), reach=st.sampled_from([1, 2]))
def test_scores_are_those_of_a_ridge_regression(seed: int, dim: int, reach: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    components = torch.randn(1, dim, 9, 7, generator=generator) * (1 + torch.arange(dim).view(1, dim, 1, 1))
    matte = torch.zeros(1, 1, 36, 28)
    matte[..., :20, 4:24] = 1
    expected = solved_directly(components[0].numpy(), matte[0, 0].numpy(), reach)
    found = find_semantic_evidence(components, matte, reach=reach)
    middle = np.asarray(
        torch.nn.functional.interpolate(torch.tensor(expected)[None, None], scale_factor=4, mode="bilinear")
    )
    np.testing.assert_allclose(found.numpy(), middle, atol=2e-4)


def test_a_mask_that_misses_a_part_is_put_right() -> None:
    components, matte = two_sides()
    rough = matte.clone()
    rough[..., 32:, :] = 0  # the lower third is missing
    scores = find_semantic_evidence(components, rough, reach=1)
    is_target = scores > 0
    assert (is_target == (matte > 0.5)).float().mean() > 0.95


def test_empty_and_full_masks_give_finite_scores() -> None:
    components, matte = two_sides()
    for value in (0.0, 1.0):
        assert find_semantic_evidence(components, torch.full_like(matte, value), reach=1).isfinite().all()


def test_constant_components_say_nothing() -> None:
    _, matte = two_sides()
    scores = find_semantic_evidence(torch.ones(1, 8, 12, 12), matte, reach=1)
    assert scores.abs().max() < 1e-3


def test_images_of_a_batch_do_not_influence_each_other() -> None:
    parts = [two_sides(seed=seed) for seed in (1, 2)]
    both = find_semantic_evidence(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)), reach=1)
    for index, (components, matte) in enumerate(parts):
        alone = find_semantic_evidence(components, matte, reach=1)
        torch.testing.assert_close(both[index : index + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "grid", "reach"), [((512, 512), (32, 32), 1), ((1024, 1024), (35, 35), 2), ((2432, 1344), (47, 26), 3)]
)
def test_the_reach_follows_the_tokens_size(size: tuple[int, int], grid: tuple[int, int], reach: int) -> None:
    assert find_reach(size, grid) == reach
