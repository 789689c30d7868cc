import numpy as np
import pytest

from mask2alpha.data import augmentation
from mask2alpha.data.augmentation import augment_image


def photo(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = np.linspace(30, 220, 64)[:, None, None] + rng.normal(0, 8, (64, 48, 3))
    return np.clip(smooth, 0, 255).astype(np.uint8)


STEPS = ["adjust_tones", "blur_slightly", "add_noise", "resample", "sharpen", "compress_jpeg"]


@pytest.mark.parametrize("step", STEPS)
def test_each_step_keeps_shape_and_type_and_changes_little(step: str) -> None:
    for seed in range(20):
        changed = getattr(augmentation, step)(np.random.default_rng(seed), photo())
        assert changed.shape == (64, 48, 3)
        assert changed.dtype == np.uint8
        if step != "adjust_tones":
            assert np.abs(changed.astype(float) - photo()).mean() < 12


def test_the_same_generator_gives_the_same_picture() -> None:
    for seed in range(10):
        first, second = (augment_image(np.random.default_rng(seed), photo()) for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_about_half_of_the_pictures_stay_nearly_clean_in_detail() -> None:
    def detail(image: np.ndarray) -> np.ndarray:
        grey = image.astype(float).mean(axis=2)
        grey = (grey - grey.mean()) / grey.std()
        return np.diff(grey, axis=1)

    reference = detail(photo())
    kept = [
        np.corrcoef(reference.ravel(), detail(augment_image(np.random.default_rng(seed), photo())).ravel())[0, 1] > 0.97
        for seed in range(200)
    ]
    assert 0.35 < np.mean(kept) < 0.85


def test_the_input_is_not_changed() -> None:
    image = photo()
    for seed in range(20):
        augment_image(np.random.default_rng(seed), image)
    np.testing.assert_array_equal(image, photo())
