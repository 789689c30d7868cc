"""The maps that overlays show: what the network did on its way to a matte."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mask2alpha.evaluation.figures import StepMaps
from mask2alpha.evaluation.inspection import replay_steps, scale_mask
from mask2alpha.model.mask2alpha import STRIDE_MULTIPLE
from mask2alpha.ops.padding import pad_to_multiple
from mask2alpha.pipeline.matte import EncodedImage
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.preprocess import mask_to_tensor
from mask2alpha.shapes import Size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inside:
    """What the network did on its way to a matte."""

    active: NDArray[np.bool_]
    """(H, W): the pixels that the detail stage recomputed at full resolution."""
    steps: tuple[StepMaps, ...]
    """Each decoding step, oldest first, at a quarter of the resolution at which the photograph was encoded."""


def look_inside(predictor: Predictor, encoded: EncodedImage, mask: NDArray[np.uint8]) -> Inside | None:
    """Run the network once more, with a trace.

    Returns:
        None for an empty or a full mask, which the predictor answers without the network.
    """
    if mask.min() == mask.max() and mask.max() in (0, 255):
        return None
    padded_mask = pad_to_multiple(mask_to_tensor(mask, encoded.size), STRIDE_MULTIPLE).to(predictor.device)
    is_mixed = predictor.dtype != torch.float32
    with torch.inference_mode(), torch.autocast(predictor.device.type, dtype=predictor.dtype, enabled=is_mixed):
        output = predictor.model.decode(
            encoded.padded, encoded.encoding, padded_mask, replace(predictor.options, has_trace=True)
        )
        fused = predictor.model.fuse(encoded.encoding, scale_mask(padded_mask, encoded.encoding))
        steps = replay_steps(predictor.model, fused, output.coarse)
    height, width = encoded.size
    share = height / encoded.padded.shape[2], width / encoded.padded.shape[3]
    return Inside(
        active=np.ascontiguousarray(output.active[0, 0, :height, :width].cpu().numpy()),
        steps=tuple(
            StepMaps(
                mixed_matte=_covered(step.mixed_matte, share),
                is_fine=_covered(step.is_fine, share),
                alpha=_covered(step.alpha, share),
            )
            for step in steps
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


def _covered(values: NDArray[Any], share: tuple[float, float]) -> NDArray[Any]:
    """The part of a map that lies over the photograph and not over its padding."""
    return values[: math.ceil(values.shape[0] * share[0]), : math.ceil(values.shape[1] * share[1])]
