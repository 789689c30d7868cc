"""Cells: the 2 x 2 full-resolution pixels that the detail stage takes together.

In a photo of odd height or width the last cells reach one pixel beyond it.
"""

from jaxtyping import Bool
from torch import Tensor

from mask2alpha.shapes import Size

CELL = 2
"""Side of a cell, in pixels."""


def count_cells(size: Size) -> Size:
    """(rows, columns) of the cells of a photo of (height, width)."""
    return -(-size[0] // CELL), -(-size[1] // CELL)


def cells_to_pixels(cells: Bool[Tensor, "batch 1 rows columns"], size: Size) -> Bool[Tensor, "batch 1 height width"]:
    """A map of the cells of a photo of `size` as one of its pixels."""
    return cells.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)[..., : size[0], : size[1]]
