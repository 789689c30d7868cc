"""Iterative decoding: Algorithm 2 (inference) and the state that Algorithm 1 (training) draws (paper 3.2 and 3.4)."""

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mask2alpha.model.config import DecoderConfig
from mask2alpha.model.outputs import CoarseMatte, DecodingState, RunOptions
from mask2alpha.model.stage2_decoding.decoder import StepDecoder
from mask2alpha.model.stage2_decoding.states import advance, coarse_prob, turn_most_confident_fine


def start_coarse(mask_os4: Float[Tensor, "batch 1 h w"]) -> DecodingState:
    """The first state: every pixel coarse, the mixed matte the mask itself."""
    return DecodingState(mixed_matte=mask_os4, is_fine=torch.zeros_like(mask_os4, dtype=torch.bool))


def refine(
    decoder: StepDecoder,
    features: Float[Tensor, "batch channels h w"],
    mask_os4: Float[Tensor, "batch 1 h w"],
    config: DecoderConfig,
    options: RunOptions,
) -> CoarseMatte:
    """Algorithm 2: decode `num_steps` times; after each, the most confident coarse pixels turn fine.

    Args:
        decoder: The step network.
        features: Fused features at stride 4.
        mask_os4: The coarse values, in [0, 1].
        config: Default number of steps, update rule, and whether decoding is iterative at all.
        options: Number of steps, sampler and trace of this run.

    Returns:
        The last step's prediction, when all pixels are fine; with `update="sticky"` each pixel's value of the step in
        which it turned fine.
    """
    num_steps = (options.num_steps or config.num_steps) if config.is_iterative else 1
    prepared = decoder.prepare(features)
    state = start_coarse(mask_os4)
    trace: list[DecodingState] = []
    sticky_logits = torch.zeros_like(mask_os4, dtype=torch.float32)
    for step in range(1, num_steps + 1):
        coarse: CoarseMatte = decoder(prepared, features, state)
        if config.update == "sticky":
            sticky_logits = torch.where(state.is_fine, sticky_logits, coarse.alpha_logits)
            coarse = replace(coarse, alpha_logits=sticky_logits)
        if step == num_steps and not options.has_trace:
            break  # nobody would see the last state, in which all pixels are fine
        is_fine = advance(
            state.is_fine,
            coarse.predicted_error,
            step=step,
            num_steps=num_steps,
            sampler=options.sampler,
            generator=options.generator,
        )
        state = mix(coarse.alpha, mask_os4, is_fine)
        if options.has_trace:
            trace.append(state)
    return replace(coarse, trace=tuple(trace))


def mix(
    alpha: Float[Tensor, "batch 1 h w"], mask_os4: Float[Tensor, "batch 1 h w"], is_fine: Bool[Tensor, "batch 1 h w"]
) -> DecodingState:
    """m_t: alpha where fine, the mask where coarse."""
    return DecodingState(mixed_matte=torch.where(is_fine, alpha, mask_os4.to(alpha.dtype)), is_fine=is_fine)


def draw_training_state(
    decoder: StepDecoder,
    features: Float[Tensor, "batch channels h w"],
    mask_os4: Float[Tensor, "batch 1 h w"],
    true_alpha_os4: Float[Tensor, "batch 1 h w"],
    *,
    own_share: float,
    generator: torch.Generator,
) -> DecodingState:
    """Algorithm 1: a random time, the states at that time, and the mixture of fine and coarse values.

    By the paper, pixels are fine independently of each other and fine values are the truth. At inference, however, the
    network meets its own errors and the states that its own predicted error chose. In a share of the pictures both
    therefore come from a gradient-free pass of the decoder, which removes the exposure bias.

    Args:
        decoder: The step network.
        features: Fused features; not differentiated here.
        mask_os4: The coarse values.
        true_alpha_os4: The truth at stride 4.
        own_share: Probability, per picture, that states and fine values are the network's own.
        generator: For all draws.

    Returns:
        The state to predict from. Time 0, where all is coarse (the first step of every inference), is drawn with
        probability 1/4.
    """
    batch = mask_os4.shape[0]
    device = mask_os4.device
    with torch.no_grad():
        guess = decoder(decoder.prepare(features.detach()), features, start_coarse(mask_os4))
    uniform = torch.rand(batch, 2, generator=generator, device=device)
    is_own = uniform[:, 0] < own_share
    time = ((uniform[:, 1] - 0.25) / 0.75).clamp(min=0).tolist()
    noise = torch.rand(mask_os4.shape, generator=generator, device=device)
    is_fine = torch.empty_like(mask_os4, dtype=torch.bool)
    for index in range(batch):
        fine_share = 1 - coarse_prob(time[index])
        if is_own[index]:
            one = slice(index, index + 1)
            count = math.floor(fine_share * mask_os4[0].numel())
            is_fine[one] = turn_most_confident_fine(
                torch.zeros_like(is_fine[one]), guess.predicted_error[one], count=count
            )
        else:
            is_fine[index] = noise[index] < fine_share
    fine_values = torch.where(is_own.view(-1, 1, 1, 1), guess.alpha, true_alpha_os4)
    return mix(fine_values, mask_os4, is_fine)
