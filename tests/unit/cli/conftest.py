from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A guided folder of one photograph with two kinds of masks."""
    folder = tmp_path / "benchmark"
    alpha = np.zeros((40, 50), np.uint8)
    alpha[10:30, 12:40] = 255
    alpha[9] = alpha[10] // 2
    pictures = {
        "alpha/one.png": alpha,
        "image/one.png": np.stack([alpha] * 3, axis=2),
        "mask/exact/one.png": (alpha > 127).astype(np.uint8) * 255,
        "mask/eroded/one.png": np.where(np.roll(alpha, 3, axis=0) & alpha == 255, 255, 0).astype(np.uint8),
    }
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name)
    return folder
