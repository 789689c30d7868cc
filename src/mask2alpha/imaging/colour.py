"""Colour profiles, linear light and sRGB.

ICC profiles of the matrix kind (a curve per channel and three primaries: Adobe RGB, Display P3, ProPhoto, any grey one)
are computed here, in full depth; those with tables go through LittleCMS, in 8 bits.
"""

import io
import struct
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

Primaries: TypeAlias = tuple[float, float, float, float, float, float, float, float]
"""CIE x and y of red, green, blue and white, as in OpenEXR's `chromaticities`."""
Curve: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From stored values to linear light, both in [0, 1]."""

SRGB_PRIMARIES: Primaries = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
_KNEE = 0.8
"""Linear light above this is compressed for the network."""
_ROWS_AT_ONCE = 256
_PCS_WHITE = np.array([0.9642, 1.0, 0.8249])
"""D50, which the colours of ICC profiles are adapted to."""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


class ProfileError(Exception):
    """A colour profile cannot be used."""


def srgb_from_linear(
    pixels: NDArray[Any], primaries: Primaries | None = None, *, has_shoulder: bool = False
) -> NDArray[np.uint16]:
    """Linear light (H, W, 3) as 16-bit sRGB.

    Args:
        pixels: Floats, all finite.
        primaries: What the channels are; None: those of sRGB.
        has_shoulder: Whether values above 0.8 approach 1 smoothly if any is above 1; otherwise they are clipped at 1.
    """
    matrix = None if primaries in (None, SRGB_PRIMARIES) else _to_srgb_primaries(primaries)
    is_high = has_shoulder and bool(pixels.max() > 1)
    result = np.empty(pixels.shape, dtype=np.uint16)
    for rows in _blocks(pixels):
        light = pixels[rows].astype(np.float32)
        if matrix is not None:
            light = light @ matrix.T.astype(np.float32)
        if is_high:
            light = np.where(light <= _KNEE, light, 1 - (1 - _KNEE) ** 2 / (np.maximum(light, _KNEE) - 2 * _KNEE + 1))
        result[rows] = _encoded(light)
    return result


def linear_from_profile(pixels: NDArray[Any], profile: bytes | None) -> NDArray[np.float32]:
    """Colours (H, W, 3) as linear light with the primaries of sRGB; what sRGB does not hold is below 0 or above 1.

    Colours described by a profile with tables are brought to sRGB in 8 bits first, with a warning.
    """
    if profile is None:
        return _linear(pixels, [srgb_curve] * 3, None)
    parsed = _parse_matrix_profile(profile)
    if parsed is None:
        warnings.warn("the colour profile has tables; its colours were converted in 8 bits", stacklevel=2)
        return linear_from_profile(_srgb_by_tables(pixels, profile), None)
    return _linear(pixels, *parsed)


def to_srgb_primaries(light: NDArray[Any], primaries: Primaries) -> NDArray[np.float32]:
    """Linear light in the primaries of sRGB; what they do not span is below 0 or above 1."""
    return np.asarray(light.astype(np.float32) @ _to_srgb_primaries(primaries).T, dtype=np.float32)


def from_srgb_primaries(light: NDArray[np.float32], primaries: Primaries) -> NDArray[np.float32]:
    """Linear light in other primaries than sRGB's, in which it is given."""
    return np.asarray(light @ np.linalg.inv(_to_srgb_primaries(primaries)).T, dtype=np.float32)


def srgb_from_profile(pixels: NDArray[Any], profile: bytes) -> NDArray[Any]:
    """Colours (H, W, 3) that a profile describes as sRGB, 16-bit or, for a profile with tables, 8-bit."""
    parsed = _parse_matrix_profile(profile)
    if parsed is None:
        return _srgb_by_tables(pixels, profile)
    result = np.empty(pixels.shape, dtype=np.uint16)
    for rows in _blocks(pixels):
        result[rows] = _encoded(_linear(pixels[rows], *parsed))
    return result


def is_like_srgb(profile: bytes) -> bool:
    """Whether a profile means sRGB, so that 8-bit values change by at most 1 when they are converted."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    if profile_space(profile) == "GRAY":
        samples = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)[None]
    else:
        samples = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    converted = srgb_from_profile(samples, profile).astype(np.float32)
    if converted.max() > 255:
        converted /= 257
    return bool(np.abs(converted - samples).max() <= 1.5)


def profile_space(profile: bytes) -> str:
    """The colours that a profile describes: "RGB", "GRAY", "CMYK" ..."""
    return profile[16:20].decode("latin-1").strip()


def check_profile(profile: bytes) -> None:
    """Raise `ProfileError` where a profile cannot be used to convert colours."""
    try:
        if _parse_matrix_profile(profile) is None and profile_space(profile) != "CMYK":
            _srgb_by_tables(np.zeros((1, 1, 3), dtype=np.uint8), profile)
    except (struct.error, ValueError, IndexError, ImageCms.PyCMSError, OSError) as error:
        raise ProfileError(str(error) or type(error).__name__) from error


def cmyk_to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert by the profile, or by Pillow's plain formula without one.

    Raises:
        ProfileError: The profile cannot be used.
    """
    if not profile:
        return picture.convert("RGB")
    try:
        converted = ImageCms.profileToProfile(
            picture, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise ProfileError(str(error)) from error
    assert converted is not None
    return converted


def with_depth(array: NDArray[Any], bits: int) -> NDArray[Any]:
    """Whole numbers of 8 or 16 bits with the same meaning; floats are clipped to [0, 1]."""
    if array.dtype.itemsize * 8 == bits and array.dtype.kind == "u":
        return array
    if array.dtype == np.uint8:
        return np.asarray(array * np.uint16(257), dtype=np.uint16)
    if array.dtype == np.uint16:
        return np.asarray(np.rint(array / np.float32(257)), dtype=np.uint8)
    top, dtype = (255, np.uint8) if bits == 8 else (65535, np.uint16)
    return np.asarray(np.rint(np.clip(array, 0, 1).astype(np.float32) * np.float32(top)), dtype=dtype)


def srgb_curve(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From sRGB to linear light, both in [0, 1] (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb_inverse_curve(light: NDArray[Any]) -> NDArray[Any]:
    """From linear light to sRGB, both in [0, 1]; what is above continues."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _linear(pixels: NDArray[Any], curves: Sequence[Curve], matrix: NDArray[np.float64] | None) -> NDArray[np.float32]:
    if pixels.dtype.kind == "f":
        channels = [curve(np.clip(pixels[..., i], 0, 1).astype(np.float64)) for i, curve in enumerate(curves)]
    else:
        levels = np.linspace(0, 1, np.iinfo(pixels.dtype).max + 1)
        channels = [curve(levels).astype(np.float32)[pixels[..., i]] for i, curve in enumerate(curves)]
    light = np.stack(channels, axis=-1).astype(np.float32)
    return light if matrix is None else light @ matrix.T.astype(np.float32)


def _encoded(light: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Linear light as 16-bit sRGB."""
    return np.asarray(np.rint(srgb_inverse_curve(np.clip(light, 0, 1)) * 65535), dtype=np.uint16)


def _blocks(pixels: NDArray[Any]) -> list[slice]:
    """Slices of rows, so that what is computed in between stays small."""
    return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, pixels.shape[0], _ROWS_AT_ONCE)]


def _to_srgb_primaries(primaries: Primaries) -> NDArray[np.float64]:
    """The matrix from linear light in other primaries to that in sRGB's."""
    adapted = _adaptation(_white(primaries), _white(SRGB_PRIMARIES)) @ _rgb_to_xyz(primaries)
    return np.asarray(np.linalg.solve(_rgb_to_xyz(SRGB_PRIMARIES), adapted))


def usable_primaries(values: Any) -> Primaries | None:
    """Eight numbers as primaries, if they span a space of colours; y of blue is negative in ACES 2065-1."""
    numbers = tuple(float(value) for value in values)
    if len(numbers) != 8 or not all(np.isfinite(numbers)) or numbers[7] < 1e-4:
        return None
    primaries: Primaries = numbers
    try:
        matrix = _to_srgb_primaries(primaries)
    except np.linalg.LinAlgError:
        return None
    return primaries if np.isfinite(matrix).all() and np.abs(matrix).max() < 100 else None


def _white(primaries: Primaries) -> NDArray[np.float64]:
    x, y = primaries[6:]
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _rgb_to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    columns = np.array(
        [[x, y, 1 - x - y] for x, y in zip(primaries[0:6:2], primaries[1:6:2], strict=True)], dtype=np.float64
    ).T
    return np.asarray(columns * np.linalg.solve(columns, _white(primaries)))


def _adaptation(white: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bradford's adaptation of XYZ from one white to another."""
    gains = np.diag((_BRADFORD @ other) / (_BRADFORD @ white))
    return np.asarray(np.linalg.solve(_BRADFORD, gains @ _BRADFORD))


def to_pcs(primaries: Primaries) -> NDArray[np.float64]:
    """The matrix from linear light to the colours of ICC profiles, XYZ adapted to D50; a column per channel."""
    return np.asarray(_adaptation(_white(primaries), _PCS_WHITE) @ _rgb_to_xyz(primaries))


def _parse_matrix_profile(profile: bytes) -> tuple[list[Curve], NDArray[np.float64] | None] | None:
    """The three curves and the matrix to linear sRGB of an ICC profile; None where it has tables instead.

    Raises:
        struct.error, ValueError: It is damaged.
    """
    count = min(struct.unpack_from(">I", profile, 128)[0], 200)
    tags = {}
    for index in range(count):
        name, start, size = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        tags[name] = profile[start : start + size]
    if profile_space(profile) == "GRAY" and b"kTRC" in tags:
        return [_parse_curve(tags[b"kTRC"])] * 3, None
    if b"A2B0" in tags or not {b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"} <= tags.keys():
        return None
    columns = [[value / 65536 for value in struct.unpack_from(">3i", tags[name], 8)] for name in
               (b"rXYZ", b"gXYZ", b"bXYZ")]  # fmt: skip
    srgb = _adaptation(_white(SRGB_PRIMARIES), _PCS_WHITE) @ _rgb_to_xyz(SRGB_PRIMARIES)
    matrix = np.asarray(np.linalg.solve(srgb, np.array(columns).T), dtype=np.float64)
    return [_parse_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")], matrix


def _parse_curve(tag: bytes) -> Curve:
    """A tag of type "curv" (a table or one exponent) or "para" (a formula); ICC.1:2022, 10.6 and 10.18."""
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 0:
            return lambda values: values
        table = np.frombuffer(tag, dtype=">u2", count=count, offset=12).astype(np.float64)
        if count == 1:
            return lambda values: values ** (table[0] / 256)
        return lambda values: np.interp(values, np.linspace(0, 1, count), table / 65535)
    if tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        if kind > 4:
            raise ValueError(f"curve of unknown type {kind}")
        numbers = [value / 65536 for value in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)]
        return _formula(kind, *numbers)
    raise ValueError(f"curve of unknown kind {tag[:4]!r}")


def _formula(
    kind: int, g: float, a: float = 1, b: float = 0, c: float = 0, d: float = 0, e: float = 0, f: float = 0
) -> Curve:
    """``(a x + b)^g + e`` from d on, ``c x + f`` below; the shorter kinds leave parameters out."""
    if kind in (1, 2):
        d, e, f, c = (-b / a if a else 0), (c if kind == 2 else 0), (c if kind == 2 else 0), 0
    return lambda values: np.clip(np.where(values >= d, np.maximum(a * values + b, 0) ** g + e, c * values + f), 0, 1)


def _srgb_by_tables(pixels: NDArray[Any], profile: bytes) -> NDArray[np.uint8]:
    picture = Image.fromarray(np.ascontiguousarray(with_depth(pixels, 8)))
    if profile_space(profile) == "GRAY":
        picture = picture.convert("L")
    converted = ImageCms.profileToProfile(
        picture, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert converted is not None
    return np.asarray(converted)
