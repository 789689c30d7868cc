"""One encoding of a photograph, several masks: what depends on the photograph alone is computed once."""

import time
from pathlib import Path

import numpy as np
from PIL import Image

from mask2alpha import Mask2Alpha, Predictor

EXAMPLES = Path(__file__).parent


def main(model: str = "base", output: Path = Path("demo_output")) -> None:
    """Matte the astronaut, then her helmet alone.

    Args:
        model: A shipped name, a checkpoint's path, or a hub id.
        output: Folder for the pictures.
    """
    image = np.asarray(Image.open(EXAMPLES / "photos" / "astronaut.png").convert("RGB"))
    predictor = Predictor(Mask2Alpha.from_pretrained(model))

    start = time.perf_counter()
    encoded = predictor.encode(image)  # a value: keep it as long as it is useful, nothing is cached inside
    print(f"encoding the photograph: {time.perf_counter() - start:.2f} s")

    output.mkdir(parents=True, exist_ok=True)
    for name in ("astronaut", "astronaut__helmet"):
        mask = np.asarray(Image.open(EXAMPLES / "masks" / f"{name}.png").convert("L"))
        start = time.perf_counter()
        matte = predictor.predict(encoded, mask)
        print(f"{name}: {time.perf_counter() - start:.2f} s")
        Image.fromarray(matte.cutout()).save(output / f"{name}_cutout.png")


if __name__ == "__main__":
    main()
