import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mask2alpha.model.stage3_detail import select
from mask2alpha.model.stage3_detail.select import (
    FADE,
    find_presence,
    limit_active,
    rim_weight,
    select_active,
    select_active_shm,
    smooth_step,
)


def test_selection_is_strictly_above_the_threshold():
    error = torch.tensor([[[[0.0, 0.25, 0.5, 1.0]]]])
    assert select_active(error, error_threshold=0.25).flatten().tolist() == [False, False, True, True]
    assert not select_active(error, error_threshold=1.0).any()


@pytest.mark.parametrize("size", [(40, 52), (7, 9), (1, 1)])
def test_shm_selection_equals_a_binary_dilation(size):
    alpha = torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0))
    alpha = torch.where(alpha > 0.02, alpha.round(), 0.5)
    band = np.stack([ndimage.binary_dilation((a > 0.01) & (a < 0.99), np.ones((15, 15))) for a in alpha[:, 0].numpy()])
    padded = np.pad(band, ((0, 0), (0, size[0] % 2), (0, size[1] % 2)))
    expected = padded.reshape(2, padded.shape[1] // 2, 2, padded.shape[2] // 2, 2).any(axis=(2, 4))
    assert np.array_equal(select_active_shm(alpha)[:, 0].numpy(), expected)


def test_shm_selection_takes_alphas_strictly_between_its_limits(monkeypatch):
    monkeypatch.setattr(select, "SHM_BAND", (0.25, 0.75))
    monkeypatch.setattr(select, "SHM_WINDOW", 1)
    alpha = torch.tensor([[[[0.0, 0.25, 1.0, 0.3, 0.75, 1.0]]]])
    assert select_active_shm(alpha).flatten().tolist() == [False, True, False]


def test_budget_keeps_the_largest_errors_of_each_picture():
    error = torch.tensor([[0.1, 0.9, 0.5, 0.7], [0.1, 0.2, 0.3, 0.4]]).view(2, 1, 1, 4)
    active = torch.tensor([[True, False, True, True], [False, True, True, False]]).view(2, 1, 1, 4)
    limited = limit_active(active, error, active_budget=11)
    assert limited.flatten(1).tolist() == [[False, False, True, True], [False, True, True, False]]


def test_budget_breaks_ties_by_position():
    error = torch.full((1, 1, 3, 4), 0.5)
    error[..., 2, 3] = 0.6
    limited = limit_active(torch.ones_like(error, dtype=torch.bool), error, active_budget=16)
    assert limited.flatten().nonzero().flatten().tolist() == [0, 1, 2, 11]


@given(
    seed=st.integers(0, 999),
    budget=st.integers(0, 70),
    levels=st.integers(1, 9),
)
@settings(max_examples=40, deadline=None)
def test_budget_equals_a_stable_sort(seed, budget, levels):
    generator = torch.Generator().manual_seed(seed)
    error = torch.randint(levels, (2, 1, 6, 8), generator=generator) / 10
    active = torch.rand(2, 1, 6, 8, generator=generator) > 0.3
    limited = limit_active(active, error, active_budget=4 * budget)
    for picture in range(2):
        positions = active[picture].flatten().nonzero().flatten().tolist()
        ranked = sorted(positions, key=lambda position: (-error[picture].flatten()[position].item(), position))
        assert limited[picture].flatten().nonzero().flatten().tolist() == sorted(ranked[:budget])


def test_no_budget_and_a_large_budget_change_nothing():
    active = torch.rand(1, 1, 4, 4) > 0.5
    error = torch.rand(1, 1, 4, 4)
    assert limit_active(active, error, active_budget=None) is active
    assert limit_active(active, error, active_budget=64) is active


def test_presence_grows_above_the_threshold():
    error = torch.tensor([0.0, 0.02, 0.02 + FADE / 2, 0.02 + FADE, 1.0])
    presence = find_presence(error, error_threshold=0.02)
    assert torch.allclose(presence, torch.tensor([0, 0, 0.5, 1, 1]), atol=1e-3)
    assert torch.equal(presence > 0, select_active(error.view(1, 1, 1, -1), error_threshold=0.02).flatten())


def test_rim_weight_of_a_straight_rim_rises_to_one():
    active = torch.zeros(1, 1, 9, 12, dtype=torch.bool)
    active[..., 4:] = True
    expected = [0, 0, 0, 0, smooth_step(torch.tensor(2 / 3)), 1, 1, 1, 1, 1, 1, 1]
    assert torch.allclose(rim_weight(active.float())[0, 0, 4], torch.tensor(expected), atol=1e-6)


def test_image_border_is_no_rim():
    assert torch.equal(rim_weight(torch.ones(1, 1, 5, 7)), torch.ones(1, 1, 5, 7))


def test_rim_weight_equals_a_box_average_within_the_image():
    active = torch.rand(1, 1, 11, 13, generator=torch.Generator().manual_seed(0)) > 0.4
    ones = ndimage.convolve(np.ones((11, 13)), np.ones((3, 3)), mode="constant")
    share = ndimage.convolve(active[0, 0].numpy().astype(float), np.ones((3, 3)), mode="constant") / ones
    expected = smooth_step(torch.from_numpy(share)) * active[0, 0]
    assert torch.allclose(rim_weight(active.float())[0, 0].double(), expected, atol=1e-6)


@given(seed=st.integers(0, 99), density=st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_rim_weight_is_within_bounds_and_zero_outside(seed, density):
    active = torch.rand(2, 1, 8, 9, generator=torch.Generator().manual_seed(seed)) < density
    weight = rim_weight(active.float())
    assert weight.min() >= 0
    assert weight.max() <= 1
    assert not weight[~active].any()
