"""The shortest use from Python: a photograph and a mask in, a cut-out with clean edges out."""

from pathlib import Path

import numpy as np
from PIL import Image

from mask2alpha import Mask2Alpha, Predictor

EXAMPLES = Path(__file__).parent


def main(model: str = "base", output: Path = Path("demo_output")) -> None:
    """Cut the cat out of its photograph.

    Args:
        model: A shipped name, a checkpoint's path, or a hub id.
        output: Folder for the pictures.
    """
    image = np.asarray(Image.open(EXAMPLES / "photos" / "chelsea.png").convert("RGB"))  # (H, W, 3) uint8
    mask = np.asarray(Image.open(EXAMPLES / "masks" / "chelsea.png").convert("L"))  # (H, W) uint8, 0 or 255

    predictor = Predictor(Mask2Alpha.from_pretrained(model))
    matte = predictor.predict(image, mask)

    output.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(255 * matte.alpha).astype(np.uint8)).save(output / "chelsea_alpha.png")
    Image.fromarray(matte.cutout()).save(output / "chelsea_cutout.png")
    Image.fromarray(matte.composite((0.1, 0.4, 0.4))).save(output / "chelsea_on_teal.png")
    print(f"{matte.alpha.mean():.1%} of the photograph is cat; pictures in {output}")


if __name__ == "__main__":
    main()
