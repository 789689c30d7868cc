"""Segments that a pipeline of transformers finds on its own; the prompt chooses among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from mask2alpha.errors import InputError
from mask2alpha.prompts.abstract import AbstractMaskMaker
from mask2alpha.prompts.prompt import Prompt, Stroke

SHARE_INSIDE_BOX = 0.8
"""A segment is meant by a box when at least this part of it lies inside."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """One thing found in a photograph."""

    mask: Bool[np.ndarray, "height width"]
    label: str | None = None
    """What the pipeline calls it, if it names things."""


class Segments(AbstractMaskMaker):
    """A transformers pipeline for "image-segmentation" (named things) or "mask-generation" (everything, unnamed)."""

    accepts = frozenset({"box", "target", "rest", "label"})

    def __init__(self, pipeline: Any, *, device: str | None = None) -> None:
        """Keep a pipeline, or open one.

        Args:
            pipeline: One of transformers' own, or hub id or folder of a model for "image-segmentation".
            device: For a model that is opened here; default: CUDA where there is one, else the CPU.

        Raises:
            InputError: transformers is not installed, or the model cannot be loaded.
        """
        if isinstance(pipeline, str):
            import torch

            try:
                import transformers
            except ImportError as error:
                raise InputError("this needs transformers: pip install transformers") from error
            device = device or ("cuda" if torch.cuda.is_available() else "cpu")
            try:
                self._pipeline: Any = transformers.pipeline("image-segmentation", model=pipeline, device=device)
            except (OSError, ValueError, KeyError) as error:
                raise InputError(f"{pipeline} is no model for image segmentation: {error}") from error
        else:
            self._pipeline = pipeline

    def _segment(self, image: UInt8[np.ndarray, "height width 3"], prompt: Prompt) -> UInt8[np.ndarray, "height width"]:
        from PIL import Image

        found = self._pipeline(Image.fromarray(image))
        if isinstance(found, dict):  # mask-generation
            segments = [Segment(mask=np.asarray(mask, bool)) for mask in found["masks"]]
        else:
            segments = [Segment(mask=np.asarray(item["mask"]) > 127, label=item["label"]) for item in found]
        return choose_segments(segments, prompt) * np.uint8(255)


def choose_segments(segments: Sequence[Segment], prompt: Prompt) -> Bool[np.ndarray, "height width"]:
    """Join the segments that a prompt means.

    Args:
        segments: Of one photograph; they may overlap.
        prompt: A label leaves the segments of that name; strokes over the target choose the smallest segment that each
            touches most, without those that strokes over the rest touch; a box alone chooses what lies inside it.
            Nothing outside the box is kept.

    Raises:
        InputError: Nothing was found, or the prompt chooses nothing; says which names there are.
    """
    names = ", ".join(sorted({segment.label for segment in segments if segment.label})) or f"{len(segments)} unnamed"
    if not segments:
        raise InputError("the pipeline found no segment in the photograph")
    left = [
        segment
        for segment in segments
        if (prompt.label is None or (segment.label or "").casefold() == prompt.label.casefold())
        and not any(_touched(segment, stroke) for stroke in prompt.rest)
    ]
    height, width = segments[0].mask.shape
    inside = np.zeros((height, width), bool)
    inside[prompt.inside((height, width))] = True
    if prompt.target:
        left = [segment for stroke in prompt.target for segment in _best(left, stroke)]
    elif prompt.box_xyxy is not None:
        left = [segment for segment in left if segment.mask[inside].sum() >= SHARE_INSIDE_BOX * segment.mask.sum() > 0]
    elif prompt.label is None and len(left) > 1:
        raise InputError(f"there are several segments ({names}): say which by a label, a box or a point")
    if not left:
        raise InputError(f"the prompt fits none of the segments found ({names})")
    return np.asarray(np.any([segment.mask for segment in left], axis=0) & inside)


def _touched(segment: Segment, stroke: Stroke) -> float:
    """The share of a stroke's points that lie in the segment."""
    return float(np.mean([segment.mask[int(y), int(x)] for x, y in stroke]))


def _best(segments: Sequence[Segment], stroke: Stroke) -> list[Segment]:
    touched = [segment for segment in segments if _touched(segment, stroke)]
    return sorted(touched, key=lambda segment: (-_touched(segment, stroke), segment.mask.sum()))[:1]
