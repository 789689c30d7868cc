"""A mask as the network reads it, and the part of alpha that a trimap decides by itself: all outside of its grey."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from mask2alpha.ops.trimap import find_unsure, has_guess
from mask2alpha.ops.units import as_unit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Guidance:
    """A mask of the photo's size."""

    mask: Shaped[Tensor, "1 1 height width"]
    """What the network reads: bool, uint8 of which 255 is the target, or floats in [0, 1]."""
    is_decided: Bool[Tensor, "1 1 height width"] | None = None
    """Where alpha is the mask's value, which is 0 or 1 there. None: the network may change every pixel."""

    @classmethod
    def read(cls, mask: Shaped[Tensor, "1 1 height width"]) -> "Guidance":
        """What a mask says; only a trimap decides pixels (`ops.trimap`)."""
        values = mask[0, 0].numpy()
        if (is_unsure := find_unsure(values)) is None:
            return cls(mask=mask)
        is_decided = torch.from_numpy(~is_unsure)[None, None]
        return cls(mask=as_unit(mask) > 0.5 if has_guess(values, is_unsure) else mask, is_decided=is_decided)

    def hold(self, alpha: Float[Tensor, "1 1 height width"]) -> Float[Tensor, "1 1 height width"]:
        """Alpha, with the mask's value where it is decided."""
        if self.is_decided is None:
            return alpha
        return torch.where(self.is_decided.to(alpha.device), as_unit(self.mask).to(alpha), alpha)
