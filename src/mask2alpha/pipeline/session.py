"""Sessions in which the mask of one photo is changed by hand: a coarse preview at once, then the matte."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2alpha.ops.masks import Mask
from mask2alpha.ops.units import as_unit
from mask2alpha.pipeline.matte import EncodedImage, Matte
from mask2alpha.pipeline.predictor import Predictor, find_trivial_value
from mask2alpha.pipeline.preprocess import mask_to_pixels
from mask2alpha.shapes import Size

PREVIEW_SIDE = 768
"""Longest side, in pixels, at which a preview is computed."""
PREVIEW_MARGIN = 1 / 32
"""Pixels around the touched ones that a preview shows, as a share of the photo's longer side."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preview:
    """A coarse alpha of a part of the photo, shown until the matte is there."""

    alpha: NDArray[np.float32]
    """(rows, columns) of the part, at full resolution, in [0, 1]."""
    top: int
    """First row of the part in the photo."""
    left: int
    """First column of the part."""

    def paste_into(self, alpha: NDArray[np.float32]) -> NDArray[np.float32]:
        """A copy of a whole alpha (H, W), the last matte's, with this part in its place."""
        shown = alpha.copy()
        height, width = self.alpha.shape
        shown[self.top : self.top + height, self.left : self.left + width] = self.alpha
        return shown


class Session:
    """A photo, encoded once for mattes and once, small, for previews; nothing else is remembered.

    What depends on the photo alone is not repeated. All else is, because a mask reaches every pixel, through the guided
    attention and the evidence. Each matte equals that of a fresh run, bit for bit.
    """

    def __init__(self, predictor: Predictor, image: NDArray[Any] | EncodedImage) -> None:
        """Encode.

        Args:
            predictor: Makes the mattes.
            image: As for `Predictor.encode`, or what it returned.

        Raises:
            InputError: The image cannot be used.
        """
        self.predictor = predictor
        self.encoded = image if isinstance(image, EncodedImage) else predictor.encode(image)
        self._overview = predictor.encode_overview(self.encoded, PREVIEW_SIDE)

    def matte(self, mask: NDArray[Any] | Mask) -> Matte:
        """The matte of a mask: `Predictor.predict` with the kept encoding."""
        return self.predictor.predict(self.encoded, mask)

    def preview(self, mask: NDArray[Any] | Mask, previous: NDArray[Any] | Mask | None = None) -> Preview:
        """A coarse alpha of what changed.

        Args:
            mask: As for `Predictor.predict`.
            previous: The mask before the change, of the same kind; the preview shows the pixels where they differ and
                some around them, nothing where they do not differ. Default: the whole photo is shown.

        Raises:
            InputError: A mask cannot be used.
        """
        size = self.encoded.size
        pixels = mask_to_pixels(mask, size)
        rows, columns = (0, size[0]), (0, size[1])
        if previous is not None:
            before = mask_to_pixels(previous, size, name="previous")
            changed = as_unit(pixels) != as_unit(before) if pixels.dtype != before.dtype else pixels != before
            rows, columns = _box_around(changed[0, 0].numpy(), size)
        part = (rows[1] - rows[0], columns[1] - columns[0])
        trivial = find_trivial_value(pixels)
        if 0 in part or trivial is not None:
            alpha = np.full(part, trivial or 0.0, dtype=np.float32)
        else:
            alpha = self.predictor.preview(self._overview, pixels, rows=rows, columns=columns)
        return Preview(alpha=alpha, top=rows[0], left=columns[0])


def _box_around(changed: NDArray[np.bool_], size: Size) -> tuple[tuple[int, int], tuple[int, int]]:
    """(first, past the last) row and column of the box around the changed pixels with its margin; empty if none."""
    margin = round(PREVIEW_MARGIN * max(size))
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if len(rows) == 0:
        return (0, 0), (0, 0)
    return _grow(rows, margin, size[0]), _grow(columns, margin, size[1])


def _grow(indices: NDArray[np.intp], margin: int, length: int) -> tuple[int, int]:
    return max(0, int(indices[0]) - margin), min(length, int(indices[-1]) + 1 + margin)
