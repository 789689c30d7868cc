"""Make the example masks as a user would: a few hand-drawn strokes, GrabCut, and a segmenter's coarse outline.

Needs OpenCV (`pip install "mask2alpha[train]"`). It wrote the masks in `examples/masks`, which are meant to be rough:
GrabCut's result is smoothed and cut at a quarter of the resolution, as the mask of a segmentation network would be.

    python examples/make_masks.py
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

EXAMPLES = Path(__file__).parent
Stroke = tuple[tuple[int, int], ...]
"""Points (x, y) of a brush stroke, in pixels of the photograph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What was drawn over a photograph to tell GrabCut what is meant."""

    photo: str
    """File in `examples/photos`."""
    box_xyxy: tuple[int, int, int, int]
    """Left, top, right, bottom around the target; everything outside is background."""
    target: tuple[Stroke, ...]
    """Strokes over the target."""
    rest: tuple[Stroke, ...] = ()
    """Strokes over what is inside the box and not meant."""
    brush: int = 14
    """Width of the strokes in pixels."""


DRAWINGS = {
    "astronaut": Drawing(
        photo="astronaut.png",
        box_xyxy=(14, 8, 512, 512),
        target=(
            ((190, 60), (230, 45), (275, 75)),
            ((175, 60), (180, 100)),
            ((280, 60), (285, 110)),
            ((200, 110), (230, 150), (250, 110)),
            ((140, 190), (160, 250), (220, 285), (280, 260), (295, 220)),
            ((60, 320), (90, 280), (160, 330), (300, 330), (330, 290)),
            ((50, 340), (50, 480), (150, 500), (260, 500)),
            ((310, 480), (330, 400), (400, 360), (470, 390), (500, 470), (400, 500), (330, 500)),
            ((380, 430), (460, 430)),
            ((245, 300), (262, 400), (265, 470), (240, 500)),
            ((150, 200), (200, 245), (240, 250), (270, 230)),
            ((290, 365), (330, 365)),
            ((150, 365), (195, 405), (150, 405), (195, 370)),
        ),
        rest=(
            ((20, 20), (60, 160), (100, 200)),
            ((20, 160), (15, 250), (10, 330), (8, 500)),
            ((110, 40), (130, 130), (100, 170)),
            ((320, 30), (330, 150), (320, 200), (350, 250)),
            ((420, 30), (440, 200), (400, 270), (500, 290)),
            ((390, 300), (450, 310), (505, 330), (505, 380)),
        ),
    ),
    "astronaut__helmet": Drawing(
        photo="astronaut.png",
        box_xyxy=(270, 335, 512, 512),
        target=(
            ((310, 480), (330, 400), (400, 355), (470, 390), (497, 470), (400, 500), (330, 500)),
            ((350, 440), (470, 440)),
        ),
        rest=(
            ((300, 350), (275, 400), (268, 500)),
            ((360, 338), (320, 345)),
            ((435, 337), (470, 342), (495, 362), (508, 400)),
        ),
    ),
    "chelsea": Drawing(
        photo="chelsea.png",
        box_xyxy=(0, 0, 400, 300),
        target=(
            ((60, 20), (120, 60), (250, 60), (340, 20), (370, 10)),
            ((50, 120), (120, 180), (240, 240), (320, 150)),
            ((20, 170), (20, 280), (160, 285), (280, 285)),
            ((345, 50), (350, 120), (340, 160)),
            ((150, 115), (190, 120)),
            ((300, 140), (335, 130)),
        ),
        rest=(((8, 10), (12, 90)), ((415, 10), (420, 290)), ((380, 120), (375, 290)), ((345, 260), (370, 280))),
        brush=10,
    ),
}
"""Mask name → its drawing."""


def main() -> None:
    """Write every mask and say how much of the photograph it covers."""
    for name, drawing in DRAWINGS.items():
        photo = cv2.imread(str(EXAMPLES / "photos" / drawing.photo))
        mask = roughen(segment(photo, drawing))
        cv2.imwrite(str(EXAMPLES / "masks" / f"{name}.png"), mask)
        print(f"masks/{name}.png: {(mask > 0).mean():.0%} of {drawing.photo}")


def segment(photo: np.ndarray, drawing: Drawing) -> np.ndarray:
    """GrabCut from the drawing: (H, W) uint8, 255 on the target, its largest piece only."""
    labels = np.full(photo.shape[:2], cv2.GC_BGD, np.uint8)
    left, top, right, bottom = drawing.box_xyxy
    labels[top:bottom, left:right] = cv2.GC_PR_BGD
    for strokes, label in ((drawing.target, cv2.GC_FGD), (drawing.rest, cv2.GC_BGD)):
        for stroke in strokes:
            cv2.polylines(labels, [np.array(stroke, np.int32)], False, int(label), drawing.brush)
    cv2.setRNGSeed(0)
    cv2.grabCut(photo, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 8, cv2.GC_INIT_WITH_MASK)
    target = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(target)
    largest = 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))
    return np.where(pieces == largest, 255, 0).astype(np.uint8)


def roughen(mask: np.ndarray) -> np.ndarray:
    """Close small gaps and redraw the outline at a quarter of the resolution, as segmentation networks do."""
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    height, width = mask.shape
    small = cv2.resize(closed, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 1.2)
    rough = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(rough > 127, 255, 0).astype(np.uint8)


if __name__ == "__main__":
    main()
