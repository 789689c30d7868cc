"""Confidence intervals by resampling photographs.

The pairs of one photograph are no independent evidence: a photograph that is hard is hard under all its masks. So
photographs are drawn with replacement, and all pairs of a drawn photograph go along. The intervals are percentiles of
the resampled means; with few photographs they come out somewhat too narrow.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mask2alpha.errors import InputError

COVERAGE = 0.95
"""How often an interval should hold the true mean."""

_FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean and where it may lie."""

    mean: float
    """Over all pairs."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end."""

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


class Bootstrap:
    """A fixed set of resamples: values that belong to the same pairs see the same draws, so differences are paired."""

    def __init__(self, photographs: list[str], *, num_resamples: int = 10_000, seed: int = 0) -> None:
        """Draw the resamples.

        Args:
            photographs: For each pair the name of its photograph.
            num_resamples: How many times all photographs are drawn.
            seed: Seed of the draws.

        Raises:
            InputError: There are no pairs, or fewer than 1 resamples.
        """
        if not photographs:
            raise InputError("photographs: got none, expected at least one")
        if num_resamples < 1:
            raise InputError(f"num_resamples: got {num_resamples}, expected at least 1")
        names, groups = np.unique(photographs, return_inverse=True)
        self.num_photographs = len(names)
        self._groups = groups
        rng = np.random.default_rng(seed)
        shares = np.full(len(names), 1 / len(names))
        self._draws: _FloatArray = rng.multinomial(len(names), shares, size=num_resamples).astype(np.float64)

    def interval(self, values: _FloatArray) -> Interval:
        """The mean of one value a pair, with its interval."""
        assert values.shape == self._groups.shape, values.shape
        sums = np.bincount(self._groups, weights=values, minlength=self.num_photographs)
        counts = np.bincount(self._groups, minlength=self.num_photographs).astype(np.float64)
        means = (self._draws @ sums) / (self._draws @ counts)
        low, high = np.quantile(means, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
        return Interval(mean=float(values.mean()), low=float(low), high=float(high))
