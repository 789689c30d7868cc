"""Foregrounds that are mostly edge, or seen through: nets, webs, wicker, cables, wheels, pompoms, smoke, glass."""

from collections.abc import Callable

import cv2
import numpy as np

from mask2alpha.data.cutout import Cutout, TextureSource
from mask2alpha.data.synthetic.bodies import ALL_COLOURS, blob, make_body, tilted
from mask2alpha.data.synthetic.canvas import (
    NATURAL_COLOURS,
    StrandLayers,
    fractal_noise,
    lit,
    pick_colour,
    pick_hair_colour,
    plain,
    sample,
    shade,
    smooth_noise,
    tint,
    vary,
)
from mask2alpha.data.synthetic.edges import extend_colour, sharp
from mask2alpha.data.synthetic.strands import Growth, draw_strands, draw_tube, grow


def net(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A net, fence, lace or knitted mesh, warped, with or without a body in it."""
    colour = pick_colour(rng, ALL_COLOURS)
    is_on_body = rng.random() < 0.5
    body = make_body(rng, size, textures)
    base = extend_colour(body.colour, body.alpha) if is_on_body else plain(size, colour * np.float32(0.8))
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
                draw_tube(layers, rng, path, tone, width)
            else:
                layers.draw(path[None], tone, 2 if width > 1 else 1)
    flat = lit(rng, layers)
    if rng.random() < 0.6:  # the net ends within the picture
        hem = sharp(rng, body.alpha)
        if under is not None:
            hem = np.asarray(cv2.max(hem, under), np.uint8)
        return Cutout(flat.colour, np.asarray(cv2.multiply(flat.alpha, hem, scale=1 / 255), np.uint8))
    return flat


def web(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A spider's web: spokes, and threads that sag between them, some with drops of dew."""
    tone = np.clip(np.full(3, rng.uniform(120, 252)) + rng.normal(0, 12, 3), 4, 252).astype(np.float32)
    layers = StrandLayers(plain(size, tone * np.float32(0.9)))
    centre = size * rng.uniform(0.25, 0.75, 2)
    spokes = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(9, 42))))
    lengths = size * rng.uniform(0.35, 0.75) * rng.uniform(0.8, 1.25, len(spokes))
    thickness = 1 if rng.random() < 0.55 else 2
    opacity = float(rng.uniform(0.35, 1.0))
    pitch = size * float(np.exp(rng.uniform(np.log(0.012), np.log(0.05))))
    sag, has_dew = float(rng.uniform(0.0, 0.35)), rng.random() < 0.5
    directions = np.stack([np.cos(spokes), np.sin(spokes)], 1)
    ends = centre + directions * lengths[:, None]
    layers.draw(np.stack([np.broadcast_to(centre, ends.shape), ends], 1).astype(np.float32), tone, thickness, opacity)
    at = np.linspace(0, 1, 9)[:, None]
    threads = []
    for index in range(len(spokes)):
        following = (index + 1) % len(spokes)
        gap = (spokes[following] - spokes[index]) % (2 * np.pi)
        if gap > 1.2:
            continue
        reach = min(lengths[index], lengths[following])
        for step in range(2, int(reach / pitch)):
            if rng.random() < 0.06:  # torn
                continue
            start, end = (
                centre + directions[spoke] * pitch * (step + rng.normal(0, 0.12)) for spoke in (index, following)
            )
            middle = (start + end) / 2
            pull = (centre - middle) * sag * gap + np.array([0.0, sag * gap * pitch])
            threads.append(start + at * (end - start) + 4 * at * (1 - at) * pull * 0.5)
    if threads:
        lines = np.stack(threads).astype(np.float32)
        layers.draw(lines, tone, thickness, opacity)
        if has_dew:
            beads = lines[:, 1:-1:2].reshape(-1, 1, 2)
            layers.draw(np.concatenate([beads, beads + 0.4], 1), np.clip(tone * 1.15, 0, 254), int(rng.integers(2, 5)))
    return lit(rng, layers)


def glass(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A bulb, bottle or crystal: nearly clear inside, denser at its rim, white where it glints; some have a base."""
    body = make_body(rng, size, textures, shape="thing")
    solid = (body.alpha > 127).astype(np.uint8)
    depth = cv2.distanceTransform(solid, cv2.DIST_L2, 3)
    width = size * float(np.exp(rng.uniform(np.log(0.006), np.log(0.04))))
    density = float(rng.uniform(0.02, 0.35)) + float(rng.uniform(0.3, 1.0)) * np.exp(-depth / width)
    density += float(rng.uniform(0.0, 0.2)) * np.maximum(fractal_noise(rng, size, 3), 0)
    light = np.zeros((size, size), np.uint8)
    for _ in range(int(rng.integers(2, 9 if rng.random() < 0.6 else 30))):  # glints, or the facets of a crystal
        points = size * rng.uniform(0.2, 0.8, (int(rng.integers(2, 5)), 2))
        if rng.random() < 0.5:
            thickness = max(1, round(size * float(rng.uniform(0.002, 0.02))))
            cv2.polylines(light, [np.rint(points).astype(np.int32)], False, int(rng.integers(90, 255)), thickness)
        else:
            radii = size * rng.uniform(0.005, 0.06, 2)
            spot = np.rint(blob(rng, (points[0, 0], points[0, 1]), (radii[0], radii[1]), 0.2)).astype(np.int32)
            cv2.fillPoly(light, [spot], int(rng.integers(90, 255)))
    glints = cv2.GaussianBlur(light, (0, 0), max(0.6, size * float(rng.uniform(0.001, 0.008)))).astype(np.float32) / 255
    density = np.maximum(density, glints)
    tone = np.clip(np.full(3, rng.uniform(60, 245)) + rng.normal(0, 18, 3), 4, 252).astype(np.float32)
    colour = plain(size, tone).astype(np.float32)
    colour += (255 - colour) * np.clip(1.3 * glints, 0, 1)[..., None]
    if rng.random() < 0.5:  # a base or a lid of another stuff
        rows = np.flatnonzero(solid.any(axis=1))
        cut = int(np.quantile(rows, rng.uniform(0.7, 0.9))) if len(rows) else size
        density[cut:] = 1.0
        colour[cut:] = body.colour[cut:]
    alpha = np.clip(density, 0, 1) * sharp(rng, body.alpha)
    return Cutout(np.clip(colour, 0, 255).astype(np.uint8), alpha.astype(np.uint8))


def wicker(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """A ball or nest of bent canes or wires."""
    colour = pick_colour(rng, NATURAL_COLOURS if rng.random() < 0.7 else ALL_COLOURS)
    layers = StrandLayers(plain(size, colour))
    centre, radius = size * rng.uniform(0.4, 0.6, 2), size * rng.uniform(0.25, 0.46)
    width, turn = size * np.exp(rng.uniform(np.log(0.004), np.log(0.028))), np.linspace(0, 2 * np.pi, 61)
    for _ in range(int(rng.integers(8, 26))):
        squash, tilt = rng.uniform(0.05, 1.0), rng.uniform(0, np.pi)
        reach = radius * (1 + 0.06 * rng.normal()) * (1 + 0.05 * np.sin(3 * turn + rng.uniform(0, 6)))
        ring = tilted(centre, reach * np.cos(turn), reach * squash * np.sin(turn), tilt)
        first = int(rng.integers(0, 30))
        for arc in (ring[first : first + 31], np.concatenate([ring[first + 30 :], ring[: first + 1]])):
            draw_tube(layers, rng, arc.astype(np.float32), vary(rng, colour, 1)[0], width * rng.uniform(0.7, 1.2))
    return lit(rng, layers)


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
            draw_tube(layers, rng, path, colour, width)
        else:
            layers.draw(path[None], colour, 1, min(1.0, width / 0.75))
    return lit(rng, layers)


def _draw_wheel(layers: StrandLayers, rng: np.random.Generator, size: int) -> None:
    """Draw a tyre, a hub and spokes."""
    centre, radius = size * rng.uniform(0.25, 0.75, 2), size * rng.uniform(0.12, 0.4)
    turn, squash = np.linspace(0, 2 * np.pi, 64), rng.uniform(0.6, 1.0)
    circle = np.stack([np.cos(turn), squash * np.sin(turn)], 1)
    num, metal = int(rng.integers(8, 37)), pick_colour(rng, NATURAL_COLOURS)
    spokes = np.arange(num) / num * 2 * np.pi
    turned = spokes + 1.2 * (-1) ** np.arange(num)
    inner, outer = (np.stack([np.cos(at), squash * np.sin(at)], 1) for at in (turned, spokes))
    lines = np.stack([centre + inner * radius * 0.1, centre + outer * radius], 1).astype(np.float32)
    layers.draw(lines, metal, int(rng.integers(1, 3)))
    for share, width in ((1.0, 0.05), (0.1, 0.08)):
        ring = (centre + circle * radius * share).astype(np.float32)
        draw_tube(layers, rng, ring, metal * np.float32(rng.uniform(0.4, 1.0)), radius * width * rng.uniform(0.4, 1.6))


def pompom(rng: np.random.Generator, size: int, textures: TextureSource) -> Cutout:
    """Strands from one or a few centres: pompoms, dandelions, thistles, brooms."""
    colour = pick_hair_colour(rng)
    layers = StrandLayers(plain(size, colour * np.float32(0.75)))
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
            draw_tube(layers, rng, end, pick_colour(rng, ALL_COLOURS), size * rng.uniform(0.01, 0.04))
        points = grow(rng, roots[order].astype(np.float32), turn[order].astype(np.float32), lengths, growth)
        draw_strands(
            layers, rng, points, vary(rng, tone, 16, light=0.22), width=rng.uniform(0.4, 1.4),
            root_gain=rng.uniform(0.5, 1.0), tip_gain=rng.uniform(1, 1.4), num_batches=30,
        )  # fmt: skip
        if rng.random() < 0.3:  # seeds at the ends
            dots = np.stack([points[:, -1], points[:, -1] + 0.5], 1)
            layers.draw(dots.astype(np.float32), np.clip(tone * 1.2, 0, 255), 3)
    return lit(rng, layers)


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
"""What draws one kind of foreground: (rng, size, textures) -> the cut-out."""
