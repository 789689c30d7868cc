from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.ops.working_size import enlarge_alpha, enlarge_image, enlarge_mask, shrink_alpha, working_factor
from mask2alpha.pipeline.predictor import Predictor


def make_predictor(least_side: int) -> Predictor:
    torch.manual_seed(0)
    config = PRESETS["tiny_backbone"]
    model = Mask2Alpha(replace(config, encoder=replace(config.encoder, least_side=least_side)))
    return Predictor(model, dtype=torch.float32)


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((70, 90), bool)
    mask[20:50, 30:70] = True
    return mask


THREE_HALVES = Fraction(3, 2)


@pytest.mark.parametrize(
    ("size", "factor"),
    [((640, 200), 2), ((641, 200), THREE_HALVES), ((200, 960), THREE_HALVES), ((961, 200), 1), ((1, 1), 2)],
)
def test_only_small_photos_are_enlarged(size: tuple[int, int], factor: Fraction) -> None:
    assert working_factor(size, 640) == factor
    assert working_factor(size, 0) == 1


def test_enlarging_and_shrinking_keeps_masks_and_constant_images() -> None:
    mask = torch.rand(1, 1, 5, 7)
    torch.testing.assert_close(shrink_alpha(enlarge_mask(mask, Fraction(2)), Fraction(2), (5, 7)), mask)
    image = torch.full((1, 3, 5, 7), 200, dtype=torch.uint8)
    torch.testing.assert_close(enlarge_image(image, Fraction(2)), torch.full((1, 3, 10, 14), 200 / 255))
    torch.testing.assert_close(enlarge_image(image, THREE_HALVES), torch.full((1, 3, 9, 12), 200 / 255))
    assert enlarge_image(image, Fraction(1)) is image


@pytest.mark.parametrize("size", [(4, 6), (5, 6), (5, 7)])
def test_three_halves_keep_every_mean_over_two_pixels(size: tuple[int, int]) -> None:
    mask = torch.rand(1, 1, *size) > 0.5
    large = enlarge_mask(mask, THREE_HALVES)
    assert large.shape[2:] == tuple(3 * (side + side % 2) // 2 for side in size)
    back = shrink_alpha(large, THREE_HALVES, size)
    whole = back[..., : size[0] // 2 * 2, : size[1] // 2 * 2]
    given = mask.float()[..., : size[0] // 2 * 2, : size[1] // 2 * 2]
    pool = torch.nn.functional.avg_pool2d
    torch.testing.assert_close(pool(whole, 2), pool(given, 2))
    assert back.shape == mask.shape


def test_a_photo_at_three_halves_has_mattes_of_its_own_size(photo: np.ndarray, mask: np.ndarray) -> None:
    predictor = make_predictor(least_side=64)
    matte = predictor.predict(photo[:69, :89], mask[:69, :89])
    assert predictor.encode(photo).factor == THREE_HALVES
    assert matte.alpha.shape == matte.predicted_error.shape == (69, 89)


def test_a_small_photo_is_matted_at_twice_its_size(photo: np.ndarray, mask: np.ndarray) -> None:
    matte = make_predictor(least_side=100).predict(photo, mask)
    assert matte.alpha.shape == matte.predicted_error.shape == (70, 90)
    large = enlarge_image(torch.from_numpy(photo).permute(2, 0, 1)[None], Fraction(2))[0].permute(1, 2, 0).numpy()
    expected = make_predictor(least_side=0).predict(large, mask.repeat(2, axis=0).repeat(2, axis=1))
    means = expected.alpha.reshape(70, 2, 90, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(matte.alpha, means, atol=1e-6)
    np.testing.assert_array_equal(matte.coarse_error, expected.coarse_error)


def test_an_encoding_of_a_small_photo_serves_any_mask(photo: np.ndarray, mask: np.ndarray) -> None:
    predictor = make_predictor(least_side=100)
    encoded = predictor.encode(photo)
    assert encoded.size == (70, 90)
    assert encoded.factor == 2
    np.testing.assert_array_equal(predictor.predict(encoded, mask).alpha, predictor.predict(photo, mask).alpha)
    with pytest.warns(UserWarning, match="mask is full"):
        assert (predictor.predict(encoded, np.ones_like(mask)).alpha == 1).all()


@pytest.mark.parametrize("factor", [THREE_HALVES, Fraction(2)])
def test_an_enlarged_alpha_is_smooth_and_shrinks_to_itself(factor: Fraction) -> None:
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    alpha = ((20.3 - torch.hypot(rows - 24, columns - 24)) / 3 + 0.5).clamp(0, 1)[None, None]
    enlarged = enlarge_alpha(alpha, factor)
    assert enlarged.shape[2:] == (48 * factor, 48 * factor)
    assert enlarged.min() >= 0
    assert enlarged.max() <= 1
    assert (shrink_alpha(enlarged, factor, (48, 48)) - alpha).abs().max() < 0.03
    assert (enlarged[..., ::2] - enlarged[..., 1::2]).abs().max() > 0.05  # no squares of equal values
