"""Reading pictures: PNG, JPEG, WebP, TIFF, AVIF, HEIC, OpenEXR and BMP, recognised by content and never by name.

`read_image` and `read_mask` take a path, `decode_image` and `decode_mask` the bytes of a file. The file's size and the
picture's size are checked before anything is decoded. Of several pictures in a file the first is read, with a warning.
"""

import io
import re
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import (  # the plugins register their formats when they are imported
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    ImagePalette,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)
from PIL.ExifTags import Base

from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.imaging import colour
from mask2alpha.imaging.colour_tags import profile_of_exif, profile_of_heif, profile_of_png
from mask2alpha.imaging.exr import decode_exr, decode_exr_mask
from mask2alpha.imaging.metadata import read_resolution, resolution_of_exif, upright_exif
from mask2alpha.imaging.photo import Photo
from mask2alpha.imaging.reading import (
    MAX_BYTES,
    MAX_PIXELS,
    UnreadableError,
    check_size,
    extra_needed,
    straight_colours,
)
from mask2alpha.imaging.sniff import FORMATS, SUFFIXES, kind_of
from mask2alpha.imaging.tiff import decode_deep_tiff
from mask2alpha.ops.masks import DrawnMask, MaskChoice, find_labels, understand
from mask2alpha.ops.orientation import turn_upright

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "Photo",
    "decode_image",
    "decode_mask",
    "read_image",
    "read_label",
    "read_labels",
    "read_mask",
]

T = TypeVar("T")

_DEEP_AVIF = re.compile(rb"pixi\0{4}[\x01-\x04][\x0a\x0c]")
"""The box that tells how many bits the channels have."""
_DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, OverflowError,
    ZeroDivisionError, RuntimeError, NotImplementedError, struct.error, zlib.error,
)  # fmt: skip
"""The exceptions by which the decoders report damage."""


def read_image(path: str | Path, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a photo from a file; see `decode_image`.

    Raises:
        ImageFileError: The file cannot be read, has another format, is damaged, or is over a limit.
    """
    return decode_image(_read_bytes(Path(path), max_bytes), str(path), max_bytes=max_bytes, max_pixels=max_pixels)


def decode_image(
    data: bytes, name: str = "picture", *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> Photo:
    """Read a photo from the bytes of a file.

    The EXIF orientation is applied. Grey and palette pictures become RGB; CMYK ones become sRGB, by their profile where
    they have one. 16-bit and floating samples stay so, and so does every other colour profile.

    Args:
        data: The whole file.
        name: What messages call it.
        max_bytes: Largest file accepted.
        max_pixels: Largest picture accepted, width times height.

    Raises:
        ImageFileError: It has another format, is damaged, or is over a limit.
    """
    decode = _DECODERS[_checked_kind(data, name, max_bytes)]
    return _decoded(lambda: decode(data, max_pixels), name, max_pixels)


def _checked_kind(data: bytes, name: str, max_bytes: int) -> str:
    if not data:
        raise ImageFileError(f"{name}: the file is empty")
    if len(data) > max_bytes:
        raise ImageFileError(f"{name}: larger than {max_bytes} bytes")
    return kind_of(data, name)


def _decoded(decode: Callable[[], T], name: str, max_pixels: int) -> T:
    """Call a decoder and turn its exceptions into an `ImageFileError`."""
    try:
        return decode()
    except UnreadableError as error:
        raise ImageFileError(f"{name}: {error}") from error
    except Image.DecompressionBombError as error:
        raise ImageFileError(f"{name}: more than {max_pixels} pixels") from error
    except MemoryError as error:
        raise ImageFileError(f"{name}: the picture does not fit into memory") from error
    except _DAMAGE as error:
        raise ImageFileError(f"{name}: damaged or truncated picture: {error}") from error


def read_mask(
    path: str | Path,
    *,
    choice: MaskChoice | None = None,
    has_options: bool = True,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Read a mask from a file; see `decode_mask`.

    Raises:
        ImageFileError: As for `decode_mask`.
    """
    data = _read_bytes(Path(path), max_bytes)
    return decode_mask(
        data, str(path), choice=choice, has_options=has_options, max_bytes=max_bytes, max_pixels=max_pixels
    )


def decode_mask(
    data: bytes,
    name: str = "mask",
    *,
    choice: MaskChoice | None = None,
    has_options: bool = True,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Read a mask, (H, W), 0 to 255 on the target, from the bytes of a file.

    What its values mean, `mask2alpha.ops.masks.understand` says; docs/files.md has the table. What was guessed is a
    `UserWarning`.

    Args:
        data: The whole file.
        name: What messages call it.
        choice: A label, channel or inversion, where the file leaves a choice; `fit` has no meaning here.
        has_options: Whether the user has `--label` and `--channel`, so that messages can name them.
        max_bytes: Largest file accepted.
        max_pixels: Largest picture accepted, width times height.

    Raises:
        ImageFileError: As for `decode_image`; or it is ambiguous which pixels the mask marks.
    """
    choice = choice or MaskChoice()
    advice = "" if has_options else "give a file that is white on the target and black elsewhere"
    drawn = _decode_drawn(data, name, choice.channel, advice, max_bytes=max_bytes, max_pixels=max_pixels)
    try:
        mask, notes = understand(drawn, choice, name="the mask", advice=advice)
    except InputError as error:
        raise ImageFileError(f"{name}: {error}") from error
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return mask.as_bytes()


def read_labels(path: str | Path, *, channel: str | None = None) -> list[str]:
    """The labels of a map of labels; see `find_labels`.

    Raises:
        ImageFileError: As for `read_image`, or there are too many.
    """
    try:
        return find_labels(_read_drawn(path, channel))
    except InputError as error:
        raise ImageFileError(f"{path}: {error}") from error


def read_label(path: str | Path, label: str, *, channel: str | None = None) -> NDArray[np.uint8]:
    """One of `read_labels` as a mask, (H, W): 255 on it, 0 elsewhere; 0 everywhere where the label is not there.

    Raises:
        ImageFileError: As for `read_labels`.
    """
    drawn = _read_drawn(path, channel)
    try:
        if label not in find_labels(drawn):
            return np.zeros(drawn.values.shape[:2], np.uint8)
        return understand(drawn, MaskChoice(label=label, channel=channel), name="the mask")[0].as_bytes()
    except InputError as error:
        raise ImageFileError(f"{path}: {error}") from error


def _read_drawn(path: str | Path, channel: str | None) -> DrawnMask:
    data = _read_bytes(Path(path), MAX_BYTES)
    return _decode_drawn(data, str(path), channel, "", max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)


def _decode_drawn(
    data: bytes, name: str, channel: str | None, advice: str, *, max_bytes: int, max_pixels: int
) -> DrawnMask:
    """A mask before its values are understood."""
    kind = _checked_kind(data, name, max_bytes)
    if kind == "EXR":
        return _decoded(lambda: decode_exr_mask(data, max_pixels, channel, advice=advice), name, max_pixels)
    return _decoded(lambda: _drawn_mask(data, kind, max_pixels), name, max_pixels)


def _drawn_mask(data: bytes, kind: str, max_pixels: int) -> DrawnMask:
    """Read palette indices and shallow greys as stored, and all else like a photo, without its profile."""
    if kind in ("PNG", "TIFF", "BMP"):
        drawn = _decode_indices(data, kind, max_pixels)
        if drawn is not None:
            return drawn
    photo = _DECODERS[kind](data, max_pixels)
    return DrawnMask(
        values=np.ascontiguousarray(photo.pixels[..., 0]) if photo.is_grey else photo.pixels,
        top=None if photo.pixels.dtype.kind == "f" else np.iinfo(photo.pixels.dtype).max,
        alpha=photo.alpha,
        is_lossy=kind in ("JPEG", "AVIF", "HEIF") or (kind == "WEBP" and b"VP8L" not in data[:4096]),
    )


def _decode_indices(data: bytes, kind: str, max_pixels: int) -> DrawnMask | None:
    """A picture with a palette, or of 1, 2 or 4 bits; None for any other."""
    try:
        picture = _open(data, kind)
    except (SyntaxError, OSError, UnreadableError):
        return None  # the photo's decoder knows more kinds, or says what is wrong
    with picture:
        raw_mode = next(map(_raw_mode, picture.tile), "")
        shallow = re.match(r"L;([24])", raw_mode)
        if picture.mode not in ("P", "1") and not shallow:
            return None
        check_size(picture.size, max_pixels)
        if kind == "TIFF":
            _check_tags(picture.tag_v2)  # type: ignore[attr-defined]
        if getattr(picture, "is_animated", False):
            warnings.warn("the file has several pictures; the first is used", stacklevel=4)
        values = np.asarray(picture)
        transparency = picture.info.get("transparency") if picture.mode == "P" else None
        # a TIFF is turned by Pillow, once its pixels are read
        orientation = _stated(picture.getexif())
        if picture.mode == "P":
            palette = np.zeros((256, 3), dtype=np.uint8)
            entries = np.array(picture.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
            palette[: len(entries)] = entries
    values = turn_upright(values, orientation)
    if picture.mode == "1":
        return DrawnMask(values=values)
    if shallow:
        top = 2 ** int(shallow[1]) - 1
        return DrawnMask(values=values // np.uint8(255 // top), top=top)
    alpha = None
    if transparency is not None:
        opacity = np.full(256, 255, dtype=np.uint8)
        if isinstance(transparency, bytes):
            opacity[: len(transparency)] = np.frombuffer(transparency, dtype=np.uint8)
        else:
            opacity[transparency] = 0
        alpha = opacity[values]
    return DrawnMask(values=values, palette=palette, alpha=alpha)


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise ImageFileError(f"{path}: cannot be read: {error.strerror or error}") from error


def _decode_with_pillow(kind: str) -> Callable[[bytes, int], Photo]:
    def decode(data: bytes, max_pixels: int) -> Photo:
        with _open(data, kind) as picture:
            check_size(picture.size, max_pixels)
            if kind == "TIFF":
                _check_tags(picture.tag_v2)  # type: ignore[attr-defined]
            if kind != "JPEG" and getattr(picture, "is_animated", False):
                warnings.warn("the file has several pictures; the first is used", stacklevel=3)
            if kind == "AVIF" and _DEEP_AVIF.search(data, 0, 4096):
                warnings.warn("10- and 12-bit AVIF is read as 8-bit", stacklevel=3)
            resolution = read_resolution(picture.info.get("dpi"))
            turned_by_pillow = _stated(picture.getexif()) if kind == "TIFF" else 1
            if resolution and turned_by_pillow in (5, 6, 7, 8):
                resolution = resolution[::-1]
            photo = _decode_colours(picture, data, kind)
            exif = picture.getexif()  # after decoding, because Pillow itself turns TIFFs upright then
            if kind != "TIFF":
                resolution = resolution or resolution_of_exif(exif)
            xmp = picture.info.get("xmp")
        photo = _finished(replace(photo, exif=upright_exif(exif), xmp=xmp, resolution=resolution), _stated(exif))
        return photo if turned_by_pillow == 1 else replace(photo, orientation=turned_by_pillow)

    return decode


def _stated(exif: Image.Exif) -> int:
    """The orientation that EXIF states; 1 if it states none or an unknown one."""
    orientation = exif.get(Base.Orientation, 1)
    return int(orientation) if orientation in range(1, 9) else 1


def _open(data: bytes, kind: str) -> ImageFile.ImageFile:
    """Read the header with the plugin for the format, which the content tells."""
    picture = _open_by_content(data, kind)
    if kind == "BMP":
        _correct_bmp(picture, data)
    if picture.mode in ("I", "F", "LAB"):
        raise UnreadableError(f"pixels of kind {picture.mode!r} (32-bit or Lab) are not supported; save it as RGB")
    return picture


def _open_by_content(data: bytes, kind: str) -> ImageFile.ImageFile:
    if data.startswith(b"MM\0+"):
        raise SyntaxError("Pillow takes a BigTIFF of this byte order for a TIFF")
    factory, _ = Image.OPEN[kind]
    return factory(io.BytesIO(data), "")


def _correct_bmp(picture: ImageFile.ImageFile, data: bytes) -> None:
    """Read indices of 4 and 8 bits as indices: with a grey palette, Pillow takes them for 1 or 8 bits."""
    bits = int.from_bytes(data[24:26] if data[14:18] == b"\x0c\0\0\0" else data[28:30], "little")
    expected = {"1": 1, "L": 8}.get(picture.mode, bits)
    if bits == expected or bits not in (4, 8):
        return
    greys = (0, 255) if picture.mode == "1" else range(16)
    picture._mode = "P"
    picture.palette = ImagePalette.raw("RGB", bytes(grey for grey in greys for _ in range(3)))
    _with_raw_mode(picture, "P;4" if bits == 4 else "P")


def _check_tags(tags: Any) -> None:
    """Refuse signed samples, which Pillow takes for unsigned ones, and raw files: TIFFs that start with a thumbnail."""
    if 2 in np.atleast_1d(tags.get(Base.SampleFormat, 1)):
        raise UnreadableError("a TIFF with signed samples is not supported; save it as 8- or 16-bit RGB")
    subfile_type = tags.get(Base.NewSubfileType, 0)
    if Base.DNGVersion in tags or (isinstance(subfile_type, int) and subfile_type & 1):
        raise UnreadableError("a camera raw file, or a TIFF that starts with a thumbnail; develop it to a TIFF first")


def _decode_tiff(data: bytes, max_pixels: int) -> Photo:
    """Decode with Pillow, or with tifffile what Pillow does not read; camera raw files are refused first."""
    try:
        picture = _open_by_content(data, "TIFF")
    except (SyntaxError, OSError):
        pass
    else:
        tags = picture.tag_v2  # type: ignore[attr-defined]
        # of samples in planes, Pillow reads 8-bit colours with straight alpha or none
        has_other_planes = tags.get(Base.PlanarConfiguration) == 2 and (
            max(tags.get(Base.BitsPerSample, (8,))) > 8
            or 1 in np.atleast_1d(tags.get(Base.ExtraSamples, 0))
            or (tags.get(Base.PhotometricInterpretation) in (0, 1) and tags.get(Base.SamplesPerPixel, 1) > 1)
        )
        if picture.mode not in ("I", "F") and not has_other_planes:
            picture.close()
            return _decode_with_pillow("TIFF")(data, max_pixels)
        _check_tags(tags)
    photo, orientation = decode_deep_tiff(data, max_pixels)
    return _finished(photo, orientation if orientation in range(1, 9) else 1)


def _check_heif_items(data: bytes) -> None:
    """Refuse items whose kind or name is not text: libheif's binding crashes the process on such metadata."""
    start = 0
    while start + 8 <= len(data):
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        if length == 1:
            length = int.from_bytes(data[start + 8 : start + 16], "big")
        end = start + length if length >= 8 else len(data)
        found = data.find(b"infe", start, end) if kind != b"mdat" else -1
        while found >= 0:
            entry = data[found - 4 : found - 4 + int.from_bytes(data[found - 4 : found], "big")]
            try:
                entry[18 if entry[8:9] == b"\x03" else 16 :].decode()  # past the version, the number and the protection
            except UnicodeDecodeError:
                raise UnreadableError("a damaged HEIC file: the kind or name of an item is not text") from None
            found = data.find(b"infe", found + 4, end)
        start = end


def _decode_heif(data: bytes, max_pixels: int) -> Photo:
    """The primary picture; libheif turns it as the file says, and the orientation in EXIF repeats what it did."""
    with extra_needed("HEIC"):
        import pillow_heif
    _check_heif_items(data)
    picture = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    check_size(picture.size, max_pixels)
    mode = picture.mode.partition(";")[0]
    if mode not in ("L", "LA", "RGB", "RGBA", "RGBa"):
        raise UnreadableError(f"HEIC pixels of kind {picture.mode!r} are not supported")
    array = np.asarray(picture)
    array = array if array.ndim == 3 else array[..., None]
    exif = Image.Exif()
    if picture.info.get("exif"):
        exif.load(picture.info["exif"])
    colours = array[..., : len(mode.rstrip("Aa"))]
    photo = Photo(
        pixels=np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else colours,
        alpha=np.ascontiguousarray(array[..., -1]) if mode[-1] in "Aa" else None,
        is_grey=colours.shape[2] == 1,
        icc_profile=picture.info.get("icc_profile") or profile_of_heif(data, is_grey=colours.shape[2] == 1),
        exif=upright_exif(exif),
        xmp=picture.info.get("xmp"),
        resolution=resolution_of_exif(exif),
    )
    return replace(_finished(_straight(photo) if mode == "RGBa" else photo, 1), orientation=_stated(exif))


_DECODERS: dict[str, Callable[[bytes, int], Photo]] = {
    **{kind: _decode_with_pillow(kind) for kind in ("PNG", "JPEG", "WEBP", "AVIF", "BMP")},
    "TIFF": _decode_tiff,
    "HEIF": _decode_heif,
    "EXR": decode_exr,
}


def _finished(photo: Photo, orientation: int) -> Photo:
    """Upright, contiguous, and with a profile only where it fits and can be used."""
    profile = photo.icc_profile
    if profile is not None:
        expected = "GRAY" if photo.is_grey else "RGB"
        try:
            if colour.profile_space(profile) != expected:
                raise colour.ProfileError(f"it describes {colour.profile_space(profile)[:8]!r}, not {expected}")
            colour.check_profile(profile)
        except colour.ProfileError as error:
            warnings.warn(f"the colour profile cannot be used and was left out: {error}", stacklevel=2)
            profile = None
    return replace(
        photo,
        pixels=turn_upright(photo.pixels, orientation),
        alpha=None if photo.alpha is None else turn_upright(photo.alpha, orientation),
        icc_profile=profile,
        resolution=photo.resolution[::-1] if photo.resolution and orientation in (5, 6, 7, 8) else photo.resolution,
        orientation=orientation,
    )


def _decode_colours(picture: ImageFile.ImageFile, data: bytes, kind: str) -> Photo:
    """Colours, alpha and profile of what Pillow has opened."""
    profile = picture.info.get("icc_profile") or None
    if picture.mode == "CMYK":
        if profile is None:
            warnings.warn("CMYK without a colour profile: the colours are approximate", stacklevel=3)
        try:
            return Photo(pixels=np.asarray(colour.cmyk_to_srgb(picture, profile)))
        except colour.ProfileError as error:
            warnings.warn(f"the CMYK profile cannot be used; colours are approximate: {error}", stacklevel=3)
            return Photo(pixels=np.asarray(picture.convert("RGB")))
    raw_mode = next((mode for mode in map(_raw_mode, picture.tile) if ";16" in mode), None)
    is_grey = picture.mode in ("L", "LA", "La", "1", "I;16", "I;16B", "I;16L") or raw_mode == "LA;16B"
    if kind == "PNG":
        profile = profile_of_png(data, picture.info, is_grey=is_grey)
    elif profile is None and kind == "AVIF":
        profile = profile_of_heif(data, is_grey=is_grey)
    elif profile is None and not is_grey:
        profile = profile_of_exif(picture.info.get("exif"))
    _scale_transparent_grey(picture)
    if raw_mode:
        array = _decode_16_bit(picture, raw_mode, data, kind)
        if kind == "TIFF" and is_grey and picture.tag_v2.get(Base.PhotometricInterpretation) == 0:  # type: ignore[attr-defined]
            array = np.uint16(65535) - array  # white is zero, which Pillow heeds in 8 bits alone
    elif picture.mode == "La":  # which Pillow converts to no colours
        array = np.asarray(picture)[..., [0, 0, 0, 1]]
    else:
        array = np.asarray(picture.convert("RGBA" if picture.has_transparency_data else "RGB"))
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    alpha = array[..., 3] if array.shape[2] == 4 and not (raw_mode or "").startswith("RGBX") else None
    if raw_mode and alpha is None and "transparency" in picture.info:
        key = np.broadcast_to(np.asarray(picture.info["transparency"], dtype=np.uint16), (3,))
        alpha = np.where((array == key).all(axis=2), 0, 65535).astype(np.uint16)
    photo = Photo(pixels=array[..., :3], alpha=alpha, is_grey=is_grey, icc_profile=profile)
    return _straight(photo) if picture.mode == "La" or (raw_mode or "").startswith("RGBa") else photo


def _scale_transparent_grey(picture: ImageFile.ImageFile) -> None:
    """Scale the transparent grey of a PNG of 2 or 4 bits to 8 bits, as Pillow does with the pixels."""
    shallow = re.match(r"L;([24])", next(map(_raw_mode, picture.tile), ""))
    if shallow and isinstance(picture.info.get("transparency"), int):
        picture.info["transparency"] *= 255 // (2 ** int(shallow[1]) - 1)


def _raw_mode(tile: Any) -> str:
    args = tile.args
    return str(args if isinstance(args, str) else args[0] if args else "")


def _decode_16_bit(picture: ImageFile.ImageFile, raw_mode: str, data: bytes, kind: str) -> NDArray[np.uint16]:
    """Decode twice, because Pillow keeps one byte of each 16-bit sample: first the high bytes, then the low ones.

    The second time the samples are declared to be in the other byte order, which makes Pillow keep the other byte.
    """
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16)
    layout, order = raw_mode[:-1], raw_mode[-1]
    if layout not in ("RGB;16", "RGBA;16", "RGBa;16", "RGBX;16", "LA;16"):
        raise UnreadableError(f"16-bit samples in the layout {raw_mode!r} are not supported")
    if layout == "LA;16":  # grey and alpha are as wide as 8-bit RGBA: read their bytes as that
        samples = np.asarray(_with_raw_mode(picture, "RGBA")).view(">u2").astype(np.uint16)  # (H, W, 2)
        return samples[..., [0, 0, 0, 1]]
    native = "L" if sys.byteorder == "little" else "B"
    other = "L" if (native if order == "N" else order) == "B" else "B"
    if layout == "RGBa;16":  # stored as they are; Pillow would divide bytes by bytes
        layout, picture = "RGBA;16", _with_raw_mode(picture, "RGBA;16" + order)
    high = np.asarray(picture).astype(np.uint16)
    low = np.asarray(_with_raw_mode(_open(data, kind), layout + other)).astype(np.uint16)
    return np.asarray(high << 8 | low, dtype=np.uint16)


def _with_raw_mode(picture: ImageFile.ImageFile, raw_mode: str) -> ImageFile.ImageFile:
    picture.tile = [
        tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *(tile.args or ())[1:]))
        for tile in picture.tile
    ]
    return picture


def _straight(photo: Photo) -> Photo:
    """The colours, which were premultiplied, divided by alpha."""
    assert photo.alpha is not None
    return replace(photo, pixels=straight_colours(photo.pixels, photo.alpha))
