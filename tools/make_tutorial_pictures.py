"""Run the tutorial and keep its pictures in docs/images/tutorial.

    python tools/make_tutorial_pictures.py

It runs the page's own code, so pictures and text cannot part.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from documents import read_blocks, run_block  # noqa: E402

PICTURES = ROOT / "docs" / "images" / "tutorial"
HAIR_XYXY = (140, 10, 260, 130)
ENLARGED = 3
QUALITY = 85


def main() -> None:
    """Run the page in a temporary folder, then make its figures from what it left."""
    page = ROOT / "docs" / "tutorial.md"
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        names: dict[str, object] = {}
        for block in read_blocks(page):
            if block.is_run:
                run_block(block, names, str(page))
        for name in ("first", "second"):
            keep(Image.open(f"{name}/comparison/photo.png"), name, width=1400)
        alpha = Image.open("alpha.png").convert("RGB")
        shown = [Image.open("photo.jpg"), alpha, Image.open("on_yellow.png"), Image.open("predicted_error.png")]
        keep(Image.fromarray(np.hstack([close_up(picture) for picture in shown])), "hair")
        keep(Image.open("explained/detail.png"), "detail", width=1400)
        os.chdir(ROOT)


def close_up(picture: Image.Image) -> np.ndarray:
    """The hair, its pixels enlarged."""
    part = picture.convert("RGB").crop(HAIR_XYXY)
    return np.asarray(part.resize((ENLARGED * part.width, ENLARGED * part.height), Image.Resampling.NEAREST))


def keep(picture: Image.Image, name: str, *, width: int | None = None) -> None:
    """Write a picture, shrunk to a width."""
    if width and width < picture.width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    picture.convert("RGB").save(PICTURES / f"{name}.webp", quality=QUALITY, method=6)


if __name__ == "__main__":
    main()
