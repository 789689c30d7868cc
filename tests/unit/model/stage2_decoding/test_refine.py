import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from mask2alpha.errors import InputError
from mask2alpha.model.config import PRESETS, DecoderConfig
from mask2alpha.model.stage2_decoding.decoder import StepDecoder
from mask2alpha.model.stage2_decoding.evidence import find_evidence
from mask2alpha.model.stage2_decoding.refine import draw_training_state, mix, refine, start_coarse
from mask2alpha.model.stage2_decoding.states import coarse_prob, num_fine, rank_errors
from mask2alpha.model.values import DecodingState, FusedFeatures, GuidedFeatures, RunOptions

CONFIG = PRESETS["tiny"].decoder


def filled(decoder_config: DecoderConfig = CONFIG, **options: Any) -> RunOptions:
    return RunOptions(**options).filled(replace(PRESETS["tiny"], decoder=decoder_config))


@pytest.fixture
def decoder() -> StepDecoder:
    torch.manual_seed(0)
    return StepDecoder(CONFIG).eval()


@pytest.fixture
def fused(decoder: StepDecoder) -> FusedFeatures:
    generator = torch.Generator().manual_seed(1)
    mask = (torch.rand(2, 1, 16, 24, generator=generator) > 0.5).float()
    thumbnail = torch.rand(2, 3, 16, 24, generator=generator)
    features = torch.randn(2, CONFIG.fused_channels, 16, 24, generator=generator)
    guided = GuidedFeatures(maps=(), tokens=torch.zeros(2, 1, 1), token_grid=(1, 1), thumbnail=thumbnail, size=(64, 96))
    return FusedFeatures(
        features=features,
        prepared=decoder.prepare(features),
        mask_os4=mask,
        evidence=find_evidence(guided, mask),
        guided=guided,
    )


def test_trace_grows_by_the_schedule_and_ends_all_fine(decoder: StepDecoder, fused: FusedFeatures) -> None:
    coarse = refine(decoder, fused, filled(num_steps=5, has_trace=True))
    assert len(coarse.trace) == 5
    mask = fused.mask_os4
    previous = torch.zeros_like(mask, dtype=torch.bool)
    for step, state in enumerate((traced.after for traced in coarse.trace), start=1):
        assert (state.is_fine | ~previous).all()
        assert state.is_fine[0].sum().item() == num_fine(step, 5, 16 * 24)
        torch.testing.assert_close(state.mixed_matte[~state.is_fine], mask[~state.is_fine])
        previous = state.is_fine
    assert previous.all()


def test_formula_returns_the_last_prediction(decoder: StepDecoder, fused: FusedFeatures) -> None:
    coarse = refine(decoder, fused, filled(num_steps=3, has_trace=True))
    torch.testing.assert_close(coarse.trace[-1].after.mixed_matte, coarse.alpha)
    torch.testing.assert_close(coarse.trace[-1].alpha, coarse.alpha)
    repeated = decoder(fused, coarse.trace[-2].after)
    torch.testing.assert_close(coarse.alpha_logits, repeated.alpha_logits)


def test_sticky_pixels_keep_the_value_they_turned_fine_with(decoder: StepDecoder, fused: FusedFeatures) -> None:
    options = {"num_steps": 4, "has_trace": True}
    coarse = refine(decoder, fused, filled(replace(CONFIG, update="sticky"), **options))
    states = [step.after for step in coarse.trace]
    for before, after in pairwise(states):
        torch.testing.assert_close(after.mixed_matte[before.is_fine], before.mixed_matte[before.is_fine])
    torch.testing.assert_close(coarse.alpha, states[-1].mixed_matte)
    chosen_at_run_time = refine(decoder, fused, filled(update="sticky", **options))
    torch.testing.assert_close(chosen_at_run_time.alpha, coarse.alpha, rtol=0, atol=0)


def test_each_traced_step_reads_the_state_that_the_one_before_left(decoder: StepDecoder, fused: FusedFeatures) -> None:
    trace = refine(decoder, fused, filled(num_steps=3, has_trace=True)).trace
    assert trace[0].before.mixed_matte is fused.mask_os4
    for step, following in pairwise(trace):
        assert following.before is step.after


def test_decoding_that_is_not_iterative_is_one_pass_from_the_mask(decoder: StepDecoder, fused: FusedFeatures) -> None:
    single = refine(decoder, fused, filled(replace(CONFIG, is_iterative=False), num_steps=7))
    expected = decoder(fused, start_coarse(fused))
    torch.testing.assert_close(single.alpha_logits, expected.alpha_logits)


def test_trace_is_empty_unless_asked_for(decoder: StepDecoder, fused: FusedFeatures) -> None:
    assert refine(decoder, fused, filled()).trace == ()


def test_bernoulli_repeats_with_the_same_generator_seed(decoder: StepDecoder, fused: FusedFeatures) -> None:
    runs = [
        refine(
            decoder,
            fused,
            filled(sampler="bernoulli", generator=torch.Generator().manual_seed(seed), num_steps=4),
        ).alpha_logits
        for seed in (3, 3, 4)
    ]
    torch.testing.assert_close(runs[0], runs[1], rtol=0, atol=0)
    assert not torch.equal(runs[0], runs[2])


def test_fewer_than_one_step_is_refused() -> None:
    with pytest.raises(InputError, match="num_steps"):
        RunOptions(num_steps=0)


def test_mix_takes_alpha_where_fine_and_the_mask_elsewhere() -> None:
    alpha, mask = torch.full((1, 1, 1, 2), 0.25), torch.ones(1, 1, 1, 2)
    mixed = mix(alpha, mask, torch.tensor([[[[True, False]]]]))
    assert mixed.flatten().tolist() == [0.25, 1.0]


def draw(decoder: StepDecoder, fused: FusedFeatures, truth: torch.Tensor, *, own_share: float) -> DecodingState:
    first = decoder(fused, start_coarse(fused))
    generator = torch.Generator().manual_seed(5)
    return draw_training_state(fused, first, truth, own_share=own_share, num_steps=3, generator=generator)


def test_training_states_mix_the_truth_or_the_own_prediction(decoder: StepDecoder, fused: FusedFeatures) -> None:
    mask = fused.mask_os4
    truth = torch.full_like(mask, 0.3)
    from_truth = draw(decoder, fused, truth, own_share=0.0)
    torch.testing.assert_close(from_truth.mixed_matte, torch.where(from_truth.is_fine, truth, mask))
    own = draw(decoder, fused, truth, own_share=1.0)
    guess = decoder(fused, start_coarse(fused))
    torch.testing.assert_close(own.mixed_matte, torch.where(own.is_fine, guess.alpha.detach(), mask))
    assert not own.mixed_matte.requires_grad
    for picture in range(2):  # chosen by the own predicted error: no coarse pixel is surer than a fine one
        is_fine, error = own.is_fine[picture], rank_errors(guess.predicted_error[picture])
        if is_fine.any() and not is_fine.all():
            assert error[is_fine].max() <= error[~is_fine].min()


def test_half_of_the_own_states_are_those_that_inference_meets(decoder: StepDecoder, fused: FusedFeatures) -> None:
    first = decoder(fused, start_coarse(fused))
    num_pixels = fused.mask_os4[0].numel()
    met = {math.floor((1 - coarse_prob(step / 3)) * num_pixels) for step in (1, 2)}
    generator = torch.Generator().manual_seed(0)
    counts = [
        draw_training_state(fused, first, fused.mask_os4, own_share=1.0, num_steps=3, generator=generator)
        .is_fine.flatten(1)
        .sum(dim=1)
        .tolist()
        for _ in range(100)
    ]
    shares = [sum(one in met for one in picture) / len(picture) for picture in zip(*counts, strict=True)]
    assert min(shares) > 0.35
    assert max(shares) < 0.75


def test_colours_are_looked_at_again_with_each_better_matte(decoder: StepDecoder, fused: FusedFeatures) -> None:
    coarse = refine(decoder, fused, filled(num_steps=3, has_trace=True))
    first = decoder(fused, start_coarse(fused))
    expected = find_evidence(fused.guided, first.alpha)
    torch.testing.assert_close(coarse.trace[0].after.evidence.cues, expected.cues)
    assert not torch.equal(expected.cues, fused.evidence.cues)
    last_read = coarse.trace[-1].before.evidence  # the state that the last step read
    torch.testing.assert_close(coarse.local_colours, last_read.local_colours)


def test_training_never_shows_colours_sorted_by_the_truth(decoder: StepDecoder, fused: FusedFeatures) -> None:
    truths = [torch.zeros_like(fused.mask_os4), torch.ones_like(fused.mask_os4)]
    first, second = (draw(decoder, fused, truth, own_share=0.0) for truth in truths)
    torch.testing.assert_close(first.evidence.cues, second.evidence.cues, rtol=0, atol=0)
