"""The detail stage without gradient: it reads only the active cells, in windows, so that memory stays bounded.

Only the image and the mask, in their own dtypes, and alpha are of full size. Equal to the plain form up to rounding.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from mask2alpha.model.box import Placement
from mask2alpha.model.fast.resampling import upsample
from mask2alpha.model.fast.windows import WINDOW_SIDE, Window, split_into_windows
from mask2alpha.model.stage3_detail.recovery import DetailRecovery, Scene, describe_cells, join_inputs
from mask2alpha.model.stage3_detail.select import smooth_step
from mask2alpha.model.stage3_detail.sparse import ActiveSet, compute_dtype
from mask2alpha.model.values import RunOptions
from mask2alpha.ops.cells import CELL, count_cells
from mask2alpha.ops.resize import bilinear_axis
from mask2alpha.ops.units import as_unit
from mask2alpha.shapes import Size


class FastDetailRecovery(DetailRecovery):
    """See the module's docstring."""

    def upsample(
        self, x: Float[Tensor, "batch 1 h w"], place: Placement, *, outside: float = 0.0, stride: int = 1
    ) -> Float[Tensor, "batch 1 _h _w"]:
        """As `DetailRecovery.upsample`."""
        return place.upsample(place.surround(x, outside), stride=stride, method=upsample)

    def correct(
        self, scene: Scene, active: Bool[Tensor, "batch 1 rows columns"], options: RunOptions
    ) -> Float[Tensor, "batch 1 height width"]:
        """As `DetailRecovery.correct`, the logits being changed in place; the dense twin is left to it."""
        if not options.is_sparse:
            return super().correct(scene, active, options)
        cells = (active.shape[2], active.shape[3])
        is_small = int(torch.count_nonzero(active)) <= WINDOW_SIDE**2
        windows = split_into_windows(
            cells,
            side=max(cells) if is_small else WINDOW_SIDE,
            halo=self.network.reach,
            region=None if options.region is None else _cells_of(options.region, scene.place, cells),
        )
        # all changes are computed before any is made, because a window's halo reads logits that its neighbour changes
        coarse = scene.coarse.contiguous(memory_format=torch.channels_last)
        image = scene.image
        if image.stride(1) == 1:  # a part of a photo, or one photo for several masks
            scene = replace(scene, image=image.contiguous(memory_format=torch.channels_last))
        changes = [
            self._change(scene, coarse, active, window, options)
            for window in windows
            if int(torch.count_nonzero(active[:, :, window.rows, window.columns])) > 0
        ]
        for positions, change in changes:
            scene.logits.view(-1).index_add_(0, positions, change)
        return scene.logits

    def _change(
        self, scene: Scene, coarse: Tensor, active: Tensor, window: Window, options: RunOptions
    ) -> tuple[Tensor, Tensor]:
        """Positions of the pixels of a window's active cells in the flattened logits, and what to add to them."""
        logits = scene.logits
        active_set = ActiveSet.from_mask(active[:, :, window.outer_rows, window.outer_columns])
        offset = torch.tensor([0, window.outer_rows.start, window.outer_columns.start], device=active.device)
        cells = active_set.coordinates + offset
        pixels = CellPixels.of(cells, (logits.shape[2], logits.shape[3]))
        error = _read_errors(scene, cells)
        presence = self.find_presence(error, options)
        rows = _read_inputs(scene, coarse, cells, pixels, error)
        residual = self.network(rows, active_set.neighbours, presence[:, None])
        weight = rim_weight_sparse(active_set, presence)
        if window.has_halo:
            _, row, column = cells.unbind(1)
            is_own = (row >= window.rows.start) & (row < window.rows.stop)
            weight *= is_own & (column >= window.columns.start) & (column < window.columns.stop)
        change = weight.to(logits.dtype) * residual.t().to(logits.dtype)  # (4, cells)
        if pixels.is_inside is not None:
            change = change * pixels.is_inside
        return pixels.positions.flatten(), change.flatten()


def _read_errors(scene: Scene, cells: Int64[Tensor, "points 3"]) -> Float[Tensor, " points"]:
    """The predicted errors of some cells."""
    height, width = scene.error.shape[2:]
    batch, row, column = cells.unbind(1)
    return scene.error.reshape(-1).index_select(0, (batch * height + row) * width + column)


def _read_inputs(
    scene: Scene,
    coarse: Tensor,
    cells: Int64[Tensor, "points 3"],
    pixels: "CellPixels",
    error: Float[Tensor, " points"],
) -> Float[Tensor, "points channels"]:
    """The network's inputs, one row per cell."""
    place = scene.place
    start = torch.tensor([0, place.rows.start // CELL, place.columns.start // CELL], device=cells.device)
    sampled = sample_bilinear(
        coarse, cells + start, count_cells(place.spanned), whole=place.whole, first=place.first
    )  # (points, channels)
    image, mask, logits = (as_unit(pixels.read(part)) for part in (scene.image, scene.mask, scene.logits))
    x = join_inputs(
        *describe_cells(image, mask, logits, error[None, None], *scene.split(sampled.t().contiguous()[None]))
    )
    rows = torch.empty(len(cells), x.shape[1], dtype=compute_dtype(scene.logits), device=x.device)
    return rows.copy_(x[0].t())  # transposed and rounded in one pass


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPixels:
    """The pixels of some cells, as `F.pixel_unshuffle` orders them; for those beyond the photo the nearest in it."""

    positions: Int64[Tensor, "4 points"]
    """Where they lie in a flattened (B, H, W) map."""
    is_inside: Bool[Tensor, "4 points"] | None
    """False for those beyond the photo; None: its sides are even, and there are none."""

    @classmethod
    def of(cls, cells: Int64[Tensor, "points 3"], size: Size) -> "CellPixels":
        """The pixels of the cells at (batch, row, column) in a photo of (height, width)."""
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


def read_pixels(
    x: Shaped[Tensor, "batch channels height width"], positions: Int64[Tensor, " points"]
) -> Shaped[Tensor, "points channels"]:
    """The rows of a dense map at some pixels, given by where they lie in the flattened (B, H, W) map."""
    channels, area = x.shape[1], x.shape[2] * x.shape[3]
    if channels == 1 or x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).reshape(-1, channels).index_select(0, positions)
    first = positions + positions // area * ((channels - 1) * area)
    planes = torch.arange(0, channels * area, area, device=x.device)
    return x.reshape(-1).index_select(0, (first[:, None] + planes).view(-1)).view(-1, channels)


def _cells_of(region: tuple[slice, slice], place: Placement, cells: Size) -> tuple[slice, slice]:
    """The cells of `place` that have some pixels of a region of the photo."""
    rows, columns = (
        slice(
            min(length, max(0, pixels.start - covered.start) // CELL),
            min(length, -(-max(0, pixels.stop - covered.start) // CELL)),
        )
        for pixels, covered, length in zip(region, (place.rows, place.columns), cells, strict=True)
    )
    return rows, columns


def rim_weight_sparse(active_set: ActiveSet, presence: Float[Tensor, " points"]) -> Float[Tensor, " points"]:
    """`rim_weight` at the active cells only."""
    _, row, column = active_set.coordinates.unbind(1)
    neighbours = active_set.neighbours
    nearby = F.pad(presence, (0, 1)).index_select(0, neighbours.flatten()).view(neighbours.shape)
    counted = nearby @ nearby.new_ones(nearby.shape[1])  # many times faster than a sum along rows of nine
    rows, columns = (
        3 - (index == 0).to(torch.float32) - (index == length - 1).to(torch.float32)
        for index, length in zip((row, column), active_set.size, strict=True)
    )
    return smooth_step(counted / (rows * columns)) * presence


def sample_bilinear(
    feature_map: Float[Tensor, "batch channels h w"],
    places: Int64[Tensor, "points 3"],
    spanned: Size,
    *,
    whole: Size | None = None,
    first: tuple[int, int] = (0, 0),
) -> Float[Tensor, "points channels"]:
    """Sample what `upsample` would give at some places, without computing the rest.

    Args:
        feature_map: A coarser map, or a part of one.
        places: (batch, row, column) in what the whole map spans.
        spanned: (height, width) that the whole map spans.
        whole: As for `upsample`.
        first: As for `upsample`.

    Returns:
        Bilinear samples, in at least float32.
    """
    batch, row, column = places.unbind(1)
    dtype = torch.promote_types(feature_map.dtype, torch.float32)
    h, w = feature_map.shape[-2:]
    rows, columns = whole or (h, w)
    top, bottom, y = bilinear_axis(row, rows, spanned[0], dtype, first=first[0], length=h)
    left, right, x = bilinear_axis(column, columns, spanned[1], dtype, first=first[1], length=w)
    top, bottom = (batch * h + top) * w, (batch * h + bottom) * w
    corners = torch.stack([top + left, top + right, bottom + left, bottom + right], dim=1)
    weights = torch.stack([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], dim=1)
    features = feature_map.permute(0, 2, 3, 1).reshape(-1, feature_map.shape[1]).to(dtype)
    # gathers and adds in one pass, several times faster than four gathers
    return F.embedding_bag(corners, features, per_sample_weights=weights, mode="sum")
