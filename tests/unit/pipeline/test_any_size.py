"""Memory and windows of the whole call, from arrays to arrays."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mask2alpha.model.config import PRESETS
from mask2alpha.model.fast import detail as fast_detail
from mask2alpha.model.mask2alpha import STRIDE_MULTIPLE, Mask2Alpha
from mask2alpha.ops.cells import CELL
from mask2alpha.ops.padding import pad_to_multiple
from mask2alpha.pipeline.predictor import Predictor, settle_
from mask2alpha.pipeline.preprocess import image_to_tensor, mask_to_tensor

GIGABYTE = 10**9
MEASURE = """
import resource, sys
import numpy as np
from mask2alpha import Mask2Alpha, Predictor
height, width = int(sys.argv[1]), int(sys.argv[2])
rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
image = np.empty((height, width, 3), dtype=np.uint8)
for channel in range(3):
    np.add(rows / (7 + channel), columns / 5, out=image[..., channel], casting="unsafe")
mask = np.zeros((height, width), dtype=bool)
mask[height // 5 : -height // 5, width // 5 : -width // 5] = True
image[mask] //= 2
matte = Predictor(Mask2Alpha.from_pretrained("small")).predict(image, mask)
assert matte.alpha.shape == mask.shape and np.abs(matte.alpha - mask).mean() < 0.05
print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class NewStorages(TorchDispatchMode):
    """Adds up the bytes of the storages of at least `least` bytes that operations make."""

    def __init__(self, least: int) -> None:
        super().__init__()
        self.least = least
        self.sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().nbytes() >= self.least:
                self.sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return result


@pytest.fixture(scope="module")
def model() -> Mask2Alpha:
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS["tiny"])
    torch.nn.init.normal_(model.detail.network.head.weight, std=0.5)
    return model


def test_nothing_else_of_full_size_is_made(
    model: Mask2Alpha, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_detail, "WINDOW_SIDE", 256)
    height, width = 1200, 1600
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), bool)
    mask[300:900, 400:1000] = True
    errors = Predictor(model, max_encoder_side=96, error_threshold=1.0).predict(image, mask).predicted_error
    threshold = float(np.quantile(errors[::8, ::8], 0.98))
    predictor = Predictor(model, max_encoder_side=96, error_threshold=threshold)
    with NewStorages(height * width) as storages:
        matte = predictor.predict(image, mask)
    assert 0 < (matte.predicted_error > threshold).mean() < 0.1
    given = image.nbytes + mask.nbytes  # seen when they become tensors
    of_cells = 2 * 1.02 * mask.nbytes  # predicted errors and row numbers, 4 bytes per cell of 4 pixels, and a margin
    assert sum(storages.sizes.values()) <= matte.alpha.nbytes + given + of_cells


@pytest.mark.parametrize("size", [(130, 400), (400, 64), (64, 320)])
def test_windows_of_a_shrunk_photograph_equal_the_plain_network(
    model: Mask2Alpha, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    image = rng.random((*size, 3), dtype=np.float32)
    mask = rng.random((size[0] // 20 + 1, size[1] // 20 + 1)).repeat(20, 0).repeat(20, 1)[: size[0], : size[1]] > 0.5
    monkeypatch.setattr(fast_detail, "WINDOW_SIDE", 100)
    matte = Predictor(model, dtype=torch.float32, max_encoder_side=128, error_threshold=0.0).predict(image, mask)
    monkeypatch.setattr(fast_detail, "WINDOW_SIDE", 10**6)
    predictor = Predictor(model, dtype=torch.float32, max_encoder_side=128, error_threshold=0.0)
    encoded = predictor.encode(image)
    with torch.inference_mode():
        output = predictor.model.forward(
            pad_to_multiple(image_to_tensor(image), STRIDE_MULTIPLE),
            pad_to_multiple(mask_to_tensor(mask, size), STRIDE_MULTIPLE),
            predictor.options,
            encoding=encoded.encoding,
        )
    # the plain network also corrects the padding, which the pixels beside it see
    reach = CELL * (predictor.model.detail.network.reach + 1)
    inner = tuple(slice(0, side if side % STRIDE_MULTIPLE == 0 else side - reach) for side in size)
    expected = output.alpha[0, 0].clone()
    with torch.inference_mode():
        settle_(expected)
    difference = np.abs(matte.alpha[inner] - expected[: size[0], : size[1]].numpy()[inner])
    assert difference.max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "most"), [((4320, 7680), 4 * GIGABYTE), ((8660, 11547), 6 * GIGABYTE)], ids=["8K", "100 MP"]
)
def test_peak_memory(size: tuple[int, int], most: int) -> None:
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, size)], capture_output=True, text=True, check=False, timeout=1800
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < most
