"""Solid bodies: the outlines of things and figures, painted with photos, light and details."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2alpha.data.cutout import TextureSource
from mask2alpha.data.synthetic.canvas import (
    FLOWER_COLOURS,
    FRACTION_BITS,
    NATURAL_COLOURS,
    PLANT_COLOURS,
    SKIN_COLOURS,
    TOY_COLOURS,
    Colours,
    Floats,
    Points,
    fill_polygon,
    fixed_point,
    grain,
    light_field,
    pick_colour,
    plain,
    shade,
    smooth_noise,
    tint,
)

ALL_COLOURS = NATURAL_COLOURS + TOY_COLOURS + PLANT_COLOURS + FLOWER_COLOURS


@dataclass(frozen=True, slots=True)
class Body:
    """A painted body without its edge style."""

    colour: NDArray[np.uint8]
    """(size, size, 3), defined everywhere."""
    alpha: NDArray[np.uint8]
    """(size, size), anti-aliased, otherwise 0 or 255."""
    head: tuple[float, float, float]
    """x, y and radius of the part that hair would grow on."""


def blob(rng: np.random.Generator, centre: tuple[float, float], radii: tuple[float, float], roughness: float) -> Points:
    """A closed smooth outline around `centre`: an ellipse of `radii` with random Fourier terms; (96, 2)."""
    turn = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radius = np.ones_like(turn)
    for order in range(2, 8):
        radius += roughness * rng.normal() / order**1.1 * np.cos(order * turn + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.3, 2.0)
    tilt = rng.uniform(-0.5, 0.5)
    return tilted(centre, radii[0] * radius * np.cos(turn), radii[1] * radius * np.sin(turn), tilt).astype(np.float32)


def tilted(centre: Floats | tuple[float, float], x: Floats, y: Floats, angle: float) -> Points:
    """Points of a shape about `centre`, (N,) and (N,), turned by an angle [rad]; (N, 2)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([centre[0] + x * cosine - y * sine, centre[1] + x * sine + y * cosine], 1)


def capsule(start: tuple[float, float], end: tuple[float, float], start_radius: float, end_radius: float) -> Points:
    """The outline of a limb with round ends; (48, 2)."""
    angle = np.arctan2(end[1] - start[1], end[0] - start[0])
    half = np.linspace(-np.pi / 2, np.pi / 2, 24)
    far = np.stack([end[0] + end_radius * np.cos(angle + half), end[1] + end_radius * np.sin(angle + half)], 1)
    near = np.stack([start[0] - start_radius * np.cos(angle + half), start[1] - start_radius * np.sin(angle + half)], 1)
    return np.concatenate([far, near]).astype(np.float32)


def _figure(rng: np.random.Generator, size: int) -> tuple[list[Points], tuple[float, float, float]]:
    """A toy: body, limbs, head, ears."""
    s = size * rng.uniform(0.85, 1.4)
    x, y = size * rng.uniform(0.35, 0.65), size * rng.uniform(0.2, 0.42)
    r = s * rng.uniform(0.13, 0.22)
    belly = s * rng.uniform(0.16, 0.28)
    middle = (x + s * rng.normal(0, 0.05), y + 0.85 * r + 0.85 * belly)
    parts = []
    for side in (-1, 1):
        shoulder = (middle[0] + side * belly * 0.6, middle[1] - belly * 0.6)
        hand = (shoulder[0] + side * s * rng.uniform(0.05, 0.28), shoulder[1] + s * rng.uniform(-0.15, 0.25))
        parts.append(capsule(shoulder, hand, s * rng.uniform(0.05, 0.08), s * rng.uniform(0.04, 0.09)))
        hip = (middle[0] + side * belly * 0.5, middle[1] + belly * 0.7)
        foot = (hip[0] + side * s * rng.uniform(0.0, 0.2), hip[1] + s * rng.uniform(0.15, 0.35))
        parts.append(capsule(hip, foot, s * rng.uniform(0.06, 0.1), s * rng.uniform(0.06, 0.11)))
    parts.append(blob(rng, middle, (belly, belly * rng.uniform(1.0, 1.35)), 0.06))
    for side in (-1, 1):
        ear = (x + side * r * rng.uniform(0.6, 0.95), y - r * rng.uniform(0.5, 0.95))
        long_ear = rng.uniform(0.25, 0.8)
        parts.append(blob(rng, ear, (r * rng.uniform(0.2, 0.45), r * long_ear), 0.05))
    parts.append(blob(rng, (x, y), (r, r * rng.uniform(0.9, 1.2)), 0.05))
    if rng.random() < 0.5:  # muzzle
        parts.append(blob(rng, (x + r * rng.uniform(-0.3, 0.3), y + r * 0.4), (r * 0.5, r * 0.35), 0.05))
    return parts, (x, y, r)


def _bust(rng: np.random.Generator, size: int) -> tuple[list[Points], tuple[float, float, float]]:
    """A head on a neck and shoulders that leave the picture."""
    x, y = size * rng.uniform(0.35, 0.65), size * rng.uniform(0.35, 0.5)
    r = size * rng.uniform(0.17, 0.33)
    low = size * 1.1
    neck = capsule((x, y), (x + r * rng.normal(0, 0.2), y + r * 1.8), r * 0.5, r * 0.5)
    width = r * rng.uniform(1.5, 2.6)
    shoulders = blob(rng, (x, low), (width, low - y - r * rng.uniform(1.3, 1.7)), 0.04)
    head = blob(rng, (x, y), (r * rng.uniform(0.8, 0.95), r * rng.uniform(1.05, 1.25)), 0.02)
    return [shoulders, neck, head], (x, y, r)


def _thing(rng: np.random.Generator, size: int) -> tuple[list[Points], tuple[float, float, float]]:
    """One to four lobes, pots, boxes; often cut by the picture's lower edge."""
    x, y = size * rng.uniform(0.35, 0.65), size * rng.uniform(0.45, 0.8)
    r = size * rng.uniform(0.2, 0.42)
    parts = [blob(rng, (x, y), (r, r * rng.uniform(0.6, 1.4)), rng.uniform(0.02, 0.3))]
    for _ in range(int(rng.integers(0, 4))):
        angle, away = rng.uniform(0, 2 * np.pi), r * rng.uniform(0.5, 1.1)
        lobe = r * rng.uniform(0.2, 0.6)
        centre = (x + away * np.cos(angle), y + away * np.sin(angle))
        parts.append(blob(rng, centre, (lobe, lobe * rng.uniform(0.5, 1.5)), rng.uniform(0.02, 0.2)))
    if rng.random() < 0.4:  # something angular: a pot, a box, a blade
        corners = int(rng.integers(3, 7))
        turn = np.sort(rng.uniform(0, 2 * np.pi, corners))
        reach = r * rng.uniform(0.6, 1.3, corners)
        parts.append(np.stack([x + reach * np.cos(turn), y + reach * np.sin(turn)], 1).astype(np.float32))
    if rng.random() < 0.3:
        angle = rng.uniform(0, 2 * np.pi)
        end = (x + 1.6 * r * np.cos(angle), y + 1.6 * r * np.sin(angle))
        parts.append(capsule((x, y), end, r * rng.uniform(0.05, 0.2), r * rng.uniform(0.02, 0.15)))
    return parts, (x, y, r * 0.7)


SHAPES = {"figure": (_figure, 0.4), "bust": (_bust, 0.2), "thing": (_thing, 0.4)}


def make_body(rng: np.random.Generator, size: int, textures: TextureSource, shape: str | None = None) -> Body:
    """Outline and paint a random body.

    Args:
        rng: Random numbers.
        size: Side of the picture [px].
        textures: Photographs to paint with.
        shape: A key of `SHAPES`; None draws one.
    """
    if shape is None:
        shape = str(rng.choice(list(SHAPES), p=[weight for _, weight in SHAPES.values()]))
    parts, head = SHAPES[shape][0](rng, size)
    photo = textures(rng, size)
    main = pick_colour(rng, ALL_COLOURS)
    surface = _paint(rng, photo, main)
    if shape == "bust" and rng.random() < 0.6:
        surface = tint(photo, pick_colour(rng, SKIN_COLOURS), rng.uniform(0.03, 0.2))
    colour = surface.copy()
    alpha = np.zeros((size, size), np.uint8)
    creases = np.zeros((size, size), np.uint8)
    for part in parts:
        mask = np.zeros((size, size), np.uint8)
        fill_polygon(mask, part, 255)
        area = cv2.dilate(mask, np.ones((5, 5), np.uint8))
        if rng.random() < (0.4 if shape != "bust" else 0.7 if len(parts) and part is parts[0] else 0.1):
            other = pick_colour(rng, ALL_COLOURS) if rng.random() < 0.6 else main * np.float32(rng.uniform(0.5, 1.4))
            turned = np.ascontiguousarray(photo[::-1] if rng.random() < 0.5 else photo[:, ::-1])
            cv2.copyTo(_paint(rng, turned, other), area, colour)
        else:
            cv2.copyTo(surface, area, colour)
        line = [fixed_point(part)]
        cv2.fillPoly(creases, line, 0, cv2.LINE_AA, FRACTION_BITS)
        cv2.polylines(creases, line, True, 255, max(2, size // 60), cv2.LINE_AA, FRACTION_BITS)
        alpha = np.asarray(cv2.max(alpha, mask), np.uint8)
    _add_details(rng, colour, parts, head)
    return Body(_light(rng, colour, alpha, creases), alpha, head)


def _paint(rng: np.random.Generator, photo: NDArray[np.uint8], colour: Colours) -> NDArray[np.uint8]:
    """Make a surface: the photo as it is, tinted, or plain cloth, with an optional pattern."""
    size, kind = photo.shape[0], rng.random()
    if kind < 0.25:
        surface = photo.copy()
    elif kind < 0.75:
        surface = tint(photo, np.clip(colour, 0, 255), rng.uniform(0.15, 0.9))
    else:
        surface = plain(size, colour)
    if rng.random() < 0.35:
        surface = shade(surface, _pattern(rng, size))
    return surface


def _pattern(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """The gain of stripes, checks, ribs or grain, warped like cloth."""
    depth = rng.uniform(0.08, 0.4)
    if rng.random() < 0.35:
        return np.asarray(1 + np.float32(depth * 0.6) * grain(rng, size, rng.uniform(0.0, 1.5)), np.float32)
    low = size // 2
    angle, wave = rng.uniform(0, np.pi), 2 * np.pi / rng.uniform(2.5, low / 8)
    axis = np.arange(low, dtype=np.float32) * np.float32(wave)
    warp = smooth_noise(rng, low, 4) * np.float32(rng.uniform(0, 2.5))
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    wavy = np.sin(cosine * axis[None] + sine * axis[:, None] + warp)
    if rng.random() < 0.4:
        wavy *= np.sin(sine * axis[None] - cosine * axis[:, None] + warp)
    if rng.random() < 0.4:
        wavy = np.clip(wavy * 4, -1, 1)
    gain = (1 + np.float32(depth) * wavy).astype(np.float32)
    return np.asarray(cv2.resize(gain, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _add_details(
    rng: np.random.Generator, colour: NDArray[np.uint8], parts: list[Points], head: tuple[float, float, float]
) -> None:
    """Draw eyes, buttons, patches, seams: inner edges as strong as the outline."""
    x, y, r = head
    if rng.random() < 0.4:
        gap, eye = r * rng.uniform(0.25, 0.45), r * rng.uniform(0.06, 0.16)
        for side in (-1, 1):
            centre = (x + side * gap, y - r * rng.uniform(-0.1, 0.2))
            for scale, tone in ((1.0, (235, 235, 230) if rng.random() < 0.5 else (15, 12, 12)), (0.65, (18, 14, 14))):
                fill_polygon(colour, blob(rng, centre, (eye * scale, eye * scale), 0.02), tone)
            glint = (centre[0] + eye * 0.2, centre[1] - eye * 0.3)
            fill_polygon(colour, blob(rng, glint, (eye * 0.2, eye * 0.2), 0.0), (250, 250, 250))
    for _ in range(int(rng.integers(0, 7))):
        part = parts[int(rng.integers(len(parts)))]
        centre = part.mean(axis=0)
        paint = tuple(float(v) for v in pick_colour(rng, ALL_COLOURS))
        reach = float(np.ptp(part[:, 0])) * rng.uniform(0.04, 0.25) + 1
        spot = centre + rng.normal(0, 0.25, 2) * np.ptp(part, axis=0)
        if rng.random() < 0.6:
            patch = blob(rng, (float(spot[0]), float(spot[1])), (reach, reach * rng.uniform(0.4, 1.4)), 0.12)
            fill_polygon(colour, patch, paint)
        else:
            seam = fixed_point((part - centre) * rng.uniform(0.3, 0.9) + spot)
            stop = int(rng.integers(10, len(seam) + 1)) if len(seam) > 10 else len(seam)
            cv2.polylines(colour, [seam[:stop]], False, paint, int(rng.integers(1, 5)), cv2.LINE_AA, FRACTION_BITS)


def _light(
    rng: np.random.Generator, colour: NDArray[np.uint8], alpha: NDArray[np.uint8], creases: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Shade a body: a light from one side, round limbs, dark creases between parts, now and then a highlight."""
    size = alpha.shape[0]
    low = size // 4
    gain = light_field(rng, low)
    shape = np.asarray(cv2.resize(alpha, (low, low), interpolation=cv2.INTER_AREA), np.float32) / 255
    thick = np.asarray(cv2.GaussianBlur(shape, (0, 0), low * rng.uniform(0.03, 0.1)), np.float32)
    roundness = rng.uniform(0.0, 0.7)
    gain = gain * (1 - roundness + roundness * np.clip(thick * 1.6 - 0.45, 0.0, 1.1))
    side = rng.uniform(0, 2 * np.pi)
    relief = cv2.Sobel(thick, cv2.CV_32F, 1, 0) * np.cos(side) + cv2.Sobel(thick, cv2.CV_32F, 0, 1) * np.sin(side)
    gain = gain * (1 + rng.uniform(0, 1.2) * np.clip(relief * 2, -0.45, 0.45))
    small = np.asarray(cv2.resize(creases, (low, low), interpolation=cv2.INTER_AREA), np.float32) / 255
    fold = np.asarray(cv2.GaussianBlur(small, (0, 0), rng.uniform(0.6, 2.0)), np.float32)
    gain = gain * (1 - rng.uniform(0.1, 0.6) * np.clip(fold * 1.3, 0, 1))
    wide = np.asarray(cv2.resize(gain.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
    return shade(colour, wide)
