"""Self-guided sparse detail recovery, SGSDR: the coarse matte at stride 4 becomes the full-resolution one (paper 3.3).

The coarse matte, upsampled, stands wherever the decoder is sure of it. At the remaining, active pixels a sparse
network sees the full-resolution colours and predicts a correction of the alpha's logit.

Of full size are only the image and the mask, in the dtype in which they came, and what is returned; colours and mask
are read at the active pixels, and the sparse network runs in windows (`windows.py`).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from mask2alpha.model.colours import NUM_CUES, colour_cues
from mask2alpha.model.config import DetailConfig
from mask2alpha.model.outputs import CoarseMatte
from mask2alpha.model.stage3_detail.active import (
    RIM_RADIUS,
    count_active,
    limit_active_pixels,
    rim_weight,
    select_active_pixels,
    select_active_shm,
    smooth_step,
)
from mask2alpha.model.stage3_detail.sparse import ActiveSet, SparseTensor, compute_dtype, read_pixels
from mask2alpha.model.stage3_detail.sparse_resnet import SparseResNet
from mask2alpha.model.stage3_detail.windows import WINDOW_SIDE, Window, split_into_windows
from mask2alpha.shapes import Size

LOGIT_LIMIT = 8.0
"""Logits are shown to the network within plus and minus this, divided by 4; alpha is then within 3e-4 of 0 or 1."""
ROWS_AT_ONCE = 64
"""Full-resolution rows that `upsample` makes at a time on a CPU."""
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
        image: Shaped[Tensor, "batch 3 height width"],
        mask: Shaped[Tensor, "batch 1 height width"],
        coarse: CoarseMatte,
        *,
        error_threshold: float,
        active_budget: int | None,
        is_sparse: bool,
        padded_size: Size | None = None,
        region: tuple[slice, slice] | None = None,
    ) -> DetailResult:
        """Upsample the coarse matte and correct it where the decoder is unsure.

        Args:
            image: The photograph; uint8, or floats in [0, 1].
            mask: The guidance mask; bool, uint8 (255 is 1), or floats in [0, 1].
            coarse: The result of stage 2; gradients reach its logits and features, not its predicted error.
            error_threshold: tau, in [0, 1]; only the selection "sgsdr" reads it.
            active_budget: The most pixels per picture that are recomputed; None sets no limit.
            is_sparse: True computes the active pixels alone; False all of them, masked, to the same result.
            padded_size: (height, width) that `coarse` spans, the upper left of which is the photograph. Default: the
                photograph's own.
            region: Rows and columns where the active pixels are corrected; default: all. Sparse and without gradient
                only.

        Returns:
            The full-resolution matte, the predicted error, and the active pixels.

        Raises:
            InputError: `error_threshold` or `active_budget` is outside its range.
        """
        # 1. Upsample the coarse result.
        size = (image.shape[-2], image.shape[-1])
        spanned = padded_size or size
        logits = upsample(coarse.alpha_logits, size, spanned=spanned)
        predicted_error = upsample(coarse.predicted_error, size, spanned=spanned)

        # 2. Select the pixels to recompute.
        active = self._select(logits, predicted_error, error_threshold, active_budget)

        # 3. Correct the logits there, softly at the rim.
        if self.config.selection != "none":
            scene = _Scene(
                image=image,
                mask=mask,
                logits=logits,
                error=predicted_error.detach(),
                features=self.project(coarse.features),
                colours=coarse.local_colours if self.config.has_colour_cues else None,
                spanned=spanned,
                region=region,
            )
            logits = self._correct_sparse(scene, active) if is_sparse else self._correct_dense(scene, active)
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

    def _correct_dense(self, scene: "_Scene", active: Tensor) -> Tensor:
        logits, image, mask = scene.logits, _as_unit(scene.image), _as_unit(scene.mask)
        size = (logits.shape[-2], logits.shape[-1])
        parts = (*_pixel_inputs(image, logits, scene.error, mask), _interpolate(scene.features, size, scene.spanned))
        if scene.colours is not None:
            parts = (*parts, colour_cues(image, _interpolate(scene.colours, size, scene.spanned)))
        dtype = compute_dtype(logits)
        x = torch.cat([part.to(dtype) for part in parts], dim=1)
        residual = self.network.forward_dense(x, active)
        return logits + rim_weight(active).to(logits.dtype) * residual.to(logits.dtype)

    def _correct_sparse(self, scene: "_Scene", active: Tensor) -> Tensor:
        logits = scene.logits
        size = (logits.shape[-2], logits.shape[-1])
        coarse = scene.join_coarse()
        if torch.is_grad_enabled():
            (whole,) = split_into_windows(size, side=max(size), reach=0, multiple=1)
            positions, change = self._change(scene, coarse, active, whole)
            return logits.flatten().index_add(0, positions, change).view(logits.shape)
        network = self.network
        windows = split_into_windows(
            size, side=WINDOW_SIDE, reach=network.reach, multiple=network.stride, region=scene.region
        )
        # all changes are found before any is made: a window's halo sees the logits that its neighbour changes
        changes = [
            self._change(scene, coarse, active, window)
            for window in windows
            if int(torch.count_nonzero(active[:, :, window.rows, window.columns])) > 0
        ]
        for positions, change in changes:
            logits.view(-1).index_add_(0, positions, change)
        return logits

    def _change(self, scene: "_Scene", coarse: Tensor, active: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        """Where in the flattened logits the active pixels of a window lie, and what is to be added to them."""
        active = active[:, :, window.outer_rows, window.outer_columns]
        active_set = ActiveSet.from_mask(active)
        offset = torch.tensor([0, window.outer_rows.start, window.outer_columns.start], device=active.device)
        places = active_set.coordinates + offset
        rows = self._inputs(scene, coarse, places)
        residual = self.network(SparseTensor(features=rows, active_set=active_set)).features[:, 0]
        logits = scene.logits
        change = rim_weight_sparse(active, active_set).to(logits.dtype) * residual.to(logits.dtype)
        batch, row, column = places.unbind(1)
        positions = (batch * logits.shape[2] + row) * logits.shape[3] + column
        if window.outer_rows == window.rows and window.outer_columns == window.columns:
            return positions, change
        is_inner = (row >= window.rows.start) & (row < window.rows.stop)
        is_inner &= (column >= window.columns.start) & (column < window.columns.stop)
        return positions[is_inner], change[is_inner]

    def _inputs(self, scene: "_Scene", coarse: Tensor, places: Int64[Tensor, "points 3"]) -> Tensor:
        """What the network sees of the pixels at `places`, one row each."""
        image, mask = (_as_unit(read_pixels(part, places)) for part in (scene.image, scene.mask))
        logits, error = (read_pixels(part, places) for part in (scene.logits, scene.error))
        sampled = sample_bilinear(coarse, places, scene.spanned)
        features, colours = sampled[:, : scene.features.shape[1]], sampled[:, scene.features.shape[1] :]
        parts = (*_pixel_inputs(image, logits, error, mask), features)
        if scene.colours is not None:
            parts = (*parts, colour_cues(image, colours))
        dtype = compute_dtype(logits)
        return torch.cat([part.to(dtype) for part in parts], dim=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """What the correction reads."""

    image: Shaped[Tensor, "batch 3 height width"]
    mask: Shaped[Tensor, "batch 1 height width"]
    logits: Float[Tensor, "batch 1 height width"]
    error: Float[Tensor, "batch 1 height width"]
    features: Float[Tensor, "batch channels h w"]
    colours: Float[Tensor, "batch 6 h w"] | None
    spanned: Size
    """(height, width) of what `features` and `colours` span, in full-resolution pixels."""
    region: tuple[slice, slice] | None
    """Rows and columns to be corrected; None: all."""

    def join_coarse(self) -> Float[Tensor, "batch _channels h w"]:
        """`features` and `colours` as one map whose pixels are rows in memory, made once for all windows."""
        maps = [part for part in (self.features, self.colours) if part is not None]
        dtype = torch.promote_types(self.features.dtype, torch.float32)
        return torch.cat([part.to(dtype) for part in maps], dim=1).contiguous(memory_format=torch.channels_last)


def upsample(
    x: Float[Tensor, "batch 1 h w"], size: Size, *, spanned: Size, origin: tuple[int, int] = (0, 0)
) -> Float[Tensor, "batch 1 height width"]:
    """Bilinear, in at least float32: alphas near 1 need more than the 8 bits of bfloat16.

    Without gradient, some rows at a time, which stay in the cache; nothing else of full size is made.

    Args:
        x: A coarse map.
        size: (height, width) wanted.
        spanned: (height, width) that the map spans.
        origin: (row, column) in it of the upper left of what is wanted; without gradient only.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    if torch.is_grad_enabled():
        assert origin == (0, 0)
        return _interpolate(x, size, spanned)
    wide = _interpolate(x, (x.shape[2], origin[1] + size[1]), (x.shape[2], spanned[1]))[..., origin[1] :]
    row = torch.arange(origin[0], origin[0] + size[0], device=x.device)
    top, bottom, weight = _bilinear_axis(row, x.shape[2], spanned[0], x.dtype)
    result = x.new_empty(x.shape[0], 1, *size)
    step = ROWS_AT_ONCE if x.device.type == "cpu" else size[0]
    for start in range(0, size[0], step):
        part = slice(start, start + step)
        upper, lower = wide.index_select(2, top[part]), wide.index_select(2, bottom[part])
        result[:, :, part] = upper.lerp_(lower, weight[part, None])
    return result


def _interpolate(x: Tensor, size: Size, spanned: Size) -> Tensor:
    return F.interpolate(x, size=spanned, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]


def _as_unit(values: Tensor) -> Tensor:
    """Floats as they are; bool, and uint8 of which 255 is 1, as float32."""
    if values.is_floating_point():
        return values
    return values.float() if values.dtype == torch.bool else values.float().div_(255)


def _pixel_inputs(image: Tensor, logits: Tensor, error: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    """What the network sees of a pixel, all of them of the order of 1; the second axis counts channels."""
    shown = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT) / 4
    return 2 * image - 1, shown, logits.sigmoid(), error, mask


def rim_weight_sparse(active: Bool[Tensor, "batch 1 height width"], active_set: ActiveSet) -> Float[Tensor, " points"]:
    """`rim_weight` at the active pixels only, whose set is given too."""
    height, width = active_set.size
    _, row, column = active_set.coordinates.unbind(1)
    counted = count_active(active, RIM_RADIUS).view(-1).index_select(0, active_set.positions)
    rows = (row + RIM_RADIUS).clamp(max=height - 1) - (row - RIM_RADIUS).clamp(min=0) + 1
    columns = (column + RIM_RADIUS).clamp(max=width - 1) - (column - RIM_RADIUS).clamp(min=0) + 1
    return smooth_step(counted / (rows * columns))


def sample_bilinear(
    feature_map: Float[Tensor, "batch channels h w"], places: Int64[Tensor, "points 3"], spanned: Size
) -> Float[Tensor, "points channels"]:
    """The rows at some pixels of what `F.interpolate` would give at full resolution, without computing the rest.

    Args:
        feature_map: A coarser map, at any stride.
        places: (batch, row, column) of the pixels.
        spanned: (height, width) of the full resolution.

    Returns:
        Bilinear samples as of `F.interpolate(..., mode="bilinear", align_corners=False)`, in at least float32.
    """
    batch, row, column = places.unbind(1)
    dtype = torch.promote_types(feature_map.dtype, torch.float32)
    h, w = feature_map.shape[-2:]
    top, bottom, y = _bilinear_axis(row, h, spanned[0], dtype)
    left, right, x = _bilinear_axis(column, w, spanned[1], dtype)
    top, bottom = (batch * h + top) * w, (batch * h + bottom) * w
    corners = torch.stack([top + left, top + right, bottom + left, bottom + right], dim=1)
    weights = torch.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], dim=1)
    rows = feature_map.permute(0, 2, 3, 1).reshape(-1, feature_map.shape[1]).to(dtype)
    # gathers and adds in one pass, several times faster than four gathers
    return F.embedding_bag(corners, rows, per_sample_weights=weights, mode="sum")


def _bilinear_axis(index: Tensor, in_length: int, out_length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """For output indices along one axis: the two input indices, and the weight of the second."""
    source = ((index.to(dtype) + 0.5) * (in_length / out_length) - 0.5).clamp(min=0)
    lower = source.floor()
    weight = source - lower
    lower = lower.long()
    return lower, (lower + 1).clamp(max=in_length - 1), weight
