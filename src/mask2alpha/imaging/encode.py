"""Writing picture files, whole or not at all: PNG, WebP, TIFF, JPEG, AVIF and OpenEXR, by the name's suffix.

`write_image` writes a file, `encode_image` returns its bytes. `FORMATS`, at the end, is the only list of the formats: a
new one is an encoder and an entry there.
"""

import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, TiffImagePlugin, features

from mask2alpha.errors import ImageFileError
from mask2alpha.imaging.atomic import replacing
from mask2alpha.imaging.colour import profile_space
from mask2alpha.imaging.exr import encode_exr
from mask2alpha.imaging.metadata import text_tags, with_resolution
from mask2alpha.imaging.photo import Tags
from mask2alpha.imaging.reading import UnreadableError
from mask2alpha.imaging.tiff import encode_deep_tiff

_WEBP_MAX_SIDE = 16383


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """A format of picture files that is written."""

    name: str
    """In messages."""
    suffixes: tuple[str, ...]
    """In lower case; outputs in folders get the first."""
    media_type: str
    dtypes: tuple[str, ...]
    """Of the samples."""
    encode: Callable[[NDArray[Any], Tags, int], bytes]
    """From an array, its tags and a quality (1 to 100, for lossy formats) to the bytes of a file."""
    has_alpha: bool = True
    has_premultiplied: bool = True
    """Whether a file can say that its colours are multiplied by alpha."""
    grey_channels: tuple[int, ...] = (1,)
    """Numbers of channels that are stored as grey: 1, and 2 with alpha."""


def check_format(path: str | Path, *, has_alpha: bool, is_premultiplied: bool = False) -> FileFormat:
    """The format that the name's suffix asks for, if it can hold such a picture.

    Raises:
        ImageFileError: The suffix is unknown, or the format cannot hold alpha or premultiplied colours.
    """
    kind = find_format(path)
    if has_alpha and not kind.has_alpha:
        raise ImageFileError(f"{path}: {kind.name} cannot hold an alpha channel; use {_suffixes_where(has_alpha=True)}")
    if is_premultiplied and not kind.has_premultiplied:
        holders = _suffixes_where(has_premultiplied=True, has_alpha=True)
        raise ImageFileError(f"{path}: {kind.name} cannot hold premultiplied colours; use {holders}")
    return kind


def find_format(path: str | Path) -> FileFormat:
    """The format that a name's suffix asks for, in upper or lower case.

    Raises:
        ImageFileError: Files with this suffix are not written.
    """
    suffix = Path(path).suffix
    for kind in FORMATS.values():
        if suffix.lower() in kind.suffixes:
            return kind
    raise ImageFileError(
        f"{path}: cannot write {suffix or 'a name without suffix'}; accepted: {', '.join(WRITTEN_SUFFIXES)}"
    )


def write_image(
    path: str | Path,
    array: NDArray[Any],
    *,
    icc_profile: bytes | None = None,
    quality: int = 95,
    tags: Tags | None = None,
) -> None:
    """Write a picture under a temporary name, then rename: the file is complete or absent.

    Args:
        path: The file; missing folders are made. The suffix decides on the format.
        array: As for `encode_image`.
        icc_profile: Short for `Tags(icc_profile=...)`.
        quality: Of a JPEG, 1 to 100.
        tags: What the file says about the pixels.

    Raises:
        ImageFileError: The format cannot hold such a picture, or the file cannot be written.
    """
    if tags is None:
        tags = Tags(icc_profile=icc_profile)
    write_file(path, encode_image(array, path, tags=tags, quality=quality))


def encode_passes(passes: Mapping[str, NDArray[Any]], name: str | Path, *, tags: Tags | None = None) -> bytes:
    """The bytes of an OpenEXR file with a layer per pass, premultiplied; see `imaging.exr.encode_exr`.

    Raises:
        ImageFileError: The suffix is not `.exr`, or the extra is missing.
    """
    if find_format(name) is not FORMATS["exr"]:
        raise ImageFileError(f"{name}: passes are written as .exr")
    try:
        return encode_exr(passes, replace(tags or Tags(), is_premultiplied=True))
    except UnreadableError as error:
        raise ImageFileError(f"{name}: {error}") from error


def write_file(path: str | Path, data: bytes) -> None:
    """Write bytes under a temporary name, then rename; missing folders are made.

    Raises:
        ImageFileError: The file cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise ImageFileError(f"{path}: cannot be written: {error.strerror or error}") from error


def encode_image(array: NDArray[Any], name: str | Path, *, tags: Tags | None = None, quality: int = 95) -> bytes:
    """The bytes of a picture file.

    Args:
        array: (H, W) grey, (H, W, 2) grey with alpha, (H, W, 3) colours or (H, W, 4) with alpha; uint8; uint16 for PNG
            and TIFF; float32 for TIFF and OpenEXR; float16 for OpenEXR.
        name: Its suffix decides on the format, and messages name it. WebP is lossless, TIFF deflated.
        tags: What the file says about the pixels.
        quality: Of a JPEG, 1 to 100.

    Raises:
        ImageFileError: The format cannot hold such a picture, or its extra is not installed.
    """
    tags = tags or Tags()
    channels = array.shape[2] if array.ndim == 3 else 1
    assert array.ndim in (2, 3), array.shape
    assert channels in (1, 2, 3, 4), array.shape
    kind = check_format(name, has_alpha=channels in (2, 4), is_premultiplied=tags.is_premultiplied)
    if array.dtype.name not in kind.dtypes:
        raise ImageFileError(f"{name}: {array.dtype} values are written as {_suffixes_where(dtype=array.dtype.name)}")
    if kind.name == "WebP" and max(array.shape[:2]) > _WEBP_MAX_SIDE:
        raise ImageFileError(f"{name}: WebP holds at most {_WEBP_MAX_SIDE} pixels a side; write .png or .tif")
    if tags.icc_profile and profile_space(tags.icc_profile) != ("RGB" if channels > 2 else "GRAY"):
        tags = replace(tags, icc_profile=None)
    try:
        return kind.encode(np.ascontiguousarray(array), tags, quality)
    except UnreadableError as error:
        raise ImageFileError(f"{name}: {error}") from error
    except (OSError, ValueError) as error:
        raise ImageFileError(f"{name}: cannot be encoded: {error}") from error


def write_animation(path: str | Path, frames: Sequence[NDArray[np.uint8]], *, frame_ms: Sequence[int]) -> None:
    """Write frames as an animated, lossy WebP that repeats forever, whole or not at all.

    Args:
        path: The file, `.webp`; missing folders are made.
        frames: (H, W, 3) colours, all of one size; at least one.
        frame_ms: How long each frame stands, in milliseconds.

    Raises:
        ImageFileError: The suffix is not `.webp`, a side is too long, or the file cannot be written.
    """
    path = Path(path)
    assert len(frames) == len(frame_ms) > 0
    assert len({frame.shape for frame in frames}) == 1, [frame.shape for frame in frames]
    if path.suffix.lower() != ".webp":
        raise ImageFileError(f"{path}: animations are written as .webp")
    if max(frames[0].shape[:2]) > _WEBP_MAX_SIDE:
        raise ImageFileError(f"{path}: WebP holds at most {_WEBP_MAX_SIDE} pixels a side")
    first, *others = (Image.fromarray(np.ascontiguousarray(frame)) for frame in frames)
    buffer = io.BytesIO()
    duration = list(frame_ms)
    first.save(buffer, "WEBP", save_all=True, append_images=others, duration=duration, loop=0, quality=80, method=4)
    write_file(path, buffer.getvalue())


def _encode_png(array: NDArray[Any], tags: Tags, quality: int) -> bytes:
    if array.dtype == np.uint16:
        return _encode_png_16_bit(array, tags)
    text = PngImagePlugin.PngInfo()
    if tags.is_premultiplied:
        text.add_text("Alpha", "premultiplied")
    if tags.xmp:
        text.add_itxt("XML:com.adobe.xmp", tags.xmp.decode("utf-8", "replace"))
    return _save(array, "PNG", tags, compress_level=6, pnginfo=text, **_dpi(tags))


def _encode_webp(array: NDArray[Any], tags: Tags, quality: int) -> bytes:
    if tags.resolution:
        tags = replace(tags, exif=with_resolution(tags.exif, tags.resolution))
    return _save(array, "WEBP", tags, lossless=True, exact=False, method=2, xmp=tags.xmp or b"")


def _encode_avif(array: NDArray[Any], tags: Tags, quality: int) -> bytes:
    if not features.check("avif"):
        raise UnreadableError("this build of Pillow cannot write AVIF; install Pillow from PyPI")
    if tags.resolution:
        tags = replace(tags, exif=with_resolution(tags.exif, tags.resolution))
    # without loss but for the rounding of colours to YCbCr: alpha and grey come back exactly
    options: dict[str, Any] = {"quality": 100, "subsampling": "4:4:4", "speed": 8}
    return _save(array, "AVIF", tags, **options, **({"xmp": tags.xmp} if tags.xmp else {}))


def _encode_jpeg(array: NDArray[Any], tags: Tags, quality: int) -> bytes:
    return _save(
        array, "JPEG", tags, quality=quality, subsampling=0, **_dpi(tags), **({"xmp": tags.xmp} if tags.xmp else {})
    )


def _encode_tiff(array: NDArray[Any], tags: Tags, quality: int) -> bytes:
    texts = text_tags(tags.exif) if tags.exif else {}
    if array.dtype != np.uint8 or tags.is_premultiplied:
        return encode_deep_tiff(array, tags, texts)
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, text in texts.items():
        info[tag] = text
    if tags.xmp:
        info[700] = tags.xmp
        info.tagtype[700] = 1
    return _save(array, "TIFF", replace(tags, exif=None), compression="tiff_adobe_deflate", tiffinfo=info, **_dpi(tags))


def _encode_exr(array: NDArray[Any], tags: Tags, quality: int) -> bytes:
    if array.ndim == 3 and array.shape[2] == 2:
        array = array[..., [0, 0, 0, 1]]
    return encode_exr({"": array}, tags)


def _dpi(tags: Tags) -> dict[str, Any]:
    """Pillow's option for the resolution."""
    return {"dpi": tags.resolution} if tags.resolution else {}


def _save(array: NDArray[np.uint8], kind: str, tags: Tags, **options: Any) -> bytes:
    """By Pillow."""
    if tags.icc_profile:
        options["icc_profile"] = tags.icc_profile
    if tags.exif:  # which may hold the resolution of the file as it lay in the camera
        options["exif"] = with_resolution(tags.exif, tags.resolution) if tags.resolution else tags.exif
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format=kind, **options)
    return buffer.getvalue()


def _encode_png_16_bit(array: NDArray[np.uint16], tags: Tags) -> bytes:
    """A 16-bit PNG (Pillow writes only grey ones), each row stored as the difference to the row above."""
    height, width = array.shape[:2]
    channels = array.shape[2] if array.ndim == 3 else 1
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = np.ascontiguousarray(array, dtype=">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), dtype=np.uint8)
    filtered[:, 0] = 2  # "Up"
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))]
    if tags.icc_profile:
        chunks.append((b"iCCP", b"ICC\0\0" + zlib.compress(tags.icc_profile)))
    if tags.resolution:
        across, down = (round(value / 0.0254) for value in tags.resolution)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if tags.is_premultiplied:
        chunks.append((b"tEXt", b"Alpha\0premultiplied"))
    if tags.xmp:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + tags.xmp))
    if tags.exif:
        chunks.append((b"eXIf", tags.exif.removeprefix(b"Exif\0\0")))
    chunks += [(b"IDAT", zlib.compress(filtered.tobytes(), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, body) for kind, body in chunks)


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _suffixes_where(*, dtype: str | None = None, **traits: bool) -> str:
    """The first suffixes of the formats that hold a type of samples and have some traits, in words."""
    found = [
        kind.suffixes[0]
        for kind in FORMATS.values()
        if (dtype is None or dtype in kind.dtypes)
        and all(getattr(kind, trait) == value for trait, value in traits.items())
    ]
    return " or ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


FORMATS = {
    "png": FileFormat(
        name="PNG",
        suffixes=(".png",),
        media_type="image/png",
        dtypes=("uint8", "uint16"),
        encode=_encode_png,
        grey_channels=(1, 2),
    ),
    "tif": FileFormat(
        name="TIFF",
        suffixes=(".tif", ".tiff"),
        media_type="image/tiff",
        dtypes=("uint8", "uint16", "float32"),
        encode=_encode_tiff,
        grey_channels=(1, 2),
    ),
    "exr": FileFormat(
        name="OpenEXR",
        suffixes=(".exr",),
        media_type="image/x-exr",
        dtypes=("float16", "float32"),
        encode=_encode_exr,
    ),
    "webp": FileFormat(
        name="WebP",
        suffixes=(".webp",),
        media_type="image/webp",
        dtypes=("uint8",),
        encode=_encode_webp,
        has_premultiplied=False,
        grey_channels=(),
    ),
    "jpg": FileFormat(
        name="JPEG",
        suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
        media_type="image/jpeg",
        dtypes=("uint8",),
        encode=_encode_jpeg,
        has_alpha=False,
        has_premultiplied=False,
    ),
    "avif": FileFormat(
        name="AVIF",
        suffixes=(".avif",),
        media_type="image/avif",
        dtypes=("uint8",),
        encode=_encode_avif,
        has_premultiplied=False,
        grey_channels=(),
    ),
}
"""By the name that users choose it by."""
WRITTEN_SUFFIXES = tuple(suffix for kind in FORMATS.values() for suffix in kind.suffixes)
