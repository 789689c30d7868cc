from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mask2alpha.evaluation.figures import (
    GAP,
    MIN_PANEL_SIDE,
    animate_steps,
    busiest_window,
    choose_steps,
    draw_detail,
    draw_guidance,
    draw_steps,
    heat,
    panel_size,
    resample,
    tile,
    two_colours,
)
from mask2alpha.evaluation.inspection import Inspection, StepMaps

SIZES = [(40, 56), (300, 3), (3, 300), (1, 1), (90, 90)]


def make_steps(count: int, size: tuple[int, int] = (8, 12)) -> tuple[StepMaps, ...]:
    fine = np.zeros(size, dtype=bool)
    steps = []
    for index in range(count):
        fine = fine.copy()
        fine[: size[0] * index // count] = True
        values = np.full(size, index / count, dtype=np.float32)
        steps.append(StepMaps(mixed_matte=values, is_fine=fine, alpha=values))
    return tuple(steps)


def make_inspection(size: tuple[int, int], **known: Any) -> Inspection:
    """A run on a photo of `size`, zero but for what is given."""
    zeros, attention = np.zeros(size, dtype=np.float32), np.full((2, 3), 1 / 6, dtype=np.float32)
    values: dict[str, Any] = {
        "steps": make_steps(1),
        "alpha": zeros,
        "predicted_error": zeros,
        "active_sgsdr": zeros > 0,
        "active_shm": zeros > 0,
        "error_threshold": 0.02,
        "regions": np.array([[0, 1, 2], [0, 0, 1]]),
        "attention_on": attention,
        "attention_off": attention,
        "token_spread": (1.0, 1.0),
        "guidance": None,
        "covered": (1.0, 1.0),
    }
    return Inspection(**(values | known))


def make_photo(size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize(("count", "expected"), [(1, [0]), (3, [0, 1, 2]), (20, [0, 5, 10, 14, 19])])
def test_few_steps_are_all_drawn_and_many_evenly(count: int, expected: list[int]) -> None:
    assert choose_steps(count, limit=5) == expected


@pytest.mark.parametrize("count", [8, 9, 50])
def test_the_first_and_the_last_step_are_drawn(count: int) -> None:
    chosen = choose_steps(count)
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    assert chosen == sorted(set(chosen))


def test_a_panel_keeps_the_shape_of_the_photograph() -> None:
    assert panel_size((4000, 6000), 300) == (200, 300)
    assert panel_size((10, 5), 300) == (300, 150)
    assert panel_size((2, 5000), 300) == (1, 300)


def test_shrinking_averages_and_growing_repeats() -> None:
    values = np.array([[0, 1, 0, 0], [1, 0, 0, 0]], dtype=np.float32)
    np.testing.assert_allclose(resample(values, (1, 2)), [[0.5, 0]])
    np.testing.assert_allclose(resample(values, (4, 8)), values.repeat(2, axis=0).repeat(2, axis=1))


def test_only_the_covered_part_is_shown() -> None:
    values = np.zeros((4, 8), dtype=np.float32)
    values[:, 6:] = 1
    values[3] = 1
    assert not resample(values, (30, 60), (0.75, 0.75)).any()
    assert resample(values, (30, 60), (1.0, 1.0)).any()


def test_the_enlarged_part_is_where_the_errors_are() -> None:
    values = np.zeros((400, 800), dtype=np.float32)
    values[310:330, 90:120] = 1
    rows, columns = busiest_window(values)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (100, 200)
    assert values[rows, columns].sum() == values.sum()
    small = busiest_window(np.zeros((5, 7), dtype=np.float32))
    assert small == (slice(0, 5), slice(0, 7))


def test_heat_grows_brighter() -> None:
    brightness = heat(np.linspace(0, 1, 50, dtype=np.float32)[None]).sum(axis=2)[0].astype(int)
    assert (np.diff(brightness) >= 0).all()
    assert (heat(np.array([[7.0]], dtype=np.float32)) == heat(np.array([[1.0]], dtype=np.float32))).all()


def test_a_tile_holds_its_panels_and_wraps_its_captions() -> None:
    picture = np.full((20, 200, 3), 90, dtype=np.uint8)
    short = tile([[(picture, "a"), (picture, "b")]])
    assert short.shape[1] == 3 * GAP + 400
    assert (short[GAP : GAP + 20, GAP : GAP + 200] == 90).all()
    assert (short[GAP : GAP + 20, 2 * GAP + 200 : 2 * GAP + 400] == 90).all()
    long = tile([[(picture, "many words " * 12), (picture, "b")]])
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0]
    written = long[GAP + 20 :, : 2 * GAP + 200] < 128
    assert written.any()
    assert not written[:, -GAP:].any()  # no caption runs into the next column


def test_a_narrow_panel_leaves_room_for_its_caption() -> None:
    drawn = tile([[(np.zeros((50, 4, 3), dtype=np.uint8), "photo and mask")]])
    assert drawn.shape[1] == MIN_PANEL_SIDE + 2 * GAP


def test_states_have_two_colours() -> None:
    fine = np.zeros((4, 4), dtype=bool)
    fine[:2] = True
    drawn = two_colours(fine, (8, 8)).reshape(-1, 3)
    assert len(np.unique(drawn, axis=0)) == 2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 3, 30])
def test_steps_are_drawn_for_any_size_and_number(size: tuple[int, int], count: int) -> None:
    inspection = make_inspection(size, steps=make_steps(count))
    drawn = draw_steps(make_photo(size), np.zeros(size), inspection, side=100)
    assert drawn.dtype == np.uint8
    assert drawn.shape[1] <= 9 * (MIN_PANEL_SIDE + GAP) + GAP


def test_a_step_shows_its_own_maps() -> None:
    steps = [
        StepMaps(
            mixed_matte=np.full((50, 50), 0.2, dtype=np.float32),
            is_fine=np.zeros((50, 50), dtype=bool),
            alpha=np.full((50, 50), 0.6, dtype=np.float32),
        )
    ]
    inspection = make_inspection((200, 200), steps=tuple(steps))
    column = draw_steps(make_photo((200, 200)), np.zeros((200, 200)), inspection, side=200)[:, 2 * GAP + 200 + 100]
    assert (column == 51).all(axis=1).sum() == 200
    assert (column == 153).all(axis=1).sum() == 200


def test_the_animation_has_a_frame_a_step_and_one_size() -> None:
    inspection = make_inspection((60, 90), steps=make_steps(4))
    frames = animate_steps(make_photo((60, 90)), np.zeros((60, 90)), inspection, side=160)
    assert len(frames) == 5
    assert len({frame.shape for frame in frames}) == 1
    assert not np.array_equal(frames[0], frames[1])


@pytest.mark.parametrize("size", SIZES)
def test_activation_is_drawn_for_any_size(size: tuple[int, int]) -> None:
    drawn = draw_detail(make_photo(size), make_inspection(size), side=90)
    assert drawn.shape[1] == 5 * MIN_PANEL_SIDE + 6 * GAP


def test_active_pixels_are_coloured_as_many_as_there_are() -> None:
    size = (200, 200)
    sgsdr, shm = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    sgsdr[50:60], shm[40:80] = True, True
    inspection = make_inspection(size, active_sgsdr=sgsdr, active_shm=shm)
    drawn = draw_detail(make_photo(size), inspection, side=200)[GAP : GAP + 200]
    coloured = drawn.max(axis=2).astype(int) - drawn.min(axis=2) > 60
    counts = [coloured[:, GAP + k * 208 : GAP + k * 208 + 200].sum() for k in range(5)]
    assert counts[1:3] == [10 * 200, 40 * 200]
    assert counts[4] == 0


@pytest.mark.parametrize("size", SIZES)
def test_guidance_is_drawn_for_any_size(size: tuple[int, int]) -> None:
    drawn = draw_guidance(make_photo(size), np.ones(size), make_inspection(size), side=150)
    assert drawn.shape[1] == 5 * 150 + 6 * GAP


def test_attention_is_red_where_it_grew_and_blue_where_it_fell() -> None:
    photo = np.full((100, 100, 3), 128, dtype=np.uint8)
    regions = np.zeros((2, 2), dtype=np.int64)
    off = np.full((2, 2), 0.25, dtype=np.float32)
    on = np.array([[0.4, 0.1], [0.25, 0.25]], dtype=np.float32)
    inspection = make_inspection((100, 100), regions=regions, attention_on=on, attention_off=off)
    drawn = draw_guidance(photo, np.ones((100, 100)), inspection, side=200)
    change = drawn[GAP : GAP + 200, GAP + 4 * 208 : GAP + 4 * 208 + 200].astype(int)
    redness = change[..., 0] - change[..., 2]
    assert redness[50, 50] > 40
    assert redness[50, 150] < -40
    assert abs(redness[150, 50]) < 5
    plain = drawn[GAP : GAP + 200, GAP + 2 * 208 : GAP + 2 * 208 + 200].astype(int)
    assert np.abs(plain[..., 0] - plain[..., 2]).max() < 5  # everywhere as the average
