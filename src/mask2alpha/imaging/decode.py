"""Reading pictures: PNG, JPEG, WebP, TIFF and BMP, recognised by content and never by name.

The file's size and the picture's size are checked before anything is decoded. Of a file with several pictures the first
is read, except that animations are refused.
"""

import io
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (  # the plugins register their formats when they are imported
    BmpImagePlugin,  # noqa: F401
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from mask2alpha.errors import ImageFileError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
MAX_BYTES = 512 * 2**20
MAX_PIXELS = 150_000_000
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Photo:
    """A picture as read from a file, upright."""

    pixels: NDArray[Any]
    """(H, W, 3), uint8 or uint16; colours where the file has alpha are those stored under it."""
    alpha: NDArray[Any] | None = None
    """(H, W), the dtype of `pixels`: the file's own alpha channel, if it has one."""
    icc_profile: bytes | None = None
    """The colour profile that `pixels` are in; None means sRGB."""
    exif: bytes | None = None
    """The file's EXIF block, its orientation set to upright; None for TIFF."""


class _UnsupportedError(Exception):
    """A sound picture of a kind that we do not read."""


def read_image(path: str | Path, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a photograph.

    The EXIF orientation is applied. Grey, palette and CMYK pictures become RGB (CMYK by its embedded profile where it
    has one); 16-bit pictures stay so.

    Args:
        path: The file.
        max_bytes: Largest file accepted.
        max_pixels: Largest picture accepted, width times height.

    Raises:
        ImageFileError: The file cannot be read, is no accepted picture, is damaged, or is over a limit.
    """
    path = Path(path)
    data = _read_bytes(path, max_bytes)
    try:
        with _open(path, data, max_pixels) as picture:
            pixels, alpha, profile = _decode(picture, data, picture.info.get("icc_profile"))
            exif = picture.getexif()  # after decoding, because Pillow itself turns TIFFs upright then
            orientation = exif.get(_ORIENTATION, 1)
            is_exif_kept = picture.format != "TIFF" and len(exif) > 0
    except ImageFileError:
        raise
    except _UnsupportedError as error:
        raise ImageFileError(f"{path}: {error}") from error
    # Pillow reports damage by whatever its decoders stumble over
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, MemoryError) as error:
        raise ImageFileError(f"{path}: damaged or truncated picture: {error}") from error
    if orientation != 1 and _ORIENTATION in exif:
        exif[_ORIENTATION] = 1
    return Photo(
        pixels=_upright(pixels, orientation),
        alpha=None if alpha is None else _upright(alpha, orientation),
        icc_profile=profile,
        exif=exif.tobytes() if is_exif_kept else None,
    )


def read_mask(path: str | Path, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Read a mask: (H, W), 0 to 255.

    A picture whose alpha channel varies is taken for a cut-out: its alpha is the mask. Of any other the luminance is.
    A picture with no value above 1 counts as 0/1 and is scaled to 0/255.

    Raises:
        ImageFileError: As for `read_image`.
    """
    photo = read_image(path, max_bytes=max_bytes, max_pixels=max_pixels)
    if photo.alpha is not None and photo.alpha.min() != photo.alpha.max():
        mask = photo.alpha
    else:
        weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
        mask = np.rint(photo.pixels @ weights).astype(photo.pixels.dtype)
    if mask.max() <= 1:
        return np.asarray(mask * 255, dtype=np.uint8)
    return np.asarray(np.rint(mask / 257) if mask.dtype == np.uint16 else mask, dtype=np.uint8)


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ImageFileError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not data:
        raise ImageFileError(f"{path}: the file is empty")
    if len(data) > max_bytes:
        raise ImageFileError(f"{path}: larger than {max_bytes} bytes")
    return data


def _open(path: Path, data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    """Open, which reads the header only, and check what it announces."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
        warnings.simplefilter("ignore", UserWarning)  # damaged EXIF: the picture is still good
        try:
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError as error:
            raise ImageFileError(f"{path}: not a picture of an accepted format ({', '.join(SUFFIXES)})") from error
        except Image.DecompressionBombError as error:
            raise ImageFileError(f"{path}: more than {max_pixels} pixels") from error
    width, height = picture.size
    if width * height > max_pixels:
        raise ImageFileError(f"{path}: {width} x {height} is more than {max_pixels} pixels")
    if picture.format in ("PNG", "WEBP") and getattr(picture, "is_animated", False):
        raise ImageFileError(f"{path}: an animation; save one frame of it as a picture")
    if picture.mode in ("I", "F", "LAB"):
        raise ImageFileError(f"{path}: pixels of kind {picture.mode!r} (32-bit or Lab) are not supported")
    return picture


def _decode(
    picture: ImageFile.ImageFile, data: bytes, profile: bytes | None
) -> tuple[NDArray[Any], NDArray[Any] | None, bytes | None]:
    """Colours (H, W, 3), alpha (H, W) or None, and the profile of the colours."""
    is_deep = any(";16" in _raw_mode(tile) for tile in picture.tile)
    if is_deep:
        array = _decode_16_bit(picture, data)
    else:
        if picture.mode == "CMYK":
            return np.asarray(_cmyk_to_rgb(picture, profile)), None, None
        has_alpha = picture.has_transparency_data
        array = np.asarray(picture.convert("RGBA" if has_alpha else "RGB"))
        if picture.mode in ("L", "LA", "1", "I;16"):
            profile = None  # a grey profile does not fit RGB
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2), None, None
    return array[..., :3], (array[..., 3] if array.shape[2] == 4 else None), profile


def _raw_mode(tile: Any) -> str:
    args = tile.args
    return str(args if isinstance(args, str) else args[0] if args else "")


def _decode_16_bit(picture: ImageFile.ImageFile, data: bytes) -> NDArray[np.uint16]:
    """Decode twice, because Pillow keeps one byte of each 16-bit sample: first the high bytes, then the low ones.

    The second time the samples are declared to be in the other byte order, which makes Pillow keep the other byte.
    """
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    raw_mode = _raw_mode(picture.tile[0])
    order = raw_mode[-1]
    if raw_mode[:-1] not in ("RGB;16", "RGBA;16", "LA;16"):
        raise _UnsupportedError(f"16-bit samples in the layout {raw_mode!r} are not supported")
    native = "L" if sys.byteorder == "little" else "B"
    other = "L" if (native if order == "N" else order) == "B" else "B"
    if raw_mode[:-1] == "LA;16":  # grey and alpha are as wide as 8-bit RGBA: read their bytes as that
        samples = np.asarray(_with_raw_mode(picture, "RGBA")).view(">u2").astype(np.uint16)  # (H, W, 2)
        return samples[..., [0, 0, 0, 1]]
    again = Image.open(io.BytesIO(data), formats=FORMATS)
    high = np.asarray(picture).astype(np.uint16)
    low = np.asarray(_with_raw_mode(again, raw_mode[:-1] + other)).astype(np.uint16)
    return np.asarray(high << 8 | low, dtype=np.uint16)


def _with_raw_mode(picture: ImageFile.ImageFile, raw_mode: str) -> ImageFile.ImageFile:
    picture.tile = [
        tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *(tile.args or ())[1:]))
        for tile in picture.tile
    ]
    return picture


def _cmyk_to_rgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """By the embedded profile to sRGB, or by Pillow's plain formula where there is none."""
    if not profile:
        return picture.convert("RGB")
    try:
        converted = ImageCms.profileToProfile(
            picture, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except ImageCms.PyCMSError as error:
        raise _UnsupportedError(f"the embedded colour profile cannot be used: {error}") from error
    assert converted is not None
    return converted


def _upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an EXIF orientation (1 to 8); the result is contiguous."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return np.ascontiguousarray(array)
