"""The state process of iterative decoding (paper 3.2): each pixel is coarse at first and turns fine once.

Legend (docs/paper_map.md): Q_t `transition_matrix`, beta_t `stay_coarse_prob`, its product `coarse_prob`, t `step`. The
paper numbers its inference from T down to 1; here `step` counts up from 0, where all pixels are coarse, to `num_steps`,
where all are fine.
"""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Sampler = Literal["topk", "bernoulli"]

ERROR_STEPS = 8192
"""Predicted errors are compared in steps of 1 / `ERROR_STEPS`. Smaller differences are rounding, which depends on
machine, precision and backend; a plain background has no others."""
NUM_DIAGONALS = 256
"""The order of the diagonals repeats after this many. With `ERROR_STEPS`, the order stays within the integers that
float32 holds exactly."""
DIAGONAL_STEP = 159
"""From one diagonal's place in the order to the next one's: about `NUM_DIAGONALS` times the golden ratio's fraction."""


def coarse_prob(time: float) -> float:
    """The probability that a pixel is still coarse at `time` = step / num_steps in [0, 1]: cos(pi/2 time).

    The schedule is MaskGIT's; the paper gives none.
    """
    if not 0 <= time <= 1:
        raise ValueError(f"time must be in [0, 1]; got {time}")
    return 0.0 if time == 1 else math.cos(math.pi / 2 * time)


def stay_coarse_prob(step: int, num_steps: int) -> float:
    """beta_t: the probability that a pixel coarse after `step - 1` is still coarse after `step` (1-based)."""
    if not 1 <= step <= num_steps:
        raise ValueError(f"step must be in 1..{num_steps}; got {step}")
    return coarse_prob(step / num_steps) / coarse_prob((step - 1) / num_steps)


def turn_fine_prob(step: int, num_steps: int) -> float:
    """The probability that a pixel coarse before `step` turns fine in it.

    It is the posterior (B_{t-1} - B_t) / (1 - B_t) of the paper's Algorithm 2, where B_t is the share of fine
    pixels and t counts down.
    """
    return 1 - stay_coarse_prob(step, num_steps)


def transition_matrix(step: int, num_steps: int) -> Float[Tensor, "2 2"]:
    """Q_t, in float64: row 0 is the coarse state, row 1 the fine one, which nothing leaves."""
    stay = stay_coarse_prob(step, num_steps)
    return torch.tensor([[stay, 1 - stay], [0.0, 1.0]], dtype=torch.float64)


def num_fine(step: int, num_steps: int, num_pixels: int) -> int:
    """How many of `num_pixels` the `topk` sampler has turned fine after `step`; all of them after the last."""
    return round((1 - coarse_prob(step / num_steps)) * num_pixels)


def rank_errors(predicted_error: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The predicted error in steps of 1 / `ERROR_STEPS`, rounded."""
    return (predicted_error.float() * ERROR_STEPS).round()


def order_by_confidence(
    is_fine: Bool[Tensor, "batch 1 h w"], predicted_error: Float[Tensor, "batch 1 h w"]
) -> Float[Tensor, "batch pixels"]:
    """The order in which pixels turn fine, from the smallest number on; whole numbers, -1 for those that are fine.

    Pixels are ordered by predicted error, and those with equal errors by diagonal, so that any first part of the order
    is spread over the whole image. In raster order they would turn fine from the top down, unlike the states drawn in
    training; orders without stripes, or with horizontal ones, score worse (docs/training_log.md, run 7).
    """
    rows, columns = (
        torch.arange(1, length + 1, dtype=torch.int32, device=predicted_error.device)
        for length in (predicted_error.shape[2], predicted_error.shape[3])
    )
    diagonal = (rows[:, None] + columns) * DIAGONAL_STEP % NUM_DIAGONALS
    order = torch.add(diagonal, rank_errors(predicted_error), alpha=NUM_DIAGONALS)
    return torch.where(is_fine, -1.0, order).flatten(1)


def turn_most_confident_fine(
    is_fine: Bool[Tensor, "batch 1 h w"], predicted_error: Float[Tensor, "batch 1 h w"], *, count: int
) -> Bool[Tensor, "batch 1 h w"]:
    """Turn the coarse pixels with the smallest predicted errors fine until `count` are (sampler `topk`).

    Errors count as equal within a step of `ERROR_STEPS`. Of equal ones those turn that come first in
    `order_by_confidence`, then the earlier in raster order, so that the result does not depend on the machine.
    """
    if count >= is_fine[0].numel():
        return torch.ones_like(is_fine)
    if count <= 0:
        return is_fine
    order = order_by_confidence(is_fine, predicted_error)
    last = order.kthvalue(count, dim=1, keepdim=True).values  # the largest that may turn
    below, equal = order < last, order == last
    room = count - below.sum(dim=1, keepdim=True)
    turned = below | (equal & (equal.cumsum(dim=1) <= room))
    return turned.view_as(is_fine) | is_fine


def turn_random_fine(
    is_fine: Bool[Tensor, "batch 1 h w"],
    predicted_error: Float[Tensor, "batch 1 h w"],
    *,
    prob: float,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "batch 1 h w"]:
    """Turn each coarse pixel fine with probability `prob` times (1 - predicted error); 1 turns all (`bernoulli`)."""
    if prob >= 1:
        return torch.ones_like(is_fine)
    draw = torch.rand(is_fine.shape, generator=generator, device=is_fine.device)
    return is_fine | (draw < prob * (1 - predicted_error.float()))


def advance(
    is_fine: Bool[Tensor, "batch 1 h w"],
    predicted_error: Float[Tensor, "batch 1 h w"],
    *,
    step: int,
    num_steps: int,
    is_decided: Bool[Tensor, "1 1 h w"] | None = None,
    sampler: Sampler = "topk",
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "batch 1 h w"]:
    """The fine pixels after `step` (1-based), of those before it; they only grow, and the last step makes all fine.

    Args:
        is_fine: Before the step.
        predicted_error: In [0, 1], of the step's prediction.
        step: 1..num_steps.
        num_steps: T.
        is_decided: Pixels that were fine before the first step; the schedule is that of the others.
        sampler: `topk` (deterministic) or `bernoulli`.
        generator: For `bernoulli`.

    Returns:
        True where fine.
    """
    if sampler == "topk":
        num_decided = 0 if is_decided is None else int(is_decided.sum())
        count = num_decided + num_fine(step, num_steps, is_fine[0].numel() - num_decided)
        return turn_most_confident_fine(is_fine, predicted_error, count=count)
    return turn_random_fine(is_fine, predicted_error, prob=turn_fine_prob(step, num_steps), generator=generator)
