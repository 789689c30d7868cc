"""Video files through the `ffmpeg` and `ffprobe` programs found on PATH: frames in and out by pipes.

Files are handed over as `file:` paths with that protocol alone allowed and the containers listed, so that a playlist or
an address posing as a video opens nothing else.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import VideoError
from mask2alpha.imaging.atomic import replacing
from mask2alpha.ops.orientation import SIDEWAYS

SUFFIXES = (".mov", ".mp4", ".m4v", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".ts", ".mxf", ".mpg", ".mpeg", ".ogv")
"""Of clips that are read."""
WRITTEN_SUFFIXES = (".mov", ".webm")
MAX_PIXELS = 8192 * 8192
"""Largest frame accepted."""
_CONTAINERS = "mov,matroska,webm,avi,mpegts,mxf,mpeg,ogg"
_MATRICES = {
    "bt709": "bt709", "bt470bg": "bt601", "smpte170m": "bt601", "bt2020nc": "bt2020", "smpte240m": "smpte240m",
}  # fmt: skip
"""ffprobe's names of the matrices between RGB and YCbCr, to those of ffmpeg's `scale`."""
_AUDIO = {
    ".mov": (("aac", "mp3", "alac", "ac3", "eac3", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"), "aac"),
    ".webm": (("opus", "vorbis"), "libopus"),
}
"""Per container: the sound it holds, and what other sound is converted to."""
_ORIENTATIONS: dict[tuple[int, ...], int] = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""The signs of a display matrix (its first two columns of the first two rows) to the EXIF orientation that means it."""
_PIXEL_FORMATS = {
    (1, 1): "gray",
    (1, 2): "gray16le",
    (3, 1): "rgb24",
    (3, 2): "rgb48le",
    (4, 1): "rgba",
    (4, 2): "rgba64le",
}
"""(channels, bytes per sample) of an array to ffmpeg's name."""


class DamagedClipError(VideoError):
    """The rest of a clip cannot be decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A sound stream."""

    stream: int
    """Its index in the file."""
    codec: str
    """ffmpeg's name; "" where ffmpeg does not know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What a video file says about itself."""

    path: Path
    stream: int
    """Index of the picture stream."""
    num_frames: int
    rate: Fraction
    """Frames per second, on average."""
    is_rate_variable: bool
    is_deep: bool
    """More than 8 bits a sample."""
    is_full_range: bool
    """YCbCr uses all values, as in most photos, and not 16 to 235."""
    matrix: str
    """Between YCbCr and RGB, as ffmpeg's `scale` calls it."""
    tags: tuple[str, ...]
    """ffmpeg's options that mark an output with the same primaries, transfer curve and matrix."""
    pixel_shape: str
    """Sample aspect ratio of the upright frames, such as "1/1"."""
    sounds: tuple[Sound, ...]
    start: float
    """When the pictures start, in seconds after the file."""
    orientation: int
    """EXIF's number (1 to 8) for what the file says of its rotation; frames are read upright."""
    timecode: str | None
    """Of the first frame, such as "01:00:00:00"."""


def find_program(name: str) -> str:
    """The path of `ffmpeg` or `ffprobe`.

    Raises:
        VideoError: It is not on PATH.
    """
    path = shutil.which(name)
    if path is None:
        raise VideoError(
            f"{name} was not found on PATH; video files need it (https://ffmpeg.org, or your system's package "
            "ffmpeg). Folders of frames do not"
        )
    return path


def probe(path: Path, *, max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """Read a clip's headers and count its frames; nothing is decoded.

    Raises:
        VideoError: ffprobe is missing, or the file is not a clip in an accepted container, or its frames are too large.
    """
    arguments = [find_program("ffprobe"), "-v", "error", *_guarded(path), "-count_packets"]
    arguments += ["-show_streams", "-show_format", "-of", "json"]
    finished = subprocess.run(arguments, capture_output=True, check=False)
    if finished.returncode:
        raise VideoError(f"{path}: not a clip that can be read: {_last_line(finished.stderr)}")
    found: dict[str, Any] = json.loads(finished.stdout)
    pictures = [
        stream
        for stream in found.get("streams", [])
        if stream.get("codec_type") == "video" and not stream.get("disposition", {}).get("attached_pic")
    ]
    if not pictures:
        raise VideoError(f"{path}: has no moving pictures")
    stream = pictures[0]
    width, height = int(stream.get("width", 0)), int(stream.get("height", 0))
    if not 0 < width * height <= max_pixels:
        raise VideoError(f"{path}: frames of {width} x {height}; accepted: up to {max_pixels} pixels")
    nominal = _fraction(stream.get("r_frame_rate"))
    rate = _fraction(stream.get("avg_frame_rate")) or nominal
    num_frames = int(stream.get("nb_read_packets", 0))
    if not rate or not num_frames:
        raise VideoError(f"{path}: has no frames or no frame rate")
    matrix = _MATRICES.get(stream.get("color_space", ""), "bt709" if min(width, height) >= 720 else "bt601")
    tags = {"color_primaries": "-color_primaries", "color_transfer": "-color_trc", "color_space": "-colorspace"}
    orientation = _orientation(stream)
    pixel_shape = stream.get("sample_aspect_ratio", "1:1").replace("0:1", "1:1").split(":")
    said = [part.get("tags", {}) for part in (stream, found["format"], *found["streams"])]
    timecodes = [tags.get("timecode") or tags.get("TIMECODE") for tags in said]  # Matroska writes capitals
    return VideoInfo(
        path=path,
        stream=stream["index"],
        num_frames=num_frames,
        rate=rate,
        is_rate_variable=nominal is not None and abs(float(nominal / rate) - 1) > 0.01,
        is_deep=any(mark in stream.get("pix_fmt", "") for mark in ("10", "12", "14", "16", "f32")),
        is_full_range=stream.get("color_range") == "pc",
        matrix=matrix,
        tags=tuple(
            part
            for key, option in tags.items()
            if stream.get(key, "unknown") not in ("unknown", "reserved", "gbr")
            for part in (option, stream[key])
        ),
        pixel_shape="/".join(pixel_shape[::-1] if orientation in SIDEWAYS else pixel_shape),
        sounds=tuple(
            Sound(stream=sound["index"], codec=sound.get("codec_name", "").replace("unknown", ""))
            for sound in found["streams"]
            if sound.get("codec_type") == "audio"
        ),
        start=float(stream.get("start_time", 0)) - float(found["format"].get("start_time", 0)),
        orientation=orientation,
        timecode=next(filter(None, timecodes), None),
    )


def read_frames(info: VideoInfo, *, start: int = 0) -> Iterator[NDArray[Any]]:
    """Decode a clip from frame `start` on: (H, W, 3) RGB, uint8 or, where the clip is deeper, uint16; upright.

    Every frame comes once, whatever its time stamp.

    Raises:
        VideoError: ffmpeg is missing or was killed.
        DamagedClipError: ffmpeg fails.
    """
    filters = (
        f"trim=start_frame={start},setpts=N/25/TB,"
        f"scale=in_color_matrix={info.matrix}:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp,"
        f"format={'rgb48be' if info.is_deep else 'rgb24'}"
    )
    arguments = [*_decoding(info, filters, MAX_PIXELS), "-c:v", "ppm", "-f", "image2pipe", "pipe:1"]
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=messages)
        assert process.stdout is not None
        try:
            while (frame := _read_ppm(process.stdout)) is not None:
                yield frame
            if status := process.wait():
                messages.seek(0)
                reason = f"{info.path}: ffmpeg cannot decode it: {_last_line(messages.read())}"
                raise DamagedClipError(reason) if status > 0 else VideoError(f"{reason} (killed by signal {-status})")
        finally:
            process.kill()  # where the caller wanted no more
            process.wait()
            process.stdout.close()


def write_pictures(info: VideoInfo, folder: Path, *, max_side: int, max_pixels: int = MAX_PIXELS) -> int:
    """Write a small picture of every frame, upright, for a look: `000001.jpg` and so on.

    Args:
        info: The clip.
        folder: Where to write; it exists.
        max_side: Longest side of a picture; smaller frames keep their size.
        max_pixels: Largest frame accepted.

    Returns:
        Number of pictures, which is less than that of the frames if the clip breaks off.

    Raises:
        VideoError: ffmpeg is missing, or no frame can be decoded.
    """
    filters = (
        f"setpts=N/25/TB,scale=min({max_side}\\,iw):min({max_side}\\,ih):force_original_aspect_ratio=decrease"
        f":in_color_matrix={info.matrix}:out_color_matrix=bt601:out_range=full:flags=area,format=yuvj444p"
    )
    arguments = [*_decoding(info, filters, max_pixels), "-frames:v", str(info.num_frames), "-c:v", "mjpeg", "-q:v", "3"]
    arguments += ["-f", "image2", f"file:{folder / '%06d.jpg'}"]
    finished = subprocess.run(arguments, capture_output=True, check=False)
    num_pictures = sum(1 for _ in folder.glob("*.jpg"))
    if not num_pictures:
        raise VideoError(f"{info.path}: ffmpeg cannot decode it: {_last_line(finished.stderr)}")
    return num_pictures


@contextmanager
def segment_writer(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], info: VideoInfo
) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Encode frames into a file, which is complete when the block has ended well, and absent otherwise.

    Args:
        path: `.mov` (ProRes 4444) or `.webm` (VP9).
        shape: Of each frame: (H, W) grey, (H, W, 3) RGB or (H, W, 4) with alpha, not premultiplied.
        dtype: uint8 or uint16.
        info: The clip whose rate, colours and pixel shape are kept.

    Returns:
        A function that appends a frame.

    Raises:
        VideoError: ffmpeg is missing or fails.
    """
    channels, suffix = shape[2] if len(shape) == 3 else 1, path.suffix.lower()
    codec, pixel_format, is_full_range = _codec(suffix, has_alpha=channels == 4, info=info)
    value_range = "pc" if is_full_range else "tv"
    filters = (
        f"scale=out_color_matrix={info.matrix}:out_range={value_range}:flags=bicubic+accurate_rnd+full_chroma_int,"
        f"format={pixel_format},setsar={info.pixel_shape}"
    )
    with replacing(path) as temporary, tempfile.TemporaryFile() as messages:
        arguments = [find_program("ffmpeg"), "-v", "error", "-f", "rawvideo", "-r", str(info.rate)]
        arguments += ["-pix_fmt", _PIXEL_FORMATS[channels, dtype.itemsize], "-s", f"{shape[1]}x{shape[0]}"]
        arguments += ["-i", "pipe:0", "-vf", filters, *codec, *info.tags, "-color_range", value_range]
        arguments += ["-f", suffix[1:], f"file:{temporary}"]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=messages)
        assert process.stdin is not None
        pipe = process.stdin

        def write(frame: NDArray[Any]) -> None:
            assert (frame.shape, frame.dtype) == (shape, dtype), (frame.shape, frame.dtype)
            pipe.write(np.ascontiguousarray(frame).data)

        try:
            yield write
            pipe.close()
            if process.wait():
                raise BrokenPipeError
        except BrokenPipeError as error:
            process.wait()
            messages.seek(0)
            raise VideoError(f"{path}: ffmpeg cannot write it: {_last_line(messages.read())}") from error
        finally:
            process.kill()  # where the block failed
            process.wait()
            with suppress(BrokenPipeError):
                pipe.close()


def join_segments(
    segments: Sequence[Path], num_frames: Sequence[int], path: Path, info: VideoInfo, *, longest: float | None = None
) -> list[str]:
    """Put segments behind each other, copied bit for bit, and add the clip's sounds and timecode.

    The file is complete or absent.

    Args:
        segments: In order, in one folder, under plain names: ffmpeg reads them from a list, in which characters of the
            user's own names would have a meaning.
        num_frames: Of each.
        path: The file to write, of the segments' suffix.
        info: The clip that the sounds and the timecode come from.
        longest: Cut the file off after so many seconds; None: do not.

    Returns:
        Notes on sounds and timecodes that could not be kept.

    Raises:
        VideoError: ffmpeg fails, or the file cannot be written.
    """
    folder, suffix = segments[0].parent, path.suffix.lower()
    lines = ["ffconcat version 1.0"]
    for segment, count in zip(segments, num_frames, strict=True):
        lines += [f"file {segment.name}", f"duration {float(count / info.rate):.6f}"]
    (folder / "segments.ffconcat").write_text("\n".join(lines) + "\n")
    arguments = [find_program("ffmpeg"), "-nostdin", "-v", "error", "-itsoffset", f"{info.start:.6f}"]
    arguments += ["-protocol_whitelist", "file", "-f", "concat", "-i", "file:segments.ffconcat"]
    sounds, notes = _sounds(info, suffix)
    if sounds:
        arguments += _guarded(info.path)
    timecode = ["-timecode", info.timecode] if info.timecode and suffix == ".mov" else []
    if info.timecode and not timecode:
        notes.append(f"the timecode ({info.timecode}) was left out, because {suffix} does not hold it")
    limit = [] if longest is None else ["-t", f"{longest:.6f}"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        arguments += ["-map", "0:v", "-c:v", "copy", *sounds, *timecode, *limit]
        arguments += ["-f", suffix[1:], f"file:{temporary.absolute()}"]
        finished = subprocess.run(arguments, capture_output=True, check=False, cwd=folder)
        if finished.returncode:
            raise VideoError(f"{path}: ffmpeg cannot write it: {_last_line(finished.stderr)}")
    return notes


def _sounds(info: VideoInfo, suffix: str) -> tuple[list[str], list[str]]:
    """Options that map every sound stream of the second input, and notes for the user."""
    held, substitute = _AUDIO[suffix]
    options: list[str] = []
    notes = []
    known = [sound for sound in info.sounds if sound.codec]
    for place, sound in enumerate(known):
        is_kept = sound.codec in held
        options += ["-map", f"1:{sound.stream}", f"-c:a:{place}", "copy" if is_kept else substitute]
        if not is_kept:
            notes.append(f"the sound ({sound.codec}) was converted, because {suffix} does not hold it")
    if len(known) < len(info.sounds):
        notes.append("sound in a format that ffmpeg does not know was left out")
    return options, notes


def _orientation(stream: dict[str, Any]) -> int:
    """The EXIF orientation that a stream's display matrix means; 1 where it states none."""
    for part in stream.get("side_data_list", ()):
        rows = [row.partition(":")[2].split() for row in part.get("displaymatrix", "").strip().splitlines()]
        if len(rows) == 3 and all(len(row) == 3 for row in rows):
            numbers = [int(number) for row in rows[:2] for number in row[:2]]
            largest = max(map(abs, numbers))  # the matrix may also scale
            signs = tuple((number > largest / 2) - (number < -largest / 2) for number in numbers)
            return _ORIENTATIONS.get(signs, 1)
    return 1


def try_target(path: Path, work_folder: Path, shape: tuple[int, ...], dtype: np.dtype[Any], info: VideoInfo) -> None:
    """Write a file of one black frame and the beginning of the sound, as the whole clip will be written.

    Args:
        path: The file that is to be written in the end.
        work_folder: Takes the trial, which is removed again.
        shape: Of a frame; see `segment_writer`.
        dtype: Of its samples.
        info: The clip.

    Raises:
        VideoError: It cannot be written: ffmpeg lacks an encoder, say.
    """
    segment, whole = (work_folder / f"{name}{path.suffix.lower()}" for name in ("one-frame", "trial"))
    try:
        with segment_writer(segment, shape, dtype, info) as write:
            write(np.zeros(shape, dtype))
        join_segments([segment], [1], whole, info, longest=float(1 / info.rate))
    except VideoError as error:
        raise VideoError(str(error).replace(str(whole), str(path)).replace(str(segment), str(path))) from error
    finally:
        segment.unlink(missing_ok=True)
        whole.unlink(missing_ok=True)


def _codec(suffix: str, *, has_alpha: bool, info: VideoInfo) -> tuple[list[str], str, bool]:
    """Encoder options, pixel format, and whether it is written in the full range."""
    if suffix == ".mov":  # ProRes knows the narrow range only
        alpha = ["-alpha_bits", "16"] if has_alpha else []
        return (
            ["-c:v", "prores_ks", "-profile:v", "4444", "-vendor", "apl0", *alpha],
            "yuva444p10le" if has_alpha else "yuv444p10le",
            False,
        )
    options = ["-c:v", "libvpx-vp9", "-crf", "18", "-b:v", "0", "-cpu-used", "4", "-row-mt", "1"]
    options += ["-auto-alt-ref", "0"] if has_alpha else []
    return options, "yuva420p" if has_alpha else "yuv420p", info.is_full_range


def _decoding(info: VideoInfo, filters: str, max_pixels: int) -> list[str]:
    """A command that decodes the pictures of a clip; each comes once, at 25 a second, whatever its time stamp."""
    arguments = [find_program("ffmpeg"), "-nostdin", "-v", "error", "-max_pixels", str(max_pixels)]
    return [*arguments, *_guarded(info.path), "-map", f"0:{info.stream}", "-vf", filters, "-r", "25"]


def _guarded(path: Path) -> list[str]:
    return ["-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS, "-i", f"file:{path.absolute()}"]


def _read_ppm(pipe: IO[bytes]) -> NDArray[Any] | None:
    if not pipe.readline():  # P6
        return None
    width, height = map(int, pipe.readline().split())
    dtype = np.dtype(">u2" if int(pipe.readline()) > 255 else "u1")
    data = pipe.read(width * height * 3 * dtype.itemsize)
    if len(data) < width * height * 3 * dtype.itemsize:
        return None  # ffmpeg's exit code tells why
    frame = np.frombuffer(data, dtype=dtype).reshape(height, width, 3)
    return frame.astype(np.uint16) if dtype.itemsize == 2 else frame.copy()


def _fraction(text: Any) -> Fraction | None:
    numerator, _, denominator = str(text or "0/0").partition("/")
    return Fraction(int(numerator), int(denominator)) if int(numerator) and int(denominator or 0) else None


def _last_line(messages: bytes) -> str:
    lines = messages.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
