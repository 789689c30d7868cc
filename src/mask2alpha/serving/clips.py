"""The clips that the service keeps. Each job of a clip has a process of its own; one clip is worked on at a time."""

import asyncio
import contextlib
import hmac
import importlib.util
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Literal

from mask2alpha.serving.jobs import ClipInfo, ClipJob, ClipReport, ExportClipJob, MatteClipJob, ReadClipJob
from mask2alpha.serving.pool import start_process
from mask2alpha.serving.problems import ProblemError
from mask2alpha.serving.settings import ServiceSettings
from mask2alpha.serving.uploads import hash_token, new_key
from mask2alpha.serving.worker import WorkerSettings

COMMAND = (sys.executable, "-m", "mask2alpha.serving.clip_worker")
FRAME_DIGITS = 6
"""Of the number of a frame in the names of its files."""
RESULTS = {
    "png": ("result.zip", "application/zip"),
    "webm": ("result.webm", "video/webm"),
    "mov": ("result.mov", "video/quicktime"),
}
"""Format of an export to the name of its file and its media type."""
logger = logging.getLogger(__name__)


@dataclass(eq=False, kw_only=True)
class Clip:
    """One uploaded clip, with its mattes."""

    id: str
    token_hash: bytes
    folder: Path
    info: ClipInfo
    used: float
    """Time of the last use."""
    state: Literal["idle", "waiting", "matting", "exporting"] = "idle"
    num_matted: int = 0
    is_matted: bool = False
    """Whether all frames are."""
    num_exported: int = 0
    exported: str = ""
    """Format of the file that was exported; "": there is none."""
    read_warnings: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Of the last work."""
    problem: ProblemError | None = None
    """Why the last work failed."""
    task: "asyncio.Task[None] | None" = None

    @property
    def upload(self) -> Path:
        """The file of the clip."""
        return self.folder / "clip"

    @property
    def is_busy(self) -> bool:
        """Whether it is worked on, or waits for it."""
        return self.task is not None and not self.task.done()

    def picture(self, number: int) -> Path:
        """A small JPEG of a frame, counted from 1.

        Raises:
            ProblemError: There is no such frame.
        """
        if not 1 <= number <= self.info.frames:
            raise ProblemError("not-found", f"The clip has the frames 1 to {self.info.frames}, not {number}.")
        return self.folder / "shown" / f"{number:0{FRAME_DIGITS}d}.jpg"

    def matte(self, number: int) -> Path:
        """The matte of a frame, a PNG file.

        Raises:
            ProblemError: There is no such frame, or it is not matted yet.
        """
        path = self.folder / "mattes" / "alpha" / f"{self.picture(number).stem}.png"
        if number > self.num_matted:
            raise ProblemError("clip-unfinished", f"Frame {number} is not matted; {self.num_matted} frames are.")
        return path

    def result(self) -> tuple[Path, str]:
        """The file that was exported, and its media type.

        Raises:
            ProblemError: There is none.
        """
        if not self.exported:
            raise self.problem or ProblemError("clip-unfinished", "No export of this clip is finished.")
        name, media_type = RESULTS[self.exported]
        return self.folder / "export" / name, media_type


class ClipStore:
    """Keeps a limited number of clips for a limited time, and works on them."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: ServiceSettings,
        worker: WorkerSettings,
        command: Sequence[str] = COMMAND,
        on_job: Callable[[str, str, float], None] = lambda kind, outcome, seconds: None,
    ) -> None:
        """Start empty.

        Args:
            folder: Folder of the clips.
            settings: Limits.
            worker: Settings of the processes.
            command: Command line of a process.
            on_job: Called with kind, outcome and seconds of each job.
        """
        self.expiry = settings.clip_expiry
        self._folder = folder
        self._settings = settings
        self._worker = worker
        self._command = command
        self._on_job = on_job
        self._clips: dict[str, Clip] = {}
        self._reading = asyncio.Lock()
        self._working = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._clips)

    async def add(self, path: Path) -> tuple[Clip, str]:
        """Read an upload and move it into the store; the least recently used clip that is not busy makes room.

        Args:
            path: The upload; beside it, the pictures of the frames are written.

        Returns:
            The clip, and the owner's token, of which only a hash is stored.

        Raises:
            ProblemError: It is not a clip, or too long; or all clips kept are worked on.
        """
        pictures = path.with_name("shown")
        pictures.mkdir()
        job = ReadClipJob(
            clip=path, folder=pictures, max_bytes=self._settings.clip_space, max_frames=self._settings.clip_frames
        )
        async with self._reading:
            report = await self._converse(job, limit=self._settings.time_limit)
        assert report.info is not None
        while len(self) >= self._settings.clips:
            idle = [clip for clip in self._clips.values() if not clip.is_busy]
            if not idle:
                told = f"All {len(self)} clips that this service keeps are worked on; try again later."
                raise ProblemError("queue-full", told, retry_after=60)
            await self._remove(min(idle, key=lambda clip: clip.used))
        key, token = new_key(), token_urlsafe(24)
        clip = Clip(
            id=key,
            token_hash=hash_token(token),
            folder=self._folder / f"clip-{key}",
            info=report.info,
            used=time.monotonic(),
            read_warnings=report.warnings,
        )
        clip.folder.mkdir()
        path.replace(clip.upload)
        pictures.replace(clip.folder / pictures.name)
        self._clips[key] = clip
        return clip, token

    def get(self, key: str, token: str) -> Clip:
        """Look a clip up and restart its expiry.

        Raises:
            ProblemError: There is no such clip, or the token is wrong; the message is the same for both.
        """
        clip = self._clips.get(key)
        is_owner = hmac.compare_digest(clip.token_hash if clip else hash_token(""), hash_token(token))
        if clip is None or not is_owner:
            told = "This clip is not kept here (any more), or the token is not its owner's; upload it again."
            raise ProblemError("clip-not-found", told)
        clip.used = time.monotonic()
        return clip

    async def matte(self, clip: Clip, masks: Path, **choices: Any) -> None:
        """Begin to matte a clip, once it is its turn. Earlier mattes and their export are removed.

        Args:
            clip: The clip.
            masks: Folder of its masks, which is moved into the clip's.
            choices: Fields of `MattingChoices`.

        Raises:
            ProblemError: The clip was removed meanwhile.
        """
        await self.stop(clip)
        kept = clip.folder / "masks"
        shutil.rmtree(kept, ignore_errors=True)
        masks.replace(kept)
        folder = _emptied(clip.folder / "mattes")
        _emptied(clip.folder / "export")
        clip.num_matted, clip.is_matted, clip.exported, clip.num_exported = 0, False, "", 0
        limit = self._settings.clip_space
        job = MatteClipJob(clip=clip.upload, folder=folder, max_bytes=limit, masks=kept, **choices)
        self._begin(clip, job)

    async def export(self, clip: Clip, **choices: Any) -> None:
        """Begin to write a matted clip as a file, once it is its turn. An earlier one is removed.

        Args:
            clip: The clip.
            choices: Fields of `ExportClipJob`.

        Raises:
            ProblemError: The clip is not matted to its end, or was removed meanwhile.
        """
        if not clip.is_matted:
            told = f"{clip.num_matted} of {clip.info.frames} frames are matted; an export needs all."
            raise ProblemError("clip-unfinished", told)
        await self.stop(clip)
        folder = _emptied(clip.folder / "export")
        clip.exported, clip.num_exported = "", 0
        alphas, limit = clip.folder / "mattes" / "alpha", self._settings.clip_space
        self._begin(clip, ExportClipJob(clip=clip.upload, folder=folder, max_bytes=limit, alphas=alphas, **choices))

    async def stop(self, clip: Clip) -> None:
        """Stop the work on a clip; the mattes that were made stay.

        Raises:
            ProblemError: The clip was removed meanwhile.
        """
        while clip.task is not None and not clip.task.done():
            clip.task.cancel()
            await asyncio.wait([clip.task])
        if self._clips.get(clip.id) is not clip:
            raise ProblemError("clip-not-found", "This clip was removed meanwhile.")
        clip.state = "idle"

    async def remove(self, key: str, token: str) -> None:
        """Stop the work on a clip, and remove its files.

        Raises:
            ProblemError: As `get`.
        """
        await self._remove(self.get(key, token))

    async def remove_expired(self) -> None:
        """Remove the clips that have expired; none of them is worked on."""
        limit = time.monotonic() - self.expiry
        for clip in list(self._clips.values()):
            if clip.used < limit and not clip.is_busy:
                await self._remove(clip)

    async def close(self) -> None:
        """Remove all clips."""
        for clip in list(self._clips.values()):
            await self._remove(clip)

    async def _remove(self, clip: Clip) -> None:
        with contextlib.suppress(ProblemError):  # another request removes it
            await self.stop(clip)
            del self._clips[clip.id]
        await asyncio.to_thread(shutil.rmtree, clip.folder, ignore_errors=True)

    def _begin(self, clip: Clip, job: MatteClipJob | ExportClipJob) -> None:
        clip.state, clip.warnings, clip.problem = "waiting", [], None
        clip.task = asyncio.ensure_future(self._work(clip, job))

    async def _work(self, clip: Clip, job: MatteClipJob | ExportClipJob) -> None:
        is_matting = isinstance(job, MatteClipJob)

        def follow(num_done: int) -> None:
            if is_matting:
                clip.num_matted = num_done
            else:
                clip.num_exported = num_done

        async with self._working:
            clip.state, start, outcome = "matting" if is_matting else "exporting", time.monotonic(), "cancelled"
            try:
                report = await self._converse(job, follow, limit=self._settings.clip_time_limit)
                outcome, clip.warnings = "done", report.warnings
                if isinstance(job, MatteClipJob):
                    clip.is_matted = True
                else:
                    clip.exported = job.format
            except ProblemError as problem:
                outcome, clip.problem = "refused", problem
            finally:
                clip.state, clip.used = "idle", time.monotonic()
                self._on_job(f"clip-{job.kind}", outcome, clip.used - start)

    async def _converse(
        self,
        job: ClipJob,
        follow: Callable[[int], None] = lambda num_done: None,
        *,
        limit: float,
    ) -> ClipReport:
        """Run a process and return its last report.

        Raises:
            ProblemError: The job failed, took too long, or the process died.
        """
        process = await start_process(self._command, is_leader=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(limit):
                for message in (self._worker, job):
                    process.stdin.write(message.model_dump_json().encode() + b"\n")
                while line := await process.stdout.readline():
                    report = ClipReport.model_validate_json(line)
                    if report.problem is not None:
                        if report.problem.traceback:
                            logger.error("a job of a clip failed", extra={"traceback": report.problem.traceback})
                        raise ProblemError(report.problem.kind, report.problem.detail)
                    if report.done is None:
                        return report
                    follow(report.done)
        except TimeoutError:
            told = f"The work on the clip took more than {limit:g} seconds and was stopped."
            raise ProblemError("deadline", told) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        raise ProblemError("worker-died", "The process of this clip died; the clip may need too much memory.")


def why_no_clips() -> str:
    """What a service lacks for clips, as a sentence; "" if nothing."""
    missing = [name for name in ("ffmpeg", "ffprobe") if shutil.which(name) is None]
    missing += [] if importlib.util.find_spec("cv2") else ["OpenCV"]
    return f"Clips need {' and '.join(missing)}, which this service lacks." if missing else ""


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
