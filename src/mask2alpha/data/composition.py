"""Composites of one to three foregrounds over a background, with the true alpha of what is visible of each object.

Legend:

    cutout    a foreground as loaded or made: straight colours and alpha
    layer     a cut-out after recolouring, placed on the canvas of the composite
    object    one thing that a mask may ask for: one layer, or two merged into one
    target    an object chosen to be matted; the others are distractors
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2alpha.data.cutout import Cutout
from mask2alpha.data.sources import PhotoPool, Sources, resize
from mask2alpha.data.synthetic import make_cutout

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

SMALLEST_TARGET = 0.01
"""Least share of the composite that a target covers, as the mean of its visible alpha."""
LARGEST_TARGET = 0.96
"""Greatest share of the composite that a target covers."""
SMALL_SHARE = 0.2
"""Share of the composites whose objects are small."""
_MAX_ATTEMPTS = 6
_MAX_ENLARGEMENT = 1.8
"""Cut-outs are enlarged by no more than this: hair stays one to three pixels thin."""

_CODES = np.arange(256) / 255.0
_NUM_LIGHTS = 1 << 16


@dataclass(frozen=True, slots=True)
class Composite:
    """A composite and the true alphas of its targets."""

    image: UInt8Array
    """(size, size, 3) uint8 RGB."""
    alphas: UInt8Array
    """(num_targets, size, size): the visible part of each target, 0 to 255."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A foreground placed on the canvas."""

    colour: UInt8Array
    """(size, size, 3), straight."""
    alpha: UInt8Array
    """(size, size)."""
    owner: int
    """The object that it belongs to."""


def compose(rng: np.random.Generator, sources: Sources, size: int, num_targets: int = 2) -> Composite:
    """Make a composite for training.

    Args:
        rng: Random numbers; the same state gives the same composite.
        sources: Foregrounds and backgrounds.
        size: Side of the composite, in pixels.
        num_targets: Number of alphas to return. Different objects come first, repeats follow.

    Returns:
        The composite. Its targets cover between `SMALLEST_TARGET` and `LARGEST_TARGET` of it; if no attempt achieves
        that, the target is the best object of the last attempt.
    """
    for attempt in range(_MAX_ATTEMPTS):
        layers = _draw_layers(rng, sources, size)
        visible = visible_alphas(layers)
        coverage = visible.mean(axis=(1, 2), dtype=np.float64) / 255.0
        usable = [
            owner
            for owner in range(len(visible))
            if SMALLEST_TARGET <= coverage[owner] <= LARGEST_TARGET and visible[owner].max() > 200
        ]
        if usable or attempt == _MAX_ATTEMPTS - 1:
            break
    if not usable:
        usable = [int(np.argmin(np.abs(coverage - 0.4)))]
    background = draw_background(rng, sources.photos, size, layers)
    if rng.random() < 0.15:
        background = _cast_shadow(rng, background, layers)
    layers = _tune_colours(rng, layers, background)
    layers = [_borrow_colours(rng, layer, background) if rng.random() < 0.5 else layer for layer in layers]
    image = blend(background, layers, gamma=_draw_gamma(rng))
    order = [int(owner) for owner in rng.permutation(usable)]
    chosen = [order[number % len(order)] for number in range(num_targets)]
    return Composite(image=image, alphas=np.ascontiguousarray(visible[chosen]))


def blend(background: UInt8Array, layers: Sequence[Layer], *, gamma: float) -> UInt8Array:
    """Lay the layers over the background, the first one lowest.

    Args:
        background: (size, size, 3).
        layers: From back to front.
        gamma: Values are mixed as ``code ** gamma``: about 2.2 mixes light, as a camera does (its tone curve makes the
            exponent seem smaller), 1 the coded values, as paint programs do.

    Returns:
        (size, size, 3) uint8.
    """
    light = (_CODES**gamma).astype(np.float32)
    result = light[background]
    for layer in layers:
        rows, columns = _bounds(layer.alpha)
        if rows.stop == 0:
            continue
        foreground = light[layer.colour[rows, columns]]
        weight = (layer.alpha[rows, columns].astype(np.float32) * np.float32(1 / 255))[..., None]
        part = result[rows, columns]
        part += (foreground - part) * weight
    codes = np.rint(255.0 * np.linspace(0.0, 1.0, _NUM_LIGHTS) ** (1 / gamma)).astype(np.uint8)
    return np.asarray(codes[np.clip(result * (_NUM_LIGHTS - 1) + 0.5, 0, _NUM_LIGHTS - 1).astype(np.uint16)], np.uint8)


def _draw_gamma(rng: np.random.Generator) -> float:
    """Draw the exponent of the mixture: mostly that of photos, now and then that of a paint program."""
    return 1.0 if rng.random() < 0.12 else float(np.clip(rng.normal(1.9, 0.25), 1.3, 2.5))


def visible_alphas(layers: Sequence[Layer]) -> UInt8Array:
    """Compute the visible part of each object: its alpha where nothing in front covers it.

    Rounded such that the visible alphas of all objects sum to at most 255 at every pixel.

    Args:
        layers: From back to front; `owner` counts from 0 without gaps.

    Returns:
        (num_objects, size, size) uint8.
    """
    num_objects = 1 + max(layer.owner for layer in layers)
    visible = np.zeros((num_objects, *layers[0].alpha.shape), np.uint8)
    passed = np.ones(layers[0].alpha.shape, np.float32)
    covered = np.zeros(layers[0].alpha.shape, np.uint8)
    for layer in reversed(layers):
        passed *= 1.0 - layer.alpha.astype(np.float32) * np.float32(1 / 255)
        now_covered = (255.5 - 255.0 * passed).astype(np.uint8)
        visible[layer.owner] += now_covered - covered
        covered = now_covered
    return visible


def draw_background(rng: np.random.Generator, photos: PhotoPool, size: int, layers: Sequence[Layer] = ()) -> UInt8Array:
    """Draw a background: a photo, two mixed, a studio backdrop, or one in the colours of the foreground."""
    kind = rng.random()
    if kind < 0.10:
        background = _studio_backdrop(rng, size)
    elif kind < 0.13 and layers:
        background = _from_own_texture(rng, layers[-1], size)
    else:
        background = photos(rng, size)
        if rng.random() < 0.2:
            background = _mix_two(rng, background, photos(rng, size))
        if rng.random() < 0.5:
            background = recolour(rng, background, strength=0.7)
        if kind < 0.18 and layers:
            background = _match_colours(background, layers[-1], share=float(rng.uniform(0.4, 0.9)))
    if rng.random() < 0.45:
        sigma = size * float(np.exp(rng.uniform(np.log(0.003), np.log(0.05))))
        background = _blur_strongly(background, sigma)
    return background


def recolour(rng: np.random.Generator, colour: UInt8Array, strength: float = 1.0) -> UInt8Array:
    """Change brightness, contrast, saturation, hue and gamma of an image.

    Args:
        rng: Random numbers.
        colour: (height, width, 3).
        strength: Width of the changes; 1 is a natural range with large hue turns now and then.
    """
    saturation = float(np.exp(rng.normal(-0.05, 0.25 * strength)))
    turn = float(rng.normal(0.0, 0.12)) if rng.random() < 0.7 else float(rng.uniform(-np.pi, np.pi))
    gain = float(np.exp(rng.normal(0.0, 0.2 * strength)))
    matrix = gain * _hue_saturation_matrix(turn * strength, saturation)
    offset = 255.0 * rng.normal(0.0, 0.06 * strength) * np.ones((3, 1))
    changed = cv2.transform(colour, np.hstack([matrix, offset]))
    gamma = float(np.exp(rng.normal(0.0, 0.2 * strength)))
    table = np.rint(255.0 * _CODES**gamma).astype(np.uint8)
    return np.asarray(cv2.LUT(changed, table), np.uint8)


def place(rng: np.random.Generator, cutout: Cutout, size: int, scale: float, anchor: tuple[float, float]) -> Layer:
    """Put a cut-out on an empty canvas: flip, rotation, shear, scale, and a point of it at a wanted place.

    A cut-out that its own border cuts off (a portrait's bust) is moved so that the cut lies outside the canvas.

    Args:
        rng: Random numbers.
        cutout: The foreground.
        size: Side of the canvas, in pixels.
        scale: Enlargement of the cut-out.
        anchor: (x, y) in [0, 1] of the canvas where a point of the object comes to lie.

    Returns:
        The layer, of owner 0.
    """
    colour, alpha = cutout.colour, cutout.alpha
    point = _draw_point(rng, alpha)
    cut_sides = _cut_sides(alpha)
    scale = max(scale, min(1.5 * _MAX_ENLARGEMENT, _scale_of_cut(cut_sides, alpha.shape, size)))
    if scale < 0.7:  # bilinear sampling alone would alias
        size_wh = (max(2, round(alpha.shape[1] * scale)), max(2, round(alpha.shape[0] * scale)))
        colour, alpha = (resize(part, size_wh, cv2.INTER_AREA) for part in (colour, alpha))
        point, scale = point * scale, 1.0
    spread = 0.07 if any(cut_sides) else 0.35
    is_usual = rng.random() < 0.85
    angle = float(rng.normal(0.0, spread) if is_usual else rng.uniform(-np.pi, np.pi) * (spread / 0.35))
    shear = float(rng.normal(0.0, 0.08))
    aspect = float(np.exp(rng.normal(0.0, 0.06)))
    flip = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = scale * turn @ np.array([[flip * aspect, shear], [0.0, 1.0 / aspect]])
    offset = np.array(anchor) * size - linear @ point
    offset += _offset_of_cut(cut_sides, alpha.shape, linear, offset, size)
    matrix = np.hstack([linear, offset[:, None]])
    canvas = (size, size)
    return Layer(
        colour=_warp(colour, matrix, canvas, cv2.BORDER_REPLICATE),
        alpha=_warp(alpha, matrix, canvas, cv2.BORDER_CONSTANT),
        owner=0,
    )


def _draw_layers(rng: np.random.Generator, sources: Sources, size: int) -> list[Layer]:
    """Draw the objects of one composite, placed, from back to front."""
    is_lookalike = rng.random() < 0.10
    num_objects = 2 if is_lookalike else int(rng.choice(3, p=(0.6, 0.3, 0.1))) + 1
    cutouts = [_draw_cutout(rng, sources, size) for _ in range(1 if is_lookalike else num_objects)]
    if is_lookalike:
        twin = cutouts[0]
        colour = recolour(rng, twin.colour, strength=0.4) if rng.random() < 0.5 else twin.colour
        cutouts.append(Cutout(colour, twin.alpha))
    # Several objects: smaller ones, spread over the picture, so that each is seen.
    least, largest = (0.6, 2.1) if num_objects == 1 else (0.5, 1.5)
    if rng.random() < SMALL_SHARE:
        least, largest = 0.2, 0.8
    extents = np.exp(rng.uniform(np.log(least), np.log(largest), num_objects))
    if is_lookalike:
        extents[1] = extents[0] * rng.uniform(0.85, 1.15)
    phase = float(rng.uniform(0, 2 * np.pi))
    layers = []
    for owner, cutout in enumerate(cutouts):
        angle = phase + 2 * np.pi * owner / num_objects
        reach = 0.08 if num_objects == 1 else float(rng.uniform(0.12, 0.3))
        x, y = 0.5 + reach * np.array([np.cos(angle), np.sin(angle)]) + rng.normal(0.0, 0.12, 2)
        anchor = (float(np.clip(x, 0.1, 0.9)), float(np.clip(y, 0.1, 0.9)))
        scale = min(_MAX_ENLARGEMENT, float(extents[owner]) * size / max(cutout.alpha.shape))
        layer = place(rng, cutout, size, scale, anchor)
        if rng.random() < 0.12:
            layer = _defocus(rng, layer)
        layers.append(Layer(layer.colour, layer.alpha, owner))
        if not is_lookalike and rng.random() < 0.2:
            layers.append(_merge_partner(rng, sources, size, anchor, owner))
    return layers


def _merge_partner(
    rng: np.random.Generator, sources: Sources, size: int, anchor: tuple[float, float], owner: int
) -> Layer:
    """A second cut-out that overlaps the first and counts as part of the same object."""
    cutout = _draw_cutout(rng, sources, size)
    scale = min(_MAX_ENLARGEMENT, float(rng.uniform(0.4, 0.9)) * size / max(cutout.alpha.shape))
    x, y = np.clip(np.array(anchor) + rng.normal(0.0, 0.07, 2), 0.1, 0.9)
    layer = place(rng, cutout, size, scale, (float(x), float(y)))
    return Layer(layer.colour, layer.alpha, owner)


def _draw_cutout(rng: np.random.Generator, sources: Sources, size: int) -> Cutout:
    if sources.cutouts is not None and rng.random() >= sources.procedural_share:
        return sources.cutouts.draw(rng)
    return make_cutout(rng, max(64, int(1.2 * size)), sources.photos)


def _draw_point(rng: np.random.Generator, alpha: UInt8Array) -> NDArray[np.float64]:
    """A point (x, y) of the object: mostly one of its soft border, where the work is, else its middle."""
    height, width = alpha.shape
    if rng.random() < 0.5:
        for _ in range(24):
            rows, columns = rng.integers(0, height, 32), rng.integers(0, width, 32)
            values = alpha[rows, columns]
            hits = np.flatnonzero((values > 12) & (values < 243))
            if len(hits):
                return np.array([columns[hits[0]], rows[hits[0]]], np.float64)
    moments = cv2.moments(alpha)
    if moments["m00"] <= 0:
        return np.array([width / 2, height / 2])
    return np.array([moments["m10"], moments["m01"]]) / moments["m00"]


def _cut_sides(alpha: UInt8Array) -> tuple[bool, bool, bool, bool]:
    """Which borders (left, top, right, bottom) of the cut-out's own picture cut the object off."""
    edges = (alpha[:, 0], alpha[0], alpha[:, -1], alpha[-1])
    left, top, right, bottom = (bool(edge.mean() > 0.05 * 255) for edge in edges)
    return left, top, right, bottom


def _scale_of_cut(cut_sides: tuple[bool, bool, bool, bool], shape: tuple[int, ...], size: int) -> float:
    """The least scale at which a cut-out that two opposite borders cut off spans the canvas; 0 for others."""
    left, top, right, bottom = cut_sides
    height, width = shape
    return max(1.1 * size / width if left and right else 0.0, 1.1 * size / height if top and bottom else 0.0)


def _offset_of_cut(
    cut_sides: tuple[bool, bool, bool, bool],
    shape: tuple[int, ...],
    linear: NDArray[np.float64],
    offset: NDArray[np.float64],
    size: int,
) -> NDArray[np.float64]:
    """The shift of a placed cut-out (x, y) that moves the borders which cut it off out of the canvas."""
    height, width = shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64) @ linear.T + offset
    centre = corners.mean(axis=0)
    # Side k runs from corner k - 1 to corner k, in the order left, top, right, bottom.
    moves: tuple[list[float], list[float]] = ([], [])
    for is_cut, ends in zip(cut_sides, ((3, 0), (0, 1), (1, 2), (2, 3)), strict=True):
        if is_cut:
            side = corners[list(ends)]
            outward = side.mean(axis=0) - centre
            axis = int(np.argmax(np.abs(outward)))
            places = side[:, axis]
            moves[axis].append(max(0.0, size - places.min()) if outward[axis] > 0 else min(0.0, -places.max()))
    return np.array([sum(wanted) for wanted in moves], np.float64)


def _defocus(rng: np.random.Generator, layer: Layer) -> Layer:
    """Soften a layer's outline: out of focus, or (one in three) blurred by motion."""
    if rng.random() < 0.67:
        sigma = float(rng.uniform(0.6, 2.5))
        return replace(layer, colour=_blur(layer.colour, sigma), alpha=_blur(layer.alpha, sigma))
    length = int(rng.integers(3, 14))
    kernel = np.zeros((length, length), np.float32)
    angle = float(rng.uniform(0, np.pi))
    reach = (length - 1) / 2 * np.array([np.cos(angle), np.sin(angle)])
    middle = (length - 1) / 2
    start, end = (tuple(round(float(value)) for value in middle + sign * reach) for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    kernel /= kernel.sum()
    colour, alpha = (np.asarray(cv2.filter2D(part, -1, kernel), np.uint8) for part in (layer.colour, layer.alpha))
    return replace(layer, colour=colour, alpha=alpha)


def _tune_colours(rng: np.random.Generator, layers: Sequence[Layer], background: UInt8Array) -> list[Layer]:
    """Recolour each layer: harmonised with the background, changed on its own, or left as it is."""
    tuned = []
    for layer in layers:
        kind = rng.random()
        colour = layer.colour
        if kind < 0.3:
            colour = _harmonise(colour, layer.alpha, background, share=float(rng.uniform(0.2, 0.7)))
        elif kind < 0.75:
            colour = recolour(rng, colour, strength=0.8)
        tuned.append(replace(layer, colour=colour))
    return tuned


def _borrow_colours(rng: np.random.Generator, layer: Layer, background: UInt8Array) -> Layer:
    """Give stripes, straps and patches of an object the background's colours, so that they are not taken for holes."""
    depth = cv2.distanceTransform((layer.alpha > 200).astype(np.uint8), cv2.DIST_L2, 3)
    # mostly far from the outline: there the mask is right, near it a gap is as likely
    places = np.argwhere(depth > (0.5 * depth.max() if rng.random() < 0.75 else 0))
    if len(places) < 64:
        return layer
    size = background.shape[0]
    region = np.zeros(layer.alpha.shape, np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        points = places[rng.integers(0, len(places), int(rng.integers(2, 5)))][:, ::-1].astype(np.float64)
        width = max(2, round(size * float(np.exp(rng.uniform(np.log(0.008), np.log(0.08))))))
        kind = rng.random()
        if kind < 0.35:
            cv2.polylines(region, [points.astype(np.int32)], False, 255, width)
        elif kind < 0.7:
            _draw_strap(rng, region, points[0], points[-1], width)
        else:
            across, along = (round(width * float(rng.uniform(0.5, 1.5))) for _ in range(2))
            centre = (int(points[0, 0]), int(points[0, 1]))
            cv2.ellipse(region, centre, (across, along), float(rng.uniform(0, 180)), 0, 360, 255, cv2.FILLED)
    if rng.random() < 0.4:  # the background's texture, from elsewhere
        shift = tuple(int(value) for value in rng.integers(size // 16, size, 2))
        borrowed = np.roll(background, shift, (0, 1)).astype(np.float32)
    else:  # one of its colours, half of the time one that is seen beside the object
        row, column = places[rng.integers(len(places))]
        beside = np.flatnonzero(layer.alpha[row] == 0)
        if rng.random() < 0.5 and len(beside):
            column = beside[np.argmin(np.abs(beside - column))]
        else:
            row, column = rng.integers(0, size, 2)
        borrowed = np.full(background.shape, background[row, column], np.float32)
    borrowed *= float(rng.uniform(0.85, 1.1))
    if rng.random() < 0.5:  # thick cloth: its rims are darker or lighter than its middle
        inside = cv2.distanceTransform(region, cv2.DIST_L2, 3)
        rim = np.exp(-inside / max(1.0, size * float(rng.uniform(0.002, 0.012))))
        borrowed *= 1.0 - float(rng.uniform(-0.1, 0.35)) * rim[..., None]
    weight = _blur(region, float(rng.uniform(0.5, 1.5))).astype(np.float32)[..., None] / 255.0
    colour = layer.colour + (borrowed - layer.colour) * weight
    return replace(layer, colour=np.clip(colour + 0.5, 0, 255).astype(np.uint8))


def _draw_strap(
    rng: np.random.Generator, region: UInt8Array, start: NDArray[np.float64], end: NDArray[np.float64], width: int
) -> None:
    """A long bent band through two points and beyond them, often two side by side, as straps and braces are."""
    along = end - start
    normal = np.array([-along[1], along[0]]) * float(rng.normal(0, 0.15))
    at = np.linspace(-float(rng.uniform(0, 0.5)), 1.0 + float(rng.uniform(0, 0.5)), 24)[:, None]
    curve = start + at * along + np.sin(np.pi * at) * normal
    beside = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1.0) * width * float(rng.uniform(1.1, 2.5))
    for offset in (0.0, 1.0) if rng.random() < 0.4 else (0.0,):
        points = np.rint(curve + offset * beside * (1 + 0.3 * np.sin(2 * at))).astype(np.int32)
        cv2.polylines(region, [points], False, 255, width)


def _harmonise(colour: UInt8Array, alpha: UInt8Array, background: UInt8Array, share: float) -> UInt8Array:
    """Move the foreground's mean towards the background's, as common light would."""
    own = np.array(cv2.mean(colour, (alpha > 64).astype(np.uint8))[:3])
    other = np.array(cv2.mean(background)[:3])
    gain = np.clip((other + 16.0) / (own + 16.0), 0.4, 2.2) ** share
    table = np.clip(np.arange(256)[:, None] * gain[None], 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(colour, table[None]), np.uint8)


def _match_colours(background: UInt8Array, layer: Layer, share: float) -> UInt8Array:
    """Give the background the foreground's mean and spread of colour: camouflage."""
    solid = (layer.alpha > 128).astype(np.uint8)
    if not solid.any():
        return background
    own_mean, own_spread = (value.ravel() for value in cv2.meanStdDev(layer.colour, mask=solid))
    mean, spread = (value.ravel() for value in cv2.meanStdDev(background))
    gain = (1 - share) + share * np.clip(own_spread / np.maximum(spread, 4.0), 0.3, 2.0)
    target = (1 - share) * mean + share * own_mean
    table = np.clip((np.arange(256)[:, None] - mean) * gain + target, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(background, table[None]), np.uint8)


def _from_own_texture(rng: np.random.Generator, layer: Layer, size: int) -> UInt8Array:
    """A background made of the foreground's own (extended) colours, mirrored, magnified, perhaps blurred."""
    side = max(8, int(size * rng.uniform(0.3, 0.9)))
    top, left = (int(value) for value in rng.integers(0, size - side + 1, 2))
    patch = layer.colour[top : top + side, left : left + side][::-1, ::-1]
    patch = resize(np.ascontiguousarray(patch), (size, size), cv2.INTER_LINEAR)
    patch = _blur(patch, float(rng.uniform(0.5, 4.0)))
    return recolour(rng, patch, strength=0.2)


def _studio_backdrop(rng: np.random.Generator, size: int) -> UInt8Array:
    """A plain colour or a smooth gradient, grey, white, black, coloured or green-screen."""
    kind = rng.random()
    if kind < 0.35:
        base = np.full(3, rng.uniform(0, 255)) + rng.normal(0, 6, 3)
    elif kind < 0.55:
        base = np.array([40.0, 180.0, 70.0]) if rng.random() < 0.6 else np.array([40.0, 80.0, 200.0])
        base = base + rng.normal(0, 25, 3)
    else:
        base = rng.uniform(0, 255, 3)
    spread = 0.0 if rng.random() < 0.3 else float(rng.uniform(5, 50))
    corners = base + rng.normal(0, spread, (3, 3, 1)) + rng.normal(0, spread / 3, (3, 3, 3))
    smooth = cv2.resize(corners.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 255).astype(np.uint8)


def _mix_two(rng: np.random.Generator, first: UInt8Array, second: UInt8Array) -> UInt8Array:
    """Join two photos along a smooth random border, hard or soft, for more kinds of edges in the background."""
    size = first.shape[0]
    field = cv2.resize(rng.standard_normal((4, 4)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    slope = float(np.exp(rng.uniform(np.log(1.0), np.log(60.0))))
    weight = np.clip(field * slope + 0.5, 0.0, 1.0)[..., None]
    return np.asarray(second + (first.astype(np.float32) - second) * weight + 0.5, np.uint8)


def _cast_shadow(rng: np.random.Generator, background: UInt8Array, layers: Sequence[Layer]) -> UInt8Array:
    """Darken the background beside and below the objects by a soft, displaced copy of their alpha."""
    size = background.shape[0]
    small = max(16, size // 4)
    solid = layers[0].alpha if len(layers) == 1 else np.maximum.reduce([layer.alpha for layer in layers])
    shape = cv2.resize(solid, (small, small), interpolation=cv2.INTER_AREA)
    down, right = float(rng.uniform(0.0, 0.12)), float(rng.normal(0.0, 0.08))
    flatten = float(rng.uniform(0.6, 1.0))
    matrix = np.array([[1.0, float(rng.normal(0, 0.15)), right * small], [0.0, flatten, (1 - flatten + down) * small]])
    shape = cv2.warpAffine(shape, matrix, (small, small), borderMode=cv2.BORDER_REPLICATE)
    shape = cv2.GaussianBlur(shape, (0, 0), small * float(rng.uniform(0.015, 0.08)))
    shade = cv2.resize(shape, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255.0
    return (background * (1.0 - float(rng.uniform(0.2, 0.75)) * shade)[..., None]).astype(np.uint8)


def _blur_strongly(image: UInt8Array, sigma: float) -> UInt8Array:
    """A wide Gaussian, computed on a smaller picture where that loses nothing."""
    factor = int(np.clip(sigma / 2.0, 1, 8))
    if factor == 1:
        return _blur(image, sigma)
    size = image.shape[0]
    small = max(8, size // factor)
    reduced = _blur(resize(image, (small, small), cv2.INTER_AREA), sigma * small / size)
    return resize(reduced, (size, size), cv2.INTER_CUBIC)


def _blur(image: UInt8Array, sigma: float) -> UInt8Array:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def _warp(image: UInt8Array, matrix: NDArray[np.float64], size_wh: tuple[int, int], border: int) -> UInt8Array:
    return np.asarray(cv2.warpAffine(image, matrix, size_wh, flags=cv2.INTER_LINEAR, borderMode=border), np.uint8)


def _hue_saturation_matrix(turn: float, saturation: float) -> NDArray[np.float64]:
    """RGB matrix that turns hues by an angle in radians about the grey axis and scales saturation."""
    grey = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    matrix = grey + saturation * (np.cos(turn) * (np.eye(3) - grey) + np.sin(turn) * cross)
    return np.asarray(matrix, np.float64)


def _bounds(alpha: UInt8Array) -> tuple[slice, slice]:
    """The smallest window that holds all of an alpha; empty slices when it is zero everywhere."""
    x, y, width, height = cv2.boundingRect(alpha)
    return slice(y, y + height), slice(x, x + width)
