"""Each attack on files that neighbouring projects met: what it is called there is in the test's name."""

import io
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.imaging.decode import FORMATS, decode_image, decode_mask, read_image
from mask2alpha.imaging.encode import _png_chunk, encode_image, write_image
from mask2alpha.pipeline.preprocess import image_to_tensor, mask_to_tensor


def png(width: int, height: int, body: bytes, *, depth: int = 8, colour_type: int = 2, chunks: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + chunks + _png_chunk(b"IDAT", body) + _png_chunk(
        b"IEND", b""
    )  # fmt: skip


class CountedPath(type(Path())):  # type: ignore[misc]
    """A path whose file tells how much was read of it."""

    num_read = 0

    def open(self, mode: str = "r", *args: object, **options: object) -> io.BytesIO:  # type: ignore[override]
        class Endless(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                assert size is not None
                assert size >= 0, "read without a bound"
                CountedPath.num_read += size
                return bytes(size)

        return Endless()


def test_byte_cap_while_reading_not_by_a_stated_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mask2alpha.imaging.decode.Path", CountedPath)
    with pytest.raises(ImageFileError, match="larger than 1000 bytes"):
        read_image("endless", max_bytes=1000)
    assert CountedPath.num_read == 1001


def test_decompression_bomb_is_refused_by_its_header_alone() -> None:
    for width, height in ((20_000, 20_000), (2**31 - 1, 2**31 - 1), (70_000, 1)):
        with pytest.raises(ImageFileError, match=rf"{width} x {height}"):
            decode_image(png(width, height, b"never looked at"))


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "AVIF", "BMP", "JPEG"])
def test_decompression_bomb_in_other_formats(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (300, 200)).save(buffer, kind)
    with pytest.raises(ImageFileError, match="300 x 200 is more than 50000 pixels"):
        decode_image(buffer.getvalue(), max_pixels=50_000)


def test_decompression_bomb_in_exr_and_floating_tiff() -> None:
    light = np.zeros((200, 300, 3), dtype=np.float32)
    for name in ("a.exr", "a.tif"):
        with pytest.raises(ImageFileError, match="300 x 200 is more than 50000 pixels"):
            decode_image(encode_image(light, name), max_pixels=50_000)


@pytest.mark.parametrize("kind", [b"\xeaxif", b"Ex\x80\x00"])
def test_heic_with_an_item_of_a_kind_that_is_no_text(kind: bytes) -> None:
    data = (Path(__file__).parents[2] / "data" / "pictures" / "turned.heic").read_bytes()
    entry = data.index(b"infe", data.index(b"infe") + 4)
    assert data[entry + 12 : entry + 16] == b"Exif"
    with pytest.raises(ImageFileError, match="item is not text"):
        decode_image(data[: entry + 12] + kind + data[entry + 16 :])


def test_decompression_bomb_in_heic() -> None:
    data = (Path(__file__).parents[2] / "data" / "pictures" / "plain.heic").read_bytes()
    with pytest.raises(ImageFileError, match="48 x 32 is more than 1000 pixels"):
        decode_image(data, max_pixels=1000)


def test_strip_bomb_a_tiff_strip_gives_no_more_than_it_should_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_image(np.zeros((4, 4, 3), dtype=np.float32), "a.tif")
    bomb = zlib.compress(bytes(50_000_000), 9)
    asked: list[int] = []
    original = zlib.decompressobj

    class Watched:
        def __init__(self) -> None:
            self.inner = original()

        def decompress(self, raw: bytes, size: int = 0) -> bytes:
            asked.append(size)
            return self.inner.decompress(bomb, size)

    monkeypatch.setattr("mask2alpha.imaging.tiff.zlib.decompressobj", Watched)
    assert decode_image(data).pixels.shape == (4, 4, 3)
    assert asked == [192]


def test_metadata_bomb_compressed_text_and_profiles_are_bounded() -> None:
    bomb = zlib.compress(bytes(70_000_000), 9)
    rows = zlib.compress(bytes(4 * 13))
    for name, head in ((b"zTXt", b"Comment\0\0"), (b"iCCP", b"ICC\0\0"), (b"iTXt", b"Comment\0\1\0\0\0")):
        try:
            photo = decode_image(png(4, 4, rows, chunks=_png_chunk(name, head + bomb)))
        except ImageFileError:
            continue
        assert photo.icc_profile is None


def test_wide_and_flat_sides_beyond_the_limit_are_refused() -> None:
    with pytest.raises(ImageFileError, match="a side has more than 65500 pixels"):
        decode_image(png(65_501, 1, b""))


def test_frames_only_the_first_of_many_is_decoded() -> None:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), (index, 0, 0)) for index in range(50)]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.warns(UserWarning, match="several pictures"):
        assert decode_image(buffer.getvalue()).pixels.shape == (8, 8, 3)


@pytest.mark.parametrize("kind", ["GIF", "ICO", "PPM", "TGA", "PCX", "DDS", "JPEG2000", "EPS", "ICNS", "SGI"])
def test_format_allow_list_by_content_not_by_suffix(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "harmless.png"
    Image.new("RGB", (32, 32)).save(path, kind)
    with pytest.raises(ImageFileError, match=r"harmless\.png: "):
        read_image(path)
    assert kind not in FORMATS


def test_format_allow_list_holds_whatever_plugins_pillow_has_loaded() -> None:
    Image.init()  # all of them
    fits = b"SIMPLE  =                    T" + bytes(2850)
    for data in (fits, b"8BPS\0\1" + bytes(60), b"%!PS-Adobe" + bytes(60)):
        with pytest.raises(ImageFileError):
            decode_image(data)


def test_no_pickle_an_array_file_is_not_loaded() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([os.system], dtype=object), allow_pickle=True)
    with pytest.raises(ImageFileError, match="not a picture"):
        decode_image(buffer.getvalue())


def test_no_url_is_fetched() -> None:
    for name in ("http://localhost:1/a.png", "file:///etc/hostname", "s3://bucket/a.png"):
        with pytest.raises(ImageFileError, match="cannot be read"):
            read_image(name)


def test_folders_devices_and_missing_files_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone.png", tmp_path / "a\nb.png", Path(os.devnull)):
        with pytest.raises(ImageFileError):
            read_image(path)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_1x1_and_1xn_pictures_are_read_and_written(size: tuple[int, int]) -> None:
    for name, dtype in (("a.png", np.uint8), ("a.png", np.uint16), ("a.tif", np.float32), ("a.exr", np.float16)):
        array = np.ones((*size, 4), dtype=dtype)
        photo = decode_image(encode_image(array, name))
        assert np.array_equal(photo.pixels, array[..., :3])


def test_nan_and_infinity_never_reach_the_network() -> None:
    light = np.full((2, 2, 3), np.nan, dtype=np.float32)
    light[0] = np.inf, -np.inf, 1e30
    with pytest.warns(UserWarning, match="not finite"):
        photo = decode_image(encode_image(light, "a.exr"))
    image_to_tensor(photo.in_srgb().pixels)
    with pytest.raises(InputError, match="not finite"):
        image_to_tensor(light)


@pytest.mark.parametrize("value", [0, 255])
def test_all_0_and_all_1_masks_are_read(value: int) -> None:
    mask = decode_mask(encode_image(np.full((4, 4), value, dtype=np.uint8), "a.png"))
    assert set(mask.flatten().tolist()) == {value}
    assert mask_to_tensor(mask, (4, 4)).unique().tolist() == [value / 255]


@pytest.mark.filterwarnings("ignore:CMYK without a colour profile")
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_every_mode_is_read_or_refused_cleanly(mode: str, kind: str) -> None:
    buffer = io.BytesIO()
    try:
        Image.new(mode, (8, 8)).save(buffer, kind)
    except (OSError, KeyError):
        pytest.skip(f"Pillow writes no {mode} {kind}")
    photo = decode_image(buffer.getvalue())
    assert photo.pixels.shape == (8, 8, 3)
    assert photo.pixels.dtype == (np.uint16 if mode == "I;16" else np.uint8)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read")  # Pillow's, before our error
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.jpg", "float.tif", "a.exr", "deep.png", "deep.tif"])
def test_truncated_files_are_refused_never_half_read(rng: np.random.Generator, name: str, share: float) -> None:
    array = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    if "float" in name or "exr" in name:
        data = encode_image(rng.random((40, 40, 3)).astype(np.float32), name)
    else:
        data = encode_image(array.astype(np.uint16) * 257 if "deep" in name else array, name)
    with pytest.raises(ImageFileError):
        decode_image(data[: int(len(data) * share)])


def test_trailing_rubbish_and_a_second_file_behind_the_first_do_no_harm(rng: np.random.Generator) -> None:
    array = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    data = encode_image(array, "a.png") + b"<?php evil ?>" + encode_image(255 - array, "a.png")
    assert np.array_equal(decode_image(data).pixels, array)


def test_a_file_that_is_two_formats_at_once_is_only_what_its_first_bytes_say() -> None:
    data = b"GIF89a" + encode_image(np.zeros((8, 8, 3), np.uint8), "a.png")
    with pytest.raises(ImageFileError, match="GIF"):
        decode_image(data)


def test_an_output_never_follows_a_link_out_of_its_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(outside)
    write_image(tmp_path / "out" / "a.png", np.zeros((4, 4), dtype=np.uint8))
    assert outside.read_bytes() == b"precious"
    assert not (tmp_path / "out" / "a.png").is_symlink()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are Linux's")
def test_memory_a_header_that_promises_much_takes_none() -> None:
    import tracemalloc

    liar = png(12_000, 12_000, zlib.compress(b""))  # 144 million pixels, within the limit, but nothing behind it
    tracemalloc.start()
    with pytest.raises(ImageFileError):
        decode_image(liar)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000  # of Python's own; what Pillow takes is never touched
