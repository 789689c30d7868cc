"""Tools that paint every synthetic foreground: fields of noise, light, colours, and two layers of strokes.

Coordinates are (x, y) in pixels of the finished cut-out; colours are RGB, 0 to 255.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2alpha.data.cutout import Cutout

FRACTION_BITS = 4  # cv2 draws at 1/16 pixel

NATURAL_COLOURS = (  # black, browns, teddy bear, blond, cream, white, greys, red, orange
    (24, 20, 18), (58, 38, 26), (104, 70, 44), (150, 104, 62), (188, 142, 84), (214, 178, 116), (236, 222, 190),
    (246, 244, 240), (128, 126, 124), (72, 72, 76), (176, 84, 36), (222, 96, 24),
)  # fmt: skip
TOY_COLOURS = (
    (240, 90, 150), (250, 120, 30), (150, 200, 70), (70, 120, 220), (140, 80, 190), (220, 40, 40), (250, 210, 60),
    (40, 170, 170),
)  # fmt: skip
SKIN_COLOURS = (
    (236, 196, 168), (214, 160, 124), (190, 130, 90), (150, 98, 66), (104, 66, 46), (226, 170, 110),
)  # fmt: skip
PLANT_COLOURS = (
    (70, 120, 40), (110, 150, 60), (50, 90, 50), (150, 160, 70), (120, 90, 60), (90, 100, 80), (180, 150, 90),
    (60, 110, 80),
)  # fmt: skip
FLOWER_COLOURS = (
    (225, 80, 20), (245, 190, 40), (220, 60, 90), (240, 230, 230), (150, 90, 170), (200, 40, 30), (120, 70, 90),
)  # fmt: skip

Colours = NDArray[np.floating[Any]]
Points = NDArray[np.floating[Any]]
Floats = NDArray[np.floating[Any]]
Field = NDArray[np.float32]


def pick_colour(rng: np.random.Generator, choices: tuple[tuple[int, int, int], ...], spread: float = 14.0) -> Colours:
    """Draw one colour near one of `choices`; (3,) float, 0 to 255."""
    colour = np.asarray(choices[int(rng.integers(len(choices)))], np.float32)
    return np.clip(colour * rng.uniform(0.8, 1.15) + rng.normal(0.0, spread, 3), 4, 252).astype(np.float32)


def pick_hair_colour(rng: np.random.Generator) -> Colours:
    """Draw a colour of hair or fur: mostly natural, sometimes that of a toy."""
    return pick_colour(rng, TOY_COLOURS if rng.random() < 0.25 else NATURAL_COLOURS)


def vary(rng: np.random.Generator, colour: Colours, num: int, *, light: float = 0.16, hue: float = 6.0) -> Colours:
    """Make `num` colours near one: brightness varies by `light` (relative), the channels by `hue`; (num, 3)."""
    gain = np.exp(rng.normal(0.0, light, (num, 1)))
    return np.clip(colour * gain + rng.normal(0.0, hue, (num, 3)), 2, 253).astype(np.float32)


def enlarge(field: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Enlarge a coarse field smoothly; cubic only as far as the eye can tell, since that is slow."""
    low = max(size // 4, field.shape[0])
    middle = cv2.resize(field, (low, low), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(middle, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def grain(rng: np.random.Generator, size: int, sigma: float = 0.0) -> NDArray[np.float32]:
    """Fine noise of standard deviation 1, (size, size), repeated from a smaller tile, blurred by `sigma` pixels."""
    side = min(size, 160)
    tile = rng.standard_normal((side, side), dtype=np.float32)
    if sigma > 0:
        tile = np.asarray(cv2.GaussianBlur(tile, (0, 0), sigma), np.float32)
        tile *= np.float32(1 / max(float(tile.std()), 1e-6))
    repeats = -(-size // side)
    return np.ascontiguousarray(np.tile(tile, (repeats, repeats))[:size, :size])


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> NDArray[np.float32]:
    """A smooth random field, (size, size), standard deviation about 1, with `cells` bumps per side."""
    return enlarge(rng.standard_normal((cells + 1, cells + 1), dtype=np.float32), size)


def fractal_noise(rng: np.random.Generator, size: int, octaves: int, cells: int = 2) -> NDArray[np.float32]:
    """Noise of several scales, each of half the last one's amplitude, (size, size), about [-2, 2]."""
    field = smooth_noise(rng, size, cells)
    for octave in range(1, octaves):
        field += smooth_noise(rng, size, min(cells * 2**octave, size)) * np.float32(0.55**octave)
    return field


def sample(field: NDArray[np.float32], points: Points) -> NDArray[np.float32]:
    """Read a (size, size) field at (N, 2) points, clamped to its inside; (N,)."""
    x = np.clip(points[:, 0].astype(np.intp), 0, field.shape[1] - 1)
    y = np.clip(points[:, 1].astype(np.intp), 0, field.shape[0] - 1)
    return np.asarray(field[y, x], np.float32)


def light_field(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """A low-frequency gain of brightness with a random gradient, (size, size), about [0.4, 1.4]."""
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.4)
    axis = np.linspace(-1, 1, 9, dtype=np.float32)
    gain = 1 + strength * (np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None])
    gain = gain + rng.normal(0.0, rng.uniform(0.02, 0.14), (9, 9))
    return enlarge(np.clip(gain, 0.35, 1.45).astype(np.float32), size)


def shade(colour: NDArray[np.uint8], gain: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Multiply (h, w, 3) colours by an (h, w) gain."""
    return np.asarray(cv2.multiply(colour, cv2.merge([gain, gain, gain]), dtype=cv2.CV_8U), np.uint8)


def tint(texture: NDArray[np.uint8], colour: Colours, contrast: float) -> NDArray[np.uint8]:
    """Give a photo one hue: its brightness about its own mean, times `contrast`, modulates `colour`."""
    grey = np.asarray(cv2.cvtColor(texture, cv2.COLOR_RGB2GRAY), np.uint8)
    mean = float(cv2.mean(grey)[0]) + 1.0
    gain = np.clip(1 + contrast * (np.arange(256, dtype=np.float32) - mean) / max(mean, 64.0), 0.1, 2.0)
    table = np.clip(gain[:, None] * colour[None, :], 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(cv2.merge([grey, grey, grey]), table[None]), np.uint8)


def fixed_point(points: Points, scale: int = 1) -> NDArray[np.int32]:
    """Turn points into the whole numbers that cv2 draws with `FRACTION_BITS`."""
    # cv2 puts coordinate 0 in a pixel's centre, so enlarging moves the origin by half of a pixel
    # far outside of the picture drawing only costs time
    inside = np.clip(points * scale + (scale - 1) * 0.5, -4000, 8000)
    return np.asarray(np.rint(inside * 2**FRACTION_BITS), np.int32)


def fill_polygon(layer: NDArray[np.uint8], points: Points, value: tuple[float, ...] | tuple[int, ...] | int) -> None:
    """Fill one closed polygon, (N, 2), into `layer` with a smooth edge."""
    cv2.fillPoly(layer, [fixed_point(points)], value, cv2.LINE_AA, FRACTION_BITS)


def plain(size: int, colour: Colours) -> NDArray[np.uint8]:
    """One colour everywhere, (size, size, 3)."""
    base = np.empty((size, size, 3), np.uint8)
    base[:] = np.clip(colour, 0, 255).astype(np.uint8)
    return base


class StrandLayers:
    """Two layers of twice the size that strands are drawn on: solid ones and, since cv2 has no opacity, faint ones.

    Each pixel holds straight RGB and alpha. A stroke moves the four values towards its own by its coverage, so alpha
    accumulates as that of layers one over another, and colours fade to the base where alpha does.
    """

    scale = 2

    def __init__(self, base: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None):
        """Start from what lies below.

        Args:
            base: (size, size, 3) colours that show through, or one colour (3,) with `alpha` given.
            alpha: (size, size) what is covered already.
        """
        size = base.shape[0]
        under = np.zeros((size, size), np.uint8) if alpha is None else alpha
        pixels = cv2.merge([base, under])
        wide = size * self.scale
        self.solid = np.asarray(cv2.resize(pixels, (wide, wide), interpolation=cv2.INTER_LINEAR), np.uint8)
        self.faint: NDArray[np.uint8] | None = None
        self._base = base

    def draw(
        self, points: Points, colour: Colours, thickness: int = 1, opacity: float = 1.0, *, is_inner: bool = False
    ) -> None:
        """Draw polylines of one colour.

        Args:
            points: (N, P, 2) in the cut-out's pixels.
            colour: (3,) RGB.
            thickness: 1 makes about 0.75 of the cut-out's pixels; each further step half of a pixel.
            opacity: (0, 1]; below 1 for strands thinner than that.
            is_inner: The lines end on what is solid already or get covered, so that a rough edge will do; faster.
        """
        layer = self.solid if opacity >= 1 else self._faint_layer()
        value = (float(colour[0]), float(colour[1]), float(colour[2]), 255.0 * min(opacity, 1.0))
        lines = fixed_point(points, self.scale)
        line_type = cv2.LINE_8 if is_inner else cv2.LINE_AA
        cv2.polylines(layer, list(lines), False, value, thickness, line_type, FRACTION_BITS)

    def stamp(self, colour: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> None:
        """Put a solid body over what is drawn so far: (size, size, 3) colours, (size, size) alpha."""
        wide = (self.solid.shape[1], self.solid.shape[0])
        inside = cv2.threshold(cv2.resize(alpha, wide, interpolation=cv2.INTER_LINEAR), 127, 255, cv2.THRESH_BINARY)[1]
        pixels = cv2.cvtColor(colour, cv2.COLOR_RGB2RGBA)  # alpha becomes 255
        cv2.copyTo(cv2.resize(pixels, wide, interpolation=cv2.INTER_LINEAR), inside, self.solid)

    def fill(self, points: Points, colour: Colours) -> None:
        """Fill one closed polygon, (N, 2), solidly."""
        value = (float(colour[0]), float(colour[1]), float(colour[2]), 255.0)
        cv2.fillPoly(self.solid, [fixed_point(points, self.scale)], value, cv2.LINE_AA, FRACTION_BITS)

    def _faint_layer(self) -> NDArray[np.uint8]:
        if self.faint is None:
            self.faint = self.solid.copy()
            self.faint[..., 3] = 0
        return self.faint

    def merge(self) -> Cutout:
        """Average both layers down to the cut-out's size and put the faint one over the solid one."""
        size = self._base.shape[0]
        solid = np.asarray(cv2.resize(self.solid, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
        colour = np.asarray(cv2.cvtColor(solid, cv2.COLOR_RGBA2RGB), np.uint8)
        alpha = np.asarray(cv2.extractChannel(solid, 3), np.uint8)
        if self.faint is None:
            return Cutout(colour, alpha)
        faint = np.asarray(cv2.resize(self.faint, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
        over = np.asarray(cv2.extractChannel(faint, 3), np.uint8)
        left = cv2.multiply(cv2.bitwise_not(alpha), cv2.bitwise_not(over), scale=1 / 255)
        union = np.asarray(cv2.bitwise_not(left), np.uint8)
        weight = np.asarray(cv2.divide(over, np.maximum(union, 1), dtype=cv2.CV_32F), np.float32)
        mixed = cv2.blendLinear(colour, cv2.cvtColor(faint, cv2.COLOR_RGBA2RGB), 1 - weight, weight)
        return Cutout(np.asarray(mixed, np.uint8), union)


def lit(rng: np.random.Generator, layers: StrandLayers) -> Cutout:
    """Flatten the layers and light the whole unevenly."""
    flat = layers.merge()
    return Cutout(shade(flat.colour, light_field(rng, flat.alpha.shape[0])), flat.alpha)
