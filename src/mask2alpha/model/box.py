"""The box around a small target; its mask is decoded in this box only.

Far from the mask, alpha is 0 without running the network: a rough mask may miss some of the target, but not by as much
as the margin. See docs/decisions/0036.

The maps of a box stay as small as the box. `Placement` says which pixels of the photo they belong to.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from mask2alpha.ops.cells import CELL, count_cells
from mask2alpha.ops.resize import upsample
from mask2alpha.shapes import Size

MULTIPLE = 64
"""The sides of a box are multiples of this: the coarsest stride of any encoder."""
LEAST_MARGIN = 128
"""Least distance between the mask and the border of its box, in pixels of the encoded image."""
MARGIN_SHARE = 0.25
"""The margin as a share of the mask's longer side, if that is more."""
LARGEST_SHARE = 0.6
"""Largest share of the image that a box may cover; a larger one would save too little."""
LEAST_MEANT = 0.05
"""Mask values up to this do not belong to the target."""
FAR_LOGIT = -20.0
"""Logit of alpha outside the box."""
RING = 4
"""Pixels of background, at stride 4, that are put around the maps of a box before they are upsampled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle of the encoded image, in its pixels; all numbers are multiples of 64."""

    top: int
    bottom: int
    left: int
    right: int
    size: Size
    """(height, width) of the encoded image."""

    def cut(self, feature_map: Shaped[Tensor, "batch channels _h _w"]) -> Shaped[Tensor, "batch channels h w"]:
        """The part of a map, at any stride, of the whole image."""
        stride = self.size[0] // feature_map.shape[2]
        rows, columns = (
            slice(self.top // stride, self.bottom // stride),
            slice(self.left // stride, self.right // stride),
        )
        return feature_map[:, :, rows, columns]


def spread(
    x: Shaped[Tensor, "batch channels _h _w"], box: Box | None, *, outside: float = 0.0
) -> Shaped[Tensor, "batch channels h w"]:
    """The inverse of `Box.cut`: the map of the whole image, with `outside` around the box; `x` where there is none."""
    if box is None:
        return x
    stride = (box.bottom - box.top) // x.shape[2]
    missing = (box.left, box.size[1] - box.right, box.top, box.size[0] - box.bottom)
    return F.pad(x, tuple(length // stride for length in missing), value=outside)


def find_box(mask: Float[Tensor, "1 1 height width"]) -> Box | None:
    """The box around a mask of the encoded size; None if it would cover most of the image, or the mask is empty."""
    rows, columns = ((mask[0, 0].amax(dim) > LEAST_MEANT).nonzero()[:, 0] for dim in (1, 0))
    if len(rows) == 0:
        return None
    extents = [(int(indices[0]), int(indices[-1]) + 1) for indices in (rows, columns)]
    margin = max(LEAST_MARGIN, MARGIN_SHARE * max(last - first for first, last in extents))
    height, width = mask.shape[2:]
    (top, bottom), (left, right) = (
        (max(0, int((first - margin) // MULTIPLE)), min(length // MULTIPLE, int(-(-(last + margin) // MULTIPLE))))
        for (first, last), length in zip(extents, (height, width), strict=True)
    )
    box = Box(
        top=MULTIPLE * top,
        bottom=MULTIPLE * bottom,
        left=MULTIPLE * left,
        right=MULTIPLE * right,
        size=(height, width),
    )
    area = (box.bottom - box.top) * (box.right - box.left)
    return box if area <= LARGEST_SHARE * height * width else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The pixels of a photo that the maps of a box, or of the whole encoded image, belong to."""

    rows: slice
    """Rows of the photo; from an even number on."""
    columns: slice
    whole: Size
    """(h, w) of the maps of the whole image."""
    first: tuple[int, int]
    """(row, column) of the whole maps at which those at hand begin, their ring included."""
    spanned: Size
    """(height, width) that the whole maps span, in pixels of the photo."""
    ring: tuple[int, int, int, int]
    """Pixels that `surround` puts at the left, right, top and bottom."""

    @classmethod
    def of(cls, map_size: Size, photo_size: Size, *, spanned: Size, box: Box | None) -> "Placement":
        """The place of maps of `map_size` at stride 4 over a photo of (height, width)."""
        if box is None:
            rows, columns = (slice(0, length) for length in photo_size)
            return cls(rows=rows, columns=columns, whole=map_size, first=(0, 0), spanned=spanned, ring=(0, 0, 0, 0))
        whole = (box.size[0] // 4, box.size[1] // 4)
        parts, rings = [], []
        for axis, (start, stop) in enumerate(((box.top // 4, box.bottom // 4), (box.left // 4, box.right // 4))):
            ring = min(RING, start), min(RING, whole[axis] - stop)
            scale = spanned[axis] / whole[axis]
            first = CELL * int((start - ring[0]) * scale / CELL)
            last = min(photo_size[axis], CELL * -int(-(stop + ring[1]) * scale // CELL))
            parts.append(slice(first, last))
            rings.append(ring)
        return cls(
            rows=parts[0],
            columns=parts[1],
            whole=whole,
            first=(box.top // 4 - rings[0][0], box.left // 4 - rings[1][0]),
            spanned=spanned,
            ring=(*rings[1], *rings[0]),
        )

    def cut(self, x: Shaped[Tensor, "batch channels height width"]) -> Shaped[Tensor, "batch channels _h _w"]:
        """The pixels of the photo, or of a map of its size."""
        return x[:, :, self.rows, self.columns]

    def paste(
        self, part: Shaped[Tensor, "batch channels _h _w"], size: Size, *, stride: int = 1
    ) -> Shaped[Tensor, "batch channels height width"]:
        """A map of the whole photo (`stride` 1) or of its cells (`stride` 2), with zeros around the part."""
        whole = part.new_zeros((*part.shape[:2], *size))
        top, left = self.rows.start // stride, self.columns.start // stride
        whole[:, :, top : top + part.shape[2], left : left + part.shape[3]] = part
        return whole

    def surround(self, x: Float[Tensor, "batch channels _h _w"], outside: float) -> Float[Tensor, "batch channels h w"]:
        """The map with a ring of `outside` around the box, as far as the image goes."""
        return F.pad(x, self.ring, value=outside) if any(self.ring) else x

    def upsample(
        self, x: Float[Tensor, "batch channels h w"], *, stride: int = 1, method: Callable[..., Tensor] = upsample
    ) -> Float[Tensor, "batch channels _h _w"]:
        """A surrounded map at the pixels of the photo (`stride` 1) or at its cells (`stride` 2)."""
        size = (self.rows.stop - self.rows.start, self.columns.stop - self.columns.start)
        if stride == CELL:
            size = count_cells(size)
        return method(
            x,
            size,
            spanned=(self.spanned[0] // stride, self.spanned[1] // stride),
            origin=(self.rows.start // stride, self.columns.start // stride),
            whole=self.whole,
            first=self.first,
        )
