"""A clip whose true alpha is known: a hair render that moves, turns and sways over a photograph that pans."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mask2alpha.evaluation.masks import make_mask

HAIR = Path(__file__).parent / "assets" / "hair.webp"
RECIPES = ("perturbed-v1", "eroded-v1", "lowres-v1", "dilated-v1")
PHOTO = Path(__file__).parents[1] / "examples" / "photos" / "chelsea.png"


@dataclass(frozen=True, kw_only=True)
class TrueFrame:
    image: NDArray[np.uint8]  # (H, W, 3)
    alpha: NDArray[np.float32]  # (H, W)
    mask: NDArray[np.uint8]  # (H, W), 0 and 255: rough, drawn anew for each frame


MOTIONS = ("gentle", "fast", "turning", "hidden", "returning")
"""How the target moves: slowly; up to a twentieth of the width per frame, blurred; by 6 degrees per frame while its
size more than doubles, blurred; behind a post; out of the frame and back."""


def make_clip(
    size: tuple[int, int], num_frames: int, *, period: int = 300, motion: str = "gentle"
) -> Iterator[TrueFrame]:
    """Frames of a size (height, width); after `period` of them the gentle motion and the camera's repeat."""
    height, width = size
    render = np.asarray(Image.open(HAIR).convert("RGBA"), dtype=np.float32) / 255
    premultiplied = np.dstack([render[..., :3] * render[..., 3:], render[..., 3]])
    photo = np.asarray(Image.open(PHOTO).convert("RGB"), dtype=np.float32) / 255
    zoom = 1.25 * max(height / photo.shape[0], width / photo.shape[1])
    exposed = np.linspace(-0.25, 0.25, 9) if motion in ("fast", "turning") else [0.0]
    for index in range(num_frames):
        phase = 2 * np.pi * index / period
        places = [_place(motion, index + moment, phase, num_frames) for moment in exposed]
        target = np.mean([_draw_target(premultiplied, size, *place) for place in places], axis=0, dtype=np.float32)
        pan = np.array([[zoom, 0, -0.1 * width * (1 + np.cos(phase))], [0, zoom, -0.1 * height * (1 + np.sin(phase))]])
        background = cv2.warpAffine(photo, pan, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        image = target[..., :3] + (1 - target[..., 3:]) * background
        alpha = np.ascontiguousarray(target[..., 3])
        if motion == "hidden":
            post = slice(round(0.45 * width), round(0.58 * width))
            image[:, post], alpha[:, post] = (0.35, 0.3, 0.25), 0
        yield TrueFrame(
            image=np.rint(image.clip(0, 1) * 255).astype(np.uint8),
            alpha=alpha,
            mask=rough_mask(alpha, index) if alpha.max() > 0.5 else np.zeros(size, np.uint8),
        )


def _place(motion: str, index: float, phase: float, num_frames: int) -> tuple[float, float, tuple[float, float], float]:
    """Angle in degrees, size over the frame's height, centre (x, y) over the frame's size, and shear."""
    if motion == "gentle":  # by up to 0.2 % of the height per frame; it turns, breathes and sways
        centre = 0.5 + 0.05 * np.sin(phase), 0.55 + 0.04 * np.cos(phase)
        return 6 * np.sin(phase), 0.9 * (1 + 0.04 * np.cos(phase)), centre, 0.06 * np.sin(2 * phase)
    if motion == "turning":
        return 6 * index, 0.6 + 0.25 * np.sin(2 * np.pi * index / 20), (0.5, 0.5), 0
    x, y = {
        "fast": (0.5 + 0.25 * np.sin(2 * np.pi * index / 30), 0.55 + 0.08 * np.cos(2 * np.pi * index / 17)),
        "hidden": (0.35 + 0.3 * index / num_frames, 0.55),
        "returning": (0.5 + 0.9 * np.sin(np.pi * index / num_frames), 0.55),
    }[motion]
    return 0, 0.7, (x, y), 0


def _draw_target(
    premultiplied: NDArray[np.float32],
    size: tuple[int, int],
    angle: float,
    share: float,
    centre: tuple[float, float],
    shear: float,
) -> NDArray[np.float32]:
    """The render over an empty frame: (H, W, 4), premultiplied."""
    height, width = size
    middle = (premultiplied.shape[1] / 2, premultiplied.shape[0] / 2)
    scale = share * height / premultiplied.shape[0]
    matrix = cv2.getRotationMatrix2D(middle, angle, scale)
    matrix[0, 1] += shear * scale
    matrix[:, 2] += np.array([width * centre[0], height * centre[1]]) - matrix @ [*middle, 1]
    smoothing = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    target = cv2.warpAffine(_shrunk(premultiplied, scale), _rescaled(matrix, scale), (width, height), flags=smoothing)
    return target.clip(0, 1)


def rough_mask(alpha: NDArray[np.float32], index: int) -> NDArray[np.uint8]:
    """Too small, too large, coarse or drawn by an unsteady hand: in turns, and by chance; at a quarter of the size."""
    height, width = alpha.shape
    small = cv2.resize(alpha, (max(16, width // 4), max(16, height // 4)), interpolation=cv2.INTER_AREA)
    mask = make_mask(RECIPES[index % len(RECIPES)], f"frame {index}", small)
    return np.where(cv2.resize(mask.astype(np.float32), (width, height)) > 0.5, 255, 0).astype(np.uint8)


def _shrunk(picture: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Halved until no more than another halving is left, so that nothing aliases."""
    while scale < 0.5:
        picture, scale = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), 2 * scale
    return picture


def _rescaled(matrix: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """The same mapping from the picture that `_shrunk` gives."""
    while scale < 0.5:
        matrix, scale = matrix @ np.diag([2.0, 2.0, 1.0]), 2 * scale
    return matrix
