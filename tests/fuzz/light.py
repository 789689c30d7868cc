"""Colour spaces worked out from their definitions, without our own colour code: the judge of colour tags."""

import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_D50 = np.array([0.9642, 1.0, 0.8249])


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Primaries and white (x and y of red, green, blue, white), and the exponent of the curve; None: sRGB's curve."""

    primaries: tuple[float, ...] = SRGB
    exponent: float | None = None
    is_grey: bool = False

    def light(self, values: Array) -> Array:
        """Stored values (H, W, 3) in [0, 1], or any if they are linear, as linear light in the primaries of sRGB."""
        light = srgb_light(values) if self.exponent is None else _power(values, self.exponent)
        return light if self.is_grey else light @ _matrix(self.primaries).T

    def srgb(self, values: Array) -> Array:
        """Stored values as sRGB in [0, 1]; what it does not hold is clipped."""
        return srgb_values(np.clip(self.light(values), 0, 1))

    def icc_profile(self, *, is_table: bool) -> bytes:
        """A profile of this space, its curve a formula or a table of 1,024 places."""
        curve = _icc_table(self) if is_table else _icc_formula(self)
        tags = {b"desc": _icc_text(b"desc"), b"cprt": _icc_text(b"text"), b"wtpt": _icc_xyz(_D50)}
        if self.is_grey:
            tags[b"kTRC"] = curve
        else:
            columns = (_adaptation(_white(self.primaries), _D50) @ _xyz(self.primaries)).T
            tags |= {name + b"XYZ": _icc_xyz(column) for name, column in zip((b"r", b"g", b"b"), columns, strict=True)}
            tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
        table, body = struct.pack(">I", len(tags)), b""
        for name, content in tags.items():
            table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(content))
            body += content + bytes(-len(content) % 4)
        head = bytearray(128)
        head[:4] = struct.pack(">I", 128 + len(table) + len(body))
        head[8:24] = b"\x02\x40\0\0mntr" + (b"GRAY" if self.is_grey else b"RGB ") + b"XYZ "
        head[36:40], head[68:80] = b"acsp", _icc_xyz(_D50)[8:]
        return bytes(head) + table + body


def srgb_light(values: Array) -> Array:
    """IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((np.maximum(values, 0) + 0.055) / 1.055) ** 2.4)


def srgb_values(light: Array) -> Array:
    """Its inverse, for light in [0, 1]."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _power(values: Array, exponent: float) -> Array:
    return values if exponent == 1 else np.maximum(values, 0) ** exponent


def _white(primaries: tuple[float, ...]) -> Array:
    x, y = primaries[6:]
    return np.array([x / y, 1, (1 - x - y) / y])


def _xyz(primaries: tuple[float, ...]) -> Array:
    """From linear light in the primaries to CIE XYZ."""
    corners = np.array([(x, y, 1 - x - y) for x, y in zip(primaries[:6:2], primaries[1:6:2], strict=True)]).T
    return corners * np.linalg.inv(corners).dot(_white(primaries))


def _adaptation(white: Array, other: Array) -> Array:
    return np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ other) / (_BRADFORD @ white)) @ _BRADFORD


@cache
def _matrix(primaries: tuple[float, ...]) -> Array:
    return np.linalg.inv(_xyz(SRGB)) @ _adaptation(_white(primaries), _white(SRGB)) @ _xyz(primaries)


def _icc_xyz(values: Array) -> bytes:
    return b"XYZ \0\0\0\0" + np.rint(np.asarray(values) * 65536).astype(">i4").tobytes()


def _icc_text(kind: bytes) -> bytes:
    return b"text\0\0\0\0x\0" if kind == b"text" else b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78)


def _icc_table(space: Space) -> bytes:
    levels = np.linspace(0, 1, 1024)
    values = srgb_light(levels) if space.exponent is None else _power(levels, space.exponent)
    return b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.rint(values * 65535).astype(">u2").tobytes()


def _icc_formula(space: Space) -> bytes:
    if space.exponent is None:
        numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        return b"para\0\0\0\0\0\x03\0\0" + struct.pack(">5i", *(round(number * 65536) for number in numbers))
    if space.exponent == 1:
        return b"curv\0\0\0\0\0\0\0\0"
    return b"curv\0\0\0\0\0\0\0\x01" + struct.pack(">H", round(space.exponent * 256)) + bytes(2)
