from collections.abc import Callable

import numpy as np
import pytest
import slow_metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from mask2alpha.evaluation import metrics

Array = NDArray[np.float64]
TOLERANCE = {"rel": 1e-6, "abs": 1e-12}

PAIRS: dict[str, tuple[Callable[..., float], Callable[..., float]]] = {
    "sad": (metrics.sad, slow_metrics.sad),
    "mse": (metrics.mse, slow_metrics.mse),
    "mad": (metrics.mad, slow_metrics.mad),
    "gradient, adobe": (metrics.gradient_error, slow_metrics.gradient_error_adobe),
    "gradient, aim": (
        lambda *a, **k: metrics.gradient_error(*a, **k, convention="aim"),
        slow_metrics.gradient_error_aim,
    ),
    "connectivity, adobe": (
        metrics.connectivity_error,
        lambda *a: slow_metrics.connectivity_error(*a, by_columns=True, skips_empty_levels=False),
    ),
    "connectivity, aim": (
        lambda *a, **k: metrics.connectivity_error(*a, **k, convention="aim"),
        lambda *a: slow_metrics.connectivity_error(*a, by_columns=False, skips_empty_levels=True),
    ),
}


@st.composite
def mattes(draw: st.DrawFn) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Two mattes and a region: noise, few levels (many ties), smooth, or constant."""
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def matte() -> Array:
        manner = draw(st.sampled_from(["noise", "levels", "8 bits", "binary", "smooth", "zeros", "ones"]))
        noise = rng.random((height, width))
        return {
            "noise": noise,
            "levels": np.rint(noise * 10) / 10,
            "8 bits": np.rint(noise * 255) / 255,
            "binary": (noise > 0.5).astype(np.float64),
            "smooth": np.clip(4 * ndimage.gaussian_filter(noise, 2) - 1.5, 0, 1),
            "zeros": np.zeros((height, width)),
            "ones": np.ones((height, width)),
        }[manner]

    return matte(), matte(), rng.random((height, width)) > draw(st.sampled_from([-1.0, 0.3, 1.0]))


@pytest.mark.parametrize("name", PAIRS)
@settings(max_examples=60, deadline=None)
@given(case=mattes())
def test_metric_equals_the_slow_reference(name: str, case: tuple[Array, Array, NDArray[np.bool_]]) -> None:
    fast, slow = PAIRS[name]
    alpha, true_alpha, region = case
    assert fast(alpha, true_alpha, region=region) == pytest.approx(slow(alpha, true_alpha, region), **TOLERANCE)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (9, 9), (33, 70), (70, 33)])
def test_metric_without_a_region_counts_the_whole_image(name: str, size: tuple[int, int]) -> None:
    fast, slow = PAIRS[name]
    rng = np.random.default_rng(sum(size))
    alpha, true_alpha = rng.random(size), rng.random(size)
    expected = slow(alpha, true_alpha, np.ones(size, dtype=bool))
    assert fast(alpha, true_alpha) == pytest.approx(expected, **TOLERANCE)


def test_gradient_error_does_not_depend_on_the_tiling() -> None:
    rng = np.random.default_rng(0)
    alpha, true_alpha = rng.random((70, 1100)), rng.random((70, 1100))
    true_alpha[:, :530] = alpha[:, :530]  # tiles that are equal are passed over
    expected = slow_metrics.gradient_error_aim(alpha, true_alpha, np.ones(alpha.shape, dtype=bool))
    assert metrics.gradient_error(alpha, true_alpha, convention="aim") == pytest.approx(expected, **TOLERANCE)


@settings(max_examples=200, deadline=None)
@given(
    height=st.integers(1, 30),
    width=st.integers(1, 30),
    density=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    by_columns=st.booleans(),
)
def test_largest_component_equals_flood_fill(
    height: int, width: int, density: float, seed: int, by_columns: bool
) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < density
    expected = slow_metrics.largest_component(mask, by_columns=by_columns)
    np.testing.assert_array_equal(metrics.largest_component(mask, by_columns=by_columns), expected)


@pytest.mark.parametrize("density", [0.3, 0.55, 0.6, 0.65, 0.9])
def test_largest_component_equals_scipys_on_a_large_noisy_mask(density: float) -> None:
    mask = np.random.default_rng(1).random((400, 500)) < density  # near 0.6 the components wind the most
    labels, _ = ndimage.label(mask)
    expected = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
    np.testing.assert_array_equal(metrics.largest_component(mask), expected)


def test_largest_component_follows_a_spiral() -> None:
    side = 61
    mask = np.zeros((side, side), dtype=bool)
    y = x = 0
    step = (0, 1)
    mask[y, x] = True
    for length in (side - 1, *(arm for long in range(side - 1, 0, -2) for arm in (long, long))):
        for _ in range(length):
            y, x = y + step[0], x + step[1]
            mask[y, x] = True
        step = (step[1], -step[0])
    assert ndimage.label(mask)[1] == 1
    assert 0.45 < mask.mean() < 0.55
    np.testing.assert_array_equal(metrics.largest_component(mask), mask)
