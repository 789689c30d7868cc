"""The maps that overlays show: what the network did on its way to a matte."""

import math
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray

from mask2alpha.evaluation.inspection import map_steps
from mask2alpha.pipeline.matte import EncodedImage, Trace


def active_map(trace: Trace | None, encoded: EncodedImage) -> NDArray[np.bool_]:
    """(H, W): the pixels that the detail stage recomputed; None, of an empty or a full mask: no pixel."""
    if trace is None:
        return np.zeros(encoded.size, dtype=np.bool_)
    active = F.adaptive_max_pool2d(trace.output.active.float(), encoded.size)[0, 0] > 0
    return np.ascontiguousarray(active.cpu().numpy())


def step_maps(trace: Trace | None, encoded: EncodedImage) -> dict[str, NDArray[Any]]:
    """Alpha and fine pixels of each decoding step, oldest first, in [0, 1], by the names that they add to an object's.

    They lie over the photo, at a quarter of the resolution at which it was encoded.
    """
    maps: dict[str, NDArray[Any]] = {}
    for number, step in enumerate(() if trace is None else map_steps(trace), start=1):
        maps[f"step-{number}_alpha"] = _covered(step.alpha, encoded)
        maps[f"step-{number}_fine"] = _covered(step.is_fine, encoded)
    return maps


def _covered(values: NDArray[Any], encoded: EncodedImage) -> NDArray[Any]:
    """The part of a map that lies over the photo and not over its padding."""
    rows, columns = (
        math.ceil(count * side / padded)
        for count, side, padded in zip(values.shape, encoded.size, encoded.padded_size, strict=True)
    )
    return values[:rows, :columns]
