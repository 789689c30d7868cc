"""Segmenters by name, for the command line and the service."""

from collections.abc import Callable
from typing import Any

from mask2alpha.errors import InputError
from mask2alpha.prompts.abstract import AbstractMaskMaker

NAMES = {
    "backbone": "the matting model itself: points, strokes, a box or nothing; the model needs a backbone",
    "grabcut": "GrabCut of OpenCV: a box or strokes; no weights",
    "sam:SOURCE": "SAM or SAM 2 of transformers: a box or points; SOURCE is a hub id or a folder",
    "rembg:SESSION": "a session of rembg, such as u2net or birefnet-general: no prompt, or a box",
    "segments:SOURCE": "an image-segmentation model of transformers: a label, points or a box",
}
"""What `make_mask_maker` takes, and what each understands."""


def make_mask_maker(
    name: str,
    *,
    device: str | None = None,
    open_predictor: Callable[[], Any] | None = None,
    scale: str = "object",
) -> AbstractMaskMaker:
    """Open a segmenter.

    Args:
        name: As in `NAMES`.
        device: For a network of transformers; default: CUDA where there is one, else the CPU.
        open_predictor: Makes the `Predictor` of `backbone`; called for no other.
        scale: How much a point means to `backbone`: "part", "object" or "group".

    Raises:
        InputError: The name is not known, the package behind it is not installed, or its weights cannot be loaded.
    """
    kind, _, source = name.partition(":")
    if kind == "backbone" and not source:
        from mask2alpha.prompts.backbone import Backbone

        if open_predictor is None:
            raise InputError("the segmenter 'backbone' needs a predictor: pass open_predictor")
        return Backbone(open_predictor(), scale=scale)
    if kind == "grabcut" and not source:
        from mask2alpha.prompts.grabcut import GrabCut

        return GrabCut()
    if kind == "sam" and source:
        from mask2alpha.prompts.sam import Sam

        return Sam(source, device=device)
    if kind == "rembg" and source:
        from mask2alpha.prompts.salient import Rembg

        return Rembg(source)
    if kind == "segments" and source:
        from mask2alpha.prompts.segments import Segments

        return Segments(source, device=device)
    raise InputError(f"segmenter {name!r} is not known; accepted: {', '.join(NAMES)}")
