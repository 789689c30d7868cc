"""Plants: grass, leaves from one place, ferns, crowns of leaves, flowers, twigs."""

import numpy as np

from mask2alpha.data.cutout import Cutout, TextureSource
from mask2alpha.data.synthetic.bodies import ALL_COLOURS, blob
from mask2alpha.data.synthetic.canvas import (
    FLOWER_COLOURS,
    NATURAL_COLOURS,
    PLANT_COLOURS,
    Colours,
    Points,
    StrandLayers,
    lit,
    pick_colour,
    plain,
    vary,
)
from mask2alpha.data.synthetic.strands import Growth, along_path, draw_strands, draw_tube, grow


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
    layers = StrandLayers(plain(size, colour * np.float32(0.7)))
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
    tones = vary(rng, colour, 20, light=0.25)
    draw_strands(layers, rng, blades, tones, width=wide, tip_gain=rng.uniform(0.9, 1.4), root_gain=0.7, num_batches=40)
    return lit(rng, layers)


def plant(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """Long leaves from one place, like a spider plant or a palm, often in a pot."""
    colour = pick_colour(rng, PLANT_COLOURS)
    has_pot = rng.random() < 0.5
    layers = StrandLayers(plain(size, colour * np.float32(0.8)))
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
        _draw_pot(layers, rng, (x, y), size)
    return lit(rng, layers)


def bush(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """Foliage as a crown of hundreds of leaves, dark in its depth, with gaps between those that stick out."""
    colour = pick_colour(rng, PLANT_COLOURS if rng.random() < 0.8 else FLOWER_COLOURS + NATURAL_COLOURS)
    layers = StrandLayers(plain(size, colour * np.float32(0.6)))
    x, y = size * rng.uniform(0.3, 0.7), size * rng.uniform(0.35, 0.65)
    radii = size * np.exp(rng.uniform(np.log(0.18), np.log(0.6), 2))
    has_pot = rng.random() < 0.4
    base = (x + radii[0] * rng.uniform(-0.2, 0.2), min(y + radii[1] * rng.uniform(0.4, 1.0), size * 0.85))
    ring = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    if rng.random() < 0.4:  # what the innermost leaves cover
        wave = 1 + 0.15 * np.sin(ring * rng.integers(3, 9) + rng.uniform(0, 6))
        core = np.stack([np.cos(ring), np.sin(ring)], 1) * (radii * rng.uniform(0.3, 0.6) * wave[:, None])
        layers.fill(np.asarray(core + np.array([x, y]), np.float32), colour * rng.uniform(0.25, 0.7))

    num = int(rng.integers(120, 480))
    turn, away = rng.uniform(0, 2 * np.pi, num), rng.uniform(0, 1, num) ** rng.uniform(0.5, 1.2)
    roots = np.stack([x + radii[0] * away * np.cos(turn), y + radii[1] * away * np.sin(turn)], 1)
    bark = pick_colour(rng, NATURAL_COLOURS[1:4] + PLANT_COLOURS)
    for tip in roots[: int(rng.integers(4, 14))]:
        path = np.linspace(base, tip, 6) + np.pad(rng.normal(0, size * 0.01, (4, 2)), ((1, 1), (0, 0)))
        draw_tube(layers, rng, path.astype(np.float32), bark, size * rng.uniform(0.004, 0.015))
    heading = turn + rng.normal(0, rng.uniform(0.3, 1.2), num)
    reach = size * np.exp(rng.uniform(np.log(0.05), np.log(0.28)))
    lengths, slim = reach * rng.uniform(0.5, 1.2, num), np.exp(rng.uniform(np.log(0.07), np.log(0.45)))
    growth = Growth(num_points=8, bend=rng.uniform(0.1, 0.6), wobble=0.05, gravity=rng.uniform(-0.2, 0.5))
    leaves = grow(rng, roots.astype(np.float32), heading.astype(np.float32), lengths.astype(np.float32), growth)
    tones = vary(rng, colour, num, light=0.2) * np.linspace(rng.uniform(0.3, 0.8), 1.1, num)[:, None]  # deep ones first
    for leaf, length, tone in zip(leaves, lengths, tones, strict=True):
        _draw_leaf(layers, rng, leaf, length * slim, tone)
    if has_pot:
        _draw_pot(layers, rng, base, size)
    return lit(rng, layers)


def _draw_pot(layers: StrandLayers, rng: np.random.Generator, middle: tuple[float, float], size: int) -> None:
    """Draw a pot, lit from one side; `middle` is that of its upper edge."""
    x, y = middle
    top, bottom, low = size * rng.uniform(0.1, 0.25), size * rng.uniform(0.07, 0.18), size * rng.uniform(0.95, 1.1)
    clay = pick_colour(rng, ALL_COLOURS)
    corners = np.array([[x - top, y], [x + top, y], [x + bottom, low], [x - bottom, low]], np.float32)
    for share in np.linspace(1, 0.1, 7):
        side = corners.copy()
        side[:, 0] = x + (corners[:, 0] - x) * share - top * 0.2 * (1 - share)
        layers.fill(side, np.clip(clay * (0.55 + 0.55 * (1 - share)), 0, 255))


def _draw_fern(layers: StrandLayers, rng: np.random.Generator, path: Points, colour: Colours) -> None:
    """Draw a frond: leaflets on both sides of a stem."""
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    num = int(rng.integers(12, 22))
    place = np.linspace(0.5, len(path) - 1.1, num)
    roots, heading = along_path(path, place)
    reach = length * rng.uniform(0.12, 0.25) * (1.05 - place / len(path))
    for side in (-1, 1):
        angles, growth = (heading + side * 1.0).astype(np.float32), Growth(num_points=5)
        leaflets = grow(rng, roots.astype(np.float32), angles, reach.astype(np.float32), growth)
        for leaflet, span in zip(leaflets, reach, strict=True):
            layers.fill(_ribbon(leaflet, max(1.0, span * 0.22), 0.8), np.clip(colour * rng.uniform(0.75, 1.25), 0, 255))
    layers.draw(path[None], np.clip(colour * 0.7, 0, 255), 2)


def flower(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """Flowers: rings of petals round a rough middle, on stems."""
    layers = StrandLayers(plain(size, pick_colour(rng, FLOWER_COLOURS)))
    for _ in range(int(rng.integers(1, 4))):
        colour = pick_colour(rng, FLOWER_COLOURS)
        x, y = size * rng.uniform(0.25, 0.75, 2)
        radius = size * rng.uniform(0.18, 0.45)
        place, down, length = (np.array(values, np.float32) for values in ([[x, y]], [np.pi / 2], [size]))
        stem = grow(rng, place, down, length, Growth(num_points=8))
        draw_tube(layers, rng, stem[0], pick_colour(rng, PLANT_COLOURS), size * rng.uniform(0.006, 0.02))
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
    return lit(rng, layers)


def _draw_tuft(
    layers: StrandLayers, rng: np.random.Generator, centre: tuple[float, float], reach: float, colour: Colours, num: int
) -> None:
    """Draw short strands that stand out of one place to all sides."""
    turn = rng.uniform(0, 2 * np.pi, num)
    away = reach * 0.6 * np.sqrt(rng.uniform(0, 1, num))
    roots = np.stack([centre[0] + away * np.cos(turn), centre[1] + away * np.sin(turn)], 1).astype(np.float32)
    lengths = (reach * rng.uniform(0.2, 0.6, num)).astype(np.float32)
    points = grow(rng, roots, turn.astype(np.float32), lengths, Growth(num_points=4, bend=0.6))
    tones, width = vary(rng, colour, 12, light=0.3), rng.uniform(0.6, 1.6)
    draw_strands(layers, rng, points[np.argsort(-away)], tones, width=width, root_gain=0.7, num_batches=14)


def twigs(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A branching twig or small tree, with or without leaves."""
    bark, leaf_colour = pick_colour(rng, NATURAL_COLOURS[1:4]), pick_colour(rng, PLANT_COLOURS + FLOWER_COLOURS)
    layers = StrandLayers(plain(size, bark))
    start = np.array([[size * rng.uniform(0.3, 0.7), size * rng.uniform(0.9, 1.0)]], np.float32)
    angles, lengths = np.array([-np.pi / 2 + rng.normal(0, 0.3)]), np.array([size * rng.uniform(0.25, 0.5)])
    width, spread, tips = size * rng.uniform(0.008, 0.03), rng.uniform(0.3, 0.8), []
    for level in range(int(rng.integers(4, 6))):
        growth = Growth(num_points=6, bend=0.3, wobble=0.15)
        paths = grow(rng, start, angles.astype(np.float32), lengths.astype(np.float32), growth)
        for batch in np.array_split(paths, min(len(paths), 6)):
            tone = vary(rng, bark, 1)[0]
            if width > 1.2:
                for path in batch:
                    draw_tube(layers, rng, path, tone, width)
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
    return lit(rng, layers)


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
