"""`SparseResNet` without gradient: rows are gathered and multiplied a cache-sized chunk at a time.

The addition and the ReLU after a product run while its rows are still in the cache. Equal to the plain form up to
the rounding of sums in another order.

Legend: P active places (rows), K taps of a kernel, C channels in, M channels out. *Padded* rows have a row of zeros
after them, for the neighbours that are not there.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32
from torch import Tensor

from mask2alpha.model.fast.attention import cpu_has_amx
from mask2alpha.model.stage3_detail.resnet import SparseResidualBlock, SparseResNet
from mask2alpha.model.stage3_detail.sparse import SubmanifoldConv, compute_dtype

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


class FastSparseResNet(SparseResNet):
    """See the module's docstring."""

    @torch.no_grad()
    def forward(
        self,
        rows: Float[Tensor, "points _in"],
        neighbours: Int32[Tensor, "points 9"],
        presence: Float[Tensor, "points 1"],
    ) -> Float[Tensor, "points _out"]:
        """As `SparseResNet.forward`."""
        presence = presence.to(compute_dtype(rows))
        x = convolve(self.stem, with_zero_row(rows.to(presence.dtype) * presence), neighbours, presence=presence)
        x = _refine(self.first_block, x, neighbours, presence)
        narrow = with_zero_row(self.narrow(x[:-1]).relu_().mul_(presence))
        for block in self.narrow_blocks:
            assert isinstance(block, SparseResidualBlock)
            narrow = _refine(block, narrow, neighbours, presence)
        x = with_zero_row(self.widen(narrow[:-1]).add_(x[:-1]).relu_().mul_(presence))
        x = _refine(self.last_block, x, neighbours, presence)
        if self.head.weight.shape[0] <= NARROW:
            return convolve_narrow(self.head, x, neighbours)
        return convolve(self.head, x, neighbours)[:-1]


def _refine(block: SparseResidualBlock, x: Tensor, table: Tensor, presence: Tensor) -> Tensor:
    hidden = convolve(block.conv1, x, table, presence=presence)
    return convolve(block.conv2, hidden, table, skip=x[:-1, : hidden.shape[1]], presence=presence)


def with_zero_row(features: Float[Tensor, "points channels"]) -> Float[Tensor, "_points _channels"]:
    """The rows, padded; in 16 bits with some columns of zeros, too."""
    missing = -features.shape[1] % HALF_MULTIPLE if features.element_size() == 2 else 0
    return F.pad(features, (0, missing, 0, 1))


def convolve(
    conv: SubmanifoldConv,
    padded: Float[Tensor, "_points channels"],
    table: Int32[Tensor, "points 9"],
    *,
    skip: Float[Tensor, "points _out"] | None = None,
    presence: Float[Tensor, "points 1"] | None = None,
) -> Float[Tensor, "_points _out"]:
    """For each line of `table` its rows of `padded`, side by side, times the weight; then add `skip`.

    With `presence`, rectify the result and multiply it by that.

    Returns:
        The result's rows, padded.
    """
    matrix, bias = _matrix(conv, padded.dtype), conv.bias.to(padded.dtype)
    taps = table.shape[1]
    missing = padded.shape[1] - matrix.shape[0] // taps  # columns of zeros
    if missing:
        matrix = F.pad(matrix.view(taps, -1, matrix.shape[1]), (0, 0, 0, missing)).flatten(0, 1)
    result = padded.new_empty(table.shape[0] + 1, matrix.shape[1])
    result[-1].zero_()
    gathered: Tensor | None = None
    for part, place in _chunks(table, padded):
        # the memory of the first chunk, the largest, serves all: fresh memory costs as much as the gathering
        gathered = (
            padded.index_select(0, part)
            if gathered is None
            else torch.index_select(padded, 0, part, out=gathered[: len(part)])
        )
        rows = result[:-1][place]
        _multiply(gathered.view(-1, matrix.shape[0]), matrix, bias, out=rows)
        if skip is not None:
            rows.add_(skip[place])
        if presence is not None:
            rows.relu_().mul_(presence[place])
    return result


def convolve_narrow(
    conv: SubmanifoldConv, padded: Float[Tensor, "_points channels"], table: Int32[Tensor, "points 9"]
) -> Float[Tensor, "points _out"]:
    """As `convolve`, but products are gathered and added up, in float32: the faster way to few columns."""
    matrix, bias = _matrix(conv, padded.dtype), conv.bias.to(padded.dtype)
    (points, taps), columns = table.shape, matrix.shape[1]
    of_taps = matrix.view(taps, -1, columns).transpose(0, 1).flatten(1)  # (C, K * M)
    products = padded.new_zeros(points + 1, taps * columns, dtype=torch.promote_types(padded.dtype, torch.float32))
    products[:points] = padded[:points, : of_taps.shape[0]] @ of_taps
    places = table * taps + torch.arange(taps, dtype=table.dtype, device=table.device)
    return F.embedding_bag(places, products.view(-1, columns), mode="sum") + bias


def _matrix(conv: SubmanifoldConv, dtype: torch.dtype) -> Tensor:
    """The weight (M, C, 3, 3) as (9 * C, M)."""
    return conv.weight.to(dtype).permute(2, 3, 1, 0).reshape(-1, conv.weight.shape[0])


def _chunks(table: Tensor, padded: Tensor) -> Iterator[tuple[Tensor, slice]]:
    """Parts of `table`, flat, whose rows of `padded` fit in the cache together; and where in `table` they lie."""
    row_bytes = max(1, table.shape[1] * padded.shape[1] * padded.element_size())
    is_on_cpu = padded.device.type == "cpu"
    step = max(1, (CHUNK_BYTES_CPU * torch.get_num_threads() if is_on_cpu else CHUNK_BYTES_DEVICE) // row_bytes)
    for start in range(0, table.shape[0], step):
        yield table[start : start + step].reshape(-1), slice(start, start + step)


def _multiply(rows: Tensor, matrix: Tensor, bias: Tensor, *, out: Tensor) -> None:
    """Write `rows` times `matrix`, plus `bias`, to `out`."""
    is_wide_float32 = rows.dtype == torch.float32 and matrix.shape[1] >= ONEDNN_LEAST_COLUMNS
    if ONEDNN_LINEAR is not None and is_wide_float32 and rows.device.type == "cpu" and not cpu_has_amx():
        out.copy_(ONEDNN_LINEAR(rows, matrix.t(), bias, "none", [], ""))
    else:
        torch.addmm(bias, rows, matrix, out=out)
