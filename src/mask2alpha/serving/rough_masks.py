"""Rough masks from a box, by GrabCut, and from strokes of a brush."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.prompts.grabcut import GrabCut
from mask2alpha.prompts.prompt import Prompt
from mask2alpha.serving.jobs import Box, Stroke
from mask2alpha.shapes import Size

_SHIFT = 4
"""Number of fractional bits in the coordinates that OpenCV draws at."""


def mask_from_box(image: NDArray[Any], box: Box) -> NDArray[np.uint8]:
    """Segment the object in a box by GrabCut, which sees the box and some of its surroundings.

    Args:
        image: (H, W, 3), uint8 or uint16.
        box: In pixels of the image.

    Returns:
        (H, W), 0 and 255.

    Raises:
        InputError: The box lies outside the image or covers all of it, or GrabCut finds nothing in it.
    """
    rows, columns = clip_box(box, (image.shape[0], image.shape[1]), name="box")
    return GrabCut().make_mask(image, Prompt(box_xyxy=(columns.start, rows.start, columns.stop, rows.stop)))


def paint(mask: NDArray[np.uint8], strokes: Sequence[Stroke], *, scale: tuple[float, float]) -> NDArray[np.uint8]:
    """Paint strokes over a mask, in their order: 255, or 0 where they erase.

    Args:
        mask: (H, W); it is not changed.
        strokes: In pixels of the photo.
        scale: (x, y): pixels of the mask per pixel of the photo.
    """
    painted = mask.copy()
    for stroke in strokes:
        value = 0 if stroke.erase else 255
        # the centre of a pixel is at one half for the caller, and at 0 for OpenCV
        points = np.asarray(stroke.points) * scale - 0.5
        radius = stroke.radius * float(np.mean(scale))
        fixed = np.rint(points * 2**_SHIFT).astype(np.int32)
        if len(fixed) > 1:
            cv2.polylines(
                painted, [fixed[:, None]], False, value, max(1, round(2 * radius)), lineType=cv2.LINE_8, shift=_SHIFT
            )
        for x, y in (fixed[0], fixed[-1]):
            cv2.circle(
                painted, (int(x), int(y)), round(radius * 2**_SHIFT), value, cv2.FILLED, cv2.LINE_8, shift=_SHIFT
            )
    return painted


def clip_box(box: Box, size: Size, *, name: str) -> tuple[slice, slice]:
    """The rows and columns that a box touches of a photo of (height, width).

    Raises:
        InputError: The box lies outside the photo.
    """
    rows, columns = Prompt(box_xyxy=box).inside(size)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        given = ",".join(f"{number:g}" for number in box)
        raise InputError(f"the {name} {given} holds no pixel of the photo ({size[1]} x {size[0]})")
    return rows, columns
