"""Fakes at the lowest interfaces: a network and a predictor whose answers are known."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mask2alpha.model.box import Box
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import STRIDE_MULTIPLE, Network
from mask2alpha.model.values import (
    CoarseMatte,
    DecodingState,
    Evidence,
    FusedFeatures,
    GuidedFeatures,
    ImageEncoding,
    MattingOutput,
    RunOptions,
)
from mask2alpha.ops.cells import count_cells
from mask2alpha.ops.masks import Mask
from mask2alpha.ops.padding import padded_size
from mask2alpha.ops.units import as_unit
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.pipeline.matte import EncodedImage, Matte
from mask2alpha.pipeline.preprocess import image_to_pixels, mask_to_tensor
from mask2alpha.pipeline.sharing import share_alpha


class EchoNetwork(Network):
    """A network whose alpha is the mask and whose predicted error is the image's red; it remembers the sizes it saw."""

    def __init__(self) -> None:
        self.config = PRESETS["tiny"]
        self.encoded_sizes: list[tuple[int, int]] = []
        self.decoded_shapes: list[tuple[int, ...]] = []
        self.options: RunOptions | None = None

    def encode(self, image: Tensor) -> ImageEncoding:
        size = (image.shape[2], image.shape[3])
        self.encoded_sizes.append(size)
        return ImageEncoding(
            tokens=torch.zeros(1, 1, 1), token_grid=(1, 1), maps=(), thumbnail=torch.zeros(1, 3, 4, 4), size=size
        )

    def guide(self, encoding: ImageEncoding, mask: Tensor) -> GuidedFeatures:
        assert encoding.tokens.shape[0] == mask.shape[0]
        assert encoding.size == mask.shape[2:]
        self.decoded_shapes.append(tuple(mask.shape))
        return GuidedFeatures(
            maps=(),
            tokens=encoding.tokens,
            token_grid=(1, 1),
            thumbnail=encoding.thumbnail,
            size=encoding.size,
            spanned=encoding.spanned,
        )

    def fuse(self, features: GuidedFeatures, mask: Tensor, box: Box | None = None) -> FusedFeatures:
        small = torch.zeros(mask.shape[0], 1, 4, 4)
        evidence = Evidence(cues=small, local_colours=small.expand(-1, 6, -1, -1))
        return FusedFeatures(features=small, prepared=small, mask_os4=small, evidence=evidence, guided=features)

    def step(self, fused: FusedFeatures, state: DecodingState) -> CoarseMatte:
        small = fused.features
        return CoarseMatte(
            alpha_logits=small, predicted_error=small, features=small, local_colours=state.evidence.local_colours
        )

    def detail(self, image: Tensor, mask: Tensor, coarse: CoarseMatte, options: RunOptions) -> MattingOutput:
        assert image.shape[2:] == mask.shape[2:]
        self.options = options
        size = (image.shape[2], image.shape[3])
        padded = padded_size(size, STRIDE_MULTIPLE)
        red = F.pad(as_unit(image[:, :1]), (0, padded[1] - size[1], 0, padded[0] - size[0]))
        return MattingOutput(
            alpha=as_unit(mask).clone(),
            active_cells=torch.zeros(len(mask), 1, *count_cells(size), dtype=torch.bool),
            coarse=CoarseMatte(
                alpha_logits=red, predicted_error=red, features=red, local_colours=red.expand(-1, 6, -1, -1)
            ),
            spanned=padded,
        )


class FakePredictor(AbstractPredictor):
    """A predictor whose alpha is the mask, with no network behind it; it counts what it is asked for."""

    def __init__(self) -> None:
        self.num_encoded = 0
        self.num_predicted = 0

    def encode(self, image: NDArray[Any]) -> EncodedImage:
        self.num_encoded += 1
        pixels = image_to_pixels(image)
        size = (pixels.shape[2], pixels.shape[3])
        encoding = ImageEncoding(
            tokens=torch.zeros(1, 1, 1), token_grid=(1, 1), maps=(), thumbnail=torch.zeros(1, 3, 1, 1), size=size
        )
        return EncodedImage(image=image, pixels=pixels, encoding=encoding)

    def predict(self, image: NDArray[Any] | EncodedImage, mask: NDArray[Any] | Mask) -> Matte:
        encoded = image if isinstance(image, EncodedImage) else self.encode(image)
        self.num_predicted += 1
        alpha = mask_to_tensor(mask, encoded.size)[0, 0].numpy()
        return Matte(alpha=alpha, image=encoded.image, coarse_error=0 * alpha, spanned=encoded.size)

    def predict_instances(
        self,
        image: NDArray[Any] | EncodedImage,
        masks: NDArray[Any] | Sequence[NDArray[Any] | Mask] | Mapping[str, NDArray[Any] | Mask],
        *,
        is_exclusive: bool = False,
    ) -> tuple[Matte, ...]:
        encoded = image if isinstance(image, EncodedImage) else self.encode(image)
        each = list(masks.values() if isinstance(masks, Mapping) else masks)
        mattes = tuple(self.predict(encoded, mask) for mask in each)
        if not is_exclusive:
            return mattes
        whole = np.max([matte.alpha for matte in mattes], axis=0)
        return share_alpha(mattes, replace(mattes[0], alpha=whole))
