"""Matting a clip from end to end, so that a run can be stopped at any moment and continued.

The clip is done in segments of `SEGMENT` frames. After each, the files of the segment are whole, and `progress.npz` in
the work folder beside the output says how far the run is and what the last matte was: all that the next segment needs.
A run that finds that file continues from there, with the result of an uninterrupted run.
"""

import json
import shutil
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice, repeat
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import InputError, VideoError
from mask2alpha.imaging.atomic import replacing
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import write_file
from mask2alpha.imaging.made import digest
from mask2alpha.imaging.photo import Photo
from mask2alpha.imaging.targets import prepare_folder
from mask2alpha.ops.edges import EdgeOptions
from mask2alpha.ops.mask_fit import fit_mask
from mask2alpha.ops.masks import Fit, Mask
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.pipeline.matte import Matte
from mask2alpha.rendering import (
    KINDS,
    WHOLE,
    OutputOptions,
    RenderedMatte,
    Window,
    check_output,
    encode_objects,
    output_suffix,
)
from mask2alpha.video.backward import find_gaps, follow_back
from mask2alpha.video.clips import AbstractClip, Masks, check_frame
from mask2alpha.video.ffmpeg import DamagedClipError, join_segments, segment_writer, try_target
from mask2alpha.video.steady import (
    REACH,
    Carried,
    SteadyMatte,
    matte_steadily,
    predict_objects,
    settle,
    with_motion,
)

T = TypeVar("T")
SEGMENT = 32
"""Frames between two moments from which a run can be taken up."""
_MAPS = ("alpha", "mask", "given")
"""Of a `Carried`, as the progress of a run holds them."""
BITS_OF_CLIPS = {".mov": 16, ".webm": 8}
"""Per sample of the frames that are handed to ffmpeg."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoJob:
    """What to do with a clip."""

    clip: AbstractClip
    objects: Mapping[str, Masks]
    """The name of each object to its masks; "" for a single one without a name."""
    targets: Mapping[tuple[str, str], Path]
    """Name of an object and kind of output to the file (`.mov`, `.webm`) or folder (a picture file per frame). The
    `passes` of several objects are those of "": one file per frame has all."""
    options: OutputOptions = field(default_factory=OutputOptions)
    """How the frames are rendered."""
    file_format: str = "png"
    """Of the files in folders, one of `imaging.encode.FORMATS`."""
    is_steady: bool
    """False: frame by frame, without regard to its neighbours; every frame has a mask then."""
    is_exclusive: bool = False
    """Whether the mattes of a frame add up to at most 1."""
    region: Window = WHOLE
    """Rows and columns that are matted; alpha is 0 elsewhere."""
    alphas: tuple[Path, ...] = ()
    """The mattes of the frames, if they were made before, of one object: grey pictures of 16 bits. Nothing is
    matted then, and the masks are not read."""
    settings: dict[str, str]
    """What else the result depends on; a run with other settings does not take this one up."""

    def __post_init__(self) -> None:
        if not self.is_steady and not all(masks.has_all for masks in self.objects.values()):
            raise InputError("with --no-steady, every frame needs a mask; without it the target is followed")
        if self.clip.info is None and any(path.suffix for path in self.targets.values()):
            raise InputError("a folder of frames does not say how fast they follow each other; give a folder for OUT")
        for (name, kind), target in self.targets.items():
            if not target.suffix:
                check_output(self.frame_path(name, kind, 0), kind, self.options.bits)
            elif self.options.bits:
                raise InputError(f"--bits has no effect on {target.suffix}, only on pictures in folders")
            elif kind == "passes" or KINDS[kind].is_premultiplied:
                raise InputError(f"{kind} is not written as {target.suffix}, only as a folder of frames")

    def frame_path(self, name: str, kind: str, index: int) -> Path:
        """The file of an object in a frame, of a kind that goes to a folder."""
        return self.targets[name, kind] / f"{self.clip.names[index]}{output_suffix(kind, '', self.file_format)}"

    @property
    def outputs(self) -> Iterator[tuple[str, Path]]:
        """The kind and the path of every file that is written."""
        for (name, kind), target in self.targets.items():
            frames = range(len(self.clip.names))
            paths = [target] if target.suffix else [self.frame_path(name, kind, index) for index in frames]
            yield from zip(repeat(kind), paths, strict=False)

    @property
    def work_folder(self) -> Path:
        """Where a run that is not finished keeps its state and its segments."""
        first = next(iter(self.targets.values()))
        return first.with_name(f".{first.name}.unfinished")

    @property
    def fingerprint(self) -> str:
        """The same for two runs that give the same; the masks may be mended in between."""
        made = {"frames": "|".join(self.clip.names), "steady": self.is_steady, "exclusive": self.is_exclusive}
        made |= {"region": str(self.region), "state": 2}  # of `_save_progress`
        return json.dumps(made | {"objects": list(self.objects), "targets": sorted(self.targets), **self.settings})


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

    def doubts(self, names: Sequence[object]) -> list[str]:
        """What there is to say of frames, by their names; one sentence for frames in a row."""
        told = []
        numbered = enumerate(self.warnings)  # frames in a row have the same distance to their position
        for _, group in groupby(numbered, key=lambda item: item[1][0] - item[0]):
            indices, reasons = zip(*(warning for _, warning in group), strict=True)
            first, last = names[indices[0]], names[indices[-1]]
            frames = f"frame {first}" if first == last else f"frames {first} to {last}"
            told.append(f"{frames}: {'; '.join(dict.fromkeys(reasons))}; look at them, and add a mask")
        return told


def run(
    job: VideoJob,
    load_predictor: Callable[[], AbstractPredictor],
    *,
    on_frame: Callable[[int], object] = lambda _: None,
    on_output: Callable[[str, Path], object] = lambda kind, path: None,
) -> Report:
    """Matte a clip, or what an earlier run has left of it.

    A clip that breaks off gives the frames that can be read, with a note.

    Args:
        job: What to do.
        load_predictor: Called only if frames are left, and after the targets were tried.
        on_frame: Called with the number of frames that are done, after each.
        on_output: Called with the kind and the path of each file that was written.

    Raises:
        VideoError: A frame or the clip cannot be read, followed or written. What was done stays; a further run goes on
            from there.
        InputError: An unfinished run with other settings is in the way, or OUT cannot be written.
    """
    work = job.work_folder
    first, last = _load_progress(job)
    num_frames, num_done = len(job.clip.names), first
    on_frame(first)
    doubts: list[tuple[int, str]] = []
    notes: list[str] = []
    if first < num_frames:
        _try_targets(job)
        if job.alphas:
            mattes = _known_mattes(job, first, notes)
        else:
            _try_masks(job, first)
            predictor = load_predictor()
            _follow_back(job, predictor, first, doubts, notes)
            mattes = _mattes(job, predictor, first, last, notes)
        while num_done < num_frames:
            end = min(num_done + SEGMENT, num_frames)
            num_written, steady = _do_segment(job, mattes, num_done, end, on_frame, on_output, doubts)
            if steady:
                _save_progress(job, num_done + num_written, steady)
            num_done += num_written
            if num_done < end:
                break
    if not num_done:
        raise VideoError("no frame of the clip can be read")
    if num_done < num_frames:
        notes.append(f"only {num_done} of {num_frames} frames can be read; the clip may be cut off or damaged")
    for output, target in job.targets.items():
        if target.suffix:
            notes += _join(job, output, num_done)
            on_output(output[1], target)
    shutil.rmtree(work)
    return Report(
        num_matted=num_done - first, num_resumed=first, warnings=tuple(doubts), notes=tuple(dict.fromkeys(notes))
    )


def _try_targets(job: VideoJob) -> None:
    """Write one frame to each target, so that nothing is matted that cannot be written."""
    photo = next(job.clip.frames(), None)
    if photo is None:
        raise VideoError("no frame of the clip can be read")
    for target in job.targets.values():
        prepare_folder(target.parent if target.suffix else target)
    prepare_folder(job.work_folder)
    for (_, kind), target in job.targets.items():
        if target.suffix:
            assert job.clip.info is not None
            channels = KINDS[kind].channels
            shape = photo.size if channels == 1 else (*photo.size, channels)
            dtype = np.dtype(np.uint16 if BITS_OF_CLIPS[target.suffix.lower()] == 16 else np.uint8)
            try_target(target, job.work_folder, shape, dtype, job.clip.info)


def _try_masks(job: VideoJob, first: int) -> None:
    """Read all masks that are still needed, so that nothing is matted before an ambiguous one is found."""
    with warnings.catch_warnings(action="ignore"):  # they are given with the frames
        for masks in job.objects.values():
            for _ in _until_damaged(masks.frames(first), []):
                pass


def _follow_back(
    job: VideoJob, predictor: AbstractPredictor, first: int, doubts: list[tuple[int, str]], notes: list[str]
) -> None:
    """Make the masks of the frames that are followed backwards, those apart that an earlier run has made or is past.

    They lie in the work folder, each with what it depends on.
    """
    by_gap: dict[tuple[int, int], list[int]] = {}
    origins: dict[Path, str] = {}
    for number, masks in enumerate(job.objects.values()):
        for start, key in find_gaps(masks.has_mask):
            by_gap.setdefault((start, key), []).append(number)
            origin = f"{job.fingerprint} {key} {digest(Path(str(masks.paths[key])))}"
            origins |= {_followed_path(job, number, index): origin for index in range(start, key)}
    for path in job.work_folder.glob("followed-*.npz"):
        if origins.get(path) != _read_followed(path)[0]:
            path.unlink()  # a mask was mended, added or taken away since
    names = list(job.objects)
    for (start, key), numbers in by_gap.items():
        left = [number for number in numbers if not _followed_path(job, number, start).exists()]
        if key <= first or not left:
            continue
        for _, _, given in islice(_checked_frames(job, key, notes), 1):
            own = {names[number]: mask for number in left if (mask := given[number]) is not None}
            for index, mattes in follow_back(predictor, job.clip, own, first=start, key=key, region=job.region):
                for number, steady in zip(left, mattes, strict=True):
                    path = _followed_path(job, number, index)
                    mask = np.rint(255 * steady.carried.alpha).astype(np.uint8)
                    with replacing(path) as temporary, temporary.open("wb") as file:
                        np.savez_compressed(file, origin=np.array(origins[path]), mask=mask)
                doubts += _doubts(index, [names[number] for number in left], mattes)


def _followed_path(job: VideoJob, number: int, index: int) -> Path:
    return job.work_folder / f"followed-{number:03d}-{index:08d}.npz"


def _doubts(index: int, names: Iterable[str], mattes: Sequence[SteadyMatte]) -> list[tuple[int, str]]:
    """What the user should be told of a frame."""
    pairs = zip(names, mattes, strict=True)
    return [(index, f"{name}: {each.warning}" if name else each.warning) for name, each in pairs if each.warning]


def _read_followed(path: Path) -> tuple[str, NDArray[np.uint8] | None]:
    """What the mask of a frame that was followed backwards depends on, and the mask; None if there is none."""
    if not path.exists():
        return "", None
    with np.load(path, allow_pickle=False) as saved:
        return str(saved["origin"]), saved["mask"]


def _mattes(
    job: VideoJob, predictor: AbstractPredictor, first: int, last: Sequence[Carried] | None, notes: list[str]
) -> Iterator[tuple[Photo, tuple[SteadyMatte, ...]]]:
    """The frames from `first` on, each with the mattes of its objects."""
    photos: deque[Photo] = deque()
    names = list(job.objects)

    def triples(start: int) -> Iterator[tuple[int, NDArray[Any], Sequence[NDArray[np.uint8] | None]]]:
        for index, photo, masks in _checked_frames(job, start, notes):
            if index >= first:
                photos.append(photo)
            yield index, replace(photo, pixels=photo.pixels[job.region]).in_srgb().pixels, masks

    if job.is_steady:
        frames = with_motion(triples(max(0, first - REACH)))
        for steady in matte_steadily(
            predictor, frames, names=names, is_exclusive=job.is_exclusive, first=first, last=last
        ):
            yield photos.popleft(), steady
        return
    for index, image, masks in triples(first):
        given = {name: mask for name, mask in zip(names, masks, strict=True) if mask is not None}
        if len(given) < len(names):
            raise VideoError(f"frame {job.clip.names[index]} has no mask; the masks may be cut off or damaged")
        mattes = predict_objects(predictor, image, given, is_exclusive=job.is_exclusive)
        alphas = settle([matte.alpha for matte in mattes], is_exclusive=job.is_exclusive)
        yield (
            photos.popleft(),
            tuple(
                SteadyMatte(matte=replace(one, alpha=alpha), carried=Carried.alone(alpha))
                for one, alpha in zip(mattes, alphas, strict=True)
            ),
        )


def _known_mattes(job: VideoJob, first: int, notes: list[str]) -> Iterator[tuple[Photo, tuple[SteadyMatte, ...]]]:
    """The frames from `first` on, each with the matte of its one object that was made before."""
    for (_, photo, _), path in zip(_checked_frames(job, first, notes), job.alphas[first:], strict=False):
        alpha = read_image(path).pixels[..., 0].astype(np.float32) / np.float32(65535)
        matte = Matte(
            alpha=alpha,
            image=photo.in_srgb().pixels,
            coarse_error=np.zeros((1, 1), np.float32),
            spanned=photo.size,
        )
        yield photo, (SteadyMatte(matte=matte, carried=Carried.alone(alpha)),)


def _checked_frames(
    job: VideoJob, start: int, notes: list[str]
) -> Iterator[tuple[int, Photo, list[NDArray[np.uint8] | None]]]:
    size = None
    masks = [chain(_until_damaged(each.frames(start), notes), repeat(None)) for each in job.objects.values()]
    photos = _until_damaged(job.clip.frames(start), notes)
    for index, (photo, *given) in enumerate(zip(photos, *masks, strict=False), start):
        if index == len(job.clip.names):
            return
        size = size or photo.size
        check_frame(photo.pixels, size, job.clip.names[index])
        own: list[NDArray[np.uint8] | None] = []
        for number, (mask, each) in enumerate(zip(given, job.objects.values(), strict=True)):
            fitted = None if mask is None else _fitted(mask, each.choice.fit, job.clip.names[index], photo, notes)
            followed = _read_followed(_followed_path(job, number, index))[1] if fitted is None else None
            own.append(followed if fitted is None else fitted[job.region])
        yield index, photo, own


def _until_damaged(frames: Iterator[T], notes: list[str]) -> Iterator[T]:
    """Yield the frames that can be decoded; the reason for a premature end is added to the notes."""
    try:
        yield from frames
    except DamagedClipError as error:  # not if ffmpeg was killed: then a further run goes on
        notes.append(str(error))


def _fitted(mask: NDArray[np.uint8], fit: Fit, frame: str, photo: Photo, notes: list[str]) -> NDArray[np.uint8]:
    """A mask over its frame; what was done to it is added to the notes."""
    try:
        fitted, told = fit_mask(Mask(values=mask), photo.size, orientation=photo.orientation, fit=fit, name="the mask")
    except InputError as error:
        raise InputError(f"frame {frame}: {error}") from error
    notes += told  # the same words for every frame, which the report has once
    return fitted.as_bytes()


def _do_segment(
    job: VideoJob,
    mattes: Iterator[tuple[Photo, tuple[SteadyMatte, ...]]],
    start: int,
    end: int,
    on_frame: Callable[[int], object],
    on_output: Callable[[str, Path], object],
    doubts: list[tuple[int, str]],
) -> tuple[int, tuple[SteadyMatte, ...]]:
    """Matte and write the frames from `start` up to `end`, or up to the last one that can be read.

    Returns:
        How many were written, and the mattes of the last one.
    """
    num_written = 0
    last: tuple[SteadyMatte, ...] = ()
    writers: dict[tuple[str, str], Callable[[NDArray[Any]], None]] = {}
    as_they_are = replace(job.options, edges=EdgeOptions())
    with ExitStack() as stack:
        for index, (photo, steady) in zip(range(start, end), islice(mattes, end - start), strict=False):
            doubts += _doubts(index, job.objects, steady)
            rendered = {
                name: RenderedMatte(photo, _in_frame(job, photo, each.matte), options=as_they_are)
                for name, each in zip(job.objects, steady, strict=True)
            }
            for output, target in job.targets.items():
                name, kind = output
                if not target.suffix:
                    path = job.frame_path(name, kind, index)
                    if name in rendered:
                        rendered[name].write(path, kind)
                    else:
                        write_file(path, encode_objects(rendered, path))
                    on_output(kind, path)
                    continue
                frame = rendered[name].render(kind, ".png", bits=BITS_OF_CLIPS[target.suffix.lower()])[0]
                assert isinstance(frame, np.ndarray)
                if output not in writers:
                    assert job.clip.info is not None
                    path = _segment_path(job, output, start)
                    writer = segment_writer(path, frame.shape, frame.dtype, job.clip.info)
                    writers[output] = stack.enter_context(writer)
                writers[output](frame)
            last = steady
            num_written += 1
            on_frame(index + 1)
    return num_written, last


def _in_frame(job: VideoJob, photo: Photo, matte: Matte) -> Matte:
    """A matte of the region over its frame; its edge is changed first, so that nothing leaves the region."""
    return matte.with_edges(job.options.edges).placed_in(photo.pixels, *job.region)


def _segment_path(job: VideoJob, output: tuple[str, str], start: int) -> Path:
    number = list(job.targets).index(output)  # a name may have characters that ffmpeg's list has a meaning for
    return job.work_folder / f"{number:03d}-{start:08d}{job.targets[output].suffix.lower()}"


def _join(job: VideoJob, output: tuple[str, str], num_frames: int) -> list[str]:
    """Make a video file of its segments, and return notes for the user."""
    assert job.clip.info is not None
    starts = range(0, num_frames, SEGMENT)
    return join_segments(
        [_segment_path(job, output, start) for start in starts],
        [min(SEGMENT, num_frames - start) for start in starts],
        job.targets[output],
        job.clip.info,
    )


def _load_progress(job: VideoJob) -> tuple[int, list[Carried] | None]:
    """The first frame that is still to be done, and the objects in the one before."""
    path = job.work_folder / "progress.npz"
    if not path.exists():
        return 0, None
    with np.load(path, allow_pickle=False) as saved:
        if str(saved["fingerprint"]) != job.fingerprint:
            raise InputError(
                f"{job.work_folder} has an unfinished run with another clip or other settings; give those again, or "
                "restart with --overwrite"
            )
        maps = saved["maps"].astype(np.float32) / np.float32(65535)
        objects = zip(maps, saved["area"], saved["is_absent"], strict=True)
        carried = [
            Carried(**dict(zip(_MAPS, own, strict=True)), area=float(area), is_absent=bool(is_absent))
            for own, area, is_absent in objects
        ]
        return int(saved["num_done"]), carried


def _save_progress(job: VideoJob, num_done: int, steady: Sequence[SteadyMatte]) -> None:
    carried = [each.carried for each in steady if job.is_steady and not job.alphas]  # else no frame depends on another
    with replacing(job.work_folder / "progress.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            fingerprint=np.array(job.fingerprint),
            num_done=num_done,
            maps=np.rint(np.array([[getattr(each, name) for name in _MAPS] for each in carried]) * 65535).astype(
                np.uint16
            ),
            area=np.array([each.area for each in carried]),
            is_absent=np.array([each.is_absent for each in carried]),
        )
