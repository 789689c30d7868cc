"""A worker: a process that holds the model and runs the jobs of the front process, one at a time.

It reads JSON lines from standard input: its settings, then jobs. To standard output it writes `{"ready": …}` once, and
for each job any number of `{"stage": …, "done": …}` and one `{"result": …}` or `{"problem": …}`. Nothing is pickled, so
a worker that a hostile upload has taken over cannot run code in the front process. It ends when its input ends.
"""

import gc
import json
import os
import platform
import signal
import sys
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter

from mask2alpha.errors import Mask2AlphaError
from mask2alpha.serving.jobs import Job, JobProblem
from mask2alpha.serving.problems import ProblemError

if TYPE_CHECKING:
    from mask2alpha.pipeline.predictor import Predictor

MAX_WRITTEN_BYTES = 2**31
"""Size limit of one file that a worker writes."""
_FORBIDDEN_EVENTS = (
    "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "os.fork",
    "os.posix_spawn", "os.spawn",
)  # fmt: skip


class WorkerSettings(BaseModel):
    """The first line that a worker reads; fields as in `ServiceSettings`."""

    model: str
    device: str | None
    dtype: str | None
    threads: int
    worker_memory: int
    """Bytes beyond what the loaded model takes."""
    worker_cache: int
    """Bytes of cached encodings and mattes."""
    max_pixels: int
    max_body: int


def main() -> None:
    """Read settings and jobs from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the front process ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print goes to standard error, apart from the answers
    settings = WorkerSettings.model_validate_json(sys.stdin.buffer.readline())
    try:
        runner = _make_runner(settings)
    except Mask2AlphaError as error:
        send(answers, {"problem": {"kind": "starting", "detail": str(error)}})
        sys.exit(1)
    predictor = runner.predictor
    limit_resources(settings.worker_memory, has_gpu=predictor.device.type != "cpu")
    sys.addaudithook(_refuse)
    config = predictor.model.config
    ready = {
        "device": str(predictor.device),
        "dtype": str(predictor.dtype).removeprefix("torch."),
        "trust": predictor.trust,
        "steps": config.decoder.num_steps,
        "error_threshold": config.detail.error_threshold,
        "selects": int(config.encoder.kind == "backbone"),
    }
    send(answers, {"ready": ready})
    jobs: TypeAdapter[Any] = TypeAdapter(Job)
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "forget" in message:
            runner.forget(message["forget"])
            continue
        try:
            result = runner.run(
                jobs.validate_python(message["job"]),
                lambda stage, done: send(answers, {"stage": stage, "done": round(done, 3)}),
            )
            send(answers, {"result": result.model_dump(mode="json")})
        except ProblemError as error:
            problem = JobProblem(kind=error.kind, detail=error.detail)
            send(answers, {"problem": problem.model_dump()})
        except Exception:
            detail = "An unexpected error stopped the job; the log of the service has the details."
            problem = JobProblem(kind="internal", detail=detail, traceback=traceback.format_exc())
            send(answers, {"problem": problem.model_dump()})
        else:
            continue
        gc.collect()  # an error keeps its images alive in a reference cycle


def limit_resources(memory: int, *, has_gpu: bool, max_written: int = MAX_WRITTEN_BYTES) -> None:
    """Limit the memory, the size of files and the core dumps of this process from now on. Linux only.

    Args:
        memory: Bytes of address space beyond what the process has now.
        has_gpu: Limit writable memory instead, because CUDA reserves far more addresses than it uses.
        max_written: Bytes of one file.
    """
    if platform.system() != "Linux":
        return  # the front process warns when it starts
    import resource  # Windows has none

    kind, field = (resource.RLIMIT_DATA, "VmData") if has_gpu else (resource.RLIMIT_AS, "VmSize")
    status = Path("/proc/self/status").read_text(encoding="ascii")
    current = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{field}:"))
    bounds = {kind: current + memory, resource.RLIMIT_FSIZE: max_written, resource.RLIMIT_CORE: 0}
    for limit, value in bounds.items():
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))


def load_predictor(settings: WorkerSettings) -> "Predictor":
    """Load the model that a worker mattes with.

    Raises:
        Mask2AlphaError: It cannot be loaded.
    """
    import cv2
    import torch

    from mask2alpha.checkpoints import load_model
    from mask2alpha.pipeline.predictor import Predictor

    torch.set_num_threads(settings.threads)
    cv2.setNumThreads(settings.threads)
    return Predictor(
        load_model(settings.model),
        device=settings.device,
        dtype=getattr(torch, settings.dtype) if settings.dtype else None,
    )


def _make_runner(settings: WorkerSettings) -> Any:
    from mask2alpha.serving.job_runner import JobRunner

    limits = {"max_pixels": settings.max_pixels, "max_bytes": settings.max_body}
    return JobRunner(load_predictor(settings), cache_bytes=settings.worker_cache, **limits)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse network access and other programs (an audit hook)."""
    if event in _FORBIDDEN_EVENTS:
        raise PermissionError(f"a worker may not do this: {event}")


def send(answers: IO[bytes], message: dict[str, Any]) -> None:
    """Write a message as a line."""
    data = memoryview(json.dumps(message).encode() + b"\n")
    while data:
        data = data[answers.write(data) :]


if __name__ == "__main__":
    main()
