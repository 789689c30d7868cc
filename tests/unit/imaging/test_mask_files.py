"""Masks in files: what a file says beside its values. Files are written by Pillow, OpenEXR and tifffile themselves."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from mask2alpha.errors import ImageFileError
from mask2alpha.imaging.decode import decode_image, decode_mask
from mask2alpha.imaging.fitted_masks import read_fitted_mask
from mask2alpha.ops.masks import MaskChoice

DISC = np.hypot(*np.mgrid[-20:20, -30:30]) < 15
WHITE = DISC * np.uint8(255)
PARTS = DISC.astype(np.uint8) * (1 + (np.arange(60) >= 30)).astype(np.uint8)


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exr(**channels: np.ndarray) -> bytes:
    import OpenEXR

    buffer = io.BytesIO()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {name.replace("_", "."): plane for name, plane in channels.items()}).write(buffer)
    return buffer.getvalue()


def palette(values: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    picture = Image.fromarray(values, "P") if values.dtype == np.uint8 else Image.fromarray(values)
    picture.putpalette([part for colour in colours for part in colour])
    return picture


def png_of_bits(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG of 2 or 4 bits, which Pillow does not write."""
    import struct
    import zlib

    per_byte = 8 // bits
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % per_byte)))
    packed = np.zeros((padded.shape[0], padded.shape[1] // per_byte), np.uint8)
    for place in range(per_byte):
        packed |= padded[:, place::per_byte] << np.uint8(8 - bits * (place + 1))
    rows = np.pad(packed, ((0, 0), (1, 0)))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_palettes_are_indices_and_colours_never_brightness(kind: str) -> None:
    data = saved(palette(PARTS, (0, 0, 0), (128, 0, 0), (0, 128, 0)), kind)
    with pytest.raises(ImageFileError, match=r"^m\.png: the mask is in colours: 0 \(#000000\) .*--label [12]"):
        decode_mask(data, "m.png")
    for choice in (MaskChoice(label="2"), MaskChoice(label="#008000")):
        assert np.array_equal(decode_mask(data, choice=choice) == 255, PARTS == 2)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_a_palette_of_black_and_white_is_a_mask(kind: str) -> None:
    assert np.array_equal(decode_mask(saved(palette(1 - PARTS % 2, (0, 0, 0), (255, 255, 255)), kind)) == 0, PARTS == 1)
    upside_down = saved(palette(DISC.astype(np.uint8), (255, 255, 255), (0, 0, 0)), kind)
    assert np.array_equal(decode_mask(upside_down), 255 - WHITE)


def test_transparent_palette_entries_are_an_alpha_channel() -> None:
    coded = palette(PARTS, (9, 9, 9), (128, 0, 0), (0, 128, 0))
    with pytest.raises(ImageFileError, match="alpha channel that varies"):
        decode_mask(saved(coded, transparency=0))
    assert np.array_equal(decode_mask(saved(coded, transparency=0), choice=MaskChoice(channel="alpha")), WHITE)
    assert np.array_equal(decode_mask(saved(coded, transparency=0), choice=MaskChoice(label="1")) == 255, PARTS == 1)
    one = palette(DISC.astype(np.uint8), (9, 9, 9), (128, 0, 0))
    assert np.array_equal(decode_mask(saved(one, transparency=bytes([0, 255]))), WHITE)


@pytest.mark.parametrize("bits", [2, 4])
def test_shallow_greys_have_the_files_own_values(bits: int) -> None:
    top = 2**bits - 1
    assert np.array_equal(decode_mask(png_of_bits(DISC * np.uint8(top), bits)), WHITE)
    assert np.array_equal(decode_mask(png_of_bits(DISC.astype(np.uint8), bits)), WHITE)
    with pytest.raises(ImageFileError, match=r"2 \(\d+ %\)"):
        decode_mask(png_of_bits(PARTS, bits))
    assert np.array_equal(decode_mask(png_of_bits(PARTS, bits), choice=MaskChoice(label="2")) == 255, PARTS == 2)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "LA", "P", "I;16"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_black_and_white_are_a_mask_in_every_mode(mode: str, kind: str) -> None:
    picture = Image.fromarray(WHITE)
    if mode == "I;16":
        picture = Image.fromarray(DISC * np.uint16(65535))
    elif mode == "1":
        picture = Image.fromarray(DISC)
    elif mode != "L":
        picture = picture.convert(mode)
    assert np.array_equal(decode_mask(saved(picture, kind)), WHITE)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_of_a_tiff_is_white_whatever_number_it_is(photometric: Any, dtype: Any) -> None:
    top = np.iinfo(dtype).max
    values = (DISC if photometric == "minisblack" else ~DISC) * dtype(top)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric=photometric)
    assert np.array_equal(decode_mask(buffer.getvalue()), WHITE)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_masks_are_read_and_lossy_black_is_black(kind: str) -> None:
    read = decode_mask(saved(Image.fromarray(WHITE).convert("RGB"), kind, quality=80))
    assert (np.abs(read.astype(int) - WHITE) > 100).mean() < 0.01
    assert not decode_mask(saved(Image.new("RGB", (60, 40), (2, 2, 2)), kind, quality=80)).any()
    with pytest.raises(ImageFileError, match="colours"):
        decode_mask(saved(Image.new("RGB", (60, 40), (200, 0, 0)), kind, quality=80))


@pytest.mark.parametrize("name", ["A", "R", "Y", "roto.A", "mask", "Z"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.uint32])
def test_a_lone_channel_of_an_exr_file_is_the_mask(name: str, dtype: Any) -> None:
    data = exr(**{name: DISC.astype(dtype)})
    assert np.array_equal(decode_mask(data), WHITE)
    assert np.array_equal(decode_mask(data, choice=MaskChoice(channel=name)), WHITE)


def test_channels_and_layers_of_an_exr_file_are_named() -> None:
    light = np.full((40, 60), 0.3, np.float16)
    half = DISC.astype(np.float16)
    ids = {"id_R": PARTS.astype(np.float32), "id_G": half.astype(np.float32)}
    data = exr(R=light, G=light, B=light, roto_A=half, **ids)
    with pytest.warns(UserWarning, match="--channel chooses another of id.G, id.R, roto.A"):
        assert not np.array_equal(decode_mask(data), WHITE)
    for channel in ("roto", "roto.A", "id.G"):
        assert np.array_equal(decode_mask(data, choice=MaskChoice(channel=channel)), WHITE)
    chosen = decode_mask(data, choice=MaskChoice(channel="id.R", label="2"))
    assert np.array_equal(chosen == 255, PARTS == 2)
    two = exr(left_A=half, right_A=half)
    with pytest.raises(ImageFileError, match=r"may be any of the channels left\.A, right\.A; choose with --channel"):
        decode_mask(two)
    with pytest.raises(ImageFileError, match="no channel 'depth'"), warnings.catch_warnings(action="ignore"):
        decode_mask(data, choice=MaskChoice(channel="depth"))


def test_ids_in_an_exr_file_are_labels() -> None:
    for dtype in (np.float32, np.uint32):
        with pytest.raises(ImageFileError, match=r"--label [12]"):
            decode_mask(exr(Y=PARTS.astype(dtype)))
        assert np.array_equal(decode_mask(exr(Y=PARTS.astype(dtype)), choice=MaskChoice(label="1")) == 255, PARTS == 1)


def test_the_data_window_of_a_lone_channel_lies_in_the_display_window() -> None:
    import OpenEXR

    header = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "displayWindow": ((0, 0), (59, 39)),
        "dataWindow": ((10, 5), (29, 14)),
    }
    buffer = io.BytesIO()
    OpenEXR.File(header, {"A": np.ones((10, 20), np.float16)}).write(buffer)
    mask = decode_mask(buffer.getvalue())
    assert mask.shape == (40, 60)
    assert mask[5:15, 10:30].min() == 255
    assert mask.sum() == 200 * 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_photos_say_how_they_were_turned_and_masks_are_turned_too(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    data = saved(Image.fromarray(WHITE), kind, exif=exif.tobytes())
    photo = decode_image(data)
    assert photo.orientation == orientation
    assert decode_mask(data).shape == photo.pixels.shape[:2]
    indices = saved(palette(PARTS, (0, 0, 0), (128, 0, 0), (0, 128, 0)), "PNG", exif=exif.tobytes())
    turned = decode_mask(indices, choice=MaskChoice(label="2"))
    upright = decode_image(indices).pixels
    assert np.array_equal(turned == 255, upright[..., 1] == 128)


@pytest.mark.parametrize("orientation", [3, 5, 6, 7, 8])
def test_a_raw_mask_lies_over_the_upright_photo(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    photo = decode_image(saved(Image.fromarray(WHITE), "PNG", exif=exif))
    Image.fromarray(WHITE).save(tmp_path / "raw.png")
    size = photo.pixels.shape[:2]
    if orientation == 3:  # of the same size: nothing tells
        assert read_fitted_mask(tmp_path / "raw.png", size, orientation=3).values.shape == size
        return
    with pytest.warns(UserWarning, match="as the camera saw it"):
        fitted = read_fitted_mask(tmp_path / "raw.png", size, orientation=orientation)
    assert np.array_equal(fitted.as_bytes(), photo.pixels[..., 0])
    with pytest.raises(ImageFileError, match=r"raw\.png: the mask is .* another aspect"):
        read_fitted_mask(tmp_path / "raw.png", (30, 30), orientation=orientation)
    with pytest.warns(UserWarning, match="resized"):
        read_fitted_mask(tmp_path / "raw.png", (30, 30), choice=MaskChoice(fit="stretch"))


@pytest.mark.parametrize(("bits", "colours"), [(8, 2), (4, 2), (4, 16)])
def test_a_grey_palette_of_a_bmp_is_read_as_opencv_reads_it(bits: int, colours: int) -> None:
    import struct

    import cv2

    greys = [0, 255] if colours == 2 else list(range(16))
    indices = (np.arange(32).reshape(4, 8) * 3 % colours).astype(np.uint8)
    rows = indices[::-1] if bits == 8 else indices[::-1, ::2] << 4 | indices[::-1, 1::2]
    table = b"".join(bytes([grey, grey, grey, 0]) for grey in greys)
    start = 54 + len(table)
    head = struct.pack("<IiiHHIIiiII", 40, 8, 4, 1, bits, 0, rows.nbytes, 2835, 2835, colours, 0)
    data = struct.pack("<2sIHHI", b"BM", start + rows.nbytes, 0, 0, start) + head + table + rows.tobytes()
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(expected, np.array(greys)[indices])
    assert np.array_equal(decode_image(data).pixels[..., 0], expected)
    if colours == 2:
        assert np.array_equal(decode_mask(data), expected)


def test_a_16_bit_tiff_whose_white_is_zero_is_a_photo_with_its_own_greys() -> None:
    values = np.arange(24, dtype=np.uint16).reshape(4, 6) * 2000
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="miniswhite")
    assert np.array_equal(decode_image(buffer.getvalue()).pixels[..., 1], 65535 - values)
