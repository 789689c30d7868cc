"""The picture that is written of a frame's matte."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mask2alpha.ops.compositing import composite
from mask2alpha.pipeline.foreground import despill
from mask2alpha.pipeline.matte import Colour, Matte, cover
from mask2alpha.pipeline.preprocess import image_to_tensor

KINDS = ("cutout", "alpha", "foreground", "composite")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Look:
    """How colours are treated."""

    has_clean_colours: bool = True
    """The target's own colours, estimated; False: the clip's, with the old background in soft edges."""
    key: Colour | None = None
    """Colour of a screen whose spill is taken away."""
    background: NDArray[Any] = field(default_factory=lambda: np.full((1, 1, 3), 255, np.uint8))
    """Of composites: a picture (H, W, 3) that is scaled to cover the frame; one pixel is a plain colour."""

    def picture(self, kind: str, matte: Matte, suffix: str) -> NDArray[Any]:
        """What is written of a matte.

        Args:
            kind: One of `KINDS`.
            matte: Of a frame.
            suffix: Of the file: `.mov` holds more than 8 bits, `.webm` does not; empty: PNG, as deep as the frame.

        Returns:
            (H, W) alpha, (H, W, 4) cut-out, or (H, W, 3); uint8 or uint16.
        """
        is_deep = suffix == ".mov" or (not suffix and matte.image.dtype == np.uint16)
        if kind == "alpha":
            return _rounded(matte.alpha, is_deep=is_deep)
        colours = image_to_tensor(matte.foreground() if self.has_clean_colours else matte.image)[0]
        if self.key is not None:
            colours = despill(colours, self.key)
        alpha = torch.from_numpy(matte.alpha)[None]
        if kind == "cutout":
            colours = torch.cat([colours, alpha])
        elif kind == "composite":
            background = cover(image_to_tensor(self.background), (alpha.shape[1], alpha.shape[2]))[0]
            colours = composite(colours, background, alpha)
        return _rounded(colours.permute(1, 2, 0).numpy(), is_deep=is_deep)


def _rounded(values: NDArray[np.float32], *, is_deep: bool) -> NDArray[Any]:
    dtype = np.uint16 if is_deep else np.uint8
    return np.ascontiguousarray(np.rint(values * np.iinfo(dtype).max), dtype=dtype)
