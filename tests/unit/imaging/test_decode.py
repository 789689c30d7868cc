import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from mask2alpha.errors import ImageFileError
from mask2alpha.imaging.decode import read_image, read_mask
from mask2alpha.imaging.encode import _png_chunk


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


@pytest.fixture
def colours(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, colours: np.ndarray, suffix: str) -> None:
    photo = read_image(save(tmp_path / f"a{suffix}", colours, **({"lossless": True} if suffix == ".webp" else {})))
    assert np.array_equal(photo.pixels, colours)
    assert photo.alpha is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_samples_come_back_exactly(
    tmp_path: Path, rng: np.random.Generator, suffix: str, channels: int
) -> None:
    array = rng.integers(0, 65536, (7, 9, channels), dtype=np.uint16)
    path = tmp_path / f"deep{suffix}"
    cv2.imwrite(str(path), array[..., [2, 1, 0, 3][:channels]] if channels > 1 else array[..., 0])
    photo = read_image(path)
    assert photo.pixels.dtype == np.uint16
    assert np.array_equal(photo.pixels, array[..., :3] if channels > 1 else np.repeat(array, 3, axis=2))
    assert photo.alpha is None if channels < 4 else np.array_equal(photo.alpha, array[..., 3])


def test_sixteen_bit_grey_with_alpha_comes_back_exactly(tmp_path: Path, rng: np.random.Generator) -> None:

    array = rng.integers(0, 65536, (3, 4, 2), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    (tmp_path / "la.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 16, 4, 0, 0, 0))
        + _png_chunk(b"IDAT", zlib.compress(rows))
        + _png_chunk(b"IEND", b"")
    )
    photo = read_image(tmp_path / "la.png")
    assert np.array_equal(photo.pixels, np.repeat(array[..., :1], 3, axis=2))
    assert photo.alpha is not None
    assert np.array_equal(photo.alpha, array[..., 1])


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed(tmp_path: Path, orientation: int, suffix: str) -> None:
    array = np.zeros((32, 48, 3), dtype=np.uint8)
    array[:16, :16], array[16:, 32:] = (255, 0, 0), (0, 255, 0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"turned{suffix}", array, exif=exif)
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    photo = read_image(path)
    assert np.array_equal(photo.pixels, expected)
    if photo.exif:
        kept = Image.Exif()
        kept.load(photo.exif)
        assert kept.get(0x0112, 1) == 1


def test_the_colour_profile_is_kept(tmp_path: Path, colours: np.ndarray) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read_image(save(tmp_path / "a.png", colours, icc_profile=profile)).icc_profile == profile


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA"])
def test_grey_and_palette_become_rgb(tmp_path: Path, colours: np.ndarray, mode: str) -> None:
    picture = Image.fromarray(colours).convert(mode)
    picture.save(tmp_path / "a.png")
    photo = read_image(tmp_path / "a.png")
    assert np.array_equal(photo.pixels, np.asarray(picture.convert("RGB")))
    assert (photo.alpha is not None) == (mode == "LA")


def test_palette_transparency_becomes_alpha(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    picture.save(tmp_path / "a.png", transparency=0)
    alpha = read_image(tmp_path / "a.png").alpha
    assert alpha is not None
    assert alpha.tolist() == [[0, 255]]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    with pytest.warns(UserWarning, match="the colours are approximate"):
        red, green, blue = read_image(tmp_path / "a.jpg").pixels[4, 4]
    assert red > 230
    assert max(green, blue) < 30


def test_formats_are_told_by_content_not_by_name(tmp_path: Path, colours: np.ndarray) -> None:
    save(tmp_path / "a.png", colours).rename(tmp_path / "a.jpg")
    assert np.array_equal(read_image(tmp_path / "a.jpg").pixels, colours)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_truncated_files_are_refused(tmp_path: Path, rng: np.random.Generator, suffix: str) -> None:
    path = save(tmp_path / f"half{suffix}", rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(ImageFileError, match=f"half{suffix}"):
        read_image(path)


def test_a_truncated_sixteen_bit_file_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "half.png"
    cv2.imwrite(str(path), rng.integers(0, 65536, (64, 64, 3), dtype=np.uint16))
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(ImageFileError, match=r"half\.png"):
        read_image(path)


def test_other_formats_and_no_pictures_are_refused(tmp_path: Path, colours: np.ndarray) -> None:
    save(tmp_path / "a.gif", colours)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    for name, reason in (
        ("a.gif", "save it as PNG"),
        ("empty.png", "empty"),
        ("text.png", "accepted"),
        ("gone.png", "No such"),
    ):
        with pytest.raises(ImageFileError, match=reason):
            read_image(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif"])
def test_of_an_animation_the_first_frame_is_read_with_a_warning(
    tmp_path: Path, colours: np.ndarray, suffix: str
) -> None:
    flat = np.full((16, 16, 3), (200, 30, 90), dtype=np.uint8)
    path = save(tmp_path / f"a{suffix}", flat, save_all=True, append_images=[Image.fromarray(255 - flat)])
    with pytest.warns(UserWarning, match="several pictures; the first"):
        photo = read_image(path)
    assert np.abs(photo.pixels.astype(int) - flat).max() <= 4


def test_limits_are_checked_before_decoding(tmp_path: Path, colours: np.ndarray) -> None:
    path = save(tmp_path / "a.png", colours)
    with pytest.raises(ImageFileError, match="5 x 6 is more than 29 pixels"):
        read_image(path, max_pixels=29)
    with pytest.raises(ImageFileError, match="larger than 10 bytes"):
        read_image(path, max_bytes=10)
    bomb = io.BytesIO()
    Image.new("1", (200_000, 1000)).save(bomb, "PNG")
    (tmp_path / "bomb.png").write_bytes(bomb.getvalue())
    with pytest.raises(ImageFileError, match="pixels"):
        read_image(tmp_path / "bomb.png")


def test_a_mask_is_the_luminance(tmp_path: Path) -> None:
    grey = np.array([[0, 128, 255]], dtype=np.uint8)
    assert np.array_equal(read_mask(save(tmp_path / "grey.png", grey)), grey)
    assert np.array_equal(read_mask(save(tmp_path / "rgb.png", np.repeat(grey[..., None], 3, 2))), grey)
    assert np.array_equal(read_mask(save(tmp_path / "bits.png", grey > 200)), [[0, 0, 255]])
    assert np.array_equal(read_mask(save(tmp_path / "ones.png", (grey > 200).astype(np.uint8))), [[0, 0, 255]])
    cv2.imwrite(str(tmp_path / "deep.png"), grey.astype(np.uint16) * 257)
    assert np.array_equal(read_mask(tmp_path / "deep.png"), grey)


def test_a_mask_is_the_alpha_channel_where_that_varies(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[..., :3], rgba[..., 3] = 7, [0, 100, 255]
    assert np.array_equal(read_mask(save(tmp_path / "cutout.png", rgba)), [[0, 100, 255]])
    rgba[..., 0:3], rgba[..., 3] = [[[0], [200], [255]]], 255
    assert np.array_equal(read_mask(save(tmp_path / "opaque.png", rgba)), [[0, 200, 255]])
