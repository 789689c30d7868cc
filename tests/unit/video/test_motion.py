import numpy as np
import pytest

pytest.importorskip("cv2")
import cv2

from mask2alpha.video import motion
from mask2alpha.video.motion import find_motion, load_opencv, make_thumbnail, motion_of, warp

SIZE = (96, 128)


def texture(rng: np.random.Generator, size: tuple[int, int] = SIZE) -> np.ndarray:
    noise = rng.random((size[0] // 4, size[1] // 4, 3), dtype=np.float32)
    return cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1)


def shifted(picture: np.ndarray, right: int, down: int) -> np.ndarray:
    return np.roll(picture, (down, right), axis=(0, 1))


def test_a_shift_is_found_both_ways_and_trusted(rng: np.random.Generator) -> None:
    before = texture(rng)
    to_before, from_before = find_motion(before, shifted(before, 3, 2))
    inside = (slice(16, -16), slice(16, -16))
    assert np.abs(np.median(to_before.flow[inside], (0, 1)) - [-3, -2]).max() < 0.2
    assert np.abs(np.median(from_before.flow[inside], (0, 1)) - [3, 2]).max() < 0.2
    assert to_before.trust[inside].mean() > 0.9
    assert not to_before.is_cut


def test_another_scene_is_a_cut(rng: np.random.Generator) -> None:
    to_before, from_before = find_motion(texture(rng), texture(rng))
    assert to_before.is_cut
    assert from_before.is_cut


def test_a_flash_of_noise_is_no_cut(rng: np.random.Generator) -> None:
    before = texture(rng)
    after = (before + 0.03 * rng.standard_normal(before.shape, dtype=np.float32)).clip(0, 1)
    assert not find_motion(before, after)[0].is_cut


def test_warping_brings_a_larger_picture_here(rng: np.random.Generator) -> None:
    large = texture(rng, (192, 256))
    flow = np.full((*SIZE, 2), (-3, 2), dtype=np.float32)  # in pixels of the thumbnail
    inside = (slice(16, -16), slice(16, -16))
    assert np.abs(warp(large, flow)[inside] - shifted(large, 6, -4)[inside]).max() < 1e-4


def test_the_targets_motion_goes_on_beyond_its_border() -> None:
    target = np.zeros(SIZE, np.float32)
    target[30:60, 40:80] = 1
    flow = np.where(target[..., None] > 0, np.float32([4, 1]), np.float32([-5, 0]))
    of_target = motion_of(target, flow)
    assert np.abs(of_target[25:65, 35:85] - [4, 1]).max() < 0.1
    assert np.abs(of_target - [4, 1]).max() < 0.5


def test_a_thumbnail_keeps_shape_and_range(rng: np.random.Generator) -> None:
    image = rng.integers(0, 65536, (30, 3 * motion.SIDE, 3), dtype=np.uint16)
    thumbnail = make_thumbnail(image)
    assert thumbnail.shape == (10, motion.SIDE, 3)
    assert thumbnail.dtype == np.float32
    assert abs(float(thumbnail.mean()) - 0.5) < 0.02


def test_tiny_frames_have_no_motion() -> None:
    to_before, _ = find_motion(np.zeros((5, 9, 3), np.float32), np.zeros((5, 9, 3), np.float32))
    assert not to_before.flow.any()


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(motion.VideoError, match=r"mask2alpha\[video\]"):
        load_opencv()
