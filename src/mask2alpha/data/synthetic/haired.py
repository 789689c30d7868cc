"""Bodies with fur, hair or feathers: strands on the inside as well as over the edge."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2alpha.data.cutout import Cutout, TextureSource
from mask2alpha.data.synthetic.bodies import Body, make_body
from mask2alpha.data.synthetic.canvas import (
    Colours,
    Points,
    StrandLayers,
    grain,
    lit,
    pick_hair_colour,
    plain,
    sample,
    shade,
    smooth_noise,
    tint,
    vary,
)
from mask2alpha.data.synthetic.edges import extend_colour, fuzzy, sharp
from mask2alpha.data.synthetic.strands import Growth, along_path, draw_strands, grow


def _outward(alpha: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Depth inside the body, 0 to 1, and the direction that leads outwards (x, y), each (size, size)."""
    size = alpha.shape[0]
    low = size // 4
    small = np.asarray(cv2.resize(alpha, (low, low), interpolation=cv2.INTER_AREA), np.float32) / 255
    depth = cv2.GaussianBlur(small, (0, 0), low / 14)
    fields = [depth, -cv2.Sobel(depth, cv2.CV_32F, 1, 0), -cv2.Sobel(depth, cv2.CV_32F, 0, 1)]
    wide = [np.asarray(cv2.resize(field, (size, size), interpolation=cv2.INTER_LINEAR), np.float32) for field in fields]
    return wide[0], wide[1], wide[2]


def _roots(rng: np.random.Generator, alpha: NDArray[np.uint8], num: int) -> Points:
    """Random points of a body's inside; (num, 2)."""
    inside = np.flatnonzero(alpha > 127)
    if len(inside) == 0:
        return np.zeros((0, 2), np.float32)
    chosen = inside[rng.integers(len(inside), size=num)]
    points = np.stack([chosen % alpha.shape[1], chosen // alpha.shape[1]], axis=1)
    return np.asarray(points + rng.uniform(-0.5, 0.5, (num, 2)), np.float32)


def _palette(rng: np.random.Generator, colour: Colours, photo: NDArray[np.uint8] | None = None) -> Colours:
    """Colours of one pelt: variations of one, sometimes with a second one or those of a photo."""
    colours = vary(rng, colour, 20, light=rng.uniform(0.06, 0.3), hue=rng.uniform(2, 10))
    choice = rng.random()
    if choice < 0.25:
        colours[:6] = vary(rng, pick_hair_colour(rng), 6, light=0.12)
    elif choice < 0.45 and photo is not None:
        pixels = photo.reshape(-1, 3)[rng.integers(photo.shape[0] * photo.shape[1], size=10)]
        colours[:10] = pixels
    return colours


NEUTRAL = 150.0  # grey of a coat before it takes its colours from the surface below


def furry(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A plush animal: strands all over, combed along a smooth field, over the edge as on the inside."""
    body = make_body(rng, size, textures, "figure" if rng.random() < 0.55 else "thing")
    pelt = pick_hair_colour(rng)
    unit = size / 384
    length = unit * np.exp(rng.uniform(np.log(5), np.log(32)))
    surface = body.colour if rng.random() < 0.3 else tint(body.colour, pelt, rng.uniform(0.3, 1.0))
    is_coat = rng.random() < 0.7  # strands take the colours of what they stand on
    surface = extend_colour(surface, body.alpha)
    base = np.full_like(surface, round(NEUTRAL * 0.85)) if is_coat else surface
    rough = 1 + np.float32(rng.uniform(0.05, 0.25)) * grain(rng, size, rng.uniform(0.5, 1.2))
    edge = fuzzy(rng, body.alpha) if rng.random() < 0.4 else sharp(rng, body.alpha)
    layers = StrandLayers(shade(base, rough.astype(np.float32)), edge)
    num = int(np.clip(1.8 * np.count_nonzero(body.alpha) / length, 800, 3000))
    roots = _roots(rng, body.alpha, num)
    if len(roots) == 0:
        return layers.merge()
    points = _grow_pelt(rng, body, roots, length)
    grey = np.full(3, NEUTRAL, np.float32)
    palette = (
        vary(rng, grey, 20, light=rng.uniform(0.06, 0.3), hue=3.0) if is_coat else _palette(rng, pelt, body.colour)
    )
    draw_strands(
        layers, rng, points, palette, tip_gain=rng.uniform(1.0, 1.3), root_gain=rng.uniform(0.6, 1.0),
        width=unit * rng.uniform(0.6, 1.1) if rng.random() < 0.8 else rng.uniform(1.2, 1.9),
        tip_opacity=rng.uniform(0.4, 0.9), num_batches=36,
    )  # fmt: skip
    if rng.random() < 0.6:  # a halo of thin hairs that stand out of the rest
        band = cv2.subtract(body.alpha, cv2.erode(body.alpha, np.ones((3, 3), np.uint8), iterations=3))
        roots = _roots(rng, np.asarray(band, np.uint8), int(rng.integers(100, 600)))
        if len(roots):
            points = _grow_pelt(rng, body, roots, length * rng.uniform(1.0, 2.0))
            draw_strands(layers, rng, points, palette, width=rng.uniform(0.2, 0.6), tip_opacity=0.5, num_batches=12)
    flat = lit(rng, layers)
    if not is_coat:
        return flat
    coat = cv2.GaussianBlur(surface, (0, 0), max(0.5, length / 6))
    return Cutout(np.asarray(cv2.multiply(flat.colour, coat, scale=1 / NEUTRAL), np.uint8), flat.alpha)


def _grow_pelt(rng: np.random.Generator, body: Body, roots: Points, length: float) -> Points:
    """Grow fur outwards and along one combing direction; strands that lie below others come first."""
    size, num = body.alpha.shape[0], len(roots)
    depth, out_x, out_y = _outward(body.alpha)
    x, y = sample(out_x, roots), sample(out_y, roots)
    norm = np.maximum(np.hypot(x, y), 1e-4)
    comb, side = rng.uniform(0, 1.2), rng.uniform(0, 2 * np.pi)
    steer = sample(smooth_noise(rng, size, int(rng.integers(2, 7))), roots) * rng.uniform(0.2, 0.9)
    angles = np.arctan2(y / norm + comb * np.sin(side), x / norm + comb * np.cos(side)) + steer
    angles = angles + rng.normal(0, rng.uniform(0.1, 0.5), num)
    lengths = length * rng.uniform(0.5, 1.2, num)
    lengths = lengths * np.clip(1 + 0.5 * sample(smooth_noise(rng, size, 3), roots), 0.25, 1.8)
    downstream = roots[:, 0] * np.cos(side) + roots[:, 1] * np.sin(side)
    order = np.argsort(sample(depth, roots) - comb * downstream / size * 0.7 + rng.normal(0, 0.08, num))
    growth = Growth(
        num_points=5,
        bend=rng.uniform(0.1, 0.8),
        wobble=rng.uniform(0.02, 0.3),
        curl=rng.uniform(0.5, 2.0) if rng.random() < 0.2 else 0.0,
        gravity=rng.uniform(0, 0.4),
        clump=rng.uniform(0.0, 0.7),
        num_clumps=min(num // 8, 150),
    )
    return grow(rng, roots[order], angles[order], lengths[order], growth)


def _hair_style(rng: np.random.Generator, style: str) -> tuple[Growth, float, float]:
    """How hair of a named style grows, how long it is in radii of the head, and how far it stands up."""
    clump = rng.uniform(0.2, 0.9)
    if style == "long":
        onset = rng.uniform(0.15, 0.7)
        growth = Growth(
            num_points=10, bend=rng.uniform(0.1, 0.4), wobble=0.06, gravity=rng.uniform(0.6, 1.0), gravity_onset=onset,
            clump=clump, curl=rng.uniform(0, 0.5), curl_turns=1.0,
        )  # fmt: skip
        return growth, rng.uniform(1.4, 4.0), rng.uniform(-1.0, 0.0)
    if style == "curly":
        growth = Growth(
            num_points=14, bend=0.5, wobble=0.15, curl=rng.uniform(0.8, 2.2), curl_turns=rng.uniform(1.5, 4.0),
            gravity=rng.uniform(0.1, 0.6), clump=clump * 0.7, num_clumps=60,
        )  # fmt: skip
        return growth, rng.uniform(0.9, 2.4), 0.3
    if style == "wild":
        growth = Growth(num_points=8, bend=rng.uniform(0.2, 0.7), wobble=rng.uniform(0.05, 0.2), clump=clump)
        return growth, rng.uniform(1.0, 2.4), rng.uniform(0.7, 1.0)
    return Growth(num_points=6, bend=0.5, wobble=0.1, gravity=0.2, clump=clump * 0.6), rng.uniform(0.3, 0.8), 0.4


def haired(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A head with hair that falls, curls, stands up or is short; a dense mass with sparse, flying tips."""
    style = str(rng.choice(["long", "curly", "wild", "short"], p=[0.4, 0.2, 0.25, 0.15]))
    body = make_body(rng, size, textures, "bust" if rng.random() < 0.6 else "figure")
    growth, reach, upward = _hair_style(rng, style)
    colour = pick_hair_colour(rng)
    palette = _palette(rng, colour)
    x, y, r = body.head
    behind, before = _hair_roots(rng, body, upward, rng.uniform(0.1, 0.9))
    layers = StrandLayers(plain(size, colour * rng.uniform(0.6, 0.95)))  # darker hair shows between the strands
    lean, width = rng.normal(0, 0.35), rng.uniform(0.45, 1.2)
    for roots, tone in ((behind, 0.8), (before, 1.0)):
        away = np.arctan2(roots[:, 1] - y, roots[:, 0] - x)
        up = -np.pi / 2 + lean
        turn = np.angle(np.exp(1j * (up - away)))
        angles = away + upward * turn * 0.75 + rng.normal(0, 0.25, len(roots))
        lengths = r * reach * rng.uniform(0.6, 1.15, len(roots))
        points = grow(rng, roots, angles.astype(np.float32), lengths.astype(np.float32), growth)
        _draw_mass(layers, rng, points[:: max(1, len(points) // 90)], palette * np.float32(0.6 * tone), r)
        tip_gain, root_gain, opacity = rng.uniform(0.9, 1.3), rng.uniform(0.5, 1.0), rng.uniform(0.4, 0.8)
        draw_strands(
            layers, rng, points, palette * np.float32(tone),
            tip_gain=tip_gain, root_gain=root_gain, width=width, tip_opacity=opacity, num_batches=30,
        )  # fmt: skip
        if roots is behind:
            layers.stamp(body.colour, body.alpha)
    _fly_away(layers, rng, body, palette, r * reach)
    return lit(rng, layers)


def _hair_roots(rng: np.random.Generator, body: Body, upward: float, fringe: float) -> tuple[Points, Points]:
    """Roots behind the head and on its upper part, each (N, 2), the outer ones first."""
    x, y, r = body.head
    num = int(rng.integers(350, 700))
    turn = rng.uniform(-np.pi * 1.05, np.pi * 0.05, num)
    away = r * np.sqrt(rng.uniform(0.2, 0.9, num))
    behind = np.stack([x + away * np.cos(turn), y + 1.05 * away * np.sin(turn)], 1)
    num = int(rng.integers(400, 800))
    turn = rng.uniform(-np.pi * 0.95, -np.pi * 0.05, num)
    away = r * np.sqrt(rng.uniform(1 - fringe, 1.0, num)) * rng.uniform(0.9, 1.0)
    before = np.stack([x + away * np.cos(turn), y + 1.1 * away * np.sin(turn)], 1)
    before = before[np.argsort(-away + rng.normal(0, r * 0.1, num))]
    return behind.astype(np.float32), before.astype(np.float32)


def _draw_mass(layers: StrandLayers, rng: np.random.Generator, points: Points, palette: Colours, r: float) -> None:
    """Thick dark locks below the strands make the inner part of hair opaque; they stop before the tips."""
    corners = points.shape[1]
    stop = max(2, int(corners * rng.uniform(0.45, 0.8)))
    for batch in np.array_split(np.arange(len(points)), 6):
        colour = np.clip(palette[int(rng.integers(len(palette)))], 0, 255)
        half = max(2, stop // 2 + 1)
        layers.draw(points[batch, :stop], colour, max(2, int(r * 0.06)))
        layers.draw(points[batch, :half], colour, max(3, int(r * 0.16)), is_inner=True)


def _fly_away(layers: StrandLayers, rng: np.random.Generator, body: Body, palette: Colours, length: float) -> None:
    """A few thin hairs that leave the mass in their own ways."""
    num = int(rng.integers(10, 90))
    x, y, r = body.head
    turn = rng.uniform(-np.pi * 1.1, np.pi * 0.1, num)
    away = r * rng.uniform(0.6, 1.3, num)
    roots = np.stack([x + away * np.cos(turn), y + away * np.sin(turn)], 1).astype(np.float32)
    growth = Growth(num_points=12, bend=1.0, wobble=0.2, gravity=rng.uniform(0, 0.6))
    angles = (turn + rng.normal(0, 0.7, num)).astype(np.float32)
    points = grow(rng, roots, angles, (length * rng.uniform(0.3, 1.1, num)).astype(np.float32), growth)
    draw_strands(layers, rng, points, palette, width=rng.uniform(0.25, 0.75), tip_opacity=0.5, num_batches=10)


def feathered(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A body with feathers, or feathers alone: shafts with fine barbs and gaps."""
    body = make_body(rng, size, textures, "thing")
    is_alone = rng.random() < 0.35
    depth, out_x, out_y = _outward(body.alpha)
    colour = pick_hair_colour(rng)
    under = np.zeros_like(body.alpha) if is_alone else fuzzy(rng, body.alpha)
    layers = StrandLayers(extend_colour(body.colour, body.alpha), under)
    num = int(rng.integers(2, 7)) if is_alone else int(rng.integers(12, 40))
    roots = _roots(rng, body.alpha, num)
    if len(roots) == 0:
        return layers.merge()
    if is_alone:
        roots = roots * 0.3 + np.float32(0.35 * size) + rng.normal(0, 0.1 * size, (num, 2)).astype(np.float32)
    roots = roots[np.argsort(sample(depth, roots))]
    angles = np.arctan2(sample(out_y, roots), sample(out_x, roots)) + rng.normal(0, 0.4, num)
    lengths = size * rng.uniform(0.12, 0.3, num) * (2.0 if is_alone else 1.0)
    shafts = grow(
        rng, roots, angles.astype(np.float32), lengths.astype(np.float32), Growth(num_points=24, bend=0.6, wobble=0.03)
    )
    palette = _palette(rng, colour, body.colour)
    for shaft, length in zip(shafts, lengths, strict=True):
        _draw_feather(layers, rng, shaft, float(length), palette)
    return lit(rng, layers)


def _draw_feather(
    layers: StrandLayers, rng: np.random.Generator, shaft: Points, length: float, palette: Colours
) -> None:
    """Draw one feather along `shaft`, (P, 2)."""
    per_step = max(2, int(length / 24 / 1.1))
    place = np.sort(rng.uniform(0.12, 1.0, per_step * 24)) * (len(shaft) - 1)
    roots, heading = along_path(shaft, place)
    share = place / (len(shaft) - 1)
    width = length * rng.uniform(0.1, 0.26) * np.sin(np.pi * np.clip(share, 0, 1) ** 0.8 * 0.93 + 0.15)
    ragged = np.repeat(rng.uniform(0.75, 1.0, len(place) // 8 + 1), 8)[: len(place)]
    colour = palette[int(rng.integers(len(palette)))]
    tones = vary(rng, colour, 6, light=0.1, hue=3.0)
    opening = rng.uniform(0.4, 0.9)
    growth = Growth(num_points=4, bend=0.25, wobble=0.05)
    for side in (-1, 1):
        angles = heading + side * (opening + rng.normal(0, rng.uniform(0.03, 0.25), len(place)))
        barbs = grow(
            rng, roots.astype(np.float32), angles.astype(np.float32), (width * ragged).astype(np.float32), growth
        )
        draw_strands(layers, rng, barbs, tones, width=rng.uniform(0.7, 1.2), tip_opacity=0.7, num_batches=3)
    layers.draw(shaft[None], np.clip(colour * rng.uniform(0.5, 1.5), 0, 255), 2)
