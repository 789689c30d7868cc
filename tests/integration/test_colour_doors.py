"""The photo's own colours at every door, as Pillow, OpenCV and LittleCMS see them in what is written."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

pytest.importorskip("cv2")

import cv2

from mask2alpha.ops.masks import MaskChoice
from pictures import linear_profile, with_chunk

RNG = np.random.default_rng(0)
EIGHT = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
SIXTEEN = RNG.integers(0, 65536, (20, 30, 3), dtype=np.uint16)
LIGHT = np.repeat(np.float32([0.02, 0.18, 0.5, 0.8, 0.9, 1, 1.5, 4]), 5)[None, :30, None].repeat(20, 0).repeat(3, 2)
GREY_STEPS = np.broadcast_to(np.linspace(0, 65535, 30).astype(np.uint16), (20, 30))


def by_tifffile(values: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, metadata=None, **options)
    return buffer.getvalue()


def by_pillow(values: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()


def exr(values: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {name: np.ascontiguousarray(values[..., i]) for i, name in enumerate("RGB")}).write(buffer)
    return buffer.getvalue()


def srgb(light: NDArray[Any]) -> NDArray[Any]:
    light = np.clip(light.astype(np.float64), 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def stored(data: bytes) -> NDArray[Any]:
    """The values in a PNG file, colours in the order RGB."""
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return array[..., ::-1] if array.ndim == 3 else array


def shown(data: bytes) -> NDArray[Any]:
    """The colours of a PNG file in sRGB, by its profile, as LittleCMS converts them; 8 bits."""
    picture = Image.open(io.BytesIO(data))
    profile = picture.info.get("icc_profile")
    if profile is None:
        return stored(data) / (257 if stored(data).dtype == np.uint16 else 1)
    eight = Image.fromarray(np.rint(stored(data) / (257 if stored(data).dtype == np.uint16 else 1)).astype(np.uint8))
    converted = ImageCms.profileToProfile(eight, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB")
    return np.asarray(converted)


SAME = {
    "16 bits and a profile": (
        "tif", by_tifffile(SIXTEEN, photometric="rgb", iccprofile=linear_profile()), SIXTEEN, linear_profile(),
    ),
    "8 bits and a profile": ("png", by_pillow(EIGHT, icc_profile=linear_profile()), EIGHT, linear_profile()),
    "grey of 16 bits": ("png", by_pillow(GREY_STEPS), GREY_STEPS, None),
    "white is zero": ("tif", by_tifffile(65535 - GREY_STEPS, photometric="miniswhite"), GREY_STEPS, None),
    "planes and predictor": (
        "tif",
        by_tifffile(np.moveaxis(SIXTEEN, 2, 0), photometric="rgb", planarconfig="separate", compression="zlib",
                    predictor=True),
        SIXTEEN,
        None,
    ),
    "a palette": ("bmp", by_pillow(EIGHT // 128 * 255, "BMP"), EIGHT // 128 * 255, None),
    "alpha that is opaque": ("webp", by_pillow(np.dstack([EIGHT, EIGHT[..., 0] | 255]), "WEBP", lossless=True), EIGHT,
                             None),
}  # fmt: skip
"""Name to the suffix, the file, and the values and the profile that are expected, bit for bit."""


@pytest.fixture
def cut(any_door: Callable[..., bytes], tmp_path: Path) -> Callable[[str, bytes], bytes]:
    """From the suffix and the bytes of a photo to the bytes of its foreground, all of which is the target."""
    (tmp_path / "out").mkdir()

    def make(suffix: str, data: bytes) -> bytes:
        (tmp_path / f"photo.{suffix}").write_bytes(data)
        Image.new("L", (30, 20), 255).save(tmp_path / "mask.png")
        paths = tmp_path / f"photo.{suffix}", tmp_path / "mask.png"
        return any_door(*paths, MaskChoice(), tmp_path / "out", kind="foreground")

    return make


pytestmark = pytest.mark.filterwarnings("ignore:.*is full, so alpha is 1", "ignore:.*brighter than white")


@pytest.mark.parametrize("name", SAME)
def test_values_and_profiles_are_the_photos_own(cut: Callable[[str, bytes], bytes], name: str) -> None:
    suffix, data, values, profile = SAME[name]
    foreground = cut(suffix, data)
    assert np.array_equal(stored(foreground), values)
    assert Image.open(io.BytesIO(foreground)).info.get("icc_profile") == profile


def test_light_is_clipped_and_never_compressed(cut: Callable[[str, bytes], bytes]) -> None:
    for_srgb = srgb(LIGHT)
    assert np.abs(stored(cut("exr", exr(LIGHT))) / 65535 - for_srgb).max() < 1e-4


STATED = {
    "gAMA 1.0": ("png", with_chunk(by_pillow(EIGHT), b"gAMA", (100_000).to_bytes(4, "big")), srgb(EIGHT / 255)),
    "cICP of linear light": ("png", with_chunk(by_pillow(EIGHT), b"cICP", bytes([1, 8, 0, 1])), srgb(EIGHT / 255)),
    "gAMA 1/1.8 of 16 bits": (
        "png", with_chunk(by_pillow(GREY_STEPS), b"gAMA", (55_556).to_bytes(4, "big")),
        srgb((GREY_STEPS[..., None].repeat(3, 2) / 65535) ** 1.8),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STATED)
def test_colours_that_a_file_states_without_a_profile_are_kept(cut: Callable[[str, bytes], bytes], name: str) -> None:
    suffix, data, expected = STATED[name]
    seen = shown(cut(suffix, data)) / 255
    error = np.abs(seen - expected)
    # a dark value of 8 bits in linear light is a large step in sRGB
    assert error[expected > 0.15].max() < 2.5 / 255
