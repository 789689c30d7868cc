import numpy as np
import pytest

from mask2alpha.errors import InputError
from mask2alpha.ops.mask_fit import fit_mask
from mask2alpha.ops.masks import Mask
from mask2alpha.ops.orientation import turn_upright


def drawn(height: int, width: int) -> np.ndarray:
    values = np.zeros((height, width), dtype=np.uint8)
    values[: height // 2, : width // 4] = 255
    return values


def test_a_mask_of_the_photos_size_is_left_alone() -> None:
    mask = Mask(values=drawn(40, 60))
    assert fit_mask(mask, (40, 60), orientation=6) == (mask, [])


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_as_the_camera_saw_it_is_turned_as_the_photo_is(orientation: int) -> None:
    raw = drawn(60, 40)
    fitted, notes = fit_mask(Mask(values=raw), (40, 60), orientation=orientation)
    assert np.array_equal(fitted.values, turn_upright(raw, orientation))
    assert f"EXIF orientation {orientation}" in notes[0]


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_swapped_sides_are_refused_where_the_camera_lay_flat(orientation: int) -> None:
    with pytest.raises(InputError, match=r"40 x 60 pixels .* photo 60 x 40: the sides are swapped; turn it, .*--fit"):
        fit_mask(Mask(values=drawn(60, 40)), (40, 60), orientation=orientation)


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ((20, 30), (40, 60)),
        ((80, 120), (40, 60)),
        ((214, 320), (667, 1000)),  # rounded
        ((213, 320), (667, 1000)),
        ((667, 1000), (213, 320)),
        ((2, 4), (400, 600)),  # within a pixel
        ((256, 256), (1000, 1003)),
    ],
)
def test_a_mask_of_the_photos_aspect_is_scaled_and_said(given: tuple[int, int], size: tuple[int, int]) -> None:
    fitted, notes = fit_mask(Mask(values=drawn(*given)), size)
    assert fitted.values.shape == size
    assert fitted.values.dtype == np.bool_
    assert "was resized to the photograph's" in notes[0]


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ((40, 60), (60, 60)),
        ((40, 60), (40, 61 * 2)),
        ((256, 256), (300, 400)),
        ((30, 20), (40, 60)),
        ((512, 4), (40, 60)),
    ],
)
def test_another_aspect_is_refused_or_stretched(given: tuple[int, int], size: tuple[int, int]) -> None:
    mask = Mask(values=drawn(*given))
    with pytest.raises(InputError, match=r"aspect|swapped"):
        fit_mask(mask, size)
    fitted, notes = fit_mask(mask, size, fit="stretch")
    assert fitted.values.shape == size
    assert len(notes) == 1


@pytest.mark.parametrize("value", [0, 255])
def test_an_empty_or_full_mask_fits_any_photo(value: int) -> None:
    fitted, notes = fit_mask(Mask(values=np.full((64, 64), value, np.uint8)), (40, 70))
    assert fitted.values.shape == (40, 70)
    assert set(np.unique(fitted.as_bytes())) == {value}
    assert notes == []


def test_soft_masks_stay_soft() -> None:
    fitted, _ = fit_mask(Mask(values=np.array([[0, 100], [200, 255]], np.uint8)), (8, 8))
    assert fitted.values.dtype == np.float32
    assert len(np.unique(fitted.values)) > 4


def test_stretching_is_not_turning() -> None:
    raw = drawn(60, 40)
    fitted, _ = fit_mask(Mask(values=raw), (40, 60), orientation=6, fit="stretch")
    assert not np.array_equal(fitted.as_bytes(), turn_upright(raw, 6))
