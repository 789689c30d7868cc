"""Colours that a file states without a profile: cICP, gAMA and cHRM of PNG, nclx of AVIF and HEIC, and EXIF.

They become an ICC profile, so that whatever reads, converts or writes colours knows one kind of statement only. What
means sRGB becomes none.
"""

import struct
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from mask2alpha.imaging.colour import SRGB_PRIMARIES, Primaries, srgb_curve, to_pcs, usable_primaries

_D65 = (0.3127, 0.3290)
_PRIMARIES_OF_CODE: Mapping[int, Primaries] = {
    1: SRGB_PRIMARIES,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
}
"""ITU-T H.273, table 2."""
_ADOBE_RGB: Primaries = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *_D65)
_ADOBE_EXPONENT = 563 / 256
_SRGB_LIKE, _LINEAR, _EXPONENTS = (1, 2, 6, 13, 14, 15), 8, {4: 2.2, 5: 2.8}
"""Transfer characteristics of H.273, table 3. Those of BT.709 and similar standards are displayed about as sRGB is."""
_UNKNOWN = 2
_LEVELS = 1024


def profile_of_png(data: bytes, info: Mapping[Any, Any], *, is_grey: bool) -> bytes | None:
    """The profile of a PNG, by what counts most: cICP, an embedded profile, sRGB, gAMA and cHRM, EXIF.

    Where we do not know the colour space of a cICP (HDR, say), an embedded profile stands in for it.

    Args:
        data: The file.
        info: What Pillow read of it.
        is_grey: Whether it has one channel.
    """
    embedded: bytes | None = info.get("icc_profile") or None
    chunk = data.find(b"\0\0\0\x04cICP", 0, max(0, data.find(b"IDAT")))
    if chunk >= 0 and not (embedded and _is_unknown(*data[chunk + 8 : chunk + 10])):
        primaries, transfer = data[chunk + 8 : chunk + 10]
        return _profile_of_codes(primaries, transfer, is_grey=is_grey)
    if embedded or "srgb" in info:
        return embedded
    if not ("gamma" in info or "chromaticity" in info):
        return None if is_grey else profile_of_exif(info.get("exif"))
    white_first = info.get("chromaticity")
    found = usable_primaries([*white_first[2:], *white_first[:2]]) if white_first else None
    gamma = float(info.get("gamma") or 0) or 1 / 2.2
    is_usual = abs(gamma * 2.2 - 1) < 0.01
    return _profile(found or SRGB_PRIMARIES, None if is_usual else 1 / gamma, is_grey=is_grey)


def profile_of_heif(data: bytes, *, is_grey: bool) -> bytes | None:
    """The profile that the first nclx box of an AVIF or HEIC file describes."""
    box = data.find(b"colrnclx", 0, 2**16)
    if box < 0:
        return None
    primaries, transfer = struct.unpack_from(">HH", data, box + 8)
    return _profile_of_codes(primaries, transfer, is_grey=is_grey)


def profile_of_exif(block: bytes | None) -> bytes | None:
    """Adobe RGB, where a camera says so in EXIF alone: by the interoperability index R03 (DCF 2.0), or by code 2."""
    if not block:
        return None
    try:
        exif = Image.Exif()
        exif.load(block)
        colour_space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        index = exif.get_ifd(ExifTags.IFD.Interop).get(1, "")
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):  # reported with the other tags
        return None
    is_adobe = colour_space == 2 or (colour_space != 1 and str(index).startswith("R03"))
    return _profile(_ADOBE_RGB, _ADOBE_EXPONENT, is_grey=False) if is_adobe else None


def _is_unknown(primaries: int, transfer: int) -> bool:
    known = (*_SRGB_LIKE, *_EXPONENTS, _LINEAR)
    return (primaries != _UNKNOWN and primaries not in _PRIMARIES_OF_CODE) or transfer not in known


def _profile_of_codes(primaries: int, transfer: int, *, is_grey: bool) -> bytes | None:
    if _is_unknown(primaries, transfer):
        warnings.warn(
            f"the file's colour space (primaries {primaries}, transfer {transfer} of H.273) is not supported; its "
            "values are taken for sRGB",
            stacklevel=4,
        )
        return None
    exponent = 1.0 if transfer == _LINEAR else _EXPONENTS.get(transfer)
    return _profile(_PRIMARIES_OF_CODE.get(primaries, SRGB_PRIMARIES), exponent, is_grey=is_grey)


def _profile(primaries: Primaries, exponent: float | None, *, is_grey: bool) -> bytes | None:
    """An ICC profile (version 2.4) of a matrix and a curve; None where it would be sRGB's.

    Args:
        primaries: Of the channels; a grey profile has none.
        exponent: Of the curve; None: that of sRGB.
        is_grey: Whether to make a grey profile.
    """
    is_srgb = is_grey or np.abs(np.subtract(primaries, SRGB_PRIMARIES)).max() < 0.002
    if is_srgb and exponent is None:
        return None
    levels = np.linspace(0, 1, _LEVELS)
    curve = _curve(srgb_curve(levels) if exponent is None else levels**exponent)
    tags = {b"desc": _text(b"desc"), b"cprt": _text(b"text"), b"wtpt": _xyz(np.array([0.9642, 1, 0.8249]))}
    if is_grey:
        tags[b"kTRC"] = curve
    else:
        tags |= {
            name + b"XYZ": _xyz(column) for name, column in zip((b"r", b"g", b"b"), to_pcs(primaries).T, strict=True)
        }
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    start = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = bytearray(128)
    header[0:4] = struct.pack(">I", start + len(body))
    header[8:24] = b"\x02\x40\0\0mntr" + (b"GRAY" if is_grey else b"RGB ") + b"XYZ "
    header[36:40], header[68:80] = b"acsp", _xyz(np.array([0.9642, 1, 0.8249]))[8:]
    return bytes(header) + table + body


def _text(kind: bytes) -> bytes:
    """The profile's name and rights."""
    if kind == b"text":
        return b"text\0\0\0\0CC0\0"
    name = b"colours of the file's tags\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78)


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + np.rint(values * 65536).astype(">i4").tobytes()


def _curve(values: NDArray[np.float64]) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + np.rint(values * 65535).astype(">u2").tobytes()
