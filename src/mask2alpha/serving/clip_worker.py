"""The process of one job of a clip: it reads, mattes or exports the clip, and ends.

It reads two JSON lines from standard input, `WorkerSettings` and a `ClipJob`, and writes `ClipReport`s to standard
output. It ends at once, with what it has started, when its input ends. Unlike a worker it starts other programs:
ffmpeg and ffprobe, which share its limits.
"""

import os
import signal
import sys
import threading
import traceback
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from mask2alpha.imaging.atomic import replacing
from mask2alpha.serving.jobs import ClipInfo, ClipJob, ClipReport, ExportClipJob, JobProblem, MatteClipJob, ReadClipJob
from mask2alpha.serving.problems import ProblemError, problem_of
from mask2alpha.serving.worker import WorkerSettings, limit_resources, load_predictor, send
from mask2alpha.video.clips import VideoClip
from mask2alpha.video.ffmpeg import probe, write_pictures

if TYPE_CHECKING:  # to read a clip needs no PyTorch
    from mask2alpha.pipeline.abstract import AbstractPredictor
    from mask2alpha.video.job import VideoJob

MAX_WRITTEN_BYTES = 2**34
"""Size limit of one file that is written."""
SHOWN_SIDE = 1280
"""Longest side of the small pictures of frames."""
_MAX_WARNINGS = 50


def main(load: "Callable[[WorkerSettings], AbstractPredictor]" = load_predictor) -> None:
    """Do one job.

    Args:
        load: Loads what mattes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the front process ends this one
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reports = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    settings = WorkerSettings.model_validate_json(sys.stdin.buffer.readline())
    jobs: TypeAdapter[ClipJob] = TypeAdapter(ClipJob)
    job = jobs.validate_json(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()

    def tell(report: ClipReport) -> None:
        send(reports, report.model_dump(mode="json", exclude_none=True))

    def follow(num_done: int) -> None:
        if sum(path.stat().st_size for path in job.folder.rglob("*") if path.is_file()) > job.max_bytes:
            told = f"More than {job.max_bytes / 2**30:g} GiB would be written; send a shorter or smaller clip."
            raise ProblemError("clip-refused", told)
        tell(ClipReport(done=num_done))

    try:
        predictor = load(settings) if isinstance(job, MatteClipJob) else None
        has_gpu = predictor is not None and _is_on_gpu(predictor)
        limit_resources(settings.worker_memory, has_gpu=has_gpu, max_written=MAX_WRITTEN_BYTES)
        sys.addaudithook(_refuse)
        clip = VideoClip(probe(job.clip, max_pixels=settings.max_pixels))
        if isinstance(job, ReadClipJob):
            tell(_read(job, clip, settings))
        elif isinstance(job, ExportClipJob):
            tell(_export(job, clip, follow))
        else:
            assert predictor is not None
            tell(_matte(job, clip, predictor, settings, follow))
    except Exception as error:
        problem = problem_of(error)
        detail = problem.detail if problem else "An unexpected error; the log of the service has the details."
        kind, told = (problem.kind, "") if problem else ("internal", traceback.format_exc())
        tell(ClipReport(problem=JobProblem(kind=kind, detail=_without_paths(detail, job), traceback=told)))


def _is_on_gpu(predictor: "AbstractPredictor") -> bool:
    from mask2alpha.pipeline.predictor import Predictor

    return isinstance(predictor, Predictor) and predictor.device.type != "cpu"


def _read(job: ReadClipJob, clip: VideoClip, settings: WorkerSettings) -> ClipReport:
    assert clip.info is not None
    if clip.info.num_frames > job.max_frames:
        told = f"The clip has {clip.info.num_frames} frames; accepted: up to {job.max_frames}."
        raise ProblemError("clip-refused", told)
    num_frames = write_pictures(clip.info, job.folder, max_side=SHOWN_SIDE, max_pixels=settings.max_pixels)
    height, width = next(clip.frames()).size
    notes = []
    if num_frames < clip.info.num_frames:
        notes.append(f"Only {num_frames} of {clip.info.num_frames} frames can be read; the clip may be cut off.")
    if clip.info.is_rate_variable:
        notes.append("The frame rate varies; every frame is kept, at the mean rate, so the sound may be off in places.")
    info = ClipInfo(frames=num_frames, width=width, height=height, rate=float(clip.info.rate))
    return ClipReport(info=info, warnings=notes)


def _matte(
    job: MatteClipJob,
    clip: VideoClip,
    predictor: "AbstractPredictor",
    settings: WorkerSettings,
    follow: Callable[[int], None],
) -> ClipReport:
    from mask2alpha.imaging.decode import read_mask
    from mask2alpha.rendering import OutputOptions
    from mask2alpha.serving.job_runner import configure
    from mask2alpha.video.clips import open_masks
    from mask2alpha.video.job import VideoJob

    with warnings.catch_warnings(action="ignore"):  # they come again with the frames
        for path in sorted(job.masks.iterdir()):
            read_mask(path, choice=job.mask_choice, max_bytes=settings.max_body, max_pixels=settings.max_pixels)
    video_job = VideoJob(
        clip=clip,
        objects={"": open_masks(job.masks, clip, job.mask_choice)},
        targets={("", "alpha"): job.folder / "alpha"},
        options=OutputOptions(bits=16),
        is_steady=True,
        settings={},
    )
    return _run(job, video_job, lambda: configure(predictor, job), follow)


def _export(job: ExportClipJob, clip: VideoClip, follow: Callable[[int], None]) -> ClipReport:
    from mask2alpha.ops.edges import EdgeOptions
    from mask2alpha.rendering import OutputOptions, plain_colour
    from mask2alpha.video.clips import Masks
    from mask2alpha.video.job import VideoJob

    options = OutputOptions(background=plain_colour(job.background, "background"), edges=EdgeOptions.parse(job.edges))
    target = job.folder / ("frames" if job.format == "png" else f"result.{job.format}")
    video_job = VideoJob(
        clip=clip,
        objects={"": Masks()},
        targets={("", job.output): target},
        options=options.with_colours(job.colours, job.despill),
        is_steady=True,
        alphas=tuple(sorted(job.alphas.iterdir())),
        settings={},
    )
    report = _run(job, video_job, _load_nothing, follow)
    if job.format == "png":
        _pack(target, job.folder / "result.zip")
    return report


def _load_nothing() -> "AbstractPredictor":
    raise AssertionError("an export mattes nothing")


def _pack(folder: Path, target: Path) -> None:
    """Move the files of a folder into an archive; each is removed once it is there."""
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
            path.unlink()


def _run(
    job: MatteClipJob | ExportClipJob,
    video_job: "VideoJob",
    load_predictor: "Callable[[], AbstractPredictor]",
    follow: Callable[[int], None],
) -> ClipReport:
    from mask2alpha.video.job import run

    with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
        report = run(video_job, load_predictor, on_frame=follow)
    told = [
        *(str(warning.message) for warning in caught),
        *report.notes,
        *report.doubts(range(1, len(video_job.clip.names) + 1)),
    ]
    return ClipReport(warnings=[_without_paths(text, job) for text in dict.fromkeys(told)][:_MAX_WARNINGS])


def _without_paths(text: str, job: ClipJob) -> str:
    """A message without the paths of the service, as a sentence begins."""
    text = text.replace(str(job.clip), "the clip")
    if isinstance(job, MatteClipJob):
        text = text.replace(f"{job.masks}{os.sep}", "mask ")
    text = text.replace(f"{job.folder}{os.sep}", "")
    return text[:1].upper() + text[1:]


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with its ffmpeg
    os._exit(1)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse network access (an audit hook)."""
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo"):
        raise PermissionError(f"the process of a clip may not do this: {event}")


if __name__ == "__main__":
    main()
