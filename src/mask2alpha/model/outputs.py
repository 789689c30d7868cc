"""The values that the three stages hand to each other, and what the network returns.

Strides count full-resolution pixels: a map at stride 4 is (B, C, H/4, W/4).
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mask2alpha.errors import InputError
from mask2alpha.ops.cells import cells_to_pixels
from mask2alpha.ops.resize import upsample
from mask2alpha.shapes import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What may change from call to call without other weights; `None` means the model configuration's value."""

    num_steps: int | None = None
    """Iterations T of the decoder, at least 1."""
    error_threshold: float | None = None
    """tau: pixels whose predicted error is above it get the detail stage; 1 selects none."""
    active_budget: int | None = None
    """At most so many active pixels per picture, the largest predicted errors first; None: no limit."""
    sampler: Literal["topk", "bernoulli"] = "topk"
    """Which coarse pixels turn fine: the most confident (deterministic), or drawn at random."""
    generator: torch.Generator | None = None
    """Random numbers of the `bernoulli` sampler."""
    has_trace: bool = False
    """Whether the states of all steps are returned, for figures."""
    is_sparse: bool = True
    """False: run the detail stage's dense twin (for training and export)."""
    region: tuple[slice, slice] | None = None
    """Rows and columns of the photograph where the detail stage works, from `start` to `stop`; None: everywhere.
    Elsewhere alpha stays the coarse one. Without gradient, and not in the dense twin."""

    def __post_init__(self) -> None:
        if self.num_steps is not None and self.num_steps < 1:
            raise InputError(f"num_steps must be at least 1; got {self.num_steps}")
        if self.error_threshold is not None and not 0 <= self.error_threshold <= 1:
            raise InputError(f"error_threshold must be in [0, 1]; got {self.error_threshold}")
        if self.active_budget is not None and self.active_budget < 0:
            raise InputError(f"active_budget must not be negative; got {self.active_budget}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEncoding:
    """All of stage 1 that depends on the image alone; keep it and reuse it for any number of masks."""

    tokens: Float[Tensor, "batch tokens dim"]
    """ViT tokens before the last block: [CLS] and registers where the model has them, then patches."""
    token_grid: Size
    """(rows, columns) of the patch tokens."""
    maps: tuple[Float[Tensor, "batch _channels _h _w"], ...]
    """Image-only feature maps, finest first: strides 4, 8, 16 (and 32, 64 for `vit_adapter`); those that no mask
    changes have been through the decoder's lateral convolution."""
    thumbnail: Float[Tensor, "batch 3 _h4 _w4"]
    """The image at stride 4, in [0, 1]."""
    size: Size
    """(height, width) of the padded full-resolution image that was encoded."""

    def select(self, indices: Tensor) -> "ImageEncoding":
        """The encoding of the pictures at `indices` (int64, any length, repeats allowed), for as many masks."""
        maps = tuple(feature_map[indices] for feature_map in self.maps)
        return replace(self, tokens=self.tokens[indices], maps=maps, thumbnail=self.thumbnail[indices])

    def repeat(self, count: int) -> "ImageEncoding":
        """The encoding of one picture for `count` masks; nothing is copied."""
        assert self.tokens.shape[0] == 1
        maps = tuple(feature_map.expand(count, -1, -1, -1) for feature_map in self.maps)
        thumbnail = self.thumbnail.expand(count, -1, -1, -1)
        return replace(self, tokens=self.tokens.expand(count, -1, -1), maps=maps, thumbnail=thumbnail)

    def to(self, dtype: torch.dtype) -> "ImageEncoding":
        """The same encoding with tokens and maps in `dtype`."""
        return replace(
            self, tokens=self.tokens.to(dtype), maps=tuple(feature_map.to(dtype) for feature_map in self.maps)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourEvidence:
    """What the colours of target and surroundings say, at stride 4 (`colours.py`)."""

    local_colours: Float[Tensor, "batch 6 h w"]
    """Colours of the target and of its surroundings nearby, in [0, 1]."""
    cues: Float[Tensor, "batch cues h w"]
    """What they and the picture's colour histograms say about each pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingState:
    """Which pixels are fine, and the mixture of fine and coarse values (paper 3.2; m_t and x_t)."""

    mixed_matte: Float[Tensor, "batch 1 h w"]
    """Alpha where fine, the coarse mask elsewhere, in [0, 1]."""
    is_fine: Bool[Tensor, "batch 1 h w"]
    """True where the pixel has left the coarse state."""
    evidence: ColourEvidence
    """What the colours say, given the mask (before the first step) or the last step's alpha (after it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedFeatures:
    """What the decoding steps read of image and mask, at stride 4."""

    features: Float[Tensor, "batch channels h w"]
    """Fused features, read by every step."""
    mask_os4: Float[Tensor, "batch 1 h w"]
    """The mask in [0, 1]: the coarse values."""
    thumbnail: Float[Tensor, "batch 3 h w"]
    """The image, in [0, 1]."""
    evidence: ColourEvidence
    """What the colours say, given the mask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoarseMatte:
    """What stage 2 hands to stage 3, at stride 4."""

    alpha_logits: Float[Tensor, "batch 1 h w"]
    """A_l before the sigmoid."""
    predicted_error: Float[Tensor, "batch 1 h w"]
    """The paper's C: a guess at |alpha - truth|, in [0, 1]; high where unsure."""
    features: Float[Tensor, "batch channels h w"]
    """The fused features that every step read."""
    local_colours: Float[Tensor, "batch 6 h w"]
    """Colours of the target and of its surroundings nearby, in [0, 1], as the step saw them."""
    trace: tuple[DecodingState, ...] = ()
    """States after each step, oldest first; empty unless asked for."""

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
    """(height, width) that `coarse` spans, in pixels of `alpha`, which is the upper left of it."""

    @property
    def active(self) -> Bool[Tensor, "batch 1 height width"]:
        """The pixels of `active_cells`; made at each call."""
        return cells_to_pixels(self.active_cells, (self.alpha.shape[2], self.alpha.shape[3]))

    @property
    def predicted_error(self) -> Float[Tensor, "batch 1 height width"]:
        """The predicted error of the coarse result at full resolution, in [0, 1]; made at each call."""
        size = (self.alpha.shape[2], self.alpha.shape[3])
        return upsample(self.coarse.predicted_error, size, spanned=self.spanned)
