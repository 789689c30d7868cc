"""The engines that run chunks: this process, or a pool of actors on a Ray cluster."""

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mask2alpha.batch.manifest import Row
from mask2alpha.batch.results import Result
from mask2alpha.batch.worker import Worker, WorkerSettings, build_predictor, is_device_lost
from mask2alpha.errors import InputError
from mask2alpha.extras import import_extra
from mask2alpha.pipeline.abstract import AbstractPredictor

MakePredictor = Callable[[WorkerSettings], AbstractPredictor]
Chunk = tuple[Row, ...]
_OBJECT_STORE_BYTES = 200_000_000
"""Object store of a cluster that is started for a batch; only rows of the manifest go through it, not images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayPool:
    """The Ray cluster and the number of actors."""

    address: str = "local"
    """`local` starts a cluster on this machine for this batch; `auto` or HOST:PORT joins one."""
    min_workers: int = 1
    max_workers: int | None = None
    """Largest number of actors; None: as many as fit on the cluster."""
    gpus_per_worker: float = 0.0
    """GPUs of each actor; below 1, several actors share one."""


def run_here(
    chunks: Sequence[Chunk], settings: WorkerSettings, make_predictor: MakePredictor = build_predictor
) -> Iterator[Result]:
    """Run the chunks one after another in this process."""
    worker = Worker(settings, make_predictor)
    for chunk in chunks:
        yield from worker.run(chunk)


def run_on_ray(
    chunks: Sequence[Chunk],
    settings: WorkerSettings,
    pool: RayPool,
    make_predictor: MakePredictor = build_predictor,
) -> Iterator[Result]:
    """Run the chunks on Ray Data's pool of actors, in no particular order.

    An actor that dies is restarted and its chunk given to another, without limit: `Worker` sets aside photos on which
    workers die.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    ray, data = (import_extra(name, extra="batch", purpose="a batch on Ray") for name in ("ray", "ray.data"))
    settings = replace(settings, threads=settings.threads or 1)
    _join(pool, settings.threads or 1)
    try:
        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        # one chunk per block: actors are given blocks
        source = data.from_items([{"rows": json.dumps(chunk)} for chunk in chunks], override_num_blocks=len(chunks))
        done = source.map(
            _Actor,
            fn_constructor_args=(settings, make_predictor),
            compute=data.ActorPoolStrategy(
                min_size=pool.min_workers, max_size=pool.max_workers, max_tasks_in_flight_per_actor=2
            ),
            num_cpus=settings.threads,
            num_gpus=pool.gpus_per_worker,
        )
        for line in done.iter_rows():
            yield from (Result(*values) for values in json.loads(line["results"]))
    finally:
        ray.shutdown()


class _Actor:
    """A worker for Ray Data: takes a line with a chunk, returns a line with its results, both as JSON."""

    def __init__(self, settings: WorkerSettings, make_predictor: MakePredictor) -> None:
        self.worker = Worker(settings, make_predictor)

    def __call__(self, line: dict[str, Any]) -> dict[str, str]:
        try:
            results = list(self.worker.run([Row(*values) for values in json.loads(line["rows"])]))
        except RuntimeError as error:
            if is_device_lost(error):
                os._exit(1)  # Ray starts another actor, which has a sound GPU context
            raise
        return {"results": json.dumps(results)}


def _join(pool: RayPool, threads: int) -> None:
    """Start a Ray cluster on this machine, or join one."""
    import ray

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if pool.address != "local":
        try:
            ray.init(address=pool.address, **quiet)
        except ConnectionError as error:
            raise InputError(f"there is no Ray cluster at {pool.address!r}: {error}") from error
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local",
        num_cpus=None if pool.max_workers is None else pool.max_workers * threads,
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        **quiet,
    )
