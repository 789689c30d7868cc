import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mask2alpha.model.stage2_decoding.states import (
    advance,
    coarse_prob,
    num_fine,
    stay_coarse_prob,
    transition_matrix,
    turn_fine_prob,
    turn_most_confident_fine,
)


@given(st.integers(1, 30))
def test_products_of_stay_coarse_prob_are_the_cumulative_schedule(num_steps: int) -> None:
    product = 1.0
    for step in range(1, num_steps + 1):
        product *= stay_coarse_prob(step, num_steps)
        assert product == pytest.approx(coarse_prob(step / num_steps), abs=1e-12)
    assert product == 0


@given(st.integers(1, 20))
def test_transition_matrices_chain_to_the_cumulative_probabilities(num_steps: int) -> None:
    state = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for step in range(1, num_steps + 1):
        state = state @ transition_matrix(step, num_steps)
        expected = coarse_prob(step / num_steps)
        torch.testing.assert_close(state, torch.tensor([expected, 1 - expected], dtype=torch.float64))


def test_transition_matrix_rows_sum_to_one_and_fine_is_absorbing() -> None:
    matrix = transition_matrix(2, 5)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(2, dtype=torch.float64))
    assert matrix[1].tolist() == [0.0, 1.0]


def test_turn_fine_prob_is_the_papers_posterior() -> None:
    num_steps = 6
    fine = [1 - coarse_prob(step / num_steps) for step in range(num_steps + 1)]  # B_t of the paper, t counting down
    for step in range(1, num_steps + 1):
        posterior = (fine[step] - fine[step - 1]) / (1 - fine[step - 1])
        assert turn_fine_prob(step, num_steps) == pytest.approx(posterior)


def test_schedule_by_hand() -> None:
    assert [num_fine(step, 3, 1000) for step in range(4)] == [0, 134, 500, 1000]
    assert coarse_prob(0.5) == pytest.approx(math.sqrt(0.5))


@pytest.mark.parametrize("time", [-0.1, 1.1])
def test_time_outside_the_unit_interval_is_refused(time: float) -> None:
    with pytest.raises(ValueError, match="time must be"):
        coarse_prob(time)


def test_step_outside_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match="step must be"):
        stay_coarse_prob(4, 3)


@pytest.mark.parametrize("sampler", ["topk", "bernoulli"])
@pytest.mark.parametrize("num_steps", [1, 3, 7])
def test_fine_pixels_never_return_to_coarse_and_all_end_fine(sampler: str, num_steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    is_fine = torch.zeros(2, 1, 9, 11, dtype=torch.bool)
    for step in range(1, num_steps + 1):
        error = torch.rand(is_fine.shape, generator=generator)
        after = advance(is_fine, error, step=step, num_steps=num_steps, sampler=sampler, generator=generator)
        assert (after | ~is_fine).all()
        is_fine = after
    assert is_fine.all()


@given(st.integers(1, 12), st.integers(0, 2**31 - 1))
def test_topk_turns_exactly_the_scheduled_number_fine_in_every_picture(num_steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    is_fine = torch.zeros(3, 1, 7, 5, dtype=torch.bool)
    for step in range(1, num_steps + 1):
        error = torch.rand(is_fine.shape, generator=generator)
        is_fine = advance(is_fine, error, step=step, num_steps=num_steps)
        assert is_fine.flatten(1).sum(dim=1).tolist() == [num_fine(step, num_steps, 35)] * 3


def test_topk_takes_the_smallest_errors_and_breaks_ties_by_diagonal_then_position() -> None:
    error = torch.tensor([0.5, 0.1, 0.1, 0.9, 0.1, 0.0]).view(1, 1, 2, 3)
    none_fine = torch.zeros_like(error, dtype=torch.bool)
    turned = turn_most_confident_fine(none_fine, error, count=3)
    assert turned.flatten().tolist() == [False, False, True, False, True, True]
    fewer = turn_most_confident_fine(none_fine, error, count=2)
    assert fewer.flatten().tolist() == [False, False, True, False, False, True]


def test_equal_errors_turn_fine_all_over_the_picture() -> None:
    error = torch.full((1, 1, 64, 64), 0.25)
    turned = turn_most_confident_fine(torch.zeros_like(error, dtype=torch.bool), error, count=64 * 64 // 4)
    shares = F.avg_pool2d(turned.float(), 16)
    assert shares.min() > 0.2
    assert shares.max() < 0.3


def test_bernoulli_turns_the_scheduled_share_fine_on_average() -> None:
    generator = torch.Generator().manual_seed(1)
    is_fine = torch.zeros(1, 1, 200, 200, dtype=torch.bool)
    certain = torch.zeros(is_fine.shape)
    for step in (1, 2):
        is_fine = advance(is_fine, certain, step=step, num_steps=3, sampler="bernoulli", generator=generator)
    assert is_fine.float().mean().item() == pytest.approx(0.5, abs=0.01)
