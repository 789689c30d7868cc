"""What every encoder does first: halve the photograph and normalise its colours."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.config import EncoderConfig
from mask2alpha.ops.resize import halve


class HalfResolutionInput(nn.Module):
    """Area-average 2x2 pixels and normalise with the configuration's mean and standard deviation (paper 3.1)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(config.image_mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.image_std).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 _h _w"]:
        """The encoder's input, (B, 3, H/2, W/2), about zero mean and unit deviation."""
        return (halve(image) - self.mean) / self.std


def make_thumbnail(image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 _h _w"]:
    """The image at stride 4, each pixel the mean of 4 x 4; in planes, as suits the colour cues."""
    return halve(halve(image)).contiguous()
