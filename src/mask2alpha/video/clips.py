"""Clips (folders of frames or video files) and the masks of their objects, for all frames or for some."""

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import ImageFileError, InputError, VideoError
from mask2alpha.imaging.decode import SUFFIXES as PICTURE_SUFFIXES
from mask2alpha.imaging.decode import read_image, read_label, read_labels, read_mask
from mask2alpha.imaging.pairs import find_nearest, list_pictures, match_names
from mask2alpha.imaging.photo import Photo
from mask2alpha.ops.masks import DrawnMask, MaskChoice, understand
from mask2alpha.video import ffmpeg
from mask2alpha.video.ffmpeg import DamagedClipError, VideoInfo, probe, read_frames


class AbstractClip(ABC):
    """Pictures in order, which can be read from any of them on."""

    names: Sequence[str]
    """Of the frames, without suffix; as many as there are frames."""
    info: VideoInfo | None
    """None: a folder of pictures."""
    colour_space: str | None = None
    """Of the frames, one of `imaging.spaces.SPACES`; None: what the files say."""

    @property
    @abstractmethod
    def files(self) -> Sequence[Path]:
        """The files that the frames come from."""

    @abstractmethod
    def frames(self, start: int = 0) -> Iterator[Photo]:
        """Read the frames from one on, upright, in their own values."""

    @abstractmethod
    def part(self, frames: range) -> "AbstractClip":
        """Some successive frames, with their names, as a clip without sound and timecode."""


class FolderClip(AbstractClip):
    """The pictures of a folder, in the order of the numbers in their names."""

    def __init__(self, paths: Sequence[Path], colour_space: str | None = None) -> None:
        self.paths = paths
        self.colour_space = colour_space
        self.names = [path.stem for path in paths]
        self.info = None

    @property
    def files(self) -> Sequence[Path]:
        """One for each frame."""
        return self.paths

    def frames(self, start: int = 0) -> Iterator[Photo]:
        """Read the pictures from one on.

        Raises:
            DamagedClipError: A picture and all behind it are damaged.
            ImageFileError: A picture cannot be read.
        """
        for index in range(start, len(self.paths)):
            try:
                photo = read_image(self.paths[index])
            except ImageFileError as error:
                if all(map(_is_damaged, self.paths[index:])):  # and not lost with its disk
                    raise DamagedClipError(str(error)) from error
                raise
            yield photo.taken_as(self.colour_space)

    def part(self, frames: range) -> "FolderClip":
        """See `AbstractClip.part`."""
        return FolderClip(self.paths[frames.start : frames.stop], self.colour_space)


class VideoClip(AbstractClip):
    """The frames of a video file, whose names are their numbers from 1 on."""

    def __init__(self, info: VideoInfo, *, first: int = 0, colour_space: str | None = None) -> None:
        self.info = info
        self.colour_space = colour_space
        self.first = first
        """Of the file's frames, from 0; the clip has `info.num_frames` from there on."""
        self.names = [f"{number:06d}" for number in range(first + 1, first + info.num_frames + 1)]

    @property
    def files(self) -> Sequence[Path]:
        """The video file."""
        assert self.info is not None
        return [self.info.path]

    def frames(self, start: int = 0) -> Iterator[Photo]:
        """Decode the frames from one on, in the clip's own colour space."""
        assert self.info is not None
        for frame in islice(read_frames(self.info, start=self.first + start), self.info.num_frames - start):
            yield Photo(pixels=frame, orientation=self.info.orientation).taken_as(self.colour_space)

    def part(self, frames: range) -> "VideoClip":
        """See `AbstractClip.part`."""
        assert self.info is not None
        info = replace(self.info, num_frames=len(frames), sounds=(), timecode=None, start=0.0)
        return VideoClip(info, first=self.first + frames.start, colour_space=self.colour_space)


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """A mask of one object, or none, for each frame of a clip."""

    paths: tuple[Path | None, ...] = ()
    """Pictures; None where the target is followed from the nearest frame that has one."""
    video: VideoInfo | None = None
    """Or a video file with as many frames as the clip, or as the one that it is a part of."""
    first: int = 0
    """Of the video file's frames, from 0, the one that belongs to the clip's first."""
    choice: MaskChoice = field(default_factory=MaskChoice)
    """What the user says about the masks."""
    label: str | None = None
    """The object's, if the pictures are maps of labels; in those without it, the object is not there."""

    @property
    def files(self) -> list[Path]:
        """The files that the masks come from."""
        return [self.video.path] if self.video else [path for path in self.paths if path is not None]

    @property
    def has_all(self) -> bool:
        """Whether every frame has its own."""
        return self.video is not None or None not in self.paths

    @property
    def has_mask(self) -> list[bool]:
        """For each frame of a clip, whether it has its own; empty for a video file, which has all."""
        return [path is not None for path in self.paths]

    def frames(self, start: int = 0) -> Iterator[NDArray[np.uint8] | None]:
        """(H, W), 0 to 255; each kind of `UserWarning` comes once, for the first mask that gives reason for it."""
        told: set[str] = set()
        if self.video is None:
            for path in self.paths[start:]:
                yield None if path is None else _warning_once(told, str(path), self._read, path)
        else:
            start += self.first
            for number, frame in enumerate(read_frames(self.video, start=start), start + 1):
                yield _warning_once(told, f"{self.video.path}, frame {number}", self._understood, frame)

    def part(self, frames: range) -> "Masks":
        """Those of some successive frames."""
        return replace(self, paths=self.paths[frames.start : frames.stop], first=self.first + frames.start)

    def _read(self, path: Path) -> NDArray[np.uint8]:
        if self.label is None:
            return read_mask(path, choice=self.choice)
        return read_label(path, self.label, channel=self.choice.channel)

    def _understood(self, frame: NDArray[Any]) -> NDArray[np.uint8]:
        drawn = DrawnMask(values=frame, top=np.iinfo(frame.dtype).max, is_lossy=True)
        mask, notes = understand(drawn, self.choice, name="the mask")
        for note in notes:
            warnings.warn(note, stacklevel=2)
        return mask.as_bytes()


def _warning_once(
    told: set[str], name: str, read: Callable[[Any], NDArray[np.uint8]], source: Any
) -> NDArray[np.uint8]:
    """Read a mask; of its warnings, pass on those whose like was not told before, with the mask's name.

    Raises:
        InputError: What the mask marks is ambiguous.
    """
    with warnings.catch_warnings(record=True, action="always") as caught:
        try:
            mask = read(source)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    for warning in caught:
        kind = re.sub(r"\d+", "", str(warning.message))
        if kind not in told:
            told.add(kind)
            warnings.warn(f"{name}: {warning.message}", stacklevel=3)
    return mask


def open_clip(path: Path, colour_space: str | None = None) -> AbstractClip:
    """A folder of pictures or a video file.

    Args:
        path: The folder or file.
        colour_space: See `AbstractClip.colour_space`.

    Raises:
        InputError: It is neither.
        VideoError: The video file cannot be read.
    """
    if path.is_dir():
        return FolderClip(_pictures(path), colour_space)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder")
    return VideoClip(probe(path), colour_space=colour_space)


def open_part(
    clip_path: Path,
    masks_path: Path,
    choice: MaskChoice | None = None,
    *,
    first: int | None,
    last: int | None,
    objects: str | None = None,
    colour_space: str | None = None,
) -> tuple[AbstractClip, dict[str, Masks]]:
    """A clip and the masks of its objects, or some successive frames of it; a picture is the mask of their first.

    Args:
        clip_path: As for `open_clip`.
        masks_path: As for `open_masks`, of the whole clip; or a folder of such folders and video files, one per object.
        choice: What the user says about the masks.
        first: The first frame to take, counted from 1; None: the clip's.
        last: The last one; None: the clip's.
        objects: The objects of masks that are maps of labels, as for `choose_labels`; None: they are not.
        colour_space: As for `open_clip`.

    Returns:
        The frames, and the name of each object to its masks; a single one of which nothing says the name is "".

    Raises:
        InputError: As for `open_clip`, `open_masks` and `choose_labels`; or there are no such frames, none of them has
            a mask of an object, or an object's name has other characters than letters, digits, - and _.
    """
    clip = open_clip(clip_path, colour_space)
    frames = range((first or 1) - 1, last or len(clip.names))
    if not 0 <= frames.start < frames.stop <= len(clip.names):
        raise InputError(
            f"{clip_path} has frames 1 to {len(clip.names)}, not {frames.start + 1} to {frames.stop} (--from, --to)"
        )
    part = clip if len(frames) == len(clip.names) else clip.part(frames)
    paths = {"": masks_path} if objects else _paths_of_objects(masks_path)
    masks = {name: _open_some(path, clip, part, frames, choice) for name, path in paths.items()}
    if objects:
        masks = choose_labels(masks[""], objects)
    for name in masks:
        if not re.fullmatch(r"[\w-]*", name):
            raise InputError(f"{name!r} is not a name of an object; accepted: letters, digits, - and _")
    return part, masks


def _paths_of_objects(masks: Path) -> dict[str, Path]:
    """The folders and video files in a folder without pictures, by the names of their objects; else the path itself."""
    if not masks.is_dir() or any(path.suffix.lower() in PICTURE_SUFFIXES for path in masks.iterdir()):
        return {"": masks}
    found = {
        path.stem if path.is_file() else path.name: path
        for path in sorted(masks.iterdir())
        if not path.name.startswith(".") and (path.is_dir() or path.suffix.lower() in ffmpeg.SUFFIXES)
    }
    return found or {"": masks}


def _open_some(path: Path, clip: AbstractClip, part: AbstractClip, frames: range, choice: MaskChoice | None) -> Masks:
    """The masks of one object, of some frames of a clip."""
    if part is clip or (not path.is_dir() and path.suffix.lower() in PICTURE_SUFFIXES):
        return open_masks(path, part, choice)
    masks = open_masks(path, clip, choice).part(frames)
    if not masks.files:
        raise InputError(f"{path}: no mask for a frame from {frames.start + 1} to {frames.stop} (--from, --to)")
    return masks


def choose_labels(masks: Masks, objects: str) -> dict[str, Masks]:
    """The objects in pictures that are maps of labels.

    Args:
        masks: The pictures.
        objects: "all", or labels separated by commas, each behind a name if it has one: "1,2", "dog=1,cat=#ff0000".
            A label is a value, a palette index or a colour; 0 and black are the background.

    Returns:
        The name of each object to its masks; without a name, that is the label.

    Raises:
        InputError: The masks are a video file, no picture has a label, or a name comes twice.
    """
    if masks.video is not None:
        raise InputError("--objects needs masks in picture files, because video compression changes labels")
    there = dict.fromkeys(
        label for path in dict.fromkeys(masks.files) for label in read_labels(path, channel=masks.choice.channel)
    )
    pairs = [part.strip().rpartition("=") for part in objects.split(",")]
    if objects == "all":
        pairs = [("", "", label) for label in sorted(there, key=lambda label: (len(label), label))]
    chosen: dict[str, Masks] = {}
    for given, _, label in pairs:
        name = given or label.removeprefix("#")
        if label.lower() not in there:
            raise InputError(f"no mask has the label {label!r}; they have {', '.join(there) or 'none'} (--objects)")
        if name in chosen:
            raise InputError(f"two objects have the name {name!r} (--objects)")
        chosen[name] = replace(masks, label=label.lower())
    if not chosen:
        raise InputError("no mask has a label other than 0 and black (--objects)")
    return chosen


def open_masks(path: Path, clip: AbstractClip, choice: MaskChoice | None = None) -> Masks:
    """A picture (of the first frame), a folder of pictures, or a video file.

    The masks of a folder belong to a folder's frames by name; to a video's in order, if there are as many, and else by
    the last number in their names, counted from 1.

    Args:
        path: The masks.
        clip: Their frames.
        choice: What the user says about the masks.

    Raises:
        InputError: The masks do not fit the clip.
        VideoError: The video file cannot be read.
    """
    choice = choice or MaskChoice()
    num_frames = len(clip.names)
    if path.is_dir():
        found = _pictures(path)
        by_frame = (
            dict(enumerate(found)) if clip.info and len(found) == num_frames else _match(found, clip, folder=path)
        )
        return Masks(paths=tuple(by_frame.get(index) for index in range(num_frames)), choice=choice)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return Masks(paths=(path, *[None] * (num_frames - 1)), choice=choice)
    if path.suffix.lower() not in ffmpeg.SUFFIXES:
        raise InputError(f"{path}: neither a picture, nor a folder of pictures, nor a video file")
    info = probe(path)
    if info.num_frames != num_frames:
        raise InputError(f"{path} has {info.num_frames} frames and the clip {num_frames}; masks need as many")
    return Masks(video=info, choice=choice)


def _is_damaged(path: Path) -> bool:
    """Whether the content of a picture is what keeps it from being read."""
    try:
        read_image(path)
    except ImageFileError as error:
        return not isinstance(error.__cause__, OSError) or error.__cause__.errno is None
    return False


def check_frame(frame: NDArray[Any], size: tuple[int, int], name: str) -> None:
    """Check that a frame is as large as the first one.

    Raises:
        VideoError: It is not.
    """
    if frame.shape[:2] != size:
        raise VideoError(
            f"frame {name} has {frame.shape[1]} x {frame.shape[0]} pixels, the first one {size[1]} x {size[0]}"
        )


def _match(masks: Sequence[Path], clip: AbstractClip, *, folder: Path) -> dict[int, Path]:
    """Frame to mask, by name."""
    files = [path.name for path in clip.paths] if isinstance(clip, FolderClip) else []
    frame_of = match_names(files, [mask.name for mask in masks])
    matched: dict[int, Path] = {}
    for mask in masks:
        numbers = re.findall(r"\d+", mask.stem)
        if clip.info is None:
            index = files.index(frame_of[mask.name]) if mask.name in frame_of else None
        else:
            index = int(numbers[-1]) - 1 if numbers else None
        if index is None or not 0 <= index < len(clip.names):
            raise InputError(
                f"{mask}: belongs to no frame; "
                + (
                    "a mask has the name of its frame"
                    + (f", and the nearest name is {like}" if (like := find_nearest(mask.name, clip.names)) else "")
                    if clip.info is None
                    else f"{folder} has {len(masks)} masks for {len(clip.names)} frames, so their names must end in "
                    "the frame's number, from 1 on"
                )
            )
        if index in matched:
            raise InputError(f"{mask} and {matched[index].name} belong to the same frame")
        matched[index] = mask
    return matched


def _pictures(folder: Path) -> list[Path]:
    """In natural order: frame2 before frame10."""
    found = list_pictures(folder)
    stems = [path.stem for path in found]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise InputError(f"{folder}: several files have the name {twice}")
    return sorted(found, key=lambda path: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", path.stem)])
