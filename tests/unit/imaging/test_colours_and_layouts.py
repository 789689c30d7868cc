"""Files whose colours or layout other readers get wrong, or we once did; `python -m tests.fuzz --photos` makes more."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image
from tests.fuzz.light import Space, srgb_values
from tests.fuzz.sound import png

from mask2alpha.errors import ImageFileError
from mask2alpha.imaging.decode import decode_image, decode_mask
from mask2alpha.imaging.encode import Tags, encode_image
from mask2alpha.imaging.photo import Photo

LINEAR = Space(exponent=1.0)
ADOBE = Space(primaries=(0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.3290), exponent=563 / 256)
ACES = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, 0.32168, 0.33767)


def tiff(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, metadata=None, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def srgb_of(photo: Photo) -> np.ndarray:
    seen = photo.in_srgb().pixels
    return seen / np.iinfo(seen.dtype).max


@pytest.fixture
def colours(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_cicp_counts_more_than_an_embedded_profile(colours: np.ndarray) -> None:
    profile = (b"iCCP", b"x\0\0" + zlib.compress(ADOBE.icc_profile(is_table=True)))
    photo = decode_image(png(colours, 8, 2, [(b"cICP", bytes([1, 8, 0, 1])), profile]))
    assert np.abs(srgb_of(photo) - LINEAR.srgb(colours / 255)).max() < 1.5 / 255


@pytest.mark.parametrize("curve", [16, 18])  # PQ and HLG
def test_an_embedded_profile_stands_in_for_a_cicp_that_we_do_not_know(colours: np.ndarray, curve: int) -> None:
    profile = (b"iCCP", b"x\0\0" + zlib.compress(ADOBE.icc_profile(is_table=True)))
    photo = decode_image(png(colours, 8, 2, [(b"cICP", bytes([9, curve, 0, 1])), profile]))
    assert np.abs(srgb_of(photo) - ADOBE.srgb(colours / 255)).max() < 1.5 / 255


@pytest.mark.parametrize(
    ("tags", "space"),
    [
        ({0xA001: 65535, 0xA005: {1: "R03"}}, ADOBE),
        ({0xA001: 2}, ADOBE),
        ({0xA001: 1, 0xA005: {1: "R98"}}, Space()),
        ({0xA001: 65535}, Space()),
        ({}, Space()),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_adobe_rgb_that_exif_alone_states_is_heeded_and_kept(
    colours: np.ndarray, kind: str, tags: dict[int, object], space: Space
) -> None:
    exif = Image.Exif()
    exif[0x8769] = tags
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, kind, exif=exif, lossless=True)
    photo = decode_image(buffer.getvalue())
    assert np.abs(srgb_of(photo) - space.srgb(photo.pixels / 255)).max() < 1.5 / 255
    assert (photo.icc_profile is not None) == (space is ADOBE)
    written = Image.open(io.BytesIO(encode_image(photo.in_srgb().for_output(".png", 8).pixels, "a.png",
                                                 tags=Tags(exif=photo.exif))))  # fmt: skip
    assert 0xA001 not in written.getexif().get_ifd(0x8769)  # or the converted colours would be taken for Adobe RGB


def exr(channels: dict[str, np.ndarray], **header: object) -> bytes:
    buffer = io.BytesIO()
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}, channels).write(
        buffer
    )
    return buffer.getvalue()


def test_the_primaries_of_aces_are_heeded_and_kept(rng: np.random.Generator) -> None:
    light = rng.random((4, 5, 3)).astype(np.float32) * 0.5
    planes = {name: np.ascontiguousarray(light[..., place]) for place, name in enumerate("RGB")}
    photo = decode_image(exr(planes, chromaticities=ACES))
    assert photo.primaries == pytest.approx(ACES)
    expected = Space(primaries=ACES, exponent=1.0).light(light.astype(np.float64))
    assert np.abs(srgb_of(photo) - srgb_values(np.clip(expected, 0, 1))).max() < 1e-3


def test_primaries_that_span_nothing_are_told_of() -> None:
    plane = np.ones((3, 4), np.float32)
    with pytest.warns(UserWarning, match="chromaticities do not span a colour space"):
        decode_image(exr({"R": plane, "G": plane, "B": plane}, chromaticities=(0.3, 0.3) * 4))


@pytest.mark.parametrize("left", [-3, 0, 2, 5])
@pytest.mark.parametrize("top", [-2, 0, 3])
def test_a_data_window_lies_where_it_says(rng: np.random.Generator, left: int, top: int) -> None:
    plane = rng.random((6, 8)).astype(np.float32) + 0.1
    windows = {
        "dataWindow": (np.array([left, top], np.int32), np.array([left + 7, top + 5], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([10, 8], np.int32)),
    }
    shown = np.zeros((9, 11), np.float32)
    for y in range(9):
        for x in range(11):
            if 0 <= y - top < 6 and 0 <= x - left < 8:
                shown[y, x] = plane[y - top, x - left]
    photo = decode_image(exr({"R": plane, "G": plane, "B": plane}, **windows))
    assert np.array_equal(photo.pixels[..., 0], shown)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_the_transparent_grey_of_a_shallow_png_is_found(rng: np.random.Generator, bits: int) -> None:
    stored = rng.integers(0, 2**bits, (6, 9, 1)).astype(np.uint8)
    photo = decode_image(png(stored, bits, 0, [(b"tRNS", struct.pack(">H", 2**bits - 1))]))
    assert np.array_equal(photo.alpha == 0, stored[..., 0] == 2**bits - 1)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
@pytest.mark.parametrize("decode", [decode_image, decode_mask])
def test_signed_samples_are_refused(dtype: str, decode: object) -> None:
    with pytest.raises(ImageFileError, match=r"signed|int\d+ samples"):
        decode(tiff(np.full((4, 5), -1, dtype), photometric="minisblack"))  # type: ignore[operator]


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha", "unspecified"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_grey_with_another_channel_is_read_in_every_layout(planes: str, extra: str, dtype: str) -> None:
    white = 1 if dtype == "float32" else np.iinfo(dtype).max
    grey = np.linspace(0, white / 2, 12).reshape(3, 4).astype(dtype)
    other = np.full((3, 4), white / 2).astype(dtype)
    stored = np.stack([grey, other], axis=0 if planes == "separate" else 2)
    photo = decode_image(tiff(stored, photometric="minisblack", planarconfig=planes, extrasamples=[extra]))
    assert photo.is_grey
    assert (photo.alpha is None) == (extra == "unspecified")
    expected = grey / white * (white / other[0, 0] if extra == "assocalpha" else 1)
    assert np.abs(photo.pixels[..., 0] / white - expected).max() < 0.005


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_a_big_tiff_is_read_in_either_byte_order(rng: np.random.Generator, dtype: str, byte_order: str) -> None:
    stored = (rng.random((4, 6, 3)) * (1 if dtype == "float32" else 250)).astype(dtype)
    data = tiff(stored, photometric="rgb", bigtiff=True, byteorder=byte_order)
    assert np.array_equal(decode_image(data).pixels, stored)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_told_of(colours: np.ndarray, kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(colours).convert("CMYK").save(buffer, kind)
    with pytest.warns(UserWarning, match="CMYK without a colour profile"):
        decode_image(buffer.getvalue())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_avif_keeps_alpha_and_grey_exactly_and_colours_within_three(
    tmp_path: Path, rng: np.random.Generator, channels: int
) -> None:
    array = rng.integers(0, 256, (13, 17, channels), dtype=np.uint8)
    profile = ADOBE.icc_profile(is_table=True) if channels > 2 else None
    tags = Tags(icc_profile=profile, resolution=(300.0, 150.0))
    photo = decode_image(encode_image(array if channels > 1 else array[..., 0], "a.avif", tags=tags))
    colours = array[..., : 1 if channels < 3 else 3]
    assert np.abs(photo.pixels.astype(int) - colours).max() <= (0 if channels < 3 else 3)
    assert channels in (1, 3) or np.array_equal(photo.alpha, array[..., -1])
    assert photo.icc_profile == profile
    assert photo.resolution == (300, 150)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "PNG"])
def test_a_resolution_in_exif_alone_is_read(colours: np.ndarray, kind: str) -> None:
    exif = Image.Exif()
    exif[0x011A], exif[0x011B], exif[0x0128] = 100.0, 50.0, 3  # per centimetre
    buffer = io.BytesIO()
    Image.fromarray(colours).save(buffer, kind, exif=exif)
    assert decode_image(buffer.getvalue()).resolution == pytest.approx((254, 127))
