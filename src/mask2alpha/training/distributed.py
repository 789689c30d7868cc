"""Several processes that train one model; `torchrun` starts them, on one machine or on many.

Every process makes its own part of each batch. Gradients and the statistics of batch norm are averaged over all, so W
processes with a batch of B train as one process with a batch of W * B does.
"""

import os
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mask2alpha.errors import InputError

_PATIENCE = timedelta(hours=3)
"""How long processes wait for each other: the first one validates while the others wait."""


class Processes:
    """The processes that share a run: one without `torchrun`."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count

    @classmethod
    def start(cls, device: str) -> "tuple[Processes, str]":
        """Join the processes that `torchrun` started, if it did.

        Args:
            device: As on the command line; `cuda` becomes this process's own GPU.

        Returns:
            The processes, and the device of this one.

        Raises:
            InputError: There are more processes on this machine than GPUs.
        """
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls(), device
        local_rank = int(os.environ["LOCAL_RANK"])
        is_cuda = torch.device(device).type == "cuda"
        if is_cuda:
            if local_rank >= torch.cuda.device_count():
                raise InputError(
                    f"process {local_rank} of this machine has no GPU: it has {torch.cuda.device_count()}; "
                    "start fewer with --nproc-per-node"
                )
            device = f"cuda:{local_rank}"
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("nccl" if is_cuda else "gloo", timeout=_PATIENCE)
        return cls(torch.distributed.get_rank(), count), device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def share(self, module: nn.Module, device: str) -> nn.Module:
        """The module whose `forward` and gradients are shared; its batch norms are changed in place."""
        if self.count == 1:
            return module
        synchronize_batch_norm(module)
        device_ids = [torch.device(device)] if torch.device(device).type == "cuda" else None
        return DistributedDataParallel(module, device_ids=device_ids)

    def agree(self, seconds: float, is_stopped: bool, device: str) -> tuple[float, bool]:
        """Share the first process's clock, and whether any process was asked to stop, so that all decide the same."""
        if self.count == 1:
            return seconds, is_stopped
        values = torch.tensor(
            [seconds if self.is_first else 0.0, float(is_stopped)], dtype=torch.float64, device=device
        )
        torch.distributed.all_reduce(values, torch.distributed.ReduceOp.MAX)
        return float(values[0]), bool(values[1])

    def check_same(self, what: str, value: int, device: str) -> None:
        """Check that all processes have the same value.

        Raises:
            InputError: The values differ.
        """
        if self.count == 1:
            return
        extremes = torch.tensor([value, -value], device=device)
        torch.distributed.all_reduce(extremes, torch.distributed.ReduceOp.MAX)
        if int(extremes[0]) != -int(extremes[1]):
            raise InputError(
                f"the processes have different values of {what} ({-int(extremes[1])} to {int(extremes[0])}): "
                "the run folder must be one that all machines share"
            )

    def finish(self) -> None:
        """Wait for all, then leave the group."""
        if self.count > 1:
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batches of all processes, which must be equally large; PyTorch's own needs a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, in training by the mean and variance over all processes."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        values = x.float()
        count = values.numel() // values.shape[1] * torch.distributed.get_world_size()
        mean = _sum_over_processes(values.sum((0, 2, 3))) / count
        centred = values - mean.view(1, -1, 1, 1)
        variance = _sum_over_processes(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        normalized: Tensor = centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return normalized.to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is that of the sum of all processes' losses."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        torch.distributed.all_reduce(total)
        return total


def _sum_over_processes(values: Tensor) -> Tensor:
    total = _Sum.apply(values)  # type: ignore[no-untyped-call]
    assert isinstance(total, Tensor)
    return total


def synchronize_batch_norm(module: nn.Module) -> None:
    """Make every `BatchNorm2d` in a module a `SynchronizedBatchNorm2d`; weights and names stay."""
    for part in module.modules():
        if type(part) is nn.BatchNorm2d:
            part.__class__ = SynchronizedBatchNorm2d
