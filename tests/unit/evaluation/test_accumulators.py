import numpy as np
import pytest

from mask2alpha.errors import InputError
from mask2alpha.evaluation.accumulators import InstanceAccumulator, MatteAccumulator, SequenceAccumulator, add_counts
from mask2alpha.evaluation.metrics import MatteScores, evaluate_matte


def test_the_mean_can_be_asked_for_at_any_moment() -> None:
    accumulator = MatteAccumulator()
    assert accumulator.update(np.full((10, 10), 0.5), np.zeros((10, 10))).sad == 0.05
    assert accumulator.compute().sad == 0.05
    accumulator.update(np.zeros((10, 10)), np.zeros((10, 10)))
    assert accumulator.compute().sad == 0.025
    assert len(accumulator) == 2


def test_parts_of_a_data_set_merge_into_the_whole_in_any_order() -> None:
    rng = np.random.default_rng(0)
    pairs = [rng.random((2, 8, 8)) for _ in range(7)]
    whole, first, second = (MatteAccumulator(convention="aim") for _ in range(3))
    for index, pair in enumerate(pairs):
        whole.update(*pair)
        (first if index % 3 else second).update(*pair)
    second.merge(first)
    assert second.compute() == whole.compute()
    with pytest.raises(InputError, match="other: got whole and adobe, expected whole and aim"):
        whole.merge(MatteAccumulator())


def test_protocol_and_convention_reach_the_metrics() -> None:
    rng = np.random.default_rng(0)
    alpha, true_alpha = rng.random((2, 9, 9))
    trimap = np.full((9, 9), 128, np.uint8)
    trimap[:5] = 255
    accumulator = MatteAccumulator(protocol="trimap-unknown", convention="aim")
    expected = evaluate_matte(alpha, true_alpha, protocol="trimap-unknown", convention="aim", trimap=trimap)
    assert accumulator.update(alpha, true_alpha, trimap=trimap) == expected
    with pytest.raises(InputError, match="trimap-unknown needs one"):
        accumulator.update(alpha, true_alpha)
    assert len(accumulator) == 1


def test_nothing_has_no_mean() -> None:
    with pytest.raises(InputError, match="empty"):
        MatteAccumulator().compute()
    with pytest.raises(InputError, match="empty"):
        InstanceAccumulator().compute()
    with pytest.raises(InputError, match="at least two frames"):
        SequenceAccumulator().compute_dtssd()


def test_flicker_is_seen_where_still_errors_are_not() -> None:
    true_alpha = np.zeros((4, 4))
    still, flickering = SequenceAccumulator(), SequenceAccumulator()
    for value in (0.5, 0.5, 0.5):
        still.update(np.full((4, 4), value), true_alpha)
    for value in (0.4, 0.6, 0.4):
        flickering.update(np.full((4, 4), value), true_alpha)
    assert still.compute_dtssd() == 0
    assert flickering.compute_dtssd() == pytest.approx(20)
    assert still.compute() == MatteScores(sad=0.008, mse=0.25, grad=0.0, conn=0.008, mad=0.5)


def test_sequences_are_kept_apart() -> None:
    accumulator = SequenceAccumulator()
    for value in (0.0, 1.0):
        accumulator.end_sequence()
        accumulator.update(np.full((2, 2), value), np.zeros((2, 2)))
    with pytest.raises(InputError, match="at least two frames"):
        accumulator.compute_dtssd()  # each frame was a sequence of its own
    accumulator.update(np.full((2, 2), 0.5), np.zeros((2, 2)))
    assert accumulator.compute_dtssd() == pytest.approx(50)
    with pytest.raises(InputError, match="frame before"):
        accumulator.update(np.zeros((3, 3)), np.zeros((3, 3)))


def test_later_changes_of_a_frame_do_not_matter() -> None:
    accumulator = SequenceAccumulator()
    frame = np.zeros((2, 2))
    accumulator.update(frame, np.zeros((2, 2)))
    frame += 0.5  # a reused buffer
    accumulator.update(frame, np.zeros((2, 2)))
    assert accumulator.compute_dtssd() == pytest.approx(50)


def test_counts_of_photographs_add_up() -> None:
    alphas = np.zeros((2, 6, 6))
    alphas[0, :3], alphas[1, 3:] = 1, 1
    accumulator = InstanceAccumulator()
    first = accumulator.update(alphas, alphas[::-1])
    second = accumulator.update(alphas[:1], alphas)
    total = accumulator.compute()[0]
    assert (total.num_true_positives, total.num_false_positives, total.num_false_negatives) == (3, 0, 1)
    assert total.imq["conn"] == pytest.approx(3 / 3.5)
    resumed = InstanceAccumulator()
    resumed.add(first)
    resumed.add(second)
    assert resumed.compute() == accumulator.compute() == add_counts([second, first])
