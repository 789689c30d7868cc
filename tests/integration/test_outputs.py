"""Outputs at every door: never over an input, never stale, under names that we write, and errors in plain words."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

pytest.importorskip("cv2")

from fakes import FakePredictor
from mask2alpha.cli.main import main
from mask2alpha.errors import VideoError
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import FORMATS, Tags, write_image
from mask2alpha.imaging.spaces import SPACES
from mask2alpha.video import job as job_module

needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not on PATH"
)
needs_exiftool = pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not on PATH")
SIZE = (48, 64)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/ and masks/ with 1 to 3, and the working folder."""
    rng = np.random.default_rng(0)
    for number in (1, 2, 3):
        write_image(tmp_path / "photos" / f"{number}.png", rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
        write_image(tmp_path / "masks" / f"{number}.png", left(20 + number))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def left(width: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[:, :width] = 255
    return mask


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


OVERWRITING = {
    "a mask by a link": ("matte", "photos/1.png", "masks/1.png", "-o", "link.png"),
    "the photo in another spelling": ("matte", "photos/1.png", "masks/1.png", "-o", "masks/../photos/1.png"),
    "photos in a folder called as a kind": ("matte", "cutout", "masks", "-o", ".", "--output", "alpha,cutout"),
    "masks in a folder called as a kind": ("matte", "photos", "alpha", "-o", ".", "--output", "cutout,alpha"),
    "the background": ("matte", "photos/1.png", "masks/1.png", "-o", "photos/2.png", "--background", "photos/2.png"),
    "frames": ("video", "cutout", "masks", "-o", ".", "--output", "cutout"),
    "masks of frames, foreground": ("video", "photos", "foreground", "-o", ".", "--output", "foreground"),
    "the only mask of a clip": ("video", "photos", "alpha/1.png", "-o", ".", "--output", "alpha"),
    "the background of a clip": (
        "video", "photos", "masks", "-o", ".", "--output", "composite", "--background", "composite/2.png"
    ),
    "masks of a manifest": ("batch", "alpha.csv", "."),
    "masks of a manifest, by a link": ("batch", "alpha.csv", "linked"),
    "the manifest": ("batch", "results.parquet", "."),
    "a photo and a mask at once": ("mask", "photos/1.png", "-o", "photos/../photos/1.png", "--box", "1,1,9,9"),
    "what is explained": ("explain", "steps.png", "masks/1.png", "-o", "."),
}  # fmt: skip


@pytest.mark.parametrize("has_overwrite", [False, True])
@pytest.mark.parametrize("name", list(OVERWRITING))
def test_no_output_is_an_input(folder: Path, fake: FakePredictor, name: str, has_overwrite: bool) -> None:
    for copy in ("cutout", "foreground", "composite"):
        shutil.copytree("photos", copy)
    shutil.copytree("masks", "alpha")
    shutil.copy("photos/1.png", "steps.png")
    Path("link.png").symlink_to("masks/1.png")
    Path("linked").symlink_to(".")
    Path("alpha.csv").write_text("photo,mask\nphotos/1.png,alpha/1.png\n", encoding="utf-8")
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    parquet.write_table(pyarrow.table({"photo": ["photos/1.png"], "mask": ["masks/1.png"]}), "results.parquet")
    before = contents(folder)
    arguments = OVERWRITING[name]
    result = call(*arguments, *(["--overwrite"] if has_overwrite and arguments[0] != "explain" else []))
    if arguments[0] == "mask" and not has_overwrite:
        assert "exists" in result.stderr
    else:
        assert "is an input and would be overwritten" in result.stderr
    assert result.exit_code == 2
    assert fake.num_encoded == 0
    assert contents(folder) == before


@pytest.mark.parametrize("change", ["mask", "photo", "background", "bits", "steps", "metadata", "budget", "nothing"])
def test_a_matte_of_other_inputs_or_options_is_made_again(folder: Path, fake: FakePredictor, change: str) -> None:
    shutil.copy("photos/3.png", "background.png")
    arguments = [
        "matte",
        "photos",
        "masks",
        "-o",
        "out",
        "--output",
        "alpha,composite",
        "--background",
        "background.png",
    ]
    assert "3 matted" in call(*arguments).stderr
    if change in ("mask", "photo"):
        shutil.copy(f"{change}s/1.png", f"{change}s/2.png")
    elif change == "background":
        shutil.copy("photos/1.png", "background.png")
    else:
        options = {"bits": ["--bits", 16], "steps": ["--steps", 3], "metadata": ["--keep-metadata"]}
        arguments += options.get(change, ["--active-budget", 7] if change == "budget" else [])
    result = call(*arguments)
    assert result.exit_code == 0, result.stderr
    num_again = {"mask": 1, "photo": 1, "nothing": 0}.get(change, 3)
    skipped = f"{3 - num_again} skipped because they exist, " if num_again < 3 else ""
    assert f"{num_again} matted, {skipped}0 failed" in result.stderr
    if change == "mask":
        assert np.array_equal(read_image("out/alpha/2.png").pixels[..., 0], left(21))


def test_a_retouched_matte_stays_until_overwrite_is_given(folder: Path, fake: FakePredictor) -> None:
    call("matte", "photos", "masks", "-o", "out")
    write_image("out/alpha/2.png", left(5))
    assert "0 matted, 3 skipped" in call("matte", "photos", "masks", "-o", "out").stderr
    shutil.copy("masks/1.png", "masks/2.png")
    result = call("matte", "photos", "masks", "-o", "out")
    assert (result.exit_code, "--overwrite" in result.stderr, fake.num_predicted) == (2, True, 3)
    assert "3 matted" in call("matte", "photos", "masks", "-o", "out", "--overwrite").stderr


@pytest.mark.parametrize("change", ["mask", "frame", "colours", "steady", "background", "nothing", "deleted"])
def test_frames_of_other_inputs_or_options_are_made_again(folder: Path, fake: FakePredictor, change: str) -> None:
    arguments: list[Any] = ["video", "photos", "masks", "-o", "out", "--output", "alpha"]
    assert "3 frames matted" in call(*arguments).stderr
    if change == "mask":
        shutil.copy("masks/1.png", "masks/3.png")
    elif change == "frame":
        shutil.copy("photos/1.png", "photos/3.png")
    elif change == "deleted":
        Path("out/alpha/2.png").unlink()
    options = {"colours": ["--colours", "original"], "steady": ["--no-steady"], "background": ["--background", "red"]}
    result = call(*arguments, *options.get(change, []))
    assert result.exit_code == 0
    assert ("up to date" if change == "nothing" else "3 frames matted") in result.stderr
    write_image("out/alpha/1.png", left(1))
    assert "--overwrite" in call(*arguments, "--active-budget", "9").stderr


@pytest.mark.parametrize("change", ["mask", "photo", "deleted", "nothing"])
def test_rows_of_other_inputs_are_made_again(folder: Path, fake: FakePredictor, change: str) -> None:
    pytest.importorskip("pyarrow")
    Path("m.csv").write_text(
        "photo,mask\n" + "".join(f"photos/{n}.png,masks/{n}.png\n" for n in (1, 2, 3)), encoding="utf-8"
    )
    assert "3 matted, 0 done before" in call("batch", "m.csv", "out").stderr
    if change in ("mask", "photo"):
        shutil.copy(f"{change}s/1.png", f"{change}s/2.png")
    elif change == "deleted":
        Path("out/alpha/2.png").unlink()
    num_again = int(change != "nothing")
    assert f"{num_again} matted, {3 - num_again} done before" in call("batch", "m.csv", "out").stderr
    assert "started with other settings" in call("batch", "m.csv", "out", "--steps", 3).stderr


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.PNG", "png"), ("A.v2.TIFF", "tif"), ("x.Jpeg", "jpg"), ("x.jpe", "jpg"), ("b.TiF", "tif"), ("c.WEBP", "webp")],
)
def test_suffixes_are_heeded_in_any_spelling(folder: Path, fake: FakePredictor, name: str, kind: str) -> None:
    assert call("matte", "photos/1.png", "masks/1.png", "-o", name, "--output", "foreground").exit_code == 0
    with Image.open(name) as picture:
        assert picture.get_format_mimetype() == FORMATS[kind].media_type


@pytest.mark.parametrize("command", ["matte", "video"])
@pytest.mark.parametrize("name", ["a.jp2", "a.tga", "a.HEIC", "a.mp4", "sub/a.b.gif", "a.jxl"])
def test_suffixes_that_are_not_written_are_refused(folder: Path, fake: FakePredictor, command: str, name: str) -> None:
    inputs = ("photos/1.png", "masks/1.png") if command == "matte" else ("photos", "masks")
    result = call(command, *inputs, "-o", name)
    assert result.exit_code == 2
    assert "accepted: ." in result.stderr
    assert "or a folder" in result.stderr
    assert not Path("sub").exists()
    assert not Path(name).exists()


@pytest.mark.parametrize("name", ["shots.v2", "2024.06.01", "out"])
def test_folders_may_have_dots(folder: Path, fake: FakePredictor, name: str) -> None:
    assert call("matte", "photos/1.png", "masks/1.png", "-o", name, "--format", "JPEG").exit_code == 0
    assert (Path(name) / "alpha" / "1.jpg").exists()
    assert call("video", "photos", "masks", "-o", name, "--format", "tiff", "--output", "error").exit_code == 0
    assert (Path(name) / "error" / "3.tif").exists()


def test_a_name_and_a_format_that_contradict_each_other_are_refused(folder: Path, fake: FakePredictor) -> None:
    result = call("matte", "photos/1.png", "masks/1.png", "-o", "a.png", "--format", "jpg")
    assert (result.exit_code, "--format jpg" in result.stderr) == (2, True)


def test_one_output_goes_to_standard_output(folder: Path, fake: FakePredictor) -> None:
    result = call("matte", "photos/1.png", "masks/1.png", "-o", "-", "--format", "webp")
    assert result.stdout_bytes[:4] == b"RIFF"
    assert not Path("-").exists()
    assert "give a folder" in call("matte", "photos", "masks", "-o", "-").stderr


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_frames_of_light_keep_their_values_and_primaries(folder: Path, fake: FakePredictor, dtype: type) -> None:
    openexr = pytest.importorskip("OpenEXR")
    primaries = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
    light = np.broadcast_to(np.linspace(0, 4, SIZE[1], dtype=dtype)[None, :, None], (*SIZE, 3))
    for number in (1, 2, 3):
        write_image(f"light/{number}.exr", np.ascontiguousarray(light), tags=Tags(primaries=primaries))
    kinds = "cutout,foreground,composite,passes"
    result = call("video", "light", "masks", "-o", "out", "--format", "exr", "--output", kinds)
    assert result.exit_code == 0, result.stderr
    for kind in kinds.split(","):
        with openexr.File(f"out/{kind}/2.exr", separate_channels=True) as file:
            assert file.header()["chromaticities"] == pytest.approx(primaries)
            assert np.array_equal(file.channels()["R"].pixels[:, :20], light[:, :20, 0])
    told = call("video", "light", "masks", "-o", "png", "--output", "foreground").stderr
    assert told.count("brighter than white") == 1


@pytest.mark.parametrize("command", ["matte", "batch", "video"])
@pytest.mark.parametrize("compression", ["dwaa", "none"])
def test_exr_files_are_compressed_as_asked(folder: Path, fake: FakePredictor, command: str, compression: str) -> None:
    openexr = pytest.importorskip("OpenEXR")
    where = (".", "out") if command == "batch" else ("photos", "masks", "-o", "out")
    bits = () if command == "batch" else ("--bits", "32")
    result = call(command, *where, "--output", "passes", "--compression", compression, *bits)
    assert result.exit_code == 0, result.stderr
    with openexr.File("out/passes/2.exr", separate_channels=True) as file:
        wanted = {"dwaa": openexr.DWAA_COMPRESSION, "none": openexr.NO_COMPRESSION}
        assert file.header()["compression"] == wanted[compression]
        assert file.channels()["alpha.A"].pixels.dtype == (np.float32 if bits else np.float16)


@pytest.mark.parametrize("command", ["matte", "batch", "video"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_an_acescg_frame_comes_back_bit_for_bit_where_alpha_is_one(
    folder: Path, fake: FakePredictor, command: str, dtype: type
) -> None:
    openexr = pytest.importorskip("OpenEXR")
    light = np.random.default_rng(0).gamma(0.5, 2, (*SIZE, 3)).astype(dtype) - dtype(0.1)
    shutil.rmtree("photos")
    for number in (1, 2, 3):
        write_image(f"photos/{number}.exr", light)  # without primaries: the option says them
    where = (".", "out") if command == "batch" else ("photos", "masks", "-o", "out", "--format", "exr")
    where = (*where, "--no-steady") if command == "video" else where
    kinds = ["passes"] if command == "batch" else ["cutout", "foreground", "composite", "passes"]
    result = call(command, *where, "--output", ",".join(kinds), "--color-space", "acescg")
    assert result.exit_code == 0, result.stderr
    for kind in kinds:
        with openexr.File(f"out/{kind}/2.exr", separate_channels=True) as file:
            assert file.header()["chromaticities"] == pytest.approx(SPACES["acescg"].primaries)
            planes = {name: channel.pixels for name, channel in file.channels().items()}
        made = np.stack([planes[each] for each in "RGB"], axis=2)
        assert made.dtype == dtype
        assert np.array_equal(made[:, :22], light[:, :22])
        if kind == "passes":
            assert np.array_equal(np.stack([planes[f"photo.{each}"] for each in "RGB"], axis=2), light)


@pytest.mark.parametrize("command", ["matte", "video"])
def test_log_numbers_come_back_and_lie_over_a_background_in_their_space(
    folder: Path, fake: FakePredictor, command: str
) -> None:
    pytest.importorskip("tifffile")
    numbers = np.random.default_rng(0).integers(6000, 40000, (*SIZE, 3), dtype=np.uint16)
    shutil.rmtree("photos")
    for number in (1, 2, 3):
        write_image(f"photos/{number}.tif", numbers)
    arguments = ("photos", "masks", "-o", "out", "--output", "cutout,composite", "--color-space", "logc")
    assert call(command, *arguments, *(["--no-steady"] if command == "video" else [])).exit_code == 0
    for kind in ("cutout", "composite"):
        assert np.array_equal(read_image(f"out/{kind}/2.png").pixels[:, :22], numbers[:, :22])
    white = 65535 * SPACES["logc"].numbers(np.ones(1))
    assert np.abs(read_image("out/composite/2.png").pixels[:, 22:] - white).max() <= 1


def test_frames_and_a_region_of_them_are_matted_alone(folder: Path, fake: FakePredictor) -> None:
    arguments = (
        "video",
        "photos",
        "masks",
        "-o",
        "out",
        "--output",
        "alpha",
        "--no-steady",
        "--from",
        "2",
        "--to",
        "2",
    )
    assert call(*arguments, "--region", "10,25%,50%,40").exit_code == 0
    expected = left(22)
    expected[:12] = expected[40:] = expected[:, :10] = 0
    assert [path.name for path in Path("out/alpha").iterdir()] == ["2.png"]
    assert np.array_equal(read_image("out/alpha/2.png").pixels[..., 0], expected)
    assert "up to date" in call(*arguments, "--region", "10,25%,50%,40").stderr
    assert call(*arguments).exit_code == 0
    assert np.array_equal(read_image("out/alpha/2.png").pixels[..., 0], left(22))


@pytest.mark.parametrize("region", ["50,10,20,40", "64,0,90,48", "-9,0,0,48", "nan,0,9,9"])
def test_a_region_without_pixels_is_refused(folder: Path, fake: FakePredictor, region: str) -> None:
    result = call("video", "photos", "masks", "-o", "out", "--region", region)
    assert f"--region {region} covers nothing of frames 64 wide and 48 high" in result.stderr
    assert result.exit_code == 2
    assert fake.num_encoded == 0


def test_bits_are_refused_for_a_video_file(folder: Path, fake: FakePredictor) -> None:
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not on PATH")
    clip = make_clip(folder / "clip.mkv", 3)
    told = call("video", clip, "masks/1.png", "-o", "out.mov", "--bits", "16").stderr
    assert "--bits has no effect on .mov" in told


def test_several_objects_of_a_clip_have_a_folder_each(folder: Path, fake: FakePredictor) -> None:
    for name in ("dog", "cat"):
        shutil.copytree("masks", f"objects/{name}")
    result = call("video", "photos", "objects", "-o", "out", "--output", "alpha,passes", "--exclusive")
    assert result.exit_code == 0, result.stderr
    written = sorted(str(path.relative_to("out")) for path in Path("out").rglob("[0-9]*.*"))
    assert written == sorted(
        f"{place}/{number}{suffix}"
        for number in (1, 2, 3)
        for place, suffix in (("cat/alpha", ".png"), ("dog/alpha", ".png"), ("passes", ".exr"))
    )
    alphas = [read_image(f"out/{name}/alpha/2.png").pixels[..., 0].astype(int) for name in ("dog", "cat")]
    assert np.abs(sum(alphas) - read_image("masks/2.png").pixels[..., 0]).max() <= 1
    assert (
        "up to date"
        in call("video", "photos", "objects", "-o", "out", "--output", "alpha,passes", "--exclusive").stderr
    )


def test_frames_keep_profile_depth_and_grey(folder: Path, fake: FakePredictor) -> None:
    tifffile = pytest.importorskip("tifffile")
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = np.random.default_rng(0).integers(0, 65536, (*SIZE, 3), dtype=np.uint16)
    for number in (1, 2, 3):
        write_image(f"deep/{number}.tif", deep, icc_profile=profile)
        write_image(f"grey/{number}.png", deep[..., 0])
    for name, format_name in (("deep", "tif"), ("deep", "png"), ("grey", "tif"), ("grey", "png")):
        arguments = ("--format", format_name, "--output", "foreground", "--no-steady")
        assert call("video", name, "masks", "-o", f"{name}-{format_name}", *arguments).exit_code == 0
    with tifffile.TiffFile("deep-tif/foreground/2.tif") as file:
        written = file.pages[0]
        assert np.array_equal(written.asarray()[:, :20], deep[:, :20])
        assert bytes(written.tags.valueof(34675)) == profile
    with Image.open("deep-png/foreground/2.png") as picture:
        assert picture.info["icc_profile"] == profile
    assert np.array_equal(tifffile.imread("grey-tif/foreground/3.tif")[:, :20], deep[:, :20, 0])
    with Image.open("grey-png/foreground/3.png") as picture:
        assert picture.mode.startswith("I;16")


def make_clip(path: Path, num_frames: int = 40, *options: str) -> Path:
    """A moving disc, encoded so that frames depend on each other."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    frames = [
        np.dstack([np.where(np.hypot(y - 24, x - 20 - i / 2) < 12, 220, 60), y * 4, x * 3]).astype(np.uint8)
        for i in range(num_frames)
    ]
    arguments = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE[1]}x{SIZE[0]}"]
    arguments += ["-r", "25", "-i", "-", *(options or ("-c:v", "libx264", "-g", "12", "-pix_fmt", "yuv420p"))]
    subprocess.run([*arguments, f"file:{path}"], input=np.stack(frames).tobytes(), check=True)
    return path


def count_frames(path: Path) -> int:
    """By ffprobe, which decodes them."""
    arguments = ["ffprobe", "-v", "error", "-select_streams", "v", "-count_frames", "-show_entries"]
    arguments += ["stream=nb_read_frames", "-of", "csv=p=0", f"file:{path}"]
    return int(subprocess.run(arguments, capture_output=True, check=True, text=True).stdout.strip().strip(","))


@needs_ffmpeg
@pytest.mark.parametrize("start", ["0.3", "0.1", "0.9"])
@pytest.mark.parametrize("target", ["cut.mov", "cut.webm", "folder"])
def test_a_trimmed_clip_gives_the_frames_there_are(
    folder: Path, fake: FakePredictor, monkeypatch: pytest.MonkeyPatch, start: str, target: str
) -> None:
    monkeypatch.setattr(job_module, "SEGMENT", 8)
    clip = make_clip(folder / "clip.mp4")
    subprocess.run(["ffmpeg", "-v", "error", "-ss", start, "-i", clip, "-c", "copy", "cut.mp4"], check=True)
    num_frames = count_frames(folder / "cut.mp4")
    result = call("video", "cut.mp4", "masks/1.png", "-o", target, "--output", "foreground")
    assert result.exit_code == 0, result.stderr
    assert f"only {num_frames} of" in result.stderr
    found = len(list(Path("folder/foreground").iterdir())) if target == "folder" else count_frames(folder / target)
    assert found == num_frames
    assert not list(folder.glob(".*unfinished"))


@needs_ffmpeg
@pytest.mark.parametrize("suffix", [".mkv", ".mpg", ".ts"])
def test_a_clip_whose_end_is_torn_off_gives_the_frames_there_are(
    folder: Path, fake: FakePredictor, suffix: str
) -> None:
    clip = make_clip(folder / f"clip{suffix}", 40, "-c:v", "mpeg2video", "-q:v", "3", "-g", "12")
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    result = call("video", clip, "masks/1.png", "-o", "out.mov", "--output", "alpha")
    assert result.exit_code == 0, result.stderr
    assert 10 < count_frames(folder / "out.mov") < 40


@pytest.mark.parametrize("ending", ["truncated", "empty", "two of another kind"])
def test_frames_whose_end_is_damaged_give_the_frames_there_are(folder: Path, fake: FakePredictor, ending: str) -> None:
    for number in (4, 5):
        shutil.copy("photos/3.png", f"photos/{number}.png")
        shutil.copy("masks/3.png", f"masks/{number}.png")
    last = Path("photos/5.png")
    last.write_bytes({"truncated": last.read_bytes()[:900], "empty": b""}.get(ending, b"no picture"))
    if ending == "two of another kind":
        Path("photos/4.png").write_bytes(b"no picture")
    num_frames = 3 if ending == "two of another kind" else 4
    result = call("video", "photos", "masks", "-o", "out", "--output", "alpha")
    assert result.exit_code == 0, result.stderr
    assert f"only {num_frames} of 5 frames" in result.stderr
    assert f"photos/{num_frames + 1}.png: " in result.stderr
    assert len(list(Path("out/alpha").iterdir())) == num_frames


@pytest.mark.parametrize("what", ["a frame that is damaged", "a frame that is gone"])
def test_a_frame_in_the_middle_that_cannot_be_read_is_an_error_and_the_run_goes_on_once_it_can(
    folder: Path, fake: FakePredictor, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    sound = Path("photos/2.png").read_bytes()
    if what == "a frame that is damaged":
        Path("photos/2.png").write_bytes(sound[:900])
    else:
        Path("photos/2.png").unlink()
        Path("photos/2.png").symlink_to("photos/gone.png")
    result = call("video", "photos", "masks", "-o", "out", "--output", "alpha")
    assert result.exit_code == 2
    assert "2" in result.stderr
    Path("photos/2.png").unlink()
    Path("photos/2.png").write_bytes(sound)
    assert call("video", "photos", "masks", "-o", "out", "--output", "alpha", "--overwrite").exit_code == 0
    assert len(list(Path("out/alpha").iterdir())) == 3


@pytest.mark.parametrize("what", ["labels", "colours", "damaged", "signed"])
def test_a_mask_of_a_later_frame_that_cannot_be_used_is_told_before_the_work(
    folder: Path, fake: FakePredictor, what: str
) -> None:
    mask = left(20)
    colours = np.stack([mask, 0 * mask, mask], axis=2)
    if what == "damaged":
        Path("masks/3.png").write_bytes(Path("masks/3.png").read_bytes()[:-30])
    elif what == "signed":
        import tifffile

        Path("masks/3.png").unlink()
        tifffile.imwrite("masks/3.tif", mask.astype(np.int16), photometric="minisblack")
    else:
        write_image("masks/3.png", colours if what == "colours" else mask // 85)
    result = call("video", "photos", "masks", "-o", "out", "--output", "alpha")
    assert result.exit_code == 2
    assert "masks/3." in result.stderr
    assert fake.num_predicted == 0
    assert not list(Path("out/alpha").iterdir())


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a#b?c", "50%03d", "it's [one], two; three", "back\\slash", "über: 1", "-v"])
def test_names_that_ffmpeg_could_misread(folder: Path, fake: FakePredictor, name: str) -> None:
    place = folder / name
    place.mkdir()
    clip = make_clip(place / f"{name}.mkv", 5, "-c:v", "ffv1")
    result = call("video", clip, "masks/1.png", "-o", place / f"{name}.MOV", "--output", "cutout")
    assert result.exit_code == 0, result.stderr
    assert count_frames(place / f"{name}.MOV") == 5
    assert sorted(path.suffix for path in place.iterdir() if path.name[0] != "." or path.suffix) == [
        ".MOV",
        ".jsonl",
        ".mkv",
    ]


@needs_ffmpeg
@pytest.mark.parametrize("reason", ["no encoder", "no space", "a file above", "not of this kind"])
def test_a_target_that_cannot_be_written_is_refused_before_the_work(
    folder: Path, fake: FakePredictor, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    clip = make_clip(folder / "clip.mkv", 5, "-c:v", "ffv1")
    arguments = ["video", clip, "masks/1.png", "-o", "out.mov", "--output", "alpha"]
    if reason == "no encoder":
        from mask2alpha.video import ffmpeg

        monkeypatch.setattr(ffmpeg, "_codec", lambda *given, **named: (["-c:v", "no-such-encoder"], "gray", False))
    elif reason == "no space":

        def fail(*given: object, **named: object) -> None:
            raise VideoError("out.mov: ffmpeg cannot write it: No space left on device")

        monkeypatch.setattr(job_module, "try_target", fail)
    elif reason == "a file above":
        Path("file").touch()
        arguments[4] = "file/out.mov"
    else:
        arguments[6] = "passes"
    result = call(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert len(result.stderr.strip().splitlines()) <= 2
    assert fake.num_predicted == 0
    assert not Path("out.mov").exists()


def run_outside(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """As a process of its own, whose streams have an encoding."""
    return subprocess.run(
        [sys.executable, "-m", "mask2alpha", *arguments],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONUTF8": "0", **environment},
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["matte", "video", "batch"])
@pytest.mark.parametrize("name", ["Żółw", "犬", "\udcff\udcfe"])
def test_names_that_the_terminal_cannot_show_stop_nothing(folder: Path, command: str, name: str) -> None:
    if command == "batch" and not name.isprintable():
        pytest.skip("a manifest is UTF-8")
    for kind in ("photos", "masks"):
        for path in Path(kind).iterdir():
            path.rename(path.with_name(f"{name}{path.name}"))
    write_image(f"masks/{name}1.png", left(20)[::2, ::2])  # of another size, which is told
    if command == "batch":
        Path("m.csv").write_text(f"photo,mask\nphotos/{name}1.png,masks/{name}1.png\n", encoding="utf-8")
    inputs = {"matte": ("photos", "masks", "-o", "out"), "batch": ("m.csv", "out")}
    arguments = inputs.get(command, ("photos", "masks", "-o", "out", "--output", "alpha"))
    result = run_outside(command, *arguments, PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["matte", "video", "batch"])
@pytest.mark.parametrize("place", ["long", "a file above", "full"])
def test_system_errors_are_one_plain_line(
    folder: Path, fake: FakePredictor, monkeypatch: pytest.MonkeyPatch, command: str, place: str
) -> None:
    Path("m.csv").write_text("photo,mask\nphotos/1.png,masks/1.png\n", encoding="utf-8")
    Path("file").touch()
    out = {"long": "x" * 300, "a file above": "file/out", "full": "out"}[place]
    if place == "full":

        def fail(self: Path, *arguments: object, **options: object) -> int:
            raise OSError(28, "No space left on device", str(self))

        monkeypatch.setattr(Path, "write_bytes", fail)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
    inputs = ("m.csv", out) if command == "batch" else ("photos", "masks", "-o", out, "--output", "alpha")
    result = call(command, *inputs)
    assert result.exit_code in (1, 2)
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("0 matted", "Failed: ", "Set aside"))]
    assert len(lines) <= 1, lines
    assert "Traceback" not in result.output
    assert any(reason in result.stderr for reason in ("too long", "ot a directory", "No space left"))


@pytest.mark.slow
def test_a_reader_that_leaves_is_not_an_error_of_ours(folder: Path) -> None:
    command = f"{sys.executable} -m mask2alpha matte photos/1.png masks/1.png -o - --format tif --bits 16 | head -c 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert b"Traceback" not in result.stderr
    assert b"Exception" not in result.stderr


@needs_exiftool
@pytest.mark.parametrize("source", ["jpg", "png", "tif"])
@pytest.mark.parametrize("target", ["jpg", "png", "tif", "webp", "exr"])
@pytest.mark.parametrize("turned", [False, True])
def test_resolution_is_kept_with_the_metadata(
    folder: Path, fake: FakePredictor, source: str, target: str, turned: bool
) -> None:
    with Image.open("photos/1.png") as picture:
        exif = Image.Exif()
        exif[0x0112] = 6 if turned else 1
        turned_picture = picture.transpose(Image.Transpose.ROTATE_90) if turned else picture
        turned_picture.save(f"in.{source}", dpi=(300, 150), exif=exif.tobytes())
    for options, expected in (([], None), (["--keep-metadata"], (150, 300) if turned else (300, 150))):
        arguments = ("--output", "foreground", "--overwrite", *options)
        assert call("matte", f"in.{source}", "masks/1.png", "-o", f"o.{target}", *arguments).exit_code == 0
        if target == "exr":
            openexr = pytest.importorskip("OpenEXR")
            header = openexr.File("o.exr", header_only=True).header()
            density = float(header.get("xDensity", 0))
            found = (density, density * float(header["pixelAspectRatio"])) if density else None
        else:
            told = subprocess.run(
                ["exiftool", "-n", "-s3", "-XResolution", "-YResolution", "-PixelsPerUnitX", "-PixelsPerUnitY",
                 f"o.{target}"], capture_output=True, check=True, text=True,
            ).stdout.split()  # fmt: skip
            found = tuple(float(value) for value in told) or None
            if found and target == "png":
                found = (found[-2] * 0.0254, found[-1] * 0.0254)
        if expected is None:
            assert found is None or max(found) <= 72.01
        else:
            assert found == pytest.approx(expected, abs=0.1)
