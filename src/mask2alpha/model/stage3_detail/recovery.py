"""Self-guided sparse detail recovery, SGSDR: the coarse matte at stride 4 becomes the full-resolution one (paper 3.3).

The coarse matte, upsampled, stands wherever the decoder is sure of it. In the remaining, active cells of 2 x 2 pixels
a sparse network sees the full-resolution colours and predicts a correction of each pixel's logit.

Of full size are only the image and the mask, in the dtype in which they came, and alpha; colours and mask are read at
the active cells' pixels, and the sparse network runs in windows (`windows.py`).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from mask2alpha.model.colours import NUM_COLOURS, cue_parts
from mask2alpha.model.config import DetailConfig
from mask2alpha.model.outputs import CoarseMatte
from mask2alpha.model.stage3_detail.active import (
    limit_active,
    rim_weight,
    select_active,
    select_active_shm,
    smooth_step,
)
from mask2alpha.model.stage3_detail.sparse import ActiveSet, SparseTensor, compute_dtype, read_pixels
from mask2alpha.model.stage3_detail.sparse_resnet import SparseResNet
from mask2alpha.model.stage3_detail.windows import WINDOW_SIDE, Window, split_into_windows
from mask2alpha.ops.cells import CELL, count_cells
from mask2alpha.ops.resize import bilinear_axis, interpolate, upsample
from mask2alpha.shapes import Size

LOGIT_LIMIT = 8.0
"""Logits are shown to the network within plus and minus this, divided by 4; alpha is then within 3e-4 of 0 or 1."""
NUM_PIXEL_INPUTS = 6
"""Of each pixel: its colours (3), the coarse alpha's logit, the coarse alpha, the mask."""
NUM_PIXEL_CUES = 3
"""Of each pixel, too: the colour cues, but for the one that is of the local colours alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailResult:
    """What stage 3 returns."""

    alpha: Float[Tensor, "batch 1 height width"]
    """A_h, in [0, 1], at full resolution; at least float32."""
    active_cells: Bool[Tensor, "batch 1 rows columns"]
    """M_SG: the cells of 2 x 2 pixels that were recomputed."""


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
            of_pixel = NUM_PIXEL_INPUTS + NUM_PIXEL_CUES * config.has_colour_cues
            of_cell = config.feature_channels + 1 + config.has_colour_cues
            self.network = SparseResNet(of_pixel * CELL**2 + of_cell, config.channels, out_channels=CELL**2)

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
            is_sparse: True computes the active cells alone; False all of them, masked, to the same result.
            padded_size: (height, width) that `coarse` spans, both even, the upper left of which is the photograph.
                Default: the photograph's own.
            region: Rows and columns of pixels where the active cells are corrected; default: all. Sparse and without
                gradient only.

        Returns:
            The full-resolution matte and the active cells.

        Raises:
            InputError: `error_threshold` or `active_budget` is outside its range.
        """
        # 1. Upsample the coarse result.
        size = (image.shape[-2], image.shape[-1])
        spanned = padded_size or size
        spanned_cells = count_cells(spanned)
        assert spanned == (CELL * spanned_cells[0], CELL * spanned_cells[1]), "cells would be cut"
        logits = upsample(coarse.alpha_logits, size, spanned=spanned)
        error = upsample(coarse.predicted_error.detach(), count_cells(size), spanned=spanned_cells)

        # 2. Select the cells to recompute.
        active = self._select(logits, error, error_threshold, active_budget)

        # 3. Correct the logits there, softly at the rim.
        if self.config.selection != "none":
            scene = _Scene(
                image=image,
                mask=mask,
                logits=logits,
                error=error,
                features=self.project(coarse.features),
                colours=coarse.local_colours if self.config.has_colour_cues else None,
                spanned_cells=spanned_cells,
            )
            logits = self._correct_sparse(scene, active, region) if is_sparse else self._correct_dense(scene, active)
        alpha = logits.sigmoid() if torch.is_grad_enabled() else logits.sigmoid_()
        return DetailResult(alpha=alpha, active_cells=active)

    @torch.no_grad()
    def _select(self, logits: Tensor, error: Tensor, error_threshold: float, active_budget: int | None) -> Tensor:
        if self.config.selection == "none":
            return torch.zeros_like(error, dtype=torch.bool)
        if self.config.selection == "shm":
            active = select_active_shm(logits.sigmoid())
        else:
            active = select_active(error, error_threshold=error_threshold)
        return limit_active(active, error, active_budget=active_budget)

    def _correct_dense(self, scene: "_Scene", active: Tensor) -> Tensor:
        logits = scene.logits
        rows, columns = active.shape[2:]
        coarse = interpolate(scene.join_coarse(), (rows, columns), scene.spanned_cells)
        image, mask, shown = (_to_cells(_as_unit(part)) for part in (scene.image, scene.mask, logits))
        x = network_inputs(image, mask, shown, scene.error, *scene.split_coarse(coarse))
        residual = self.network.forward_dense(x.to(compute_dtype(logits)), active)
        change = F.pixel_shuffle(rim_weight(active).to(logits.dtype) * residual.to(logits.dtype), CELL)
        return logits + change[..., : logits.shape[2], : logits.shape[3]]

    def _correct_sparse(self, scene: "_Scene", active: Tensor, region: tuple[slice, slice] | None) -> Tensor:
        logits = scene.logits
        cells = (active.shape[2], active.shape[3])
        coarse = scene.join_coarse().contiguous(memory_format=torch.channels_last)
        is_small = torch.is_grad_enabled() or int(torch.count_nonzero(active)) <= WINDOW_SIDE**2
        windows = split_into_windows(
            cells,
            side=max(cells) if is_small else WINDOW_SIDE,
            halo=self.network.reach,
            region=None if region is None else (_cells_of(region[0]), _cells_of(region[1])),
        )
        if torch.is_grad_enabled():
            (whole,) = windows
            positions, change = self._change(scene, coarse, active, whole)
            return logits.flatten().index_add(0, positions, change).view(logits.shape)
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
        """Where in the flattened logits the pixels of a window's active cells lie, and what is to be added to them."""
        logits = scene.logits
        active_set = ActiveSet.from_mask(active[:, :, window.outer_rows, window.outer_columns])
        offset = torch.tensor([0, window.outer_rows.start, window.outer_columns.start], device=active.device)
        cells = active_set.coordinates + offset
        pixels = _CellPixels.of(cells, (logits.shape[2], logits.shape[3]))
        rows = self._inputs(scene, coarse, cells, pixels)
        residual = self.network(SparseTensor(features=rows, active_set=active_set)).features
        weight = rim_weight_sparse(active_set)
        if window.has_halo:
            _, row, column = cells.unbind(1)
            is_own = (row >= window.rows.start) & (row < window.rows.stop)
            weight *= is_own & (column >= window.columns.start) & (column < window.columns.stop)
        change = weight.to(logits.dtype) * residual.t().to(logits.dtype)  # (4, cells)
        if pixels.is_inside is not None:
            change = change * pixels.is_inside
        return pixels.positions.flatten(), change.flatten()

    def _inputs(
        self, scene: "_Scene", coarse: Tensor, cells: Int64[Tensor, "points 3"], pixels: "_CellPixels"
    ) -> Float[Tensor, "points channels"]:
        """What the network sees of the cells, one row each."""
        height, width = scene.error.shape[2:]
        batch, row, column = cells.unbind(1)
        error = scene.error.reshape(-1).index_select(0, (batch * height + row) * width + column)
        sampled = sample_bilinear(coarse, cells, scene.spanned_cells).t().contiguous()[None]  # (1, channels, points)
        image, mask, logits = (_as_unit(pixels.read(part)) for part in (scene.image, scene.mask, scene.logits))
        x = network_inputs(image, mask, logits, error[None, None], *scene.split_coarse(sampled))
        rows = torch.empty(len(cells), x.shape[1], dtype=compute_dtype(scene.logits), device=x.device)
        return rows.copy_(x[0].t())  # turned and rounded in one pass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    """What the correction reads."""

    image: Shaped[Tensor, "batch 3 height width"]
    mask: Shaped[Tensor, "batch 1 height width"]
    logits: Float[Tensor, "batch 1 height width"]
    error: Float[Tensor, "batch 1 rows columns"]
    """Of each cell."""
    features: Float[Tensor, "batch channels h w"]
    colours: Float[Tensor, "batch 6 h w"] | None
    spanned_cells: Size
    """(rows, columns) of cells that `features` and `colours` span."""

    def join_coarse(self) -> Float[Tensor, "batch _channels h w"]:
        """`features` and `colours` as one map, made once for all windows."""
        maps = [part for part in (self.features, self.colours) if part is not None]
        dtype = torch.promote_types(self.features.dtype, torch.float32)
        return torch.cat([part.to(dtype) for part in maps], dim=1)

    def split_coarse(self, joined: Tensor) -> tuple[Tensor, Tensor | None]:
        """`features` and `colours` of what was made of `join_coarse`."""
        if self.colours is None:
            return joined, None
        return joined[:, :-NUM_COLOURS], joined[:, -NUM_COLOURS:]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CellPixels:
    """The pixels of some cells, as `F.pixel_unshuffle` orders them; for those beyond the picture the nearest in it."""

    positions: Int64[Tensor, "4 points"]
    """Where they lie in a flattened (B, H, W) map."""
    is_inside: Bool[Tensor, "4 points"] | None
    """False for those beyond the picture; None: its sides are even, and there are none."""

    @classmethod
    def of(cls, cells: Int64[Tensor, "points 3"], size: Size) -> "_CellPixels":
        """Those of the cells at (batch, row, column) in a picture of (height, width)."""
        batch, row, column = cells.unbind(1)
        height, width = size
        place = torch.arange(CELL**2, device=cells.device)[:, None]
        down, across = place // CELL, place % CELL
        if height % CELL == width % CELL == 0:
            first = (batch * height + CELL * row) * width + CELL * column
            return cls(positions=first + (down * width + across), is_inside=None)
        rows, columns = CELL * row + down, CELL * column + across
        positions = (batch * height + rows.clamp(max=height - 1)) * width + columns.clamp(max=width - 1)
        return cls(positions=positions, is_inside=(rows < height) & (columns < width))

    def read(self, x: Shaped[Tensor, "batch channels height width"]) -> Shaped[Tensor, "1 channels 4 points"]:
        """A map at these pixels."""
        rows = read_pixels(x, self.positions.flatten())
        return rows.t().contiguous().view(1, x.shape[1], *self.positions.shape)


def network_inputs(
    image: Float[Tensor, "batch 3 4 *cells"],
    mask: Float[Tensor, "batch 1 4 *cells"],
    logits: Float[Tensor, "batch 1 4 *cells"],
    error: Float[Tensor, "batch 1 *cells"],
    features: Float[Tensor, "batch channels *cells"],
    colours: Float[Tensor, "batch 6 *cells"] | None,
) -> Float[Tensor, "batch _inputs *cells"]:
    """What the network sees of each cell and its pixels, all of the order of 1; channels are the second axis."""
    shown = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT) / 4
    of_pixels = [2 * image - 1, shown, logits.sigmoid(), mask]
    of_cells = [features, error]
    if colours is not None:
        estimate, apart, from_target, from_surroundings = cue_parts(image, colours.unsqueeze(2))
        of_pixels += [estimate, from_target, from_surroundings]
        of_cells.append(apart.squeeze(2))
    # as `flatten(1, 2)` of each part orders them; an exported graph cannot reshape what is empty
    return torch.cat([channel for part in of_pixels for channel in part.unbind(1)] + of_cells, dim=1)


def _to_cells(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 4 rows columns"]:
    """The pixels of each cell; those beyond the picture repeat its last row or column."""
    batch, channels, height, width = x.shape
    padded = F.pad(x, (0, width % CELL, 0, height % CELL), mode="replicate")
    rows, columns = count_cells((height, width))
    return F.pixel_unshuffle(padded, CELL).view(batch, channels, CELL**2, rows, columns)


def _cells_of(pixels: slice) -> slice:
    """The cells, along one axis, that have some of these pixels."""
    return slice(pixels.start // CELL, -(-pixels.stop // CELL))


def _as_unit(values: Tensor) -> Tensor:
    """Floats as they are; bool, and uint8 of which 255 is 1, as float32."""
    if values.is_floating_point():
        return values
    return values.float() if values.dtype == torch.bool else values.float().div_(255)


def rim_weight_sparse(active_set: ActiveSet) -> Float[Tensor, " points"]:
    """`rim_weight` at the active cells only."""
    _, row, column = active_set.coordinates.unbind(1)
    is_found = (active_set.neighbours < len(active_set)).to(torch.float32)
    counted = is_found @ is_found.new_ones(is_found.shape[1])  # many times faster than a sum along rows of nine
    rows, columns = (
        3 - (index == 0).to(torch.float32) - (index == length - 1).to(torch.float32)
        for index, length in zip((row, column), active_set.size, strict=True)
    )
    return smooth_step(counted / (rows * columns))


def sample_bilinear(
    feature_map: Float[Tensor, "batch channels h w"], places: Int64[Tensor, "points 3"], spanned: Size
) -> Float[Tensor, "points channels"]:
    """The rows at some places of what `F.interpolate` would give at a finer resolution, without computing the rest.

    Args:
        feature_map: A coarser map, at any stride.
        places: (batch, row, column).
        spanned: (height, width) of the finer resolution.

    Returns:
        Bilinear samples as of `F.interpolate(..., mode="bilinear", align_corners=False)`, in at least float32.
    """
    batch, row, column = places.unbind(1)
    dtype = torch.promote_types(feature_map.dtype, torch.float32)
    h, w = feature_map.shape[-2:]
    top, bottom, y = bilinear_axis(row, h, spanned[0], dtype)
    left, right, x = bilinear_axis(column, w, spanned[1], dtype)
    top, bottom = (batch * h + top) * w, (batch * h + bottom) * w
    corners = torch.stack([top + left, top + right, bottom + left, bottom + right], dim=1)
    weights = torch.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], dim=1)
    rows = feature_map.permute(0, 2, 3, 1).reshape(-1, feature_map.shape[1]).to(dtype)
    # gathers and adds in one pass, several times faster than four gathers
    return F.embedding_bag(corners, rows, per_sample_weights=weights, mode="sum")
