import numpy as np
import pytest
import slow_metrics
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_slow_metrics import mattes

from mask2alpha.evaluation.instances import add_counts, count_instances, match_instances
from mask2alpha.evaluation.metrics import (
    Convention,
    MatteScores,
    connectivity_error,
    dtssd,
    evaluate_matte,
    gradient_error,
    mad,
    mse,
    sad,
)

Array = NDArray[np.float64]
TOLERANCE = {"rel": 1e-6, "abs": 1e-12}


@st.composite
def photographs(draw: st.DrawFn) -> list[tuple[Array, Array]]:
    """A few photographs with zero to four predicted and true instances, some alike, some empty."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found = []
    for _ in range(draw(st.integers(1, 3))):
        num_predicted, num_true = draw(st.integers(0, 3)), draw(st.integers(0, 4))
        size = (draw(st.integers(3, 7)), draw(st.integers(3, 7)))
        true_alphas = rng.random((num_true, *size)) * (rng.random((num_true, *size)) > 0.6)
        alphas = rng.random((num_predicted, *size)) * (rng.random((num_predicted, *size)) > 0.6)
        for index in range(min(num_predicted, num_true)):
            if rng.random() < 0.7:  # close to a truth, so that there are true positives
                alphas[index] = np.clip(true_alphas[-1 - index] + 0.02 * rng.random(size) * (rng.random() < 0.5), 0, 1)
        found.append((alphas, true_alphas))
    return found


@settings(max_examples=25, deadline=None)
@given(cases=photographs())
def test_instance_quality_equals_the_slow_reference(cases: list[tuple[Array, Array]]) -> None:
    for alphas, true_alphas in cases:  # of equally good matchings any one is right, but not of the same quality
        sums = sorted(total for total, _ in slow_metrics.all_matchings(alphas, true_alphas))
        assume(len(sums) == 1 or sums[-1] > sums[-2] + 1e-9)
    for counts in add_counts([counts for case in cases for counts in count_instances(*case)]):
        expected = slow_metrics.imq(cases, counts.threshold)
        assert counts.imq == pytest.approx(expected, **TOLERANCE)


@settings(max_examples=40, deadline=None)
@given(cases=photographs())
def test_matches_overlap_as_much_as_the_best_of_all_matchings(cases: list[tuple[Array, Array]]) -> None:
    for alphas, true_alphas in cases:
        best = slow_metrics.best_matching(alphas, true_alphas)
        expected = sum(slow_metrics.overlap(alphas[i], true_alphas[j]) for i, j in best)
        assert sum(match.overlap for match in match_instances(alphas, true_alphas)) == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(case=mattes())
def test_the_him2k_protocol_equals_the_slow_reference(case: tuple[Array, Array, NDArray[np.bool_]]) -> None:
    alpha, true_alpha, _ = case
    scores = evaluate_matte(alpha, true_alpha, protocol="him2k")
    expected = slow_metrics.him2k(alpha, true_alpha)
    assert {name: getattr(scores, name) for name in expected} == pytest.approx(expected, **TOLERANCE)


@settings(max_examples=40, deadline=None)
@given(case=mattes())
def test_the_trimap_protocol_counts_the_unknown_region(case: tuple[Array, Array, NDArray[np.bool_]]) -> None:
    alpha, true_alpha, region = case
    trimap = np.where(region, 128, np.where(true_alpha > 0.5, 255, 0)).astype(np.uint8)
    scores = evaluate_matte(alpha, true_alpha, protocol="trimap-unknown", trimap=trimap)
    assert scores.sad == pytest.approx(slow_metrics.sad(alpha, true_alpha, region), **TOLERANCE)
    assert scores.mse == pytest.approx(slow_metrics.mse(alpha, true_alpha, region), **TOLERANCE)
    assert scores.grad == pytest.approx(slow_metrics.gradient_error_adobe(alpha, true_alpha, region), **TOLERANCE)
    expected = slow_metrics.connectivity_error(alpha, true_alpha, region, by_columns=True, skips_empty_levels=False)
    assert scores.conn == pytest.approx(expected, **TOLERANCE)


@settings(max_examples=60, deadline=None)
@given(num_frames=st.integers(2, 5), height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_dtssd_equals_the_slow_reference(num_frames: int, height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    alphas, true_alphas = rng.random((2, num_frames, height, width))
    expected = slow_metrics.dtssd(alphas, true_alphas)
    assert dtssd(alphas, true_alphas) == pytest.approx(expected, **TOLERANCE)


@pytest.mark.parametrize("convention", ["adobe", "aim"])
def test_the_mean_is_that_of_the_single_metrics(convention: Convention) -> None:
    rng = np.random.default_rng(4)
    pairs = [rng.random((2, *size)) for size in ((1, 1), (5, 9), (20, 3), (12, 12))]
    mean = MatteScores.mean([evaluate_matte(*pair, convention=convention) for pair in pairs])
    metrics = {"sad": sad, "mse": mse, "mad": mad, "grad": gradient_error, "conn": connectivity_error}
    for name, metric in metrics.items():
        options = {"convention": convention} if name in ("grad", "conn") else {}
        expected = np.mean([metric(*pair, **options) for pair in pairs])  # type: ignore[operator]
        assert getattr(mean, name) == pytest.approx(expected, **TOLERANCE)
