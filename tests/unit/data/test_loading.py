import itertools
import multiprocessing
import os
import signal
from fractions import Fraction

import numpy as np
import pytest
import torch

from mask2alpha.data.cutout import Cutout
from mask2alpha.data.loading import SampleStream, TrainingBatch, make_loader, make_sample
from mask2alpha.data.sources import PhotoPool, Pool, Sources
from mask2alpha.errors import InputError
from mask2alpha.ops.working_size import shrink_alpha


@pytest.fixture(scope="module")
def sources() -> Sources:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:80, :80]
    alpha = np.clip(255 * (30 - np.hypot(rows - 40, columns - 40)) / 5, 0, 255).astype(np.uint8)
    cutout = Cutout(rng.integers(0, 255, (80, 80, 3)).astype(np.uint8), alpha)
    photo = rng.integers(0, 255, (100, 100, 3)).astype(np.uint8)
    return Sources(Pool([cutout]), PhotoPool([photo]), procedural_share=0.1)


def make_stream(
    sources: Sources, *, batch_size: int = 2, start_index: int = 0, rank: int = 0, world_size: int = 1
) -> SampleStream:
    return SampleStream(
        sources=sources, size=64, batch_size=batch_size, masks_per_image=2, seed=7,
        start_index=start_index, rank=rank, world_size=world_size,
    )  # fmt: skip


def take(sources: Sources, count: int, num_workers: int = 0, start_index: int = 0) -> list[TrainingBatch]:
    return list(
        itertools.islice(make_loader(make_stream(sources, start_index=start_index), num_workers=num_workers), count)
    )


def assert_equal(first: TrainingBatch, second: TrainingBatch) -> None:
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.true_alpha, second.true_alpha)
    assert torch.equal(first.mask, second.mask)


def test_shapes_and_types(sources: Sources) -> None:
    (batch,) = take(sources, 1)
    assert batch.image.shape == (2, 3, 64, 64)
    assert batch.true_alpha.shape == batch.mask.shape == (2, 2, 64, 64)
    assert batch.image.dtype == batch.true_alpha.dtype == batch.mask.dtype == torch.uint8
    assert_equal(batch.to("cpu"), batch)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("num_workers", [1, 3])
def test_batches_do_not_depend_on_the_number_of_workers(sources: Sources, num_workers: int) -> None:
    for first, second in zip(take(sources, 5), take(sources, 5, num_workers), strict=True):
        assert_equal(first, second)


def test_a_resumed_stream_goes_on_where_it_stopped(sources: Sources) -> None:
    whole = take(sources, 5)
    for first, second in zip(whole[3:], take(sources, 2, start_index=3 * 2), strict=True):
        assert_equal(first, second)


def test_two_processes_make_the_batch_of_one(sources: Sources) -> None:
    whole = make_stream(sources, batch_size=4).make_batch(1)
    halves = [make_stream(sources, batch_size=2, rank=rank, world_size=2).make_batch(1) for rank in range(2)]
    assert torch.equal(torch.cat([half.image for half in halves]), whole.image)
    assert torch.equal(torch.cat([half.mask for half in halves]), whole.mask)


@pytest.mark.parametrize(("shares", "side"), [((1.0, 0.0), 44), ((0.0, 1.0), 32)])
def test_batches_may_be_small_composites_enlarged(sources: Sources, shares: tuple[float, float], side: int) -> None:
    stream = SampleStream(sources=sources, size=64, batch_size=2, seed=7, enlarged_shares=shares)
    batch = stream.make_batch(0)
    image, alphas, _ = make_sample(sources, side, 2, seed=7, index=0)
    assert batch.image.shape == (2, 3, 64, 64)
    assert batch.true_alpha.shape == batch.mask.shape == (2, 2, 64, 64)
    assert batch.image.dtype == batch.true_alpha.dtype == batch.mask.dtype == torch.uint8
    factor = Fraction(3, 2) if side == 44 else Fraction(2)
    kept = int(64 / factor) // 2 * 2 - 2  # what the crop leaves whole
    shrunk = shrink_alpha(batch.true_alpha[0].float().unsqueeze(1), factor, (kept, kept))[:, 0]
    assert (shrunk - torch.from_numpy(alphas)[:, :kept, :kept].float()).abs().mean() < 2
    assert abs(batch.image[0].float().mean().item() - image.mean()) < 5


def test_shares_of_enlarged_batches_are_drawn(sources: Sources) -> None:
    stream = SampleStream(sources=sources, size=64, batch_size=2, seed=7, enlarged_shares=(0.5, 0.2))
    drawn = [stream._draw_factor(first) for first in range(0, 600, 2)]
    assert drawn.count(Fraction(3, 2)) == pytest.approx(150, abs=35)
    assert drawn.count(Fraction(2)) == pytest.approx(60, abs=25)


def test_seeds_differ(sources: Sources) -> None:
    first = SampleStream(sources=sources, size=64, batch_size=1, seed=0).make_batch(0)
    second = SampleStream(sources=sources, size=64, batch_size=1, seed=1).make_batch(0)
    assert not torch.equal(first.image, second.image)


def test_wrong_numbers_are_named(sources: Sources) -> None:
    with pytest.raises(InputError, match="batch_size"):
        SampleStream(sources=sources, size=64, batch_size=0)
    with pytest.raises(InputError, match="rank"):
        SampleStream(sources=sources, size=64, batch_size=1, rank=2, world_size=2)


def test_ctrl_c_does_not_end_the_workers(sources: Sources) -> None:
    others = set(multiprocessing.active_children())
    batches = iter(make_loader(make_stream(sources), num_workers=1))
    next(batches)
    (worker,) = set(multiprocessing.active_children()) - others
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGINT)
    for _ in range(5):
        assert next(batches).image.shape == (2, 3, 64, 64)
    assert worker.is_alive()
