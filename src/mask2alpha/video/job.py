"""Matting a clip from end to end, so that a run that was stopped at any moment can be taken up again.

The clip is done in segments of `SEGMENT` frames. After each, the files of the segment are whole, and `progress.npz` in
the work folder beside the output says how far the run is and what the last matte was: all that the next segment needs.
A run that finds that file goes on from there, and gives what an uninterrupted one would have given.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import InputError, VideoError
from mask2alpha.imaging.atomic import remove_leftovers, replacing
from mask2alpha.imaging.encode import write_image
from mask2alpha.ops.mask_fit import fit_mask
from mask2alpha.ops.masks import Mask
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.video.clips import AbstractClip, Masks, check_frame
from mask2alpha.video.ffmpeg import join_segments, segment_writer
from mask2alpha.video.motion import FloatArray
from mask2alpha.video.pictures import Look
from mask2alpha.video.steady import REACH, SteadyMatte, matte_steadily, settle, with_motion

SEGMENT = 32
"""Frames between two moments from which a run can be taken up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoJob:
    """What to do with a clip."""

    clip: AbstractClip
    masks: Masks
    targets: dict[str, Path]
    """Kind of output to its file (`.mov`, `.webm`) or folder (PNG files)."""
    look: Look
    is_steady: bool
    """False: frame by frame, without regard to its neighbours; every frame has a mask then."""
    settings: dict[str, str]
    """What else the result depends on; a run with other settings does not take this one up."""

    def __post_init__(self) -> None:
        if not self.is_steady and not self.masks.has_all:
            raise InputError("frame by frame, every frame needs a mask; without --no-steady a target is followed")
        if self.clip.info is None and any(path.suffix for path in self.targets.values()):
            raise InputError("a folder of frames does not say how fast they follow each other; give a folder for OUT")

    @property
    def work_folder(self) -> Path:
        """Where a run that is not finished keeps its state and its segments."""
        first = next(iter(self.targets.values()))
        return first.with_name(f".{first.name}.unfinished")

    @property
    def fingerprint(self) -> str:
        """The same for two runs that give the same; the masks may be mended in between."""
        names = "|".join(self.clip.names)
        return json.dumps({"frames": names, "steady": self.is_steady, "targets": sorted(self.targets), **self.settings})


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did."""

    num_matted: int
    num_resumed: int
    """Frames that an earlier run had done."""
    warnings: tuple[tuple[int, str], ...]
    """Frame (from 0) and what there is to say of it."""
    notes: tuple[str, ...]
    """Of the clip as a whole."""


def run(
    job: VideoJob,
    load_predictor: Callable[[], AbstractPredictor],
    *,
    on_frame: Callable[[int], object] = lambda _: None,
) -> Report:
    """Matte a clip, or what an earlier run has left of it.

    Args:
        job: What to do.
        load_predictor: Called only if frames are left.
        on_frame: Called with the number of frames that are done, after each.

    Raises:
        VideoError: A frame or the clip cannot be read, followed or written. What was done stays; a further run goes on
            from there.
        InputError: An unfinished run with other settings is in the way.
    """
    work = job.work_folder
    first, last_alpha = _load_progress(job)
    num_frames = len(job.clip.names)
    work.mkdir(parents=True, exist_ok=True)
    remove_leftovers(work)
    on_frame(first)
    warnings: list[tuple[int, str]] = []
    if first < num_frames:
        mattes = _mattes(job, load_predictor(), first, last_alpha)
        for start in range(first, num_frames, SEGMENT):
            last = _do_segment(job, mattes, start, on_frame, warnings)
            _save_progress(job, min(start + SEGMENT, num_frames), last)
    notes = dict.fromkeys(_join(job))  # each once
    shutil.rmtree(work)
    return Report(num_matted=num_frames - first, num_resumed=first, warnings=tuple(warnings), notes=tuple(notes))


def _mattes(
    job: VideoJob, predictor: AbstractPredictor, first: int, last_alpha: FloatArray | None
) -> Iterator[SteadyMatte]:
    start = max(0, first - REACH) if job.is_steady else first
    triples = _checked_frames(job, start)
    if job.is_steady:
        yield from matte_steadily(predictor, with_motion(triples), first=first, last_alpha=last_alpha)
        return
    for _, image, mask in triples:
        assert mask is not None
        matte = predictor.predict(image, Mask(values=mask))
        yield SteadyMatte(matte=replace(matte, alpha=settle(matte.alpha)))


def _checked_frames(job: VideoJob, start: int) -> Iterator[tuple[int, NDArray[Any], NDArray[np.uint8] | None]]:
    size = None
    pairs = zip(job.clip.frames(start), job.masks.frames(start), strict=False)
    for index, (image, mask) in enumerate(pairs, start):
        size = size or (image.shape[0], image.shape[1])
        check_frame(image, size, job.clip.names[index])
        yield index, image, None if mask is None else _fitted(mask, job, index, size)


def _fitted(mask: NDArray[np.uint8], job: VideoJob, index: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask over its frame."""
    if mask.shape == size:
        return mask
    fit, name = job.masks.choice.fit, f"the mask of frame {job.clip.names[index]}"
    orientation = job.clip.orientation(index) if mask.shape == size[::-1] else 1
    fitted, notes = fit_mask(Mask(values=mask), size, orientation=orientation, fit=fit, name=name)
    for note in notes:
        warn(note, stacklevel=2)
    return fitted.as_bytes()


def _do_segment(
    job: VideoJob,
    mattes: Iterator[SteadyMatte],
    start: int,
    on_frame: Callable[[int], object],
    warnings: list[tuple[int, str]],
) -> FloatArray:
    """Matte and write the frames from `start` on.

    Returns:
        The last one's alpha.
    """
    end = min(start + SEGMENT, len(job.clip.names))
    alpha = None
    writers: dict[str, Callable[[NDArray[Any]], None]] = {}
    with ExitStack() as stack:
        for index, steady in zip(range(start, end), islice(mattes, end - start), strict=False):
            if steady.warning:
                warnings.append((index, steady.warning))
            for kind, target in job.targets.items():
                picture = job.look.picture(kind, steady.matte, target.suffix)
                if not target.suffix:
                    write_image(target / f"{job.clip.names[index]}.png", picture)
                    continue
                if kind not in writers:
                    assert job.clip.info is not None
                    path = _segment_path(job, kind, target, start)
                    writer = segment_writer(path, picture.shape, picture.dtype, job.clip.info)
                    writers[kind] = stack.enter_context(writer)
                writers[kind](picture)
            alpha = steady.matte.alpha
            num_done = index + 1
            on_frame(num_done)
        if alpha is None or num_done < end:
            num_read = start if alpha is None else num_done
            raise VideoError(f"only {num_read} of {len(job.clip.names)} frames can be read; the clip may be damaged")
    return alpha


def _segment_path(job: VideoJob, kind: str, target: Path, start: int) -> Path:
    return job.work_folder / f"{kind}-{start:08d}{target.suffix}"


def _join(job: VideoJob) -> Iterator[str]:
    """Make the video files of their segments, and say what is to be said of the sound."""
    num_frames = len(job.clip.names)
    starts = range(0, num_frames, SEGMENT)
    for kind, target in job.targets.items():
        if not target.suffix:
            continue
        assert job.clip.info is not None
        note = join_segments(
            [_segment_path(job, kind, target, start) for start in starts],
            [min(SEGMENT, num_frames - start) for start in starts],
            target,
            job.clip.info,
        )
        if note:
            yield note


def _load_progress(job: VideoJob) -> tuple[int, FloatArray | None]:
    """The first frame that is still to be done, and the matte of the one before."""
    path = job.work_folder / "progress.npz"
    if not path.exists():
        return 0, None
    with np.load(path, allow_pickle=False) as saved:
        if str(saved["fingerprint"]) != job.fingerprint:
            raise InputError(
                f"{job.work_folder} has an unfinished run with another clip or other settings; give those again, or "
                "begin anew with --overwrite"
            )
        return int(saved["num_done"]), saved["alpha"].astype(np.float32) / np.float32(65535)


def _save_progress(job: VideoJob, num_done: int, alpha: FloatArray) -> None:
    with replacing(job.work_folder / "progress.npz") as temporary, temporary.open("wb") as file:
        quantised = np.rint(alpha * 65535).astype(np.uint16)
        np.savez_compressed(file, fingerprint=np.array(job.fingerprint), num_done=num_done, alpha=quantised)
