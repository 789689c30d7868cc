import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from mask2alpha.imaging import colour
from mask2alpha.imaging.decode import decode_image
from mask2alpha.imaging.encode import Tags, encode_image
from mask2alpha.imaging.photo import Photo

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ACESCG = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)


def tag_place(profile: bytes, name: bytes) -> tuple[int, int]:
    (count,) = struct.unpack_from(">I", profile, 128)
    entries = [struct.unpack_from(">4sII", profile, 132 + 12 * index) for index in range(count)]
    return next((start, size) for entry, start, size in entries if entry == name)


def wide_profile(gamma: float = 2.2) -> bytes:
    """LittleCMS's sRGB profile with Adobe RGB's green and another exponent."""
    profile = bytearray(SRGB)
    start, _ = tag_place(SRGB, b"gXYZ")
    struct.pack_into(">3i", profile, start + 8, *(round(value * 65536) for value in (0.20528, 0.62567, 0.06087)))
    start, _ = tag_place(SRGB, b"rXYZ")
    struct.pack_into(">3i", profile, start + 8, *(round(value * 65536) for value in (0.60974, 0.31111, 0.01947)))
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        start, _ = tag_place(SRGB, name)
        assert profile[start : start + 4] == b"para"
        struct.pack_into(">i", profile, start + 12, round(gamma * 65536))
    return bytes(profile)


def grey_profile(gamma: float) -> bytes:
    """A minimal ICC profile of one curve."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    header = bytearray(128)
    header[8:12], header[12:24], header[36:40] = b"\x02\x40\0\0", b"mntrGRAYXYZ ", b"acsp"
    struct.pack_into(">3i", header, 68, 0xF6D6, 0x10000, 0xD32D)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    table = struct.pack(">I", 2) + struct.pack(">4sII", b"kTRC", 156, 16) + struct.pack(">4sII", b"wtpt", 172, 20)
    profile = bytes(header) + table + curve + white
    return len(profile).to_bytes(4, "big") + profile[4:]


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.4])
def test_matrix_profiles_agree_with_littlecms(rng: np.random.Generator, gamma: float) -> None:
    pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    profile = wide_profile(gamma)
    expected = ImageCms.profileToProfile(
        Image.fromarray(pixels), io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    converted = colour.srgb_from_profile(pixels, profile) / 257
    assert np.abs(converted - np.asarray(expected)).max() < 2


def test_grey_profiles_agree_with_littlecms() -> None:
    levels = np.arange(256, dtype=np.uint8)[None]
    profile = grey_profile(1.8)
    expected = ImageCms.profileToProfile(
        Image.fromarray(levels), io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    converted = colour.srgb_from_profile(np.repeat(levels[..., None], 3, axis=2), profile) / 257
    assert np.abs(converted - np.asarray(expected)).max() < 2


def test_srgb_is_recognised_by_what_it_does() -> None:
    assert colour.is_like_srgb(SRGB)
    assert not colour.is_like_srgb(wide_profile())


def test_sixteen_bits_stay_sixteen_bits(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 65536, (30, 30, 3), dtype=np.uint16)
    converted = colour.srgb_from_profile(pixels, wide_profile())
    assert converted.dtype == np.uint16
    assert len(np.unique(converted)) > 1000


def test_eight_bit_srgb_survives_linear_light(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)
    assert np.array_equal(colour.srgb_from_linear(colour.linear_from_profile(pixels, None)), pixels * np.uint16(257))


def test_primaries_are_converted_as_published() -> None:
    red = colour.from_srgb_primaries(np.array([[[1, 0, 0], [1, 1, 1]]], dtype=np.float32), ACESCG)
    assert np.allclose(red[0, 0], [0.6131, 0.0702, 0.0206], atol=5e-4)  # the usual sRGB to ACEScg matrix
    assert np.allclose(red[0, 1], 1, atol=1e-3)
    assert colour.usable_primaries((0.3,) * 8) is None
    assert colour.usable_primaries((float("nan"),) * 8) is None


def test_highlights_are_compressed_only_where_there_are_any() -> None:
    ramp = np.repeat(np.linspace(0, 20, 101, dtype=np.float32)[None, :, None], 3, axis=2)
    shown = colour.srgb_from_linear(ramp, has_shoulder=True)[0, :, 0].astype(int)
    plain = colour.srgb_from_linear(ramp)[0, :, 0].astype(int)
    assert (np.diff(shown) >= 0).all()
    assert len(np.unique(shown)) > 75  # of 101; clipped, 6 were left
    assert np.array_equal(shown[ramp[0, :, 0] <= 0.8], plain[ramp[0, :, 0] <= 0.8])
    low = ramp[:, ramp[0, :, 0] <= 1]
    assert np.array_equal(colour.srgb_from_linear(low, has_shoulder=True), colour.srgb_from_linear(low))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_wide_profile_is_kept_and_converted_for_the_network_only(
    rng: np.random.Generator, name: str, dtype: type
) -> None:
    pixels = rng.integers(0, np.iinfo(dtype).max, (5, 6, 3), dtype=dtype, endpoint=True)
    photo = decode_image(encode_image(pixels, name, tags=Tags(icc_profile=wide_profile())))
    assert photo.icc_profile == wide_profile()
    assert np.array_equal(photo.pixels, pixels)
    shown = photo.in_srgb()
    assert shown.icc_profile is None
    assert np.array_equal(shown.pixels, colour.srgb_from_profile(pixels, wide_profile()))


def test_an_srgb_photo_goes_to_the_network_as_it_is(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    for profile in (None, SRGB):
        photo = Photo(pixels=pixels, icc_profile=profile)
        assert photo.in_srgb() is photo


@pytest.mark.parametrize(
    "profile",
    [b"short", SRGB[:200], SRGB[:16] + b"CMYK" + SRGB[20:], bytes(400)],
    ids=["short", "cut", "CMYK", "zeros"],  # the bytes hold the time
)
def test_an_unusable_profile_is_left_out_with_a_warning(profile: bytes) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG", icc_profile=profile)
    with pytest.warns(UserWarning, match="profile cannot be used and was left out"):
        assert decode_image(buffer.getvalue()).icc_profile is None


def test_a_file_never_states_a_profile_of_other_channels() -> None:
    for array, profile in ((np.zeros((4, 4), np.uint8), SRGB), (np.zeros((4, 4, 3), np.uint16), grey_profile(1.8))):
        for name in ("a.png", "a.tif"):
            assert decode_image(encode_image(array, name, tags=Tags(icc_profile=profile))).icc_profile is None


def test_a_grey_profile_stays_with_a_grey_photo() -> None:
    profile = grey_profile(1.8)
    photo = decode_image(encode_image(np.full((4, 4), 128, np.uint8), "a.png", tags=Tags(icc_profile=profile)))
    assert photo.is_grey
    assert photo.icc_profile == profile
    expected = 255 * 0.5020 ** (1.8 / 2.2)  # about what a screen of gamma 2.2 needs
    assert abs(photo.in_srgb().pixels[0, 0, 0] / 257 - expected) < 4


@pytest.mark.parametrize(
    ("suffix", "bits", "dtype"),
    [
        (".png", None, np.uint16), (".png", 8, np.uint8), (".jpg", None, np.uint8), (".webp", 16, np.uint8),
        (".tif", None, np.uint16), (".tif", 8, np.uint8), (".tif", 32, np.float32),
        (".exr", None, np.float32), (".exr", 16, np.float16),
    ],
)  # fmt: skip
def test_a_photo_becomes_what_a_format_holds(
    rng: np.random.Generator, suffix: str, bits: int | None, dtype: type
) -> None:
    photo = Photo(pixels=rng.integers(0, 65536, (5, 6, 3), dtype=np.uint16))
    output = photo.for_output(suffix, bits)
    assert output.pixels.dtype == dtype
    assert output.is_linear == (np.dtype(dtype).kind == "f")
    if dtype == np.uint16:
        assert output is photo
    elif dtype == np.float32:
        assert np.array_equal(output.for_output(".png").pixels, photo.pixels)


def test_clipped_highlights_are_told() -> None:
    photo = Photo(pixels=np.full((2, 2, 3), 3.0, dtype=np.float16))
    assert photo.for_output(".exr") is photo
    with pytest.warns(UserWarning, match=r"brighter than white \(above 1\) were clipped"):
        assert photo.for_output(".png").pixels.tolist() == [[[65535] * 3] * 2] * 2
