"""The network of the paper: mask-guided encoder, iterative decoding, sparse detail recovery. Start reading here."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mask2alpha.model.box import Box
from mask2alpha.model.colours import find_colour_evidence
from mask2alpha.model.config import ModelConfig
from mask2alpha.model.outputs import (
    CoarseMatte,
    ColourEvidence,
    FusedFeatures,
    ImageEncoding,
    MattingOutput,
    RunOptions,
)
from mask2alpha.model.stage1_encoder.adapter import VitAdapterEncoder
from mask2alpha.model.stage1_encoder.conv_stem import ConvStemEncoder
from mask2alpha.model.stage2_decoding.decoder import StepDecoder
from mask2alpha.model.stage2_decoding.fusion import FeatureFusion
from mask2alpha.model.stage2_decoding.refine import refine
from mask2alpha.model.stage3_detail.recovery import DetailRecovery
from mask2alpha.shapes import Size

STRIDE_MULTIPLE = 64
"""Sides of the network's input must be multiples of this."""


class Mask2Alpha(nn.Module):
    """Image and mask tensors in, alpha out; sizes, padding and files are the pipeline's business."""

    decodes_boxes = True
    """Whether `decode_coarse` takes a box."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder: ConvStemEncoder | VitAdapterEncoder = (
            ConvStemEncoder(config.encoder) if config.encoder.kind == "conv_stem" else VitAdapterEncoder(config.encoder)
        )
        self.fusion = FeatureFusion(self.encoder.out_channels, config.decoder)
        self.decoder = StepDecoder(config.decoder)
        self.detail = DetailRecovery(config.detail, config.decoder.fused_channels)

    def forward(
        self,
        image: Float[Tensor, "batch 3 height width"],
        mask: Float[Tensor, "batch 1 height width"],
        options: RunOptions | None = None,
    ) -> MattingOutput:
        """Matte each image with its mask.

        Args:
            image: In [0, 1]; sides multiples of 64.
            mask: In [0, 1]; above 0.5 is the target.
            options: Run-time choices.

        Returns:
            Alpha at full resolution, the predicted error, the active pixels and the coarse result.
        """
        return self.decode(image, self.encode(image), mask, options)

    def encode(self, image: Float[Tensor, "batch 3 height width"]) -> ImageEncoding:
        """Stage 1 as far as it depends on the image alone: compute it once, use it for many masks."""
        encoding = self.encoder.encode(image)
        kept = self.encoder.num_kept_maps
        return replace(encoding, maps=(*self.fusion.project(encoding.maps[:kept]), *encoding.maps[kept:]))

    def decode(
        self,
        image: Float[Tensor, "batch 3 height width"],
        encoding: ImageEncoding,
        mask: Float[Tensor, "batch 1 height width"],
        options: RunOptions | None = None,
    ) -> MattingOutput:
        """The rest of stage 1, and stages 2 and 3, for one mask per encoding.

        Args:
            image: At full resolution, in [0, 1].
            encoding: Of the same pictures, possibly made at a smaller size (both sides multiples of 64): then stages 1
                and 2 run at that size, and stage 3 at the size of `image`.
            mask: At the size of `image`, in [0, 1].
            options: Run-time choices.

        Returns:
            As `forward`.
        """
        options = options or RunOptions()
        encoded_mask = mask if encoding.size == mask.shape[2:] else F.interpolate(mask, encoding.size, mode="area")
        return self.recover(image, mask, self.decode_coarse(encoding, encoded_mask, options), options)

    def decode_coarse(
        self,
        encoding: ImageEncoding,
        mask: Float[Tensor, "batch 1 height width"],
        options: RunOptions,
        box: Box | None = None,
    ) -> CoarseMatte:
        """The rest of stage 1, and stage 2, for one mask per encoding.

        Args:
            encoding: Of the photographs.
            mask: Of the size that was encoded, in [0, 1].
            options: Run-time choices.
            box: Decode in this part only; outside it alpha and predicted error are 0. The guided block and the first
                look at the colours are of the whole picture all the same.
        """
        coarse = refine(self.decoder, self.fuse(encoding, mask, box), self.config.decoder, options)
        return coarse if box is None else box.paste(coarse, encoding.size)

    def fuse(
        self, encoding: ImageEncoding, mask: Float[Tensor, "batch 1 height width"], box: Box | None = None
    ) -> FusedFeatures:
        """The guided last block, then all that the decoding steps read, at stride 4; of `box` if one is given."""
        mask_os4 = F.avg_pool2d(mask, 4)
        evidence = find_colour_evidence(encoding.thumbnail, mask_os4)
        pyramid = self.encoder.guide(encoding, mask)
        thumbnail = encoding.thumbnail
        if box is not None:
            pyramid = tuple(box.cut(feature_map, encoding.size) for feature_map in pyramid)
            mask_os4, thumbnail = box.cut(mask_os4, encoding.size), box.cut(thumbnail, encoding.size)
            evidence = ColourEvidence(
                local_colours=box.cut(evidence.local_colours, encoding.size), cues=box.cut(evidence.cues, encoding.size)
            )
        beside = [2 * mask_os4 - 1]
        if self.config.decoder.has_colour_cues:
            beside.append(evidence.cues)
        features = self.fusion(pyramid, torch.cat(beside, dim=1), num_projected=self.encoder.num_kept_maps)
        return FusedFeatures(features=features, mask_os4=mask_os4, thumbnail=thumbnail, evidence=evidence)

    def recover(
        self,
        image: Shaped[Tensor, "batch 3 height width"],
        mask: Shaped[Tensor, "batch 1 height width"],
        coarse: CoarseMatte,
        options: RunOptions,
        *,
        padded_size: Size | None = None,
    ) -> MattingOutput:
        """Stage 3: recompute alpha at full resolution where the predicted error is high.

        Args:
            image: Of any size; uint8, or floats in [0, 1].
            mask: Of the same size; bool, uint8 (255 is 1), or floats in [0, 1].
            coarse: The result of stage 2.
            options: Run-time choices.
            padded_size: (height, width) that `coarse` spans, the upper left of which is `image`. Default: its own.
        """
        default_threshold = self.config.detail.error_threshold
        detail = self.detail(
            image,
            mask,
            coarse,
            error_threshold=default_threshold if options.error_threshold is None else options.error_threshold,
            active_budget=options.active_budget,
            is_sparse=options.is_sparse,
            padded_size=padded_size,
            region=options.region,
        )
        return MattingOutput(
            alpha=detail.alpha,
            active_cells=detail.active_cells,
            coarse=coarse,
            spanned=padded_size or (image.shape[2], image.shape[3]),
        )

    @classmethod
    def from_pretrained(cls, source: str | Path) -> "Mask2Alpha":
        """Load `"small"` (shipped with the package), a local .safetensors file or folder, or a hub id `org/name`.

        Raises:
            CheckpointError: It cannot be found, read, or does not fit.
        """
        from mask2alpha.checkpoints import load_model  # checkpoints knows the model, not the other way round

        return load_model(source)

    def save_pretrained(self, path: str | Path, metadata: dict[str, str] | None = None) -> None:
        """Write weights, configuration and `metadata` into one safetensors file."""
        from mask2alpha.checkpoints import save_model

        save_model(self, path, metadata or {})

    def push_to_hub(self, repo_id: str, metadata: dict[str, Any] | None = None, **options: Any) -> str:
        """Upload weights, configuration and a model card made of `metadata`; returns the commit's address.

        Args:
            repo_id: `org/name`; made where there is none.
            metadata: As for `checkpoints.save_model`: what is known of recipe, data and licence. To share a file that
                knows it already, `hub.push_to_hub(file, repo_id)` is the shorter way.
            **options: `private`, `revision`, `token`, `message`, as for `hub.push_to_hub`.

        Raises:
            CheckpointError: The hub refuses.
        """
        from mask2alpha.checkpoints import save_model
        from mask2alpha.hub import push_to_hub

        with TemporaryDirectory() as folder:
            return push_to_hub(save_model(self, folder, metadata), repo_id, **options)
