from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mask2alpha.evaluation.benchmarks import GuidedFolder

SIZE = (24, 32)


def write(path: Path, array: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def soft_disc(radius: float) -> NDArray[np.uint8]:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(y - SIZE[0] / 2, x - SIZE[1] / 2)
    return np.rint(255 * np.clip(0.5 + (radius - distance) / 4, 0, 1)).astype(np.uint8)


@pytest.fixture
def make_root(tmp_path: Path) -> Callable[..., Path]:
    """Writes a benchmark whose photographs show their alpha in the red channel."""

    def make(names: tuple[str, ...] = ("first", "second"), kinds: tuple[str, ...] = ("exact", "eroded")) -> Path:
        root = tmp_path / "benchmark"
        for index, name in enumerate(names):
            alpha = soft_disc(6 + index)
            write(root / "alpha" / f"{name}.png", alpha)
            write(root / "image" / f"{name}.png", np.stack([alpha, 255 - alpha, np.full_like(alpha, index)], axis=2))
            for kind in kinds:
                mask = alpha > 127 if kind == "exact" else alpha > 254
                write(root / "mask" / kind / f"{name}.png", mask.astype(np.uint8) * 255)
        return root

    return make


@pytest.fixture
def benchmark_folder(make_root: Callable[..., Path]) -> GuidedFolder:
    return GuidedFolder(make_root())
