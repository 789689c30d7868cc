"""The values that the three stages hand to each other, and what the network returns.

Strides count full-resolution pixels: a map at stride 4 is (B, C, H/4, W/4).
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mask2alpha.errors import InputError
from mask2alpha.model.box import Box, spread
from mask2alpha.model.config import ModelConfig
from mask2alpha.ops.cells import cells_to_pixels
from mask2alpha.ops.resize import upsample
from mask2alpha.shapes import Size

DEFAULT_TRUST = 0.5
"""How far a mask is believed of which nothing is known; 0: hardly, 1: to the pixel."""
COMPONENT_STRIDE = 16
"""Stride of the map of components on which the semantic evidence is fitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of one run, which need no other weights. `None` means the value of the model's configuration."""

    num_steps: int | None = None
    """Iterations T of the decoder, at least 1."""
    error_threshold: float | None = None
    """tau: the detail stage recomputes pixels whose predicted error is above it; 1 selects none."""
    active_budget: int | None = None
    """Largest number of active pixels per image, by predicted error; None: no limit."""
    sampler: Literal["topk", "bernoulli"] = "topk"
    """Which coarse pixels turn fine: those with the smallest predicted errors (deterministic), or a random draw."""
    generator: torch.Generator | None = None
    """Random generator of the `bernoulli` sampler."""
    has_trace: bool = False
    """Whether the result carries every decoding step, for figures."""
    is_sparse: bool = True
    """False runs the dense twin of the detail stage (for training)."""
    region: tuple[slice, slice] | None = None
    """Rows and columns of the photo, from `start` to `stop`, where the detail stage works; None: everywhere.
    Elsewhere alpha stays the coarse one."""
    box: Box | None = None
    """The part of the encoded image in which the mask is decoded; None: all of it."""
    is_decided: Bool[Tensor, "1 1 h w"] | None = None
    """Pixels at stride 4 of the encoded image that lie where alpha is the mask's value for certain; None: none. Their
    state is fine from the start. At most at the default trust they are those of a trimap, and an adapter changes the
    fused features."""
    trust: float = DEFAULT_TRUST
    """How far the mask is believed, in [0, 1]; above the default, an adapter changes the fused features."""
    num_corrections: int | None = None
    """How many times at most the first step's matte corrects the mask; 0: never."""
    rebuilds_mask: bool = False
    """Whether, after the corrections, the matte of the first step, made hard, takes the mask's place."""
    update: Literal["formula", "sticky"] | None = None
    """`formula`: fine pixels follow the newest prediction. `sticky`: they keep the value they turned fine with."""

    def __post_init__(self) -> None:
        if self.num_steps is not None and self.num_steps < 1:
            raise InputError(f"num_steps must be at least 1; got {self.num_steps}")
        if self.num_corrections is not None and self.num_corrections < 0:
            raise InputError(f"num_corrections must not be negative; got {self.num_corrections}")
        if self.error_threshold is not None and not 0 <= self.error_threshold <= 1:
            raise InputError(f"error_threshold must be in [0, 1]; got {self.error_threshold}")
        if self.active_budget is not None and self.active_budget < 0:
            raise InputError(f"active_budget must not be negative; got {self.active_budget}")

    def filled(self, config: ModelConfig) -> "RunOptions":
        """The same options, with the configuration's values in place of `None`."""
        decoder, detail = config.decoder, config.detail
        return replace(
            self,
            num_steps=(self.num_steps or decoder.num_steps) if decoder.is_iterative else 1,
            error_threshold=detail.error_threshold if self.error_threshold is None else self.error_threshold,
            num_corrections=decoder.num_corrections if self.num_corrections is None else self.num_corrections,
            update=self.update or decoder.update,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEncoding:
    """The part of stage 1 that depends on the image alone; keep it and reuse it for any number of masks."""

    tokens: Float[Tensor, "batch tokens dim"]
    """ViT tokens before the last block: [CLS] and registers where the model has them, then patches."""
    token_grid: Size
    """(rows, columns) of the patch tokens."""
    maps: tuple[Float[Tensor, "batch _channels _h _w"], ...]
    """Feature maps of the image alone, finest first: strides 4, 8, 16 (and 32, 64 for `vit_adapter`). Those that no
    mask changes have been through the decoder's lateral convolution."""
    thumbnail: Float[Tensor, "batch 3 _h4 _w4"]
    """The image at stride 4, in [0, 1]."""
    size: Size
    """(height, width) of the encoded image; multiples of 64."""
    spanned: Size | None = None
    """(height, width) of the padded photo that the encoded image stands for, in pixels of the photo; None: `size`."""

    def select(self, indices: Tensor) -> "ImageEncoding":
        """The encoding of the images at `indices` (int64, any length, repeats allowed), for as many masks."""
        maps = tuple(feature_map[indices] for feature_map in self.maps)
        return replace(self, tokens=self.tokens[indices], maps=maps, thumbnail=self.thumbnail[indices])

    def repeat(self, count: int) -> "ImageEncoding":
        """The encoding of one image for `count` masks; nothing is copied."""
        assert self.tokens.shape[0] == 1
        maps = tuple(feature_map.expand(count, -1, -1, -1) for feature_map in self.maps)
        thumbnail = self.thumbnail.expand(count, -1, -1, -1)
        return replace(self, tokens=self.tokens.expand(count, -1, -1), maps=maps, thumbnail=thumbnail)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidedFeatures:
    """The result of stage 1 for one mask: the feature pyramid, and the inputs of the evidence."""

    maps: tuple[Float[Tensor, "batch _channels _h _w"], ...]
    """The feature pyramid, finest first: strides 4, 8, 16, ..., of the box where there is one."""
    tokens: Float[Tensor, "batch tokens dim"]
    """Patch tokens after the guided block, in raster order; always of the whole image."""
    token_grid: Size
    """(rows, columns) of `tokens`; any grid over the whole image, whatever the strides of the maps."""
    thumbnail: Float[Tensor, "batch 3 _h4 _w4"]
    """The image at stride 4, in [0, 1], of the box where there is one."""
    components: Float[Tensor, "batch components _h16 _w16"] | None = None
    """Principal components of `tokens`, spread over the image at stride 16, of the box where there is one; None for
    encoders without a backbone."""
    size: Size
    """(height, width) of the encoded image."""
    spanned: Size | None = None
    """As `ImageEncoding.spanned`."""
    box: Box | None = None
    """The part of the encoded image that `maps` and `thumbnail` show; None: all of it."""
    is_decided: Bool[Tensor, "_batch 1 _h4 _w4"] | None = None
    """As `RunOptions.is_decided`, for all masks or for each, of the box where there is one."""
    trust: Float[Tensor, " _batch"] | None = None
    """As `RunOptions.trust`, for all masks or for each; None: at most the default."""

    @classmethod
    def of(
        cls,
        encoding: ImageEncoding,
        *,
        maps: tuple[Float[Tensor, "batch _channels _h _w"], ...],
        tokens: Float[Tensor, "batch tokens dim"],
        components: Float[Tensor, "batch components _h16 _w16"] | None = None,
    ) -> "GuidedFeatures":
        """The features of an encoding."""
        return cls(
            maps=maps,
            tokens=tokens,
            token_grid=encoding.token_grid,
            thumbnail=encoding.thumbnail,
            components=components,
            size=encoding.size,
            spanned=encoding.spanned,
        )

    def cut(self, box: Box) -> "GuidedFeatures":
        """The same, with maps, thumbnail and components cut to `box`."""
        maps = tuple(box.cut(feature_map) for feature_map in self.maps)
        components = None if self.components is None else box.cut(self.components)
        decided = None if self.is_decided is None else box.cut(self.is_decided)
        thumbnail = box.cut(self.thumbnail)
        return replace(self, maps=maps, thumbnail=thumbnail, components=components, box=box, is_decided=decided)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Cues about each pixel from image and matte, at stride 4 (`stage2_decoding/evidence.py`)."""

    cues: Float[Tensor, "batch cues h w"]
    """Five channels of the colours and, with a backbone, one of its tokens; each of the order of 1. The fusion and each
    decoding step read them beside the features."""
    local_colours: Float[Tensor, "batch 6 h w"]
    """Colours of the target and of its surroundings nearby, in [0, 1]; the detail stage reads them, too."""

    def cut(self, box: Box) -> "Evidence":
        """The part in a box."""
        return Evidence(cues=box.cut(self.cues), local_colours=box.cut(self.local_colours))


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingState:
    """Which pixels are fine, and the mixture of fine and coarse values (paper 3.2; m_t and x_t)."""

    mixed_matte: Float[Tensor, "batch 1 h w"]
    """Alpha where fine, the coarse mask elsewhere, in [0, 1]."""
    is_fine: Bool[Tensor, "batch 1 h w"]
    """True where the pixel has left the coarse state."""
    evidence: Evidence
    """The evidence given the mask (before the first step) or the last step's alpha (after it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedFeatures:
    """What the decoding steps read, at stride 4; computed once per mask."""

    features: Float[Tensor, "batch channels h w"]
    """Fused features, handed on to the detail stage."""
    prepared: Float[Tensor, "batch step_channels h w"]
    """The same after the convolution that all steps share."""
    mask_os4: Float[Tensor, "batch 1 h w"]
    """The mask in [0, 1]: the coarse values."""
    evidence: Evidence
    """The evidence given the mask."""
    guided: GuidedFeatures
    """Features from which each step finds new evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingStep:
    """One step of a traced run."""

    before: DecodingState
    """The state that the step read."""
    alpha: Float[Tensor, "batch 1 h w"]
    """The predicted alpha, in [0, 1]."""
    predicted_error: Float[Tensor, "batch 1 h w"]
    """The guess at |alpha - truth|, in [0, 1]."""
    after: DecodingState
    """The state that follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoarseMatte:
    """The result of stage 2, at stride 4."""

    alpha_logits: Float[Tensor, "batch 1 h w"]
    """A_l before the sigmoid."""
    predicted_error: Float[Tensor, "batch 1 h w"]
    """The paper's C: a guess at |alpha - truth|, in [0, 1]; high where unsure."""
    features: Float[Tensor, "batch channels h w"]
    """The fused features that every step read."""
    local_colours: Float[Tensor, "batch 6 h w"]
    """Colours of the target and of its surroundings nearby, in [0, 1], as the step saw them."""
    spanned: Size | None = None
    """(height, width) that the maps of the whole image span, in pixels of the photo; None: four times their own."""
    box: Box | None = None
    """The part of the encoded image that the maps show; outside it alpha and predicted error are 0. None: all of it."""
    trace: tuple[DecodingStep, ...] = ()
    """The steps, oldest first; empty unless asked for."""

    @property
    def alpha(self) -> Float[Tensor, "batch 1 h w"]:
        """A_l in [0, 1]."""
        return self.alpha_logits.sigmoid()


@dataclass(frozen=True, slots=True, kw_only=True)
class MattingOutput:
    """What `Mask2Alpha.forward` returns, in training and in use."""

    alpha: Float[Tensor, "batch 1 height width"]
    """A_h, in [0, 1], at full resolution."""
    active_cells: Bool[Tensor, "batch 1 rows columns"]
    """M_SG: the cells of 2 x 2 pixels that the detail stage recomputed."""
    coarse: CoarseMatte
    """The result of stage 2."""
    spanned: Size
    """(height, width) that the whole image's coarse maps span, in pixels of `alpha`, which is the upper left of it."""

    @property
    def active(self) -> Bool[Tensor, "batch 1 height width"]:
        """The pixels of `active_cells`; computed at each call."""
        return cells_to_pixels(self.active_cells, (self.alpha.shape[2], self.alpha.shape[3]))

    @property
    def predicted_error(self) -> Float[Tensor, "batch 1 height width"]:
        """The predicted error of the coarse result at full resolution, in [0, 1]; computed at each call."""
        size = (self.alpha.shape[2], self.alpha.shape[3])
        return upsample(spread(self.coarse.predicted_error, self.coarse.box), size, spanned=self.spanned)
