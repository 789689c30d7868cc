"""The same masks at every door: what one takes, all take alike; what one refuses, all refuse, with the same values."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("cv2")

import doors
from mask2alpha.imaging.decode import read_image
from mask2alpha.ops.masks import MaskChoice
from mask2alpha.serving.jobs import Target

Door = Callable[[Path, Path, MaskChoice, Path], NDArray[np.uint8]]
"""(photo, mask, choice, folder to write) to alpha; every refusal is an exception whose text the user sees."""

DISC = np.hypot(*np.mgrid[-20:20, -30:30]) < 15
WHITE = DISC * np.uint8(255)
PARTS = DISC.astype(np.uint8) * (1 + (np.arange(60) >= 30)).astype(np.uint8)


def alpha_by(door: Callable[..., bytes]) -> Door:
    return lambda *arguments: np.asarray(Image.open(io.BytesIO(door(*arguments))))


by_service, by_video = alpha_by(doors.by_service), alpha_by(doors.by_video)


@pytest.fixture
def door(any_door: Callable[..., bytes]) -> Door:
    return alpha_by(any_door)


@pytest.fixture
def photo(tmp_path: Path, rng: np.random.Generator) -> Path:
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def palette(values: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(values, "L").convert("P")
    picture.putdata(values.flatten().tolist())
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    return picture


MASKS = {
    "labels": (Image.fromarray(PARTS), "1 (", "2"),
    "labels in 16 bits": (Image.fromarray(PARTS.astype(np.uint16)), "1 (", "2"),
    "grey instances": (Image.fromarray(PARTS * np.uint8(85)), "85 (", "170"),
    "palette": (palette(PARTS), "#800000", "2"),
    "colours": (palette(PARTS).convert("RGB"), "#800000", "#008000"),
    "half white": (Image.fromarray(np.where(PARTS == 2, np.uint8(128), np.uint8(0))), "128 (", "128"),
}


@pytest.mark.parametrize("name", MASKS)
def test_labels_are_refused_with_what_is_there_and_read_when_named(
    door: Door, photo: Path, out: Path, name: str
) -> None:
    picture, shown, label = MASKS[name]
    mask = photo.with_name("mask.png")
    picture.save(mask)
    with pytest.raises(Exception, match="label") as refusal:
        door(photo, mask, MaskChoice(), out)
    assert shown in str(refusal.value)
    assert not (out / "a.png").exists()
    (out / "again").mkdir()
    assert np.array_equal(door(photo, mask, MaskChoice(label=label), out / "again") == 255, PARTS == 2)


def test_black_and_white_is_inverted(door: Door, photo: Path, out: Path) -> None:
    mask = photo.with_name("mask.png")
    Image.fromarray(WHITE).save(mask)
    assert np.array_equal(door(photo, mask, MaskChoice(is_inverted=True), out), 255 - WHITE)


def test_a_channel_is_chosen(door: Door, photo: Path, out: Path) -> None:
    mask = photo.with_name("mask.png")
    colours = np.stack([255 - WHITE, WHITE, 0 * WHITE], axis=2)
    Image.fromarray(colours).save(mask)
    assert np.array_equal(door(photo, mask, MaskChoice(channel="green"), out), WHITE)


@pytest.mark.filterwarnings("ignore:.*as the camera saw it")
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_as_the_camera_saw_it_is_turned(door: Door, photo: Path, out: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    raw = Image.open(photo)
    raw.save(photo.with_name("phone.png"), exif=exif)
    left = Image.fromarray(np.where(PARTS == 1, np.uint8(255), np.uint8(0)))
    left.save(photo.with_name("raw.png"))
    left.save(photo.with_name("same.png"), exif=exif)
    expected = read_image(photo.with_name("same.png")).pixels[..., 0]
    alpha = door(photo.with_name("phone.png"), photo.with_name("raw.png"), MaskChoice(), out)
    assert np.array_equal(alpha, expected)


@pytest.mark.parametrize("size", [(40, 60), (60, 60), (100, 40)])
def test_another_aspect_is_refused(door: Door, photo: Path, out: Path, size: tuple[int, int]) -> None:
    mask = photo.with_name("mask.png")
    Image.fromarray(WHITE).resize(size).save(mask)
    with pytest.raises(Exception, match=r"aspect|swapped") as refusal:
        door(photo, mask, MaskChoice(), out)
    assert "stretch" in str(refusal.value)


@pytest.mark.filterwarnings("ignore:.*was resized")
@pytest.mark.parametrize("size", [(40, 60), (60, 60), (100, 40)])
def test_another_aspect_is_stretched_when_asked_for(door: Door, photo: Path, out: Path, size: tuple[int, int]) -> None:
    mask = photo.with_name("mask.png")
    Image.fromarray(WHITE).resize(size).save(mask)
    alpha = door(photo, mask, MaskChoice(fit="stretch"), out)
    assert (np.abs(alpha.astype(int) - WHITE) > 127).mean() < 0.1


@pytest.mark.filterwarnings("ignore:.*was resized")
@pytest.mark.parametrize("size", [(30, 20), (120, 80), (59, 40), (61, 41)])
def test_the_photos_aspect_is_scaled_and_two_values_stay_two(
    door: Door, photo: Path, out: Path, size: tuple[int, int]
) -> None:
    mask = photo.with_name("mask.png")
    Image.fromarray(WHITE).resize(size, Image.Resampling.NEAREST).save(mask)
    alpha = door(photo, mask, MaskChoice(), out)
    assert set(np.unique(alpha)) == {0, 255}
    assert (alpha != WHITE).mean() < 0.05


def test_the_service_tells_fields_not_options(photo: Path, out: Path) -> None:
    mask = photo.with_name("mask.png")
    Image.fromarray(PARTS).save(mask)
    with pytest.raises(Exception, match=r"Mask 1: the mask has .* label=[12], or .* channel=grey\."):
        by_service(photo, mask, MaskChoice(), out)


def test_objects_of_the_service_have_names_of_any_script() -> None:
    assert Target(name="F\u00fc\u00dfe-\u732b_1", mask=0).name == "F\u00fc\u00dfe-\u732b_1"
    for name in ("a/b", "a b", "..", "a\nb", "x" * 41, "\u202ea"):
        with pytest.raises(ValueError, match="pattern"):
            Target(name=name, mask=0)


def exr(channels: dict[str, NDArray[np.float16]]) -> bytes:
    buffer = io.BytesIO()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(buffer)
    return buffer.getvalue()


def tiff(values: NDArray[Any], photometric: str = "minisblack") -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric=photometric)
    return buffer.getvalue()


def by_pillow(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


NOISE = np.random.default_rng(1).integers(0, 256, (*DISC.shape, 3), dtype=np.uint8)
SOFT = np.clip((18 - np.hypot(*np.mgrid[-20:20, -30:30])) * 32, 0, 255).astype(np.uint8)
CERTAIN = {
    "one bit": ("png", by_pillow(Image.fromarray(DISC)), WHITE),
    "zero and one": ("png", by_pillow(Image.fromarray(DISC.astype(np.uint8))), WHITE),
    "16 bits": ("tif", tiff(DISC * np.uint16(65535)), WHITE),
    "white is zero": ("tif", tiff(~DISC * np.uint8(255), "miniswhite"), WHITE),
    "white is zero in 16 bits": ("tif", tiff(~DISC * np.uint16(65535), "miniswhite"), WHITE),
    "signed or not, floats": ("tif", tiff(DISC.astype(np.float32)), WHITE),
    "a trimap": ("png", by_pillow(Image.fromarray(WHITE // 2 + (SOFT == 255) * np.uint8(128))), None),
    "soft": ("webp", by_pillow(Image.fromarray(SOFT), "WEBP", lossless=True), SOFT),
    "alpha over a photo": ("png", by_pillow(Image.fromarray(np.dstack([NOISE, WHITE]))), WHITE),
    "a lone layer of EXR": ("exr", exr({"roto.A": DISC.astype(np.float16)}), WHITE),
    "a palette of black and white": ("bmp", by_pillow(Image.fromarray(WHITE).convert("P"), "BMP"), WHITE),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_what_is_certain_is_read_alike(door: Door, photo: Path, out: Path, tmp_path: Path, name: str) -> None:
    suffix, data, expected = CERTAIN[name]
    (tmp_path / f"mask.{suffix}").write_bytes(data)
    alpha = door(photo, tmp_path / f"mask.{suffix}", MaskChoice(), out)
    if expected is None:
        assert set(np.unique(alpha)) == {0, 127, 255}
    else:
        assert np.array_equal(alpha, expected)


LAYERED = exr({
    "R": np.zeros(DISC.shape, np.float16), "roto.A": DISC.astype(np.float16), "depth.Z": np.ones(DISC.shape, np.float16)
})  # fmt: skip


@pytest.mark.parametrize("name", ["Z", "mask", "left.matte.Y", "id.R"])
def test_a_lone_channel_serves_whatever_its_name(door: Door, photo: Path, out: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "mask.exr").write_bytes(exr({name: DISC.astype(np.float32)}))
    assert np.array_equal(door(photo, tmp_path / "mask.exr", MaskChoice(), out), WHITE)


@pytest.mark.parametrize("channel", ["roto", "roto.A"])
def test_a_layer_is_named(door: Door, photo: Path, out: Path, tmp_path: Path, channel: str) -> None:
    (tmp_path / "mask.exr").write_bytes(LAYERED)
    alpha = door(photo, tmp_path / "mask.exr", MaskChoice(channel=channel), out)
    assert np.array_equal(alpha, WHITE)


@pytest.mark.parametrize(
    ("suffix", "data", "complaint"),
    [
        ("exr", LAYERED, "depth.Z"),
        ("png", by_pillow(Image.fromarray(NOISE)), "looks like a photograph"),
        ("png", by_pillow(Image.fromarray(np.dstack([palette(PARTS).convert("RGB"), SOFT]))), "alpha channel"),
        ("tif", tiff((DISC * -3).astype(np.int8)), "signed"),
    ],
    ids=["layers", "photograph", "colours and alpha", "signed"],
)
def test_what_may_mean_several_things_is_refused(
    door: Door, photo: Path, out: Path, tmp_path: Path, suffix: str, data: bytes, complaint: str
) -> None:
    (tmp_path / f"mask.{suffix}").write_bytes(data)
    with pytest.raises(Exception, match=complaint):
        door(photo, tmp_path / f"mask.{suffix}", MaskChoice(), out)


def test_a_half_selected_area_of_gimp_is_a_mask_and_no_label(photo: Path, out: Path, tmp_path: Path) -> None:
    Image.fromarray(DISC * np.uint8(128)).save(tmp_path / "mask.png")
    alpha = by_service(photo, tmp_path / "mask.png", MaskChoice(channel="grey"), out)  # as the plug-in asks
    assert np.array_equal(alpha, WHITE)
