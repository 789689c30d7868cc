"""The maps that overlays show: what the network did on its way to a matte."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray

from mask2alpha.evaluation.figures import StepMaps
from mask2alpha.evaluation.inspection import map_steps
from mask2alpha.pipeline.matte import EncodedImage
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.shapes import Size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inside:
    """What the network did on its way to a matte."""

    active: NDArray[np.bool_]
    """(H, W): the pixels that the detail stage recomputed at full resolution."""
    steps: tuple[StepMaps, ...]
    """Each decoding step, oldest first, at a quarter of the resolution at which the photo was encoded."""


def look_inside(predictor: Predictor, encoded: EncodedImage, mask: NDArray[np.uint8]) -> Inside | None:
    """What the network does for a matte.

    Returns:
        None for an empty or a full mask, which the predictor answers without the network.
    """
    trace = predictor.predict(encoded, mask, has_trace=True).trace
    if trace is None:
        return None
    active = F.max_pool2d(trace.output.active.float(), encoded.factor)[0, 0] > 0
    return Inside(
        active=np.ascontiguousarray(active.cpu().numpy()),
        steps=tuple(
            StepMaps(
                mixed_matte=_covered(step.mixed_matte, encoded),
                is_fine=_covered(step.is_fine, encoded),
                alpha=_covered(step.alpha, encoded),
            )
            for step in map_steps(trace)
        ),
    )


def maps_of(kind: str, inside: Inside | None, size: Size) -> dict[str, NDArray[Any]]:
    """The maps of `active` or `steps`, in [0, 1], by the name that they add to an object's.

    Args:
        kind: `active` or `steps`.
        inside: None: nothing was recomputed, and there were no steps.
        size: (height, width) of the matte.
    """
    if kind == "active":
        return {"active": np.zeros(size, dtype=np.bool_) if inside is None else inside.active}
    maps: dict[str, NDArray[Any]] = {}
    for number, step in enumerate(() if inside is None else inside.steps, start=1):
        maps[f"step-{number}_alpha"] = step.alpha
        maps[f"step-{number}_fine"] = step.is_fine
    return maps


def _covered(values: NDArray[Any], encoded: EncodedImage) -> NDArray[Any]:
    """The part of a map that lies over the photo and not over its padding."""
    rows, columns = (
        math.ceil(count * side / padded)
        for count, side, padded in zip(values.shape, encoded.size, encoded.padded_size, strict=True)
    )
    return values[:rows, :columns]
