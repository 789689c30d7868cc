"""Writing pictures, whole or not at all: PNG, WebP, TIFF and JPEG, by the name's suffix."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mask2alpha.errors import ImageFileError
from mask2alpha.imaging.atomic import replacing

FORMAT_OF_SUFFIX = {
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
}
_WEBP_MAX_SIDE = 16383


def check_format(path: str | Path, *, has_alpha: bool, is_16_bit: bool) -> str:
    """The format that the name's suffix asks for, if it can hold such a picture.

    Raises:
        ImageFileError: The suffix is unknown, or the format cannot hold alpha or 16 bits.
    """
    path = Path(path)
    name = FORMAT_OF_SUFFIX.get(path.suffix.lower())
    if name is None:
        raise ImageFileError(
            f"{path}: cannot write {path.suffix or 'a name without suffix'}; accepted: {', '.join(FORMAT_OF_SUFFIX)}"
        )
    if has_alpha and name == "JPEG":
        raise ImageFileError(f"{path}: JPEG holds no alpha channel; write .png, .webp or .tif")
    if is_16_bit and name != "PNG":
        raise ImageFileError(f"{path}: 16-bit pictures are written as .png")
    return name


def write_image(path: str | Path, array: NDArray[Any], *, icc_profile: bytes | None = None, quality: int = 95) -> None:
    """Write a picture under a temporary name, then rename: the file is complete or absent.

    Args:
        path: The file; missing folders are made. The suffix decides on the format: WebP is lossless, TIFF deflated.
        array: (H, W) grey, (H, W, 3) colours or (H, W, 4) with alpha, not premultiplied; uint8 or uint16.
        icc_profile: The profile that the colours are in; not for grey.
        quality: Of a JPEG, 1 to 100.

    Raises:
        ImageFileError: The format cannot hold such a picture, or the file cannot be written.
    """
    path = Path(path)
    channels = array.shape[2] if array.ndim == 3 else 1
    assert array.dtype in (np.uint8, np.uint16), array.dtype
    assert array.ndim in (2, 3), array.shape
    assert channels in (1, 3, 4), array.shape
    name = check_format(path, has_alpha=channels == 4, is_16_bit=array.dtype == np.uint16)
    if name == "WEBP" and max(array.shape[:2]) > _WEBP_MAX_SIDE:
        raise ImageFileError(f"{path}: WebP holds at most {_WEBP_MAX_SIDE} pixels a side; write .png or .tif")
    profile = icc_profile if channels > 1 else None
    try:
        data = (
            _encode_png_16_bit(array, profile)
            if array.dtype == np.uint16
            else _encode(array, name, icc_profile=profile, quality=quality)
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except (OSError, ValueError) as error:
        raise ImageFileError(f"{path}: cannot be written: {error}") from error


def write_animation(
    path: str | Path, frames: Sequence[NDArray[np.uint8]], *, frame_ms: Sequence[int], quality: int = 80
) -> None:
    """Write frames as an animated WebP that repeats forever, whole or not at all.

    Args:
        path: The file, `.webp`; missing folders are made.
        frames: (H, W, 3) colours, all of one size; at least one.
        frame_ms: How long each frame stands, in milliseconds.
        quality: 1 to 100; lossy.

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
    first.save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=others,
        duration=list(frame_ms),
        loop=0,
        quality=quality,
        method=4,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(buffer.getvalue())
    except OSError as error:
        raise ImageFileError(f"{path}: cannot be written: {error}") from error


def _encode(array: NDArray[Any], name: str, *, icc_profile: bytes | None, quality: int) -> bytes:
    options_of_format: dict[str, dict[str, Any]] = {
        "PNG": {"compress_level": 6},
        "WEBP": {"lossless": True, "exact": False, "method": 2},
        "TIFF": {"compression": "tiff_adobe_deflate"},
        "JPEG": {"quality": quality, "subsampling": 0},
    }
    options = options_of_format[name]
    if icc_profile:
        options["icc_profile"] = icc_profile
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, format=name, **options)
    return buffer.getvalue()


def _encode_png_16_bit(array: NDArray[np.uint16], icc_profile: bytes | None) -> bytes:
    """A 16-bit PNG (Pillow writes only grey ones), each row stored as the difference to the row above."""
    height, width = array.shape[:2]
    channels = array.shape[2] if array.ndim == 3 else 1
    colour_type = {1: 0, 3: 2, 4: 6}[channels]
    rows = np.ascontiguousarray(array, dtype=">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), dtype=np.uint8)
    filtered[:, 0] = 2  # "Up"
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = [_png_chunk(b"IHDR", header)]
    if icc_profile:
        chunks.append(_png_chunk(b"iCCP", b"ICC\0\0" + zlib.compress(icc_profile)))
    chunks += [_png_chunk(b"IDAT", zlib.compress(filtered.tobytes(), 6)), _png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
