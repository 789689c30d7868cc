import numpy as np
import pytest
from numpy.typing import NDArray

from mask2alpha.ops.mask_fit import fit_mask
from mask2alpha.ops.masks import DrawnMask, Mask, understand
from mask2alpha.ops.trimap import find_unsure, has_guess


def trimap(grey: int = 128, width: int = 6) -> NDArray[np.uint8]:
    """A square of white in a band of grey."""
    values = np.zeros((60, 80), np.uint8)
    values[10:50, 20:60] = grey
    values[10 + width : 50 - width, 20 + width : 60 - width] = 255
    return values


def painted() -> NDArray[np.uint8]:
    """A band over a mask that stays known under it."""
    values = trimap()
    values[(values == 128) & (np.arange(60)[:, None] < 13)] = 127
    return values


@pytest.mark.parametrize("grey", [125, 127, 128, 130])
@pytest.mark.parametrize("width", [3, 6])
def test_the_grey_of_a_trimap_is_unsure(grey: int, width: int) -> None:
    values = trimap(grey, width)
    for mask in (values, values.astype(np.float32) / 255):
        unsure = find_unsure(mask)
        assert unsure is not None
        assert np.array_equal(unsure, values == grey)
        assert not has_guess(mask)


@pytest.mark.parametrize(
    "mask",
    [
        trimap() > 0,
        np.where(trimap() == 128, 255, trimap()).astype(np.uint8),
        np.full((9, 9), 128, np.uint8),
        trimap(100),
        trimap(width=1),
        trimap(width=2),
        np.linspace(0, 1, 4800, dtype=np.float32).reshape(60, 80),
    ],
    ids=["bool", "two values", "all grey", "another grey", "a smooth outline", "a wider one", "a soft mask"],
)
def test_another_mask_is_no_trimap(mask: NDArray[np.uint8]) -> None:
    assert find_unsure(mask) is None


def test_grey_on_both_sides_of_half_says_what_is_probable() -> None:
    mask = painted()
    unsure = find_unsure(mask)
    assert unsure is not None
    assert has_guess(mask)
    understood, notes = understand(DrawnMask(values=mask, top=255))
    assert np.array_equal(understood.values, mask)
    assert notes == []


def test_a_smooth_outline_beside_the_grey_is_open_too() -> None:
    distance = np.hypot(*np.mgrid[-30:30, -40:40])
    mask = np.rint(255 * np.clip(20.5 - distance, 0, 1)).astype(np.uint8)
    mask[(np.abs(distance - 20) < 6) & (np.arange(80) > 45)] = 128
    unsure = find_unsure(mask)
    assert unsure is not None
    assert np.array_equal(unsure, (mask > 0) & (mask < 255))
    assert not has_guess(mask)


@pytest.mark.parametrize("size", [(120, 160), (30, 40), (90, 120)])
@pytest.mark.parametrize("values", [trimap(), painted()], ids=["one grey", "painted"])
def test_a_trimap_of_another_size_remains_one(values: NDArray[np.uint8], size: tuple[int, int]) -> None:
    fitted = fit_mask(Mask(values=values), size)[0].as_bytes()
    assert set(np.unique(fitted)) == set(np.unique(values))
    unsure = find_unsure(fitted)
    assert unsure is not None
    rows, columns = ((np.arange(new) * old) // new for new, old in zip(size, values.shape, strict=True))
    nearest = values[rows][:, columns]
    assert np.array_equal(fitted[~unsure], nearest[~unsure])  # what holds is what held
    assert unsure[(nearest > 0) & (nearest < 255)].mean() > 0.95
