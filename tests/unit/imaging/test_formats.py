"""Formats beyond those of Pillow's core: AVIF, HEIC, OpenEXR, floating and 16-bit TIFF."""

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image, ImageCms

from mask2alpha.errors import ImageFileError
from mask2alpha.imaging.decode import decode_image, decode_mask
from mask2alpha.imaging.encode import Tags, encode_image, encode_passes, write_file
from mask2alpha.imaging.exr import COMPRESSIONS, encode_exr

PICTURES = Path(__file__).parents[2] / "data" / "pictures"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


def exr(channels: dict[str, np.ndarray], **header: Any) -> bytes:
    buffer = io.BytesIO()
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}, channels).write(
        buffer
    )
    return buffer.getvalue()


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, metadata=None, software=False, **{"photometric": "rgb", **options})
    return buffer.getvalue()


def turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """What a viewer shows of stored pixels."""
    order = {
        1: array, 2: array[:, ::-1], 3: array[::-1, ::-1], 4: array[::-1], 5: array.swapaxes(0, 1),
        6: np.rot90(array, -1), 7: np.rot90(array.swapaxes(0, 1), 2), 8: np.rot90(array),
    }  # fmt: skip
    return order[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_read_upright(orientation: int) -> None:
    array = np.zeros((32, 48, 3), dtype=np.uint8)
    array[:16, :24], array[:16, 24:], array[16:] = RED, GREEN, BLUE
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "AVIF", exif=exif, quality=95, subsampling="4:4:4", speed=9)
    photo = decode_image(buffer.getvalue())
    assert np.abs(photo.pixels.astype(int) - turned(array, orientation)).max() < 40
    assert np.abs(photo.pixels.astype(int) - turned(array, orientation)).mean() < 3


def test_avif_alpha_and_profile_are_read() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (16, 16), (*RED, 100)).save(buffer, "AVIF", quality=100, icc_profile=PROFILE)
    photo = decode_image(buffer.getvalue())
    assert photo.alpha is not None
    assert np.abs(photo.alpha.astype(int) - 100).max() <= 1
    assert photo.icc_profile == PROFILE


def test_ten_bit_avif_is_read_in_eight_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="12-bit AVIF is read as 8-bit"):
        photo = decode_image((PICTURES / "deep.avif").read_bytes())
    assert np.abs(photo.pixels[2, 2].astype(int) - RED).max() < 3


@pytest.mark.parametrize(
    ("name", "size", "corner", "last"),
    [
        ("plain", (32, 48), RED, BLUE),
        ("turned", (48, 32), BLUE, GREEN),  # by its `irot`; the orientation in its EXIF says the same once more
        ("deep", (32, 48), RED, BLUE),
        ("alpha", (32, 48), RED, BLUE),
    ],
)
def test_heic_is_read(name: str, size: tuple[int, int], corner: tuple[int, ...], last: tuple[int, ...]) -> None:
    photo = decode_image((PICTURES / f"{name}.heic").read_bytes())
    assert photo.pixels.dtype == (np.uint16 if name == "deep" else np.uint8)
    assert photo.pixels.shape == (*size, 3)
    scale = 257 if name == "deep" else 1
    assert np.abs(photo.pixels[2, 2] / scale - corner).max() < 3
    assert np.abs(photo.pixels[-2, -2] / scale - last).max() < 3
    assert (photo.alpha is not None) == (name == "alpha")
    if photo.alpha is not None:
        assert photo.alpha[0, [0, -1]].tolist() == [255, 100]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_exr_comes_back_exactly_with_values_above_one(rng: np.random.Generator, dtype: type, channels: int) -> None:
    array = (rng.random((6, 7, channels)) * 50 - 1).astype(dtype)
    if channels == 4:
        array[..., 3] = rng.random((6, 7))
    photo = decode_image(encode_image(array if channels > 1 else array[..., 0], "a.exr"))
    assert photo.pixels.dtype == dtype
    assert photo.is_linear
    assert np.array_equal(photo.pixels, array[..., :3] if channels > 1 else np.repeat(array, 3, axis=2))
    assert (photo.alpha is not None) == (channels == 4)
    assert photo.is_grey == (channels == 1)


def test_the_display_window_of_an_exr_is_the_picture(rng: np.random.Generator) -> None:
    plane = rng.random((4, 6)).astype(np.float32)
    window = (np.array([2, -1], np.int32), np.array([7, 2], np.int32))  # overscan above, a gap to the left
    shown = (np.array([0, 0], np.int32), np.array([9, 4], np.int32))
    photo = decode_image(exr({"R": plane, "G": plane, "B": plane}, dataWindow=window, displayWindow=shown))
    assert photo.pixels.shape == (5, 10, 3)
    assert np.array_equal(photo.pixels[:3, 2:8, 0], plane[1:])
    assert photo.alpha is not None
    assert np.array_equal(photo.alpha > 0, photo.pixels[..., 0] > 0)


def test_the_colours_of_a_layered_exr_are_found(rng: np.random.Generator) -> None:
    plane = rng.random((4, 5)).astype(np.float16)
    layered = exr({"depth.Z": plane.astype(np.float32), "view.R": plane, "view.G": plane * 2, "view.B": plane})
    assert np.array_equal(decode_image(layered).pixels, np.stack([plane, plane * 2, plane], axis=2))
    with pytest.raises(ImageFileError, match=r"no channels R, G, B or Y, only depth\.Z"):
        decode_image(exr({"depth.Z": plane}))


def test_primaries_of_an_exr_are_kept(rng: np.random.Generator) -> None:
    acescg = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)
    array = rng.random((4, 5, 3)).astype(np.float32)
    photo = decode_image(encode_image(array, "a.exr", tags=Tags(primaries=acescg)))
    assert photo.primaries == pytest.approx(acescg)
    assert decode_image(encode_image(array, "a.exr")).primaries is None


def test_what_is_not_finite_becomes_black_with_a_warning() -> None:
    array = np.array([[[0.5, np.nan, np.inf]]], dtype=np.float32)
    for name in ("a.exr", "a.tif"):
        with pytest.warns(UserWarning, match="2 values were not finite"):
            assert decode_image(encode_image(array, name)).pixels.tolist() == [[[0.5, 0, 0]]]


def test_passes_are_layers(tmp_path: Path, rng: np.random.Generator) -> None:
    array = rng.random((4, 5, 4)).astype(np.float16)
    passes = {"": array, "foreground": array[..., :3], "alpha": array[..., 3], "error": array[..., 0]}
    write_file(tmp_path / "a.exr", encode_passes(passes, "a.exr"))
    with OpenEXR.File(str(tmp_path / "a.exr"), separate_channels=True) as file:
        assert file.header()["alphaMode"] == "premultiplied"
        channels = {name: channel.pixels for name, channel in file.channels().items()}
    assert sorted(channels) == [
        "A", "B", "G", "R", "alpha.A", "error.Y", "foreground.B", "foreground.G", "foreground.R",
    ]  # fmt: skip
    assert np.array_equal(channels["alpha.A"], array[..., 3])
    with pytest.raises(ImageFileError, match=r"written as \.exr"):
        encode_passes(passes, "a.tif")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"planarconfig": "separate"}])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_floating_tiff_comes_back_exactly(
    rng: np.random.Generator, dtype: type, options: dict[str, Any], byteorder: str
) -> None:
    array = (rng.random((20, 23, 3)) * 9).astype(np.float16)
    stored = array.transpose(2, 0, 1) if "planarconfig" in options else array
    photo = decode_image(tiff(np.ascontiguousarray(stored, dtype=dtype), byteorder=byteorder, **options))
    assert photo.pixels.dtype == np.float32
    assert np.array_equal(photo.pixels, array)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16])
def test_predictors_are_undone(rng: np.random.Generator, dtype: type) -> None:
    rows = (rng.random((5, 8, 3)) * (1 if dtype is not np.uint16 else 65535)).astype(dtype)
    if dtype is np.uint16:  # differences of samples, plane by plane
        planes = rows.transpose(2, 0, 1)
        stored = np.diff(planes, axis=2, prepend=np.zeros((3, 5, 1), rows.dtype))
    else:  # differences of bytes: of a row, all first bytes, then all second ones ...
        size = rows.dtype.itemsize
        split = rows.astype(rows.dtype.newbyteorder(">")).view(np.uint8).reshape(5, 24, size).swapaxes(1, 2)
        steps = np.diff(split.reshape(5, -1, 3), axis=1, prepend=np.zeros((5, 1, 3), np.uint8))
        stored = np.frombuffer(steps.tobytes(), dtype).reshape(5, 8, 3)
    layout = "separate" if dtype is np.uint16 else "contig"
    data = bytearray(tiff(stored, compression="zlib", planarconfig=layout, resolution=(1, 1)))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tag = file.pages[0].tags["ResolutionUnit"]  # a tag of the same kind, which we do not need
    data[tag.offset : tag.offset + 2] = (317).to_bytes(2, "little")
    data[tag.valueoffset : tag.valueoffset + 2] = (2 if dtype is np.uint16 else 3).to_bytes(2, "little")
    photo = decode_image(bytes(data))
    assert np.array_equal(photo.pixels, rows.astype(np.uint16 if dtype is np.uint16 else np.float32))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["interleaved", "planes", "float"])
def test_a_deep_tiff_keeps_depth_profile_and_rotation(rng: np.random.Generator, orientation: int, kind: str) -> None:
    array = rng.integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    stored = (array / 65536).astype(np.float32) if kind == "float" else array
    expected = turned(stored, orientation)
    data = tiff(
        np.ascontiguousarray(stored.transpose(2, 0, 1)) if kind == "planes" else stored,
        planarconfig="separate" if kind == "planes" else "contig",
        iccprofile=PROFILE,
        extratags=[(274, 3, 1, orientation, True)],
    )
    photo = decode_image(data)
    assert photo.pixels.dtype == stored.dtype
    assert np.array_equal(photo.pixels, expected)
    assert photo.icc_profile == PROFILE


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tiff_of_every_depth_is_read_back(rng: np.random.Generator, dtype: type, channels: int) -> None:
    array = rng.integers(0, 256, (5, 6, channels)).astype(dtype)
    data = encode_image(array if channels > 1 else array[..., 0], "a.tif", tags=Tags(xmp=b"<x/>"))
    photo = decode_image(data)
    assert photo.pixels.dtype == dtype
    assert np.array_equal(photo.pixels, array[..., :3] if channels > 2 else np.repeat(array[..., :1], 3, axis=2))
    assert photo.alpha is None if channels in (1, 3) else np.array_equal(photo.alpha, array[..., -1])
    assert photo.xmp == b"<x/>"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_premultiplied_tiff_says_so_and_is_read_straight(rng: np.random.Generator, dtype: type) -> None:
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    array = (rng.random((5, 6, 4)) * top).astype(dtype)
    array[..., 3] = np.maximum(array[..., 3], top // 2 if top > 1 else 0.5)
    array[..., :3] = np.minimum(array[..., :3], array[..., 3:])
    data = encode_image(array, "a.tif", tags=Tags(is_premultiplied=True))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.pages[0].extrasamples == (1,)
    photo = decode_image(data)
    assert photo.alpha is not None
    again = photo.pixels * (photo.alpha[..., None] / top)
    assert np.abs(again - array[..., :3]).max() <= (1e-6 if top == 1 else 1)


def test_straight_and_premultiplied_are_told_apart_in_png_and_exr(rng: np.random.Generator) -> None:
    for dtype in (np.uint8, np.uint16):
        array = rng.integers(0, 256, (4, 4, 4)).astype(dtype)
        for is_premultiplied in (False, True):
            data = encode_image(array, "a.png", tags=Tags(is_premultiplied=is_premultiplied))
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
                assert picture.info.get("Alpha") == ("premultiplied" if is_premultiplied else None)
    with pytest.raises(ImageFileError, match="WebP cannot hold premultiplied"):
        encode_image(array.astype(np.uint8), "a.webp", tags=Tags(is_premultiplied=True))
    header = OpenEXR.File(io.BytesIO(encode_exr({"": np.ones((2, 2, 4), np.float32)}, Tags()))).header()
    assert header["alphaMode"] == "straight"


def test_sixteen_bit_transparency_by_colour_becomes_alpha(tmp_path: Path) -> None:
    plain = encode_image(np.array([[[1000, 2000, 3000], [1000, 2000, 3001]]], dtype=np.uint16), "a.png")
    chunk = b"tRNS" + np.array([1000, 2000, 3000], dtype=">u2").tobytes()
    at = plain.index(b"IDAT") - 4
    marked = plain[:at] + (6).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big") + plain[at:]
    alpha = decode_image(marked).alpha
    assert alpha is not None
    assert alpha.tolist() == [[0, 65535]]


def test_a_floating_mask_is_read() -> None:
    array = np.array([[0, 0.5, 1, 1.5]], dtype=np.float32)
    assert decode_mask(encode_image(array, "a.exr")).tolist() == [[0, 128, 255, 255]]


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (b"8BPS" + bytes(60), "export it as PNG or TIFF"),
        (b"GIF89a" + bytes(60), "save it as PNG"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0crx isom", "camera raw"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(60), "camera raw"),
        (b"FUJIFILMCCD-RAW " + bytes(60), "camera raw"),
        (b"%PDF-1.7" + bytes(60), "save the page"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60), "JPEG 2000"),
        (b"<svg></svg>" + bytes(60), "accepted format"),
    ],
)
def test_other_files_are_refused_with_advice(data: bytes, advice: str) -> None:
    with pytest.raises(ImageFileError, match=advice):
        decode_image(data)


def test_camera_raw_files_that_are_tiffs_are_refused() -> None:
    thumbnail = np.zeros((8, 8, 3), dtype=np.uint8)
    for options in ({"extratags": [(50706, 1, 4, (1, 4, 0, 0), True)]}, {"subfiletype": 1}):
        data = tiff(thumbnail, **options)
        with pytest.raises(ImageFileError, match="camera raw"):
            decode_image(data)


def test_an_unsupported_compression_of_floats_is_told(rng: np.random.Generator) -> None:
    data = bytearray(tiff(rng.random((4, 4, 3)).astype(np.float32)))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        place = file.pages[0].tags["Compression"].valueoffset
    data[place : place + 2] = (5).to_bytes(2, "little")
    with pytest.raises(ImageFileError, match=r"ZIP \(deflate\) compression only"):
        decode_image(bytes(data))


@pytest.mark.parametrize("module", ["OpenEXR", "pillow_heif", "tifffile"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    light = np.ones((2, 2, 3), dtype=np.float32)
    files = {
        "OpenEXR": encode_image(light, "a.exr"),
        "pillow_heif": (PICTURES / "plain.heic").read_bytes(),
        "tifffile": encode_image(light, "a.tif"),
    }
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImageFileError, match=r"pip install \"mask2alpha\[formats\]\""):
        decode_image(files[module])
    if module != "pillow_heif":
        with pytest.raises(ImageFileError, match=r"mask2alpha\[formats\]"):
            encode_image(light, "a.exr" if module == "OpenEXR" else "a.tif")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_exr_is_compressed_as_asked_and_alpha_stays_exact(
    compression: str, dtype: type, rng: np.random.Generator
) -> None:
    array = rng.random((40, 50, 4)).astype(dtype)
    layers = {"": array, "alpha.dog": array[..., 3], "photo": array[..., :3]}
    data = encode_passes(layers, "a.exr", tags=Tags(compression=compression))
    with OpenEXR.File(io.BytesIO(data), separate_channels=True) as file:
        name = {"none": "NO_COMPRESSION"}.get(compression, f"{compression.upper()}_COMPRESSION")
        assert file.header()["compression"] == getattr(OpenEXR, name)
        planes = {name: channel.pixels for name, channel in file.channels().items()}
    assert {plane.dtype for plane in planes.values()} == {np.dtype(dtype)}
    assert sorted(planes) == ["A", "B", "G", "R", "alpha.dog.A", "photo.B", "photo.G", "photo.R"]
    assert np.array_equal(planes["A"], array[..., 3])
    assert np.array_equal(planes["alpha.dog.A"], array[..., 3])
    colours = np.stack([planes[each] for each in "RGB"], axis=2)
    assert np.array_equal(colours, array[..., :3]) == (not compression.startswith("dwa"))
    assert np.abs(colours.astype(np.float32) - array[..., :3]).max() < 0.1
