"""Iterative decoding: Algorithm 2 (inference) and the state that Algorithm 1 (training) draws (paper 3.2 and 3.4)."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mask2alpha.model.stage2_decoding.evidence import find_evidence
from mask2alpha.model.stage2_decoding.states import advance, coarse_prob, turn_most_confident_fine
from mask2alpha.model.values import CoarseMatte, DecodingState, DecodingStep, FusedFeatures, RunOptions

DECIDED_LOGIT = 20.0
"""Logit of alpha, or minus it, where alpha is decided."""


def start_coarse(fused: FusedFeatures) -> DecodingState:
    """The first state: every pixel that is not decided coarse, the mixed matte the mask itself."""
    decided, is_coarse = fused.guided.is_decided, torch.zeros_like(fused.mask_os4, dtype=torch.bool)
    is_fine = is_coarse if decided is None else decided
    return DecodingState(mixed_matte=fused.mask_os4, is_fine=is_fine, evidence=fused.evidence)


def refine(
    step: Callable[[FusedFeatures, DecodingState], CoarseMatte],
    fused: FusedFeatures,
    options: RunOptions,
    *,
    first: CoarseMatte | None = None,
) -> CoarseMatte:
    """Algorithm 2: decode `num_steps` times; after each, the most confident coarse pixels turn fine.

    Args:
        step: One decoding step of a network.
        fused: What the steps read.
        options: Number of steps, update rule, sampler and trace of this run; `RunOptions.filled`.
        first: What the first step predicts, if that is known.

    Returns:
        The last step's prediction, when all pixels are fine; with `update="sticky"` each pixel's value of the step in
        which it turned fine.
    """
    num_steps = options.num_steps
    assert num_steps is not None
    state = start_coarse(fused)
    trace: list[DecodingStep] = []
    sticky_logits = torch.zeros_like(fused.mask_os4, dtype=torch.float32)
    for number in range(1, num_steps + 1):
        coarse = first if first is not None and number == 1 else step(fused, state)
        if options.update == "sticky":
            sticky_logits = torch.where(state.is_fine, sticky_logits, coarse.alpha_logits)
            coarse = replace(coarse, alpha_logits=sticky_logits)
        if number == num_steps and not options.has_trace:
            break  # the last state, in which all pixels are fine, is not used
        is_fine = advance(
            state.is_fine,
            coarse.predicted_error,
            step=number,
            num_steps=num_steps,
            is_decided=fused.guided.is_decided,
            sampler=options.sampler,
            generator=options.generator,
        )
        before, state = state, next_state(coarse.alpha, fused, is_fine)
        if options.has_trace:
            error = coarse.predicted_error
            trace.append(DecodingStep(before=before, alpha=coarse.alpha, predicted_error=error, after=state))
    return replace(coarse, trace=tuple(trace))


def hold_decided(coarse: CoarseMatte, fused: FusedFeatures) -> CoarseMatte:
    """A step's prediction, with the mask's value, and no error, where alpha is decided."""
    if (decided := fused.guided.is_decided) is None:
        return coarse
    value = torch.where(fused.mask_os4 > 0.5, DECIDED_LOGIT, -DECIDED_LOGIT).to(coarse.alpha_logits.dtype)
    return replace(
        coarse,
        alpha_logits=torch.where(decided, value, coarse.alpha_logits),
        predicted_error=coarse.predicted_error * ~decided,
    )


def next_state(
    alpha: Float[Tensor, "batch 1 h w"], fused: FusedFeatures, is_fine: Bool[Tensor, "batch 1 h w"]
) -> DecodingState:
    """The state after a step that gave `alpha`: m_t, and the evidence now that the target is better known."""
    evidence = find_evidence(fused.guided, alpha.detach())
    return DecodingState(mixed_matte=mix(alpha, fused.mask_os4, is_fine), is_fine=is_fine, evidence=evidence)


def mix(
    alpha: Float[Tensor, "batch 1 h w"], mask_os4: Float[Tensor, "batch 1 h w"], is_fine: Bool[Tensor, "batch 1 h w"]
) -> Float[Tensor, "batch 1 h w"]:
    """m_t: alpha where fine, the mask where coarse."""
    return torch.where(is_fine, alpha, mask_os4.to(alpha.dtype))


def draw_training_state(
    fused: FusedFeatures,
    first: CoarseMatte,
    true_alpha_os4: Float[Tensor, "batch 1 h w"],
    *,
    own_share: float,
    num_steps: int,
    generator: torch.Generator,
) -> DecodingState:
    """Algorithm 1: a random time, the states at that time, and the mixture of fine and coarse values.

    In the paper, pixels are fine independently of each other and fine values are the truth. At inference, however, the
    network reads its own errors and states chosen by its own predicted error. In a share of the images, both therefore
    come from the first step's prediction, which reduces the exposure bias; in half of these, the time is one that
    occurs at inference with `num_steps` steps. The evidence always comes from that prediction, because evidence from
    the truth would reveal the answer.

    Args:
        fused: What the steps read.
        first: The first step's prediction, from `start_coarse`; not differentiated here.
        true_alpha_os4: The truth at stride 4.
        own_share: Probability, per image, that states and fine values are the network's own.
        num_steps: The usual number of steps at inference.
        generator: For all draws.

    Returns:
        The state to predict from, without gradient. Its time is drawn uniformly from 0, where all is coarse, to 1.
    """
    mask_os4 = fused.mask_os4
    batch = mask_os4.shape[0]
    device = mask_os4.device
    own_draw, grid_draw, time_draw = torch.rand(3, batch, generator=generator, device=device).tolist()
    noise = torch.rand(mask_os4.shape, generator=generator, device=device)
    is_fine = torch.empty_like(mask_os4, dtype=torch.bool)
    own_alpha, own_error = first.alpha.detach(), first.predicted_error.detach()
    fine_values = true_alpha_os4.to(own_alpha.dtype, copy=True)
    for index in range(batch):
        one = slice(index, index + 1)
        is_own, is_on_grid = own_draw[index] < own_share, grid_draw[index] < 0.5
        time = time_draw[index]
        if is_own and is_on_grid and num_steps > 1:
            time = (1 + math.floor(time * (num_steps - 1))) / num_steps
        fine_share = 1 - coarse_prob(time)
        if is_own:
            count = math.floor(fine_share * mask_os4[0].numel())
            is_fine[one] = turn_most_confident_fine(torch.zeros_like(is_fine[one]), own_error[one], count=count)
            fine_values[one] = own_alpha[one]
        else:
            is_fine[one] = noise[one] < fine_share
    is_fine |= start_coarse(fused).is_fine
    evidence = find_evidence(fused.guided, own_alpha)
    return DecodingState(mixed_matte=mix(fine_values, mask_os4, is_fine), is_fine=is_fine, evidence=evidence)
