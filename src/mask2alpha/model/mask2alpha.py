"""The network of the paper: mask-guided encoder, iterative decoding, sparse detail recovery. Start reading here."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mask2alpha.errors import InputError
from mask2alpha.model.box import Box
from mask2alpha.model.config import ModelConfig
from mask2alpha.model.stage1_encoder.adapter import VitAdapterEncoder
from mask2alpha.model.stage1_encoder.backbone import BackboneEncoder
from mask2alpha.model.stage1_encoder.conv_stem import ConvStemEncoder
from mask2alpha.model.stage2_decoding.adapter import MaskAdapter
from mask2alpha.model.stage2_decoding.correction import correct_mask, rebuild_mask
from mask2alpha.model.stage2_decoding.decoder import StepDecoder
from mask2alpha.model.stage2_decoding.evidence import prepare_mask
from mask2alpha.model.stage2_decoding.fusion import FeatureFusion
from mask2alpha.model.stage2_decoding.refine import hold_decided, refine, start_coarse
from mask2alpha.model.stage3_detail.recovery import DetailRecovery
from mask2alpha.model.values import (
    DEFAULT_TRUST,
    CoarseMatte,
    DecodingState,
    FusedFeatures,
    GuidedFeatures,
    ImageEncoding,
    MattingOutput,
    RunOptions,
)
from mask2alpha.ops.padding import padded_size

STRIDE_MULTIPLE = 64
"""The sides of an encoded image are multiples of this. Photos are padded to them at the right and at the bottom."""

ENCODERS: dict[str, type[ConvStemEncoder | BackboneEncoder | VitAdapterEncoder]] = {
    "conv_stem": ConvStemEncoder,
    "backbone": BackboneEncoder,
    "vit_adapter": VitAdapterEncoder,
}
"""Stage 1 by `EncoderConfig.kind`."""


class Network(ABC):
    """A network in five parts, and the one `forward` that calls them; `Mask2Alpha` and exported models are such."""

    config: ModelConfig
    """Sizes of the stages, and the values of `RunOptions` that are None."""
    detail: Callable[[Tensor, Tensor, CoarseMatte, RunOptions], MattingOutput]
    """Stage 3: image and mask at full resolution, and the coarse matte; see `DetailRecovery.forward`."""

    def forward(
        self,
        image: Shaped[Tensor, "batch 3 height width"],
        mask: Shaped[Tensor, "batch 1 height width"],
        options: RunOptions | None = None,
        *,
        encoding: ImageEncoding | None = None,
        encoded_mask: Float[Tensor, "batch 1 _height _width"] | None = None,
    ) -> MattingOutput:
        """Matte each image with its mask.

        Args:
            image: In [0, 1], with sides that are multiples of 64; with `encoding` and `encoded_mask`, also uint8 and of
                any size.
            mask: Of the same size, in [0, 1]; above 0.5 is the target. With `encoded_mask`, also bool and uint8 (255 is
                1).
            options: Run-time choices.
            encoding: The encoding of these images, for several masks of one image or at another size. It is that of the
                images padded to multiples of 64 at the right and at the bottom, or of a smaller version: stages 1 and 2
                run at its size, stage 3 at that of `image`.
            encoded_mask: `mask`, padded like the image and at the size of `encoding`.

        Returns:
            Alpha at full resolution, the predicted error, the active pixels and the coarse result.

        Raises:
            InputError: The sides of `image` are not multiples of 64, and `encoding` or `encoded_mask` is missing.
        """
        size = (image.shape[2], image.shape[3])
        padded = padded_size(size, STRIDE_MULTIPLE)
        if padded != size and (encoding is None or encoded_mask is None):
            raise InputError(f"image is {size[0]} x {size[1]}; its sides must be multiples of {STRIDE_MULTIPLE}")
        options = (options or RunOptions()).filled(self.config)
        encoding = replace(encoding or self.encode(image), spanned=padded)
        small = mask if encoded_mask is None else encoded_mask
        if small.shape[2:] != encoding.size:
            small = F.interpolate(small, encoding.size, mode="area")

        features = replace(self.guide(encoding, small), is_decided=options.is_decided)  # 3.1, MGFSM
        if options.trust > DEFAULT_TRUST:
            features = replace(features, trust=torch.tensor([options.trust], device=small.device))
        fused = self.fuse(features, small, options.box)  # once per mask
        first = self.step(fused, start_coarse(fused))
        corrections = [correct_mask] * (options.num_corrections or 0) + [rebuild_mask] * options.rebuilds_mask
        for correct in corrections:  # not in the paper
            if (corrected := correct(small, first)) is None:
                continue
            small = corrected
            fused = self.fuse(features, small, options.box)
            first = self.step(fused, start_coarse(fused))
        coarse = refine(self.step, fused, options, first=first)  # 3.2, Algorithm 2
        return self.detail(image, mask, coarse, options)  # 3.3

    @abstractmethod
    def encode(self, image: Float[Tensor, "batch 3 height width"]) -> ImageEncoding:
        """The part of stage 1 that depends on the image alone; compute it once and use it for many masks.

        Args:
            image: In [0, 1]; sides multiples of 64.
        """

    def encode_smaller(self, image: Float[Tensor, "batch 3 height width"], encoding: ImageEncoding) -> ImageEncoding:
        """The encoding of a smaller version of an image; a network may reuse parts of the image's own encoding.

        Args:
            image: The smaller version, as for `encode`.
            encoding: Of the image.
        """
        return self.encode(image)

    @abstractmethod
    def guide(self, encoding: ImageEncoding, mask: Float[Tensor, "batch 1 height width"]) -> GuidedFeatures:
        """The guided last block, for one mask per encoding; `mask` is of the encoded size, in [0, 1]."""

    @abstractmethod
    def fuse(
        self, features: GuidedFeatures, mask: Float[Tensor, "batch 1 height width"], box: Box | None = None
    ) -> FusedFeatures:
        """All that the decoding steps read, at stride 4.

        Args:
            features: From `guide`.
            mask: Of the encoded size, in [0, 1].
            box: Decode in this part only. The first evidence is still that of the whole image.
        """

    @abstractmethod
    def step(self, fused: FusedFeatures, state: DecodingState) -> CoarseMatte:
        """One decoding step: predict alpha and the error from a state."""


class Mask2Alpha(Network, nn.Module):
    """The network of the paper on tensors; `pipeline` handles sizes, padding and arrays."""

    detail: DetailRecovery

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ENCODERS[config.encoder.kind](config.encoder)
        self.fusion = FeatureFusion(self.encoder.out_channels, self.encoder.num_kept_maps, config.decoder)
        self.decoder = StepDecoder(config.decoder)
        self.detail = DetailRecovery(config.detail, config.decoder.fused_channels)
        trust, trimap = config.decoder.trust_channels, config.decoder.trimap_channels
        self.trust = MaskAdapter(config.decoder, channels=trust, reads_decided=False) if trust else None
        self.trimap = MaskAdapter(config.decoder, channels=trimap, reads_decided=True) if trimap else None

    def encode(self, image: Float[Tensor, "batch 3 height width"], *, token_budget: int | None = None) -> ImageEncoding:
        """See `Network.encode`; `token_budget` overrides the configuration's, for encoders with a backbone."""
        if token_budget is None:
            encoding = self.encoder.encode(image)
        else:
            assert isinstance(self.encoder, BackboneEncoder)
            encoding = self.encoder.encode(image, token_budget)
        return replace(encoding, maps=self.fusion.project(encoding.maps))

    def encode_smaller(self, image: Float[Tensor, "batch 3 height width"], encoding: ImageEncoding) -> ImageEncoding:
        """See `Network.encode_smaller`; a backbone's tokens are those of the image."""
        if not isinstance(self.encoder, BackboneEncoder):
            return self.encode(image)
        maps, thumbnail = self.encoder.run_stem(image)
        size = (image.shape[2], image.shape[3])
        return replace(encoding, maps=self.fusion.project(maps), thumbnail=thumbnail, size=size)

    def guide(self, encoding: ImageEncoding, mask: Float[Tensor, "batch 1 height width"]) -> GuidedFeatures:
        """See `Network.guide`."""
        return self.encoder.guide(encoding, mask)

    def fuse(
        self, features: GuidedFeatures, mask: Float[Tensor, "batch 1 height width"], box: Box | None = None
    ) -> FusedFeatures:
        """See `Network.fuse`."""
        features, mask_os4, evidence = prepare_mask(features, mask, box)
        fused = self.fusion(features, mask_os4, evidence)
        if features.trust is not None:
            if self.trust is not None:
                share = ((features.trust - DEFAULT_TRUST) / (1 - DEFAULT_TRUST)).clamp(min=0).to(fused.dtype)
                fused = fused + share.view(-1, 1, 1, 1) * self.trust(fused, mask_os4, evidence)
        elif self.trimap is not None and features.is_decided is not None:
            fused = fused + self.trimap(fused, mask_os4, evidence, features.is_decided)
        return FusedFeatures(
            features=fused,
            prepared=self.decoder.prepare(fused),
            mask_os4=mask_os4,
            evidence=evidence,
            guided=features,
        )

    def step(self, fused: FusedFeatures, state: DecodingState) -> CoarseMatte:
        """See `Network.step`."""
        return hold_decided(self.decoder(fused, state), fused)

    def decode(
        self,
        image: Float[Tensor, "batch 3 height width"],
        encoding: ImageEncoding,
        mask: Float[Tensor, "batch 1 height width"],
        options: RunOptions | None = None,
    ) -> MattingOutput:
        """Deprecated: `forward` with `encoding`."""
        warnings.warn(
            "mask2alpha: `Mask2Alpha.decode` is deprecated since 0.2 and goes in 0.4; "
            "call `forward(image, mask, options, encoding=encoding)`",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.forward(image, mask, options, encoding=encoding)

    @classmethod
    def from_pretrained(cls, source: str | Path) -> "Mask2Alpha":
        """Load a shipped model (`"base"` or `"small"`), a local .safetensors file or folder, or a hub id `org/name`.

        Raises:
            CheckpointError: It cannot be found, read, or does not fit.
        """
        from mask2alpha.checkpoints import load_model  # not at the top, because checkpoints imports this module

        return load_model(source)

    def save_pretrained(self, path: str | Path, metadata: dict[str, str] | None = None) -> None:
        """Write weights, configuration and `metadata` into one safetensors file."""
        from mask2alpha.checkpoints import save_model

        save_model(self, path, metadata or {})

    def push_to_hub(self, repo_id: str, metadata: dict[str, Any] | None = None, **options: Any) -> str:
        """Upload weights, configuration and a model card made of `metadata`; returns the commit's address.

        Args:
            repo_id: `org/name`; created if it does not exist.
            metadata: As for `checkpoints.save_model`: recipe, data and licence. For a file that has its metadata,
                `hub.push_to_hub(file, repo_id)` is shorter.
            **options: `private`, `revision`, `token`, `message`, as for `hub.push_to_hub`.

        Raises:
            CheckpointError: The hub refuses.
        """
        from mask2alpha.checkpoints import save_model
        from mask2alpha.hub import push_to_hub

        with TemporaryDirectory() as folder:
            return push_to_hub(save_model(self, folder, metadata), repo_id, **options)
