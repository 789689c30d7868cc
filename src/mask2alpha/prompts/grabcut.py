"""GrabCut (Rother, Kolmogorov, Blake 2004): colours and borders alone, no network, no weights. Needs OpenCV."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.prompts.abstract import AbstractMaskMaker
from mask2alpha.prompts.prompt import Box, Prompt, Stroke
from mask2alpha.shapes import Size

SMALLEST_PIECE = 0.02
"""Pieces of the target, and holes in it, smaller than this part of it are dropped unless a stroke touches them."""
EDGE = 0.01
"""A box that ends nearer to the photograph's edge than this part of its longer side means that edge: no hand draws
exactly up to it, and the few pixels between would teach GrabCut that the target's own colours are the rest's."""
SURROUNDINGS = 0.3
"""How much around a box GrabCut sees, as a part of the box: it learns the other colours from there. A small target in a
large photograph is then cut as finely as a large one."""
NEAR_STROKES = 0.15
"""Without a box, what is nearer to a target stroke than this part of the photograph's longer side probably belongs."""


class GrabCut(AbstractMaskMaker):
    """For a box, strokes, or both: a box serves where its colours are the target's alone, strokes help elsewhere."""

    accepts = frozenset({"box", "target", "rest"})

    def __init__(self, *, max_side: int = 320, num_iterations: int = 5) -> None:
        """Choose how much work to do.

        Args:
            max_side: Longest side, in pixels, of what GrabCut sees; more is made smaller for it. The mask is to be
                rough, and the work grows with the pixels.
            num_iterations: Of GrabCut.

        Raises:
            InputError: OpenCV is not installed.
        """
        try:
            import cv2  # noqa: F401
        except ImportError as error:
            raise InputError('GrabCut needs OpenCV: pip install "mask2alpha[prompts]"') from error
        self.max_side = max_side
        self.num_iterations = num_iterations

    def _segment(self, image: UInt8[np.ndarray, "height width 3"], prompt: Prompt) -> UInt8[np.ndarray, "height width"]:
        rows, columns = _seen(image.shape[:2], prompt.box_xyxy)
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[rows, columns] = self._cut(image[rows, columns], _moved(prompt, -columns.start, -rows.start))
        return mask

    def _cut(self, image: UInt8[np.ndarray, "height width 3"], prompt: Prompt) -> UInt8[np.ndarray, "height width"]:
        import cv2

        size = image.shape[:2]
        scale = min(1.0, self.max_side / max(size))
        small = cv2.resize(image, _size_wh(size, scale), interpolation=cv2.INTER_AREA)
        labels = _draw_labels(small.shape[:2], prompt, scale, max(size))
        sure = labels.copy()
        cv2.setRNGSeed(0)
        model = np.zeros((1, 65))
        # GrabCut expects blue first; the order of the channels does not matter to it
        cv2.grabCut(small, labels, (0, 0, 0, 0), model, model.copy(), self.num_iterations, cv2.GC_INIT_WITH_MASK)
        target = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
        smallest = SMALLEST_PIECE * float(target.sum())
        target = _drop_small_pieces(target, smallest, has_stroke=sure == cv2.GC_FGD)
        target = 1 - _drop_small_pieces(1 - target, smallest, has_stroke=sure == cv2.GC_BGD)
        large = cv2.resize(target * np.uint8(255), _size_wh(size), interpolation=cv2.INTER_LINEAR)
        return np.where(large > 127, 255, 0).astype(np.uint8)


def _seen(size: Size, box_xyxy: Box | None) -> tuple[slice, slice]:
    """The rows and columns that GrabCut sees: the box and its surroundings, or all."""
    if box_xyxy is None:
        return slice(0, size[0]), slice(0, size[1])
    left, top, right, bottom = box_xyxy
    x, y = SURROUNDINGS * (right - left) + 1, SURROUNDINGS * (bottom - top) + 1
    return Prompt(box_xyxy=(left - x, top - y, right + x, bottom + y)).inside(size)


def _moved(prompt: Prompt, x: int, y: int) -> Prompt:
    """The same drawing, for a photograph whose upper left corner is elsewhere."""
    box = prompt.box_xyxy
    return replace(
        prompt,
        box_xyxy=box and (box[0] + x, box[1] + y, box[2] + x, box[3] + y),
        target=tuple(tuple((px + x, py + y) for px, py in stroke) for stroke in prompt.target),
        rest=tuple(tuple((px + x, py + y) for px, py in stroke) for stroke in prompt.rest),
    )


def _draw_labels(size: Size, prompt: Prompt, scale: float, longer_side: int) -> NDArray[np.uint8]:
    """What GrabCut starts from: sure and probable pixels of both sides.

    Raises:
        InputError: The prompt does not say where the target is, or leaves nothing for the rest.
    """
    import cv2

    if not prompt.target and prompt.box_xyxy is None:
        raise InputError("GrabCut needs a box around the target or a stroke over it")
    labels = np.full(size, cv2.GC_PR_BGD, np.uint8)
    if prompt.box_xyxy is None:
        for stroke in prompt.target:
            _draw_stroke(labels, stroke, scale, cv2.GC_PR_FGD, round(2 * NEAR_STROKES * max(size)))
    else:
        labels[:] = cv2.GC_BGD
        labels[_rows_and_columns(size, prompt.box_xyxy, scale)] = cv2.GC_PR_FGD
    brush = max(1, round((prompt.brush or longer_side / 100) * scale))
    for strokes, label in ((prompt.target, cv2.GC_FGD), (prompt.rest, cv2.GC_BGD)):
        for stroke in strokes:
            _draw_stroke(labels, stroke, scale, label, brush)
    is_rest = np.isin(labels, (cv2.GC_BGD, cv2.GC_PR_BGD))
    if is_rest.all() or not is_rest.any():
        raise InputError(
            "GrabCut learns the colours of both sides, but the prompt leaves no pixel "
            + ("for the target" if is_rest.all() else "outside of it; give a smaller box, or strokes over the rest")
        )
    return labels


def _rows_and_columns(size: Size, box_xyxy: Box, scale: float) -> tuple[slice, slice]:
    """What the box covers of the scaled photograph: a pixel at least, and up to the edges that it nearly reaches."""
    margin = EDGE * max(size)
    spans = []
    for side, low, high in ((size[0], box_xyxy[1], box_xyxy[3]), (size[1], box_xyxy[0], box_xyxy[2])):
        start = 0 if low * scale < margin else min(round(low * scale), side - 1)
        stop = side if high * scale > side - margin else max(round(high * scale), start + 1)
        spans.append(slice(start, stop))
    return spans[0], spans[1]


def _draw_stroke(labels: NDArray[Any], stroke: Stroke, scale: float, label: int, brush: int) -> None:
    import cv2

    corners = np.floor(np.array(stroke) * scale).astype(np.int32)
    cv2.polylines(labels, [corners], False, int(label), brush)
    for x, y in corners:  # a line of one point draws nothing
        cv2.circle(labels, (int(x), int(y)), brush // 2, int(label), -1)


def _drop_small_pieces(
    region: NDArray[np.uint8], smallest: float, *, has_stroke: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    import cv2

    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(region)
    is_kept = statistics[:, cv2.CC_STAT_AREA] >= smallest
    is_kept[np.unique(pieces[has_stroke])] = True
    is_kept[0] = False  # what is not of the region
    return np.asarray(is_kept[pieces], np.uint8)


def _size_wh(size: Size, scale: float = 1.0) -> tuple[int, int]:
    return max(1, round(size[1] * scale)), max(1, round(size[0] * scale))
