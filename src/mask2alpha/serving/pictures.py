"""The pictures that are made of a matte: the same arrays that the `matte` command writes, and maps for overlays."""

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
from mask2alpha.pipeline.matte import Colour, EncodedImage, Matte
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.preprocess import mask_to_tensor
from mask2alpha.shapes import Size


def draw(
    kind: str, matte: Matte, mask: NDArray[np.uint8], background: NDArray[Any] | Colour, *, is_png: bool
) -> NDArray[Any]:
    """One picture of a matte.

    Args:
        kind: `alpha`, `cutout`, `foreground`, `composite`, `comparison`, `mask` or `error`.
        matte: What the predictor returned.
        mask: (H, W), the rough mask, at the size of the matte.
        background: Of composites and comparisons.
        is_png: Whether 16 bits can be written; alpha has as many bits as the photograph then, and 8 otherwise.

    Returns:
        (H, W) grey, (H, W, 3) colours or (H, W, 4) with alpha; a comparison is four times as wide.
    """
    top = np.iinfo(matte.image.dtype).max
    if kind == "alpha":
        return _grey(matte.alpha, np.dtype(matte.image.dtype) if is_png else np.dtype(np.uint8))
    if kind == "cutout":
        return matte.cutout()
    if kind == "foreground":
        return matte.foreground()
    if kind == "composite":
        return matte.composite(background)
    if kind == "error":
        return _grey(matte.predicted_error, np.dtype(np.uint8))
    if kind == "mask":
        return mask
    assert kind == "comparison", kind
    share = mask[..., None].astype(np.float32) / 255 * 0.5
    red = np.array([1.0, 0.1, 0.1], dtype=np.float32) * top
    overlay = np.rint(matte.image * (1 - share) + red * share).astype(matte.image.dtype)
    alpha = np.repeat(_grey(matte.alpha, matte.image.dtype)[..., None], 3, axis=2)
    return np.concatenate([matte.image, overlay, alpha, matte.composite(background)], axis=1)


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
        steps = replay_steps(predictor.model, output.coarse, scale_mask(padded_mask, encoded.encoding))
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


def draw_inside(kind: str, inside: Inside | None, size: Size) -> dict[str, NDArray[np.uint8]]:
    """The pictures of `active` or `steps`, by the name that they add to an object's.

    Args:
        kind: `active` or `steps`.
        inside: None: nothing was recomputed, and there were no steps.
        size: (height, width) of the matte.
    """
    if kind == "active":
        active = np.zeros(size, dtype=np.bool_) if inside is None else inside.active
        return {"active": _grey(active, np.dtype(np.uint8))}
    pictures: dict[str, NDArray[np.uint8]] = {}
    for number, step in enumerate(() if inside is None else inside.steps, start=1):
        pictures[f"step-{number}_alpha"] = _grey(step.alpha, np.dtype(np.uint8))
        pictures[f"step-{number}_fine"] = _grey(step.is_fine, np.dtype(np.uint8))
    return pictures


def _grey(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in [0, 1] as whole numbers."""
    return np.asarray(np.rint(values.astype(np.float32) * np.iinfo(dtype).max), dtype=dtype)


def _covered(values: NDArray[Any], share: tuple[float, float]) -> NDArray[Any]:
    """The part of a map that lies over the photograph and not over its padding."""
    return values[: math.ceil(values.shape[0] * share[0]), : math.ceil(values.shape[1] * share[1])]
