"""Colour spaces that users name, because a file does not say in which its numbers are.

Sources: ACES S-2014-004 (ACEScg) and S-2016-001 (ACEScct); ARRI, "ALEXA LogC Curve", for LogC3 at EI 800, and ARRI Wide
Gamut 3; Sony, "Technical Summary for S-Gamut3.Cine/S-Log3 and S-Gamut3/S-Log3". Light is linear: 1 is a white sheet.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2alpha.imaging.colour import SRGB_PRIMARIES, Curve, Primaries, srgb_curve, srgb_inverse_curve

_ROWS_AT_ONCE = 256
_FAR = 2
"""Numbers of curves beyond this are damage, and would overflow."""
_AP1: Primaries = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourSpace:
    """What the numbers of a file mean."""

    primaries: Primaries | None = None
    """None: those that the file states, else sRGB's."""
    to_light: Curve | None = None
    """None: the numbers are light."""
    from_light: Curve | None = None

    def light(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Numbers, whole ones from 0 to their type's largest or floats, as linear light in the same primaries."""
        if pixels.dtype.kind == "u":
            levels = np.linspace(0, 1, np.iinfo(pixels.dtype).max + 1)
            table = levels if self.to_light is None else self.to_light(levels)
            return np.asarray(table.astype(np.float32)[pixels])
        if self.to_light is None:
            return np.asarray(pixels, np.float32)
        light = np.empty(pixels.shape, np.float32)
        for start in range(0, len(pixels), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            light[rows] = self.to_light(np.clip(pixels[rows].astype(np.float64), -_FAR, _FAR))
        return light

    def numbers(self, light: NDArray[Any]) -> NDArray[np.float32]:
        """Linear light as numbers, floats."""
        return np.asarray(light if self.from_light is None else self.from_light(light.astype(np.float64)), np.float32)


def _pieces(knee: float, above: Callable[[NDArray[np.float64]], Any], below: Curve) -> Curve:
    """One formula above the knee, another up to it."""
    return lambda x: np.where(x > knee, above(np.maximum(x, knee)), below(x))


_CCT_SLOPE, _CCT_OFFSET = 10.5402377416545, 0.0729055341958355
_A, _B, _C, _D, _E, _F = 5.555556, 0.052272, 0.247190, 0.385537, 5.367655, 0.092809
_LOGC_CUT = 0.010591
_SLOG_CUT, _SLOG_CODE = 0.01125, 171.2102946929

SPACES: Mapping[str, ColourSpace] = {
    "linear": ColourSpace(),
    "srgb": ColourSpace(
        primaries=SRGB_PRIMARIES,
        to_light=lambda x: np.sign(x) * srgb_curve(np.abs(x)),
        from_light=lambda x: np.sign(x) * srgb_inverse_curve(np.abs(x)),
    ),
    "acescg": ColourSpace(primaries=_AP1),
    "acescct": ColourSpace(
        primaries=_AP1,
        to_light=_pieces(
            0.155251141552511,
            lambda x: np.minimum(2 ** (x * 17.52 - 9.72), 65504),
            lambda x: (x - _CCT_OFFSET) / _CCT_SLOPE,
        ),
        from_light=_pieces(0.0078125, lambda x: (np.log2(x) + 9.72) / 17.52, lambda x: _CCT_SLOPE * x + _CCT_OFFSET),
    ),
    "logc": ColourSpace(
        primaries=(0.6840, 0.3130, 0.2210, 0.8480, 0.0861, -0.1020, 0.3127, 0.3290),
        to_light=_pieces(_E * _LOGC_CUT + _F, lambda x: (10 ** ((x - _D) / _C) - _B) / _A, lambda x: (x - _F) / _E),
        from_light=_pieces(_LOGC_CUT, lambda x: _C * np.log10(_A * x + _B) + _D, lambda x: _E * x + _F),
    ),
    "slog3": ColourSpace(
        primaries=(0.766, 0.275, 0.225, 0.800, 0.089, -0.087, 0.3127, 0.3290),
        to_light=_pieces(
            _SLOG_CODE / 1023,
            lambda x: 10 ** ((x * 1023 - 420) / 261.5) * 0.19 - 0.01,
            lambda x: (x * 1023 - 95) * _SLOG_CUT / (_SLOG_CODE - 95),
        ),
        from_light=_pieces(
            _SLOG_CUT,
            lambda x: (420 + np.log10((x + 0.01) / 0.19) * 261.5) / 1023,
            lambda x: (x * (_SLOG_CODE - 95) / _SLOG_CUT + 95) / 1023,
        ),
    ),
}
"""By the name that users choose it by: "logc" is LogC3 at EI 800 in Wide Gamut 3, "slog3" is in S-Gamut3.Cine."""
