"""Mattes that stay steady from frame to frame, or that follow a target whose mask is known in one frame only.

Three things use the motion between frames (decision 0015):

1. Rough masks flicker, so the mask of a frame is averaged with those of its neighbours, each moved here.
2. A frame without a mask gets the last frame's matte, moved here: the state process starts from it.
3. The matte is drawn towards the last frame's, moved here, where the colours say that nothing else has changed.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import VideoError
from mask2alpha.ops.masks import Mask
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.pipeline.matte import Matte
from mask2alpha.video.motion import (
    FloatArray,
    Motion,
    colour_difference,
    colour_trust,
    find_motion,
    load_opencv,
    make_thumbnail,
    motion_of,
    warp,
)

REACH = 4
"""Frames before and after whose masks are averaged."""
_KEPT = 0.6
"""Share of the last frame's matte in this one's, where fully trusted."""
_TARGET_TOLERANCE, _BACKGROUND_TOLERANCE = 0.06, 0.25
"""Difference of colours at which the last matte is half trusted: where it is 1, and what is added where it is 0, since
there the background moves in another way."""
_LEAST_SEEN = 0.3
"""Least mean trust over a target that is followed without a mask."""
_LARGEST_CHANGE = 1.5
"""Largest factor between its areas in two frames."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """A frame and what is known before it is matted."""

    index: int
    """In the clip, from 0."""
    image: NDArray[Any]
    """(H, W, 3), uint8 or uint16."""
    mask: NDArray[np.uint8] | None
    """(H, W), 0 to 255; None: the target is followed."""
    thumbnail: FloatArray
    to_before: Motion | None = None
    """To the frame before; None for the first."""
    from_before: Motion | None = None
    """From the frame before to this one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SteadyMatte:
    """A frame's matte, and what the user should be told of it."""

    matte: Matte
    warning: str | None = None


def with_motion(frames: Iterable[tuple[int, NDArray[Any], NDArray[np.uint8] | None]]) -> Iterator[Frame]:
    """Add the motion to (index, image, mask) of successive frames."""
    before: Frame | None = None
    for index, image, mask in frames:
        frame = Frame(index=index, image=image, mask=mask, thumbnail=make_thumbnail(image))
        if before is not None:
            to_before, from_before = find_motion(before.thumbnail, frame.thumbnail)
            frame = replace(frame, to_before=to_before, from_before=from_before)
        before = frame
        yield frame


def windows(frames: Iterable[Frame], reach: int = REACH) -> Iterator[tuple[list[Frame], Frame, list[Frame]]]:
    """Each frame with up to `reach` before and after it, in order."""
    window: deque[Frame] = deque()
    position = 0  # of the frame whose turn is next
    for frame in frames:
        window.append(frame)
        if len(window) > position + reach:
            yield list(window)[:position], window[position], list(window)[position + 1 :]
            position += 1
            if position > reach:
                window.popleft()
                position -= 1
    while position < len(window):
        kept = list(window)
        yield kept[max(0, position - reach) : position], kept[position], kept[position + 1 :]
        position += 1


def average_mask(before: Sequence[Frame], here: Frame, after: Sequence[Frame]) -> FloatArray:
    """The mask of a frame and those of its neighbours, moved here and weighted by the trust in the motion.

    Returns:
        (H, W) in [0, 1]; between where the masks disagree.
    """
    cv2 = load_opencv()
    assert here.mask is not None
    votes = _votes(here)
    past = np.zeros_like(votes)
    for frame in (*before, here):
        past = _moved(past, frame.to_before)
        past += _votes(frame) if frame is not here else 0
    future = np.zeros_like(votes)
    for frame in reversed(after):
        future = _moved(future + _votes(frame), frame.from_before)
    votes += past + future
    height, width = here.image.shape[:2]
    mask = cv2.resize(votes[..., 0] / votes[..., 1], (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(mask, np.float32).clip(0, 1)


def carry(alpha: FloatArray, motion: Motion) -> tuple[FloatArray, FloatArray]:
    """Move a matte (H, W) into the frame that `motion` starts from; also the target's flow there, (h, w, 2)."""
    cv2 = load_opencv()
    size_wh = motion.flow.shape[1::-1]
    small = warp(cv2.resize(alpha, size_wh, interpolation=cv2.INTER_AREA), motion.flow)
    flow = motion_of(np.square(small) * motion.trust, motion.flow)  # what was uncovered is not trusted
    return warp(alpha, flow, is_smooth=True).clip(0, 1), flow


def blend(alpha: FloatArray, moved: FloatArray, flow: FloatArray, here: FloatArray, before: FloatArray) -> FloatArray:
    """Draw a matte towards the last one, where the colours agree with the target's motion.

    Args:
        alpha: Of this frame, (H, W).
        moved: The last one, moved here, (H, W).
        flow: The target's, to the frame before, (h, w, 2).
        here: This frame's thumbnail, (h, w, 3).
        before: The last one's.

    Returns:
        (H, W) in [0, 1]; below 1/255 it is 0, above 254/255 it is 1.
    """
    cv2 = load_opencv()
    height, width = alpha.shape
    target = cv2.resize(moved, flow.shape[1::-1], interpolation=cv2.INTER_AREA)
    trust = colour_trust(
        colour_difference(here, warp(before, flow)), _TARGET_TOLERANCE + _BACKGROUND_TOLERANCE * (1 - target)
    )
    trust = cv2.resize(trust, (width, height), interpolation=cv2.INTER_LINEAR)
    return settle(alpha + np.float32(_KEPT) * trust * (moved - alpha))


def settle(alpha: FloatArray) -> FloatArray:
    """As a 16-bit file holds it, so that a run that is taken up again sees the same; nearly 0 is 0, nearly 1 is 1."""
    rounded = np.rint(alpha * 65535)
    rounded[rounded < 257] = 0
    rounded[rounded > 254 * 257] = 65535
    return np.asarray(rounded, np.float32) / np.float32(65535)


def matte_steadily(
    predictor: AbstractPredictor, frames: Iterable[Frame], *, first: int = 0, last_alpha: FloatArray | None = None
) -> Iterator[SteadyMatte]:
    """Matte successive frames.

    Args:
        predictor: What mattes a frame.
        frames: From `REACH` frames before `first` on, where the clip has them.
        first: The first frame that is matted.
        last_alpha: (H, W): the matte of the frame before, as this function returned it; None at the start of a clip.

    Raises:
        VideoError: A frame without a mask has no frame before, or shows another scene.
    """
    for before, here, after in windows(frames):
        if here.index < first:
            continue
        moved = flow = None
        is_linked = here.to_before is not None and not here.to_before.is_cut
        if last_alpha is not None and is_linked:
            assert here.to_before is not None
            moved, flow = carry(last_alpha, here.to_before)
        if here.mask is None and moved is None:
            reason = "the scene changes there" if here.index else "nothing comes before it"
            raise VideoError(f"frame {here.index + 1} has no mask, and {reason}; give a mask for it")
        mask = moved if here.mask is None else average_mask(before, here, after)
        assert mask is not None
        matte = predictor.predict(here.image, Mask(values=mask, is_soft=True))
        warning = None
        if moved is not None and flow is not None:
            if here.mask is None:
                warning = _doubt(here, moved, matte.alpha)
            matte = replace(matte, alpha=blend(matte.alpha, moved, flow, here.thumbnail, before[-1].thumbnail))
        else:
            matte = replace(matte, alpha=settle(matte.alpha))
        last_alpha = matte.alpha
        yield SteadyMatte(matte=matte, warning=warning)


def _votes(frame: Frame) -> FloatArray:
    """(h, w, 2): the mask and 1; zeros where the frame has none."""
    cv2 = load_opencv()
    height, width = frame.thumbnail.shape[:2]
    votes = np.zeros((height, width, 2), np.float32)
    if frame.mask is not None:
        mask = cv2.resize(frame.mask, (width, height), interpolation=cv2.INTER_AREA)
        votes[..., 0] = mask / np.float32(255)
        votes[..., 1] = 1
    return votes


def _moved(votes: FloatArray, motion: Motion | None) -> FloatArray:
    if motion is None or motion.is_cut:
        return np.zeros_like(votes)
    return warp(votes, motion.flow) * motion.trust[..., None]


def _doubt(here: Frame, moved: FloatArray, alpha: NDArray[np.float32]) -> str | None:
    """Why a matte that only followed the one before may have lost its target; None: no reason."""
    cv2 = load_opencv()
    assert here.to_before is not None
    target = cv2.resize(moved, here.to_before.trust.shape[::-1], interpolation=cv2.INTER_AREA)
    before, now = float(moved.sum()), float(alpha.sum())
    if now == 0 or before == 0:
        return "the target is gone"
    if not 1 / _LARGEST_CHANGE < now / before < _LARGEST_CHANGE:
        return f"the target's area changes by {100 * (now / before - 1):+.0f} % at once"
    if float((here.to_before.trust * target).sum()) < _LEAST_SEEN * float(target.sum()):
        return "the target's motion is hard to follow"
    return None
