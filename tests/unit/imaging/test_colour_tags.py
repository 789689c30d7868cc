"""Colours that are stated by numbers, checked against their definitions, LittleCMS and ffmpeg."""

import io
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mask2alpha.imaging.colour import srgb_curve
from mask2alpha.imaging.decode import decode_image
from mask2alpha.imaging.encode import Tags, encode_image
from pictures import with_chunk

GREY = np.repeat(np.arange(0, 256, 5, dtype=np.uint8)[None, :, None], 3, axis=2)


def srgb_of(light: np.ndarray) -> np.ndarray:
    levels = np.linspace(0, 1, 4096)
    return np.interp(light, srgb_curve(levels), levels) * 255


def seen(data: bytes) -> np.ndarray:
    pixels = decode_image(data).in_srgb().pixels
    return pixels / (257 if pixels.dtype == np.uint16 else 1)


@pytest.mark.parametrize("is_grey", [False, True])
@pytest.mark.parametrize("gamma", [100_000, 55_556, 38_462])
def test_gamma_is_heeded_and_kept(gamma: int, is_grey: bool) -> None:
    plain = encode_image(GREY[..., 0] if is_grey else GREY, "a.png")
    data = with_chunk(plain, b"gAMA", struct.pack(">I", gamma))
    expected = srgb_of((GREY[0, :, 0] / 255.0) ** (100_000 / gamma))
    assert np.abs(seen(data)[0, :, 0] - expected).max() < 1.5
    photo = decode_image(data)
    assert np.array_equal(photo.pixels, GREY)
    written = encode_image(GREY[..., 0] if is_grey else GREY, "a.tif", tags=Tags(icc_profile=photo.icc_profile))
    with Image.open(io.BytesIO(written)) as picture:  # by LittleCMS
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
        shown = ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert shown is not None
    assert np.abs(np.asarray(shown)[0, 4:, 0] - expected[4:]).max() < 2.5  # of 8 bits, coarse in the dark


@pytest.mark.parametrize(
    "chunks", [[(b"gAMA", struct.pack(">I", 45455))], [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 10_000))]]
)
def test_what_means_srgb_needs_no_profile(chunks: list[tuple[bytes, bytes]]) -> None:
    data = encode_image(GREY, "a.png")
    for name, body in chunks:
        data = with_chunk(data, name, body)
    assert decode_image(data).icc_profile is None


WIDE = np.array([[[200, 40, 60], [30, 200, 90], [20, 60, 210], [128, 128, 128]]], np.uint8)


@pytest.mark.parametrize("way", ["cICP", "cHRM"])
def test_display_p3_by_numbers_is_display_p3(way: str) -> None:
    numbers = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    chunk = b"\x0c\x0d\0\x01" if way == "cICP" else struct.pack(">8I", *numbers)
    data = with_chunk(encode_image(WIDE, "a.png"), way.encode(), chunk)
    to_srgb = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0196, -0.0786, 1.0979]])  # CSS Color 4
    expected = srgb_of((srgb_curve(WIDE / 255.0) @ to_srgb.T).clip(0, 1))
    assert np.abs(seen(data) - expected).max() < 2


def test_an_embedded_profile_goes_first_and_hdr_is_told() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = with_chunk(encode_image(WIDE, "a.png", tags=Tags(icc_profile=profile)), b"gAMA", struct.pack(">I", 100_000))
    assert decode_image(data).icc_profile == profile
    with pytest.warns(UserWarning, match=r"primaries 9, transfer 16 .* not supported"):
        decode_image(with_chunk(encode_image(WIDE, "a.png"), b"cICP", b"\x09\x10\0\x01"))


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not on PATH")
@pytest.mark.parametrize(("primaries", "is_converted"), [("smpte432", True), ("bt2020", True), ("bt709", False)])
def test_nclx_of_avif_is_heeded(tmp_path: Path, primaries: str, is_converted: bool) -> None:
    Image.fromarray(np.repeat(np.repeat(WIDE, 32, 0), 32, 1)).save(tmp_path / "a.png")
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        "a.png",
        "-pix_fmt",
        "yuv444p",
        "-c:v",
        "libaom-av1",
        "-still-picture",
        "1",
    ]
    command += [
        "-crf",
        "4",
        "-color_primaries",
        primaries,
        "-color_trc",
        "iec61966-2-1",
        "-colorspace",
        "bt709",
        "a.avif",
    ]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("this ffmpeg writes no AVIF")
    photo = decode_image((tmp_path / "a.avif").read_bytes())
    assert (photo.icc_profile is not None) == is_converted
    red = photo.in_srgb().pixels[16, 16] / (257 if is_converted else 1)
    assert (red[0] > photo.pixels[16, 16, 0] + 5) == is_converted  # wide colours are stronger than sRGB's
