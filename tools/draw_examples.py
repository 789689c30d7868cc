"""Draw the example photographs, their masks and the mattes of several methods side by side.

    python tools/draw_examples.py docs/images/results/examples.webp small closed-form guided-filter feather

Methods are named as for `mask2alpha compare`. Under every picture is its middle at full size. There is no truth for
these photographs.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mask2alpha.evaluation.peers import load_method, parse_method
from mask2alpha.imaging.decode import read_image, read_mask
from mask2alpha.imaging.encode import write_image

EXAMPLES = Path(__file__).parents[1] / "examples"
ROWS = (("astronaut", "astronaut", (20, 130)), ("chelsea", "chelsea", (80, 231)))
"""Photograph, mask, and the upper left corner (row, column) of what is shown at full size."""
SIDE, GAP, HEADER = 220, 6, 24


def main(target: str, *texts: str) -> None:
    """Write the picture."""
    methods = [parse_method(text) for text in texts]
    mattings = [load_method(method) for method in methods]
    titles = ["photograph", "mask", *(method.label for method in methods)]
    columns = []
    for photo_name, mask_name, corner in ROWS:
        photo = read_image(EXAMPLES / "photos" / f"{photo_name}.png").pixels
        mask = read_mask(EXAMPLES / "masks" / f"{mask_name}.png") > 127
        alphas = [np.rint(matting(photo, mask) * 255).astype(np.uint8) for matting in mattings]
        columns.append([stack(pixels, corner) for pixels in (photo, mask.astype(np.uint8) * 255, *alphas)])
    heights = [max(picture.height for picture in row) for row in columns]
    sheet = Image.new("RGB", ((SIDE + GAP) * len(titles) + GAP, HEADER + sum(heights) + GAP * len(heights)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for index, title in enumerate(titles):
        draw.text((GAP + index * (SIDE + GAP), 4), title, fill="black", font=font)
    top = HEADER
    for row, height in zip(columns, heights, strict=True):
        for index, picture in enumerate(row):
            sheet.paste(picture, (GAP + index * (SIDE + GAP), top))
        top += height + GAP
    write_image(target, np.asarray(sheet))


def stack(pixels: np.ndarray, corner: tuple[int, int]) -> Image.Image:
    """The whole picture, and below it a square of it at full size."""
    whole = Image.fromarray(pixels).convert("RGB")
    height = round(whole.height * SIDE / whole.width)
    row, column = corner
    stacked = Image.new("RGB", (SIDE, height + GAP + SIDE), "white")
    stacked.paste(whole.resize((SIDE, height), Image.Resampling.LANCZOS), (0, 0))
    stacked.paste(whole.crop((column, row, column + SIDE, row + SIDE)), (0, height + GAP))
    return stacked


if __name__ == "__main__":
    main(*sys.argv[1:])
