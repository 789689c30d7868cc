"""A picture's metadata besides its pixels: EXIF and XMP, prepared for another picture of the same scene.

Kept are descriptions, names, dates, rights and exposure. Left out are the structure of the old file, its thumbnails
(they show what was cut away) and makers' notes (opaque, and broken by moving them).
"""

import re
import struct
import warnings
from collections.abc import Mapping
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base

_TEXT_TAGS = (
    Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime, Base.Artist, Base.Copyright,
)  # fmt: skip
_KEPT_TAGS = (*_TEXT_TAGS, Base.Orientation, Base.XResolution, Base.YResolution, Base.ResolutionUnit, Base.Rating)
_KEPT_IFDS = (IFD.Exif, IFD.GPSInfo)
_DROPPED_EXIF_TAGS = (Base.MakerNote, Base.ColorSpace, IFD.Interop, Base.ExifImageWidth, Base.ExifImageHeight)
"""Also the old file's colour space and size."""

_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))\s*[2-8]")
_XMP_THUMBNAILS = re.compile(rb"<xmp:Thumbnails>.*?</xmp:Thumbnails>", re.DOTALL)
_XMP_GPS_ATTRIBUTE = re.compile(rb"\s[\w.-]+:gps\w*=(?:\"[^\"]*\"|'[^']*')", re.IGNORECASE)
_XMP_GPS_ELEMENT = re.compile(rb"<([\w.-]+:gps\w*)(?:\s[^>]*)?>[^<]*</\1>", re.IGNORECASE)


def upright_exif(exif: Image.Exif) -> bytes | None:
    """The tags worth keeping, as a block for another file, the orientation set to upright; the place is among them.

    Returns:
        None where there are none, or the block is damaged (with a warning).
    """
    try:
        kept = Image.Exif()
        for tag in _KEPT_TAGS:
            if tag in exif:
                kept[tag] = exif[tag]
        for ifd in _KEPT_IFDS:
            entries = {tag: value for tag, value in exif.get_ifd(ifd).items() if tag not in _DROPPED_EXIF_TAGS}
            if entries:
                kept.get_ifd(ifd).update(entries)
                kept[ifd] = kept.get_ifd(ifd)
        if not len(kept):
            return None
        if Base.Orientation in kept:
            kept[Base.Orientation] = 1
        return kept.tobytes()
    # Pillow's reader and writer of tags stumble over damage in many ways
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, AttributeError, OverflowError, struct.error,
            ZeroDivisionError, RuntimeError) as error:  # fmt: skip
        warnings.warn(f"the EXIF block is damaged and was left out: {error}", stacklevel=2)
        return None


def with_resolution(exif: bytes | None, resolution: tuple[float, float]) -> bytes:
    """An EXIF block that states pixels per inch, across and down."""
    block = Image.Exif()
    if exif:
        block.load(exif)
        for ifd in _KEPT_IFDS:
            block.get_ifd(ifd)  # what was not looked at would not be written
    block[Base.XResolution], block[Base.YResolution] = resolution
    block[Base.ResolutionUnit] = 2
    return block.tobytes()


def without_gps_exif(exif: bytes) -> bytes:
    """An EXIF block without the place."""
    block = Image.Exif()
    block.load(exif)
    if IFD.GPSInfo not in block:
        return exif
    block.get_ifd(IFD.Exif)  # what was not looked at would not be written
    del block[IFD.GPSInfo]
    return block.tobytes()


def upright_xmp(xmp: bytes, *, has_gps: bool) -> bytes | None:
    """An XMP packet with its orientation set to upright, without thumbnails and, unless `has_gps`, without the place.

    Returns:
        None, with a warning, if something about GPS remains.
    """
    xmp = _XMP_THUMBNAILS.sub(b"", _XMP_ORIENTATION.sub(rb"\g<1>1", xmp))
    if has_gps:
        return xmp
    xmp = _XMP_GPS_ELEMENT.sub(b"", _XMP_GPS_ATTRIBUTE.sub(b"", xmp))
    if re.search(rb"gps(?:lat|lon)", xmp, re.IGNORECASE):
        warnings.warn("the XMP packet states the location in an unknown form; the packet was left out", stacklevel=2)
        return None
    return xmp


def read_resolution(values: Any) -> tuple[float, float] | None:
    """Pixels per inch, across and down, if two numbers are a resolution; 1 and less stand for a missing one."""
    try:
        across, down = (float(value) for value in values)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 1 < across < 1e6 and 1 < down < 1e6 else None


def resolution_of_exif(exif: Image.Exif) -> tuple[float, float] | None:
    """Pixels per inch, across and down, that an EXIF block states."""
    per_unit = {2: 1.0, 3: 2.54}.get(exif.get(Base.ResolutionUnit, 2), 0.0)
    try:
        return read_resolution(per_unit * float(exif[tag]) for tag in (Base.XResolution, Base.YResolution))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def text_tags(exif: bytes) -> Mapping[int, str]:
    """The texts of an EXIF block's first table: description, maker, model, software, date, artist, copyright."""
    block: Any = Image.Exif()
    block.load(exif)
    return {tag: block[tag] for tag in _TEXT_TAGS if isinstance(block.get(tag), str)}
