"""What a user draws over a photograph to say what is meant."""

import math
from dataclasses import dataclass

from mask2alpha.errors import InputError
from mask2alpha.shapes import Size

Number = int | float
Box = tuple[Number, Number, Number, Number]
"""Left, top, right, bottom, in pixels of the photograph; right and bottom are just outside."""
Point = tuple[Number, Number]
"""(x, y) in pixels of the photograph; (0, 0) is its upper left corner."""
Stroke = tuple[Point, ...]
"""The corners of a line drawn with a brush; a single point is a dot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """Each part may be missing; a prompt without any leaves the choice to the segmenter."""

    box_xyxy: Box | None = None
    """Around the target; what lies outside is not the target."""
    target: tuple[Stroke, ...] = ()
    """Strokes, or points, over the target."""
    rest: tuple[Stroke, ...] = ()
    """Strokes, or points, over what is not the target."""
    brush: Number | None = None
    """Width of the strokes in pixels; default: a hundredth of the longer side of what the segmenter looks at."""
    label: str | None = None
    """What the target is called, for segmenters that name what they find."""

    @property
    def parts(self) -> frozenset[str]:
        """Which of "box", "target", "rest" and "label" are given."""
        given = {
            "box": self.box_xyxy is not None,
            "target": bool(self.target),
            "rest": bool(self.rest),
            "label": self.label is not None,
        }
        return frozenset(part for part, is_given in given.items() if is_given)

    def inside(self, size: Size) -> tuple[slice, slice]:
        """The rows and columns that the box covers of a photograph of this size; all of them where there is no box."""
        left, top, right, bottom = self.box_xyxy or (0, 0, size[1], size[0])
        return (
            slice(max(0, math.floor(top)), min(size[0], math.ceil(bottom))),
            slice(max(0, math.floor(left)), min(size[1], math.ceil(right))),
        )

    def check(self, size: Size) -> None:
        """Refuse what does not lie on a photograph of this size (height, width).

        Raises:
            InputError: A coordinate is not finite, a point is outside, the box is empty or does not touch the
                photograph, a stroke has no point, or the brush has no width.
        """
        height, width = size
        if self.box_xyxy is not None:
            left, top, right, bottom = self.box_xyxy
            is_ordered = left < right and top < bottom  # False for NaN
            if not is_ordered or right <= 0 or bottom <= 0 or left >= width or top >= height:
                raise InputError(
                    f"box {self.box_xyxy} covers nothing of a photograph {width} wide and {height} high; "
                    "give left, top, right, bottom in pixels"
                )
        for name, strokes in (("target", self.target), ("rest", self.rest)):
            for stroke in strokes:
                if not stroke:
                    raise InputError(f"a stroke in {name} has no point")
                for x, y in stroke:
                    if not (0 <= x < width and 0 <= y < height):
                        raise InputError(
                            f"{name} point ({x:g}, {y:g}) is outside the photograph, {width} wide and {height} high"
                        )
        if self.brush is not None and not (0 < self.brush < math.inf):
            raise InputError(f"brush is {self.brush:g} pixels wide; accepted: more than 0")
