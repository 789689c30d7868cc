"""Submanifold sparse convolutions on 2-D grids in plain PyTorch, each with a dense twin (paper 3.3).

A `SparseTensor` holds one feature row per active pixel, in raster order. A dense int32 map from pixel to row finds the
neighbours; a convolution gathers their rows, a cache-sized chunk at a time, and multiplies them with the weight. It
runs forward and backward on any device and dtype that has `index_select` and matrix products.

`SubmanifoldConv.forward_dense` computes the same on dense maps, with the same parameters: its input must be zero
outside the active set, and its output is meant inside it only. `DenseLevel` clears the rest.

Legend: P active places (rows), B batch, H rows and W columns of the map, K taps of a kernel. What the detail stage
calls a cell is a pixel here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int32, Int64, Shaped
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mask2alpha.model.layers import cpu_has_amx
from mask2alpha.shapes import Size

MARGIN = 1
"""Empty pixels around each picture of an index map: the reach of a convolution's window."""
CHUNK_BYTES_CPU = 1 << 20
"""Size of the rows gathered at once on a CPU, per thread: about that of the second-level cache."""
CHUNK_BYTES_DEVICE = 1 << 28
"""Size of the rows gathered at once elsewhere: enough to fill the device, while the memory stays bounded."""


HALF_MULTIPLE = 8
"""Channels of 16-bit rows are raised to a multiple of this before they are gathered: odd widths multiply slowly."""

NARROW = 8
"""Up to so many output columns a convolution multiplies before it gathers."""

ONEDNN_LINEAR = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
"""oneDNN's float32 product, which PyTorch calls in compiled code only; None in builds without it. On AMD processors it
is almost twice as fast as the usual one of MKL, on Intel's with AMX slower (docs/decisions/0005)."""
ONEDNN_LEAST_COLUMNS = 8
"""From so many result columns on oneDNN is the faster one."""


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype in which convolutions of `tensor` run: autocast's where it is on, otherwise the tensor's own."""
    if torch.is_autocast_enabled(tensor.device.type):
        return torch.get_autocast_dtype(tensor.device.type)
    return tensor.dtype


@dataclass(frozen=True, kw_only=True, eq=False)
class ActiveSet:
    """The active pixels of one resolution level and, found once and shared by its layers, who neighbours whom."""

    coordinates: Int64[Tensor, "points 3"]
    """(batch, row, column) of each active pixel, in raster order, picture after picture."""
    size: Size
    """(height, width) of the level's map."""
    batch_size: int
    """Pictures in the batch, those without an active pixel included."""

    @classmethod
    def from_mask(cls, active: Bool[Tensor, "batch 1 height width"]) -> "ActiveSet":
        """The active set of a dense map that is True at the active pixels."""
        batch_size, _, height, width = active.shape
        return cls(coordinates=active[:, 0].nonzero(), size=(height, width), batch_size=batch_size)

    def __len__(self) -> int:
        return len(self.coordinates)

    @cached_property
    def positions(self) -> Int64[Tensor, " points"]:
        """Where each pixel lies in the flattened (B, H, W) map."""
        batch, row, column = self.coordinates.unbind(1)
        return (batch * self.size[0] + row) * self.size[1] + column

    @cached_property
    def index_map(self) -> Int32[Tensor, "batch _rows _columns"]:
        """Each pixel's row number, P where there is none; with `MARGIN` empty pixels on every side."""
        rows, columns = self.size[0] + 2 * MARGIN, self.size[1] + 2 * MARGIN
        numbers = torch.arange(len(self), device=self.coordinates.device, dtype=torch.int32)
        index_map = numbers.new_full((self.batch_size, rows, columns), len(self))
        index_map.view(-1)[self._padded_positions] = numbers
        return index_map

    @cached_property
    def neighbours(self) -> Int32[Tensor, "points 9"]:
        """Row numbers of the 3 x 3 window around each pixel, in raster order; P where a neighbour is not active."""
        reach = torch.arange(-1, 2, device=self.coordinates.device, dtype=torch.int32)
        offsets = (reach[:, None] * (self.size[1] + 2 * MARGIN) + reach).flatten()
        positions = self._padded_positions[:, None] + offsets
        return self.index_map.view(-1).index_select(0, positions.view(-1)).view(positions.shape)

    @cached_property
    def _padded_positions(self) -> Int32[Tensor, " points"]:
        """Where each pixel lies in the flattened index map."""
        batch, row, column = self.coordinates.unbind(1)
        rows, columns = self.size[0] + 2 * MARGIN, self.size[1] + 2 * MARGIN
        return ((batch * rows + row + MARGIN) * columns + column + MARGIN).to(torch.int32)


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseTensor:
    """Features at the active pixels of a map; the map is zero everywhere else."""

    features: Float[Tensor, "points channels"]
    """One row per active pixel, in the order of `active_set`."""
    active_set: ActiveSet
    """Where the rows belong."""
    padded: Float[Tensor, "_points channels"] | None = None
    """`features` and, after them, a row of zeros for the neighbours that are not there; None: they do not lie so."""

    @classmethod
    def from_dense(cls, x: Float[Tensor, "batch channels height width"], active_set: ActiveSet) -> "SparseTensor":
        """The rows of a dense map at the active pixels."""
        return cls(features=read_pixels(x, active_set.positions), active_set=active_set)

    def to_dense(self) -> Float[Tensor, "batch channels height width"]:
        """The dense map: the features at the active pixels and zero elsewhere."""
        active_set = self.active_set
        height, width = active_set.size
        dense = self.features.new_zeros(active_set.batch_size * height * width, self.features.shape[1])
        dense = dense.index_copy(0, active_set.positions, self.features)
        return dense.view(active_set.batch_size, height, width, -1).permute(0, 3, 1, 2)

    def replace(self, features: Float[Tensor, "points _channels"]) -> "SparseTensor":
        """Other features at the same pixels."""
        return SparseTensor(features=features, active_set=self.active_set)


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


class SubmanifoldConv(nn.Module):
    """A 3 x 3 convolution with bias that keeps the active set: inactive pixels neither give nor receive."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, sparse: SparseTensor, *, skip: Tensor | None = None, has_relu: bool = False) -> SparseTensor:
        """Convolve the rows of `sparse`; then add `skip` and rectify, if so wanted."""
        return submanifold_conv(sparse, self.weight, self.bias, skip=skip, has_relu=has_relu)

    def forward_dense(self, x: Float[Tensor, "batch _in height width"]) -> Float[Tensor, "batch _out height width"]:
        """The same on a dense map, at the pixels of the active set."""
        return F.conv2d(x, self.weight, self.bias, padding=1)


class DenseLevel:
    """The active set of one resolution level as a dense map: the twin of `ActiveSet`.

    Args:
        active: 1 at the active pixels, 0 elsewhere; its dtype is that of the level's features.
    """

    def __init__(self, active: Float[Tensor, "batch 1 height width"]) -> None:
        self.active = active
        self._outside: Tensor | None = None

    def relu_(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        """Apply ReLU in place and clear what lies outside the active set.

        The clearing adds a large negative number before the ReLU, so that the backward pass need not mask again; the
        map of that number is kept in the full shape of `x`, because broadcasting along the channels is slow in the
        channels-last format.
        """
        if self._outside is None or self._outside.shape != x.shape:
            lowest = torch.finfo(x.dtype).min
            self._outside = torch.empty_like(x.detach()).copy_((1 - self.active) * lowest)
        return x.add_(self._outside).relu_()


def submanifold_conv(
    sparse: SparseTensor,
    weight: Float[Tensor, "_out _in 3 3"],
    bias: Float[Tensor, " _out"],
    *,
    skip: Float[Tensor, "points _out"] | None = None,
    has_relu: bool = False,
) -> SparseTensor:
    """Convolve each row with those of its 3 x 3 window (`ActiveSet.neighbours`), absent ones counting as zero.

    Then add `skip` and rectify, if so wanted: without gradient, while the rows are still in the cache.
    """
    table = sparse.active_set.neighbours
    features, matrix, bias = _prepare(sparse.features, weight, bias)
    if torch.is_grad_enabled():
        convolved = _apply(_SubmanifoldConv, features, matrix, bias, table)
        return sparse.replace(_finish_(convolved, skip, has_relu))
    if weight.shape[0] <= NARROW and skip is None and not has_relu:
        return sparse.replace(_matmul_gather(features, table, matrix) + bias)
    if sparse.padded is not None and sparse.padded.dtype == features.dtype:
        padded = sparse.padded
    else:
        padded = _with_zero_row(features)
    result = _gather_matmul(padded, table, matrix, bias, skip=skip, has_relu=has_relu)
    return SparseTensor(features=result[:-1], active_set=sparse.active_set, padded=result)


def _prepare(features: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Bring all to one dtype, and the weight (M, C, 3, 3) to the matrix (9 * C, M)."""
    dtype = compute_dtype(features)
    matrix = weight.to(dtype).permute(2, 3, 1, 0).reshape(-1, weight.shape[0])
    return features.to(dtype), matrix, bias.to(dtype)


def _apply(function: Any, *arguments: Tensor) -> Tensor:
    result: Tensor = function.apply(*arguments)
    return result


def _chunks(table: Tensor, features: Tensor) -> Iterator[tuple[Tensor, slice]]:
    """Parts of `table`, flat, whose rows of `features` fit in the cache together; and where in `table` they lie."""
    row_bytes = max(1, table.shape[1] * features.shape[1] * features.element_size())
    is_on_cpu = features.device.type == "cpu"
    step = max(1, (CHUNK_BYTES_CPU * torch.get_num_threads() if is_on_cpu else CHUNK_BYTES_DEVICE) // row_bytes)
    for start in range(0, table.shape[0], step):
        yield table[start : start + step].reshape(-1), slice(start, start + step)


def _with_zero_row(features: Tensor) -> Tensor:
    """The rows and, after them, a row of zeros for the neighbours that are not there; in 16 bits some zero columns."""
    missing = -features.shape[1] % HALF_MULTIPLE if features.element_size() == 2 else 0
    return F.pad(features, (0, missing, 0, 1))


def _gather_matmul(
    padded: Tensor,
    table: Tensor,
    matrix: Tensor,
    bias: Tensor | None,
    *,
    skip: Tensor | None = None,
    has_relu: bool = False,
) -> Tensor:
    """For each line of `table` (N, K): its K rows of `padded` (P + 1, C), side by side, times `matrix` (K * C, M).

    Then `skip` (N, M) is added, and the sum rectified, if so wanted. After the result's rows there is one of zeros.
    """
    taps = table.shape[1]
    missing = padded.shape[1] - matrix.shape[0] // taps  # zero columns
    if missing:
        matrix = F.pad(matrix.view(taps, -1, matrix.shape[1]), (0, 0, 0, missing)).flatten(0, 1)
    result = padded.new_empty(table.shape[0] + 1, matrix.shape[1])
    result[-1].zero_()
    width = taps * padded.shape[1]
    gathered: Tensor | None = None
    for part, place in _chunks(table, padded):
        # the memory of the first chunk, the largest, serves all: fresh memory costs as much as the gathering
        gathered = (
            padded.index_select(0, part)
            if gathered is None
            else torch.index_select(padded, 0, part, out=gathered[: len(part)])
        )
        rows = result[:-1][place]
        _multiply(gathered.view(-1, width), matrix, bias, out=rows)
        _finish_(rows, None if skip is None else skip[place], has_relu)
    return result


def _matmul_gather(features: Tensor, table: Tensor, matrix: Tensor) -> Tensor:
    """As `_gather_matmul`, but products are gathered and added up, in float32: the faster way to few columns."""
    (points, taps), columns = table.shape, matrix.shape[1]
    of_taps = matrix.view(taps, -1, columns).transpose(0, 1).flatten(1)  # (C, K * M)
    products = features.new_zeros(points + 1, taps * columns, dtype=torch.promote_types(features.dtype, torch.float32))
    products[:points] = features @ of_taps
    places = table * taps + torch.arange(taps, dtype=table.dtype, device=table.device)
    return F.embedding_bag(places, products.view(-1, columns), mode="sum")


def _finish_(rows: Tensor, skip: Tensor | None, has_relu: bool) -> Tensor:
    """Add `skip` to `rows`, and rectify them; in place."""
    if skip is not None:
        rows = rows.add_(skip)
    return rows.relu_() if has_relu else rows


def _multiply(rows: Tensor, matrix: Tensor, bias: Tensor | None, *, out: Tensor) -> None:
    """Write `rows` times `matrix`, plus `bias`, to `out`."""
    is_wide_float32 = rows.dtype == torch.float32 and matrix.shape[1] >= ONEDNN_LEAST_COLUMNS
    if ONEDNN_LINEAR is not None and is_wide_float32 and rows.device.type == "cpu" and not cpu_has_amx():
        out.copy_(ONEDNN_LINEAR(rows, matrix.t(), bias, "none", [], ""))
    elif bias is None:
        torch.mm(rows, matrix, out=out)
    else:
        torch.addmm(bias, rows, matrix, out=out)


def _gather_outer(features: Tensor, table: Tensor, right: Tensor) -> Tensor:
    """The gradient of `_gather_matmul` to its matrix: the gathered rows, transposed, times `right` (N, M)."""
    padded = _with_zero_row(features)
    dtype = torch.promote_types(features.dtype, torch.float32)
    taps, channels = table.shape[1], padded.shape[1]
    result = features.new_zeros(taps * channels, right.shape[1], dtype=dtype)
    for part, place in _chunks(table, padded):
        result += padded.index_select(0, part).view(-1, taps * channels).t() @ right[place]
    return result.view(taps, channels, -1)[:, : features.shape[1]].flatten(0, 1).to(features.dtype)


class _SubmanifoldConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, matrix: Tensor, bias: Tensor, neighbours: Tensor) -> Tensor:
        ctx.save_for_backward(features, matrix, neighbours)
        # not a view, which could not be added to in place
        return _gather_matmul(_with_zero_row(features), neighbours, matrix, bias)[:-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, matrix, neighbours = ctx.saved_tensors
        to_features = to_matrix = to_bias = None
        if ctx.needs_input_grad[0]:
            # Being neighbours is mutual: who is k-th in my window has me (8 - k)-th in his.
            flipped = matrix.view(9, features.shape[1], -1).flip(0).transpose(1, 2).reshape(-1, features.shape[1])
            to_features = _gather_matmul(_with_zero_row(gradient), neighbours, flipped, None)[:-1]
        if ctx.needs_input_grad[1]:
            to_matrix = _gather_outer(features, neighbours, gradient)
        if ctx.needs_input_grad[2]:
            to_bias = gradient.sum(0)
        return to_features, to_matrix, to_bias, None
