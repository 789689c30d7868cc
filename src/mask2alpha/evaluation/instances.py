"""Which predicted instance is which true one, and the instance matting quality (IMQ) of HIM2K.

Sun et al., CVPR 2022: predictions are matched to truths by the overlap of what is above zero; a match at or above a
threshold is a true positive, and IMQ = sum over true positives of max(0, 1 - 10 * error), over TP + FP / 2 + FN / 2,
for each of the errors MAD, MSE, Grad and Conn over the union of both mattes (the protocol `him2k` of `metrics`).

Legend: N counts predictions, M truths.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from mask2alpha.errors import InputError
from mask2alpha.evaluation.metrics import Convention, evaluate_matte
from mask2alpha.extras import import_extra

THRESHOLDS = (0.5, 0.75)
"""The least overlaps of a match for which IMQ is reported."""
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
class Quality:
    """Sums of max(0, 1 - 10 * error) over true positives, one for each error that IMQ is made of."""

    mad: float
    mse: float
    grad: float
    conn: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceCounts:
    """The matches of one photo, or of many, for one threshold."""

    threshold: float
    """The least overlap of a true positive."""
    num_true_positives: int
    """Matches at or above the threshold."""
    num_false_positives: int
    """Predictions without such a match."""
    num_false_negatives: int
    """Truths without such a match."""
    quality: Quality
    """Sums over the true positives."""

    @property
    def recognition(self) -> float:
        """TP / (TP + FP / 2 + FN / 2); 0 where there are no instances."""
        divisor = self.num_true_positives + 0.5 * (self.num_false_positives + self.num_false_negatives)
        return self.num_true_positives / divisor if divisor else 0.0

    @property
    def matting(self) -> dict[str, float]:
        """The mean quality of the true positives by error; 0 where there are none."""
        return {name: total / max(self.num_true_positives, 1) for name, total in asdict(self.quality).items()}

    @property
    def imq(self) -> dict[str, float]:
        """Matting quality times recognition quality by error: higher is better, 1 is perfect."""
        return {name: quality * self.recognition for name, quality in self.matting.items()}


ERRORS = tuple(field.name for field in fields(Quality))
"""The errors that IMQ is made of."""


def count_instances(
    alphas: npt.NDArray[Any], true_alphas: npt.NDArray[Any], *, convention: Convention = "adobe"
) -> tuple[InstanceCounts, ...]:
    """Match the instances of one photo and add up their qualities.

    Args:
        alphas: (N, H, W) predictions in [0, 1]; N may be 0.
        true_alphas: (M, H, W) truths; M may be 0.
        convention: How Grad and Conn are computed.

    Returns:
        One entry for each of `THRESHOLDS`.

    Raises:
        InputError: The arrays have other shapes or values.
    """
    matches = [match for match in match_instances(alphas, true_alphas) if match.overlap >= min(THRESHOLDS)]
    scores = {
        match: evaluate_matte(alphas[match.predicted], true_alphas[match.true], protocol="him2k", convention=convention)
        for match in matches
    }
    counts = []
    for threshold in THRESHOLDS:
        hits = [scores[match] for match in matches if match.overlap >= threshold]
        sums = {name: float(sum(max(0.0, 1 - ERROR_WEIGHT * getattr(hit, name)) for hit in hits)) for name in ERRORS}
        counts.append(
            InstanceCounts(
                threshold=threshold,
                num_true_positives=len(hits),
                num_false_positives=len(alphas) - len(hits),
                num_false_negatives=len(true_alphas) - len(hits),
                quality=Quality(**sums),
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
    optimize = import_extra("scipy.optimize", extra="eval", purpose="matching instances")
    pairs = zip(*optimize.linear_sum_assignment(overlaps, maximize=True), strict=True)
    return tuple(Match(predicted=int(i), true=int(j), overlap=float(overlaps[i, j])) for i, j in pairs)


def add_counts(counts: Sequence[InstanceCounts]) -> tuple[InstanceCounts, ...]:
    """The totals over photos, one for each threshold, summed so that the order of the photos does not matter.

    Raises:
        InputError: `counts` is empty.
    """
    if not counts:
        raise InputError("counts: got an empty list, expected at least one entry")
    totals = []
    for threshold in dict.fromkeys(entry.threshold for entry in counts):
        photos = [entry for entry in counts if entry.threshold == threshold]
        totals.append(
            InstanceCounts(
                threshold=threshold,
                num_true_positives=sum(entry.num_true_positives for entry in photos),
                num_false_positives=sum(entry.num_false_positives for entry in photos),
                num_false_negatives=sum(entry.num_false_negatives for entry in photos),
                quality=Quality(**{name: math.fsum(getattr(one.quality, name) for one in photos) for name in ERRORS}),
            )
        )
    return tuple(totals)


def _overlaps(alphas: npt.NDArray[Any], true_alphas: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
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
