import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.ops.masks import Mask
from mask2alpha.pipeline.predictor import Predictor


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    torch.manual_seed(0)
    return Predictor(Mask2Alpha(PRESETS["tiny"]), dtype=torch.float32)


def picture(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def trimap(height: int, width: int, radius: float = 0.3, band: float = 12) -> NDArray[np.uint8]:
    distance = np.hypot(*np.mgrid[-height / 2 : height / 2, -width / 2 : width / 2]) - radius * min(height, width)
    return np.where(distance > band, 0, np.where(distance < -band, 255, 128)).astype(np.uint8)


@pytest.mark.parametrize("size", [(128, 192), (130, 201), (700, 90)])
def test_outside_its_band_alpha_is_what_a_trimap_says(
    predictor: Predictor, rng: np.random.Generator, size: tuple[int, int]
) -> None:
    given = trimap(*size)
    alpha = predictor.predict(picture(rng, *size), given).alpha
    assert np.array_equal(alpha[given != 128], given[given != 128] / 255)
    inside = alpha[given == 128]
    assert ((inside > 0) & (inside < 1)).mean() > 0.5  # the network, which is not trained, is sure of little


def test_a_small_target_keeps_all_of_a_wide_band(predictor: Predictor, rng: np.random.Generator) -> None:
    given = np.full((1400, 1400), 128, np.uint8)
    given[680:720, 680:720] = 255
    given[:, :100] = 0
    alpha = predictor.predict(picture(rng, 1400, 1400), given).alpha
    assert np.array_equal(alpha[given != 128], given[given != 128] / 255)
    assert (alpha[given == 128] > 0).mean() > 0.99  # far from the target, too


def test_a_band_over_a_mask_leaves_the_mask_to_the_network(predictor: Predictor, rng: np.random.Generator) -> None:
    image = picture(rng, 128, 192)
    mask = trimap(128, 192, band=0) > 0
    one_grey, painted = trimap(128, 192), trimap(128, 192)
    painted[(painted == 128) & ~mask] = 127
    plain, without, with_mask = (
        predictor.predict(image, given, has_trace=True).trace for given in (mask, one_grey, painted)
    )
    assert plain is not None
    assert without is not None
    assert with_mask is not None
    assert torch.equal(with_mask.mask, plain.mask)
    assert not torch.equal(without.mask, plain.mask)


@pytest.mark.parametrize("grey", [125, 127, 130])
def test_one_grey_is_on_neither_side_whatever_its_value(
    predictor: Predictor, rng: np.random.Generator, grey: int
) -> None:
    image, given = picture(rng, 128, 192), trimap(128, 192)
    expected = predictor.predict(image, given).alpha
    given[given == 128] = grey
    assert np.array_equal(predictor.predict(image, given).alpha, expected)


def test_grey_that_is_a_share_decides_nothing(predictor: Predictor, rng: np.random.Generator) -> None:
    image, given = picture(rng, 128, 192), trimap(128, 192).astype(np.float32) / 255
    alpha = predictor.predict(image, Mask(values=given, is_soft=True)).alpha
    assert (alpha[given == 0] > 0).any()
    assert (alpha[given == 1] < 1).any()


def test_decided_pixels_are_fine_from_the_start_and_stay(predictor: Predictor, rng: np.random.Generator) -> None:
    trace = predictor.predict(picture(rng, 256, 256), trimap(256, 256, band=30), has_trace=True).trace
    assert trace is not None
    coarse = trace.output.coarse
    decided = coarse.trace[0].before.is_fine
    assert 0.3 < decided.float().mean() < 0.9
    mask_os4 = torch.nn.functional.avg_pool2d(trace.mask, 4)
    assert (coarse.predicted_error[decided] == 0).all()
    for step in coarse.trace:
        assert torch.equal(step.alpha[decided].round(), mask_os4[decided])
    turned = [int((step.after.is_fine & ~decided).sum()) for step in coarse.trace]
    assert 0 < turned[0] < turned[-1] == int((~decided).sum())  # the others turn fine by the schedule


@pytest.mark.parametrize(("trust", "has_guess"), [(0.2, False), (0.5, False), (0.9, False), (0.5, True)])
def test_trimaps_have_an_adapter_of_their_own(trust: float, has_guess: bool, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS["tiny_backbone"])
    assert model.trust is not None
    assert model.trimap is not None
    torch.nn.init.constant_(model.trust.head.bias, torch.nan)
    image, given = picture(rng, 128, 192), trimap(128, 192)
    if has_guess:
        given[(given == 128) & (np.arange(192) > 96)] = 127

    def run() -> NDArray[np.float32]:
        return Predictor(model, dtype=torch.float32, trust=trust).predict(image, given).alpha

    before = run()
    assert np.isfinite(before).all()
    torch.nn.init.normal_(model.trimap.head.weight, std=0.5)
    assert np.abs(run() - before).max() > 1e-3


def test_trimaps_and_masks_of_one_photo_do_not_change_each_other(
    predictor: Predictor, rng: np.random.Generator
) -> None:
    image = picture(rng, 100, 160)
    masks = [trimap(100, 160) > 0, trimap(100, 160), trimap(100, 160, radius=0.4), trimap(100, 160, radius=0.2) > 0]
    encoded = predictor.encode(image)
    for mask, matte in zip(masks, predictor.predict_instances(encoded, masks), strict=True):
        np.testing.assert_allclose(matte.alpha, predictor.predict(encoded, mask).alpha, rtol=0, atol=1e-5)
