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


def make_clip(size: tuple[int, int], num_frames: int, *, period: int = 300) -> Iterator[TrueFrame]:
    """Frames of a size (height, width); after `period` of them the motion repeats."""
    height, width = size
    render = np.asarray(Image.open(HAIR).convert("RGBA"), dtype=np.float32) / 255
    premultiplied = np.dstack([render[..., :3] * render[..., 3:], render[..., 3]])
    photo = np.asarray(Image.open(PHOTO).convert("RGB"), dtype=np.float32) / 255
    for index in range(num_frames):
        phase = 2 * np.pi * index / period
        # the target moves by up to 0.2 % of the height per frame, turns, breathes and sways
        angle, scale = 6 * np.sin(phase), (1 + 0.04 * np.cos(phase)) * 0.9 * height / render.shape[0]
        matrix = cv2.getRotationMatrix2D((render.shape[1] / 2, render.shape[0] / 2), angle, scale)
        matrix[0, 1] += 0.06 * np.sin(2 * phase) * scale
        centre = matrix @ [render.shape[1] / 2, render.shape[0] / 2, 1]
        place = width * (0.5 + 0.05 * np.sin(phase)), height * (0.55 + 0.04 * np.cos(phase))
        matrix[:, 2] += [place[0] - centre[0], place[1] - centre[1]]
        smoothing = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        target = cv2.warpAffine(
            _shrunk(premultiplied, scale), _rescaled(matrix, scale), (width, height), flags=smoothing
        )
        target = target.clip(0, 1)
        zoom = 1.25 * max(height / photo.shape[0], width / photo.shape[1])
        pan = np.array([[zoom, 0, -0.1 * width * (1 + np.cos(phase))], [0, zoom, -0.1 * height * (1 + np.sin(phase))]])
        background = cv2.warpAffine(photo, pan, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        image = target[..., :3] + (1 - target[..., 3:]) * background
        alpha = np.ascontiguousarray(target[..., 3])
        yield TrueFrame(
            image=np.rint(image.clip(0, 1) * 255).astype(np.uint8),
            alpha=alpha,
            mask=rough_mask(alpha, index),
        )


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
