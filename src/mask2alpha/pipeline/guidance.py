"""A mask as the network reads it, and the part of alpha that a trimap decides by itself: all outside of its grey."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from mask2alpha.model.values import DEFAULT_TRUST
from mask2alpha.ops.trimap import find_unsure, has_guess, is_middle_grey
from mask2alpha.ops.units import as_unit
from mask2alpha.pipeline.trust import find_decided


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Guidance:
    """A mask of the photo's size."""

    mask: Shaped[Tensor, "1 1 height width"]
    """What the network reads: bool, uint8 of which 255 is the target, or floats in [0, 1]."""
    is_decided: Bool[Tensor, "1 1 height width"] | None = None
    """Where alpha is 1 if the mask is above 0.5, else 0. None: the network may change every pixel."""
    is_open_trimap: bool = False
    """Whether it is a trimap that says nothing of the pixels that it leaves open."""

    @classmethod
    def read(
        cls, mask: Shaped[Tensor, "1 1 height width"], trust: float = DEFAULT_TRUST, *, is_soft: bool = False
    ) -> "Guidance":
        """What a mask says: a trimap decides pixels (`ops.trimap`), and so does another mask that is trusted.

        Args:
            mask: Of the photo's size.
            trust: In [0, 1].
            is_soft: As `Mask.is_soft`.
        """
        values = mask[0, 0].numpy()
        if is_soft or (is_unsure := find_unsure(values)) is None:
            return cls(mask=mask, is_decided=find_decided(mask, trust))
        is_decided = torch.from_numpy(~is_unsure)[None, None]
        if has_guess(values):
            return cls(mask=as_unit(mask) > 0.5, is_decided=is_decided)
        is_grey = torch.from_numpy(is_middle_grey(values))[None, None]  # on neither side, whichever grey it is
        return cls(mask=torch.where(is_grey, 0.5, as_unit(mask)), is_decided=is_decided, is_open_trimap=True)

    def hold(self, alpha: Float[Tensor, "1 1 height width"]) -> Float[Tensor, "1 1 height width"]:
        """Alpha, with the mask's value where it is decided."""
        if self.is_decided is None:
            return alpha
        value = (as_unit(self.mask) > 0.5).to(alpha)
        return torch.where(self.is_decided.to(alpha.device), value, alpha)
