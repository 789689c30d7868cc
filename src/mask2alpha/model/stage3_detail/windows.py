"""Windows in which the detail stage works, so that its memory does not grow with the photograph.

A window is computed with a *halo*: the pixels around it that the sparse network looks at from within. The window's own
pixels then come out as if the whole photograph had been computed at once.
"""

from dataclasses import dataclass

from mask2alpha.shapes import Size

WINDOW_SIDE = 1024
"""Longest side of a window without its halo, in pixels. With all of its pixels active, a window takes about 1 GB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A rectangle of full-resolution pixels, and the same with its halo."""

    rows: slice
    columns: slice
    outer_rows: slice
    """`rows` with the halo, cut off at the picture's border."""
    outer_columns: slice


def split_into_windows(
    size: Size, *, side: int, reach: int, multiple: int, region: tuple[slice, slice] | None = None
) -> list[Window]:
    """Windows of about equal size that cover a picture, or a part of it, once.

    Args:
        size: (height, width) of the picture.
        side: Longest side of a window.
        reach: How far the network looks, in pixels; the halo is at least as wide.
        multiple: All sides start at a multiple of this, so that the network's coarser levels pool the same pixels
            together as in the whole picture.
        region: Rows and columns to be covered, in the picture; the windows may reach some pixels further. Default: all.
    """
    halo = -(-reach // multiple) * multiple
    whole = (slice(0, size[0]), slice(0, size[1]))
    rows, columns = (
        _split(part, length, side=side, multiple=multiple) for part, length in zip(region or whole, size, strict=True)
    )
    return [
        Window(
            rows=row,
            columns=column,
            outer_rows=_grow(row, halo, size[0]),
            outer_columns=_grow(column, halo, size[1]),
        )
        for row in rows
        for column in columns
    ]


def _split(part: slice, length: int, *, side: int, multiple: int) -> list[slice]:
    first = part.start // multiple * multiple
    count = -(-(part.stop - first) // side)
    step = -(-(part.stop - first) // count)
    step = -(-step // multiple) * multiple
    return [slice(start, min(start + step, length)) for start in range(first, part.stop, step)]


def _grow(part: slice, halo: int, length: int) -> slice:
    return slice(max(0, part.start - halo), min(length, part.stop + halo))
