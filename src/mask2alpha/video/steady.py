"""Mattes that stay steady from frame to frame, or that follow a target whose mask is known in one frame only.

Three things use the motion between frames (decision 0015):

1. Rough masks flicker, so the mask of a frame is averaged with those of its neighbours, each moved here.
2. A frame without a mask gets the last frame's matte, moved here: the state process starts from it.
3. The matte is averaged with those of the frames before and after, moved here, where colours and alpha agree.
"""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    stays_inside,
    thumbnail_size,
    warp,
)

REACH = 4
"""Frames before and after whose masks are averaged."""
_TARGET_TOLERANCE, _BACKGROUND_TOLERANCE = 0.06, 0.25
"""Difference of colours at which a neighbour's matte is half trusted: where it is 1, and what is added where it is 0,
since there the background moves in another way."""
_ALPHA_TOLERANCE = 0.3
"""Difference of alpha with the same effect: larger ones are no flicker but something that has come between."""
_ALPHA_REACH = 0.01
"""How far this difference is averaged, as a share of the longer side."""
_GROWTH, _THICKNESS = 0.005, 0.015
"""How far a target that is followed without a mask grows in a frame, and the radius of what may appear beside it, as
shares of the longer side."""
_LEAST_MOTION = 1.0
"""Difference between the flow of a target and of its surroundings, in pixels, from which it tells them apart."""
_LEAST_SEEN = 0.3
"""Least mean trust over a target that is followed without a mask."""
_LARGEST_CHANGE = 1.5
"""Largest factor between its areas in two frames."""
_LEAST_AREA = 0.25
"""Least area, over that in the last frame with a mask."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """A frame and what is known before it is matted."""

    index: int
    """In the clip, from 0."""
    image: NDArray[Any]
    """(H, W, 3), uint8 or uint16."""
    masks: Sequence[NDArray[np.uint8] | None]
    """Of each object: (H, W), 0 to 255; None: it is followed."""
    thumbnail: FloatArray
    thumbnail_before: FloatArray | None = None
    """Of the frame before; None for the first."""
    to_before: Motion | None = None
    """To the frame before; None for the first."""
    from_before: Motion | None = None
    """From the frame before to this one."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carried:
    """What the next frame has to know of an object in this one."""

    alpha: FloatArray
    """(H, W), before it is averaged with its neighbours'."""
    mask: FloatArray
    """(H, W), what a frame without a mask starts from; see `anchor`."""
    given: FloatArray
    """(H, W), the last mask that was given, moved here."""
    area: float = 0.0
    """The sum of alpha in the frame of that mask."""
    is_absent: bool = False
    """Whether that mask said that the object is not there: then it is not lost."""

    @classmethod
    def alone(cls, alpha: FloatArray) -> "Carried":
        """Of a matte that no other frame depends on."""
        return cls(alpha=alpha, mask=alpha, given=alpha)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SteadyMatte:
    """An object's matte in a frame, and what the user should be told of it."""

    matte: Matte
    carried: Carried
    """For the next frame."""
    warning: str | None = None


def with_motion(
    frames: Iterable[tuple[int, NDArray[Any], Sequence[NDArray[np.uint8] | None]]],
) -> Iterator[Frame]:
    """Add the motion to (index, image, masks) of successive frames."""
    before: Frame | None = None
    for index, image, masks in frames:
        frame = Frame(index=index, image=image, masks=masks, thumbnail=make_thumbnail(image))
        if before is not None:
            to_before, from_before = find_motion(before.thumbnail, frame.thumbnail)
            frame = replace(frame, thumbnail_before=before.thumbnail, to_before=to_before, from_before=from_before)
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


def average_mask(before: Sequence[Frame], here: Frame, after: Sequence[Frame], number: int = 0) -> FloatArray:
    """The mask of an object in a frame and in its neighbours, moved here and weighted by the trust in the motion.

    Returns:
        (H, W) in [0, 1]; between where the masks disagree.
    """
    cv2 = load_opencv()
    votes = _votes(here, number)
    past = np.zeros_like(votes)
    for frame in (*before, here):
        past = _moved(past, frame.to_before)
        past += _votes(frame, number) if frame is not here else 0
    future = np.zeros_like(votes)
    for frame in reversed(after):
        future = _moved(future + _votes(frame, number), frame.from_before)
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


def blend(
    alpha: FloatArray, here: FloatArray, neighbours: Sequence[tuple[FloatArray, Motion, FloatArray]]
) -> FloatArray:
    """Average a matte with its neighbours', where colours and alpha agree with the target's motion.

    Args:
        alpha: Of this frame, (H, W).
        here: This frame's thumbnail, (h, w, 3).
        neighbours: Of each frame beside it: alpha, the motion from here to there, and the thumbnail.

    Returns:
        (H, W) in [0, 1], up to rounding.
    """
    cv2 = load_opencv()
    height, width = alpha.shape
    size_wh = here.shape[1::-1]
    reach = 2 * round(_ALPHA_REACH * max(size_wh) / 2) + 1
    present = cv2.resize(alpha, size_wh, interpolation=cv2.INTER_AREA)
    total, weight = alpha.copy(), np.ones_like(alpha)
    for there, motion, thumbnail in neighbours:
        moved, flow = carry(there, motion)
        target = cv2.resize(moved, size_wh, interpolation=cv2.INTER_AREA)
        tolerance = _TARGET_TOLERANCE + _BACKGROUND_TOLERANCE * (1 - target)
        trust = colour_trust(colour_difference(here, warp(thumbnail, flow)), tolerance)
        trust *= colour_trust(cv2.blur(np.abs(target - present), (reach, reach)), _ALPHA_TOLERANCE)
        trust *= stays_inside(flow)
        trust = cv2.resize(trust, (width, height), interpolation=cv2.INTER_LINEAR)
        total += trust * moved
        weight += trust
    return np.asarray(total / weight, np.float32)


def anchor(alpha: FloatArray, mask: FloatArray, given: FloatArray, motion: Motion | None) -> FloatArray:
    """A matte without what probably is not the target, so that errors do not add up from frame to frame.

    Beside its mask, only thick parts are kept; of separate pieces, those that the user's mask had, and those that move
    with the largest one.

    Args:
        alpha: (H, W).
        mask: (H, W) in [0, 1], from which it was made.
        given: (H, W) in [0, 1], the last mask that was given, moved here.
        motion: From this frame to the one before; None for the first.
    """
    cv2 = load_opencv()
    height, width = alpha.shape
    size_wh = thumbnail_size(height, width)
    radii = [max(1, round(share * max(size_wh))) for share in (_GROWTH, _THICKNESS)]
    near, thick = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1)) for r in radii)
    parts = (cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA) > 0.5 for part in (alpha, mask, given))
    target, known, confirmed = parts
    kept = target & (known | (cv2.morphologyEx(target.astype(np.uint8), cv2.MORPH_OPEN, thick) > 0))
    if motion is not None:
        kept = _moving_along(kept, confirmed, motion.flow)
    kept = cv2.dilate(kept.astype(np.float32), near)
    return np.asarray(alpha * cv2.resize(kept, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _moving_along(target: NDArray[np.bool_], confirmed: NDArray[np.bool_], flow: FloatArray) -> NDArray[np.bool_]:
    """The pieces of a target (h, w) without those whose flow is nearer to the surroundings' than to the largest's.

    Pieces of which at least half is confirmed stay.
    """
    count, labels = load_opencv().connectedComponents(target.astype(np.uint8))
    if count <= 2:  # the surroundings and one piece
        return target
    areas, sure = (np.bincount(part, minlength=count) for part in (labels.ravel(), labels[confirmed]))
    flows = np.stack([np.median(flow[labels == label], axis=0) for label in range(count)])
    main = 1 + int(areas[1:].argmax())
    if np.linalg.norm(flows[main] - flows[0]) < _LEAST_MOTION:
        return target
    stays = np.linalg.norm(flows - flows[main], axis=1) <= np.linalg.norm(flows - flows[0], axis=1)
    return np.asarray(target & (stays | (2 * sure >= areas))[labels])


def settle(alphas: Sequence[FloatArray], *, is_exclusive: bool = False) -> list[FloatArray]:
    """As a 16-bit file holds them, so that a run that is taken up again sees the same; nearly 0 is 0, nearly 1 is 1.

    With `is_exclusive`, they then add up to at most 1.
    """
    rounded = [np.rint(alpha * 65535) for alpha in alphas]
    for values in rounded:
        values[values < 257] = 0
        values[values > 254 * 257] = 65535
    if is_exclusive:
        share = np.minimum(1, 65535 / np.maximum(1, np.sum(rounded, axis=0, dtype=np.float64)))
        rounded = [np.floor(values * share) for values in rounded]
    return [np.asarray(values, np.float32) / np.float32(65535) for values in rounded]


def matte_steadily(
    predictor: AbstractPredictor,
    frames: Iterable[Frame],
    *,
    names: Sequence[str] = ("",),
    is_exclusive: bool = False,
    first: int = 0,
    last: Sequence[Carried] | None = None,
) -> Iterator[tuple[SteadyMatte, ...]]:
    """Matte successive frames; each is encoded once for all objects.

    Args:
        predictor: What mattes a frame.
        frames: From `REACH` frames before `first` on, where the clip has them.
        names: Of the objects; "" of a single one without a name.
        is_exclusive: Whether the mattes of a frame add up to at most 1.
        first: The first frame that is matted.
        last: Of each object in the frame before, as this function returned it; None at the start of a clip.

    Raises:
        VideoError: A frame without a mask has no frame before, or shows another scene. The frames before it have been
            yielded.
    """
    matted = _matte_alone(predictor, frames, names=names, is_exclusive=is_exclusive, first=first, last=last)
    before, here = last, next(matted, None)
    while here is not None:
        error: VideoError | None = None
        try:
            after = next(matted, None)
        except VideoError as raised:
            after, error = None, raised
        yield _average(before, here, after, is_exclusive=is_exclusive)
        if error is not None:
            raise error
        before, here = [each.carried for each in here[1]], after


def _matte_alone(
    predictor: AbstractPredictor,
    frames: Iterable[Frame],
    *,
    names: Sequence[str],
    is_exclusive: bool,
    first: int,
    last: Sequence[Carried] | None,
) -> Iterator[tuple[Frame, tuple[SteadyMatte, ...]]]:
    """The frames from `first` on, with their mattes, which are not yet averaged with their neighbours'."""
    for before, here, after in windows(frames):
        if here.index < first:
            continue
        can_follow = last is not None and here.to_before is not None and not here.to_before.is_cut
        masks: dict[str, FloatArray] = {}
        for number, name in enumerate(names):
            if here.masks[number] is not None:
                masks[name] = average_mask(before, here, after, number)
                continue
            if not can_follow:
                raise VideoError(_unfollowed(here, name))
            assert last is not None
            assert here.to_before is not None
            masks[name] = carry(last[number].mask, here.to_before)[0]
        mattes = predict_objects(predictor, here.image, masks, is_exclusive=is_exclusive)
        alphas = settle([matte.alpha for matte in mattes], is_exclusive=is_exclusive)
        done: list[SteadyMatte] = []
        for number, (matte, alpha) in enumerate(zip(mattes, alphas, strict=True)):
            mask, own = masks[names[number]], here.masks[number]
            given, area, is_absent, warning = mask, float(alpha.sum()), own is not None and not own.any(), None
            if own is None:
                assert last is not None
                assert here.to_before is not None
                given, area, is_absent = (
                    carry(last[number].given, here.to_before)[0],
                    last[number].area,
                    last[number].is_absent,
                )
                warning = None if is_absent else _doubt(here, mask, alpha, area)
            kept, given = settle([anchor(alpha, mask, given, here.to_before), given])
            carried = Carried(alpha=alpha, mask=kept, given=given, area=area, is_absent=is_absent)
            done.append(SteadyMatte(matte=matte, carried=carried, warning=warning))
        last = [each.carried for each in done]
        yield here, tuple(done)


def _average(
    before: Sequence[Carried] | None,
    here: tuple[Frame, tuple[SteadyMatte, ...]],
    after: tuple[Frame, tuple[SteadyMatte, ...]] | None,
    *,
    is_exclusive: bool,
) -> tuple[SteadyMatte, ...]:
    """The mattes of a frame, averaged with those of its neighbours, unless the scene changes there."""
    frame, mattes = here
    alphas: list[FloatArray] = []
    for number, each in enumerate(mattes):
        neighbours: list[tuple[FloatArray, Motion, FloatArray]] = []
        if before is not None and frame.to_before is not None and frame.thumbnail_before is not None:
            neighbours.append((before[number].alpha, frame.to_before, frame.thumbnail_before))
        if after is not None and after[0].from_before is not None:
            neighbours.append((after[1][number].carried.alpha, after[0].from_before, after[0].thumbnail))
        of_the_scene = [neighbour for neighbour in neighbours if not neighbour[1].is_cut]
        alphas.append(blend(each.carried.alpha, frame.thumbnail, of_the_scene))
    pairs = zip(mattes, settle(alphas, is_exclusive=is_exclusive), strict=True)
    return tuple(replace(each, matte=replace(each.matte, alpha=alpha)) for each, alpha in pairs)


def predict_objects(
    predictor: AbstractPredictor, image: NDArray[Any], masks: Mapping[str, NDArray[Any]], *, is_exclusive: bool
) -> tuple[Matte, ...]:
    """Matte the objects of a frame, which is encoded once; bytes may draw a trimap, floats are shares."""
    named = {name or "mask": Mask(values=mask, is_soft=mask.dtype == np.float32) for name, mask in masks.items()}
    with warnings.catch_warnings():
        if len(masks) > 1:  # of several objects, some are often out of sight
            warnings.filterwarnings("ignore", message=".* is empty")
        return predictor.predict_instances(image, named, is_exclusive=is_exclusive)


def _unfollowed(here: Frame, name: str) -> str:
    reason = "the scene changes there" if here.index else "nothing comes before it"
    return f"frame {here.index + 1} has no mask{f' of {name}' if name else ''}, and {reason}; give a mask for it"


def _votes(frame: Frame, number: int) -> FloatArray:
    """(h, w, 2): an object's mask and 1; zeros where the frame has none."""
    cv2 = load_opencv()
    height, width = frame.thumbnail.shape[:2]
    votes = np.zeros((height, width, 2), np.float32)
    if (given := frame.masks[number]) is not None:
        mask = cv2.resize(given, (width, height), interpolation=cv2.INTER_AREA)
        votes[..., 0] = mask / np.float32(255)
        votes[..., 1] = 1
    return votes


def _moved(votes: FloatArray, motion: Motion | None) -> FloatArray:
    if motion is None or motion.is_cut:
        return np.zeros_like(votes)
    return warp(votes, motion.flow) * motion.trust[..., None]


def _doubt(here: Frame, moved: FloatArray, alpha: FloatArray, area: float) -> str | None:
    """Why a matte that only followed the one before may have lost its target; None: no reason.

    `area` is that of the target where it last had a mask.
    """
    cv2 = load_opencv()
    assert here.to_before is not None
    target = cv2.resize(moved, here.to_before.trust.shape[::-1], interpolation=cv2.INTER_AREA)
    before, now = float(moved.sum()), float(alpha.sum())
    if now == 0 or before == 0:
        return "the target is gone"
    if not 1 / _LARGEST_CHANGE < now / before < _LARGEST_CHANGE:
        return f"the target's area changes by {100 * (now / before - 1):+.0f} % at once"
    if now < _LEAST_AREA * area:
        return f"the target has {100 * now / area:.0f} % of the area that it had with its last mask"
    if float((here.to_before.trust * target).sum()) < _LEAST_SEEN * float(target.sum()):
        return "the target's motion is hard to follow"
    return None
