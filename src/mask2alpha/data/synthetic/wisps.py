"""Hair as photographs show it at arm's length: thousands of strands thinner than a pixel, in depth, in a hard light.

In such hair the brightness of neighbouring strands differs far more than their alpha: lit strands lie beside shaded
ones, a highlight runs across them, the depth is dark. Alpha falls from one to nothing over a wide band, for strands of
all lengths overlap there and none of them is opaque. A network that has not seen this takes bright strands for the
object and the dark between them for the background.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2alpha.data.cutout import Cutout, TextureSource
from mask2alpha.data.synthetic.bodies import Body, make_body
from mask2alpha.data.synthetic.canvas import (
    Colours,
    Floats,
    Points,
    fixed_point,
    light_field,
    pick_hair_colour,
    shade,
)
from mask2alpha.data.synthetic.strands import Growth, grow

SCALE = 2
"""Strands are drawn at twice the size: a line of cv2 is about 0.75 of the cut-out's pixels wide."""
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
        cv2.polylines(self.pixels, list(fixed_point(lines, SCALE)), False, value, thickness, cv2.LINE_AA, 4)

    def shrink(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Straight colours (size, size, 3) and alpha (size, size, 1) in [0, 1], each the mean of 2 x 2 pixels."""
        side = self.pixels.shape[0] // SCALE
        small = cv2.resize(self.pixels, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
        return small[..., :3], small[..., 3:] / 255


def wispy(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A head, or a thing, under wide soft hair."""
    is_head = rng.random() < 0.75
    body = make_body(rng, size, textures, "bust" if rng.random() < 0.7 else "figure")
    colour = pick_hair_colour(rng)
    hangs = rng.random() < 0.45
    reach = body.head[2] * float(np.exp(rng.uniform(np.log(1.5 if hangs else 0.7), np.log(3.6 if hangs else 2.4))))
    growth = _draw_growth(rng, hangs=hangs)
    num_sheets = int(rng.integers(4, 8))
    num_each = int(rng.integers(90, 420))
    sheen = float(rng.uniform(0.2, 0.7))  # where the highlight lies along the strands
    gloss = float(rng.uniform(0.0, 1.6))
    contrast = float(rng.uniform(0.1, 0.55))  # between neighbouring strands
    darkest = float(rng.uniform(0.25, 0.9))  # the deepest sheet against the topmost
    opacity = float(rng.uniform(0.3, 1.0))
    upward = float(rng.uniform(-0.9, -0.2) if hangs else rng.uniform(-0.3, 1.0))
    lean = float(rng.normal(0, 0.4))
    in_front = int(rng.integers(1, num_sheets)) if is_head else num_sheets
    flat_colour = np.zeros((size, size, 3), np.float32) + np.asarray(colour * darkest, np.float32)
    flat_alpha = np.zeros((size, size, 1), np.float32)
    for depth in range(num_sheets):
        if depth == num_sheets - in_front:
            solid = body.alpha.astype(np.float32)[..., None] / 255
            flat_colour, flat_alpha = _over(body.colour.astype(np.float32), solid, flat_colour, flat_alpha)
        tone = darkest + (1 - darkest) * depth / (num_sheets - 1)
        sheet = Sheet(size, colour * np.float32(tone))
        roots = _scalp(rng, body, num_each, behind=depth < num_sheets - in_front)
        away = np.arctan2(roots[:, 1] - body.head[1], roots[:, 0] - body.head[0])
        turn = np.angle(np.exp(1j * (-np.pi / 2 + lean - away)))
        angles = (away + upward * 0.75 * turn + rng.normal(0, rng.uniform(0.1, 0.5), num_each)).astype(np.float32)
        lengths = (reach * np.exp(rng.normal(-0.25, rng.uniform(0.2, 0.7), num_each))).clip(0, 3.5 * body.head[2])
        strands = grow(rng, roots, angles, lengths.astype(np.float32), growth)
        if rng.random() < 0.7:
            _draw_undercoat(sheet, rng, strands, colour * np.float32(0.7 * tone), body.head[2])
        gains = _along(sheen + float(rng.normal(0, 0.05)), gloss, rng)
        for batch in np.array_split(np.arange(num_each), 16):
            lightness = float(np.exp(rng.normal(0.0, contrast)))
            own = np.clip(colour + rng.normal(0, 5, 3), 3, 250) * tone * lightness
            faint = float(np.clip(opacity * rng.uniform(0.5, 1.3), 0.12, 1.0))
            _draw_batch(sheet, strands[batch], own, gains, faint)
        flat_colour, flat_alpha = _over(*sheet.shrink(), flat_colour, flat_alpha)
    alpha = np.clip(flat_alpha[..., 0] * 255 + 0.5, 0, 255).astype(np.uint8)
    lit = shade(np.clip(flat_colour + 0.5, 0, 255).astype(np.uint8), light_field(rng, size))
    return Cutout(lit, alpha)


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


def _scalp(rng: np.random.Generator, body: Body, num: int, *, behind: bool) -> Points:
    """Roots on the head, (num, 2): anywhere on its disc, or on its upper half where they lie in front of a face."""
    x, y, r = body.head
    turn = rng.uniform(-np.pi * 1.1, np.pi * 0.1, num) if behind else rng.uniform(-np.pi * 0.95, -np.pi * 0.05, num)
    away = r * np.sqrt(rng.uniform(0.05 if behind else 0.4, 1.0, num)) * rng.uniform(0.85, 1.0)
    return np.stack([x + away * np.cos(turn), y + 1.08 * away * np.sin(turn)], 1).astype(np.float32)


def _along(sheen: float, gloss: float, rng: np.random.Generator) -> Floats:
    """Brightness of each piece from root to tip: dark at the root, a highlight somewhere."""
    place = (np.arange(NUM_PIECES) + 0.5) / NUM_PIECES
    highlight = gloss * np.exp(-(((place - sheen) / rng.uniform(0.1, 0.3)) ** 2))
    root = 1 - rng.uniform(0.0, 0.6) * np.exp(-place / 0.2)
    return np.asarray(root * (1 + highlight), np.float32)


def _draw_batch(sheet: Sheet, strands: Points, colour: Colours, gains: Floats, opacity: float) -> None:
    """Draw the pieces of strands (N, P, 2); the last one fades, which is what tapering below a pixel looks like."""
    for piece, gain in enumerate(gains):
        start = 2 * piece
        fading = 0.6 if piece == NUM_PIECES - 1 else 1.0
        sheet.draw(strands[:, start : start + 3], np.clip(colour * gain, 0, 255), opacity * fading)


def _draw_undercoat(sheet: Sheet, rng: np.random.Generator, strands: Points, colour: Colours, r: float) -> None:
    """Broad faint locks along the shorter strands, so that the hair closes towards the head."""
    lengths = np.linalg.norm(strands[:, -1] - strands[:, 0], axis=1)
    chosen = strands[lengths <= np.median(lengths)][:60]
    for share, opacity in ((rng.uniform(0.4, 0.9), 0.25), (rng.uniform(0.2, 0.5), 0.8)):
        stop = max(2, round(float(share) * strands.shape[1]))
        sheet.draw(chosen[:, :stop], np.clip(colour, 0, 255), opacity, max(2, round(r * float(rng.uniform(0.04, 0.14)))))


def _over(
    colour: NDArray[np.float32], alpha: NDArray[np.float32], below: NDArray[np.float32], below_alpha: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Put straight colours with alpha over others; where both are clear the lower colours stay."""
    union = alpha + (1 - alpha) * below_alpha
    weight = alpha / np.maximum(union, 1e-4)
    return below + (colour - below) * np.minimum(weight, 1), union
