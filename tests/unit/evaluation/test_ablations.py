from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mask2alpha.errors import InputError
from mask2alpha.evaluation import ablations
from mask2alpha.evaluation.ablations import (
    Ablation,
    NamedModel,
    fit_line,
    measure_times,
    plan_table,
    run_ablation,
    switch,
)
from mask2alpha.evaluation.benchmarks import GuidedFolder
from mask2alpha.evaluation.runner import evaluate, use_predictor
from mask2alpha.model.config import PRESETS, ModelConfig
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.values import RunOptions
from mask2alpha.pipeline.predictor import Predictor

TINY = PRESETS["tiny"]


def make_model(config: ModelConfig = TINY, *, seed: int = 0) -> Mask2Alpha:
    """Random weights everywhere, so that every part has an effect."""
    torch.manual_seed(seed)
    model = Mask2Alpha(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        if model.encoder.guidance is not None:
            model.encoder.guidance.relevance_gain.fill_(20.0)
    return model


def name(model: Mask2Alpha, called: str = "tiny") -> NamedModel:
    return NamedModel(name=called, weights=f"hash of {called}", model=model)


def with_selection(selection: str) -> ModelConfig:
    return replace(TINY, detail=replace(TINY.detail, selection=selection))


WITHOUT_GUIDANCE = replace(TINY, encoder=replace(TINY.encoder, has_guidance=False))
NOT_ITERATIVE = replace(TINY, decoder=replace(TINY.decoder, is_iterative=False))


@pytest.fixture
def image_and_mask() -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.zeros(1, 1, 128, 192)
    mask[..., 30:, 40:120] = 1
    return torch.rand(1, 3, 128, 192), mask


def test_guidance_switched_off_is_an_encoder_without_it(image_and_mask: tuple[torch.Tensor, torch.Tensor]) -> None:
    model = make_model()
    with torch.no_grad():
        guided = model(*image_and_mask).alpha
        off = switch(model, has_guidance=False)(*image_and_mask).alpha
        assert not torch.allclose(guided, off, atol=1e-5)
        torch.testing.assert_close(model(*image_and_mask).alpha, guided)  # the model itself is as before
        guidance = model.encoder.guidance
        assert guidance is not None
        guidance.relevance_gain.zero_()
        guidance.relevance_bias.zero_()
        torch.testing.assert_close(model(*image_and_mask).alpha, off)


def test_no_detail_is_the_upsampled_coarse_matte(image_and_mask: tuple[torch.Tensor, torch.Tensor]) -> None:
    model = make_model()
    with torch.no_grad():
        full = model(*image_and_mask)
        none = switch(model, selection="none")(*image_and_mask)
        threshold_of_one = model(*image_and_mask, RunOptions(error_threshold=1.0))
    assert not none.active.any()
    torch.testing.assert_close(none.alpha, threshold_of_one.alpha)
    assert not torch.allclose(none.alpha, full.alpha, atol=1e-5)


def test_another_selection_takes_other_pixels_with_the_same_network(
    image_and_mask: tuple[torch.Tensor, torch.Tensor],
) -> None:
    model = make_model()
    shm = switch(model, selection="shm")
    with torch.no_grad():
        one, other = model(*image_and_mask, RunOptions(error_threshold=0.2)), shm(*image_and_mask)
    torch.testing.assert_close(one.coarse.alpha_logits, other.coarse.alpha_logits)
    assert not torch.equal(one.active, other.active)
    for key, tensor in shm.state_dict().items():
        assert tensor.data_ptr() == model.state_dict()[key].data_ptr()  # shared, not copied


def test_a_part_that_was_not_trained_cannot_be_switched_on() -> None:
    with pytest.raises(InputError, match="lack detail"):
        switch(make_model(with_selection("none")), selection="sgsdr")
    with pytest.raises(InputError, match=r"lack encoder\.guidance"):
        switch(make_model(WITHOUT_GUIDANCE), has_guidance=True)


def test_table_3_switches_one_model_or_compares_two() -> None:
    variants = plan_table(3, [name(make_model())])
    assert [variant.label for variant in variants] == ["without MGFSM", "with MGFSM"]
    assert [variant.is_switched for variant in variants] == [True, False]
    assert [variant.is_reference for variant in variants] == [False, True]
    with_it, without = name(make_model(), "with"), name(make_model(WITHOUT_GUIDANCE), "without")
    variants = plan_table(3, [with_it, without])
    assert [variant.source.name for variant in variants] == ["without", "with"]
    assert not any(variant.is_switched for variant in variants)
    for wrong in ([without], [with_it, with_it], [with_it, without, without]):
        with pytest.raises(InputError, match="table 3 needs"):
            plan_table(3, wrong)


def test_table_4_has_a_row_for_each_number_of_steps() -> None:
    variants = plan_table(4, [name(make_model())], [6, 1, 3, 3])
    assert [variant.num_steps for variant in variants] == [1, 3, 6]
    assert [variant.label for variant in variants] == ["1 (single pass)", "3", "6"]
    assert [variant.is_reference for variant in variants] == [False, False, True]
    two = plan_table(4, [name(make_model(), "yes"), name(make_model(NOT_ITERATIVE), "no")], [3, 6])
    assert [variant.label for variant in two] == ["none (no)", "3 (yes)", "6 (yes)"]
    with pytest.raises(InputError, match="iterative"):
        plan_table(4, [name(make_model(NOT_ITERATIVE))], [3])
    with pytest.raises(InputError, match="at least 1"):
        plan_table(4, [name(make_model())], [0, 3])


def test_table_5_switches_one_model_or_compares_several() -> None:
    variants = plan_table(5, [name(make_model())])
    assert [variant.model.config.detail.selection for variant in variants] == ["none", "shm", "sgsdr"]
    assert [variant.is_switched for variant in variants] == [True, True, False]
    trained = [name(make_model(with_selection(selection)), selection) for selection in ("sgsdr", "none")]
    assert [variant.source.name for variant in plan_table(5, trained)] == ["none", "sgsdr"]
    for wrong in ([trained[1]], [trained[0], trained[0]], [trained[1], name(make_model(with_selection("shm")))]):
        with pytest.raises(InputError, match="table 5 needs"):
            plan_table(5, wrong)


def test_the_choices_within_algorithm_2_are_compared_with_the_method_as_it_is_run() -> None:
    variants = plan_table("algorithm", [name(make_model())], [5])
    own = TINY.decoder.num_steps
    assert [variant.num_steps for variant in variants] == [5, 5, 5, own, own, own]
    assert [variant.label for variant in variants[:3]] == [
        "sticky update, 5 steps",
        "bernoulli sampler, 5 steps",
        "as run, 5 steps",
    ]
    assert [variant.model.config.decoder.update for variant in variants[:3]] == ["sticky", "formula", "formula"]
    assert [variant.sampler for variant in variants[:3]] == ["topk", "bernoulli", "topk"]
    assert [variant.is_switched for variant in variants] == [True, True, False] * 2
    assert [variant.is_reference for variant in variants] == [False] * 5 + [True]
    for wrong in ([], [name(make_model())] * 2, [name(make_model(NOT_ITERATIVE))]):
        with pytest.raises(InputError, match="algorithm needs one iterative model"):
            plan_table("algorithm", wrong)


def test_algorithm_2s_choices_change_the_scores_and_do_not_depend_on_the_order_of_photos(
    benchmark_folder: GuidedFolder,
) -> None:
    variants = plan_table("algorithm", [name(make_model())], [])
    scores = [
        row.evaluation.mean()
        for row in run_ablation("algorithm", variants, benchmark_folder, device="cpu", repeats=0).rows
    ]
    assert len(set(scores)) == 3
    benchmark_folder.photographs = benchmark_folder.photographs[::-1]
    again = run_ablation("algorithm", variants, benchmark_folder, device="cpu", repeats=0)
    for row, score in zip(again.rows, scores, strict=True):
        assert row.evaluation.mean().sad == pytest.approx(score.sad, rel=1e-12)


@pytest.fixture
def ablation(benchmark_folder: GuidedFolder) -> Ablation:
    variants = plan_table(4, [name(make_model())], [1, 2])
    return run_ablation(4, variants, benchmark_folder, device="cpu", repeats=1, num_timed=1)


def test_each_row_scores_as_the_predictor_does(ablation: Ablation, benchmark_folder: GuidedFolder) -> None:
    for row, steps in zip(ablation.rows, (1, 2), strict=True):
        predictor = Predictor(make_model(), device="cpu", dtype=torch.float32, num_steps=steps)
        alone = evaluate(use_predictor(predictor), benchmark_folder)
        assert row.evaluation.mean() == alone.mean()
    assert ablation.rows[0].evaluation.mean() != ablation.rows[1].evaluation.mean()
    assert ablation.settings["num_pairs"] == 4
    assert ablation.settings["timed_sizes"] == [[24, 32]]


def test_rows_are_compared_pair_by_pair(ablation: Ablation) -> None:
    first, last = (row.evaluation.pairs for row in ablation.rows)
    better = sum(one.scores.sad < other.scores.sad for one, other in zip(first, last, strict=True))
    assert ablation.count_better(ablation.rows[0]) == (better, 4)
    assert ablation.count_better(ablation.reference) == (0, 4)


def test_a_stopped_run_goes_on_and_tables_share_rows(
    benchmark_folder: GuidedFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, output = name(make_model()), tmp_path / "rows"
    first = run_ablation(5, plan_table(5, [named]), benchmark_folder, device="cpu", repeats=0, output=output)
    assert len(list(output.glob("*.csv"))) == 3
    assert all(row.times is None for row in first.rows)
    monkeypatch.setattr(ablations, "use_predictor", lambda predictor: pytest.fail)  # called for no finished pair
    again = run_ablation(5, plan_table(5, [named]), benchmark_folder, device="cpu", repeats=0, output=output)
    assert [row.evaluation for row in again.rows] == [row.evaluation for row in first.rows]
    whole = plan_table(4, [named], [TINY.decoder.num_steps])
    shared = run_ablation(4, whole, benchmark_folder, device="cpu", repeats=0, output=output)
    assert shared.rows[0].evaluation == first.reference.evaluation


def test_times_are_medians_of_interleaved_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    predictors = [Predictor(make_model(), device="cpu", num_steps=steps) for steps in (1, 2)]
    mask = np.zeros((64, 64), dtype=bool)
    mask[20:, 10:40] = True
    photographs = [(np.zeros((64, 64, 3), dtype=np.uint8), mask)] * 2
    order: list[str] = []
    clock = iter(np.arange(10_000, dtype=float) ** 2)

    def stopwatch(call: Callable[[], object], device: torch.device) -> float:
        result = call()
        order.append(type(result).__name__)
        return float(next(clock))

    monkeypatch.setattr(ablations, "_stopwatch", stopwatch)
    times = measure_times(predictors, photographs, 3)
    assert order == ["CoarseMatte", "Matte"] * (2 * 2 * 4)
    # 8 calls a repeat, the first repeat unmeasured; the second of three measured is the median: calls 16 to 23. Its
    # order is not turned, because it is the even one; per photograph: loop 0, whole 0, loop 1, whole 1.
    calls = np.arange(16, 24).reshape(2, 2, 2) ** 2.0  # (photograph, predictor, kind)
    expected = calls.mean(axis=0)
    assert [(each.loop, each.whole) for each in times] == [tuple(row) for row in expected.tolist()]


def test_more_steps_take_longer() -> None:
    predictors = [Predictor(make_model(), device="cpu", num_steps=steps) for steps in (1, 30)]
    mask = np.zeros((128, 128), dtype=bool)
    mask[20:, 10:90] = True
    one, thirty = measure_times(predictors, [(np.zeros((128, 128, 3), dtype=np.uint8), mask)], 3)
    assert 0 < 3 * one.loop < thirty.loop < thirty.whole
    assert one.whole < thirty.whole


def test_the_line_through_the_papers_times() -> None:
    slope, constant = fit_line([3, 6, 10, 20], [0.030, 0.054, 0.087, 0.167])
    assert slope == pytest.approx(0.0081, abs=5e-5)
    assert constant == pytest.approx(0.0059, abs=2e-4)
