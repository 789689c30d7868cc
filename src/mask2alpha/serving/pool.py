"""The pool of worker processes: a bounded queue, deadlines, and a replacement for each worker that dies."""

import asyncio
import contextlib
import json
import logging
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mask2alpha.errors import Mask2AlphaError
from mask2alpha.serving.jobs import Answer, Job, JobResult
from mask2alpha.serving.problems import ProblemError
from mask2alpha.serving.worker import WorkerSettings

COMMAND = (sys.executable, "-m", "mask2alpha.serving.worker")
START_SECONDS = 180.0
"""Time limit for a worker to load its model."""
LONGEST_PAUSE = 30.0
"""Longest pause, in seconds, between attempts to start a worker."""
MAX_ATTEMPTS = 2
"""Number of workers that may die on one job; then the photo is taken to be the reason."""
_LINE_BYTES = 2**20
logger = logging.getLogger(__name__)


async def start_process(command: Sequence[str], *, is_leader: bool = False) -> asyncio.subprocess.Process:
    """Start a process that works for the service, with pipes for its input and output.

    Args:
        command: Command line.
        is_leader: Whether it leads a session of its own, so that it can be ended with the programs that it starts.
    """
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "MALLOC_ARENA_MAX": "2"},
        start_new_session=is_leader,
    )


class WorkerStartError(Mask2AlphaError):
    """A worker could not load its model; the message says why."""


class _WorkerDiedError(Exception):
    """A worker process ended or had to be killed."""


@dataclass(eq=False, kw_only=True)
class Ticket:
    """A job in the pool, with its times and its progress."""

    job: Job
    result: "asyncio.Future[JobResult]"
    submitted: float = field(default_factory=time.monotonic)
    started: float | None = None
    finished: float | None = None
    attempts: int = 0
    stage: str = "reading"
    done: float = 0.0
    """Share of the work, in [0, 1]."""


@dataclass(eq=False, kw_only=True)
class _Worker:
    process: asyncio.subprocess.Process
    inbox: "asyncio.Future[Ticket] | None" = None
    """The next job of an idle worker; None while it is busy."""
    known: set[str] = field(default_factory=set)
    """Keys of the photos that it may have cached."""

    async def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            await self.process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _WorkerDiedError("ended before it took a job") from error

    async def receive(self) -> Answer:
        assert self.process.stdout is not None
        try:
            line = await self.process.stdout.readline()
            if not line.endswith(b"\n"):
                raise _WorkerDiedError("ended")
            return Answer.model_validate_json(line)
        except (ValueError, ConnectionResetError) as error:
            raise _WorkerDiedError("sent an invalid answer") from error

    async def end(self, *, patience: float = 0.0) -> int:
        """Kill the process unless it ends within `patience` seconds; return its exit status."""
        try:
            return await asyncio.wait_for(self.process.wait(), patience)
        except TimeoutError:
            self.process.kill()
        return await self.process.wait()


class WorkerPool:
    """Hands the oldest job to an idle worker, if possible to one that has cached the photo."""

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        workers: int,
        queue: int,
        deadline: float,
        time_limit: float,
        command: Sequence[str] = COMMAND,
        on_job: Callable[[str, str, float], None] = lambda kind, outcome, seconds: None,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        """Describe the pool; `start` starts it.

        Args:
            settings: Settings of every worker.
            workers: Number of processes.
            queue: Number of jobs that may wait.
            deadline: Seconds from submission to the result.
            time_limit: Seconds that a worker may spend on one job; then it is killed.
            command: Command line of a worker.
            on_job: Called with kind, outcome and seconds of work of each job.
            on_death: Called for each worker that died.
        """
        self.about: dict[str, Any] = {}
        """Device, dtype and defaults of the model, as reported by a worker."""
        self._settings = settings
        self._num_workers = workers
        self._queue = queue
        self._deadline = deadline
        self._time_limit = time_limit
        self._command = command
        self._on_job = on_job
        self._on_death = on_death
        self._waiting: deque[Ticket] = deque()
        self._workers: list[_Worker] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._seconds = 1.0
        """Mean time of recent jobs."""
        self._is_stopping = False

    @property
    def num_waiting(self) -> int:
        """Number of jobs that wait for a worker."""
        return len(self._waiting)

    @property
    def num_ready(self) -> int:
        """Number of workers that have loaded their model."""
        return len(self._workers)

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the ready workers."""
        return [worker.process.pid for worker in self._workers]

    async def start(self) -> None:
        """Start all workers and wait until they have loaded their models.

        Raises:
            WorkerStartError: A worker could not load its model.
        """
        starts = [asyncio.ensure_future(self._start_worker()) for _ in range(self._num_workers)]
        done = await asyncio.gather(*starts, return_exceptions=True)
        started = [worker for worker in done if isinstance(worker, _Worker)]
        for failure in done:
            if isinstance(failure, BaseException):
                for worker in started:
                    await worker.end()
                raise failure
        self._keepers = [asyncio.ensure_future(self._keep(worker)) for worker in started]

    async def stop(self) -> None:
        """End all workers; jobs that still wait fail with the message that the service stops."""
        self._is_stopping = True
        for ticket in self._waiting:
            self._fail(ticket, "starting", "The service is stopping.")
        self._waiting.clear()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for worker in self._workers:
            await worker.end()

    def check_room(self) -> None:
        """Raise the problem that `submit` would raise now if the queue is full."""
        if not self._idle() and len(self._waiting) >= self._queue:
            raise ProblemError(
                "queue-full",
                "The service is busy and its queue is full; try again in a moment.",
                retry_after=self.retry_after(),
            )

    def retry_after(self) -> int:
        """Seconds after which to try again: the time for about half of the queue, from 1 to 60."""
        return min(60, max(1, math.ceil(self._seconds * (len(self._waiting) + 1) / self._num_workers / 2)))

    def submit(self, job: Job) -> Ticket:
        """Queue a job.

        Raises:
            ProblemError: The queue is full, or the pool is stopping.
        """
        if self._is_stopping:
            raise ProblemError("starting", "The service is stopping.", retry_after=10)
        self.check_room()
        ticket = Ticket(job=job, result=asyncio.get_running_loop().create_future())
        self._hand_out(ticket)
        return ticket

    async def wait(self, ticket: Ticket) -> JobResult:
        """Wait for the result of a job.

        Raises:
            ProblemError: The worker refused the job, the deadline passed, or workers died on it.
        """
        remaining = ticket.submitted + self._deadline - time.monotonic()
        try:
            return await asyncio.wait_for(asyncio.shield(ticket.result), max(0.0, remaining))
        except TimeoutError:
            self.cancel(ticket)
            raise ProblemError(
                "deadline",
                f"There was no result within {self._deadline:g} seconds; try again later or with a smaller photo.",
                retry_after=self.retry_after(),
            ) from None

    def cancel(self, ticket: Ticket) -> None:
        """Drop a job that waits. One that has started goes on, and its result is dropped."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
        ticket.result.cancel()

    def num_ahead(self, ticket: Ticket) -> int:
        """Number of waiting jobs before this one."""
        return self._waiting.index(ticket) if ticket in self._waiting else 0

    def resident_bytes(self) -> int:
        """Resident memory of the workers in bytes; 0 on other systems than Linux."""
        pages = 0
        for pid in self.worker_pids:
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages and pages * os.sysconf("SC_PAGE_SIZE")

    def forget(self, key: str) -> None:
        """Let the workers drop what they cached of a photo."""
        for worker in self._workers:
            if key in worker.known and worker.process.stdin is not None and not worker.process.stdin.is_closing():
                worker.known.discard(key)
                worker.process.stdin.write(json.dumps({"forget": key}).encode() + b"\n")

    async def _start_worker(self) -> _Worker:
        worker = _Worker(process=await start_process(self._command))
        try:
            await worker.send(self._settings.model_dump(mode="json"))
            answer = await asyncio.wait_for(worker.receive(), START_SECONDS)
        except (TimeoutError, _WorkerDiedError) as error:
            status = await worker.end(patience=0.5)
            raise WorkerStartError(f"a worker did not start (exit status {status}): {error}") from error
        except asyncio.CancelledError:
            await worker.end()
            raise
        if answer.ready is None:
            await worker.end(patience=0.5)
            raise WorkerStartError(answer.problem.detail if answer.problem else "a worker sent an invalid answer")
        self.about = answer.ready
        self._workers.append(worker)
        return worker

    async def _keep(self, worker: _Worker) -> None:
        """Serve with a worker, and with a new one whenever it dies, until cancelled."""
        while True:
            try:
                await self._serve(worker)
            except _WorkerDiedError as death:
                self._workers.remove(worker)
                status = await worker.end(patience=0.5)
                self._on_death()
                logger.warning("a worker died", extra={"reason": str(death), "exit_status": status})
            worker = await self._replace()

    async def _replace(self) -> _Worker:
        """Start a new worker; try again until it succeeds."""
        pause = 0.5
        while True:
            try:
                return await self._start_worker()
            except WorkerStartError as error:
                logger.error("no new worker", extra={"reason": str(error)})
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _serve(self, worker: _Worker) -> None:
        """Give a worker one job after another until it dies."""
        death = asyncio.ensure_future(worker.process.wait())
        try:
            while True:
                ticket = self._waiting.popleft() if self._waiting else await self._next(worker, death)
                if not ticket.result.done():
                    await self._do(worker, ticket)
        finally:
            death.cancel()

    async def _next(self, worker: _Worker, death: "asyncio.Future[int]") -> Ticket:
        """Wait for a job while the worker is idle."""
        inbox: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        worker.inbox = inbox
        await asyncio.wait((inbox, death), return_when=asyncio.FIRST_COMPLETED)
        worker.inbox = None
        if not inbox.done():
            raise _WorkerDiedError("ended while idle")
        return inbox.result()

    def _idle(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.inbox is not None and not worker.inbox.done()]

    def _hand_out(self, ticket: Ticket, *, is_first: bool = False) -> None:
        """Give a job to an idle worker, or put it into the queue."""
        if idle := self._idle():
            best = next((worker for worker in idle if ticket.job.key in worker.known), idle[0])
            assert best.inbox is not None
            best.inbox.set_result(ticket)
        elif is_first:
            self._waiting.appendleft(ticket)
        else:
            self._waiting.append(ticket)

    async def _do(self, worker: _Worker, ticket: Ticket) -> None:
        ticket.started = start = time.monotonic()
        ticket.attempts += 1
        if ticket.job.key:
            worker.known.add(ticket.job.key)
        outcome = "died"
        try:
            outcome = await asyncio.wait_for(self._converse(worker, ticket), self._time_limit)
        except TimeoutError:
            outcome = "time-limit"
            self._fail(ticket, "deadline", f"The work took more than {self._time_limit:g} seconds and was stopped.")
            raise _WorkerDiedError(f"killed after {self._time_limit:g} seconds of one job") from None
        except _WorkerDiedError:
            if ticket.attempts < MAX_ATTEMPTS and not ticket.result.done():
                ticket.started = None
                self._hand_out(ticket, is_first=True)
            else:
                self._fail(ticket, "worker-died", "Two worker processes died on this photo, one after the other.")
            raise
        finally:
            seconds = time.monotonic() - start
            self._on_job(ticket.job.kind, outcome, seconds)
            if outcome == "done":
                self._seconds += 0.1 * (seconds - self._seconds)

    async def _converse(self, worker: _Worker, ticket: Ticket) -> str:
        """Send a job to a worker, follow its progress and set its result; return the name of the outcome."""
        await worker.send({"job": ticket.job.model_dump(mode="json")})
        while True:
            answer = await worker.receive()
            if answer.stage is not None:
                ticket.stage, ticket.done = answer.stage, answer.done
            elif answer.result is not None:
                ticket.finished = time.monotonic()
                if not ticket.result.done():
                    ticket.result.set_result(answer.result)
                return "done"
            elif answer.problem is not None:
                if answer.problem.traceback:
                    logger.error("a job failed", extra={"traceback": answer.problem.traceback})
                self._fail(ticket, answer.problem.kind, answer.problem.detail)
                return "refused"

    @staticmethod
    def _fail(ticket: Ticket, kind: str, detail: str) -> None:
        if not ticket.result.done():
            ticket.result.set_exception(ProblemError(kind, detail))
