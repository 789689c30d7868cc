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
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import write_image
from mask2alpha.ops.masks import MaskChoice
from mask2alpha.ops.orientation import turn_upright
from mask2alpha.video import ffmpeg
from mask2alpha.video import job as job_module
from mask2alpha.video.clips import open_clip, open_masks
from mask2alpha.video.ffmpeg import VideoInfo, find_program, probe, read_frames, write_pictures
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
    job = VideoJob(clip=clip, objects={"": masks}, targets={("", kind): target}, is_steady=False, settings={})
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
    assert (info.num_frames, info.rate) == (NUM_FRAMES, Fraction(30000, 1001))
    assert [sound.codec for sound in info.sounds] == ["flac"]
    assert not info.is_rate_variable
    frames = list(read_frames(info, start=3))
    assert len(frames) == NUM_FRAMES - 3
    assert all((frame == colour_of(index)).all() for index, frame in enumerate(frames, 3))
    assert frames[0].dtype == np.uint8


@needs_ffmpeg
def test_every_frame_has_a_small_picture(clip_file: Path, tmp_path: Path) -> None:
    assert write_pictures(probe(clip_file), tmp_path, max_side=32) == NUM_FRAMES
    for index in range(NUM_FRAMES):
        picture = read_image(tmp_path / f"{index + 1:06d}.jpg").pixels
        assert picture.shape == (24, 32, 3)
        assert np.abs(picture.astype(int) - colour_of(index)).max() <= 4
    (tmp_path / "whole").mkdir()
    write_pictures(probe(clip_file), tmp_path / "whole", max_side=1280)
    assert read_image(tmp_path / "whole" / "000001.jpg").pixels.shape == (*SIZE, 3)


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
    assert (info.num_frames, len(info.sounds)) == (NUM_FRAMES, 1)
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


def turned_file(path: Path, orientation: int) -> Path:
    """A clip whose left upper corner is red, and whose display matrix says how the camera lay."""
    stored = np.zeros((NUM_FRAMES, *SIZE, 3), np.uint8)
    stored[:, : SIZE[0] // 2, : SIZE[1] // 2, 0] = 250
    arguments = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE[1]}x{SIZE[0]}"]
    arguments += ["-i", "pipe:0", "-c:v", "mpeg4", "-q:v", "1", str(path)]
    subprocess.run(arguments, input=stored.tobytes(), check=True)
    data = bytearray(path.read_bytes())
    a, b, c, d = next(signs for signs, number in ffmpeg._ORIENTATIONS.items() if number == orientation)
    matrix = np.array([[a, b, 0], [c, d, 0], [0, 0, 2**14]]) * 2**16
    start = data.index(b"tkhd") + 44
    data[start : start + 36] = matrix.astype(">i4").tobytes()
    path.write_bytes(data)
    return path


@needs_ffmpeg
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_clip_is_read_upright_and_says_how_it_lay(tmp_path: Path, orientation: int) -> None:
    info = probe(turned_file(tmp_path / "clip.mp4", orientation))
    assert info.orientation == orientation
    stored = np.zeros(SIZE, bool)
    stored[: SIZE[0] // 2, : SIZE[1] // 2] = True
    frame = next(read_frames(info))
    assert ((frame[..., 0] > 125) == turn_upright(stored, orientation)).mean() > 0.98


@needs_ffmpeg
@pytest.mark.parametrize("kind", ["folder", "clip"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_masks_in_the_cameras_orientation_are_turned_as_the_clip_is(
    tmp_path: Path, orientation: int, kind: str
) -> None:
    clip = open_clip(turned_file(tmp_path / "clip.mp4", orientation))
    if kind == "clip":
        mask_file = turned_file(tmp_path / "masks.mp4", 1)  # which has lost the rotation
        masks = open_masks(mask_file, clip, MaskChoice(channel="red"))
    else:
        stored = np.zeros(SIZE, np.uint8)
        stored[: SIZE[0] // 2, : SIZE[1] // 2] = 255
        for index in range(NUM_FRAMES):
            write_image(tmp_path / "masks" / f"{index}.png", stored)
        masks = open_masks(tmp_path / "masks", clip)
    job = VideoJob(
        clip=clip, objects={"": masks}, targets={("", "alpha"): tmp_path / "out"}, is_steady=False, settings={}
    )
    [note] = run(job, FakePredictor).notes
    assert "as the camera saw it" in note
    frame = next(clip.frames()).pixels[..., 0] > 125
    alpha = read_image(tmp_path / "out" / "000001.png").pixels[..., 0] > 127
    assert (frame == alpha).mean() > 0.97


@needs_ffmpeg
def test_every_sound_and_the_timecode_are_kept(tmp_path: Path) -> None:
    sound = ("-f", "lavfi", "-i", "sine=frequency=900:duration=0.33", "-map", "0", "-map", "1", "-map", "2")
    sound += ("-c:a:0", "pcm_s16le", "-c:a:1", "libvorbis", "-metadata:s:a:1", "language=fra")
    sound += ("-metadata", "timecode=01:02:03:04")
    info = matte_to(tmp_path / "cut.mov", make_file(tmp_path / "clip.mkv", "-c:v", "mpeg4", sound=sound), "alpha")
    assert [each.codec for each in info.sounds] == ["pcm_s16le", "aac"]
    assert info.timecode == "01:02:03:04"
    assert (
        b"fra"
        in subprocess.run(
            ["ffprobe", "-v", "error", "-show_entries", "stream_tags=language", str(tmp_path / "cut.mov")],
            capture_output=True,
            check=True,
        ).stdout
    )


@needs_ffmpeg
def test_a_webm_says_that_it_has_no_timecode(tmp_path: Path) -> None:
    clip_file = make_file(tmp_path / "clip.mov", "-c:v", "mpeg4", "-timecode", "10:00:00:00")
    clip = open_clip(clip_file)
    for index in range(NUM_FRAMES):
        write_image(tmp_path / "masks" / f"{index}.png", np.eye(*SIZE, dtype=np.uint8) * 255)
    masks = open_masks(tmp_path / "masks", clip)
    job = VideoJob(
        clip=clip, objects={"": masks}, targets={("", "alpha"): tmp_path / "a.webm"}, is_steady=False, settings={}
    )
    assert run(job, FakePredictor).notes == ("the timecode (10:00:00:00) was left out, because .webm does not hold it",)


@needs_ffmpeg
def test_the_masks_of_a_clip_are_warned_of_once(tmp_path: Path, clip_file: Path) -> None:
    clip = open_clip(clip_file)
    frames = np.zeros((NUM_FRAMES, *SIZE), np.uint8)
    for index in range(NUM_FRAMES):
        frames[index, :20] = 240 + index  # other values in each frame, none of them white
    arguments = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{SIZE[1]}x{SIZE[0]}"]
    arguments += ["-i", "pipe:0", "-c:v", "ffv1", str(tmp_path / "masks.mkv")]
    subprocess.run(arguments, input=frames.tobytes(), check=True)
    with pytest.warns(UserWarning, match="was taken for the target") as caught:
        masks = list(open_masks(tmp_path / "masks.mkv", clip).frames())
    assert len(caught) == 1
    assert "frame 1" in str(caught[0].message)
    assert all(mask is not None and mask[:20].all() and not mask[20:].any() for mask in masks)


@needs_ffmpeg
def test_a_label_is_chosen_in_every_frame_of_a_clip_and_an_ambiguous_frame_is_named(
    tmp_path: Path, clip_file: Path
) -> None:
    frames = np.zeros((NUM_FRAMES, *SIZE), np.uint8)
    frames[:, :20], frames[:, 30:] = 7, 9
    arguments = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{SIZE[1]}x{SIZE[0]}"]
    arguments += ["-i", "pipe:0", "-c:v", "ffv1", str(tmp_path / "labels.mkv")]
    subprocess.run(arguments, input=frames.tobytes(), check=True)
    clip = open_clip(clip_file)
    [*chosen] = open_masks(tmp_path / "labels.mkv", clip, MaskChoice(label="7")).frames()
    assert all(mask is not None and mask[:20].all() and not mask[20:].any() for mask in chosen)
    with pytest.raises(InputError, match=r"labels\.mkv, frame 1: the mask has the whole values .* --label"):
        next(open_masks(tmp_path / "labels.mkv", clip).frames())


def test_without_ffmpeg_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(VideoError, match="ffmpeg was not found on PATH"):
        find_program("ffmpeg")


def test_other_containers_are_not_written() -> None:
    with pytest.raises(InputError, match=r"ProRes 4444"):
        plan_targets(Path("a.mp4"), ("cutout",), "png", [""])
