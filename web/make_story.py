"""Draw `src/story.webp`, the three small pictures on the empty page: photograph, rough marks, cut-out.

python web/make_story.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mask2alpha import Mask2Alpha, Predictor

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
TILE, GAP, RADIUS = 264, 72, 32
CROP_XYXY = (96, 8, 376, 288)
MARKS = (((190, 70), (235, 48), (275, 80)), ((188, 110), (228, 140), (262, 112)), ((212, 165), (246, 168)))
BODY = ((118, 262), (160, 244), (210, 262), (275, 256), (318, 268))
PINK = (229, 72, 143, 190)


def main() -> None:
    """Matte the example and put the three pictures side by side."""
    photo = Image.open(EXAMPLES / "photos" / "astronaut.png").convert("RGB")
    mask = np.asarray(Image.open(EXAMPLES / "masks" / "astronaut.png").convert("L"))
    matte = Predictor(Mask2Alpha.from_pretrained("small")).predict(np.asarray(photo), mask)
    marks = Image.new("RGBA", photo.size)
    draw = ImageDraw.Draw(marks)
    for stroke in (*MARKS, BODY):
        draw.line(stroke, fill=PINK, width=26, joint="curve")
        for x, y in (stroke[0], stroke[-1]):
            draw.ellipse((x - 13, y - 13, x + 13, y + 13), fill=PINK)
    cutout = Image.alpha_composite(checkerboard(photo.size), Image.fromarray(matte.cutout()))
    story = Image.new("RGBA", (3 * TILE + 2 * GAP, TILE))
    for index, picture in enumerate(
        (photo.convert("RGBA"), Image.alpha_composite(photo.convert("RGBA"), marks), cutout)
    ):
        story.paste(tile(picture), (index * (TILE + GAP), 0))
    arrows = ImageDraw.Draw(story)
    for index in (1, 2):
        x, y = index * TILE + (index - 1) * GAP + GAP // 2, TILE // 2
        arrows.line([(x - 6, y - 12), (x + 6, y), (x - 6, y + 12)], fill=(134, 142, 150, 255), width=4, joint="curve")
    story.save(HERE / "src" / "story.webp", quality=86, method=6)


def tile(picture: Image.Image) -> Image.Image:
    """The part of a picture that is shown, with round corners."""
    part = picture.crop(CROP_XYXY).resize((TILE, TILE), Image.Resampling.LANCZOS)
    corners = Image.new("L", (4 * TILE, 4 * TILE))
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, 4 * TILE - 1, 4 * TILE - 1), 4 * RADIUS, fill=255)
    part.putalpha(corners.resize((TILE, TILE), Image.Resampling.LANCZOS))
    return part


def checkerboard(size: tuple[int, int], square: int = 14) -> Image.Image:
    """What shows through in the cut-out."""
    rows, columns = np.indices((size[1], size[0])) // square
    grey = np.where((rows + columns) % 2, 255, 222).astype(np.uint8)
    return Image.fromarray(np.repeat(grey[..., None], 3, axis=2)).convert("RGBA")


if __name__ == "__main__":
    main()
