import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mask2alpha.serving.jobs import EncodeJob, JobResult
from mask2alpha.serving.pool import WorkerPool, WorkerStartError
from mask2alpha.serving.problems import ProblemError
from mask2alpha.serving.worker import WorkerSettings

STUB = (sys.executable, str(Path(__file__).parents[2] / "stub_worker.py"))
SETTINGS = WorkerSettings(
    model="tiny", device=None, dtype=None, threads=1, worker_memory=1, worker_cache=0, max_pixels=1, max_body=1
)


@asynccontextmanager
async def running(**choices: Any) -> AsyncIterator[WorkerPool]:
    defaults = {"workers": 1, "queue": 8, "deadline": 10.0, "time_limit": 10.0, "command": STUB}
    pool = WorkerPool(choices.pop("settings", SETTINGS), **{**defaults, **choices})
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(), 20)

    asyncio.run(limited())


def job(folder: Path, wish: str, *, key: str | None = None) -> EncodeJob:
    photo = folder / f"{wish}-{time.monotonic_ns()}" / "photo"
    photo.parent.mkdir()
    photo.write_text(wish)
    return EncodeJob(photo=photo, key=key)


async def do(pool: WorkerPool, wish: EncodeJob) -> JobResult:
    return await pool.wait(pool.submit(wish))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_jobs_are_done(tmp_path: Path) -> None:
    async def test() -> None:
        async with running() as pool:
            assert pool.about["steps"] == 2
            results = await asyncio.gather(*(do(pool, job(tmp_path, "matte")) for _ in range(8)))
            assert [result.width for result in results] == [30] * 8
            assert pool.num_waiting == 0

    run(test)


def test_a_refusal_ends_only_its_own_job(tmp_path: Path) -> None:
    async def test() -> None:
        async with running() as pool:
            with pytest.raises(ProblemError, match="not a picture"):
                await do(pool, job(tmp_path, "refuse"))
            assert (await do(pool, job(tmp_path, "matte"))).width == 30

    run(test)


def test_a_full_queue_is_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(queue=1) as pool:
            first = pool.submit(job(tmp_path, "sleep 0.2"))
            await until(lambda: first.started is not None)
            second = pool.submit(job(tmp_path, "matte"))
            assert pool.num_ahead(second) == 0
            with pytest.raises(ProblemError) as refusal:
                pool.submit(job(tmp_path, "matte"))
            assert refusal.value.status_code == 429
            assert refusal.value.retry_after is not None
            assert refusal.value.retry_after >= 1
            await asyncio.gather(pool.wait(first), pool.wait(second))

    run(test)


def test_a_killed_worker_is_replaced_and_its_job_done_by_another(tmp_path: Path) -> None:
    deaths = []

    async def test() -> None:
        async with running(on_death=lambda: deaths.append(1)) as pool:
            others = [pool.submit(job(tmp_path, "matte")) for _ in range(3)]
            assert (await do(pool, job(tmp_path, "die once"))).width == 30
            await asyncio.gather(*(pool.wait(other) for other in others))

    run(test)
    assert len(deaths) == 1


def test_a_picture_that_kills_two_workers_is_given_up(tmp_path: Path) -> None:
    async def test() -> None:
        async with running() as pool:
            with pytest.raises(ProblemError) as problem:
                await do(pool, job(tmp_path, "die"))
            assert problem.value.kind == "worker-died"
            assert (await do(pool, job(tmp_path, "matte"))).width == 30

    run(test)


def test_an_idle_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    async def test() -> None:
        async with running() as pool:
            (pid,) = pool.worker_pids
            os.kill(pid, signal.SIGKILL)
            await until(lambda: pool.worker_pids not in ([pid], []))
            assert (await do(pool, job(tmp_path, "matte"))).width == 30

    run(test)


def test_a_job_beyond_the_time_limit_is_stopped_with_its_worker(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(time_limit=0.3) as pool:
            (pid,) = pool.worker_pids
            with pytest.raises(ProblemError) as problem:
                await do(pool, job(tmp_path, "sleep 30"))
            assert problem.value.status_code == 503
            assert (await do(pool, job(tmp_path, "matte"))).width == 30
            assert pool.worker_pids != [pid]

    run(test)


def test_a_job_that_waits_beyond_the_deadline_is_dropped_and_the_worker_lives(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(deadline=0.3) as pool:
            pids = pool.worker_pids
            first = pool.submit(job(tmp_path, "sleep 0.6"))
            second = pool.submit(job(tmp_path, "matte"))
            with pytest.raises(ProblemError) as problem:
                await pool.wait(second)
            assert (problem.value.kind, second.started) == ("deadline", None)
            with pytest.raises(ProblemError):
                await pool.wait(first)
            assert (pool.num_waiting, pool.worker_pids) == (0, pids)

    run(test)


def test_a_cancelled_job_is_not_begun(tmp_path: Path) -> None:
    async def test() -> None:
        async with running() as pool:
            first = pool.submit(job(tmp_path, "sleep 0.2"))
            second = pool.submit(job(tmp_path, "matte"))
            pool.cancel(second)
            await pool.wait(first)
            assert (await do(pool, job(tmp_path, "matte"))).width == 30
            assert second.started is None

    run(test)


def test_progress_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with running() as pool:
            ticket = pool.submit(job(tmp_path, "sleep 0.2"))
            await until(lambda: ticket.stage == "matting")
            assert ticket.done == 0.5
            await pool.wait(ticket)

    run(test)


def test_a_photograph_goes_to_the_worker_that_knows_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(workers=2) as pool:
            await do(pool, job(tmp_path, "matte", key="cat"))
            (owner,) = [worker for worker in pool._workers if "cat" in worker.known]
            for _ in range(3):
                await do(pool, job(tmp_path, "matte"))
                await do(pool, job(tmp_path, "matte", key="cat"))
            assert [worker for worker in pool._workers if "cat" in worker.known] == [owner]

    run(test)


def test_workers_are_told_to_forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_FORGOTTEN", str(tmp_path / "forgotten"))

    async def test() -> None:
        async with running() as pool:
            await do(pool, job(tmp_path, "matte", key="cat"))
            pool.forget("cat")
            await do(pool, job(tmp_path, "matte"))

    run(test)
    assert (tmp_path / "forgotten").read_text() == "cat"


def test_a_model_that_cannot_be_loaded_is_told() -> None:
    async def test() -> None:
        with pytest.raises(WorkerStartError, match="neither a shipped name"):
            async with running(settings=SETTINGS.model_copy(update={"model": "missing"})):
                pass

    run(test)


def test_a_worker_that_cannot_even_start_is_told() -> None:
    async def test() -> None:
        with pytest.raises(WorkerStartError, match="exit status 3"):
            async with running(command=(sys.executable, "-c", "raise SystemExit(3)")):
                pass

    run(test)


def test_stopping_ends_every_worker(tmp_path: Path) -> None:
    pids: list[int] = []

    async def test() -> None:
        async with running(workers=2) as pool:
            pids.extend(pool.worker_pids)

    run(test)
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
