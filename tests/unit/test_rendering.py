"""Every kind of output in every format: what it holds, and that its colours are the photo's own."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.imaging.colour import srgb_curve
from mask2alpha.imaging.decode import decode_image
from mask2alpha.imaging.encode import FORMATS, Tags, encode_image
from mask2alpha.imaging.photo import Photo
from mask2alpha.pipeline import matte as matte_module
from mask2alpha.pipeline.matte import Matte
from mask2alpha.rendering import KINDS, OutputOptions, RenderedMatte, check_output, output_suffix, plain_colour

OpenEXR = pytest.importorskip("OpenEXR")
SIZE = (20, 30)
ACESCG = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
LEFT = np.s_[:, :10]


def make_photo(dtype: type, **about: Any) -> Photo:
    top = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    return Photo(pixels=(np.random.default_rng(0).random((*SIZE, 3)) * top).astype(dtype), **about)


def make_matte(photo: Photo) -> Matte:
    """1 in the left third, 0 in the right one, between in the middle."""
    alpha = np.tile(np.clip(2 - np.arange(SIZE[1], dtype=np.float32) / 10, 0, 1), (SIZE[0], 1))
    alpha[LEFT] = 1
    return Matte(alpha=alpha, image=photo.in_srgb().pixels, coarse_error=0 * alpha, spanned=SIZE)


def render(photo: Photo, **options: Any) -> RenderedMatte:
    mask = np.zeros(SIZE, np.uint8)
    return RenderedMatte(photo, make_matte(photo), mask=mask, options=OutputOptions(**options))


def profile(name: str = "sRGB") -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()  # type: ignore[arg-type]


def dark_grey_profile() -> bytes:
    """A grey profile of exponent 1: its values look much darker as sRGB."""
    tags = {
        b"wtpt": b"XYZ \0\0\0\0" + np.array([0.9642 * 65536, 65536, 0.8249 * 65536]).astype(">i4").tobytes(),
        b"kTRC": b"curv\0\0\0\0\0\0\0\0",
    }
    table, body = b"", b""
    for name, content in tags.items():
        table += name + (132 + 12 * len(tags) + len(body)).to_bytes(4, "big") + len(content).to_bytes(4, "big")
        body += content
    data = bytearray(128) + len(tags).to_bytes(4, "big") + table + body
    data[0:4], data[8:12] = len(data).to_bytes(4, "big"), b"\x02\x40\0\0"
    data[12:24], data[36:40] = b"mntrGRAYXYZ ", b"acsp"
    data[68:80] = np.array([0.9642 * 65536, 65536, 0.8249 * 65536]).astype(">i4").tobytes()
    return bytes(data)


@pytest.mark.parametrize("bits", [None, 8, 16, 32])
@pytest.mark.parametrize("kind", list(KINDS))
def test_what_is_checked_first_is_what_can_be_written(tmp_path: Path, kind: str, bits: int | None) -> None:
    rendered = render(make_photo(np.uint8), bits=bits)
    num_written = 0
    for file_format in FORMATS.values():
        path = tmp_path / f"a{file_format.suffixes[0]}"
        try:
            check_output(path, kind, bits)
        except ImageFileError:
            continue
        rendered.write(path, kind)
        written = decode_image(path.read_bytes()).pixels
        assert written.shape[0] == SIZE[0]
        assert bits is None or KINDS[kind].is_map or written.dtype.itemsize * 8 == bits
        num_written += 1
    assert num_written >= (0 if kind == "passes" and bits == 8 else 1)


@pytest.mark.parametrize(
    ("name", "kind", "bits"),
    [("a.jpg", "cutout", None), ("a.jpeg", "cutout_premultiplied", None), ("a.webp", "cutout_premultiplied", None),
     ("a.png", "passes", None), ("a.TIFF", "passes", 32), ("a.png", "alpha", 32), ("a.webp", "foreground", 16),
     ("a.exr", "composite", 8), ("a.JPE", "alpha", 16), ("a.avif", "alpha", 16),
     ("a.bmp", "alpha", None), ("a", "alpha", None)],
)  # fmt: skip
def test_what_a_format_cannot_hold_is_refused(name: str, kind: str, bits: int | None) -> None:
    with pytest.raises(ImageFileError, match=r"written as|cannot hold|cannot write"):
        check_output(Path(name), kind, bits)


def test_the_foreground_is_estimated_once_for_all_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    estimate = matte_module.estimate_foreground
    monkeypatch.setattr(matte_module, "estimate_foreground", lambda *given: calls.append(1) or estimate(*given))
    rendered = render(make_photo(np.uint8, icc_profile=profile()))
    for kind in KINDS:
        rendered.write(tmp_path / f"{kind}{output_suffix(kind, 'a.png')}", kind)
    assert len(calls) == 1


@pytest.mark.parametrize("kind", ["cutout", "cutout_premultiplied", "foreground", "composite"])
@pytest.mark.parametrize(
    ("dtype", "name"),
    [(np.uint8, "a.png"), (np.uint8, "a.tif"), (np.uint16, "a.png"), (np.uint16, "a.tif"), (np.float32, "a.tif"),
     (np.float16, "a.exr"), (np.float32, "a.exr"), (np.uint8, "a.webp")],
)  # fmt: skip
def test_colours_are_the_photos_own_where_alpha_is_1(kind: str, dtype: type, name: str) -> None:
    if (kind, name) == ("cutout_premultiplied", "a.webp"):
        pytest.skip("WebP cannot hold premultiplied colours")
    photo = make_photo(dtype)
    written = decode_image(render(photo).encode(name, kind))
    assert written.pixels.dtype == dtype
    assert np.array_equal(written.pixels[LEFT], photo.pixels[LEFT])


@pytest.mark.parametrize("kind", ["foreground", "composite", "comparison"])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_highlights_are_clipped_and_never_compressed(kind: str, suffix: str) -> None:
    light = np.broadcast_to(np.float32([0.18, 0.5, 0.8, 0.9, 1, 2]).repeat(5)[None, :, None], (*SIZE, 3))
    photo = Photo(pixels=light.copy())
    rendered = RenderedMatte(
        photo, replace(make_matte(photo), alpha=np.ones(SIZE, np.float32)), mask=np.zeros(SIZE, np.uint8),
        options=OutputOptions(bits=8),
    )  # fmt: skip
    with pytest.warns(UserWarning, match="brighter than white"):
        written = decode_image(rendered.encode(f"a{suffix}", kind)).pixels[10, 2:30:5, 0]
    assert np.abs(srgb_curve(written / 255.0) - [0.18, 0.5, 0.8, 0.9, 1, 1]).max() < 0.005


def test_light_above_white_stays_in_formats_that_hold_it() -> None:
    photo = Photo(pixels=np.full((*SIZE, 3), 2, np.float16), primaries=ACESCG)
    for kind in ("cutout", "foreground", "composite", "passes"):
        written = decode_image(render(photo).encode("a.exr", kind))
        assert (written.pixels[LEFT] == 2).all()
        assert written.primaries == pytest.approx(ACESCG)
    floating = decode_image(render(photo, bits=32).encode("a.tif", "foreground"))
    assert floating.pixels[LEFT] == pytest.approx(2, abs=1e-4)


def test_a_background_of_light_keeps_its_colours_behind_light_in_other_primaries() -> None:
    behind = np.random.default_rng(0).random((*SIZE, 3)).astype(np.float32)
    photo = Photo(pixels=np.full((*SIZE, 3), 2, np.float32), primaries=ACESCG)
    rendered = render(photo, background=Photo(pixels=behind, primaries=ACESCG))
    composite = decode_image(rendered.encode("a.exr", "composite"))
    assert np.abs(composite.pixels[:, 25:] - behind[:, 25:]).max() < 1e-5


@pytest.mark.parametrize("kind", ["cutout", "cutout_premultiplied", "foreground", "composite"])
def test_light_in_other_primaries_is_converted_where_the_format_states_none(kind: str) -> None:
    red = np.zeros((*SIZE, 3), np.float32)
    red[..., 0] = 1
    photo = Photo(pixels=red, primaries=ACESCG)
    written = decode_image(render(photo, bits=32).encode("a.tif", kind)).pixels[5, 5]
    assert written == pytest.approx([1.7051, -0.1302, -0.0240], abs=1e-3)  # of ACEScg's red, as published with ACES


def test_half_floats_are_clipped_at_their_largest_value() -> None:
    photo = Photo(pixels=np.full((*SIZE, 3), 1e6, np.float32))
    with pytest.warns(UserWarning, match="65504"):
        written = decode_image(render(photo, bits=16).encode("a.exr", "foreground"))
    assert (written.pixels == 65504).all()


@pytest.mark.parametrize(("name", "is_kept"), [("a.png", True), ("a.tif", True), ("a.webp", False), ("a.jpg", True)])
def test_a_grey_profile_is_kept_or_its_colours_converted(name: str, is_kept: bool) -> None:
    grey = np.full((*SIZE, 3), 128, np.uint8)
    photo = decode_image(encode_image(grey[..., 0], "a.png", tags=Tags(icc_profile=dark_grey_profile())))
    assert photo.icc_profile
    written = decode_image(render(photo).encode(name, "foreground"))
    assert (written.icc_profile is not None) == is_kept
    seen = written.in_srgb().pixels
    seen = seen / (257 if seen.dtype == np.uint16 else 1)
    assert np.abs(seen - 188).max() < 2  # 128/255 of light is 188 in sRGB


def test_another_profile_stays_with_cutouts_and_is_converted_behind_backgrounds() -> None:
    linear = bytearray(profile())
    at = linear.index(b"para\0\0\0\0\0\3")
    linear[at + 8 : at + 32] = b"\0\3\0\0" + np.array([0x10000, 0x10000, 0, 0x10000, 0], dtype=">u4").tobytes()
    photo = Photo(pixels=np.full((*SIZE, 3), 128, np.uint8), icc_profile=bytes(linear))
    rendered = render(photo, background=plain_colour("black"))
    cutout = decode_image(rendered.encode("a.png", "cutout"))
    assert cutout.icc_profile == photo.icc_profile
    assert np.array_equal(cutout.pixels[LEFT], photo.pixels[LEFT])
    composite = decode_image(rendered.encode("a.png", "composite"))
    assert composite.icc_profile is None
    assert (composite.pixels[:, 25:] == 0).all()
    assert np.array_equal(composite.pixels[LEFT], photo.in_srgb().pixels[LEFT])


def test_spill_of_a_screen_is_removed_from_colours_of_any_depth() -> None:
    green = np.array([0.3, 0.8, 0.3])
    for photo in (
        Photo(pixels=np.full((*SIZE, 3), green * 255, np.uint8)),
        Photo(pixels=np.full((*SIZE, 3), green * 65535, np.uint16)),
        Photo(pixels=np.full((*SIZE, 3), green * 4, np.float32)),
    ):
        rendered = render(photo, key=plain_colour("#00ff00"))
        colours = decode_image(rendered.encode("a.tif", "foreground")).pixels.astype(np.float64)
        assert (colours[..., 1] < 0.8 * photo.pixels[..., 1].max()).all()
        assert np.abs(colours.mean(2) / photo.pixels.mean() - 1).max() < 0.02


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_resolution_and_rights_are_kept_when_asked(name: str) -> None:
    exif = Image.Exif()
    exif[0x8298] = "me"
    photo = make_photo(np.uint8, resolution=(300.0, 150.0), exif=exif.tobytes())
    for has_metadata in (False, True):
        data = render(photo, has_metadata=has_metadata).encode(name, "foreground")
        with Image.open(io.BytesIO(data)) as picture:
            found = picture.info.get("dpi") or tuple(picture.getexif().get(tag) for tag in (0x011A, 0x011B))
            assert (found == pytest.approx((300, 150), abs=0.05)) == has_metadata
            rights = picture.getexif().get(0x8298)
            assert ((rights[0] if isinstance(rights, tuple) else rights) == "me") == has_metadata


def test_the_colours_of_soft_edges_go_a_share_of_the_way() -> None:
    photo = make_photo(np.uint16)
    soft = np.s_[:, 11:20]
    original, half, clean = (
        render(photo, clean_share=share).render("foreground", ".png")[0].astype(float) for share in (0, 0.5, 1)
    )
    assert np.array_equal(original, photo.pixels)
    assert np.abs(clean - original)[soft].mean() > 1000
    assert np.abs(half - (original + clean) / 2)[soft].max() <= 1
    assert np.array_equal(half[:, 20:], clean[:, 20:])  # where alpha is 0, colours continue those nearby


def test_a_share_of_the_spill_is_removed() -> None:
    pixels = np.tile(np.uint8([100, 180, 100]), (*SIZE, 1))
    photo = Photo(pixels=pixels)
    options = OutputOptions().with_colours("original", "#00ff00:0.5")
    half, whole = (
        RenderedMatte(photo, make_matte(photo), options=each).render("foreground", ".png")[0]
        for each in (options, replace(options, despill_share=1))
    )
    assert np.abs(whole.astype(int) - 127).max() <= 1
    assert np.abs(half - (pixels + whole.astype(float)) / 2).max() <= 1


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"colours": "bright"}, "colours is 'bright'; accepted: clean, original, or a share from 0 to 1"),
        ({"colours": "1.5"}, "colours is '1.5'"),
        ({"despill": "grey"}, "despill 'grey' is grey, and a screen has a colour"),
        ({"despill": "greeen"}, "despill 'greeen' is not a colour"),
        ({"despill": "green:2"}, "despill is '2'; accepted: COLOR:a share from 0 to 1"),
    ],
)
def test_other_words_for_colours_are_refused(given: dict[str, str], complaint: str) -> None:
    with pytest.raises(InputError) as refusal:
        OutputOptions().with_colours(**given)
    assert complaint in str(refusal.value)
