"""Draw what the model fails at, on composites with known truth, for the model card.

    python tools/draw_failures.py docs/images/failures.webp [MODEL]

Foregrounds are made by `data/synthetic`, textured with the example photographs and laid over them, so the picture is
free to pass on. Each row is a failure that the model card names.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mask2alpha.data.composition import Layer, blend
from mask2alpha.data.mask_perturbation import perturb_mask
from mask2alpha.data.sources import PhotoFolder
from mask2alpha.data.synthetic import make_cutout
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import write_image
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.predictor import Predictor

EXAMPLES = Path(__file__).parents[1] / "examples"
SIZE, SIDE, GAP, HEADER = 512, 240, 6, 24
UInt8Array = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Case:
    """One composite."""

    title: str
    foreground: str
    """A key of `synthetic.KINDS`."""
    mask: str
    """A kind of `perturb_mask`."""
    seed: int
    background: Callable[[UInt8Array, UInt8Array], UInt8Array]
    """(photograph, colours of the foreground) -> what is behind it."""


def photograph(photo: UInt8Array, colour: UInt8Array) -> UInt8Array:
    """The photograph itself."""
    return photo


def own_colours(photo: UInt8Array, colour: UInt8Array) -> UInt8Array:
    """The foreground's own colours, mirrored."""
    return np.ascontiguousarray(colour[::-1, ::-1])


CASES = (
    Case("sparse hair beyond a smooth mask", "haired", "blobby", 4, photograph),
    Case("a mesh whose holes the mask fills", "wicker", "fill_holes", 2, photograph),
    Case("object and background of one colour", "solid", "dilate", 3, own_colours),
    Case("smoke", "smoke", "blobby", 5, photograph),
)


def main(target: str, model: str = "small") -> None:
    """Write the sheet."""
    predictor = Predictor(Mask2Alpha.from_pretrained(model))
    photos = [read_image(EXAMPLES / "photos" / f"{name}.png").pixels for name in ("chelsea", "astronaut")]
    textures = PhotoFolder.from_arrays(photos)
    titles = ("composite", "mask", "our alpha", "the truth")
    row_height = SIDE + HEADER
    sheet = Image.new("RGB", ((SIDE + GAP) * len(titles) + GAP, row_height * len(CASES) + HEADER), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, title in enumerate(titles):
        draw.text((GAP + column * (SIDE + GAP), 4), title, fill="black", font=font)
    for row, case in enumerate(CASES):
        rng = np.random.default_rng(case.seed)
        cutout = make_cutout(rng, SIZE, textures, case.foreground)
        behind = case.background(textures(rng, SIZE), cutout.colour)
        picture = blend(behind, [Layer(cutout.colour, cutout.alpha, 0)], gamma=2.2)
        mask = perturb_mask(rng, cutout.alpha, kind=case.mask)
        alpha = predictor.predict(picture, mask).alpha
        error = np.abs(alpha - cutout.alpha / np.float32(255)).sum() / 1000
        top = HEADER + row * row_height
        for column, pixels in enumerate((picture, mask, np.rint(alpha * 255).astype(np.uint8), cutout.alpha)):
            shown = Image.fromarray(pixels).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(shown, (GAP + column * (SIDE + GAP), top))
        draw.text((GAP, top + SIDE + 3), f"{case.title}: SAD {error:.1f}", fill="black", font=font)
    write_image(target, np.asarray(sheet))


if __name__ == "__main__":
    main(*sys.argv[1:])
