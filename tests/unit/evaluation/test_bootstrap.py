import numpy as np
import pytest
from numpy.typing import NDArray

from mask2alpha.evaluation.summary import estimate_means

NAMES = ["a", "b", "b", "c", "d"]
VALUES = np.array([1.0, 4.0, 2.0, 7.0, -3.0])


def estimate(values: NDArray[np.float64], photos: list[str], seed: int = 0) -> tuple[float, float, float]:
    """(low, mean, high) of the first metric."""
    found = estimate_means(np.tile(values, (5, 1)), photos, num_resamples=2000, seed=seed)
    assert list(found) == ["sad", "mse", "grad", "conn", "mad"]
    assert len({tuple(interval.values()) for interval in found.values()}) == 1  # equal values, equal resamples
    return found["sad"]["low"], found["sad"]["mean"], found["sad"]["high"]


def test_equal_values_have_no_width() -> None:
    assert estimate(np.full(4, 2.5), ["a", "a", "b", "c"]) == (2.5, 2.5, 2.5)


def test_one_photo_has_no_width() -> None:
    assert estimate(VALUES, ["a"] * 5) == (VALUES.mean(),) * 3


def test_the_interval_is_that_of_the_definition() -> None:
    low, mean, high = estimate(VALUES, NAMES, seed=1)
    rng = np.random.default_rng(2)
    groups = {name: [value for other, value in zip(NAMES, VALUES, strict=True) if other == name] for name in "abcd"}
    means = [np.mean(np.concatenate([groups[name] for name in rng.choice(list("abcd"), 4)])) for _ in range(4000)]
    assert mean == VALUES.mean()
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.3)


def test_more_masks_of_the_same_photos_are_not_more_evidence() -> None:
    values, names = np.random.default_rng(0).normal(size=20), [str(index) for index in range(20)]
    assert estimate(np.tile(values, 7), names * 7) == pytest.approx(estimate(values, names))


def test_it_holds_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    names = [str(index) for index in range(40)]
    intervals = [
        estimate_means(rng.normal(3, 2, size=(5, 40)), names, num_resamples=500, seed=seed) for seed in range(80)
    ]
    hits = [found["low"] <= 3 <= found["high"] for interval in intervals for found in interval.values()]
    assert 0.90 < np.mean(hits) < 0.98


def test_the_same_seed_gives_the_same_interval() -> None:
    values, names = np.random.default_rng(0).normal(size=20), [str(index) for index in range(20)]
    assert estimate(values, names, seed=3) == estimate(values, names, seed=3)
    assert estimate(values, names, seed=3) != estimate(values, names, seed=4)
