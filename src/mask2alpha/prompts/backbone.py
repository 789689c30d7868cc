"""The built-in maker: `Predictor.select`, whose model has seen the photo anyway; no other weights, no OpenCV."""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from mask2alpha.ops.prompt import Prompt
from mask2alpha.prompts.abstract import AbstractMaskMaker


class Backbone(AbstractMaskMaker):
    """Points, strokes, a box, any mix of them, or nothing: then what stands out."""

    accepts = frozenset({"box", "target", "rest"})

    def __init__(self, predictor: Any, *, scale: str = "object") -> None:
        """Keep the predictor.

        Args:
            predictor: A `Predictor` whose model has a backbone. To answer several prompts over one photo, encode it
                once and call `select` yourself.
            scale: How much a point means: "part", "object" or "group".
        """
        self._predictor = predictor
        self._scale = scale

    def _segment(self, image: UInt8[np.ndarray, "height width 3"], prompt: Prompt) -> UInt8[np.ndarray, "height width"]:
        selected = self._predictor.select(
            self._predictor.encode(image),
            boxes=[] if prompt.box_xyxy is None else [prompt.box_xyxy],
            strokes=prompt.target,
            not_strokes=prompt.rest,
            brush=prompt.brush,
            scale=self._scale,
        )
        return np.asarray(selected * np.uint8(255), np.uint8)
