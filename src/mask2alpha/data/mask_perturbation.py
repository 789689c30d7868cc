"""Rough guidance masks made from true alphas, with the faults of masks that people draw and that segmenters give.

All radii are relative to the object: `extent` is the square root of its area in pixels.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Perturbation = Callable[[np.random.Generator, BoolArray, UInt8Array, float], "BoolArray | UInt8Array"]
"""(rng, mask, alpha, strength in (0, 1]) -> the perturbed mask."""

LEAST_OVERLAP = 0.35
"""Least intersection over union of a perturbed mask with the true object (alpha above one half)."""
_SMALLEST_EXTENT = 12.0
"""Objects below this square root of area are too small to promise an overlap."""
_LARGEST_PART = 1 / 3
"""Largest piece that the kind `part` removes or adds, as a share of the object's area."""
_LARGEST_RADIUS = 0.14
"""Largest erosion or dilation, as a share of the extent."""


def perturb_mask(
    rng: np.random.Generator,
    alpha: UInt8Array,
    *,
    neighbour: UInt8Array | None = None,
    image: UInt8Array | None = None,
    kind: str | None = None,
) -> UInt8Array:
    """Make a rough guidance mask for an object.

    Args:
        rng: Random numbers.
        alpha: (height, width) true alpha of the object, 0 to 255.
        neighbour: Alpha of another object in the picture, into which the mask may bleed.
        image: (height, width, 3) the composite. The kind `part` finds pieces of one colour in it; without it, that
            kind only cuts off ends of the object.
        kind: One of `KIND_WEIGHTS`; drawn by weight by default.

    Returns:
        (height, width) mask, 0 and 255 but for the kinds `soft` and `trimap`. Its overlap with the object (alpha
        above one half; above 0.12 for most sheer ones; or with its meshes filled) is at least `LEAST_OVERLAP`, unless
        the object is tiny. If four ever weaker attempts miss that, the mask is the exact one.
    """
    if not alpha.any():
        return np.zeros_like(alpha)
    # What is seen through (glass, smoke, a veil) is masked as a whole by people: mostly, not always.
    is_sheer = np.count_nonzero(alpha > 127) < 0.4 * np.count_nonzero(alpha > 25)
    middle = 0.12 if is_sheer and rng.random() < 0.8 else 0.5
    exact = binarise(alpha, middle)
    meant = fill_mesh(exact)
    extent = float(np.sqrt(np.count_nonzero(meant)))
    for attempt in range(4):
        name = kind if kind is not None else _draw_kind(rng)
        mask = _apply(rng, name, alpha, neighbour, image, middle, strength=0.6**attempt)
        overlap = max(_overlap(mask > 127, exact), _overlap(mask > 127, meant))
        if overlap >= LEAST_OVERLAP or (extent < _SMALLEST_EXTENT and overlap > 0.0):
            return mask
    return np.where(exact, 255, 0).astype(np.uint8)


def binarise(alpha: UInt8Array, threshold: float) -> BoolArray:
    """Alpha above a threshold in [0, 1]; if no pixel is (in smoke, for example), above half of the largest value."""
    level = threshold * 255.0
    if alpha.max() <= level:
        level = float(alpha.max()) / 2.0
    return alpha > level


def fill_mesh(mask: BoolArray) -> BoolArray:
    """Fill the meshes of a net, a web or bare twigs, as people outline them; return any other mask as it is.

    It is a mesh if most of it is within two pixels of its border. Gaps up to a tenth of its own size are filled.
    """
    thick = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    if np.count_nonzero(thick) > 0.4 * np.count_nonzero(mask) or not mask.any():
        return mask
    _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
    side = max(3, round(0.1 * float(np.sqrt(width * height)))) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), side, side, side, side, cv2.BORDER_CONSTANT)
    filled = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[side:-side, side:-side]
    return np.asarray((filled > 0) | mask)


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], cell: float) -> FloatArray:
    """Make a smooth random field with a standard deviation of about 1.

    Args:
        rng: Random numbers.
        shape: (height, width) in pixels.
        cell: Distance in pixels over which it changes.
    """
    height, width = shape
    cells = (max(2, int(height / cell) + 2), max(2, int(width / cell) + 2))
    coarse = rng.standard_normal(cells, dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def depth_within(mask: BoolArray) -> FloatArray:
    """Distance of each of the mask's pixels to the nearest one outside it, in pixels; 0 outside."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3), np.float32)


def signed_distance(mask: BoolArray) -> FloatArray:
    """Distance to the mask's border in pixels: positive inside, negative outside."""
    return depth_within(mask) - depth_within(~mask)


def _draw_kind(rng: np.random.Generator) -> str:
    return _NAMES[int(np.searchsorted(_CUMULATIVE, rng.random(), side="right"))]


def _apply(
    rng: np.random.Generator,
    name: str,
    alpha: UInt8Array,
    neighbour: UInt8Array | None,
    image: UInt8Array | None,
    middle: float,
    strength: float,
) -> UInt8Array:
    is_middle = name == "exact" or rng.random() < 0.6
    mask = binarise(alpha, middle if is_middle else float(rng.uniform(0.02, min(0.98, 2 * middle))))
    if name not in ("exact", "threshold", "erode", "soft", "trimap"):
        filled = fill_mesh(mask)
        is_mesh = np.count_nonzero(filled) > 1.5 * np.count_nonzero(mask)
        mask = filled if rng.random() < (0.6 if is_mesh else 0.2) else mask
    if name == "chain":
        for step in rng.choice(len(_CHAINABLE), 2, replace=False):
            changed = np.asarray(_KINDS[_CHAINABLE[int(step)]](rng, mask, alpha, strength), np.bool_)
            mask = changed if changed.any() else mask
    elif name == "bleed":
        mask = _bleed(rng, mask, neighbour, strength)
    elif name == "part":
        mask = _change_part(rng, mask, image, strength)
    else:
        result = _KINDS[name](rng, mask, alpha, strength)
        if result.dtype == np.uint8:
            return np.asarray(result, np.uint8)
        mask = np.asarray(result, np.bool_)
    return np.where(mask, 255, 0).astype(np.uint8)


def _extent(mask: BoolArray) -> float:
    return float(np.sqrt(max(1.0, float(np.count_nonzero(mask)))))


def _draw_radius(rng: np.random.Generator, mask: BoolArray, strength: float) -> float:
    """1 px to `_LARGEST_RADIUS` of the extent, small radii somewhat more often."""
    largest = max(2.0, _LARGEST_RADIUS * _extent(mask) * strength)
    return float(1.0 + (largest - 1.0) * rng.random() ** 1.2)


def _radius_field(rng: np.random.Generator, mask: BoolArray, strength: float) -> "float | FloatArray":
    """A radius, mostly one that changes along the outline, even to the other sign."""
    radius = _draw_radius(rng, mask, strength)
    if rng.random() < 0.4:
        return radius
    cell = max(6.0, _extent(mask) * float(np.exp(rng.uniform(np.log(0.05), np.log(0.5)))))
    field = smooth_field(rng, mask.shape, cell)
    return np.asarray(radius * (1.0 + float(rng.uniform(0.3, 0.9)) * field), np.float32)


def _erode(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    return depth_within(mask) > np.maximum(_radius_field(rng, mask, strength), 0.0)


def _dilate(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    return depth_within(~mask) <= np.maximum(_radius_field(rng, mask, strength), 0.0)


def _open(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    """Erosion, then dilation by about as much: thin parts are lost."""
    radius = _draw_radius(rng, mask, strength)
    kept = depth_within(mask) > radius
    back = radius * float(rng.uniform(0.7, 1.4))
    return depth_within(~kept) <= back if kept.any() else kept


def _close(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    """Dilation, then erosion by about as much: gaps are filled."""
    radius = _draw_radius(rng, mask, strength)
    grown = depth_within(~mask) <= radius
    back = radius * float(rng.uniform(0.7, 1.4))
    return depth_within(grown) > back


def _polygon(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    """The outline as a person clicks it: few corners, holes forgotten most of the time."""
    joined = _close(rng, mask, alpha, strength * 0.5) if rng.random() < 0.5 else mask
    mode = cv2.RETR_EXTERNAL if rng.random() < 0.75 else cv2.RETR_CCOMP
    outlines, _ = cv2.findContours(joined.astype(np.uint8), mode, cv2.CHAIN_APPROX_SIMPLE)
    extent = _extent(mask)
    tolerance = max(1.0, extent * float(rng.uniform(0.01, 0.06)) * strength)
    least_area = 0.003 * extent**2
    corners = [
        cv2.approxPolyDP(outline, tolerance, True) for outline in outlines if cv2.contourArea(outline) >= least_area
    ]
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(drawn, [polygon for polygon in corners if len(polygon) >= 3], -1, 1, cv2.FILLED)
    return drawn > 0


def _low_resolution(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    """A segmenter's small mask, enlarged: blocks, or smooth."""
    height, width = mask.shape
    factor = float(np.exp(rng.uniform(np.log(4.0), np.log(32.0))))
    factor = max(2.0, min(factor, _extent(mask) / 5.0) * strength)
    small_wh = (max(2, round(width / factor)), max(2, round(height / factor)))
    source = alpha if rng.random() < 0.3 else np.where(mask, 255, 0).astype(np.uint8)
    small = cv2.resize(source, small_wh, interpolation=cv2.INTER_AREA)
    level = float(rng.uniform(0.3, 0.7)) * 255
    if rng.random() < 0.35:
        blocks = cv2.resize((small > level).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        return blocks > 0
    interpolation = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    if rng.random() < 0.5:
        small = np.where(small > level, 255, 0).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=interpolation) > level)


def _blobby(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    """Smooth outlines, thin parts lost."""
    height, width = mask.shape
    sigma = max(1.0, _extent(mask) * float(rng.uniform(0.015, 0.06)) * strength)
    factor = int(np.clip(sigma / 2.0, 1, 8))
    small_wh = (max(2, width // factor), max(2, height // factor))
    small = cv2.resize(mask.astype(np.float32), small_wh, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth > float(rng.uniform(0.3, 0.65)))


def _wobbly(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    """Move the outline in and out, as an unsteady hand does, or displace the whole mask by a smooth field."""
    extent = _extent(mask)
    cell = max(4.0, extent * float(np.exp(rng.uniform(np.log(0.03), np.log(0.3)))))
    reach = max(1.0, extent * float(rng.uniform(0.01, 0.07)) * strength)
    if rng.random() < 0.5:
        return np.asarray(signed_distance(mask) + reach * smooth_field(rng, mask.shape, cell) > 0)
    rows, columns = (np.asarray(axis, np.float32) for axis in np.indices(mask.shape))
    columns += reach * smooth_field(rng, mask.shape, cell)
    rows += reach * smooth_field(rng, mask.shape, cell)
    moved = cv2.remap(mask.astype(np.uint8), columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return moved > 0


def _holes(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    """Remove pieces inside and at the border, and add pieces beside the object: blobs, ellipses, boxes."""
    result = mask.astype(np.uint8)
    edges = cv2.morphologyEx(result, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    places = np.argwhere(edges if rng.random() < 0.7 and edges.any() else result)
    if len(places) == 0:
        return mask
    extent = _extent(mask)
    for _ in range(int(rng.integers(1, 8))):
        row, column = (int(value) for value in places[int(rng.integers(len(places)))])
        row += round(float(rng.normal(0, 0.06)) * extent)
        column += round(float(rng.normal(0, 0.06)) * extent)
        radius = max(1.0, extent * float(rng.uniform(0.02, 0.14)) * strength)
        _stamp(rng, result, row, column, radius, value=int(rng.random() < 0.5))
    return result > 0


def _stamp(rng: np.random.Generator, canvas: UInt8Array, row: int, column: int, radius: float, value: int) -> None:
    """Draw one random piece into a mask, in place."""
    across, along = (max(1, round(radius * float(rng.uniform(0.6, 1.6)))) for _ in range(2))
    kind = rng.random()
    if kind < 0.25:
        cv2.rectangle(canvas, (column - across, row - along), (column + across, row + along), value, cv2.FILLED)
    elif kind < 0.6:
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(canvas, (column, row), (across, along), angle, 0, 360, value, cv2.FILLED)
    else:
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        waves = 1 + 0.3 * np.sin(angles * 2 + rng.uniform(0, 7)) + 0.25 * np.sin(angles * 3 + rng.uniform(0, 7))
        points = np.stack([column + across * waves * np.cos(angles), row + along * waves * np.sin(angles)], axis=1)
        cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], value)


def _fill_holes(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    return filled > 0


def _shift(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    reach = _extent(mask) * 0.06 * strength
    right, down = (float(np.clip(value, -2.0, 2.0)) * reach for value in rng.normal(0, 0.7, 2))
    return _move(mask, right, down, cv2.BORDER_REPLICATE)


def _move(mask: BoolArray, right: float, down: float, border: int) -> BoolArray:
    matrix, flags = np.array([[1.0, 0.0, right], [0.0, 1.0, down]]), cv2.INTER_NEAREST
    return cv2.warpAffine(mask.astype(np.uint8), matrix, mask.shape[::-1], flags=flags, borderMode=border) > 0


def _bleed(rng: np.random.Generator, mask: BoolArray, neighbour: UInt8Array | None, strength: float) -> BoolArray:
    """The mask runs into a neighbouring object, or into a piece of background as large as a part of the object."""
    extent = _extent(mask)
    if neighbour is not None and (neighbour > 127).any():
        other = neighbour > 127
    else:
        angle, reach = float(rng.uniform(0, 2 * np.pi)), extent * float(rng.uniform(0.3, 0.9))
        other = _move(mask, reach * np.cos(angle), reach * np.sin(angle), cv2.BORDER_CONSTANT)
    near = depth_within(~mask) < extent * float(rng.uniform(0.05, 0.35)) * strength
    patchy = smooth_field(rng, mask.shape, max(8.0, extent * 0.4)) > float(rng.uniform(-1.0, 0.4))
    return np.asarray(mask | (other & near & patchy))


def _change_part(rng: np.random.Generator, mask: BoolArray, image: UInt8Array | None, strength: float) -> BoolArray:
    """Remove an end of the object (a head) or a piece of one colour (a shoe), or add such a piece beside it.

    Segmenters make both errors where the colour changes inside the object. The piece has at most `_LARGEST_PART` of the
    object's area; a larger one leaves the mask as it is.
    """
    area = np.count_nonzero(mask)
    if area == 0:
        return mask
    if image is None or rng.random() < 0.35:
        changed, is_missing = mask & _end_of(rng, mask, strength), True
    else:
        is_missing = rng.random() < 0.65
        changed = _piece_of_one_colour(rng, mask, image, is_inside=is_missing, strength=strength)
    if np.count_nonzero(changed) > _LARGEST_PART * area:
        return mask
    return np.asarray(mask & ~changed if is_missing else mask | changed, np.bool_)


def _end_of(rng: np.random.Generator, mask: BoolArray, strength: float) -> BoolArray:
    """All pixels beyond a wavy line across the object that cuts off 4 to 30 % of it."""
    rows, columns = np.nonzero(mask)
    angle = float(rng.normal(np.pi / 2, 0.5)) if rng.random() < 0.6 else float(rng.uniform(0, np.pi))
    direction = np.array([np.sin(angle), np.cos(angle)]) * (1 if rng.random() < 0.5 else -1)
    heights = rows * direction[0] + columns * direction[1]
    level = float(np.quantile(heights, 1 - float(rng.uniform(0.04, 0.3)) * strength))
    grid_rows, grid_columns = np.indices(mask.shape)
    extent = _extent(mask)
    waves = smooth_field(rng, mask.shape, max(8.0, 0.3 * extent)) * (0.05 * extent)
    return np.asarray(grid_rows * direction[0] + grid_columns * direction[1] + waves > level)


def _piece_of_one_colour(
    rng: np.random.Generator, mask: BoolArray, image: UInt8Array, *, is_inside: bool, strength: float
) -> BoolArray:
    """A connected piece of about one colour with a smooth outline, in the object or beside it."""
    extent = _extent(mask)
    allowed = mask
    if not is_inside:
        allowed = ~mask & (depth_within(~mask) < extent * float(rng.uniform(0.1, 0.4)) * strength)
    places = np.argwhere(allowed)
    if len(places) == 0:
        return np.zeros_like(mask)
    smooth = cv2.GaussianBlur(image, (0, 0), max(1.0, 0.01 * extent)).astype(np.float32)
    row, column = places[int(rng.integers(len(places)))]
    distance = np.abs(smooth - smooth[row, column]).max(axis=2)
    alike = ((distance < float(rng.uniform(15, 50))) & allowed).astype(np.uint8)
    reach = max(1, round(0.012 * extent))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    joined = cv2.morphologyEx(cv2.morphologyEx(alike, cv2.MORPH_CLOSE, kernel), cv2.MORPH_OPEN, kernel)
    _, labels = cv2.connectedComponents(joined)
    label = labels[row, column]
    return np.asarray((labels == label) & allowed) if label else np.zeros_like(mask)


def _box(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    """A rough box about the object, or its hull, cut to the neighbourhood of the object."""
    column, row, width, height = cv2.boundingRect(mask.astype(np.uint8))
    box = np.zeros(mask.shape, np.uint8)
    if rng.random() < 0.6:
        left, top, right, bottom = rng.uniform(-0.06, 0.06, 4) * strength
        start = (round(column + left * width), round(row + top * height))
        end = (round(column + (1 + right) * width), round(row + (1 + bottom) * height))
        cv2.rectangle(box, start, end, 1, cv2.FILLED)
    else:
        points = cv2.findNonZero(mask.astype(np.uint8))
        cv2.fillConvexPoly(box, cv2.convexHull(points), 1)
    return (box > 0) & (depth_within(~mask) < _extent(mask) * float(rng.uniform(0.08, 0.4)) * strength)


def _brush(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> BoolArray:
    """A few thick strokes along the inside of the object, going over its border a little."""
    distance = depth_within(mask)
    places = np.argwhere(distance > 0.25 * distance.max())
    extent = _extent(mask)
    canvas = np.zeros(mask.shape, np.uint8)
    for _ in range(int(rng.integers(3, 9))):
        picked = places[rng.integers(0, len(places), int(rng.integers(2, 5)))]
        thickness = max(2, round(extent * float(rng.uniform(0.12, 0.32))))
        points = np.ascontiguousarray(picked[:, ::-1]).astype(np.int32)
        cv2.polylines(canvas, [points], False, 1, thickness)
    spill = max(1.0, extent * float(rng.uniform(0.0, 0.05)) * strength)
    return (canvas > 0) & (depth_within(~mask) <= spill)


def _soft(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> UInt8Array:
    """A blurred or noisy mask between 0 and 255, as a network's soft output; now and then a coarse alpha."""
    source = alpha if rng.random() < 0.3 else np.where(mask, 255, 0).astype(np.uint8)
    sigma = max(0.8, _extent(mask) * float(rng.uniform(0.005, 0.05)) * strength)
    return np.asarray(cv2.GaussianBlur(source, (0, 0), sigma), np.uint8)


def _trimap(rng: np.random.Generator, mask: BoolArray, alpha: UInt8Array, strength: float) -> UInt8Array:
    """0, 128, 255: a band of unknown, of different width inside and outside."""
    sure = depth_within(alpha > 250) > _draw_radius(rng, mask, strength * 0.7)
    maybe = depth_within(alpha <= 4) <= _draw_radius(rng, mask, strength * 0.7)
    return np.where(sure, 255, np.where(maybe, 128, 0)).astype(np.uint8)


_TABLE: Mapping[str, tuple[float, Perturbation | None]] = {
    "exact": (2.0, lambda rng, mask, alpha, strength: mask),
    "threshold": (0.8, lambda rng, mask, alpha, strength: binarise(alpha, float(rng.uniform(0.02, 0.98)))),
    "erode": (5.5, _erode),
    "dilate": (4.2, _dilate),
    "open": (0.8, _open),
    "close": (0.8, _close),
    "polygon": (1.0, _polygon),
    "low_resolution": (4.4, _low_resolution),
    "blobby": (4.4, _blobby),
    "wobbly": (1.7, _wobbly),
    "holes": (1.3, _holes),
    "fill_holes": (0.5, _fill_holes),
    "shift": (0.6, _shift),
    "bleed": (1.0, None),
    "part": (1.6, None),
    "box": (0.6, _box),
    "brush": (0.4, _brush),
    "soft": (0.6, _soft),
    "trimap": (0.3, _trimap),
    "chain": (3.0, None),
}
"""How often each kind is drawn, and its function; None: `_apply` makes it, from more than the mask."""
KIND_WEIGHTS: Mapping[str, float] = {name: weight for name, (weight, _) in _TABLE.items()}
"""How often each kind of perturbation is drawn; `chain` is two of the geometric kinds in a row."""
_KINDS = {name: function for name, (_, function) in _TABLE.items() if function is not None}
_CHAINABLE = (
    "erode", "dilate", "open", "close", "polygon", "low_resolution", "blobby", "wobbly", "holes", "fill_holes", "shift",
)  # fmt: skip

_NAMES = tuple(KIND_WEIGHTS)
_SHARES = np.array(list(KIND_WEIGHTS.values()))
_CUMULATIVE = np.cumsum(_SHARES) / np.sum(_SHARES)
_CUMULATIVE[-1] = 1.0


def _overlap(first: BoolArray, second: BoolArray) -> float:
    return float(np.count_nonzero(first & second)) / max(1.0, float(np.count_nonzero(first | second)))
