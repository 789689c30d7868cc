"""Edges of solid bodies: sharp, out of focus, moving, fuzzy, see-through, with holes."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2alpha.data.cutout import Cutout
from mask2alpha.data.synthetic.bodies import blob, capsule
from mask2alpha.data.synthetic.canvas import fill_polygon, fractal_noise, grain, smooth_noise

Alpha = NDArray[np.uint8]


def extend_colour(colour: NDArray[np.uint8], alpha: Alpha) -> NDArray[np.uint8]:
    """Continue a body's colours outwards over where its alpha is zero, so that a softer edge finds them."""
    size = alpha.shape[0]
    low = max(8, size // 8)
    weight = np.asarray(cv2.resize(alpha, (low, low), interpolation=cv2.INTER_AREA), np.float32) / 255
    small = np.asarray(cv2.resize(colour, (low, low), interpolation=cv2.INTER_AREA), np.float32)
    near_weight, far_weight = cv2.GaussianBlur(weight, (0, 0), 1.0), cv2.GaussianBlur(weight, (0, 0), 6.0)
    near = cv2.GaussianBlur(small * weight[..., None], (0, 0), 1.0)
    far = cv2.GaussianBlur(small * weight[..., None], (0, 0), 6.0)
    total = near_weight + 1e-2 * far_weight + 1e-6
    spread = np.clip((near + 1e-2 * far) / total[..., None], 0, 255).astype(np.uint8)
    outside = np.asarray(cv2.resize(spread, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
    inside = cv2.dilate(alpha, np.ones((3, 3), np.uint8))
    cv2.copyTo(colour, inside, outside)
    return outside


def sharp(rng: np.random.Generator, alpha: Alpha) -> Alpha:
    """Leave the edge as a camera in focus shows it."""
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.35, 0.9)), np.uint8)


def defocused(rng: np.random.Generator, alpha: Alpha) -> Alpha:
    """Blur the edge, evenly or by an amount that changes along it."""
    size = alpha.shape[0]
    sigma = size / 384 * np.exp(rng.uniform(np.log(1.0), np.log(7.0)))
    soft = np.asarray(cv2.GaussianBlur(alpha, (0, 0), sigma), np.uint8)
    if rng.random() < 0.4:
        return soft
    weight = np.clip(0.5 + 0.7 * smooth_noise(rng, size, int(rng.integers(1, 5))), 0, 1).astype(np.float32)
    return np.asarray(cv2.blendLinear(sharp(rng, alpha), soft, 1 - weight, weight), np.uint8)


def moving(rng: np.random.Generator, alpha: Alpha) -> Alpha:
    """Blur the edge along one direction."""
    length = int(rng.integers(4, max(5, alpha.shape[0] // 14)))
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.uint8)
    angle = rng.uniform(0, np.pi)
    reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    fill_polygon(
        kernel, capsule((length - reach[0], length - reach[1]), (length + reach[0], length + reach[1]), 0.5, 0.5), 255
    )
    weights = kernel.astype(np.float32)
    return np.asarray(cv2.filter2D(alpha, -1, weights / weights.sum()), np.uint8)


def fuzzy(rng: np.random.Generator, alpha: Alpha) -> Alpha:
    """Fray the edge by a few pixels, like felt, terry cloth or short plush."""
    size = alpha.shape[0]
    reach = size / 384 * rng.uniform(1.5, 7.0)
    fine = grain(rng, size, rng.uniform(0.5, 1.3))
    soft = np.asarray(cv2.GaussianBlur(alpha, (0, 0), reach), np.float32) / 255
    ragged = soft + fine * np.float32(4 * rng.uniform(0.10, 0.28)) * soft * (1 - soft)
    edge, slope = rng.uniform(0.3, 0.5), rng.uniform(1.5, 4.0)
    return (np.clip((ragged - edge) * slope + 0.5, 0, 1) * 255).astype(np.uint8)


def punched(rng: np.random.Generator, alpha: Alpha) -> Alpha:
    """Cut holes: a few large ones, or a field of small ones."""
    size = alpha.shape[0]
    holes = np.zeros_like(alpha)
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 7))):
            radius = size * rng.uniform(0.015, 0.1)
            centre = (size * rng.uniform(0.15, 0.85), size * rng.uniform(0.15, 0.95))
            fill_polygon(holes, blob(rng, centre, (radius, radius * rng.uniform(0.4, 1.2)), 0.15), 255)
    else:
        pitch = size * rng.uniform(0.03, 0.09)
        radius, angle = pitch * rng.uniform(0.25, 0.42), rng.uniform(0, np.pi)
        grid = np.stack(np.meshgrid(np.arange(-30, 31), np.arange(-30, 31)), -1).reshape(-1, 2) * pitch
        turned = grid @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        reach = size * rng.uniform(0.15, 0.5)
        centres = turned[np.linalg.norm(turned, axis=1) < reach] + size * rng.uniform(0.3, 0.7, 2)
        for x, y in centres:
            cv2.circle(holes, (round(x * 16), round(y * 16)), round(radius * 16), 255, -1, cv2.LINE_AA, 4)
    return np.asarray(cv2.multiply(sharp(rng, alpha), cv2.bitwise_not(holes), scale=1 / 255), np.uint8)


def glassy(rng: np.random.Generator, alpha: Alpha) -> Alpha:
    """Make the inside see-through behind a denser rim, with opaque glints."""
    size = alpha.shape[0]
    inner = np.asarray(cv2.GaussianBlur(alpha, (0, 0), size * rng.uniform(0.01, 0.035)), np.float32) / 255
    low, rim = rng.uniform(0.12, 0.7), rng.uniform(0.7, 1.0)
    veil = low + rng.uniform(0.0, 0.2) * fractal_noise(rng, size, 3)
    density = veil + (rim - veil) * np.clip((1 - inner) * 2.2, 0, 1) ** 1.5
    glint = np.zeros_like(alpha)
    for _ in range(int(rng.integers(0, 5))):
        centre = (size * rng.uniform(0.25, 0.75), size * rng.uniform(0.25, 0.85))
        fill_polygon(
            glint, blob(rng, centre, (size * rng.uniform(0.005, 0.04), size * rng.uniform(0.01, 0.1)), 0.1), 255
        )
    glint = np.asarray(cv2.GaussianBlur(glint, (0, 0), size * 0.006), np.uint8)
    density = np.clip(density, 0.05, 1.0)
    density = np.maximum(density, glint.astype(np.float32) / 255)
    return np.asarray(sharp(rng, alpha) * density, np.uint8)


def photograph(rng: np.random.Generator, cutout: Cutout) -> Cutout:
    """Blur colours and alpha as a lens and a sensor would: mostly a little, now and then out of focus in places."""
    size, choice = cutout.alpha.shape[0], rng.random()
    if choice < 0.35:
        return cutout
    sigma = rng.uniform(0.35, 0.8) if choice < 0.75 else size / 384 * np.exp(rng.uniform(np.log(0.8), np.log(3.0)))
    pixels = cv2.merge([cutout.colour, cutout.alpha])
    soft = cv2.GaussianBlur(pixels, (0, 0), sigma)
    if choice > 0.85:
        weight = np.clip(0.5 + 0.8 * smooth_noise(rng, size, int(rng.integers(1, 4))), 0, 1).astype(np.float32)
        soft = cv2.blendLinear(pixels, soft, 1 - weight, weight)
    colour = np.asarray(cv2.cvtColor(soft, cv2.COLOR_RGBA2RGB), np.uint8)
    return Cutout(colour, np.asarray(cv2.extractChannel(soft, 3), np.uint8))


EDGES: dict[str, tuple[Callable[[np.random.Generator, Alpha], Alpha], float]] = {
    "sharp": (sharp, 1.0),
    "defocused": (defocused, 1.0),
    "moving": (moving, 0.4),
    "fuzzy": (fuzzy, 1.2),
    "punched": (punched, 0.6),
    "glassy": (glassy, 0.5),
}
