import numpy as np
import pytest

from mask2alpha.errors import InputError
from mask2alpha.serving.jobs import Stroke
from mask2alpha.serving.rough_masks import clip_box, mask_from_box, paint


def test_a_box_in_a_large_picture_gives_the_object_in_it(rng: np.random.Generator) -> None:
    image = rng.integers(0, 40, (600, 900, 3), dtype=np.uint8)
    image[200:260, 500:580] += np.uint8(180)
    mask = mask_from_box(image, (480.0, 180.0, 600.0, 280.0))
    truth = np.zeros((600, 900), dtype=bool)
    truth[200:260, 500:580] = True
    assert np.count_nonzero((mask > 0) != truth) < 0.02 * truth.sum()
    assert np.array_equal(mask, mask_from_box(image.astype(np.uint16) * 257, (480.0, 180.0, 600.0, 280.0)))


@pytest.mark.parametrize(
    ("box", "reason"), [((950.0, 0.0, 990.0, 50.0), "no pixel"), ((-9.0, -9.0, 999.0, 999.0), "outside of it")]
)
def test_a_box_that_says_nothing_is_refused(rng: np.random.Generator, box: tuple[float, ...], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        mask_from_box(rng.integers(0, 256, (90, 90, 3), dtype=np.uint8), box)  # type: ignore[arg-type]


def test_strokes_are_painted_in_their_order() -> None:
    strokes = [
        Stroke(points=[(10, 20), (90, 20)], radius=5),
        Stroke(points=[(50, 20)], radius=10, erase=True),
        Stroke(points=[(50, 20)], radius=2),
    ]
    mask = paint(np.zeros((40, 100), dtype=np.uint8), strokes, scale=(1.0, 1.0))
    assert set(np.unique(mask)) == {0, 255}
    assert mask[20, [12, 30, 80, 88]].all()
    assert not mask[20, [42, 45, 55, 58]].any()
    assert mask[20, 50] == 255
    assert not mask[[12, 28], 30].any()


def test_a_dot_is_round_and_lies_where_it_was_set() -> None:
    mask = paint(np.zeros((101, 101), dtype=np.uint8), [Stroke(points=[(50.5, 50.5)], radius=20)], scale=(1.0, 1.0))
    rows, columns = np.nonzero(mask)
    assert rows.mean() == pytest.approx(50, abs=0.1)
    assert columns.mean() == pytest.approx(50, abs=0.1)
    assert np.count_nonzero(mask) == pytest.approx(np.pi * 20**2, rel=0.05)


def test_strokes_over_a_preview_are_smaller() -> None:
    stroke = Stroke(points=[(100, 100), (300, 100)], radius=20)
    large = paint(np.zeros((400, 400), dtype=np.uint8), [stroke], scale=(1.0, 1.0))
    small = paint(np.zeros((200, 200), dtype=np.uint8), [stroke], scale=(0.5, 0.5))
    assert np.count_nonzero(small) == pytest.approx(np.count_nonzero(large) / 4, rel=0.06)


def test_strokes_far_outside_do_no_harm() -> None:
    strokes = [Stroke(points=[(-100_000, -100_000), (100_000, 100_000)], radius=10_000)]
    assert paint(np.zeros((20, 30), dtype=np.uint8), strokes, scale=(1.0, 1.0)).all()


def test_a_box_is_clipped_to_whole_pixels() -> None:
    assert clip_box((-3.5, 1.2, 7.9, 99.0), (20, 10), name="box") == (slice(1, 20), slice(0, 8))
