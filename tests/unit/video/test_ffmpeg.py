import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2")

from fakes import FakePredictor
from mask2alpha.cli.video import plan_targets
from mask2alpha.errors import InputError, VideoError
from mask2alpha.imaging.encode import write_image
from mask2alpha.video import ffmpeg
from mask2alpha.video import job as job_module
from mask2alpha.video.clips import open_clip, open_masks
from mask2alpha.video.ffmpeg import VideoInfo, find_program, probe, read_frames
from mask2alpha.video.job import VideoJob, run

needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not on PATH"
)
SIZE = (48, 64)
NUM_FRAMES = 10


def colour_of(index: int) -> np.ndarray:
    return np.array([20 + 20 * index, 200 - 15 * index, 90])


def make_file(path: Path, *options: str, sound: tuple[str, ...] = ()) -> Path:
    """Plain frames, each of its own colour, with the options given."""
    frames = np.stack([np.broadcast_to(colour_of(index), (*SIZE, 3)) for index in range(NUM_FRAMES)]).astype(np.uint8)
    arguments = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE[1]}x{SIZE[0]}"]
    arguments += ["-r", "30000/1001", "-i", "pipe:0"]
    if sound:
        arguments += ["-f", "lavfi", "-i", "sine=duration=0.33", *sound]
    subprocess.run([*arguments, *options, str(path)], input=frames.tobytes(), check=True)
    return path


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file(
        tmp_path_factory.mktemp("clip") / "clip.mkv", "-c:v", "ffv1", "-pix_fmt", "gbrp", sound=("-c:a", "flac")
    )


def matte_to(target: Path, clip_file: Path, kind: str) -> VideoInfo:
    """Matte with masks that are white from the left up to a column."""
    clip = open_clip(clip_file)
    for index in range(NUM_FRAMES):
        mask = np.zeros(SIZE, np.uint8)
        mask[:, : 4 * index + 8] = 255
        write_image(target.parent / "masks" / f"{index}.png", mask)
    masks = open_masks(target.parent / "masks", clip)
    job = VideoJob(clip=clip, masks=masks, targets={kind: target}, is_steady=False, settings={})
    run(job, FakePredictor)
    return probe(target)


def decode(path: Path, pixel_format: str, *options: str) -> np.ndarray:
    arguments = [
        "ffmpeg",
        "-v",
        "error",
        *options,
        "-i",
        str(path),
        "-f",
        "rawvideo",
        "-pix_fmt",
        pixel_format,
        "pipe:1",
    ]
    data = subprocess.run(arguments, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.uint8).reshape(-1, *SIZE, {"rgba": 4, "rgb24": 3}[pixel_format])


@needs_ffmpeg
def test_frames_come_as_they_are_from_any_on(clip_file: Path) -> None:
    info = probe(clip_file)
    assert (info.num_frames, info.rate, info.audio_codec) == (NUM_FRAMES, Fraction(30000, 1001), "flac")
    assert not info.is_rate_variable
    frames = list(read_frames(info, start=3))
    assert len(frames) == NUM_FRAMES - 3
    assert all((frame == colour_of(index)).all() for index, frame in enumerate(frames, 3))
    assert frames[0].dtype == np.uint8


@needs_ffmpeg
def test_deep_clips_come_with_16_bits(tmp_path: Path) -> None:
    info = probe(make_file(tmp_path / "deep.mkv", "-c:v", "ffv1", "-pix_fmt", "gbrp10le"))
    frame = next(read_frames(info))
    assert frame.dtype == np.uint16
    assert np.abs(frame / 257 - colour_of(0)).max() < 0.6


@needs_ffmpeg
@pytest.mark.parametrize(("matrix", "value_range"), [("bt709", "tv"), ("smpte170m", "pc")])
def test_colours_survive_range_and_matrix(tmp_path: Path, matrix: str, value_range: str) -> None:
    name = {"bt709": "bt709", "smpte170m": "bt601"}[matrix]
    convert = f"scale=out_color_matrix={name}:out_range={value_range},format=yuv444p"
    options = ["-vf", convert, "-c:v", "ffv1", "-colorspace", matrix, "-color_range", value_range]
    info = probe(make_file(tmp_path / "clip.mkv", *options))
    assert (info.matrix, info.is_full_range) == (name, value_range == "pc")
    assert ("-colorspace", matrix) == info.tags[-2:]
    for index, frame in enumerate(read_frames(info)):
        assert np.abs(frame.astype(int) - colour_of(index)).max() <= 2


@needs_ffmpeg
@pytest.mark.parametrize(("suffix", "codec"), [(".mov", "prores"), (".webm", "vp9")])
def test_a_cutout_file_has_colours_alpha_rate_and_sound(
    tmp_path: Path, clip_file: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, codec: str
) -> None:
    monkeypatch.setattr(job_module, "SEGMENT", 4)  # three segments
    target = tmp_path / f"cut{suffix}"
    info = matte_to(target, clip_file, "cutout")
    assert (info.num_frames, info.audio_codec is not None) == (NUM_FRAMES, True)
    assert abs(float(info.rate) - 30000 / 1001) < 0.02
    decoder = ("-c:v", "libvpx-vp9") if suffix == ".webm" else ()
    frames = decode(target, "rgba", *decoder)
    assert len(frames) == NUM_FRAMES
    for index, frame in enumerate(frames):
        edge = 4 * index + 8
        assert frame[:, : edge - 3, 3].min() > 250
        assert frame[:, edge + 3 :, 3].max() < 5
        assert np.abs(frame[8:-8, 2 : edge - 4, :3].astype(int) - colour_of(index)).max() < 12, codec


@needs_ffmpeg
def test_a_full_range_clip_gives_a_full_range_webm(tmp_path: Path) -> None:
    options = ["-vf", "scale=out_range=pc,format=yuv444p", "-c:v", "ffv1", "-color_range", "pc"]
    info = matte_to(tmp_path / "a.webm", make_file(tmp_path / "clip.mkv", *options), "composite")
    assert info.is_full_range


@needs_ffmpeg
@pytest.mark.parametrize("content", [b"", b"no video at all", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"])
def test_what_is_no_clip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=r"clip\.mp4"):
        probe(tmp_path / "clip.mp4")


@needs_ffmpeg
def test_large_frames_are_refused_before_decoding(clip_file: Path) -> None:
    with pytest.raises(VideoError, match="64 x 48"):
        probe(clip_file, max_pixels=1000)


@needs_ffmpeg
def test_a_truncated_clip_is_told_of(tmp_path: Path, clip_file: Path) -> None:
    info = probe(clip_file)
    torn = tmp_path / "torn.mkv"
    torn.write_bytes(clip_file.read_bytes()[: clip_file.stat().st_size // 2])
    assert probe(torn).num_frames < info.num_frames


@needs_ffmpeg
def test_a_video_of_masks_must_be_as_long(tmp_path: Path, clip_file: Path) -> None:
    for index in range(3):
        write_image(tmp_path / "frames" / f"{index}.png", np.zeros((*SIZE, 3), np.uint8))
    with pytest.raises(InputError, match="10 frames and the clip 3"):
        open_masks(clip_file, open_clip(tmp_path / "frames"))


@needs_ffmpeg
def test_a_failing_encoder_leaves_no_file(tmp_path: Path, clip_file: Path) -> None:
    impossible = replace(probe(clip_file), pixel_shape="nonsense")

    def write_many() -> None:
        with ffmpeg.segment_writer(tmp_path / "a.mov", (*SIZE, 3), np.dtype(np.uint8), impossible) as write:
            for _ in range(100):
                write(np.zeros((*SIZE, 3), np.uint8))

    with pytest.raises(VideoError, match="cannot write"):
        write_many()
    assert not list(tmp_path.iterdir())


def test_without_ffmpeg_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(VideoError, match="ffmpeg was not found on PATH"):
        find_program("ffmpeg")


def test_other_containers_are_not_written() -> None:
    with pytest.raises(InputError, match=r"ProRes 4444"):
        plan_targets(Path("a.mp4"), ("cutout",), "png")
