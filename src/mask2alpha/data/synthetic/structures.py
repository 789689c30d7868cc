"""Foregrounds that are mostly edge: plants, nets, wicker, cables, wheels, tufts, smoke."""

from collections.abc import Callable

import cv2
import numpy as np

from mask2alpha.data.cutout import Cutout, TextureSource
from mask2alpha.data.synthetic.bodies import ALL_COLOURS, blob, make_body
from mask2alpha.data.synthetic.canvas import (
    FLOWER_COLOURS,
    NATURAL_COLOURS,
    PLANT_COLOURS,
    Colours,
    Points,
    StrandLayers,
    fractal_noise,
    light_field,
    pick_colour,
    pick_hair_colour,
    sample,
    shade,
    smooth_noise,
    tint,
    vary,
)
from mask2alpha.data.synthetic.edges import extend_colour, sharp
from mask2alpha.data.synthetic.strands import Growth, draw_strands, grow


def _plain(size: int, colour: Colours) -> np.ndarray:
    """One colour everywhere, (size, size, 3)."""
    base = np.empty((size, size, 3), np.uint8)
    base[:] = np.clip(colour, 0, 255).astype(np.uint8)
    return base


def _lit(rng: np.random.Generator, layers: StrandLayers) -> Cutout:
    flat = layers.merge()
    return Cutout(shade(flat.colour, light_field(rng, flat.alpha.shape[0])), flat.alpha)


def _draw_tube(layers: StrandLayers, rng: np.random.Generator, path: Points, colour: Colours, width: float) -> None:
    """Draw a round thing along `path`, (P, 2): a dark rim, the middle, a highlight."""
    steps = ((1.0, 0.5), (0.75, 0.85), (0.45, 1.05), (0.18, 1.3)) if width > 3 else ((1.0, 0.8), (0.4, 1.1))
    lean = rng.uniform(-0.12, 0.12, 2).astype(np.float32) * np.float32(width)
    for share, gain in steps:
        line = path[None] + lean * np.float32(1 - share)
        thickness = max(1, round(2 * width * share))
        layers.draw(line, np.clip(colour * gain, 0, 255), thickness, is_inner=share < 1 and thickness > 1)


def _ribbon(path: Points, width: float, fullness: float) -> Points:
    """The outline of a leaf along `path`, (P, 2), pointed at both ends; `fullness` 0.5 is blunt, 2 is slim."""
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], 1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-3)
    share = np.linspace(0.03, 1, len(path), dtype=np.float32)
    half = (width / 2 * np.maximum(np.sin(np.pi * share**0.8), 0) ** fullness)[:, None]
    return np.concatenate([path + normal * half, (path - normal * half)[::-1]]).astype(np.float32)


def _draw_leaf(layers: StrandLayers, rng: np.random.Generator, path: Points, width: float, colour: Colours) -> None:
    """Draw one leaf or petal: two halves of different light, veins."""
    outline = _ribbon(path, width, rng.uniform(0.5, 1.0))
    tone = np.clip(colour * rng.uniform(0.75, 1.15), 2, 253)
    layers.fill(outline, tone)
    if width > 4:
        half = np.concatenate([outline[: len(path)], path[::-1]])
        layers.fill(half, np.clip(tone * rng.uniform(0.7, 1.3), 0, 255))
        if rng.random() < 0.6:
            shares = rng.uniform(-0.8, 0.8, int(rng.integers(1, 6)))
            side = (outline[: len(path)] - path)[None]
            layers.draw(
                path[None] + side * shares[:, None, None].astype(np.float32),
                np.clip(tone * rng.uniform(0.7, 1.4), 0, 255),
            )
        layers.draw(path[None], np.clip(tone * rng.uniform(0.6, 1.5), 0, 255))


def grass(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """Tufts of grass or reeds from the lower edge."""
    colour = pick_colour(rng, PLANT_COLOURS if rng.random() < 0.7 else NATURAL_COLOURS)
    layers = StrandLayers(_plain(size, colour * np.float32(0.7)))
    num = int(rng.integers(80, 500))
    centre = rng.uniform(0.2, 0.8, 3)[rng.integers(3, size=num)]
    x = size * (centre + rng.normal(0, rng.uniform(0.03, 0.25), num))
    y = size * rng.uniform(0.85, 1.02, num)
    roots = np.stack([x, y], 1).astype(np.float32)[np.argsort(y)]
    angles = (-np.pi / 2 + rng.normal(0, rng.uniform(0.15, 0.6), num)).astype(np.float32)
    lengths = (size * rng.uniform(0.3, 0.95) * rng.uniform(0.4, 1.0, num)).astype(np.float32)
    growth = Growth(num_points=8, bend=rng.uniform(0.2, 1.0), wobble=0.06, gravity=rng.uniform(0, 0.5))
    blades = grow(rng, roots, angles, lengths, growth)
    wide = rng.uniform(0.6, 3.0)
    draw_strands(
        layers,
        rng,
        blades,
        vary(rng, colour, 20, light=0.25),
        width=wide,
        tip_gain=rng.uniform(0.9, 1.4),
        root_gain=0.7,
        num_batches=40,
    )
    return _lit(rng, layers)


def plant(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """Long leaves from one place, like a spider plant or a palm, often in a pot."""
    colour = pick_colour(rng, PLANT_COLOURS)
    has_pot = rng.random() < 0.5
    layers = StrandLayers(_plain(size, colour * np.float32(0.8)))
    x, y = size * rng.uniform(0.35, 0.65), size * rng.uniform(0.6, 0.9)
    num = int(rng.integers(12, 50))
    roots = np.stack([x + rng.normal(0, size * 0.03, num), y + rng.normal(0, size * 0.02, num)], 1).astype(np.float32)
    angles = (-np.pi / 2 + rng.normal(0, rng.uniform(0.5, 1.1), num)).astype(np.float32)
    lengths = (size * rng.uniform(0.4, 0.9) * rng.uniform(0.5, 1.1, num)).astype(np.float32)
    paths = grow(
        rng, roots, angles, lengths, Growth(num_points=14, bend=0.5, wobble=0.05, gravity=rng.uniform(0.2, 0.75))
    )
    width = size * np.exp(rng.uniform(np.log(0.008), np.log(0.08)))
    is_fern = rng.random() < 0.35
    for path in paths:
        tone = vary(rng, colour, 1)[0]
        if is_fern:
            _draw_fern(layers, rng, path, tone)
        else:
            _draw_leaf(layers, rng, path, width * rng.uniform(0.6, 1.3), tone)
    if has_pot:
        top, bottom, low = size * rng.uniform(0.1, 0.25), size * rng.uniform(0.07, 0.18), size * rng.uniform(0.95, 1.1)
        clay = pick_colour(rng, ALL_COLOURS)
        corners = np.array([[x - top, y], [x + top, y], [x + bottom, low], [x - bottom, low]], np.float32)
        for share in np.linspace(1, 0.1, 7):
            side = corners.copy()
            side[:, 0] = x + (corners[:, 0] - x) * share - top * 0.2 * (1 - share)
            layers.fill(side, np.clip(clay * (0.55 + 0.55 * (1 - share)), 0, 255))
    return _lit(rng, layers)


def _draw_fern(layers: StrandLayers, rng: np.random.Generator, path: Points, colour: Colours) -> None:
    """Draw a frond: leaflets on both sides of a stem."""
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    num = int(rng.integers(12, 22))
    place = np.linspace(0.5, len(path) - 1.1, num)
    lower = place.astype(np.intp)
    roots = path[lower] + (path[lower + 1] - path[lower]) * (place - lower)[:, None]
    step = path[lower + 1] - path[lower]
    heading = np.arctan2(step[:, 1], step[:, 0])
    reach = length * rng.uniform(0.12, 0.25) * (1.05 - place / len(path))
    for side in (-1, 1):
        leaflets = grow(
            rng,
            roots.astype(np.float32),
            (heading + side * 1.0).astype(np.float32),
            reach.astype(np.float32),
            Growth(num_points=5),
        )
        for leaflet, span in zip(leaflets, reach, strict=True):
            layers.fill(_ribbon(leaflet, max(1.0, span * 0.22), 0.8), np.clip(colour * rng.uniform(0.75, 1.25), 0, 255))
    layers.draw(path[None], np.clip(colour * 0.7, 0, 255), 2)


def flower(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """Flowers: rings of petals round a rough middle, on stems."""
    layers = StrandLayers(_plain(size, pick_colour(rng, FLOWER_COLOURS)))
    for _ in range(int(rng.integers(1, 4))):
        colour = pick_colour(rng, FLOWER_COLOURS)
        x, y = size * rng.uniform(0.25, 0.75, 2)
        radius = size * rng.uniform(0.18, 0.45)
        stem = grow(
            rng,
            np.array([[x, y]], np.float32),
            np.array([np.pi / 2], np.float32),
            np.array([size], np.float32),
            Growth(num_points=8),
        )
        _draw_tube(layers, rng, stem[0], pick_colour(rng, PLANT_COLOURS), size * rng.uniform(0.006, 0.02))
        num, wide = int(rng.integers(10, 26)), rng.uniform(0.12, 0.35)
        for ring in range(int(rng.integers(1, 4))):
            reach = radius * (1 - 0.25 * ring)
            turn = (np.arange(num) / num * 2 * np.pi + rng.normal(0, 0.08, num)).astype(np.float32)
            roots = np.stack([x + 0.2 * reach * np.cos(turn), y + 0.2 * reach * np.sin(turn)], 1).astype(np.float32)
            lengths = (reach * 0.8 * rng.uniform(0.85, 1.1, num)).astype(np.float32)
            for petal in grow(rng, roots, turn, lengths, Growth(num_points=8, bend=0.2, wobble=0.05)):
                _draw_leaf(layers, rng, petal, reach * wide, colour * np.float32(1 - 0.12 * ring))
        middle = pick_colour(rng, NATURAL_COLOURS)
        layers.fill(blob(rng, (x, y), (radius * 0.25, radius * 0.25), 0.1), middle * np.float32(0.6))
        _draw_tuft(layers, rng, (x, y), radius * 0.3, middle, 120)
    return _lit(rng, layers)


def _draw_tuft(
    layers: StrandLayers, rng: np.random.Generator, centre: tuple[float, float], reach: float, colour: Colours, num: int
) -> None:
    """Draw short strands that stand out of one place to all sides."""
    turn = rng.uniform(0, 2 * np.pi, num)
    away = reach * 0.6 * np.sqrt(rng.uniform(0, 1, num))
    roots = np.stack([centre[0] + away * np.cos(turn), centre[1] + away * np.sin(turn)], 1).astype(np.float32)
    lengths = (reach * rng.uniform(0.2, 0.6, num)).astype(np.float32)
    points = grow(rng, roots, turn.astype(np.float32), lengths, Growth(num_points=4, bend=0.6))
    draw_strands(
        layers,
        rng,
        points[np.argsort(-away)],
        vary(rng, colour, 12, light=0.3),
        width=rng.uniform(0.6, 1.6),
        root_gain=0.7,
        num_batches=14,
    )


def twigs(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A branching twig or small tree, with or without leaves."""
    bark, leaf_colour = pick_colour(rng, NATURAL_COLOURS[1:4]), pick_colour(rng, PLANT_COLOURS + FLOWER_COLOURS)
    layers = StrandLayers(_plain(size, bark))
    start = np.array([[size * rng.uniform(0.3, 0.7), size * rng.uniform(0.9, 1.0)]], np.float32)
    angles, lengths = np.array([-np.pi / 2 + rng.normal(0, 0.3)]), np.array([size * rng.uniform(0.25, 0.5)])
    width, spread, tips = size * rng.uniform(0.008, 0.03), rng.uniform(0.3, 0.8), []
    for level in range(int(rng.integers(4, 6))):
        paths = grow(
            rng,
            start,
            angles.astype(np.float32),
            lengths.astype(np.float32),
            Growth(num_points=6, bend=0.3, wobble=0.15),
        )
        for batch in np.array_split(paths, min(len(paths), 6)):
            tone = vary(rng, bark, 1)[0]
            if width > 1.2:
                for path in batch:
                    _draw_tube(layers, rng, path, tone, width)
            else:
                layers.draw(batch, tone, 2 if width > 0.8 else 1)
        if level >= 1:
            tips.append(paths[:, 2:].reshape(-1, 2))
        fork = 3 if len(paths) < 40 else 2
        place = rng.integers(2, 6, (len(paths), fork))
        start = np.take_along_axis(paths, np.repeat(place[..., None], 2, -1), axis=1).reshape(-1, 2)
        step = paths[:, -1] - paths[:, -2]
        angles = (np.arctan2(step[:, 1], step[:, 0])[:, None] + rng.normal(0, spread, (len(paths), fork))).reshape(-1)
        lengths = np.repeat(lengths, fork) * rng.uniform(0.45, 0.8, len(angles))
        width *= rng.uniform(0.45, 0.7)
    if rng.random() < 0.65:
        _draw_foliage(layers, rng, np.concatenate(tips), leaf_colour, size)
    return _lit(rng, layers)


def _draw_foliage(layers: StrandLayers, rng: np.random.Generator, tips: Points, colour: Colours, size: int) -> None:
    """Draw small leaves at some of the points."""
    num = min(len(tips), int(rng.integers(60, 260)))
    roots = tips[rng.choice(len(tips), num, replace=False)]
    reach = size * np.exp(rng.uniform(np.log(0.015), np.log(0.09)))
    angles = rng.uniform(0, 2 * np.pi, num).astype(np.float32)
    paths = grow(rng, roots, angles, (reach * rng.uniform(0.5, 1.2, num)).astype(np.float32), Growth(num_points=6))
    slim, tones = rng.uniform(0.2, 0.6), vary(rng, colour, num, light=0.25)
    for path, tone in zip(paths, tones, strict=True):
        layers.fill(_ribbon(path, reach * slim, 0.8), tone)
        if reach > 8:
            layers.draw(path[None], np.clip(tone * 1.25, 0, 255))


def net(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A net, fence, lace or knitted mesh, warped, with or without a body in it."""
    colour = pick_colour(rng, ALL_COLOURS)
    is_on_body = rng.random() < 0.5
    body = make_body(rng, size, textures)
    base = extend_colour(body.colour, body.alpha) if is_on_body else _plain(size, colour * np.float32(0.8))
    keep = smooth_noise(rng, size, 2) > rng.uniform(-0.5, 0.8)
    under = sharp(rng, (body.alpha * keep).astype(np.uint8)) if is_on_body else None
    layers = StrandLayers(base, under)
    pitch = size * np.exp(rng.uniform(np.log(0.02), np.log(0.1)))
    width = pitch * np.exp(rng.uniform(np.log(0.04), np.log(0.35)))
    angle, tilt = rng.uniform(0, np.pi), rng.uniform(0.9, 2.2)
    warp_x, warp_y = (smooth_noise(rng, size, 4) * np.float32(size * rng.uniform(0, 0.05)) for _ in range(2))
    reach = int(0.75 * size / pitch)
    steps = np.linspace(-0.75, 0.75, 28) * size
    knit = pitch * rng.uniform(0.2, 0.5) if rng.random() < 0.3 and pitch > 0.05 * size else 0.0
    if knit:
        steps = np.linspace(-0.75, 0.75, 90) * size
    for heading in (angle, angle + tilt):
        tones = vary(rng, colour, 8, light=0.15)
        for line in range(-reach, reach + 1):
            side = line * pitch + knit * np.sin(2 * np.pi * steps / pitch + line * np.pi)
            x = size / 2 + steps * np.cos(heading) - side * np.sin(heading)
            y = size / 2 + steps * np.sin(heading) + side * np.cos(heading)
            path = np.stack([x, y], 1).astype(np.float32)
            path = path + np.stack([sample(warp_x, path), sample(warp_y, path)], 1)
            tone = tones[int(rng.integers(8))]
            if width > 1.6:
                _draw_tube(layers, rng, path, tone, width)
            else:
                layers.draw(path[None], tone, 2 if width > 1 else 1)
    flat = _lit(rng, layers)
    if rng.random() < 0.6:  # the net ends within the picture
        hem = np.asarray(
            cv2.max(sharp(rng, body.alpha), under) if under is not None else sharp(rng, body.alpha), np.uint8
        )
        return Cutout(flat.colour, np.asarray(cv2.multiply(flat.alpha, hem, scale=1 / 255), np.uint8))
    return flat


def wicker(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A ball or nest of bent canes or wires."""
    colour = pick_colour(rng, NATURAL_COLOURS if rng.random() < 0.7 else ALL_COLOURS)
    layers = StrandLayers(_plain(size, colour))
    centre, radius = size * rng.uniform(0.4, 0.6, 2), size * rng.uniform(0.25, 0.46)
    width, turn = size * np.exp(rng.uniform(np.log(0.004), np.log(0.028))), np.linspace(0, 2 * np.pi, 61)
    for _ in range(int(rng.integers(8, 26))):
        squash, tilt = rng.uniform(0.05, 1.0), rng.uniform(0, np.pi)
        reach = radius * (1 + 0.06 * rng.normal()) * (1 + 0.05 * np.sin(3 * turn + rng.uniform(0, 6)))
        x, y = reach * np.cos(turn), reach * squash * np.sin(turn)
        ring = np.stack(
            [centre[0] + x * np.cos(tilt) - y * np.sin(tilt), centre[1] + x * np.sin(tilt) + y * np.cos(tilt)], 1
        )
        first = int(rng.integers(0, 30))
        for arc in (ring[first : first + 31], np.concatenate([ring[first + 30 :], ring[: first + 1]])):
            _draw_tube(layers, rng, arc.astype(np.float32), vary(rng, colour, 1)[0], width * rng.uniform(0.7, 1.2))
    return _lit(rng, layers)


def cables(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """Thin cables and wires that leave a body, or wheels with spokes."""
    body = make_body(rng, size, textures)
    x, y, r = body.head
    layers = StrandLayers(extend_colour(body.colour, body.alpha), sharp(rng, body.alpha))
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            _draw_wheel(layers, rng, size)
    num = int(rng.integers(2, 14))
    roots = (np.array([x, y]) + rng.normal(0, r, (num, 2))).astype(np.float32)
    lengths = (size * rng.uniform(0.3, 1.2, num)).astype(np.float32)
    growth = Growth(num_points=24, bend=1.5, wobble=0.12, gravity=rng.uniform(0, 0.4))
    for path in grow(rng, roots, rng.uniform(0, 2 * np.pi, num).astype(np.float32), lengths, growth):
        width, colour = size / 384 * np.exp(rng.uniform(np.log(0.3), np.log(5))), pick_colour(rng, ALL_COLOURS)
        if width > 1.2:
            _draw_tube(layers, rng, path, colour, width)
        else:
            layers.draw(path[None], colour, 1, min(1.0, width / 0.75))
    return _lit(rng, layers)


def _draw_wheel(layers: StrandLayers, rng: np.random.Generator, size: int) -> None:
    """Draw a tyre, a hub and spokes."""
    centre, radius = size * rng.uniform(0.25, 0.75, 2), size * rng.uniform(0.12, 0.4)
    turn, squash = np.linspace(0, 2 * np.pi, 64), rng.uniform(0.6, 1.0)
    circle = np.stack([np.cos(turn), squash * np.sin(turn)], 1)
    num, metal = int(rng.integers(8, 37)), pick_colour(rng, NATURAL_COLOURS)
    spokes = np.arange(num) / num * 2 * np.pi
    inner = np.stack(
        [np.cos(spokes + 1.2 * (-1) ** np.arange(num)), squash * np.sin(spokes + 1.2 * (-1) ** np.arange(num))], 1
    )
    outer = np.stack([np.cos(spokes), squash * np.sin(spokes)], 1)
    lines = np.stack([centre + inner * radius * 0.1, centre + outer * radius], 1).astype(np.float32)
    layers.draw(lines, metal, int(rng.integers(1, 3)))
    for share, width in ((1.0, 0.05), (0.1, 0.08)):
        ring = (centre + circle * radius * share).astype(np.float32)
        _draw_tube(layers, rng, ring, metal * np.float32(rng.uniform(0.4, 1.0)), radius * width * rng.uniform(0.4, 1.6))


def pompom(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """Strands from one or a few centres: pompoms, dandelions, thistles, brooms."""
    colour = pick_hair_colour(rng)
    layers = StrandLayers(_plain(size, colour * np.float32(0.75)))
    for _ in range(int(rng.integers(1, 4))):
        x, y = size * rng.uniform(0.25, 0.75, 2)
        radius = size * rng.uniform(0.15, 0.42)
        num, tone = int(rng.integers(150, 900)), vary(rng, colour, 1)[0]
        main, opening = rng.uniform(0, 2 * np.pi), np.pi if rng.random() < 0.6 else rng.uniform(0.2, 0.9)
        turn = main + opening * rng.uniform(-1, 1, num)
        away = radius * rng.uniform(0.05, 0.7) * np.sqrt(rng.uniform(0, 1, num))
        roots = np.stack([x + away * np.cos(turn), y + away * np.sin(turn)], 1)
        order = np.argsort(-away)
        lengths = (radius * rng.uniform(0.6, 1.0, num)).astype(np.float32)
        growth = Growth(
            num_points=6, bend=rng.uniform(0.05, 0.7), wobble=rng.uniform(0.01, 0.2), clump=rng.uniform(0, 0.6)
        )
        if opening < 1:
            end = np.array([[x, y], [x - size * np.cos(main), y - size * np.sin(main)]], np.float32)
            _draw_tube(layers, rng, end, pick_colour(rng, ALL_COLOURS), size * rng.uniform(0.01, 0.04))
        points = grow(rng, roots[order].astype(np.float32), turn[order].astype(np.float32), lengths, growth)
        draw_strands(
            layers,
            rng,
            points,
            vary(rng, tone, 16, light=0.22),
            width=rng.uniform(0.4, 1.4),
            root_gain=rng.uniform(0.5, 1.0),
            tip_gain=rng.uniform(1, 1.4),
            num_batches=30,
        )
        if rng.random() < 0.3:  # seeds at the ends
            dots = np.stack([points[:, -1], points[:, -1] + 0.5], 1)
            layers.draw(dots.astype(np.float32), np.clip(tone * 1.2, 0, 255), 3)
    return _lit(rng, layers)


def smoke(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """Clouds, smoke, veils: alpha is soft noise."""
    grey = np.full(3, rng.uniform(60, 250), np.float32) if rng.random() < 0.7 else pick_colour(rng, ALL_COLOURS)
    noise = fractal_noise(rng, size, int(rng.integers(3, 7)))
    x, y, r = size * rng.uniform(0.35, 0.65), size * rng.uniform(0.35, 0.65), size * rng.uniform(0.22, 0.4)
    region = np.zeros((size // 8, size // 8), np.uint8)
    cv2.fillPoly(region, [np.rint(blob(rng, (x / 8, y / 8), (r / 8, r / 8), 0.25)).astype(np.int32)], 255)
    soft = cv2.GaussianBlur(region, (0, 0), size / 8 * rng.uniform(0.04, 0.12))
    falloff = np.asarray(cv2.resize(soft, (size, size), interpolation=cv2.INTER_CUBIC), np.float32) / 255
    density = (falloff * rng.uniform(1.4, 2.4) - 0.5 + 0.35 * noise) * rng.uniform(0.5, 1.1)
    alpha = (np.clip(density, 0, rng.uniform(0.6, 1.0)) * 255).astype(np.uint8)
    gain = (0.85 + rng.uniform(0.03, 0.2) * np.roll(noise, int(rng.integers(1, 12)), axis=0)).astype(np.float32)
    photo = tint(textures(rng, size), grey, rng.uniform(0, 0.3))
    return Cutout(shade(photo, gain), alpha)


Maker = Callable[[np.random.Generator, int, TextureSource], Cutout]
