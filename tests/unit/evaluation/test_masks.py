import time
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from mask2alpha.errors import InputError
from mask2alpha.evaluation.masks import RECIPES, dilate, make_mask, paint_band

GOLDEN = {
    "exact-v1 o_0b7228ec": "4e133eadc57d8bd0",
    "exact-v1 natural/zwölf/00": "4e133eadc57d8bd0",
    "eroded-v1 o_0b7228ec": "8e3d2fd590bc6dde",
    "eroded-v1 natural/zwölf/00": "7b131464db130122",
    "dilated-v1 o_0b7228ec": "865652a8a0b26088",
    "dilated-v1 natural/zwölf/00": "74002ec6750d0600",
    "lowres-v1 o_0b7228ec": "e57a2f81508f10e1",
    "lowres-v1 natural/zwölf/00": "e57a2f81508f10e1",
    "perturbed-v1 o_0b7228ec": "3e3763c44ac44f1e",
    "perturbed-v1 natural/zwölf/00": "442eedaecb1ac7d0",
}


def ring(scale: int = 1) -> NDArray[np.float64]:
    """A soft ring with a tail, made without rounding."""
    y, x = np.mgrid[: 90 * scale, : 120 * scale]
    squared = ((y - 45 * scale) ** 2 + (x - 50 * scale) ** 2) // scale**2
    values = np.clip(900 - squared, 0, 255) * (squared > 150)
    values[40 * scale : 44 * scale, 70 * scale : 112 * scale] = 200
    return values / 255


def digest(mask: NDArray[np.bool_]) -> str:
    return sha256(f"{mask.shape}".encode() + np.packbits(mask).tobytes()).hexdigest()[:16]


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return np.count_nonzero(first & second) / np.count_nonzero(first | second)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", ["o_0b7228ec", "natural/zwölf/00"])
def test_masks_stay_what_they_are(recipe: str, name: str) -> None:
    # a recipe is never changed, a better one gets another name: published results depend on it
    assert digest(make_mask(recipe, name, ring(4))) == GOLDEN[f"{recipe} {name}"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_masks_are_rough_but_of_the_object(recipe: str) -> None:
    exact = ring() > 0.5
    for index in range(12):
        mask = make_mask(recipe, f"picture {index}", ring())
        assert 0.4 < overlap(mask, exact) <= 1
        assert recipe == "exact-v1" or (mask != exact).any()


def test_names_decide_on_what_is_left_to_chance() -> None:
    masks = [digest(make_mask("perturbed-v1", f"picture {index}", ring())) for index in range(10)]
    assert len(set(masks)) == 10
    assert make_mask("exact-v1", "a", ring()).tolist() == (ring() > 0.5).tolist()


def test_eroded_lies_inside_and_dilated_outside() -> None:
    exact = ring() > 0.5
    eroded, dilated = (make_mask(recipe, "a", ring()) for recipe in ("eroded-v1", "dilated-v1"))
    assert not (eroded & ~exact).any()
    assert not (exact & ~dilated).any()
    assert eroded.sum() < exact.sum() < dilated.sum()


def test_an_object_at_the_picture_s_border_is_not_eroded_there() -> None:
    alpha = np.ones((60, 60))
    alpha[:, 40:] = 0
    mask = make_mask("eroded-v1", "a", alpha)
    assert mask[:, 0].all()
    assert mask[0, :30].all()
    assert not mask[:, 39].any()


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 3)])
def test_small_and_flat_pictures_have_masks(recipe: str, size: tuple[int, int]) -> None:
    assert not make_mask(recipe, "a", np.zeros(size)).any()
    full = make_mask(recipe, "a", np.ones(size))
    assert full.shape == size
    assert full.any()
    dot = np.zeros((30, 30))
    dot[20, 4] = 1
    assert make_mask(recipe, "a", dot).any()


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_seen_through_has_a_mask(recipe: str) -> None:
    smoke = ring() * 0.3
    assert make_mask(recipe, "a", smoke).any()


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    density=st.floats(0, 0.4),
    radius=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_dilation_equals_scipys(height: int, width: int, density: float, radius: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < density
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    expected = ndimage.binary_dilation(mask, structure=y**2 + x**2 <= radius**2)
    np.testing.assert_array_equal(dilate(mask, radius), expected)


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(InputError, match="masks: got 'eroded', expected one of exact-v1, eroded-v1"):
        make_mask("eroded", "a", ring())


def test_a_large_picture_takes_little_time() -> None:
    y, x = np.mgrid[:1080, :1920]
    alpha = np.clip((400.0 - np.hypot(y - 540, x - 900)) / 20, 0, 1)
    start = time.process_time()
    for recipe in RECIPES:
        make_mask(recipe, "a", alpha)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("width", [1, 4])
def test_a_band_knows_the_mask_under_it(width: int) -> None:
    mask = make_mask("exact-v1", "a", ring())
    trimap = paint_band(mask, width=width)
    np.testing.assert_array_equal(trimap > 127, mask)
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    np.testing.assert_array_equal((trimap == 127) | (trimap == 128), inside + outside <= width)
