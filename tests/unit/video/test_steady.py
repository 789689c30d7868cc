from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("cv2")
import cv2

from fakes import FakePredictor
from mask2alpha.errors import VideoError
from mask2alpha.evaluation.metrics import dtssd
from mask2alpha.video.motion import Motion
from mask2alpha.video.steady import REACH, Frame, anchor, blend, matte_steadily, settle, windows, with_motion

SIZE = (80, 112)


def scene(num_frames: int, *, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Image and true alpha: a textured disc that moves over a textured background that moves the other way."""
    rng = np.random.default_rng(seed)
    textures = [rng.random((SIZE[0] // 5, SIZE[1] // 2, 3), dtype=np.float32) for _ in range(2)]
    inner, outer = (cv2.resize(t, (2 * SIZE[1], SIZE[0]), interpolation=cv2.INTER_CUBIC).clip(0, 1) for t in textures)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    for index in range(num_frames):
        left = 2 * index
        alpha = (0.5 + (20 - np.hypot(y - 40, x - 35 - left)) / 4).clip(0, 1).astype(np.float32)
        target = np.roll(inner, left, axis=1)[:, : SIZE[1]] * [1, 0.6, 0.3]
        background = np.roll(outer, -left, axis=1)[:, : SIZE[1]] * [0.3, 0.6, 1]
        image = alpha[..., None] * target + (1 - alpha[..., None]) * background
        yield np.rint(255 * image).astype(np.uint8), alpha


def flickering(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    radius = int(rng.integers(1, 6))
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    change = cv2.erode if rng.random() < 0.5 else cv2.dilate
    return np.asarray(change(np.where(alpha > 0.5, 255, 0).astype(np.uint8), kernel))


def frames(num_frames: int) -> tuple[list[Frame], np.ndarray]:
    rng = np.random.default_rng(1)
    images, alphas = zip(*scene(num_frames), strict=True)
    masks = [flickering(alpha, rng) for alpha in alphas]
    return list(
        with_motion((index, *pair) for index, pair in enumerate(zip(images, ([mask] for mask in masks), strict=True)))
    ), np.stack(alphas)


def test_each_frame_comes_once_with_its_neighbours() -> None:
    made, _ = frames(11)
    seen = [([f.index for f in before], here.index, [f.index for f in after]) for before, here, after in windows(made)]
    assert seen == [
        (list(range(max(0, i - REACH), i)), i, list(range(i + 1, min(11, i + REACH + 1)))) for i in range(11)
    ]


def test_flicker_of_the_masks_is_evened_out() -> None:
    made, truth = frames(10)
    alone = np.stack([mask for frame in made for mask in frame.masks if mask is not None]) / np.float32(255)
    steady = np.stack([each.matte.alpha for (each,) in matte_steadily(FakePredictor(), made)])
    assert dtssd(steady, truth) < 0.6 * dtssd(alone, truth)
    assert np.abs(steady - truth).sum() < np.abs(alone - truth).sum()


def test_a_target_is_followed_from_its_first_mask() -> None:
    """By motion alone: the predictor's alpha is the mask, so nothing mends it."""
    images, alphas = zip(*scene(7), strict=True)
    first = np.where(alphas[0] > 0.5, 255, 0).astype(np.uint8)
    clip = with_motion((index, image, [None if index else first]) for index, image in enumerate(images))
    mattes = [each for (each,) in matte_steadily(FakePredictor(), clip)]
    last, truth = mattes[-1].matte.alpha > 0.5, alphas[-1] > 0.5
    assert (last & truth).sum() / (last | truth).sum() > 0.8
    assert not any(each.warning for each in mattes)


def test_a_still_clip_keeps_its_matte_exactly() -> None:
    image, alpha = next(scene(1))
    mask = np.rint(255 * alpha).astype(np.uint8)
    still = with_motion((index, image, [mask]) for index in range(3))
    mattes = [each.matte.alpha for (each,) in matte_steadily(FakePredictor(), still)]
    assert np.abs(mattes[2] - mattes[0]).max() < 1e-4


def test_going_on_later_gives_the_same() -> None:
    made, _ = frames(9)
    whole = [each for (each,) in matte_steadily(FakePredictor(), made)]
    rest = matte_steadily(FakePredictor(), made[1:], first=5, last=[whole[4].carried])
    assert all(
        np.array_equal(one.matte.alpha, other.matte.alpha) for (one,), other in zip(rest, whole[5:], strict=True)
    )


def test_a_cut_stops_following_and_says_where() -> None:
    images = [image for image, _ in scene(3)] + [image for image, _ in scene(2, seed=7)]
    mask = flickering(next(scene(1))[1], np.random.default_rng(0))
    clip = with_motion((index, image, [mask if index == 0 else None]) for index, image in enumerate(images))
    mattes = matte_steadily(FakePredictor(), clip)
    done = [next(mattes) for _ in range(3)]
    assert len(done) == 3
    with pytest.raises(VideoError, match="frame 4 has no mask, and the scene changes there"):
        next(mattes)


def test_nothing_is_carried_over_a_cut() -> None:
    images = [image for image, _ in scene(2)] + [image for image, _ in scene(2, seed=7)]
    left, right = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    left[:, :40], right[:, 70:] = 255, 255
    clip = with_motion(enumerated(images, [left, left, right, right]))
    mattes = [each.matte.alpha for (each,) in matte_steadily(FakePredictor(), clip)]
    assert mattes[1][:, :38].min() > 0.99
    assert mattes[2][:, :38].max() < 0.01
    assert mattes[2][:, 72:].min() > 0.99


def enumerated(images: list[np.ndarray], masks: list[np.ndarray]) -> Iterator[tuple[int, np.ndarray, list[np.ndarray]]]:
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        yield index, image, [mask]


def test_a_target_that_vanishes_is_doubted() -> None:
    image, alpha = next(scene(1))
    mask = np.where(alpha > 0.5, 255, 0).astype(np.uint8)

    class Loser(FakePredictor):
        def predict(self, image, mask):  # type: ignore[no-untyped-def]
            matte = super().predict(image, mask)
            if self.num_predicted > 1:
                matte.alpha[:] = 0
            return matte

    clip = with_motion((index, image, [mask if index == 0 else None]) for index in range(2))
    assert [each.warning for (each,) in matte_steadily(Loser(), clip)] == [None, "the target is gone"]


def test_what_comes_between_is_not_averaged_away() -> None:
    image, _ = next(scene(1))
    made = list(with_motion((index, image, [None]) for index in range(3)))
    alphas = [np.full(SIZE, 1.0, np.float32) for _ in range(3)]
    alphas[1][:, 60:] = 0
    assert made[1].to_before is not None
    assert made[2].from_before is not None
    beside = [(alphas[0], made[1].to_before, made[0].thumbnail), (alphas[2], made[2].from_before, made[2].thumbnail)]
    assert blend(alphas[1], made[1].thumbnail, beside)[:, 64:].max() < 0.01
    assert blend(alphas[0] - np.float32(0.1), made[1].thumbnail, beside).min() > 0.91


def test_only_thick_parts_may_appear_beside_a_mask() -> None:
    mask, alpha = (np.zeros((200, 300), np.float32) for _ in range(2))
    mask[80:120, 100:140] = 1
    alpha[80:120, 100:160] = 1  # 20 pixels more
    alpha[60:80, 118:121] = 1
    alpha[99:101, 160:250] = 1
    anchored = anchor(alpha, mask, mask, None)
    assert anchored[80:120, 100:160].min() > 0.9
    assert anchored[60:76].max() == 0
    assert anchored[:, 166:].max() == 0


def test_a_piece_that_moves_with_the_surroundings_is_dropped() -> None:
    alpha = np.zeros((200, 300), np.float32)
    alpha[50:150, 50:150] = alpha[50:90, 200:240] = alpha[110:150, 200:240] = 1
    flow = np.zeros((200, 300, 2), np.float32)
    flow[50:150, 50:150] = flow[50:90, 200:240] = (6, 0)
    motion = Motion(flow=flow, trust=np.ones((200, 300), np.float32), difference=0.0)
    given = np.where(np.arange(300) < 180, alpha, 0).astype(np.float32)
    anchored = anchor(alpha, alpha, given, motion)
    assert anchored[52:88, 202:238].min() == 1
    assert anchored[104:, 190:].max() == 0
    assert np.array_equal(anchor(alpha, alpha, given, replace(motion, flow=flow / 10)) > 0, alpha > 0)
    assert np.array_equal(anchor(alpha, alpha, alpha, motion) > 0, alpha > 0)


def test_a_target_that_fades_is_doubted() -> None:
    image, alpha = next(scene(1))
    mask = np.where(alpha > 0.5, 255, 0).astype(np.uint8)

    class Fading(FakePredictor):
        def predict(self, image, mask):  # type: ignore[no-untyped-def]
            matte = super().predict(image, mask)
            return replace(
                matte, alpha=cv2.erode(matte.alpha, np.ones((3, 3))) if self.num_predicted > 1 else matte.alpha
            )

    clip = with_motion((index, image, [None if index else mask]) for index in range(13))
    told = [each.warning for (each,) in matte_steadily(Fading(), clip)]
    assert told[:8] == [None] * 8
    assert any("of the area that it had with its last mask" in warning for warning in told if warning)


def test_settled_alpha_survives_a_16_bit_file(rng: np.random.Generator) -> None:
    [alpha] = settle([np.append(rng.random(1000, dtype=np.float32), np.float32([0.003, 0.998, 0, 1]))])
    again = np.rint(alpha * 65535).astype(np.uint16).astype(np.float32) / np.float32(65535)
    assert np.array_equal(alpha, again)
    assert alpha[-4:].tolist() == [0, 1, 0, 1]
