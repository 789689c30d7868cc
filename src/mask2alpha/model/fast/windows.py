"""Windows in which the detail stage works, so that its memory does not grow with the photo.

A window is computed with a *halo*: the pixels around it on which the sparse network's outputs inside depend. The result
inside is then the same as if the whole photo had been computed at once.
"""

from dataclasses import dataclass

from mask2alpha.shapes import Size

WINDOW_SIDE = 1024
"""Longest side of a window without its halo, in cells; with all of them active, it takes about 1 GB. A photo that has
no more active cells than such a window is one window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A rectangle of cells, and the same with its halo."""

    rows: slice
    columns: slice
    outer_rows: slice
    """`rows` with the halo, cut off at the photo's border."""
    outer_columns: slice

    @property
    def has_halo(self) -> bool:
        """Whether the halo adds anything to the window."""
        return (self.rows, self.columns) != (self.outer_rows, self.outer_columns)


def split_into_windows(size: Size, *, side: int, halo: int, region: tuple[slice, slice] | None = None) -> list[Window]:
    """Windows of about equal size that cover a photo, or a part of it, once.

    Args:
        size: (rows, columns) of the photo's cells; all here counts cells.
        side: Longest side of a window.
        halo: Reach of the network.
        region: Rows and columns to be covered; default: all.
    """
    whole = (slice(0, size[0]), slice(0, size[1]))
    rows, columns = (_split(part, side) for part in region or whole)
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


def _split(part: slice, side: int) -> list[slice]:
    length = part.stop - part.start
    count = -(-length // side)
    step = -(-length // count)
    return [slice(start, min(start + step, part.stop)) for start in range(part.start, part.stop, step)]


def _grow(part: slice, halo: int, length: int) -> slice:
    return slice(max(0, part.start - halo), min(length, part.stop + halo))
