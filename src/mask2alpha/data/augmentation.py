"""Degrades a composite as cameras and files do: exposure, colour cast, noise, blur, resampling, sharpening, JPEG.

The alpha is not changed. About half of the composites stay nearly clean.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
_RAMP = np.arange(256, dtype=np.float32) / 255.0


def augment_image(rng: np.random.Generator, image: UInt8Array) -> UInt8Array:
    """Degrade a composite as cameras and files do.

    Args:
        rng: Random numbers.
        image: (height, width, 3) uint8 RGB.

    Returns:
        An image of the same shape.
    """
    if rng.random() < 0.6:
        image = adjust_tones(rng, image)
    if rng.random() < 0.35:
        return image
    # The order follows a camera: optics, sensor, processing, file.
    chances = {blur_slightly: 0.15, add_noise: 0.30, resample: 0.12, sharpen: 0.15, compress_jpeg: 0.45}
    for degrade, chance in chances.items():
        if rng.random() < chance:
            image = degrade(rng, image)
    return image


def adjust_tones(rng: np.random.Generator, image: UInt8Array) -> UInt8Array:
    """Change exposure, gamma, contrast and white balance; one time in eight, to low light."""
    gamma = float(np.exp(rng.normal(0.0, 0.18)))
    gain = float(np.exp(rng.normal(0.0, 0.12)))
    if rng.random() < 0.12:
        gain *= float(rng.uniform(0.25, 0.6))
    contrast = float(np.exp(rng.normal(0.0, 0.12)))
    cast = np.exp(rng.normal(0.0, 0.05, 3)) if rng.random() < 0.6 else np.ones(3)
    curves = np.power(_RAMP, gamma)[:, None] * (gain * cast)[None].astype(np.float32)
    pivot = 0.45 * min(1.0, gain)
    curves = (curves - pivot) * contrast + pivot
    if rng.random() < 0.25:  # lifted blacks: haze, flare
        curves = curves * 0.92 + float(rng.uniform(0.0, 0.08))
    table = np.clip(np.rint(curves * 255.0), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


def blur_slightly(rng: np.random.Generator, image: UInt8Array) -> UInt8Array:
    """Blur by a Gaussian of 0.4 to 1.2 px."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.2))), np.uint8)


def add_noise(rng: np.random.Generator, image: UInt8Array) -> UInt8Array:
    """Add sensor noise: a constant part and one that grows with the square root of the signal."""
    read = float(rng.uniform(0.0, 5.0))
    shot = float(rng.uniform(0.0, 9.0))
    height, width = image.shape[:2]
    is_grey = rng.random() < 0.4
    noise = rng.standard_normal((height, width, 1 if is_grey else 3), dtype=np.float32)
    spread = (read + shot * np.sqrt(_RAMP)).astype(np.float32)
    return np.asarray(np.clip(image + noise * spread[image] + 0.5, 0, 255), np.uint8)


def resample(rng: np.random.Generator, image: UInt8Array) -> UInt8Array:
    """Shrink by a factor of up to 2 and enlarge again."""
    height, width = image.shape[:2]
    scale = float(rng.uniform(0.5, 0.95))
    small_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, small_wh, interpolation=cv2.INTER_AREA)
    interpolation = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(small, (width, height), interpolation=interpolation), np.uint8)


def sharpen(rng: np.random.Generator, image: UInt8Array) -> UInt8Array:
    """Apply an unsharp mask."""
    amount = float(rng.uniform(0.2, 1.2))
    blurred = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.7, 1.6)))
    return np.asarray(cv2.addWeighted(image, 1.0 + amount, blurred, -amount, 0.0), np.uint8)


def compress_jpeg(rng: np.random.Generator, image: UInt8Array) -> UInt8Array:
    """Write as JPEG of a quality of 40 to 98, mostly high, and read again."""
    quality = int(98 - 58 * rng.random() ** 1.7)
    is_written, content = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert is_written
    decoded = cv2.imdecode(content, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded[..., ::-1], np.uint8, order="C")
