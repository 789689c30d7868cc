import numpy as np
import pytest
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.evaluation.instances import add_counts, count_instances, match_instances


def squares(*lefts: int) -> NDArray[np.float64]:
    """Opaque 10 x 10 squares in pictures of 10 x 60."""
    alphas = np.zeros((len(lefts), 10, 60))
    for alpha, left in zip(alphas, lefts, strict=True):
        alpha[:, left : left + 10] = 1
    return alphas


def test_instances_are_matched_by_overlap_and_not_by_order() -> None:
    matches = match_instances(squares(40, 0, 20), squares(0, 20, 40))
    assert [(match.predicted, match.true, match.overlap) for match in matches] == [(0, 2, 1), (1, 0, 1), (2, 1, 1)]


def test_the_sum_of_overlaps_decides_and_not_the_first_best() -> None:
    # the first prediction overlaps both truths; left to itself it would take the second one's only partner
    true_alphas, alphas = squares(0, 8), squares(5, 9)
    overlaps = [[5 / 15, 7 / 13], [1 / 19, 9 / 11]]
    assert [(match.predicted, match.true) for match in match_instances(alphas, true_alphas)] == [(0, 0), (1, 1)]
    assert [match.overlap for match in match_instances(alphas, true_alphas)] == [overlaps[0][0], overlaps[1][1]]


def test_perfect_instances_have_quality_one() -> None:
    for counts in count_instances(squares(0, 20), squares(20, 0)):
        assert (counts.num_true_positives, counts.num_false_positives, counts.num_false_negatives) == (2, 0, 0)
        assert counts.imq == {"mad": 1, "mse": 1, "grad": 1, "conn": 1}


def test_quality_by_hand() -> None:
    # 100 pixels of 0.99 instead of 1: MAD = 100 * 0.01 / 101; one truth is missed, one prediction is nowhere
    alphas, true_alphas = squares(0, 50), squares(0, 20)
    alphas[0] *= 0.99
    for counts in count_instances(alphas, true_alphas):
        assert (counts.num_true_positives, counts.num_false_positives, counts.num_false_negatives) == (1, 1, 1)
        assert counts.recognition == 0.5
        assert counts.matting["mad"] == pytest.approx(1 - 10 * 1 / 101)
        assert counts.imq["mse"] == pytest.approx(0.5 * (1 - 10 * 0.01 / 101))


def test_an_error_of_a_tenth_has_no_quality() -> None:
    alphas = squares(0)
    alphas *= 0.8
    assert count_instances(alphas, squares(0))[0].matting["mad"] == 0
    assert count_instances(alphas, squares(0))[0].recognition == 1


def test_an_overlap_of_exactly_the_threshold_is_a_match() -> None:
    # a known flaw: with 1e-8 added to the union, one half falls below one half
    half, three_quarters = squares(0), squares(0)
    half[:, :, 5:] = 0
    three_quarters[:, 5:, 5:] = 0
    assert [counts.num_true_positives for counts in count_instances(half, squares(0))] == [1, 0]
    assert [counts.num_true_positives for counts in count_instances(three_quarters, squares(0))] == [1, 1]


def test_missing_and_spurious_instances_count_against() -> None:
    # a known flaw: photographs without predictions are passed over
    nothing = np.zeros((0, 10, 60))
    missed, spurious, empty = (
        count_instances(alphas, true)[0]
        for alphas, true in ((nothing, squares(0, 20)), (squares(0), nothing), (nothing, nothing))
    )
    assert (missed.num_false_negatives, spurious.num_false_positives) == (2, 1)
    assert missed.imq["mad"] == spurious.imq["mad"] == empty.imq["mad"] == 0


def test_an_empty_truth_and_an_empty_prediction_do_not_overlap() -> None:
    assert match_instances(np.zeros((1, 4, 4)), np.zeros((1, 4, 4)))[0].overlap == 0


def test_unusable_arrays_are_named() -> None:
    with pytest.raises(InputError, match="true_alphas: got shape"):
        match_instances(squares(0), squares(0)[0])
    with pytest.raises(InputError, match="expected the size of true_alphas"):
        match_instances(squares(0)[:, :5], squares(0))


def test_counts_of_photographs_add_up() -> None:
    alphas = np.zeros((2, 6, 6))
    alphas[0, :3], alphas[1, 3:] = 1, 1
    first = count_instances(alphas, alphas[::-1])
    second = count_instances(alphas[:1], alphas)
    total = add_counts([*first, *second])[0]
    assert (total.num_true_positives, total.num_false_positives, total.num_false_negatives) == (3, 0, 1)
    assert total.imq["conn"] == pytest.approx(3 / 3.5)
    assert add_counts([*first, *second]) == add_counts([*second, *first])
    with pytest.raises(InputError, match="empty"):
        add_counts([])
