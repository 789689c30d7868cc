from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from marks import needs_bfloat16
from mask2alpha.errors import InputError
from mask2alpha.evaluation.ablations import switch
from mask2alpha.evaluation.inspection import Inspection, inspect, measure_spread, summarise
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.predictor import Predictor

NUM_STEPS = 4


@pytest.fixture(scope="module")
def model() -> Mask2Alpha:
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS["tiny"]).eval()
    assert model.encoder.guidance is not None
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        model.encoder.guidance.relevance_gain.fill_(1.0)
    return model


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def mask() -> NDArray[np.uint8]:
    mask = np.zeros((150, 200), dtype=np.uint8)
    mask[40:, 30:120] = 255
    return mask


def make_predictor(model: Mask2Alpha) -> Predictor:
    return Predictor(model, device="cpu", dtype=torch.float32, num_steps=NUM_STEPS, error_threshold=0.1)


@pytest.fixture(scope="module")
def inspection(model: Mask2Alpha, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Inspection:
    return inspect(make_predictor(model), image, mask)


def test_the_run_is_the_predictors(
    inspection: Inspection, model: Mask2Alpha, image: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> None:
    matte = make_predictor(model).predict(image, mask)
    assert inspection.alpha.shape == (150, 200)
    np.testing.assert_allclose(inspection.alpha, matte.alpha, atol=1.01 / 255)  # the matte's ends are snapped
    np.testing.assert_allclose(inspection.predicted_error, matte.predicted_error, atol=1e-6)


def test_each_step_reads_what_the_one_before_predicted(inspection: Inspection) -> None:
    steps = inspection.steps
    assert len(steps) == NUM_STEPS
    assert not steps[0].is_fine.any()
    start = steps[0].mixed_matte
    assert set(np.unique(start)) <= {0.0, 0.25, 0.5, 0.75, 1.0}  # the mask, averaged over 4 x 4 pixels
    for before, after in pairwise(steps):
        assert (after.is_fine >= before.is_fine).all()
        assert after.is_fine.sum() > before.is_fine.sum()
        np.testing.assert_allclose(after.mixed_matte, np.where(after.is_fine, before.alpha, start), atol=1e-6)


def test_active_pixels_are_those_of_the_stages(
    inspection: Inspection, model: Mask2Alpha, image: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> None:
    of_cells = inspection.predicted_error.reshape(75, 2, 100, 2).mean(axis=(1, 3))
    cells = inspection.active_sgsdr.reshape(75, 2, 100, 2)
    assert (cells.any(axis=(1, 3)) == cells.all(axis=(1, 3))).all()
    assert (cells[:, 0, :, 0] == (of_cells > 0.1)).mean() > 0.99  # the mean of the pixels is about the cell's own
    for selection, active in (("sgsdr", inspection.active_sgsdr), ("shm", inspection.active_shm)):
        predictor = make_predictor(switch(model, selection=selection))
        encoded = predictor.encode(image)
        padded = torch.nn.functional.pad(
            torch.from_numpy(mask / 255.0).float()[None, None], (0, 56, 0, 42), mode="replicate"
        )
        with torch.inference_mode():
            output = predictor.model.forward(encoded.padded, padded, predictor.options, encoding=encoded.encoding)
        np.testing.assert_array_equal(active, output.active[0, 0, :150, :200].numpy())


def test_attention_and_regions_lie_on_the_token_grid(inspection: Inspection) -> None:
    assert inspection.regions.shape == inspection.attention_on.shape == (6, 8)  # 192 x 256 padded, tokens of 32
    assert inspection.covered == (150 / 192, 200 / 256)
    assert inspection.attention_on.sum() == pytest.approx(1, rel=1e-5)
    assert inspection.attention_off.sum() == pytest.approx(1, rel=1e-5)
    assert not np.allclose(inspection.attention_on, inspection.attention_off, rtol=1e-3)


def test_the_numbers_add_up(inspection: Inspection) -> None:
    summary = summarise(inspection)
    for key in ("token_share", "attention_on", "attention_off"):
        assert list(summary[key]) == ["foreground", "edge", "background"]
        assert sum(summary[key].values()) == pytest.approx(1, rel=1e-5)
    assert summary["active_share"]["shm"] == inspection.active_shm.mean()
    assert summary["num_steps"] == NUM_STEPS
    assert summary["fine_share_per_step"][0] == 0
    guidance = summary["guidance"]
    factors = guidance["key_factor"]
    assert factors["foreground"] - factors["background"] == pytest.approx(1.5 * guidance["relevance_gain"])


def test_a_model_without_guidance_or_detail_is_inspected_too(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> None:
    config = PRESETS["tiny"]
    config = replace(
        config,
        encoder=replace(config.encoder, has_guidance=False),
        decoder=replace(config.decoder, is_iterative=False),
        detail=replace(config.detail, selection="none"),
    )
    inspection = inspect(make_predictor(Mask2Alpha(config)), image, mask)
    assert len(inspection.steps) == 1
    assert inspection.guidance is None
    assert summarise(inspection)["guidance"] is None
    np.testing.assert_array_equal(inspection.attention_on, inspection.attention_off)


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_that_the_network_never_sees_is_refused(value: int, model: Mask2Alpha, image: NDArray[np.uint8]) -> None:
    with pytest.warns(UserWarning, match="mask is (empty|full)"), pytest.raises(InputError, match="empty or full"):
        inspect(make_predictor(model), image, np.full((150, 200), value, dtype=np.uint8))


@needs_bfloat16
def test_the_run_is_the_predictors_in_its_own_dtype(
    model: Mask2Alpha, image: NDArray[np.uint8], mask: NDArray[np.uint8]
) -> None:
    predictor = Predictor(model, device="cpu", dtype=torch.bfloat16, num_steps=NUM_STEPS, error_threshold=0.1)
    inspection, matte = inspect(predictor, image, mask), predictor.predict(image, mask)
    np.testing.assert_array_equal(inspection.alpha, matte.alpha)
    np.testing.assert_array_equal(inspection.predicted_error, matte.predicted_error)


def test_a_small_target_is_inspected_in_its_box(model: Mask2Alpha) -> None:
    image = np.random.default_rng(1).integers(0, 256, (700, 830, 3), dtype=np.uint8)
    mask = np.zeros((700, 830), dtype=bool)
    mask[500:540, 600:660] = True
    predictor = make_predictor(model)
    matte = predictor.predict(image, mask, has_trace=True)
    assert matte.box is not None
    assert matte.trace is not None
    inspection = inspect(predictor, image, mask)
    np.testing.assert_array_equal(inspection.alpha, matte.alpha)
    assert inspection.steps[0].mixed_matte.shape == (176, 208)
    assert inspection.steps[0].mixed_matte[:80].max() == 0
    assert inspection.predicted_error.shape == (700, 830)
    np.testing.assert_array_equal(inspection.active_sgsdr, matte.trace.output.active[0, 0].numpy())


def test_the_spread_of_the_tokens_is_told_from_what_they_have_in_common() -> None:
    patches = torch.tensor([[9.0, -10.0], [11.0, -10.0], [9.0, -10.0], [11.0, -10.0]])
    everything, over_places = measure_spread(patches)
    assert everything == pytest.approx(patches.numpy().std())
    assert over_places == pytest.approx(0.5)  # 1 in the first channel, 0 in the second
