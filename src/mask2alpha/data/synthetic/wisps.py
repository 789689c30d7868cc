"""Hair as photos show it at arm's length: thousands of strands thinner than a pixel, in depth, in a hard light.

In such hair the brightness of neighbouring strands differs far more than their alpha: lit strands lie beside shaded
ones, a highlight runs across them, the depth is dark. Alpha falls from one to nothing over a wide band, for strands of
all lengths overlap there and none of them is opaque. A network that has not seen this takes bright strands for the
object and the dark hair between them for the background.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mask2alpha.data.cutout import Cutout, TextureSource
from mask2alpha.data.synthetic.bodies import Body, make_body
from mask2alpha.data.synthetic.canvas import (
    FRACTION_BITS,
    Colours,
    Field,
    Floats,
    Points,
    StrandLayers,
    fixed_point,
    light_field,
    pick_hair_colour,
    shade,
)
from mask2alpha.data.synthetic.strands import Growth, grow

SCALE = StrandLayers.scale
"""Strands are drawn enlarged: a line of cv2 is then about 0.75 of the cut-out's pixels wide."""
NUM_PIECES = 5
"""Parts of a strand with a brightness of their own."""


class Sheet:
    """Strands of one depth. A stroke moves a pixel's colour and alpha towards its own by its coverage."""

    def __init__(self, size: int, colour: Colours) -> None:
        self.pixels = np.zeros((size * SCALE, size * SCALE, 4), np.uint8)
        self.pixels[..., :3] = np.clip(colour, 0, 255).astype(np.uint8)

    def draw(self, lines: Points, colour: Colours, opacity: float, thickness: int = 1) -> None:
        """Draw polylines (N, P, 2) of one colour and opacity; where they cross, alpha does not add up."""
        value = (float(colour[0]), float(colour[1]), float(colour[2]), 255.0 * opacity)
        cv2.polylines(self.pixels, list(fixed_point(lines, SCALE)), False, value, thickness, cv2.LINE_AA, FRACTION_BITS)

    def shrink(self) -> tuple[Field, Field]:
        """Straight colours (size, size, 3) and alpha (size, size, 1) in [0, 1], each the mean of 2 x 2 pixels."""
        side = self.pixels.shape[0] // SCALE
        small = cv2.resize(self.pixels, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
        return small[..., :3], small[..., 3:] * np.float32(1 / 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Properties that all hair of one head shares."""

    colour: Colours
    """(3,) RGB in full light."""
    reach: float
    """Usual length [px]."""
    growth: Growth
    """How strands bend."""
    upward: float
    """How far roots turn upwards (1) or downwards (-1), away from straight out of the head."""
    lean: float
    """Deviation of that upward direction from the vertical [rad]."""
    opacity: float
    """Opacity of a strand; below 1 it is thinner than a line of cv2."""
    contrast: float
    """Standard deviation of the logarithm of the brightness of neighbouring strands."""
    darkest: float
    """Brightness of the deepest sheet, relative to the topmost one."""
    sheen: float
    """Place of the highlight along the strands, from 0 (root) to 1 (tip)."""
    gloss: float
    """How much brighter the highlight is than the rest."""


def wispy(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A head under wide soft hair: sheets of strands behind it and before it."""
    body = make_body(rng, size, textures, "bust" if rng.random() < 0.7 else "figure")
    style = _draw_style(rng, body.head[2])
    num_sheets = int(rng.integers(4, 8))
    num_behind = int(rng.integers(0, num_sheets)) if rng.random() < 0.75 else 0
    num_strands = int(rng.integers(90, 420))
    colour = np.zeros((size, size, 3), np.float32) + np.asarray(style.colour * style.darkest, np.float32)
    alpha = np.zeros((size, size, 1), np.float32)
    for depth in range(num_sheets):
        if depth == num_behind:
            solid = body.alpha.astype(np.float32)[..., None] * np.float32(1 / 255)
            colour, alpha = _over(body.colour.astype(np.float32), solid, colour, alpha)
        tone = style.darkest + (1 - style.darkest) * depth / (num_sheets - 1)
        roots = _draw_roots(rng, body, num_strands, is_behind=depth < num_behind)
        colour, alpha = _over(*_draw_sheet(rng, style, body, roots, tone).shrink(), colour, alpha)
    lit = shade(np.clip(colour + 0.5, 0, 255).astype(np.uint8), light_field(rng, size))
    return Cutout(lit, np.clip(alpha[..., 0] * 255 + 0.5, 0, 255).astype(np.uint8))


def _draw_style(rng: np.random.Generator, r: float) -> Style:
    """Hair of a head of radius `r` that hangs or stands."""
    hangs = rng.random() < 0.45
    return Style(
        colour=pick_hair_colour(rng),
        reach=r * float(np.exp(rng.uniform(np.log(1.5 if hangs else 0.7), np.log(3.6 if hangs else 2.4)))),
        growth=_draw_growth(rng, hangs=hangs),
        upward=float(rng.uniform(-0.9, -0.2) if hangs else rng.uniform(-0.3, 1.0)),
        lean=float(rng.normal(0, 0.4)),
        opacity=float(rng.uniform(0.3, 1.0)),
        contrast=float(rng.uniform(0.1, 0.55)),
        darkest=float(rng.uniform(0.25, 0.9)),
        sheen=float(rng.uniform(0.2, 0.7)),
        gloss=float(rng.uniform(0.0, 1.6)),
    )


def _draw_growth(rng: np.random.Generator, *, hangs: bool) -> Growth:
    return Growth(
        num_points=2 * NUM_PIECES + 1,
        bend=float(rng.uniform(0.1, 0.4 if hangs else 0.8)),
        wobble=float(rng.uniform(0.02, 0.12)),
        curl=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.4 else 0.0,
        curl_turns=float(rng.uniform(0.7, 1.6)),
        gravity=float(rng.uniform(0.7, 1.0)) if hangs else float(rng.uniform(0.0, 0.7)),
        gravity_onset=float(rng.uniform(0.15, 0.6)) if hangs else float(rng.uniform(0.7, 1.8)),
        clump=float(rng.uniform(0.1, 0.8)),
        num_clumps=int(rng.integers(8, 50)),
    )


def _draw_roots(rng: np.random.Generator, body: Body, num: int, *, is_behind: bool) -> Points:
    """Roots on the head, (num, 2): anywhere on its disc, or on its upper half where hair lies before a face."""
    x, y, r = body.head
    widest, least = (1.1, 0.05) if is_behind else (0.95, 0.4)
    turn = rng.uniform(-np.pi * widest, np.pi * (widest - 1), num)
    away = r * np.sqrt(rng.uniform(least, 1.0, num)) * rng.uniform(0.85, 1.0)
    return np.stack([x + away * np.cos(turn), y + 1.08 * away * np.sin(turn)], 1).astype(np.float32)


def _draw_sheet(rng: np.random.Generator, style: Style, body: Body, roots: Points, tone: float) -> Sheet:
    """Draw the hair that grows from `roots`, (N, 2), at brightness `tone`."""
    x, y, r = body.head
    num = len(roots)
    away = np.arctan2(roots[:, 1] - y, roots[:, 0] - x)
    turn = np.angle(np.exp(1j * (-np.pi / 2 + style.lean - away)))
    angles = away + style.upward * 0.75 * turn + rng.normal(0, rng.uniform(0.1, 0.5), num)
    lengths = (style.reach * np.exp(rng.normal(-0.25, rng.uniform(0.2, 0.7), num))).clip(0, 3.5 * r)
    strands = grow(rng, roots, angles.astype(np.float32), lengths.astype(np.float32), style.growth)
    sheet = Sheet(body.alpha.shape[0], style.colour * np.float32(tone))
    if rng.random() < 0.7:
        _draw_undercoat(sheet, rng, strands, style.colour * np.float32(0.7 * tone), r)
    gains = _gains_along(rng, style.sheen + float(rng.normal(0, 0.05)), style.gloss)
    for batch in np.array_split(np.arange(num), 16):
        light = tone * float(np.exp(rng.normal(0.0, style.contrast)))
        own = np.clip(style.colour + rng.normal(0, 5, 3), 3, 250) * light
        opacity = float(np.clip(style.opacity * rng.uniform(0.5, 1.3), 0.12, 1.0))
        for piece, gain in enumerate(gains):
            fading = 0.6 if piece == NUM_PIECES - 1 else 1.0  # what tapering below a pixel looks like
            part = strands[batch, 2 * piece : 2 * piece + 3]
            sheet.draw(part, np.clip(own * gain, 0, 255), opacity * fading)
    return sheet


def _gains_along(rng: np.random.Generator, sheen: float, gloss: float) -> Floats:
    """Brightness of each piece from root to tip: dark at the root, a highlight somewhere."""
    place = (np.arange(NUM_PIECES) + 0.5) / NUM_PIECES
    highlight = gloss * np.exp(-(((place - sheen) / rng.uniform(0.1, 0.3)) ** 2))
    root = 1 - rng.uniform(0.0, 0.6) * np.exp(-place / 0.2)
    return np.asarray(root * (1 + highlight), np.float32)


def _draw_undercoat(sheet: Sheet, rng: np.random.Generator, strands: Points, colour: Colours, r: float) -> None:
    """Broad faint locks along the shorter strands, so that the hair closes towards the head."""
    lengths = np.linalg.norm(strands[:, -1] - strands[:, 0], axis=1)
    chosen = strands[lengths <= np.median(lengths)][:60]
    for share, opacity in ((rng.uniform(0.4, 0.9), 0.25), (rng.uniform(0.2, 0.5), 0.8)):
        stop = max(2, round(float(share) * strands.shape[1]))
        width = max(2, round(r * float(rng.uniform(0.04, 0.14))))
        sheet.draw(chosen[:, :stop], np.clip(colour, 0, 255), opacity, width)


def _over(colour: Field, alpha: Field, below: Field, below_alpha: Field) -> tuple[Field, Field]:
    """Put straight colours with alpha over others; where both are clear the lower colours stay."""
    union = alpha + (1 - alpha) * below_alpha
    return below + (colour - below) * np.minimum(alpha / np.maximum(union, 1e-4), 1), union
