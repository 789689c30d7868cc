"""Sheets of pictures in rows and columns, with titles over the columns and captions under the rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GAP, LINE = 6, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Pictures side by side."""

    pictures: Sequence[NDArray[np.uint8]]
    """(H, W) or (H, W, 3), one per column."""
    caption: str = ""
    """Text below them."""


def draw_sheet(rows: Sequence[Row], width: int, *, titles: Sequence[str]) -> NDArray[np.uint8]:
    """Draw rows of pictures, each scaled to a width.

    Args:
        rows: At least one.
        width: Of every picture, in pixels.
        titles: One per column.
    """
    cells = [[_scale(picture, width) for picture in row.pictures] for row in rows]
    heights = [max(cell.height for cell in row) for row in cells]
    captions = [LINE if row.caption else 0 for row in rows]
    height = LINE + sum(heights) + sum(captions) + GAP * len(rows)
    sheet = Image.new("RGB", ((width + GAP) * len(titles) + GAP, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, title in enumerate(titles):
        draw.text((GAP + column * (width + GAP), 4), title, fill="black", font=font)
    top = LINE
    for row, pictures, row_height, caption_height in zip(rows, cells, heights, captions, strict=True):
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (GAP + column * (width + GAP), top))
        draw.text((GAP, top + row_height + 3), row.caption, fill="black", font=font)
        top += row_height + caption_height + GAP
    return np.asarray(sheet)


def _scale(pixels: NDArray[np.uint8], width: int) -> Image.Image:
    picture = Image.fromarray(pixels).convert("RGB")
    if picture.width == width:
        return picture
    return picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
