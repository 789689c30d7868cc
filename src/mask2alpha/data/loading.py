"""Endless, reproducible training batches: sample i depends only on the seed and on i.

A run therefore gives the same batches with any number of workers, and may be resumed at any sample.
"""

import math
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mask2alpha.data.augmentation import augment_image
from mask2alpha.data.composition import compose
from mask2alpha.data.mask_perturbation import perturb_mask
from mask2alpha.data.sources import Sources
from mask2alpha.errors import InputError
from mask2alpha.ops.units import as_unit, to_uint8
from mask2alpha.ops.working_size import LARGE, MEDIUM, NONE, enlarge_alpha, enlarge_image, enlarge_mask


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Composites, and for each some targets with their true alphas and rough masks; all uint8."""

    image: UInt8[Tensor, "batch 3 size size"]
    """RGB, 0 to 255."""
    true_alpha: UInt8[Tensor, "batch masks size size"]
    """0 to 255."""
    mask: UInt8[Tensor, "batch masks size size"]
    """Guidance, 0 to 255, mostly 0 and 255."""

    def enlarge(self, factor: Fraction, size: int) -> "TrainingBatch":
        """The upper left `size` x `size` pixels of the batch as inference enlarges small photos."""
        masks = self.mask.flatten(0, 1).unsqueeze(1)
        alphas = self.true_alpha.flatten(0, 1).unsqueeze(1)
        large = enlarge_image(self.image, factor), enlarge_alpha(as_unit(alphas), factor), enlarge_mask(masks, factor)
        image, alpha, mask = (
            (part if part.dtype == torch.uint8 else to_uint8(part))[:, :, :size, :size].contiguous() for part in large
        )
        shape = (*self.mask.shape[:2], size, size)
        return TrainingBatch(image, alpha.reshape(shape), mask.reshape(shape))

    def pin_memory(self) -> "TrainingBatch":
        """Copy the batch to page-locked memory; the loader calls this when asked to pin."""
        return TrainingBatch(self.image.pin_memory(), self.true_alpha.pin_memory(), self.mask.pin_memory())

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "TrainingBatch":
        """Copy the batch to a device."""
        tensors = (self.image, self.true_alpha, self.mask)
        return TrainingBatch(*(tensor.to(device, non_blocking=non_blocking) for tensor in tensors))


def make_sample(
    sources: Sources, size: int, masks_per_image: int, seed: int, index: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Make training sample number `index` of a seed.

    Returns:
        image (size, size, 3), true alphas (masks, size, size) and masks (masks, size, size), all uint8.
    """
    rng = np.random.default_rng([seed, index])
    composite = compose(rng, sources, size, masks_per_image)
    image = augment_image(rng, composite.image)
    masks = np.empty_like(composite.alphas)
    for number, alpha in enumerate(composite.alphas):
        others = [other for other in composite.alphas if not np.array_equal(other, alpha)]
        masks[number] = perturb_mask(rng, alpha, neighbour=others[0] if others else None, image=image)
    return image, composite.alphas, masks


@dataclass(kw_only=True, eq=False)
class SampleStream(IterableDataset[TrainingBatch]):
    """An endless stream of batches, divided among loader workers and training processes.

    Raises:
        InputError: A number is out of range; names it.
    """

    sources: Sources
    """Foregrounds and backgrounds."""
    size: int
    """Side of the composites, in pixels."""
    batch_size: int
    """Composites per batch of this process."""
    masks_per_image: int = 2
    """Targets (and masks) per composite, K."""
    enlarged_shares: tuple[float, float] = (0.0, 0.0)
    """Shares of the batches whose composites are smaller, for enlarging by 3/2 and by 2 to `size`."""
    seed: int = 0
    """Another seed gives another stream."""
    start_index: int = 0
    """Number of the first sample, counted over all processes; a run that has seen n batches of `batch_size` in each of
    `world_size` processes resumes at n * batch_size * world_size."""
    rank: int = 0
    """Which process this is, from 0."""
    world_size: int = 1
    """How many processes share the stream."""

    def __post_init__(self) -> None:
        least = {"size": 16, "batch_size": 1, "masks_per_image": 1, "seed": 0, "start_index": 0, "rank": 0}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise InputError(f"{name} is {getattr(self, name)}; expected at least {smallest}")
        if self.rank >= self.world_size:
            raise InputError(f"rank is {self.rank}; expected less than world_size, {self.world_size}")

    def __iter__(self) -> Iterator[TrainingBatch]:
        """Yield this worker's batches; the loader takes them from the workers in turn, so in the stream's order."""
        worker = get_worker_info()
        number, stride = (worker.id, worker.num_workers) if worker is not None else (0, 1)
        while True:
            yield self.make_batch(number)
            number += stride

    def make_batch(self, number: int) -> TrainingBatch:
        """Make this process's batch number `number`, counted from the start index."""
        first = self.start_index + (number * self.world_size + self.rank) * self.batch_size
        indices = range(first, first + self.batch_size)
        factor = self._draw_factor(first)
        size = self.size if factor == NONE else 2 * math.ceil(self.size / factor / 2)  # 3/2 needs even sides
        samples = [make_sample(self.sources, size, self.masks_per_image, self.seed, index) for index in indices]
        images, alphas, masks = zip(*samples, strict=True)
        batch = TrainingBatch(
            image=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
            true_alpha=torch.from_numpy(np.stack(alphas)),
            mask=torch.from_numpy(np.stack(masks)),
        )
        return batch if factor == NONE else batch.enlarge(factor, self.size)

    def _draw_factor(self, first: int) -> Fraction:
        """By how much the batch that begins with sample `first` is enlarged."""
        draw = np.random.default_rng([self.seed, first, 1]).random()
        medium, large = self.enlarged_shares
        return LARGE if draw < large else MEDIUM if draw < large + medium else NONE


def make_loader(
    stream: SampleStream, *, num_workers: int = 0, has_pinned_memory: bool = False
) -> DataLoader[TrainingBatch]:
    """Make a loader of the stream's batches.

    Args:
        stream: What to load.
        num_workers: Number of forked processes that make batches; 0 makes them in this process.
        has_pinned_memory: Put batches into page-locked memory for fast copies to a GPU.

    Returns:
        A loader that yields `TrainingBatch` in the stream's order, without end.
    """
    options: dict[str, Any] = {}
    if num_workers:
        options = {
            "num_workers": num_workers,
            "prefetch_factor": 4,  # batches that each worker keeps ready
            "persistent_workers": True,
            "multiprocessing_context": "fork",
            "worker_init_fn": _prepare_worker,
        }
    return DataLoader(stream, batch_size=None, collate_fn=_as_is, pin_memory=has_pinned_memory, **options)


def _as_is(batch: Any) -> Any:
    return batch


def _prepare_worker(worker: int) -> None:
    """Keep a worker to one core (OpenCV's thread pool does not survive a fork), and ignore Ctrl-C.

    Ctrl-C reaches all processes; a training that ends with a checkpoint needs its workers until then.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
