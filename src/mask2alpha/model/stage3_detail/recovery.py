"""Self-guided sparse detail recovery, SGSDR: the coarse matte at stride 4 becomes the full-resolution one (paper 3.3).

The coarse matte, upsampled, stands wherever the decoder is sure of it. At the remaining, active pixels a sparse
network sees the full-resolution colours and predicts a correction of the alpha's logit.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mask2alpha.model.colours import NUM_CUES, colour_cues
from mask2alpha.model.config import DetailConfig
from mask2alpha.model.outputs import CoarseMatte
from mask2alpha.model.stage3_detail.active import (
    RIM_RADIUS,
    limit_active_pixels,
    rim_weight,
    select_active_pixels,
    select_active_shm,
    smooth_step,
)
from mask2alpha.model.stage3_detail.sparse import ActiveSet, SparseTensor, compute_dtype
from mask2alpha.model.stage3_detail.sparse_resnet import SparseResNet
from mask2alpha.ops.resize import enlarge
from mask2alpha.shapes import Size

LOGIT_LIMIT = 8.0
"""Logits are shown to the network within plus and minus this, divided by 4; alpha is then within 3e-4 of 0 or 1."""
NUM_PIXEL_INPUTS = 7
"""Colours (3), the coarse alpha's logit, the coarse alpha, the predicted error, the mask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailResult:
    """What stage 3 returns, at full resolution."""

    alpha: Float[Tensor, "batch 1 height width"]
    """A_h, in [0, 1]; at least float32."""
    predicted_error: Float[Tensor, "batch 1 height width"]
    """The predicted error of the coarse matte, upsampled, in [0, 1]."""
    active: Bool[Tensor, "batch 1 height width"]
    """M_SG: the pixels that were recomputed."""


class DetailRecovery(nn.Module):
    """Recomputes the uncertain pixels of a coarse matte at full resolution.

    Args:
        config: The selection and the sizes.
        fused_channels: Channels of `CoarseMatte.features`.

    A fresh module changes nothing: its alpha is the upsampled coarse alpha.
    """

    def __init__(self, config: DetailConfig, fused_channels: int) -> None:
        super().__init__()
        self.config = config
        if config.selection != "none":
            self.project = nn.Conv2d(fused_channels, config.feature_channels, 1)
            num_cues = NUM_CUES * config.has_colour_cues
            self.network = SparseResNet(NUM_PIXEL_INPUTS + config.feature_channels + num_cues, config.channels)

    def forward(
        self,
        image: Float[Tensor, "batch 3 height width"],
        mask: Float[Tensor, "batch 1 height width"],
        coarse: CoarseMatte,
        *,
        error_threshold: float,
        active_budget: int | None,
        is_sparse: bool,
    ) -> DetailResult:
        """Upsample the coarse matte and correct it where the decoder is unsure.

        Args:
            image: The photograph, in [0, 1].
            mask: The guidance mask, in [0, 1].
            coarse: The result of stage 2; gradients reach its logits and features, not its predicted error.
            error_threshold: tau, in [0, 1]; only the selection "sgsdr" reads it.
            active_budget: The most pixels per picture that are recomputed; None sets no limit.
            is_sparse: True computes the active pixels alone; False all of them, masked, to the same result.

        Returns:
            The full-resolution matte, the predicted error, and the active pixels.

        Raises:
            InputError: `error_threshold` or `active_budget` is outside its range.
        """
        # 1. Upsample the coarse result.
        size = (image.shape[-2], image.shape[-1])
        logits = _upsample(coarse.alpha_logits, size)
        predicted_error = _upsample(coarse.predicted_error, size)

        # 2. Select the pixels to recompute.
        active = self._select(logits, predicted_error, error_threshold, active_budget)

        # 3. Correct the logits there, softly at the rim.
        if self.config.selection != "none":
            features = self.project(coarse.features)
            error = predicted_error.detach()
            correct = self._correct_sparse if is_sparse else self._correct_dense
            colours = coarse.local_colours if self.config.has_colour_cues else None
            logits = correct(logits, active, image, mask, error, features, colours)
        alpha = logits.sigmoid() if torch.is_grad_enabled() else logits.sigmoid_()
        return DetailResult(alpha=alpha, predicted_error=predicted_error, active=active)

    @torch.no_grad()
    def _select(
        self, logits: Tensor, predicted_error: Tensor, error_threshold: float, active_budget: int | None
    ) -> Tensor:
        if self.config.selection == "none":
            return torch.zeros_like(predicted_error, dtype=torch.bool)
        if self.config.selection == "shm":
            active = select_active_shm(logits.sigmoid())
        else:
            active = select_active_pixels(predicted_error, error_threshold=error_threshold)
        return limit_active_pixels(active, predicted_error, active_budget=active_budget)

    def _correct_dense(
        self,
        logits: Tensor,
        active: Tensor,
        image: Tensor,
        mask: Tensor,
        error: Tensor,
        features: Tensor,
        colours: Tensor | None,
    ) -> Tensor:
        dtype = compute_dtype(image)
        size = logits.shape[-2:]
        upsampled = F.interpolate(features, size=size, mode="bilinear", align_corners=False)
        parts = (*_pixel_inputs(image, logits, error, mask), upsampled)
        if colours is not None:
            colours = F.interpolate(colours, size=size, mode="bilinear", align_corners=False)
            parts = (*parts, colour_cues(image, colours))
        x = torch.cat([part.to(dtype) for part in parts], dim=1)
        residual = self.network.forward_dense(x, active)
        return logits + rim_weight(active).to(logits.dtype) * residual.to(logits.dtype)

    def _correct_sparse(
        self,
        logits: Tensor,
        active: Tensor,
        image: Tensor,
        mask: Tensor,
        error: Tensor,
        features: Tensor,
        colours: Tensor | None,
    ) -> Tensor:
        active_set = ActiveSet.from_mask(active)
        dtype = compute_dtype(image)
        at_pixels = [SparseTensor.from_dense(part, active_set).features for part in (image, logits, error, mask)]
        parts = (*_pixel_inputs(*at_pixels), sample_bilinear(features, active_set))
        if colours is not None:
            parts = (*parts, colour_cues(at_pixels[0], sample_bilinear(colours, active_set)))
        rows = torch.cat([part.to(dtype) for part in parts], dim=1)
        residual = self.network(SparseTensor(features=rows, active_set=active_set)).features
        change = rim_weight_sparse(active_set).to(logits.dtype) * residual[:, 0].to(logits.dtype)
        if torch.is_grad_enabled():
            return logits.flatten().index_add(0, active_set.positions, change).view(logits.shape)
        logits.view(-1).index_add_(0, active_set.positions, change)
        return logits


def _upsample(x: Tensor, size: Size) -> Tensor:
    """Bilinear, in at least float32: alphas near 1 need more than the 8 bits of bfloat16."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if size == (4 * x.shape[-2], 4 * x.shape[-1]):
        return enlarge(x.contiguous(), 4)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _pixel_inputs(image: Tensor, logits: Tensor, error: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    """What the network sees of a pixel, all of them of the order of 1; the second axis counts channels."""
    shown = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT) / 4
    return 2 * image - 1, shown, logits.sigmoid(), error, mask


def rim_weight_sparse(active_set: ActiveSet) -> Float[Tensor, " points"]:
    """`rim_weight` at the active pixels only."""
    height, width = active_set.size
    _, row, column = active_set.coordinates.unbind(1)
    counted = active_set.count_active(RIM_RADIUS)
    rows = (row + RIM_RADIUS).clamp(max=height - 1) - (row - RIM_RADIUS).clamp(min=0) + 1
    columns = (column + RIM_RADIUS).clamp(max=width - 1) - (column - RIM_RADIUS).clamp(min=0) + 1
    return smooth_step(counted / (rows * columns))


def sample_bilinear(
    feature_map: Float[Tensor, "batch channels h w"], active_set: ActiveSet
) -> Float[Tensor, "points channels"]:
    """The rows at the active pixels of what `F.interpolate` would give at full resolution, without computing the rest.

    Args:
        feature_map: A coarser map, at any stride.
        active_set: Active pixels at full resolution.

    Returns:
        Bilinear samples as of `F.interpolate(..., mode="bilinear", align_corners=False)`.
    """
    batch, row, column = active_set.coordinates.unbind(1)
    h, w = feature_map.shape[-2:]
    top, bottom, y = _bilinear_axis(row, h, active_set.size[0], feature_map.dtype)
    left, right, x = _bilinear_axis(column, w, active_set.size[1], feature_map.dtype)
    rows = feature_map.permute(0, 2, 3, 1).reshape(-1, feature_map.shape[1])
    top, bottom = (batch * h + top) * w, (batch * h + bottom) * w
    y, x = y[:, None], x[:, None]
    upper = rows.index_select(0, top + left) * (1 - x) + rows.index_select(0, top + right) * x
    lower = rows.index_select(0, bottom + left) * (1 - x) + rows.index_select(0, bottom + right) * x
    return upper * (1 - y) + lower * y


def _bilinear_axis(index: Tensor, in_length: int, out_length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """For output indices along one axis: the two input indices, and the weight of the second."""
    dtype = torch.promote_types(dtype, torch.float32)
    source = ((index.to(dtype) + 0.5) * (in_length / out_length) - 0.5).clamp(min=0)
    lower = source.floor()
    return lower.long(), (lower.long() + 1).clamp(max=in_length - 1), source - lower
