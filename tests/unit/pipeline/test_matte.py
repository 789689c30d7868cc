from dataclasses import replace

import numpy as np
import pytest
import torch

from mask2alpha.errors import InputError
from mask2alpha.pipeline.matte import Matte, cover


def make_matte(dtype: type = np.uint8) -> Matte:
    """A red target, the left half, on blue."""
    top = 1 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max
    image = np.zeros((16, 16, 3), dtype=dtype)
    image[:, :8, 0], image[:, 8:, 2] = top, top
    alpha = np.zeros((16, 16), dtype=np.float32)
    alpha[:, :8] = 1
    return Matte(alpha=alpha, image=image, coarse_error=0 * alpha, spanned=(16, 16))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pictures_come_in_the_images_own_kind(dtype: type) -> None:
    matte = make_matte(dtype)
    assert matte.foreground().dtype == matte.cutout().dtype == matte.composite((0, 0, 0)).dtype == dtype
    assert matte.foreground().shape == (16, 16, 3)
    assert matte.cutout().shape == (16, 16, 4)
    assert np.array_equal(matte.cutout()[..., 3] / matte.cutout().max(), matte.alpha)


def test_a_composite_shows_the_new_background_and_nothing_of_the_old() -> None:
    green = make_matte().composite((0.0, 1.0, 0.0))
    assert np.array_equal(green[:, :8], make_matte().image[:, :8])
    assert np.array_equal(green[:, 8:], np.full((16, 8, 3), (0, 255, 0)))


def test_a_background_picture_covers_the_frame() -> None:
    background = np.zeros((10, 40, 3), dtype=np.uint16)
    background[:, 15:25, 1] = 65535  # the middle, which is what the crop shows
    composite = make_matte().composite(background)
    assert (composite[:, 9:15, 1] > 200).all()


def test_a_wrong_colour_is_refused() -> None:
    with pytest.raises(InputError, match=r"^background colour"):
        make_matte().composite((0, 128, 255))


def test_a_grey_image_gives_grey_colours() -> None:
    foreground = replace(make_matte(), image=make_matte().image[..., 0]).foreground()
    assert foreground.shape == (16, 16, 3)
    assert np.ptp(foreground, axis=2).max() == 0


@pytest.mark.parametrize("size", [(1, 1), (7, 31), (64, 3)])
def test_cover_gives_exactly_the_size(size: tuple[int, int]) -> None:
    assert cover(torch.rand(1, 3, 9, 17), size).shape == (1, 3, *size)


def test_predicted_error_is_the_coarse_one_enlarged_and_cut_to_the_picture() -> None:
    coarse_error = np.array([[0.0, 1.0], [0.0, 1.0]], dtype=np.float32)
    error = replace(make_matte(), coarse_error=coarse_error, spanned=(32, 32)).predicted_error
    assert error.dtype == np.float32
    assert error.shape == (16, 16)
    np.testing.assert_allclose(error[:, 8:], np.tile((np.arange(8) + 0.5) / 16, (16, 1)), atol=1e-6)
    assert not error[:, :8].any()
