"""The first step of every encoder: halve the image and normalise its colours."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mask2alpha.model.config import EncoderConfig


class HalfResolutionInput(nn.Module):
    """Averages 2 x 2 pixels and normalises with the configuration's mean and standard deviation (paper 3.1)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.halve = nn.AvgPool2d(2)
        self.register_buffer("mean", torch.tensor(config.image_mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.image_std).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch 3 _h2 _w2"], Float[Tensor, "batch 3 _h4 _w4"]]:
        """The encoder's input, at half the resolution, and the thumbnail, in [0, 1] at a quarter of it."""
        half = self.halve(image)
        return self.normalize(half), self.halve(half).contiguous()

    def normalize(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """An image in [0, 1] with the mean subtracted, divided by the standard deviation."""
        return (image - self.mean) / self.std
