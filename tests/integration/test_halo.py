"""The demo's hair over white, black and green: how much of the old background is left in its soft edges."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("scipy")
from scipy.ndimage import distance_transform_edt

from mask2alpha import Mask2Alpha, Matte, Predictor

EXAMPLES = Path(__file__).parents[2] / "examples"
GROUNDS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0)}
HAIR = (slice(0, 140), slice(140, 340))  # of the astronaut


@pytest.fixture(scope="module")
def matte() -> Matte:
    image = np.asarray(Image.open(EXAMPLES / "photos" / "astronaut.png").convert("RGB"))
    mask = np.asarray(Image.open(EXAMPLES / "masks" / "astronaut.png").convert("L"))
    return Predictor(Mask2Alpha.from_pretrained("small")).predict(image, mask)


def nearest(colours: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """For each pixel, the colour of the nearest known one."""
    rows, columns = distance_transform_edt(~is_known, return_distances=False, return_indices=True)
    return np.asarray(colours[rows, columns])


def halo(composite: np.ndarray, matte: Matte, ground: tuple[float, float, float]) -> float:
    """The mean share of the old background's colour in the target's soft edges, above what opaque hair has of it.

    The composite is set beside one with the colours of the nearest opaque pixels; what differs is measured along the
    line from those to the nearest colour of the old background. Over-correction does not count against it.
    """
    alpha, photo = matte.alpha[..., None], matte.image / 255
    inner, outer = nearest(photo, matte.alpha > 0.98), nearest(photo, matte.alpha < 0.02)
    expected = alpha * inner + (1 - alpha) * np.array(ground)
    towards = outer - inner
    contrast = np.square(towards).sum(-1)
    leaked = ((composite / 255 - expected) * towards).sum(-1) / np.maximum(contrast, 1e-6)
    is_soft = (matte.alpha > 0.05) & (matte.alpha < 0.95) & (contrast > 0.15)  # where a halo would be seen
    return float(leaked[HAIR].clip(min=0)[is_soft[HAIR]].mean())


@pytest.mark.parametrize("name", GROUNDS)
def test_no_halo_around_the_demos_hair(matte: Matte, name: str) -> None:
    ground = GROUNDS[name]
    alpha = matte.alpha[..., None]
    naive = np.rint(alpha * matte.image + 255 * (1 - alpha) * np.array(ground))
    own, untreated = halo(matte.composite(ground), matte, ground), halo(naive, matte, ground)
    assert untreated > 0.1  # there is something to remove
    assert own < 0.4 * untreated, (own, untreated)
    assert own < 0.06, (own, untreated)
