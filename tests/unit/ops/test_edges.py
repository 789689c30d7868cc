"""The controls of the edge against slow references of SciPy's, and their properties."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.ops.edges import RANGES, TILE, EdgeOptions, apply_edges

ndimage = pytest.importorskip("scipy.ndimage")
Alpha = NDArray[np.float32]
SIZE = (TILE + 37, 2 * TILE + 5)


@pytest.fixture(scope="module")
def alpha() -> Alpha:
    """Hard and soft shapes, hairs, specks, pinholes and noise, over several parts; some of them touch the frame."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    made = np.clip((60 - np.hypot(y - 70, x - 90)) / 6 + 0.5, 0, 1)
    made = np.maximum(made, np.clip(1.2 - np.abs(y - x / 2), 0, 1) * (x > 60) * 0.8)
    made[20:60, 200:] = 1
    made[100:, 180:] = rng.random((SIZE[0] - 100, SIZE[1] - 180)) > 0.7
    made[5:30, 5:30] = rng.random((25, 25))
    made[70:73, 90:92] = 0.4
    return np.asarray(made, dtype=np.float32)


def disc(radius: float) -> NDArray[np.bool_]:
    reach = int(radius)
    return np.asarray(np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= radius)


def slow_shift(alpha: Alpha, distance: float) -> NDArray[Any]:
    radius, values = abs(distance), np.sign(distance) * alpha.astype(np.float64)
    made = ndimage.grey_dilation(values, footprint=disc(radius), mode="nearest")
    place = np.indices(alpha.shape).astype(np.float64)
    for angle in np.arange(8) * np.pi / 4:
        there = place + radius * np.array([np.sin(angle), np.cos(angle)])[:, None, None]
        made = np.maximum(made, ndimage.map_coordinates(values, there, order=1, mode="nearest"))
    return np.asarray(np.sign(distance) * made)


def slow_regions(inside: NDArray[np.bool_], size: float) -> NDArray[np.bool_]:
    labels, count = ndimage.label(inside, structure=np.ones((3, 3)))
    sizes = ndimage.sum_labels(inside, labels, np.arange(count + 1))
    return np.asarray(inside & (sizes < size)[labels])


REFERENCES: dict[str, Callable[[Alpha], NDArray[Any]]] = {
    "contrast=0.4": lambda alpha: np.interp(alpha, [0.2, 0.8], [0, 1]),
    "contrast=1": lambda alpha: 0.5 + np.sign(alpha - np.float32(0.5)) / 2,
    "gamma=2.2": lambda alpha: alpha.astype(np.float64) ** (1 / 2.2),
    "gamma=0.3": lambda alpha: alpha.astype(np.float64) ** (1 / 0.3),
    "specks=9": lambda alpha: np.where(slow_regions(alpha > 0, 9), 0, alpha),
    "pinholes=7": lambda alpha: np.where(slow_regions(alpha < 1, 7), 1, alpha),
    "smooth=1": lambda alpha: ndimage.median_filter(alpha, footprint=disc(1), mode="nearest"),
    "smooth=3.2": lambda alpha: ndimage.median_filter(alpha, footprint=disc(3.2), mode="nearest"),
    "shift=0.3": lambda alpha: slow_shift(alpha, 0.3),
    "shift=1": lambda alpha: slow_shift(alpha, 1),
    "shift=-2.75": lambda alpha: slow_shift(alpha, -2.75),
    "shift=-13": lambda alpha: slow_shift(alpha, -13),
    "feather=0.4": lambda alpha: ndimage.gaussian_filter(alpha.astype(np.float64), 0.4, mode="nearest"),
    "feather=7.3": lambda alpha: ndimage.gaussian_filter(alpha.astype(np.float64), 7.3, mode="nearest"),
    "threshold=0.3": lambda alpha: alpha >= np.float32(0.3),
}


@pytest.mark.parametrize("text", REFERENCES)
def test_each_control_is_what_a_slow_reference_says(alpha: Alpha, text: str) -> None:
    made = apply_edges(alpha, EdgeOptions.parse(text))
    assert made.dtype == np.float32
    assert not np.array_equal(made, alpha)
    np.testing.assert_allclose(made, REFERENCES[text](alpha), rtol=0, atol=2e-6)


@pytest.mark.parametrize("band", [0, 2.5, 40])
def test_the_rest_stays_as_it_was_beyond_the_band(alpha: Alpha, band: float) -> None:
    soft = (alpha > 0) & (alpha < 1)
    near = ndimage.distance_transform_edt(~soft) <= band
    everywhere = apply_edges(alpha, EdgeOptions(shift=1.5, feather=3))
    within = apply_edges(alpha, EdgeOptions(shift=1.5, feather=3, band=band))
    assert np.array_equal(within, np.where(near, everywhere, alpha))
    assert not np.array_equal(within, everywhere)


def test_the_order_is_that_of_the_fields(alpha: Alpha) -> None:
    texts = ["contrast=0.2", "gamma=0.8", "specks=5", "pinholes=5", "smooth=1", "shift=-0.7", "feather=1"]
    made = alpha
    for text in texts:
        made = apply_edges(made, EdgeOptions.parse(text))
    assert np.array_equal(made, apply_edges(alpha, EdgeOptions.parse(",".join(reversed(texts)))))
    assert list(RANGES) == [name for name in EdgeOptions.__annotations__ if name in RANGES]


@pytest.mark.parametrize("text", ["", "shift=0,feather=0", "band=3", "smooth=0.9", "specks=1,pinholes=1"])
def test_neutral_values_change_nothing(alpha: Alpha, text: str) -> None:
    edges = EdgeOptions.parse(text)
    made = apply_edges(alpha, edges)
    assert np.array_equal(made, alpha)
    assert (made is alpha) == edges.is_neutral


def test_the_given_matte_is_not_modified(alpha: Alpha) -> None:
    before = alpha.copy()
    for text in (*REFERENCES, ",".join(text for text in REFERENCES if text in ("gamma=2.2", "specks=9", "pinholes=7"))):
        apply_edges(alpha, EdgeOptions.parse(text))
    assert np.array_equal(alpha, before)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_mattes_smaller_than_the_reach(size: tuple[int, int]) -> None:
    alpha = np.random.default_rng(0).random(size).astype(np.float32)
    most = EdgeOptions(smooth=5, shift=32, feather=32, specks=4, pinholes=4, band=64)
    made = apply_edges(alpha, most)
    assert made.shape == size
    assert ((made >= 0) & (made <= 1)).all()


@pytest.mark.parametrize("control", [{"smooth": 3}, {"shift": 2.3}, {"shift": -9}, {"feather": 5.5}, {"feather": 32}])
def test_flat_parts_keep_their_value_exactly(alpha: Alpha, control: dict[str, float]) -> None:
    edges = EdgeOptions(**control)
    made = apply_edges(alpha, edges)
    square = np.ones((2 * edges.reach + 1,) * 2)
    flat = ndimage.grey_dilation(alpha, footprint=square) == ndimage.grey_erosion(alpha, footprint=square)
    assert np.array_equal(made[flat], alpha[flat])


alphas = st.integers(0, 2**32 - 1).map(
    lambda seed: ndimage.gaussian_filter(np.random.default_rng(seed).random((40, 50)) > 0.5, 1.5, output=np.float32)
)


@settings(max_examples=25, deadline=None)
@given(alphas, st.floats(-8, 8), st.floats(-8, 8))
def test_a_larger_shift_never_covers_less(alpha: Alpha, one: float, other: float) -> None:
    near, far = (apply_edges(alpha, EdgeOptions(shift=shift)) for shift in sorted((one, other)))
    assert far.mean() >= near.mean() - 1e-6
    grown = apply_edges(alpha, EdgeOptions(shift=abs(one)))
    assert (grown >= alpha).all()
    assert (1 - apply_edges(1 - alpha, EdgeOptions(shift=abs(one))) <= alpha + 1e-6).all()


@settings(max_examples=40, deadline=None)
@given(
    alphas,
    st.fixed_dictionaries(
        {},
        optional={
            name: st.floats(least, min(most, 50)) for name, (least, most) in RANGES.items() if name != "threshold"
        },
    ),
)
def test_more_alpha_before_is_not_less_after(alpha: Alpha, controls: dict[str, float]) -> None:
    edges = EdgeOptions(**controls)
    more = np.maximum(alpha, np.roll(alpha, 7, axis=1))
    low, high = apply_edges(alpha, edges), apply_edges(more, edges)
    assert ((low >= 0) & (low <= 1)).all()
    if "band" not in controls and controls.get("specks", 0) <= 1 and controls.get("pinholes", 0) <= 1:
        assert (high >= low - 1e-5).all()


@pytest.mark.parametrize("shift", [-6, -1, -0.5, -0.25, 0.25, 0.5, 1, 1.5, 3, 6.5, 20])
def test_a_disc_grows_by_the_shift(shift: float) -> None:
    """On the mean over all directions, for a hard and a soft edge."""
    distance = np.hypot(*np.mgrid[-80.0:81, -80.0:81])
    for softness in (1, 6):
        made = apply_edges(np.clip((40 - distance) / softness + 0.5, 0, 1).astype(np.float32), EdgeOptions(shift=shift))
        assert math.sqrt(made.sum() / math.pi) - 40 == pytest.approx(shift, abs=0.15 if abs(shift) < 3 else 0.4)


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 4])
def test_straight_soft_edges_stay_under_smooth_and_move_under_shift(angle: float) -> None:
    y, x = np.mgrid[-40.0:41, -40.0:41]
    along = x * math.cos(angle) + y * math.sin(angle)
    inner = np.s_[12:-12, 12:-12]

    def ramp(shift: float) -> Alpha:
        return np.asarray(np.clip((shift - along) / 12 + 0.5, 0, 1), dtype=np.float32)

    np.testing.assert_allclose(apply_edges(ramp(0), EdgeOptions(smooth=3))[inner], ramp(0)[inner], atol=2e-3)
    for shift in (-3.0, -0.5, 0.25, 1.0, 4.0):
        made = apply_edges(ramp(0), EdgeOptions(shift=shift))
        np.testing.assert_allclose(made[inner], ramp(shift)[inner], atol=(0.1 * abs(shift) + 0.25) / 12)


VALUES = {
    name: st.floats(least, most, allow_subnormal=False) if name != "band" else st.floats(0, 64) | st.just(math.inf)
    for name, (least, most) in RANGES.items()
}


@given(st.builds(EdgeOptions, **VALUES))
def test_the_text_says_the_same(edges: EdgeOptions) -> None:
    assert EdgeOptions.parse(edges.text) == edges
    assert EdgeOptions.parse(edges.text).text == edges.text


@pytest.mark.parametrize("name", RANGES)
def test_values_out_of_range_are_refused_with_the_range(name: str) -> None:
    least, most = RANGES[name]
    for value in (least - 0.01, most * 1.01, math.nan, -math.inf):
        with pytest.raises(InputError, match=rf"^{name} is .*; accepted: {least:g} to"):
            EdgeOptions(**{name: value})
    assert getattr(EdgeOptions(**{name: most}), name) == most


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("blur=2", "'blur' is not a control of edges; accepted: contrast, gamma"),
        ("shift", "shift is ''; accepted: a number, as in shift=1"),
        ("shift=a lot", "shift is 'a lot'; accepted: a number"),
        ("shift=1,shift=2", "shift is given twice"),
        ("shift=99", "shift is 99.0; accepted: -32 to 32"),
        ("band=65", "band is 65.0; accepted: 0 to 64 or inf"),
        ("=1", "'' is not a control"),
    ],
)
def test_text_that_says_nothing_clear_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InputError) as refusal:
        EdgeOptions.parse(text)
    assert complaint in str(refusal.value)


def test_spaces_and_empty_parts_are_skipped() -> None:
    assert EdgeOptions.parse(" shift = -1 ,, feather=2, ") == EdgeOptions(shift=-1, feather=2)


def test_lengths_and_areas_are_scaled_with_the_photo() -> None:
    edges = EdgeOptions(contrast=0.1, gamma=2, specks=100, smooth=4, shift=-8, feather=2, threshold=0.5)
    assert edges.scaled(1) == edges
    small = EdgeOptions(contrast=0.1, gamma=2, specks=25, smooth=2, shift=-4, feather=1, threshold=0.5)
    assert edges.scaled(0.5) == small
