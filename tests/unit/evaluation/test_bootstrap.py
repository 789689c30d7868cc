import numpy as np
import pytest

from mask2alpha.errors import InputError
from mask2alpha.evaluation.bootstrap import Bootstrap


def test_equal_values_have_no_width() -> None:
    interval = Bootstrap(["a", "a", "b", "c"]).interval(np.full(4, 2.5))
    assert (interval.low, interval.mean, interval.high) == (2.5, 2.5, 2.5)
    assert interval.excludes_zero


def test_the_interval_is_that_of_the_definition() -> None:
    names = ["a", "b", "b", "c", "d"]
    values = np.array([1.0, 4.0, 2.0, 7.0, -3.0])
    interval = Bootstrap(names, num_resamples=4000, seed=1).interval(values)
    rng = np.random.default_rng(2)
    groups = {name: [value for other, value in zip(names, values, strict=True) if other == name] for name in "abcd"}
    means = [np.mean(np.concatenate([groups[name] for name in rng.choice(list("abcd"), 4)])) for _ in range(4000)]
    assert interval.mean == pytest.approx(values.mean())
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.25)


def test_more_masks_of_the_same_photographs_are_no_more_evidence() -> None:
    values = np.random.default_rng(0).normal(size=20)
    names = [str(index) for index in range(20)]
    once = Bootstrap(names).interval(values)
    seven_times = Bootstrap(names * 7).interval(np.tile(values, 7))
    assert (seven_times.low, seven_times.high) == pytest.approx((once.low, once.high))


def test_it_holds_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    names = [str(index) for index in range(40)]
    bootstrap = Bootstrap(names, num_resamples=500)
    intervals = [bootstrap.interval(rng.normal(3, 2, size=40)) for _ in range(400)]
    assert 0.90 < np.mean([interval.low <= 3 <= interval.high for interval in intervals]) < 0.98


def test_the_same_seed_gives_the_same_interval() -> None:
    names, values = ["a", "b", "c"], np.array([1.0, 2.0, 4.0])
    same = [Bootstrap(names, seed=3).interval(values) for _ in range(2)]
    assert same[0] == same[1]


def test_differences_are_paired() -> None:
    bootstrap = Bootstrap([str(index) for index in range(10)])
    values = np.arange(10.0) ** 2
    assert bootstrap.interval(values).low < values.mean() - 5
    difference = bootstrap.interval((values + 0.5) - values)
    assert (difference.low, difference.high) == pytest.approx((0.5, 0.5))


def test_unusable_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="photographs: got none"):
        Bootstrap([])
    with pytest.raises(InputError, match="num_resamples: got 0"):
        Bootstrap(["a"], num_resamples=0)
