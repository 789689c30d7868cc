import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from PIL import Image

from fakes import FakePredictor
from mask2alpha.checkpoints import save_model
from mask2alpha.cli import matte as matte_module
from mask2alpha.cli.main import main
from mask2alpha.imaging.decode import decode_image, read_image
from mask2alpha.imaging.encode import Tags, write_image
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from pictures import SRGB_PROFILE as PROFILE
from pictures import linear_profile


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakePredictor:
    predictor = FakePredictor()
    monkeypatch.setattr(matte_module, "build_predictor", lambda source, **settings: predictor)
    return predictor


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """photos/{a,b,c}, masks/{a,b__1,b__2,c}: left halves."""
    for name in "abc":
        image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        write_image(tmp_path / "photos" / f"{name}.png", image, icc_profile=PROFILE)
    for name in ("a", "b__1", "b__2", "c"):
        write_image(tmp_path / "masks" / f"{name}.png", left_half())
    return tmp_path


def left_half() -> np.ndarray:
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[:, :15] = 255
    return mask


def run(folder: Path, *arguments: str, photos: str = "photos", masks: str = "masks", out: str = "out") -> Result:
    result = CliRunner().invoke(
        main, ["matte", str(folder / photos), str(folder / masks), "-o", str(folder / out), *arguments]
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_folder_is_matted(folder: Path, fake: FakePredictor) -> None:
    result = run(folder)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (folder / "out" / "alpha").iterdir()) == [
        "a.png", "b__1.png", "b__2.png", "c.png",
    ]  # fmt: skip
    assert np.array_equal(np.asarray(Image.open(folder / "out" / "alpha" / "b__2.png")), left_half())
    assert (fake.num_encoded, fake.num_predicted) == (3, 4)
    assert "4 matted, 0 failed" in result.stderr


def test_all_outputs_of_one_photo(folder: Path, fake: FakePredictor) -> None:
    kinds = "alpha,cutout,foreground,composite,comparison"
    result = run(folder, "--output", kinds, "--background", "#00ff00", photos="photos/a.png", masks="masks/c.png")
    assert result.exit_code == 0, result.output
    read = {kind: read_image(folder / "out" / kind / "a.png") for kind in kinds.split(",")}
    image = read_image(folder / "photos" / "a.png").pixels
    assert read["cutout"].alpha is not None
    assert np.array_equal(read["cutout"].alpha, left_half())
    assert np.array_equal(read["foreground"].pixels[:, :15], image[:, :15])
    assert np.array_equal(read["composite"].pixels[:, 15:], np.full((20, 15, 3), (0, 255, 0)))
    assert read["comparison"].pixels.shape == (20, 120, 3)
    assert np.array_equal(read["comparison"].pixels[:, :30], image)
    assert all(read[kind].icc_profile == PROFILE for kind in ("cutout", "foreground", "composite", "comparison"))
    assert read["alpha"].icc_profile is None


@pytest.mark.parametrize(
    "name", ["Foto für Übung (1)", "写真 🌅", "a%20b#c&d", "x" * 120, "it's 50% off", "con. x", "-o"]
)
def test_a_photo_may_have_any_name(name: str, folder: Path, fake: FakePredictor) -> None:
    for kind in ("photos", "masks"):
        (folder / kind / "a.png").rename(folder / kind / f"{name}.png")
    assert run(folder).exit_code == 0
    assert (folder / "out" / "alpha" / f"{name}.png").is_file()


def test_programs_can_follow_the_progress(folder: Path, fake: FakePredictor) -> None:
    lines = [json.loads(line) for line in run(folder, "--progress", "json").stderr.splitlines() if line[0] == "{"]
    assert (lines[-1]["task"], lines[-1]["unit"]) == ("matte", "matte")
    assert lines[-1]["done"] == lines[-1]["total"] == len(list((folder / "out" / "alpha").iterdir()))


def test_one_file_is_written_under_its_own_name(folder: Path, fake: FakePredictor) -> None:
    result = run(folder, "--output", "cutout", photos="photos/a.png", masks="masks/a.png", out="sub/cut.webp")
    assert result.exit_code == 0, result.output
    assert read_image(folder / "sub" / "cut.webp").alpha is not None


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("cutout.png", "RGBA"),
        ("a_Cutout.tif", "RGBA"),
        ("a-foreground.png", "RGB"),
        ("mask.png", "L"),
        ("mycutout.png", "L"),
        ("cutout_of_a.png", "L"),
    ],
)
def test_the_name_of_a_file_says_what_is_written(name: str, mode: str, folder: Path, fake: FakePredictor) -> None:
    result = run(folder, photos="photos/a.png", masks="masks/a.png", out=name)
    assert result.exit_code == 0
    with Image.open(folder / name) as picture:
        assert picture.mode == mode
    is_unsaid = mode == "L" and name != "mask.png"
    assert ("holds the alpha matte. For a cut-out, name it" in result.stderr) == is_unsaid


def test_a_kind_that_is_asked_for_needs_no_hint(folder: Path, fake: FakePredictor) -> None:
    result = run(folder, "--output", "alpha", photos="photos/a.png", masks="masks/a.png", out="a.png")
    assert "For a cut-out" not in result.stderr


def test_a_kind_that_is_asked_for_counts_more_than_a_name(folder: Path, fake: FakePredictor) -> None:
    assert run(folder, "--output", "alpha", photos="photos/a.png", masks="masks/a.png", out="cutout.png").exit_code == 0
    with Image.open(folder / "cutout.png") as picture:
        assert picture.mode == "L"


def test_a_cut_out_that_a_format_cannot_hold_is_refused(folder: Path, fake: FakePredictor) -> None:
    result = run(folder, photos="photos/a.png", masks="masks/a.png", out="cutout.jpg")
    assert result.exit_code == 2
    assert "cutout.jpg" in result.output
    assert not fake.num_encoded


def test_the_name_of_a_folder_says_nothing(folder: Path, fake: FakePredictor) -> None:
    assert run(folder, out="cutout").exit_code == 0
    assert [path.name for path in (folder / "cutout").iterdir() if path.is_dir()] == ["alpha"]


def test_what_exists_is_skipped_and_what_is_missing_is_made(folder: Path, fake: FakePredictor) -> None:
    run(folder)
    before = (folder / "out" / "alpha" / "a.png").stat().st_mtime_ns
    (folder / "out" / "alpha" / "c.png").unlink()
    result = run(folder)
    assert "1 matted, 3 skipped" in result.stderr
    assert (folder / "out" / "alpha" / "a.png").stat().st_mtime_ns == before
    assert "4 matted, 0 failed" in run(folder, "--overwrite").stderr


def test_nothing_to_do_loads_no_model(folder: Path, fake: FakePredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    run(folder)
    monkeypatch.setattr(matte_module, "build_predictor", pytest.fail)
    assert run(folder).exit_code == 0


def test_after_a_failure_the_others_are_done_and_the_reason_is_told(folder: Path, fake: FakePredictor) -> None:
    (folder / "photos" / "a.png").write_bytes(b"no picture")
    (folder / "masks" / "b__1.png").write_bytes((folder / "masks" / "b__2.png").read_bytes()[:60])
    result = run(folder)
    assert result.exit_code == 1
    assert sorted(path.name for path in (folder / "out" / "alpha").iterdir()) == ["b__2.png", "c.png"]
    assert "2 matted, 2 failed" in result.stderr
    assert "not a picture" in result.stderr
    assert "b__1.png: damaged or truncated" in result.stderr
    assert "Traceback" not in result.output


def test_running_out_of_memory_fails_one_photo_only(
    folder: Path, fake: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = fake.encode

    def fail_once(image: np.ndarray) -> object:
        if fake.num_encoded == 0:
            fake.num_encoded = 1
            raise RuntimeError("CUDA out of memory")
        return encode(image)

    monkeypatch.setattr(fake, "encode", fail_once)
    result = run(folder)
    assert result.exit_code == 1
    assert "3 matted, 1 failed" in result.stderr
    assert "CUDA out of memory" in result.stderr


def test_unmatched_files_are_named(folder: Path, fake: FakePredictor) -> None:
    (folder / "masks" / "c.png").rename(folder / "masks" / "z.png")
    result = run(folder)
    assert "photo without a mask: " in result.stderr
    assert "mask without a photo: " in result.stderr
    assert "3 matted" in result.stderr


def test_a_mask_of_another_size_is_told(folder: Path, fake: FakePredictor) -> None:
    write_image(folder / "masks" / "a.png", left_half()[::2, ::2])
    result = run(folder, photos="photos/a.png", masks="masks/a.png")
    assert result.exit_code == 0
    assert "resized" in result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--output", "alpha,shadow"], "shadow"),
        (["--background", "nocolour"], "neither a file nor a colour"),
        (["--steps", "0"], "--steps"),
        (["--error-threshold", "2"], "--error-threshold"),
    ],
)
def test_wrong_options_are_refused_before_any_work(
    folder: Path, fake: FakePredictor, arguments: list[str], reason: str
) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("out", "arguments", "reason"),
    [
        ("out.png", [], "give a folder"),
        ("out.jpg", ["--output", "cutout"], "JPEG cannot hold an alpha"),
        ("photos/a.png", ["--output", "cutout"], "is an input"),
    ],
)
def test_an_output_that_cannot_be_is_refused(
    folder: Path, fake: FakePredictor, out: str, arguments: list[str], reason: str
) -> None:
    single = {"photos": "photos/a.png", "masks": "masks/a.png"} if arguments else {}
    result = run(folder, *arguments, out=out, **single)
    assert result.exit_code == 2
    assert reason in result.stderr


def test_sixteen_bit_photos_give_sixteen_bit_pictures(folder: Path, fake: FakePredictor) -> None:
    image = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    write_image(folder / "photos" / "a.png", image)
    result = run(folder, "--output", "alpha,foreground,comparison", photos="photos/a.png", masks="masks/a.png")
    assert result.exit_code == 0, result.output
    foreground = read_image(folder / "out" / "foreground" / "a.png").pixels
    assert np.array_equal(foreground[:, :15], image[:, :15])
    assert read_image(folder / "out" / "alpha" / "a.png").pixels.dtype == np.uint16


def test_a_sixteen_bit_tiff_with_profile_and_rotation_keeps_all_three(folder: Path, fake: FakePredictor) -> None:
    stored = np.random.default_rng(0).integers(0, 65536, (30, 20, 3), dtype=np.uint16)
    tifffile.imwrite(
        folder / "photos" / "a.tif", stored, photometric="rgb", iccprofile=PROFILE, metadata=None,
        extratags=[(274, 3, 1, 6, True)],
    )  # fmt: skip
    upright = np.rot90(stored, -1)
    single = {"photos": "photos/a.tif", "masks": "masks/a.png"}
    for out in ("cut.tif", "cut.png"):
        assert run(folder, "--output", "cutout", out=out, **single).exit_code == 0
        cutout = read_image(folder / out)
        assert cutout.pixels.dtype == np.uint16
        assert cutout.icc_profile == PROFILE
        assert cutout.alpha is not None
        assert np.array_equal(cutout.alpha, np.where(left_half() > 0, 65535, 0))
        assert np.array_equal(cutout.pixels[:, :15], upright[:, :15])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_linear_light_stays_linear_with_values_above_one(folder: Path, fake: FakePredictor, dtype: type) -> None:
    light = (np.random.default_rng(0).random((20, 30, 3)) * 8).astype(dtype)
    (folder / "photos" / "a.png").unlink()
    write_image(folder / "photos" / "a.exr", light)
    kinds = "alpha,cutout,cutout_premultiplied,foreground,composite,comparison,passes"
    result = run(folder, "--output", kinds, photos="photos/a.exr", masks="masks/a.png")
    assert result.exit_code == 0, result.output
    for kind in kinds.split(","):
        assert (folder / "out" / kind / ("a.png" if kind == "comparison" else "a.exr")).exists()
    for kind in ("cutout", "cutout_premultiplied", "foreground", "composite", "passes"):
        picture = read_image(folder / "out" / kind / "a.exr")
        assert picture.pixels.dtype == dtype
        assert np.array_equal(picture.pixels[:, :15], light[:, :15])
    assert (read_image(folder / "out" / "cutout_premultiplied" / "a.exr").pixels[:, 15:] == 0).all()
    assert (read_image(folder / "out" / "composite" / "a.exr").pixels[:, 15:] == 1).all()
    assert np.array_equal(read_image(folder / "out" / "alpha" / "a.exr").pixels[..., 0], left_half() / 255)


def test_light_written_as_png_is_clipped_with_a_warning(folder: Path, fake: FakePredictor) -> None:
    write_image(folder / "photos" / "z.exr", np.full((20, 30, 3), 4, dtype=np.float16))
    result = run(folder, "--output", "cutout", photos="photos/z.exr", masks="masks/a.png", out="cut.png")
    assert "brighter than white" in result.output
    assert (read_image(folder / "cut.png").pixels[:, :15] == 65535).all()


def test_the_network_sees_srgb_and_the_cutout_keeps_the_profile(
    folder: Path, fake: FakePredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    linear = decode_image(write_linear_profile_photo(folder / "photos" / "a.png"))
    seen: list[np.ndarray] = []
    encode = fake.encode
    monkeypatch.setattr(fake, "encode", lambda image: seen.append(image) or encode(image))
    run(folder, "--output", "cutout,composite", photos="photos/a.png", masks="masks/a.png")
    assert (seen[0] > linear.pixels.astype(np.uint32) * 257).all()  # dark in linear values, brighter in sRGB
    cutout = read_image(folder / "out" / "cutout" / "a.png")
    assert cutout.icc_profile == linear.icc_profile
    assert np.array_equal(cutout.pixels[:, :15], linear.pixels[:, :15])
    composite = read_image(folder / "out" / "composite" / "a.png")
    assert composite.icc_profile is None
    assert np.array_equal(composite.pixels[:, :15], seen[0][:, :15])


def write_linear_profile_photo(path: Path) -> bytes:
    array = np.random.default_rng(0).integers(20, 200, (20, 30, 3), dtype=np.uint8)
    write_image(path, array, tags=Tags(icc_profile=linear_profile()))
    return path.read_bytes()


def test_a_grey_photo_gives_a_grey_cutout(folder: Path, fake: FakePredictor) -> None:
    grey = np.random.default_rng(0).integers(0, 65536, (20, 30), dtype=np.uint16)
    write_image(folder / "photos" / "a.png", grey)
    run(folder, "--output", "cutout,foreground", photos="photos/a.png", masks="masks/a.png")
    cutout = read_image(folder / "out" / "cutout" / "a.png")
    assert cutout.is_grey
    assert np.array_equal(cutout.pixels[:, :15, 0], grey[:, :15])
    assert read_image(folder / "out" / "foreground" / "a.png").is_grey


@pytest.mark.parametrize(
    ("options", "suffix", "dtype"),
    [
        (["--bits", "16"], ".png", np.uint16),
        (["--format", "tif"], ".tif", np.uint8),
        (["--format", "tif", "--bits", "16"], ".tif", np.uint16),
        (["--format", "tif", "--bits", "32"], ".tif", np.float32),
        (["--format", "exr"], ".exr", np.float16),
        (["--format", "exr", "--bits", "32"], ".exr", np.float32),
        (["--format", "webp"], ".webp", np.uint8),
    ],
)
def test_alpha_is_written_as_asked(
    folder: Path, fake: FakePredictor, options: list[str], suffix: str, dtype: type
) -> None:
    result = run(folder, *options, photos="photos/a.png", masks="masks/a.png")
    assert result.exit_code == 0, result.output
    alpha = read_image(folder / "out" / "alpha" / f"a{suffix}").pixels
    assert alpha.dtype == dtype
    top = 1 if alpha.dtype.kind == "f" else np.iinfo(dtype).max
    assert np.array_equal(alpha[..., 0] / top, left_half() / 255)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--format", "jpg", "--output", "cutout"], "JPEG cannot hold an alpha"),
        (["--format", "webp", "--output", "cutout_premultiplied"], "WebP cannot hold premultiplied"),
        (["--bits", "32"], r"float32 values are written as \.tif or \.exr"),
        (["--format", "exr", "--bits", "8"], "uint8 values are written as"),
        (["--keep-gps"], "only with --keep-metadata"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_before_any_work(
    folder: Path, fake: FakePredictor, options: list[str], reason: str
) -> None:
    result = run(folder, *options)
    assert result.exit_code == 2
    assert re.search(reason, result.stderr)
    assert fake.num_encoded == 0


@pytest.mark.parametrize("options", [[], ["--keep-metadata"], ["--keep-metadata", "--keep-gps"]])
def test_metadata_is_kept_on_request_and_the_place_only_if_asked(
    folder: Path, fake: FakePredictor, options: list[str]
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x8298] = 6, "me"
    exif[0x8825] = {1: "N", 2: (47.0, 22.0, 30.0)}
    Image.new("RGB", (20, 30), (90, 60, 30)).save(folder / "photos" / "a.jpg", exif=exif.tobytes())
    (folder / "photos" / "a.png").unlink()
    run(folder, "--output", "cutout", *options, photos="photos/a.jpg", masks="masks/a.png")
    with Image.open(folder / "out" / "cutout" / "a.png") as picture:
        kept = picture.getexif()
        assert picture.size == (30, 20)
        assert kept.get(0x8298) == ("me" if options else None)
        assert kept.get(0x0112, 1) == 1
        assert bool(kept.get_ifd(0x8825)) == ("--keep-gps" in options)


def test_transparent_parts_of_a_photo_are_told(folder: Path, fake: FakePredictor) -> None:
    array = np.full((20, 30, 4), 200, dtype=np.uint8)
    array[:5, :, 3] = 0
    write_image(folder / "photos" / "a.png", array)
    assert "transparent parts" in run(folder, photos="photos/a.png", masks="masks/a.png").output


def test_the_real_network_is_reached(folder: Path) -> None:
    weights = save_model(Mask2Alpha(PRESETS["tiny"]), folder / "tiny.safetensors")
    result = run(
        folder,
        "--model",
        str(weights),
        "--steps",
        "2",
        "--dtype",
        "float32",
        "--device",
        "cpu",
        "--active-budget",
        "50",
    )
    assert result.exit_code == 0, result.output
    assert len(list((folder / "out" / "alpha").iterdir())) == 4


def test_a_missing_model_is_told_in_one_line(folder: Path) -> None:
    result = run(folder, "--model", "no-such-model")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: no-such-model: expected a file, a folder, a shipped name")


def test_info_tells_versions_and_provenance(folder: Path) -> None:
    weights = save_model(Mask2Alpha(PRESETS["tiny"]), folder / "tiny.safetensors", {"recipe": "debug"})
    result = CliRunner().invoke(main, ["info"])
    assert result.exit_code == 0
    assert "mask2alpha" in result.output
    assert "torch" in result.output
    result = CliRunner().invoke(main, ["info", "--model", str(weights)])
    assert "recipe: debug" in result.output
    assert "preset: tiny" in result.output
