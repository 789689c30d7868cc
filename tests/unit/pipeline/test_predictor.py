import numpy as np
import pytest
import torch

from fakes import EchoNetwork
from marks import needs_bfloat16
from mask2alpha.errors import InputError
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.ops import dtypes
from mask2alpha.ops.dtypes import cpu_has_bfloat16, default_dtype
from mask2alpha.pipeline import predictor as predictor_module
from mask2alpha.pipeline.predictor import Predictor


@pytest.fixture
def echo() -> EchoNetwork:
    return EchoNetwork()


@pytest.fixture(scope="module")
def tiny() -> Mask2Alpha:
    torch.manual_seed(0)
    return Mask2Alpha(PRESETS["tiny"])


def picture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def disc(height: int, width: int, radius: float = 0.3) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (y - height / 2) ** 2 + (x - width / 2) ** 2 < (radius * min(height, width)) ** 2


@pytest.mark.filterwarnings("ignore:mask.* looks like a photograph")
@pytest.mark.parametrize("size", [(1, 2), (2, 1), (63, 65), (64, 64), (70, 300)])
def test_any_size_comes_back_unpadded(echo: EchoNetwork, rng: np.random.Generator, size: tuple[int, int]) -> None:
    image, mask = picture(rng, *size), rng.random(size).astype(np.float32)
    matte = Predictor(echo, dtype=torch.float32).predict(image, mask)
    expected = np.clip((255 * mask - 1) / 253, 0, 1)
    np.testing.assert_allclose(matte.alpha, expected, rtol=0, atol=1e-6)
    near_ends = (mask <= 0.9 / 255) | (mask >= 254.1 / 255)
    assert np.array_equal(matte.alpha[near_ends], mask[near_ends].round())
    assert np.array_equal(matte.predicted_error, image[..., 0].astype(np.float32) / np.float32(255))
    assert matte.image is image
    assert matte.alpha.dtype == matte.predicted_error.dtype == np.float32
    assert all(side % 64 == 0 for side in echo.encoded_sizes[0] + echo.decoded_shapes[0][2:])


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (65, 3), (700, 10)])
def test_the_network_itself_takes_any_size(tiny: Mask2Alpha, rng: np.random.Generator, size: tuple[int, int]) -> None:
    matte = Predictor(tiny, dtype=torch.float32).predict(picture(rng, *size), np.full(size, 0.5))
    assert matte.alpha.shape == size
    assert np.isfinite(matte.alpha).all()
    assert 0 <= matte.alpha.min() <= matte.alpha.max() <= 1


def test_a_matte_of_a_part_is_placed_in_the_whole(echo: EchoNetwork, rng: np.random.Generator) -> None:
    image, mask = picture(rng, 90, 110), disc(50, 60)
    part = Predictor(echo, dtype=torch.float32).predict(image[20:70, 30:90], mask)
    whole = part.placed_in(image, slice(20, 70), slice(30, 90))
    for name in ("alpha", "predicted_error"):
        values = getattr(whole, name).copy()
        assert np.array_equal(values[20:70, 30:90], getattr(part, name))
        values[20:70, 30:90] = 0
        assert values.shape == (90, 110)
        assert not values.any()
    assert whole.cutout().shape == (90, 110, 4)
    assert part.placed_in(part.image, slice(None), slice(None)) is part


def test_an_empty_and_a_full_mask_are_answered_without_the_network(echo: EchoNetwork, rng: np.random.Generator) -> None:
    predictor = Predictor(echo)
    image = picture(rng, 20, 30)
    with pytest.warns(UserWarning, match="mask is empty, so alpha is 0 everywhere"):
        assert (predictor.predict(image, np.zeros((20, 30), bool)).alpha == 0).all()
    with pytest.warns(UserWarning, match="mask is full, so alpha is 1 everywhere"):
        assert (predictor.predict(image, np.ones((20, 30), bool)).alpha == 1).all()
    assert not echo.decoded_shapes
    predictor.predict(image, np.full((20, 30), 128, np.uint8))
    assert len(echo.decoded_shapes) == 1


@pytest.mark.filterwarnings("ignore:mask.* is empty")
def test_many_masks_equal_one_by_one(tiny: Mask2Alpha, rng: np.random.Generator) -> None:
    predictor = Predictor(tiny, dtype=torch.float32)
    image = picture(rng, 70, 90)
    masks = np.stack([disc(70, 90), np.zeros((70, 90), bool), disc(70, 90, 0.1), disc(70, 90, 0.45)])
    encoded = predictor.encode(image)
    together = predictor.predict_instances(encoded, masks)
    assert len(together) == 4
    for mask, matte in zip(masks, together, strict=True):
        for alone in (predictor.predict(encoded, mask), predictor.predict(image, mask)):
            assert np.abs(alone.alpha - matte.alpha).max() < 1e-5
            assert np.abs(alone.predicted_error - matte.predicted_error).max() < 1e-5


@pytest.mark.filterwarnings("ignore:mask.* looks like a photograph")
def test_masks_are_decoded_in_groups_of_bounded_size(
    echo: EchoNetwork, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor_module, "PIXELS_AT_ONCE", 2 * 64 * 64)
    masks = rng.random((5, 40, 40))
    mattes = Predictor(echo).predict_instances(picture(rng, 40, 40), masks)
    assert [shape[0] for shape in echo.decoded_shapes] == [2, 2, 1]
    assert len(echo.encoded_sizes) == 1
    assert all(np.abs(matte.alpha - mask).max() <= 1 / 255 for matte, mask in zip(mattes, masks, strict=True))


def test_no_masks_give_no_mattes(echo: EchoNetwork, rng: np.random.Generator) -> None:
    assert Predictor(echo).predict_instances(picture(rng, 8, 8), np.zeros((0, 8, 8), bool)) == ()


def test_the_names_of_a_mapping_are_those_of_the_messages(echo: EchoNetwork, rng: np.random.Generator) -> None:
    masks = {"cat.png": disc(8, 8), "dog.png": np.zeros((8, 8), bool)}
    with pytest.warns(UserWarning, match=r"dog\.png is empty"):
        cat, dog = Predictor(echo).predict_instances(picture(rng, 8, 8), masks)
    assert np.array_equal(cat.alpha, disc(8, 8))
    assert not dog.alpha.any()


def test_previews_are_deprecated_and_still_work(tiny: Mask2Alpha, rng: np.random.Generator) -> None:
    predictor = Predictor(tiny, dtype=torch.float32, error_threshold=1.0)
    image, mask = picture(rng, 150, 200), disc(150, 200)
    with pytest.warns(DeprecationWarning, match=r"`Predictor\.encode_overview` is deprecated since 0\.2"):
        overview = predictor.encode_overview(predictor.encode(image), 768)
    pixels = torch.from_numpy(mask)[None, None]
    with pytest.warns(DeprecationWarning, match=r"`Predictor\.preview` is deprecated since 0\.2"):
        shown = predictor.preview(overview, pixels, rows=(10, 60), columns=(0, 200))
    np.testing.assert_allclose(shown, predictor.predict(image, mask).alpha[10:60], atol=1e-6)


def test_a_large_image_is_encoded_smaller_and_matted_at_full_size(echo: EchoNetwork, rng: np.random.Generator) -> None:
    matte = Predictor(echo, max_encoder_side=64).predict(picture(rng, 300, 130), disc(300, 130))
    assert echo.encoded_sizes == [(128, 64)]
    assert echo.decoded_shapes == [(1, 1, 128, 64)]
    assert np.array_equal(matte.alpha, disc(300, 130))


def test_the_network_itself_takes_a_smaller_encoding(tiny: Mask2Alpha, rng: np.random.Generator) -> None:
    matte = Predictor(tiny, max_encoder_side=64, dtype=torch.float32).predict(picture(rng, 300, 130), disc(300, 130))
    assert matte.alpha.shape == (300, 130)


def test_everything_is_checked_before_the_network_runs(echo: EchoNetwork, rng: np.random.Generator) -> None:
    predictor = Predictor(echo)
    image = picture(rng, 8, 8)
    with pytest.raises(InputError, match=r"^mask "):
        predictor.predict(image, np.full((8, 8), np.nan))
    with pytest.raises(InputError, match=r"^masks\[1\] "):
        predictor.predict_instances(image, [disc(8, 8), np.full((8, 8), 9, np.uint8)])
    with pytest.raises(InputError, match=r"^image "):
        predictor.predict(np.zeros((8, 8, 4), np.uint8), disc(8, 8))
    assert not echo.encoded_sizes


def test_options_reach_the_network(echo: EchoNetwork, rng: np.random.Generator) -> None:
    predictor = Predictor(echo, num_steps=7, error_threshold=0.3, active_budget=99)
    predictor.predict(picture(rng, 8, 8), disc(8, 8))
    assert echo.options is not None
    assert (echo.options.num_steps, echo.options.error_threshold, echo.options.active_budget) == (7, 0.3, 99)


def test_the_number_of_active_pixels_is_bounded_by_default(echo: EchoNetwork, rng: np.random.Generator) -> None:
    Predictor(echo).predict(picture(rng, 8, 8), disc(8, 8))
    assert echo.options is not None
    assert echo.options.active_budget == predictor_module.MAX_ACTIVE_PIXELS


@needs_bfloat16
def test_the_model_is_copied_and_left_as_it_was(tiny: Mask2Alpha, rng: np.random.Generator) -> None:
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    tiny.train()
    predictor = Predictor(tiny, dtype=torch.bfloat16)
    predictor.predict(picture(rng, 64, 64), disc(64, 64))
    assert tiny.training
    assert predictor.model is not tiny
    assert not predictor.model.training
    for name, value in tiny.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"num_steps": 0}, "num_steps"),
        ({"error_threshold": 1.5}, "error_threshold"),
        ({"active_budget": -1}, "active_budget"),
        ({"max_encoder_side": 8}, "max_encoder_side"),
        ({"device": "teapot"}, "device 'teapot'"),
        ({"device": "cpu", "dtype": torch.float16}, "dtype"),
    ],
)
def test_wrong_settings_are_refused(echo: EchoNetwork, settings: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Predictor(echo, **settings)


def test_bfloat16_is_the_default_only_where_the_cpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert default_dtype(cpu) == (torch.bfloat16 if cpu_has_bfloat16() else torch.float32)
    for has_it in (True, False):
        monkeypatch.setattr(dtypes, "cpu_has_bfloat16", lambda has_it=has_it: has_it)
        assert default_dtype(cpu) == (torch.bfloat16 if has_it else torch.float32)


@needs_bfloat16
def test_bfloat16_is_close_to_float32(tiny: Mask2Alpha, rng: np.random.Generator) -> None:
    image, mask = picture(rng, 128, 128), disc(128, 128)
    exact = Predictor(tiny, dtype=torch.float32).predict(image, mask)
    quick = Predictor(tiny, dtype=torch.bfloat16).predict(image, mask)
    assert np.abs(exact.alpha - quick.alpha).mean() < 0.02


def test_the_same_call_gives_the_same_bits_and_leaves_its_inputs_alone(
    tiny: Mask2Alpha, rng: np.random.Generator
) -> None:
    predictor = Predictor(tiny, dtype=torch.float32)
    image, mask = picture(rng, 70, 70), disc(70, 70)
    image_before, mask_before = image.copy(), mask.copy()
    first, second = predictor.predict(image, mask), predictor.predict(image, mask)
    assert np.array_equal(first.alpha, second.alpha)
    assert np.array_equal(image, image_before)
    assert np.array_equal(mask, mask_before)


def test_bfloat16_is_refused_on_a_cpu_that_cannot_run_it(tiny: Mask2Alpha, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictor_module, "cpu_runs_bfloat16", lambda: False)
    with pytest.raises(InputError, match="needs a CPU with AVX-512, which this one lacks; use torch"):
        Predictor(tiny, device="cpu", dtype=torch.bfloat16)
