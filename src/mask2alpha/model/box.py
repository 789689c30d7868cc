"""The part of the picture around a small target, in which alone its mask is decoded.

What lies far from the mask is taken for background without asking the network: a rough mask may miss some of the
target, but not by as much as the margin. See docs/decisions/0036.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mask2alpha.model.outputs import CoarseMatte
from mask2alpha.shapes import Size

MULTIPLE = 64
"""Sides of a box are multiples of this: the coarsest stride of any encoder."""
LEAST_MARGIN = 128
"""Pixels between the mask and the border of its box, at least; at the size that is encoded, as all here."""
MARGIN_SHARE = 0.25
"""The same as a share of the mask's longer side, if that is more."""
LARGEST_SHARE = 0.6
"""A box that covers more of the picture than this saves too little."""
LEAST_MEANT = 0.05
"""Mask values up to this are no part of the target."""
FAR_LOGIT = -20.0
"""Alpha's logit outside the box."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle of the encoded picture, in its pixels; all numbers are multiples of 64."""

    top: int
    bottom: int
    left: int
    right: int

    def cut(
        self, feature_map: Float[Tensor, "batch channels _h _w"], size: Size
    ) -> Float[Tensor, "batch channels h w"]:
        """The part of a map at any stride that spans `size`."""
        stride = size[0] // feature_map.shape[2]
        rows, columns = (
            slice(self.top // stride, self.bottom // stride),
            slice(self.left // stride, self.right // stride),
        )
        return feature_map[:, :, rows, columns]

    def paste(self, coarse: CoarseMatte, size: Size) -> CoarseMatte:
        """The coarse matte of a whole picture of `size`, from that of the box; background outside."""
        return CoarseMatte(
            alpha_logits=self._paste(coarse.alpha_logits, size, FAR_LOGIT),
            predicted_error=self._paste(coarse.predicted_error, size, 0.0),
            features=self._paste(coarse.features, size, 0.0),
            local_colours=self._paste(coarse.local_colours, size, 0.0),
        )

    def _paste(self, part: Tensor, size: Size, outside: float) -> Tensor:
        shape = (*part.shape[:2], size[0] // 4, size[1] // 4)
        whole = torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=torch.channels_last)
        whole.fill_(outside)
        self.cut(whole, size).copy_(part)
        return whole


def find_box(mask: Float[Tensor, "1 1 height width"]) -> Box | None:
    """The surroundings of a mask, of the size that is encoded; None where they are most of the picture."""
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
    box = Box(top=MULTIPLE * top, bottom=MULTIPLE * bottom, left=MULTIPLE * left, right=MULTIPLE * right)
    area = (box.bottom - box.top) * (box.right - box.left)
    return box if area <= LARGEST_SHARE * height * width else None
