"""Metrics over a data set, one matte at a time: `update` with each, `compute` at any moment.

Mattes are not kept, only their scores, so that the result depends neither on the order nor on interruptions.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mask2alpha.errors import InputError
from mask2alpha.evaluation.instances import InstanceCounts, count_instances
from mask2alpha.evaluation.metrics import Convention, MatteScores, Protocol, change_error, evaluate_matte


class MatteAccumulator:
    """The mean errors of single mattes."""

    def __init__(self, *, protocol: Protocol = "whole", convention: Convention = "adobe") -> None:
        """Start without mattes.

        Args:
            protocol: What counts.
            convention: Of Grad and Conn.
        """
        self.protocol: Protocol = protocol
        self.convention: Convention = convention
        self._scores: list[MatteScores] = []

    def __len__(self) -> int:
        """The number of mattes so far."""
        return len(self._scores)

    def update(
        self, alpha: npt.NDArray[Any], true_alpha: npt.NDArray[Any], *, trimap: npt.NDArray[Any] | None = None
    ) -> MatteScores:
        """Score one matte, as `evaluate_matte` does, and count it in.

        Raises:
            InputError: As for `evaluate_matte`.
        """
        scores = evaluate_matte(alpha, true_alpha, protocol=self.protocol, convention=self.convention, trimap=trimap)
        self._scores.append(scores)
        return scores

    def merge(self, other: "MatteAccumulator") -> None:
        """Count in what another process has seen.

        Raises:
            InputError: `other` has another protocol or convention.
        """
        if (other.protocol, other.convention) != (self.protocol, self.convention):
            raise InputError(
                f"other: got {other.protocol} and {other.convention}, expected {self.protocol} and {self.convention}"
            )
        self._scores.extend(other._scores)

    def compute(self) -> MatteScores:
        """The mean errors so far.

        Raises:
            InputError: There were no mattes.
        """
        return MatteScores.mean(self._scores)


class SequenceAccumulator:
    """The mean errors of the frames of sequences, and their dtSSD."""

    def __init__(self, *, convention: Convention = "adobe") -> None:
        """Start without frames.

        Args:
            convention: Of Grad and Conn.
        """
        self._frames = MatteAccumulator(convention=convention)
        self._changes: list[float] = []
        self._last: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None

    def update(self, alpha: npt.NDArray[Any], true_alpha: npt.NDArray[Any]) -> MatteScores:
        """Score the sequence's next frame and count it in.

        Raises:
            InputError: As for `evaluate_matte`, or the size is another than that of the frame before.
        """
        if self._last is not None and self._last[0].shape != alpha.shape:
            raise InputError(
                f"alpha: got shape {alpha.shape}, expected that of the frame before, {self._last[0].shape}"
            )
        scores = self._frames.update(alpha, true_alpha)
        if self._last is not None:
            pairs = (np.stack([before, now]) for before, now in zip(self._last, (alpha, true_alpha), strict=True))
            self._changes.append(change_error(*pairs))
        self._last = alpha.copy(), true_alpha.copy()
        return scores

    def end_sequence(self) -> None:
        """The next frame begins another sequence: there is no change from the last one to it."""
        self._last = None

    def compute(self) -> MatteScores:
        """The mean errors of all frames.

        Raises:
            InputError: There were no frames.
        """
        return self._frames.compute()

    def compute_dtssd(self) -> float:
        """The mean over all steps in time, of all sequences.

        Raises:
            InputError: No sequence had two frames.
        """
        if not self._changes:
            raise InputError("alpha: dtSSD needs a sequence of at least two frames")
        return math.fsum(self._changes) / len(self._changes)


class InstanceAccumulator:
    """The instance matting quality (IMQ) over photographs with several instances."""

    def __init__(self, *, convention: Convention = "adobe") -> None:
        """Start without photographs.

        Args:
            convention: Of Grad and Conn.
        """
        self.convention: Convention = convention
        self._counts: list[tuple[InstanceCounts, ...]] = []

    def update(self, alphas: npt.NDArray[Any], true_alphas: npt.NDArray[Any]) -> tuple[InstanceCounts, ...]:
        """Match and score the instances of one photograph, as `count_instances` does, and count them in.

        A photograph whose predictions are missing is one with `alphas` of shape (0, H, W), not one to be left out.

        Raises:
            InputError: As for `count_instances`.
        """
        counts = count_instances(alphas, true_alphas, convention=self.convention)
        self._counts.append(counts)
        return counts

    def add(self, counts: tuple[InstanceCounts, ...]) -> None:
        """Count in what was scored before."""
        self._counts.append(counts)

    def compute(self) -> tuple[InstanceCounts, ...]:
        """The totals, one entry for each of `THRESHOLDS`.

        Raises:
            InputError: There were no photographs.
        """
        return add_counts(self._counts)


def add_counts(counts: list[tuple[InstanceCounts, ...]]) -> tuple[InstanceCounts, ...]:
    """The totals over photographs, summed so that their order does not matter.

    Raises:
        InputError: `counts` is empty.
    """
    if not counts:
        raise InputError("counts: got an empty list, expected at least one entry")
    totals = []
    for photographs in zip(*counts, strict=True):
        total = photographs[0]
        for photograph in photographs[1:]:
            total += photograph
        exact = tuple(math.fsum(values) for values in zip(*(entry.quality for entry in photographs), strict=True))
        totals.append(replace(total, quality=exact))
    return tuple(totals)
