"""What `make demo` runs: a photograph and a rough mask in; alpha, cut-out, composite and comparison out.

python examples/demo.py [MODEL [FOLDER]]
"""

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mask2alpha import Mask2Alpha, Predictor

EXAMPLES = Path(__file__).parent
TOP, BOTTOM = np.array([18, 70, 92]), np.array([146, 190, 176])
"""RGB of the new background, a vertical gradient."""


def main(model: str = "base", output: Path = Path("demo_output")) -> None:
    """Matte the astronaut and say how long each part took.

    Args:
        model: A shipped name, a checkpoint's path, or a hub id.
        output: Folder for the pictures.
    """
    start = time.perf_counter()
    image = np.asarray(Image.open(EXAMPLES / "photos" / "astronaut.png").convert("RGB"))
    mask = np.asarray(Image.open(EXAMPLES / "masks" / "astronaut.png").convert("L"))
    predictor = Predictor(Mask2Alpha.from_pretrained(model))
    loaded = time.perf_counter()
    matte = predictor.predict(image, mask)
    matted = time.perf_counter()

    alpha = np.rint(255 * matte.alpha).astype(np.uint8)
    composite = matte.composite(gradient(*alpha.shape))
    pictures = {
        "alpha": alpha,
        "cutout": matte.cutout(),
        "composite": composite,
        "comparison": np.hstack([image, grey_to_rgb(mask), grey_to_rgb(alpha), composite]),
    }
    output.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(output / f"{name}.png", optimize=True)
    written = time.perf_counter()

    print(f"A photograph of {image.shape[1]} x {image.shape[0]} pixels and a mask, with the model {model!r}:")
    print(
        f"  loading {loaded - start:.2f} s, matting {matted - loaded:.2f} s, colours and files {written - matted:.2f} s"
    )
    for name in pictures:
        print(f"  {output / name}.png")


def gradient(height: int, width: int) -> NDArray[np.uint8]:
    """A background from `TOP` to `BOTTOM`."""
    share = np.linspace(0, 1, height)[:, None, None]
    return np.broadcast_to(np.rint(TOP + share * (BOTTOM - TOP)).astype(np.uint8), (height, width, 3)).copy()


def grey_to_rgb(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat one channel three times."""
    return np.repeat(picture[..., None], 3, axis=2)


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(Path, sys.argv[2:3]))
