"""The four matting errors (paper 4.2), the mean absolute difference and dtSSD for sequences, in float64 numpy.

The default protocol: the whole image, at its original resolution, in the convention of the Adobe/DIM MATLAB code.
Published numbers differ in convention and region, so `gradient_error` and `connectivity_error` have a `convention`
argument, all have a `region`, and `evaluate_matte` has a `protocol`. Alphas are never quantised, stretched or clamped
here. Lower is better everywhere.

Legend: `alpha` is the prediction and `true_alpha` the truth, both (H, W) in [0, 1], floating or bool; `region` is
(H, W) bool, True where the error counts (None: everywhere). Filters and components always see the whole image.
"""

import math
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from mask2alpha.errors import InputError
from mask2alpha.extras import import_extra

Convention: TypeAlias = Literal["adobe", "aim"]
"""`adobe`: the MATLAB code of Deep Image Matting (Xu et al. 2017); `aim`: the Python code of AIM, GFM and P3M."""

Protocol: TypeAlias = Literal["whole", "trimap-unknown", "him2k"]
"""Which pixels count. `whole`: all. `trimap-unknown`: those that a given trimap leaves open. `him2k`: those where
either alpha is above zero, and every error but SAD is divided by their number plus one (InstMatt's IMQ code)."""

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

SHOWN = (("SAD", "sad", 2), ("MSE", "mse", 4), ("Grad", "grad", 2), ("Conn", "conn", 2))
"""The metrics that reports show: title, field of `MatteScores`, digits after the point."""

_FloatArray: TypeAlias = npt.NDArray[np.float64]
_BoolArray: TypeAlias = npt.NDArray[np.bool_]

GRADIENT_SIGMA = 1.4
CONNECTIVITY_THETA = 0.15
CONNECTIVITY_STEPS: _FloatArray = np.arange(11, dtype=np.float64) * 0.1
"""The levels of `connectivity_error`: multiples of the float 0.1, as in public code, so 153 / 255 misses the sixth."""
_GRADIENT_UNIT: dict[Convention, int] = {"adobe": 1000, "aim": 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class MatteScores:
    """The errors of one matte, or their means; lower is better."""

    sad: float
    """Sum of absolute differences, in thousands."""
    mse: float
    """Mean squared difference."""
    grad: float
    """Gradient error, in thousands (`adobe`) or tens (`aim`); a mean under `him2k`."""
    conn: float
    """Connectivity error, in thousands; a mean under `him2k`."""
    mad: float
    """Mean absolute difference."""

    @property
    def sad_per_megapixel(self) -> float:
        """SAD, in thousands, for each million pixels: 1000 times `mad`. It compares photos of different sizes."""
        return 1000 * self.mad

    @classmethod
    def mean(cls, scores: "list[MatteScores]") -> "MatteScores":
        """The mean of each error over `scores`.

        Raises:
            InputError: `scores` is empty.
        """
        if not scores:
            raise InputError("scores: got an empty list, expected at least one entry")
        return cls(
            **{
                field.name: math.fsum(getattr(score, field.name) for score in scores) / len(scores)
                for field in fields(cls)
            }
        )


def evaluate_matte(
    alpha: npt.NDArray[Any],
    true_alpha: npt.NDArray[Any],
    *,
    region: npt.NDArray[Any] | None = None,
    protocol: Protocol = "whole",
    convention: Convention = "adobe",
    trimap: npt.NDArray[Any] | None = None,
) -> MatteScores:
    """All errors of one matte.

    Args:
        alpha: The prediction.
        true_alpha: The truth.
        region: Where the error counts; only for the protocol `whole`, the others have their own.
        protocol: Which pixels count; see `Protocol`.
        convention: How Grad and Conn are computed; see `Convention`.
        trimap: (H, W) uint8, where values other than 0 and 255 are unknown; only the protocol `trimap-unknown` uses it.

    Raises:
        InputError: An array is not (H, W), the sizes differ, values are not floating (or bool) and in [0, 1], or
            `region` or `trimap` does not fit the protocol.
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol: got {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    if protocol != "whole" and region is not None:
        raise InputError(f"region: the protocol {protocol} has its own, expected None")
    if protocol == "trimap-unknown":
        if trimap is None:
            raise InputError("trimap: got None, the protocol trimap-unknown needs one")
        region = unknown_region(trimap)
    elif protocol == "him2k":
        predicted, true, _ = _check(alpha, true_alpha, None)
        region = (predicted > 0) | (true > 0)
    scores = MatteScores(
        sad=sad(alpha, true_alpha, region=region),
        mse=mse(alpha, true_alpha, region=region),
        grad=gradient_error(alpha, true_alpha, region=region, convention=convention),
        conn=connectivity_error(alpha, true_alpha, region=region, convention=convention),
        mad=mad(alpha, true_alpha, region=region),
    )
    if protocol != "him2k":
        return scores
    assert region is not None
    num_pixels = int(np.count_nonzero(region))
    divisor = num_pixels + 1
    return MatteScores(
        sad=scores.sad,
        mse=scores.mse * num_pixels / divisor,
        grad=scores.grad * _GRADIENT_UNIT[convention] / divisor,
        conn=scores.conn * 1000 / divisor,
        mad=scores.mad * num_pixels / divisor,
    )


def unknown_region(trimap: npt.NDArray[Any]) -> _BoolArray:
    """Where a trimap is neither 0 nor 255: some public trimaps write 127 for unknown, others 128.

    Raises:
        InputError: `trimap` is not (H, W) uint8, or its values are 0 and 1.
    """
    array = np.asarray(trimap)
    if array.ndim != 2 or array.dtype != np.uint8:
        raise InputError(f"trimap: got {array.dtype} of shape {array.shape}, expected (height, width) uint8")
    unknown: _BoolArray = (array > 0) & (array < 255)
    if array.size and array.max() == 1:
        raise InputError("trimap: got values 0 and 1, expected 0, 255 and something between for unknown")
    return unknown


def sad(alpha: npt.NDArray[Any], true_alpha: npt.NDArray[Any], *, region: npt.NDArray[Any] | None = None) -> float:
    """Sum of absolute differences, divided by 1000."""
    return float(np.abs(_differences(alpha, true_alpha, region)).sum()) / 1000


def mad(alpha: npt.NDArray[Any], true_alpha: npt.NDArray[Any], *, region: npt.NDArray[Any] | None = None) -> float:
    """Mean absolute difference; 0 over an empty region."""
    return _mean(np.abs(_differences(alpha, true_alpha, region)))


def mse(alpha: npt.NDArray[Any], true_alpha: npt.NDArray[Any], *, region: npt.NDArray[Any] | None = None) -> float:
    """Mean squared difference; 0 over an empty region."""
    return _mean(np.square(_differences(alpha, true_alpha, region)))


def gradient_error(
    alpha: npt.NDArray[Any],
    true_alpha: npt.NDArray[Any],
    *,
    region: npt.NDArray[Any] | None = None,
    convention: Convention = "adobe",
) -> float:
    """Sum of the squared differences of gradient magnitudes, by Gaussian derivatives of sigma 1.4.

    `adobe`: 9 x 9 kernel (values above 0.01 of the Gaussian), scaled to L2 norm 1, edges replicated, sum / 1000.
    `aim`: 13 x 13 kernel of `scipy.ndimage.gaussian_filter(order=1)`, not scaled, edges mirrored, sum / 10; on
    photos it comes out 3 to 5 per cent larger.

    Source: Rhemann et al., CVPR 2009.
    """
    predicted, true, counted = _check(alpha, true_alpha, region)
    difference = _gradient_magnitude(predicted, convention) - _gradient_magnitude(true, convention)
    return float(_select(np.square(difference), counted).sum()) / _GRADIENT_UNIT[convention]


def connectivity_error(
    alpha: npt.NDArray[Any],
    true_alpha: npt.NDArray[Any],
    *,
    region: npt.NDArray[Any] | None = None,
    convention: Convention = "adobe",
) -> float:
    """Sum of the differences in connectedness to the largest common component, divided by 1000.

    At each of the levels 0.1, 0.2 ... 1 the largest 4-connected component of the pixels where both alphas reach the
    level is the source. A pixel's `l` is the last level up to which it lay in every source; its connectedness is
    1 - (alpha - l) where alpha - l is at least 0.15, else 1.

    The conventions differ where no pixel reaches a level: in `adobe` no pixel lies in that source; `aim` skips the
    level, so pixels that lay in all sources before it count as fully connected. Of components of equal size the first
    is the source: by columns in `adobe` (MATLAB's order), by rows in `aim`.

    Source: Rhemann et al., CVPR 2009.
    """
    predicted, true, counted = _check(alpha, true_alpha, region)
    connected = _connected_level(np.minimum(predicted, true), convention)
    difference = _connectedness(predicted, connected)
    difference -= _connectedness(true, connected)
    np.abs(difference, out=difference)
    return float(_select(difference, counted).sum()) / 1000


def dtssd(alphas: npt.NDArray[Any], true_alphas: npt.NDArray[Any], *, region: npt.NDArray[Any] | None = None) -> float:
    """The flicker of a sequence (T, H, W) of mattes beside the true one's, times 100; constant errors do not count.

    It is the mean over the T - 1 steps in time of the root of the mean squared difference between the changes, as in
    the code of Robust Video Matting.

    Source: Erofeev et al., BMVC 2015.

    Raises:
        InputError: There are fewer than two frames, or an array cannot be used, as for `sad`.
    """
    if np.ndim(alphas) != 3 or np.shape(alphas) != np.shape(true_alphas) or len(alphas) < 2:
        raise InputError(
            f"alphas: got shapes {np.shape(alphas)} and {np.shape(true_alphas)}, expected (frames, height, width) "
            "twice with two frames or more"
        )
    steps = [
        change_error(alphas[step - 1 : step + 1], true_alphas[step - 1 : step + 1], region=region)
        for step in range(1, len(alphas))
    ]
    return math.fsum(steps) / len(steps)


def change_error(
    alphas: npt.NDArray[Any], true_alphas: npt.NDArray[Any], *, region: npt.NDArray[Any] | None = None
) -> float:
    """One step of `dtssd`, times 100: of two predictions (2, H, W), earlier and later, and their truths."""
    before, true_before, counted = _check(alphas[0], true_alphas[0], region)
    after, true_after, _ = _check(alphas[1], true_alphas[1], region)
    return 100 * math.sqrt(_mean(np.square(_select((after - before) - (true_after - true_before), counted))))


def largest_component(mask: npt.NDArray[Any], *, by_columns: bool = False) -> _BoolArray:
    """The largest 4-connected component of the True pixels of `mask` (H, W) bool.

    Args:
        mask: Its False pixels are never a component, however many they are.
        by_columns: Choose the first by columns among components of equal size; otherwise the first by rows.

    Returns:
        (H, W) bool; all False where `mask` is.
    """
    labels, num_components = _ndimage().label(mask.T if by_columns else mask)  # numbered in the order of their pixels
    if not num_components:
        return np.zeros(mask.shape, dtype=np.bool_)
    sizes = np.bincount(labels.reshape(-1))[1:]
    largest: _BoolArray = labels == 1 + int(sizes.argmax())
    return largest.T if by_columns else largest


def check_packages() -> None:
    """Check that SciPy is installed, before any work.

    Raises:
        InputError: It is not; the message names the extra.
    """
    _ndimage()


def _ndimage() -> Any:
    return import_extra("scipy.ndimage", extra="eval", purpose="evaluating mattes")


def _check(
    alpha: npt.NDArray[Any], true_alpha: npt.NDArray[Any], region: npt.NDArray[Any] | None
) -> tuple[_FloatArray, _FloatArray, _BoolArray | None]:
    """The arguments as float64, and the region as bool, or an `InputError`."""
    checked = []
    for name, given in (("alpha", alpha), ("true_alpha", true_alpha)):
        array = np.asarray(given)
        if array.ndim != 2 or array.size == 0:
            raise InputError(f"{name}: got shape {array.shape}, expected (height, width)")
        if array.dtype != np.bool_ and not np.issubdtype(array.dtype, np.floating):
            raise InputError(f"{name}: got {array.dtype}, expected floating values in [0, 1] or bool")
        array = array.astype(np.float64, copy=False)
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):
            raise InputError(f"{name}: got values from {low} to {high}, expected finite values in [0, 1]")
        checked.append(array)
    predicted, true = checked
    if predicted.shape != true.shape:
        raise InputError(f"alpha: got shape {predicted.shape}, expected that of true_alpha, {true.shape}")
    if region is None:
        return predicted, true, None
    counted = np.asarray(region)
    if counted.shape != true.shape or counted.dtype != np.bool_:
        raise InputError(f"region: got {counted.dtype} of shape {counted.shape}, expected bool of shape {true.shape}")
    return predicted, true, counted


def _differences(alpha: npt.NDArray[Any], true_alpha: npt.NDArray[Any], region: npt.NDArray[Any] | None) -> _FloatArray:
    """Prediction minus truth where the error counts."""
    predicted, true, counted = _check(alpha, true_alpha, region)
    return _select(predicted - true, counted)


def _select(values: _FloatArray, region: _BoolArray | None) -> _FloatArray:
    return values if region is None else values[region]


def _mean(values: _FloatArray) -> float:
    return float(values.mean()) if values.size else 0.0


def _gradient_kernels(convention: Convention) -> tuple[_FloatArray, _FloatArray]:
    """The smoothing and the derivative kernel, each one row of an odd length."""
    sigma = GRADIENT_SIGMA
    if convention == "adobe":
        radius = math.ceil(sigma * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * sigma * 1e-2)))
    else:
        radius = int(4 * sigma + 0.5)
    x = np.arange(-radius, radius + 1, dtype=np.float64)
    smoothing = np.exp(-(x**2) / (2 * sigma**2))
    smoothing /= smoothing.sum()
    derivative = x * smoothing / sigma**2
    if convention == "adobe":  # the L2 norm of a separable kernel is the product of the norms
        smoothing /= np.linalg.norm(smoothing)
        derivative /= np.linalg.norm(derivative)
    return smoothing, derivative


def _gradient_magnitude(alpha: _FloatArray, convention: Convention) -> _FloatArray:
    smoothing, derivative = _gradient_kernels(convention)
    mode = "nearest" if convention == "adobe" else "reflect"
    filter_axis = partial(_ndimage().correlate1d, mode=mode)
    across = filter_axis(filter_axis(alpha, derivative, axis=1), smoothing, axis=0)
    down = filter_axis(filter_axis(alpha, smoothing, axis=1), derivative, axis=0)
    magnitude: _FloatArray = np.sqrt(np.square(across) + np.square(down))
    return magnitude


def _connected_level(common: _FloatArray, convention: Convention) -> _FloatArray:
    """For each pixel the last level up to which it lay in every source; `common` is the smaller alpha of the two."""
    reached = np.zeros(common.shape, dtype=np.uint8)
    for level in CONNECTIVITY_STEPS[1:]:
        reached += common >= level
    connected = np.zeros(common.shape, dtype=np.uint8)
    is_connected = np.ones(common.shape, dtype=np.bool_)
    for step in range(1, len(CONNECTIVITY_STEPS)):
        source = largest_component(reached >= step, by_columns=convention == "adobe")
        if convention == "aim" and not source.any():
            connected[is_connected] = len(CONNECTIVITY_STEPS) - 1
            break
        is_connected &= source
        if not is_connected.any():
            break
        connected += is_connected
    return CONNECTIVITY_STEPS[connected]


def _connectedness(alpha: _FloatArray, connected: _FloatArray) -> _FloatArray:
    distance = alpha - connected
    distance *= distance >= CONNECTIVITY_THETA
    return np.subtract(1, distance, out=distance)
