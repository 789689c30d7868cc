"""What this machine can do, and what a stage asks of it: the floor under its time.

Rates are measured: multiply-adds per second of a large matrix product and of a convolution, the better of which counts;
bytes per second of a copy, at several sizes, because what fits in a cache is copied faster. `OpCounter` sees every
operation of PyTorch and adds up its multiply-adds, and the bytes it reads and writes. No program that runs these
operations one after the other can take less than, for each, the larger of the two times. A program that joins
operations reads and writes less, so a stage may in principle go below its floor for bytes, never below that for sums.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

COPY_SIZES = (2**15, 2**18, 2**21, 2**24, 2**27)
"""Bytes of the arrays that are copied."""


def measure_rates(dtype: torch.dtype, *, repeats: int = 7) -> dict[str, Any]:
    """Operations per second (a multiply-add is two) of a product and a convolution, bytes per second of copies."""
    side, channels = 1024, 64
    left, right = (torch.randn(side, side).to(dtype) for _ in range(2))
    picture = torch.randn(1, channels, 256, 256).to(dtype, memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3).to(dtype, memory_format=torch.channels_last)
    with torch.inference_mode():
        matmul = 2 * side**3 / _fastest(lambda: left @ right, repeats)
        conv = 2 * 9 * channels**2 * 256**2 / _fastest(lambda: F.conv2d(picture, weight, padding=1), repeats)
        copies = {}
        for size in COPY_SIZES:
            source, target = torch.ones(size // 4), torch.ones(size // 4)
            copies[size] = 2 * size / _fastest(lambda s=source, t=target: t.copy_(s), 3 * repeats)
    return {"matmul": matmul, "conv": conv, "copy": {str(size): rate for size, rate in copies.items()}}


def _fastest(call: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


class OpCounter(TorchDispatchMode):
    """Adds up, for the stage at hand, operations, bytes, and the least time they can take at given rates."""

    def __init__(self, rates: dict[str, Any]) -> None:
        super().__init__()
        self.stage = "prepare"
        self.totals: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        self._compute = max(rates["matmul"], rates["conv"])
        self._copies = sorted((int(size), rate) for size, rate in rates["copy"].items())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation and count it."""
        kwargs = kwargs or {}
        if func._overloadpacket not in flop_registry:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        operations = 0
        if func._overloadpacket in flop_registry:
            operations = int(flop_registry[func._overloadpacket](*args, **kwargs, out_val=result))
        elif "scaled_dot_product" in func.name():
            query, key = args[0], args[1]
            operations = 4 * query.numel() * key.shape[-2]
        given, made = _tensors((args, kwargs)), _tensors(result)
        is_view = func.is_view or (not func._schema.is_mutable and _shares_storage(given, made))
        moved = 0 if is_view else sum(tensor.numel() * tensor.element_size() for tensor in (*given, *made))
        compute_s, move_s = operations / self._compute, moved / self._copy_rate(moved)
        total = self.totals[self.stage]
        total["operations"] += operations
        total["bytes"] += moved
        total["compute_s"] += compute_s
        total["move_s"] += move_s
        total["floor_s"] += max(compute_s, move_s)
        return result

    def _copy_rate(self, moved: int) -> float:
        fitting = [rate for size, rate in self._copies if 2 * size <= moved]
        return fitting[-1] if fitting else self._copies[0][1]


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _shares_storage(given: list[Tensor], made: list[Tensor]) -> bool:
    places = {tensor.untyped_storage().data_ptr() for tensor in given}
    return bool(made) and all(tensor.untyped_storage().data_ptr() in places for tensor in made)
