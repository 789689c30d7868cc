"""Where things were a frame ago: dense optical flow (OpenCV's DIS), and how far it can be trusted.

Everything here is at the size of a thumbnail, whose longer side is at most `SIDE`. A flow (h, w, 2) says, for each
pixel of one frame, where in another frame the same thing is: x and y, as differences in thumbnail pixels.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import VideoError

FloatArray: TypeAlias = NDArray[np.float32]
SIDE = 960
"""Longer side of a thumbnail, in pixels."""
_COLOUR_TOLERANCE = 0.08
"""Difference of colours, as a share of the range, at which two pixels are half trusted to show the same thing."""
_LOOP_TOLERANCE = 1.5
"""Distance in pixels, there and back again, with the same effect."""
_TARGET_REACH = 0.02
"""How far the target's flow is averaged: the Gaussian's sigma, as a share of the longer side."""
_LEAST_REACH = 8
"""And at least so many pixels."""
_CUT_DIFFERENCE = 0.09
"""Mean difference between a frame and the moved one before it, above which the scene has changed."""
_CUT_TRUST = 0.35
"""And mean trust below which it has."""


def load_opencv() -> Any:
    """The module `cv2`.

    Raises:
        VideoError: It is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise VideoError(
            "following motion needs OpenCV: pip install 'mask2alpha[video]', or use --no-steady"
        ) from error
    return cv2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Motion:
    """From a frame to a neighbour in time."""

    flow: FloatArray
    """(h, w, 2)."""
    trust: FloatArray
    """(h, w) in [0, 1]: whether the thing is seen in both frames, by its colour and by the way back."""
    difference: float
    """Mean difference of the colours that are matched, in [0, 1]."""

    @property
    def is_cut(self) -> bool:
        """Whether the neighbour shows another scene."""
        return self.difference > _CUT_DIFFERENCE and float(self.trust.mean()) < _CUT_TRUST


def thumbnail_size(height: int, width: int) -> tuple[int, int]:
    """(width, height) of a frame's thumbnail, the shape kept."""
    scale = min(1.0, SIDE / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def make_thumbnail(image: NDArray[Any]) -> FloatArray:
    """(h, w, 3) in [0, 1]."""
    cv2 = load_opencv()
    height, width = image.shape[:2]
    size_wh = thumbnail_size(height, width)
    small = image if size_wh == (width, height) else cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32) / np.float32(np.iinfo(image.dtype).max)


def find_motion(before: FloatArray, after: FloatArray) -> tuple[Motion, Motion]:
    """From the later frame to the earlier one, and from the earlier to the later; thumbnails (h, w, 3)."""
    grey_before, grey_after = _grey(before), _grey(after)
    to_before, to_after = _flow(grey_after, grey_before), _flow(grey_before, grey_after)
    return _judge(after, before, to_before, to_after), _judge(before, after, to_after, to_before)


def warp(picture: FloatArray, flow: FloatArray, *, is_smooth: bool = False) -> FloatArray:
    """What a frame's pixels were in the frame that `picture` (H, W) or (H, W, C) belongs to.

    Args:
        picture: Of any size; the flow is scaled to it.
        flow: (h, w, 2).
        is_smooth: Cubic instead of linear interpolation, which blurs less when done again and again.
    """
    cv2 = load_opencv()
    height, width = picture.shape[:2]
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], dtype=np.float32)
    if flow.shape[:2] != (height, width):
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
    place = flow * scale
    place[..., 0] += np.arange(width, dtype=np.float32)
    place[..., 1] += np.arange(height, dtype=np.float32)[:, None]
    interpolation = cv2.INTER_CUBIC if is_smooth else cv2.INTER_LINEAR
    return np.asarray(cv2.remap(picture, place, None, interpolation, borderMode=cv2.BORDER_REPLICATE), np.float32)


def motion_of(weight: FloatArray, flow: FloatArray) -> FloatArray:
    """The flow of the target alone, continued beyond its border, where the flow is half the background's.

    Args:
        weight: (h, w): how surely a pixel shows the target, and has the right flow.
        flow: (h, w, 2).

    Returns:
        A smooth flow: the weighted mean over nearby pixels; far from the target its mean flow.
    """
    cv2 = load_opencv()
    height, width = weight.shape
    size_wh = max(1, width // 4), max(1, height // 4)  # smooth, so done at a smaller size
    stacked = np.concatenate([flow * weight[..., None], weight[..., None]], axis=2)
    weighted = cv2.resize(stacked, size_wh, interpolation=cv2.INTER_AREA)
    everywhere = weighted.mean((0, 1)) + np.array([0, 0, 1e-9], np.float32)
    near = cv2.GaussianBlur(weighted, (0, 0), max(_LEAST_REACH, _TARGET_REACH * max(height, width)) / 4)
    near += np.float32(1e-3) * everywhere
    return np.asarray(cv2.resize(near[..., :2] / near[..., 2:], (width, height)), np.float32)


def stays_inside(flow: FloatArray) -> NDArray[np.bool_]:
    """(h, w): where a flow (h, w, 2) leads to a place within the other frame."""
    height, width = flow.shape[:2]
    x, y = flow[..., 0] + np.arange(width), flow[..., 1] + np.arange(height)[:, None]
    return np.asarray((x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5))


def colour_trust(difference: FloatArray, tolerance: "float | FloatArray" = _COLOUR_TOLERANCE) -> FloatArray:
    """1 where colours agree, 1/2 where they differ by the tolerance, falling to 0."""
    return np.asarray(np.exp2(-np.square(difference / tolerance)), np.float32)


def colour_difference(one: FloatArray, other: FloatArray) -> FloatArray:
    """(h, w): the mean absolute difference of the channels, over 3 x 3 pixels."""
    cv2 = load_opencv()
    return np.asarray(cv2.blur(np.abs(one - other).mean(axis=2), (3, 3)), np.float32)


def _grey(thumbnail: FloatArray) -> NDArray[np.uint8]:
    return np.asarray(np.rint(thumbnail @ np.array([76.245, 149.685, 29.07], np.float32)), np.uint8)


def _flow(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> FloatArray:
    cv2 = load_opencv()
    if min(one.shape) < 32:  # too small for the method's patches
        return np.zeros((*one.shape, 2), np.float32)
    return np.asarray(cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(one, other, None), np.float32)


def _judge(here: FloatArray, there: FloatArray, flow: FloatArray, way_back: FloatArray) -> Motion:
    difference = colour_difference(here, warp(there, flow))
    loop = np.linalg.norm(flow + warp(way_back, flow), axis=2).astype(np.float32)
    trust = colour_trust(difference) * colour_trust(loop, _LOOP_TOLERANCE)
    return Motion(flow=flow, trust=trust, difference=float(difference.mean()))
