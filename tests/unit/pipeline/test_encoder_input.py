import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mask2alpha.ops.padding import pad_to_multiple
from mask2alpha.ops.resize import resize
from mask2alpha.pipeline.encoder_input import shrink_image, shrink_mask
from mask2alpha.pipeline.preprocess import image_to_pixels, image_to_tensor, mask_to_pixels, mask_to_tensor

SIZES = [((300, 130), (128, 64)), ((1, 900), (64, 512)), ((320, 192), (256, 128)), ((63, 65), (64, 128))]


@pytest.mark.parametrize(("size", "target"), SIZES)
def test_a_shrunk_photograph_is_the_padded_one_resized(
    rng: np.random.Generator, size: tuple[int, int], target: tuple[int, int]
) -> None:
    coarse = rng.integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3), dtype=np.uint8)
    smooth = np.kron(coarse, np.ones((8, 8, 1), np.uint8))[: size[0], : size[1]]
    for image in (smooth, smooth.astype(np.float32) / np.float32(255)):
        actual = shrink_image(image_to_pixels(image), target)
        expected = resize(pad_to_multiple(image_to_tensor(image), 64), target)
        assert actual.dtype == torch.float32
        rows, columns = (side * new // (-(-side // 64) * 64) for side, new in zip(size, target, strict=True))
        assert (actual - expected)[..., : max(rows - 1, 1), : columns - 1].abs().max() < 1.5 / 255
        assert actual.shape == expected.shape


@pytest.mark.filterwarnings("ignore:mask looks like a photograph")
@pytest.mark.parametrize(("size", "target"), SIZES)
def test_a_mask_shrunk_in_bands_equals_the_whole(
    rng: np.random.Generator, size: tuple[int, int], target: tuple[int, int]
) -> None:
    soft = rng.random(size)
    for mask in (soft > 0.5, (255 * soft).astype(np.uint8), soft.astype(np.float32), (soft > 0.5).astype(np.uint8)):
        expected = F.interpolate(pad_to_multiple(mask_to_tensor(mask, size), 64), target, mode="area")
        actual = shrink_mask(mask_to_pixels(mask, size), target)
        torch.testing.assert_close(actual, expected)
        assert 0 <= actual.min() <= actual.max() <= 1


def test_bytes_and_booleans_are_not_copied(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.shares_memory(image_to_pixels(image).numpy(), image)
    for mask in (image[..., 0] > 9, (image[..., 0] > 9).astype(np.uint8), np.ascontiguousarray(image[..., 0])):
        assert np.shares_memory(mask_to_pixels(mask, (5, 7)).numpy(), mask)
    image.flags.writeable = False
    assert np.shares_memory(image_to_pixels(image).numpy(), image)
