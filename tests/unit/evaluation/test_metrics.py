import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.evaluation import metrics
from mask2alpha.evaluation.metrics import MatteScores, connectivity_error, evaluate_matte, gradient_error, mad, mse, sad

Array = NDArray[np.float64]
METRICS: list[Callable[..., float]] = [sad, mse, mad, gradient_error, connectivity_error]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("value", [0.0, 0.37, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (40, 30)])
def test_a_perfect_matte_scores_zero(metric: Callable[..., float], value: float, size: tuple[int, int]) -> None:
    assert metric(np.full(size, value), np.full(size, value)) == 0


def test_sums_and_means_by_hand() -> None:
    alpha, true_alpha = np.array([[0.0, 0.5, 1.0]]), np.array([[0.0, 1.0, 0.75]])
    assert sad(alpha, true_alpha) == pytest.approx(0.75 / 1000)
    assert mad(alpha, true_alpha) == pytest.approx(0.25)
    assert mse(alpha, true_alpha) == pytest.approx((0.25 + 0.0625) / 3)


def test_all_wrong_counts_every_pixel() -> None:
    scores = evaluate_matte(np.ones((50, 40)), np.zeros((50, 40)))
    assert scores == MatteScores(sad=2.0, mse=1.0, grad=0.0, conn=2.0, mad=1.0)


def test_a_region_limits_what_counts() -> None:
    true_alpha, region = np.zeros((4, 4)), np.zeros((4, 4), dtype=bool)
    alpha = np.zeros((4, 4))
    alpha[0, 0], alpha[3, 3] = 0.5, 1.0
    region[3] = True
    assert sad(alpha, true_alpha, region=region) == pytest.approx(0.001)
    assert mse(alpha, true_alpha, region=region) == pytest.approx(0.25)
    assert mad(alpha, true_alpha, region=region) == pytest.approx(0.25)
    assert evaluate_matte(alpha, true_alpha, region=np.zeros((4, 4), dtype=bool)) == MatteScores(
        sad=0.0, mse=0.0, grad=0.0, conn=0.0, mad=0.0
    )


def test_gradient_error_of_a_step_edge_by_hand() -> None:
    # at a straight edge the magnitude is the smoothing kernel's sum times what the derivative kernel sees of the step
    x = np.arange(-4, 5)
    gauss = np.exp(-(x**2) / (2 * 1.4**2))
    slope = x * gauss
    gauss, slope = gauss / np.linalg.norm(gauss), slope / np.linalg.norm(slope)
    responses = [gauss.sum() * slope[offset:].sum() for offset in range(1, 9)]
    edge = np.zeros((20, 30))
    edge[:, 15:] = 1
    expected = 20 * sum(response**2 for response in responses) / 1000
    assert gradient_error(edge, np.zeros_like(edge)) == pytest.approx(expected)
    assert gradient_error(edge.T, np.zeros_like(edge.T)) == pytest.approx(expected)


def test_gradient_error_conventions_are_close_inside_a_picture() -> None:
    # the squared L2 norm of the unscaled kernel is 1 / (8 pi sigma^4), so 1/1000 and 1/10 nearly agree
    rng = np.random.default_rng(0)
    alpha, true_alpha = rng.random((128, 128)), np.full((128, 128), 0.5)
    region = np.zeros(alpha.shape, dtype=bool)
    region[8:-8, 8:-8] = True
    adobe = gradient_error(alpha, true_alpha, region=region)
    aim = gradient_error(alpha, true_alpha, region=region, convention="aim")
    assert adobe / aim == pytest.approx(1e-2 * 8 * math.pi * 1.4**4, rel=0.01)


def test_connectivity_error_of_a_detached_island_by_hand() -> None:
    # the source holds the first two pixels on all levels; the third is cut off at the first level, so l is 0 there
    true_alpha = np.array([[1.0, 1.0, 0.0, 0.0]])
    alpha = np.array([[1.0, 1.0, 0.0, 0.9]])
    assert connectivity_error(alpha, true_alpha) == pytest.approx(0.9 / 1000)


def test_connectivity_error_forgives_differences_below_theta() -> None:
    true_alpha = np.array([[1.0, 1.0, 0.0]])
    assert connectivity_error(np.array([[1.0, 1.0, 0.14]]), true_alpha) == 0
    assert connectivity_error(np.array([[1.0, 1.0, 0.16]]), true_alpha) == pytest.approx(0.16 / 1000)


def test_connectivity_error_measures_from_the_last_level_of_the_source() -> None:
    # the middle pixel lies in the source up to level 0.4, and 0.45 is less than theta above it
    true_alpha, alpha = np.array([[1.0, 1.0, 0.8]]), np.array([[1.0, 1.0, 0.45]])
    assert connectivity_error(alpha, true_alpha) == pytest.approx((0.8 - 0.4) / 1000)


def test_a_large_background_is_no_component() -> None:
    # a known bug: taking the most frequent label of all, where the background has a label too
    true_alpha = np.zeros((30, 30))
    true_alpha[10:14, 10:14] = 1
    alpha = true_alpha.copy()
    alpha[20, 20] = 0.9
    assert connectivity_error(alpha, true_alpha) == pytest.approx(0.9 / 1000)
    assert metrics.largest_component(true_alpha > 0.5).sum() == 16


def test_a_level_that_no_pixel_reaches() -> None:
    # nothing in common at any level: in MATLAB's convention all pixels leave the source at once; `aim` skips the
    # levels, calls every pixel connected and so finds no error in an entirely wrong matte
    wrong, true_alpha = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert connectivity_error(wrong, true_alpha) == pytest.approx(2 / 1000)
    assert connectivity_error(wrong, true_alpha, convention="aim") == 0


def test_diagonal_pixels_are_not_connected() -> None:
    assert metrics.largest_component(np.array([[1, 0, 0], [0, 1, 1]], dtype=bool)).tolist() == [
        [False, False, False],
        [False, True, True],
    ]


def test_the_ends_of_adjacent_rows_are_not_connected() -> None:
    assert metrics.largest_component(np.array([[0, 1, 1], [1, 0, 0]], dtype=bool)).sum() == 2


@pytest.mark.parametrize(("by_columns", "expected"), [(False, [[0, 1], [0, 0]]), (True, [[0, 0], [1, 0]])])
def test_of_equal_components_the_first_is_taken(by_columns: bool, expected: list[list[int]]) -> None:
    mask = np.array([[0, 1], [1, 0]], dtype=bool)
    assert metrics.largest_component(mask, by_columns=by_columns).astype(int).tolist() == expected


def test_nothing_is_truncated_to_eight_bits() -> None:
    # a known bug: predictions turned into uint8 before they are scored
    true_alpha = np.full((100, 100), 0.5)
    alpha = true_alpha + 0.001
    assert sad(alpha, true_alpha) == pytest.approx(0.01)
    assert mse(alpha, true_alpha) == pytest.approx(1e-6)


def test_float32_and_bool_arrays_are_scored_in_float64() -> None:
    rng = np.random.default_rng(0)
    alpha, mask = rng.random((30, 40)).astype(np.float32), rng.random((30, 40)) > 0.5
    assert evaluate_matte(alpha, mask) == evaluate_matte(alpha.astype(np.float64), mask.astype(np.float64))


def test_arguments_are_not_changed() -> None:
    rng = np.random.default_rng(0)
    alpha, true_alpha = rng.random((30, 40)), rng.random((30, 40))
    kept = alpha.copy(), true_alpha.copy()
    evaluate_matte(alpha, true_alpha)
    np.testing.assert_array_equal(alpha, kept[0])
    np.testing.assert_array_equal(true_alpha, kept[1])


GOOD = np.zeros((2, 3))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("alpha", "true_alpha", "region", "message"),
    [
        (np.zeros((2, 3), np.uint8), GOOD, None, "alpha: got uint8"),
        (GOOD, np.zeros((3, 2)), None, "alpha: got shape"),
        (np.zeros((1, 2, 3)), GOOD, None, "alpha: got shape"),
        (np.zeros((0, 3)), np.zeros((0, 3)), None, "alpha: got shape"),
        (GOOD, GOOD + 1.5, None, "true_alpha: got values from 1.5"),
        (GOOD - 0.1, GOOD, None, "alpha: got values from -0.1"),
        (np.array([[0, np.nan, 0]]), np.zeros((1, 3)), None, "alpha: got values from nan"),
        (GOOD, GOOD, np.ones((2, 3)), "region: got float64"),
        (GOOD, GOOD, np.ones((3, 2), bool), "region: got bool of shape"),
    ],
)
def test_unusable_arguments_are_named(
    metric: Callable[..., float], alpha: Array, true_alpha: Array, region: NDArray[np.bool_] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        metric(alpha, true_alpha, region=region)


def test_means_are_taken_field_by_field() -> None:
    first = MatteScores(sad=1.0, mse=2.0, grad=3.0, conn=4.0, mad=5.0)
    second = MatteScores(sad=3.0, mse=4.0, grad=5.0, conn=6.0, mad=7.0)
    assert MatteScores.mean([first, second]) == MatteScores(sad=2.0, mse=3.0, grad=4.0, conn=5.0, mad=6.0)
    with pytest.raises(InputError, match="empty"):
        MatteScores.mean([])


def test_a_photograph_is_scored_quickly() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:600, :800]
    true_alpha = np.clip(0.5 + (200 - np.hypot(y - 300, x - 400)) / 20, 0, 1)
    alpha = np.clip(true_alpha + rng.normal(0, 0.1, true_alpha.shape), 0, 1)
    start = time.process_time()
    evaluate_matte(alpha, true_alpha)
    assert time.process_time() - start < 1  # about 0.06 s on one core


@pytest.mark.slow
def test_a_4k_pair_takes_at_most_five_seconds() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:2160, :3840]
    true_alpha = np.clip(0.5 + (800 - np.hypot(y - 1080, x - 1920)) / 60, 0, 1)
    true_alpha = np.clip(true_alpha + 0.3 * np.sin(x / 7) * (np.abs(true_alpha - 0.5) < 0.5), 0, 1)
    alpha = np.clip(true_alpha + rng.normal(0, 0.1, true_alpha.shape) * (rng.random(true_alpha.shape) < 0.1), 0, 1)
    start = time.process_time()
    evaluate_matte(alpha, true_alpha)
    assert time.process_time() - start < 5


def test_unknown_is_whatever_a_trimap_leaves_open() -> None:
    # a known bug: sets that write 127 scored by code that looks for 128, so that no pixel counts
    true_alpha, alpha = np.zeros((1, 4)), np.array([[0.5, 0.5, 0.5, 0.5]])
    for unknown in (127, 128, 100):
        trimap = np.array([[0, unknown, unknown, 255]], dtype=np.uint8)
        scores = evaluate_matte(alpha, true_alpha, protocol="trimap-unknown", trimap=trimap)
        assert (scores.sad, scores.mse) == (0.001, 0.25)


def test_the_error_outside_the_unknown_region_does_not_count() -> None:
    # a known bug: known pixels neither clamped to the trimap nor left out of the sum
    alpha, true_alpha, trimap = np.ones((6, 6)), np.zeros((6, 6)), np.zeros((6, 6), np.uint8)
    trimap[2, 2] = 128
    scores = evaluate_matte(alpha, true_alpha, protocol="trimap-unknown", trimap=trimap)
    assert (scores.sad, scores.mse, scores.mad) == (0.001, 1, 1)


def test_every_error_is_reported_under_its_own_name() -> None:
    # a known bug: an evaluator that returns the gradient error under the name of the connectivity error
    rng = np.random.default_rng(3)
    alpha, true_alpha = rng.random((2, 20, 20))
    for convention in ("adobe", "aim"):
        scores = evaluate_matte(alpha, true_alpha, convention=convention)  # type: ignore[arg-type]
        assert scores.sad == sad(alpha, true_alpha)
        assert scores.mse == mse(alpha, true_alpha)
        assert scores.mad == mad(alpha, true_alpha)
        assert scores.grad == gradient_error(alpha, true_alpha, convention=convention)  # type: ignore[arg-type]
        assert scores.conn == connectivity_error(alpha, true_alpha, convention=convention)  # type: ignore[arg-type]
        assert len({scores.sad, scores.mse, scores.mad, scores.grad, scores.conn}) == 5


def test_contrast_is_an_error() -> None:
    # known bugs: predictions, or the mattes in Grad, stretched to the full range before they are compared
    ramp = np.tile(np.linspace(0, 1, 40), (40, 1))
    assert gradient_error(0.5 * ramp, ramp) > 0
    assert sad(0.5 * ramp, ramp) == pytest.approx(0.5 * ramp.sum() / 1000)


def test_a_wrong_but_flat_matte_has_no_gradient_error_at_the_borders() -> None:
    # a known bug: zeros around the picture make an edge there
    for convention in ("adobe", "aim"):
        error = gradient_error(np.full((20, 20), 0.3), np.ones((20, 20)), convention=convention)  # type: ignore[arg-type]
        assert error == pytest.approx(0, abs=1e-20)


def test_means_do_not_depend_on_the_size() -> None:
    # a known bug: MSE and MAD divided by the number of pixels twice
    rng = np.random.default_rng(0)
    alpha, true_alpha = rng.random((2, 10, 10))
    large, true_large = (np.tile(array, (3, 4)) for array in (alpha, true_alpha))
    assert mse(large, true_large) == pytest.approx(mse(alpha, true_alpha))
    assert mad(large, true_large) == pytest.approx(mad(alpha, true_alpha))
    assert sad(large, true_large) == pytest.approx(12 * sad(alpha, true_alpha))


def test_errors_over_the_union_by_hand() -> None:
    alpha, true_alpha = np.array([[0.0, 0.0, 0.5, 1.0]]), np.array([[0.0, 0.2, 0.5, 1.0]])
    scores = evaluate_matte(alpha, true_alpha, protocol="him2k")
    assert scores.sad == pytest.approx(0.0002)
    assert scores.mad == pytest.approx(0.2 / 4)  # three pixels and one
    assert scores.mse == pytest.approx(0.04 / 4)
    assert scores.conn == pytest.approx(0.2 / 4)
    empty = evaluate_matte(np.zeros((3, 3)), np.zeros((3, 3)), protocol="him2k")
    assert empty == MatteScores(sad=0.0, mse=0.0, grad=0.0, conn=0.0, mad=0.0)


def test_gradient_errors_over_the_union_are_alike_in_both_conventions() -> None:
    rng = np.random.default_rng(0)
    alpha, true_alpha = rng.random((128, 128)), np.full((128, 128), 0.5)
    adobe = evaluate_matte(alpha, true_alpha, protocol="him2k").grad
    aim = evaluate_matte(alpha, true_alpha, protocol="him2k", convention="aim").grad
    assert adobe / aim == pytest.approx(8 * math.pi * 1.4**4, rel=0.05)


def test_what_does_not_go_with_a_protocol_is_refused() -> None:
    trimap = np.zeros((2, 3), np.uint8)
    with pytest.raises(InputError, match="trimap: got None"):
        evaluate_matte(GOOD, GOOD, protocol="trimap-unknown")
    with pytest.raises(InputError, match="region: the protocol him2k has its own"):
        evaluate_matte(GOOD, GOOD, protocol="him2k", region=np.ones((2, 3), bool))
    with pytest.raises(InputError, match="trimap: got float64"):
        evaluate_matte(GOOD, GOOD, protocol="trimap-unknown", trimap=GOOD)
    with pytest.raises(InputError, match="trimap: got values 0 and 1"):
        evaluate_matte(GOOD, GOOD, protocol="trimap-unknown", trimap=trimap + np.uint8(1))


def test_dtssd_by_hand() -> None:
    alphas = np.array([[[0.0, 0.0]], [[0.5, 0.0]], [[0.5, 1.0]]])
    true_alphas = np.array([[[0.0, 0.0]], [[0.5, 0.0]], [[0.5, 0.2]]])
    assert metrics.dtssd(alphas, true_alphas) == pytest.approx(100 * (0 + math.sqrt(0.64 / 2)) / 2)
    right = np.array([[False, True]])
    assert metrics.dtssd(alphas, true_alphas, region=right) == pytest.approx(100 * 0.8 / 2)
    assert metrics.dtssd(alphas, true_alphas, region=~right) == 0


@pytest.mark.parametrize("shapes", [((1, 2, 3), (1, 2, 3)), ((2, 3), (2, 3)), ((2, 2, 3), (3, 2, 3))])
def test_dtssd_needs_two_sequences_of_frames(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(InputError, match=r"alphas: got shapes .* two frames or more"):
        metrics.dtssd(np.zeros(shapes[0]), np.zeros(shapes[1]))
