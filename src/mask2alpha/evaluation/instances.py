"""Which predicted instance is which true one, and the instance matting quality (IMQ) of HIM2K.

Sun et al., CVPR 2022: predictions are matched to truths by the overlap of what is above zero; a match at or above a
threshold is a true positive, and IMQ = sum over true positives of max(0, 1 - 10 * error), over TP + FP / 2 + FN / 2,
for each of the errors MAD, MSE, Grad and Conn over the union of both mattes (the protocol `him2k` of `metrics`).

Legend: N counts predictions, M truths.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mask2alpha.errors import InputError
from mask2alpha.evaluation.metrics import Convention, evaluate_matte

_FloatArray: TypeAlias = npt.NDArray[np.float64]

THRESHOLDS = (0.5, 0.75)
"""The least overlaps of a match for which IMQ is reported."""
ERRORS = ("mad", "mse", "grad", "conn")
"""The errors that IMQ is made of."""
ERROR_WEIGHT = 10
"""An error of a tenth has no quality left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A prediction and the truth it was given."""

    predicted: int
    """Index of the prediction."""
    true: int
    """Index of the truth."""
    overlap: float
    """Intersection over union of what is above zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceCounts:
    """What the instances of one photograph, or of many, add up to, for one threshold."""

    threshold: float
    """The least overlap of a true positive."""
    num_true_positives: int
    """Matches at or above the threshold."""
    num_false_positives: int
    """Predictions without such a match."""
    num_false_negatives: int
    """Truths without such a match."""
    quality: tuple[float, ...]
    """The sum of max(0, 1 - 10 * error) over the true positives, for each of `ERRORS`."""

    def __add__(self, other: "InstanceCounts") -> "InstanceCounts":
        """The counts of both."""
        assert self.threshold == other.threshold
        return InstanceCounts(
            threshold=self.threshold,
            num_true_positives=self.num_true_positives + other.num_true_positives,
            num_false_positives=self.num_false_positives + other.num_false_positives,
            num_false_negatives=self.num_false_negatives + other.num_false_negatives,
            quality=tuple(mine + theirs for mine, theirs in zip(self.quality, other.quality, strict=True)),
        )

    @property
    def recognition(self) -> float:
        """TP / (TP + FP / 2 + FN / 2); 0 where there is nothing at all."""
        divisor = self.num_true_positives + 0.5 * (self.num_false_positives + self.num_false_negatives)
        return self.num_true_positives / divisor if divisor else 0.0

    @property
    def matting(self) -> dict[str, float]:
        """The mean quality of the true positives by error; 0 where there are none."""
        count = max(self.num_true_positives, 1)
        return {name: total / count for name, total in zip(ERRORS, self.quality, strict=True)}

    @property
    def imq(self) -> dict[str, float]:
        """Matting quality times recognition quality by error: higher is better, 1 is perfect."""
        return {name: quality * self.recognition for name, quality in self.matting.items()}


def count_instances(
    alphas: npt.NDArray[Any], true_alphas: npt.NDArray[Any], *, convention: Convention = "adobe"
) -> tuple[InstanceCounts, ...]:
    """Match the instances of one photograph and add up their qualities.

    Args:
        alphas: (N, H, W) predictions in [0, 1]; N may be 0.
        true_alphas: (M, H, W) truths; M may be 0.
        convention: Of Grad and Conn.

    Returns:
        One entry for each of `THRESHOLDS`.

    Raises:
        InputError: The arrays are not as said.
    """
    matches = match_instances(alphas, true_alphas)
    qualities = {
        match: _quality(alphas[match.predicted], true_alphas[match.true], convention)
        for match in matches
        if match.overlap >= min(THRESHOLDS)
    }
    counts = []
    for threshold in THRESHOLDS:
        hits = [qualities[match] for match in matches if match.overlap >= threshold]
        counts.append(
            InstanceCounts(
                threshold=threshold,
                num_true_positives=len(hits),
                num_false_positives=len(alphas) - len(hits),
                num_false_negatives=len(true_alphas) - len(hits),
                quality=tuple(float(sum(hit[index] for hit in hits)) for index in range(len(ERRORS))),
            )
        )
    return tuple(counts)


def match_instances(alphas: npt.NDArray[Any], true_alphas: npt.NDArray[Any]) -> tuple[Match, ...]:
    """The one-to-one matching of predictions (N, H, W) to truths (M, H, W) with the largest sum of overlaps.

    Every prediction or every truth is matched, whichever are fewer, some of them perhaps with an overlap of 0.

    Raises:
        InputError: The arrays are not (N, H, W) and (M, H, W).
    """
    overlaps = _overlaps(alphas, true_alphas)
    return tuple(
        Match(predicted=predicted, true=true, overlap=float(overlaps[predicted, true]))
        for predicted, true in assign(1 - overlaps)
    )


def assign(costs: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """The assignment of rows to columns with the least sum of `costs` (N, M): the Hungarian method, exact.

    Returns:
        min(N, M) pairs (row, column), by row.
    """
    matrix = np.asarray(costs, dtype=np.float64)
    assert matrix.ndim == 2, matrix.shape
    if matrix.shape[0] > matrix.shape[1]:
        return sorted((row, column) for column, row in assign(matrix.T))
    num_rows, num_columns = matrix.shape
    # shortest augmenting paths; index 0 is a dummy column from which each path starts
    row_price, column_price = np.zeros(num_rows + 1), np.zeros(num_columns + 1)
    row_of = np.zeros(num_columns + 1, dtype=np.int64)  # 0: the column is free, else the row + 1
    for row in range(1, num_rows + 1):
        row_of[0] = row
        column = 0
        least = np.full(num_columns + 1, np.inf)
        came_from = np.zeros(num_columns + 1, dtype=np.int64)
        is_done = np.zeros(num_columns + 1, dtype=np.bool_)
        while row_of[column]:
            is_done[column] = True
            current = row_of[column]
            reduced = matrix[current - 1] - row_price[current] - column_price[1:]
            is_closer = ~is_done[1:] & (reduced < least[1:])
            least[1:][is_closer] = reduced[is_closer]
            came_from[1:][is_closer] = column
            nearest = int(np.argmin(np.where(is_done, np.inf, least)[1:])) + 1
            step = least[nearest]
            row_price[row_of[is_done]] += step
            column_price[is_done] -= step
            least[~is_done] -= step
            column = nearest
        while column:
            previous = int(came_from[column])
            row_of[column] = row_of[previous]
            column = previous
    return sorted((int(row_of[column]) - 1, column - 1) for column in range(1, num_columns + 1) if row_of[column])


def _overlaps(alphas: npt.NDArray[Any], true_alphas: npt.NDArray[Any]) -> _FloatArray:
    """Intersection over union of what is above zero, (N, M); 0 where both are empty."""
    for name, array in (("alphas", alphas), ("true_alphas", true_alphas)):
        if np.ndim(array) != 3:
            raise InputError(f"{name}: got shape {np.shape(array)}, expected (instances, height, width)")
    if len(alphas) and len(true_alphas) and alphas.shape[1:] != true_alphas.shape[1:]:
        raise InputError(f"alphas: got shape {alphas.shape}, expected the size of true_alphas, {true_alphas.shape}")
    overlaps = np.zeros((len(alphas), len(true_alphas)))
    true_masks = [true > 0 for true in true_alphas]
    for row, alpha in enumerate(alphas):
        mask = alpha > 0
        for column, true_mask in enumerate(true_masks):
            union = np.count_nonzero(mask | true_mask)
            overlaps[row, column] = np.count_nonzero(mask & true_mask) / union if union else 0.0
    return overlaps


def _quality(alpha: npt.NDArray[Any], true_alpha: npt.NDArray[Any], convention: Convention) -> tuple[float, ...]:
    scores = evaluate_matte(alpha, true_alpha, protocol="him2k", convention=convention)
    return tuple(max(0.0, 1 - ERROR_WEIGHT * getattr(scores, name)) for name in ERRORS)
