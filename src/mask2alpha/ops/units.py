"""Values of photos and masks in the units of the network."""

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor


def as_unit(values: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Pixels as floats in [0, 1]: floats as they are, bool as 0 and 1, uint8 divided by 255."""
    if values.is_floating_point():
        return values
    return values.float() if values.dtype == torch.bool else values.float().div_(255)


def to_uint8(values: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Values in [0, 1] as 0 to 255, rounded."""
    return (values * 255 + 0.5).to(torch.uint8)
