"""Following objects backwards: from a frame that has a mask to those before it that have none.

This is done before the clip is matted forwards. The mattes become the masks of the frames behind the middle between two
frames with a mask, and of all frames before the first one. The forward run then mattes every frame once more, and
averages neighbouring frames also where the two meet.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import VideoError
from mask2alpha.imaging.photo import Photo
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.rendering import WHOLE, Window
from mask2alpha.video.clips import AbstractClip, check_frame
from mask2alpha.video.steady import SteadyMatte, matte_steadily, with_motion

FRAMES_AT_ONCE = 8
"""Frames that are read forwards and held to be gone through backwards."""


def find_gaps(has_mask: Sequence[bool]) -> list[tuple[int, int]]:
    """The frames to follow backwards: (first, key), from the masked frame `key` down to `first`.

    Between two masks, these are the frames behind the middle but the first of them. That one is followed forwards, and
    averaged with the next, so that the later mask changes nothing before the middle. None if `has_mask` is empty, as
    for a video of masks, which has all of them.
    """
    keys = [index for index, is_key in enumerate(has_mask) if is_key]
    starts = [0, *((before + key) // 2 + 2 for before, key in pairwise(keys))]
    return [(first, key) for first, key in zip(starts, keys, strict=False) if first < key]


def follow_back(
    predictor: AbstractPredictor,
    clip: AbstractClip,
    masks: Mapping[str, NDArray[np.uint8]],
    *,
    first: int,
    key: int,
    region: Window = WHOLE,
) -> Iterator[tuple[int, tuple[SteadyMatte, ...]]]:
    """Follow objects from frame `key` down to frame `first`, or down to a change of the scene.

    Args:
        predictor: What mattes a frame.
        clip: The frames.
        masks: Each object's name to its mask of frame `key`: (H, W), 0 to 255, of the region.
        first: Where to end.
        key: Where to begin.
        region: Rows and columns of the frames to look at.

    Yields:
        Each frame below `key`, and the objects' mattes in it.
    """
    size = next(iter(masks.values())).shape

    def images() -> Iterator[tuple[int, NDArray[Any], Sequence[NDArray[np.uint8] | None]]]:
        for place, photo in enumerate(_read_back(clip, first, key)):
            part = replace(photo, pixels=photo.pixels[region])
            check_frame(part.pixels, (size[0], size[1]), clip.names[key - place])
            yield place, part.in_srgb().pixels, [None] * len(masks) if place else list(masks.values())

    mattes = matte_steadily(predictor, with_motion(images()), names=list(masks))
    for index in range(key, first - 1, -1):
        try:
            steady = next(mattes)
        except (StopIteration, VideoError):  # another scene, or a damaged frame: the forward run says so if it has to
            return
        if index < key:
            yield index, steady


def _read_back(clip: AbstractClip, first: int, last: int) -> Iterator[Photo]:
    """The frames from `last` down to `first`."""
    for stop in range(last + 1, first, -FRAMES_AT_ONCE):
        start = max(first, stop - FRAMES_AT_ONCE)
        yield from reversed(list(islice(clip.frames(start), stop - start)))
