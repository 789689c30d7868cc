import numpy as np
import pytest

from mask2alpha.errors import InputError
from mask2alpha.evaluation.prompts import (
    PromptScores,
    box_around,
    format_prompt_scores,
    next_click,
    overlap,
    score_maker,
    scribble,
)

ALPHA = np.zeros((40, 60))
ALPHA[10:30, 20:50] = 1.0
TRUTH = ALPHA > 0.5


def test_the_next_click_is_in_the_middle_of_the_largest_error():
    mask = TRUTH.copy()
    mask[10:30, 20:40] = False  # 20 wide
    mask[0:6, 0:6] = True  # 6 wide
    (x, y), is_target = next_click(TRUTH, mask)
    assert is_target
    assert 28 < x < 32
    assert 18 < y < 22
    (x, y), is_target = next_click(TRUTH, TRUTH | (np.arange(60) < 9))
    assert not is_target
    assert 3 < x < 6


def test_box_and_stroke_are_the_objects_own():
    assert box_around(TRUTH) == (20, 10, 50, 30)
    start, stop = scribble(TRUTH)
    assert all(TRUTH[int(y), int(x)] for x, y in (start, stop))
    assert abs(stop[0] - start[0]) > 5


def test_a_perfect_maker_needs_one_click():
    asked = []

    def answer(prompt, _):
        asked.append(prompt)
        return TRUTH

    scores = score_maker("a", "m", answer, ALPHA, lambda mask: mask.astype(np.float32), num_clicks=4)
    assert scores.clicks == (1.0, 1.0, 1.0, 1.0)
    assert (scores.box, scores.scribble, scores.num_clicks) == (1.0, 1.0, 1)
    assert len(asked) == 3  # click, box, stroke


def test_clicks_add_up_and_a_maker_that_finds_nothing_scores_zero():
    asked = []

    def answer(prompt, _):
        asked.append(len(prompt.target) + len(prompt.rest))
        raise InputError("nothing")

    scores = score_maker("a", "m", answer, ALPHA, lambda mask: mask.astype(np.float32), num_clicks=3)
    assert asked[:3] == [1, 2, 3]
    assert scores.clicks == (0.0, 0.0, 0.0)
    assert scores.num_clicks == 3
    assert scores.matte_error == pytest.approx(1000 * ALPHA.mean())


def test_each_further_click_comes_with_the_mask_so_far():
    given = []

    def answer(prompt, mask):
        given.append(mask)
        return TRUTH & (np.arange(60) < 30 + 5 * len(given))

    score_maker("a", "m", answer, ALPHA, lambda mask: mask.astype(np.float32), num_clicks=3)
    assert [None if mask is None else int(mask.sum()) for mask in given] == [None, 300, 400, None, None]


def test_a_truth_without_an_object_and_too_few_clicks_are_refused():
    for alpha, clicks, complaint in ((0 * ALPHA, 3, "nothing to select"), (ALPHA, 2, "at least 3")):
        with pytest.raises(InputError, match=complaint):
            score_maker("a", "m", lambda prompt, _: TRUTH, alpha, lambda mask: mask, num_clicks=clicks)


def test_the_table_has_means_per_maker():
    shared = {"scribble": 0.5, "seconds": 0.25, "matte_error": 4.0}
    scores = [
        PromptScores(photo="a", maker="m", clicks=(0.5, 0.95, 1.0), box=0.8, **shared),
        PromptScores(photo="b", maker="m", clicks=(0.7, 0.75, 0.8), box=0.6, **shared),
    ]
    assert [score.num_clicks for score in scores] == [2, 3]
    lines = format_prompt_scores(scores, {"a": 3.0, "b": 5.0}).splitlines()
    assert lines[2] == "| m | 0.600 | 0.850 | 0.900 | 2.50 | 0.700 | 0.500 | 0.25 | 4.00 |"
    assert lines[-1] == "SAD/MP from the lowres masks (2 photos): 4.00"


def test_overlap_by_hand():
    assert overlap(np.array([True, True, False]), np.array([True, False, True])) == pytest.approx(1 / 3)
