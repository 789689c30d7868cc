"""The edge of a matte under the user's control: shift, feather, smooth and their kin.

One value, `EdgeOptions`, and one function, `apply_edges`, which every door calls. NumPy only, and without sums whose
order depends on the number of threads, so that equal mattes give equal results, bit for bit, in any process.
docs/matting.md has the table of the controls.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import InputError

FloatArray: TypeAlias = NDArray[np.float32]
Reduce: TypeAlias = Callable[..., Any]
"""`np.maximum` or `np.minimum`."""

TILE = 128
"""Side of the parts in which a matte is worked; parts without an edge are left as they are."""
_GAUSSIAN_REACH = 4
"""Standard deviations after which a Gaussian is cut off."""
_NARROWEST = 1e-6
"""Width of the ramp that is left at full contrast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOptions:
    """How the edge of a matte is changed: in the order of the fields, each on the result of those before it.

    Lengths are in pixels of the photo. The defaults change nothing.
    """

    contrast: float | int = 0.0
    """In [0, 1]: the ramp of alpha around 0.5 that is stretched to [0, 1] is 1 minus this wide."""
    gamma: float | int = 1.0
    """In [0.1, 10]: alpha to the power of 1 / gamma; above 1, soft parts become more opaque."""
    specks: float | int = 0.0
    """In [0, 1e9]: regions of alpha above 0 with fewer pixels than this are removed."""
    pinholes: float | int = 0.0
    """In [0, 1e9]: regions of alpha below 1 with fewer pixels than this are filled."""
    smooth: float | int = 0.0
    """In [0, 5]: radius of the disc whose median replaces each pixel; straight edges stay as they are."""
    shift: float | int = 0.0
    """In [-32, 32]: how far the edge moves outwards; negative values move it inwards."""
    feather: float | int = 0.0
    """In [0, 32]: standard deviation of the Gaussian that blurs alpha."""
    threshold: float | int = 0.0
    """In [0, 1]: alpha of at least this becomes 1, any other 0; at 0, alpha stays soft."""
    band: float | int = math.inf
    """In [0, 64] or inf: only pixels that are this near to one whose alpha was strictly between 0 and 1 change."""

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            value = float(getattr(self, name))
            object.__setattr__(self, name, value)
            is_off = name == "band" and value == math.inf
            if not (least <= value <= most or is_off):
                more = " or inf" if name == "band" else ""
                raise InputError(f"{name} is {value}; accepted: {least:g} to {most:g}{more}")

    @classmethod
    def parse(cls, text: str) -> "EdgeOptions":
        """Read controls as the command line, the service and manifests give them.

        Args:
            text: Such as "shift=-1.5,feather=2"; "" changes nothing.

        Raises:
            InputError: A name is unknown or given twice, or a value is not a number in its range.
        """
        given: dict[str, float] = {}
        for part in filter(str.strip, text.split(",")):
            name, _, value = (piece.strip() for piece in part.partition("="))
            if name not in RANGES:
                raise InputError(f"{name[:40]!r} is not a control of edges; accepted: {', '.join(RANGES)}")
            if name in given:
                raise InputError(f"{name} is given twice")
            try:
                given[name] = float(value)
            except ValueError as error:
                raise InputError(f"{name} is {value[:40]!r}; accepted: a number, as in {name}=1") from error
        return cls(**given)

    @property
    def text(self) -> str:
        """What `parse` reads as this value: the controls that are not at their default, always in the same order."""
        values = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return ",".join(f"{name}={value!r}" for name, value, default in values if value != default)

    @property
    def is_neutral(self) -> bool:
        """Whether `apply_edges` returns what it is given."""
        return replace(self, band=math.inf) == EdgeOptions()

    @property
    def reach(self) -> int:
        """How far away, in pixels, alpha has an effect on a pixel; regions of `specks` and `pinholes` apart."""
        filters = int(self.smooth) + math.ceil(abs(self.shift)) + _gaussian_reach(self.feather)
        return filters if self.band == math.inf else max(filters, int(self.band))

    def scaled(self, factor: float | int) -> "EdgeOptions":
        """The same controls for a matte that is shrunk by a factor of at most 1."""
        lengths = {name: getattr(self, name) * factor for name in ("smooth", "shift", "feather", "band")}
        areas = {name: getattr(self, name) * factor**2 for name in ("specks", "pinholes")}
        return replace(self, **lengths, **areas)


RANGES = {
    "contrast": (0.0, 1.0),
    "gamma": (0.1, 10.0),
    "specks": (0.0, 1e9),
    "pinholes": (0.0, 1e9),
    "smooth": (0.0, 5.0),
    "shift": (-32.0, 32.0),
    "feather": (0.0, 32.0),
    "threshold": (0.0, 1.0),
    "band": (0.0, 64.0),
}
"""The least and the most that each control takes."""


def apply_edges(alpha: FloatArray, edges: EdgeOptions) -> FloatArray:
    """Change the edge of a matte.

    Args:
        alpha: (H, W), in [0, 1]; it is not modified.
        edges: What to change.

    Returns:
        (H, W), in [0, 1]; `alpha` itself if `edges` changes nothing.
    """
    if edges.is_neutral:
        return alpha
    made = alpha.copy()
    if edges.contrast:
        made = ((made - 0.5) / max(1 - edges.contrast, _NARROWEST) + 0.5).clip(0, 1)
    if edges.gamma != 1:
        soft = _is_soft(made)
        made[soft] **= 1 / edges.gamma
    if edges.specks:
        made[_in_small_regions(made > 0, edges.specks)] = 0
    if edges.pinholes:
        made[_in_small_regions(made < 1, edges.pinholes)] = 1
    if edges.smooth >= 1:
        made = _by_tiles(made, int(edges.smooth), lambda part: _median_within(part, edges.smooth))
    if edges.shift:
        reduce, radius = (np.maximum if edges.shift > 0 else np.minimum), abs(edges.shift)
        made = _by_tiles(made, math.ceil(radius), lambda part: _extreme_within(part, radius, reduce))
    if edges.feather:
        made = _blurred(made, _gaussian(edges.feather))
    if edges.threshold:
        made = (made >= np.float32(edges.threshold)).astype(np.float32)
    if edges.band < math.inf:
        reach = int(edges.band)
        near = _by_tiles(_is_soft(alpha), reach, lambda part: _extreme_in_disc(part, edges.band, reach, np.maximum))
        made = np.where(near, made, alpha)
    return made


def _is_soft(alpha: FloatArray) -> NDArray[np.bool_]:
    return np.asarray((alpha > 0) & (alpha < 1))


def _by_tiles(values: NDArray[Any], reach: int, work: Callable[[NDArray[Any]], NDArray[Any]]) -> NDArray[Any]:
    """Apply `work`, which gives a part without its margin of `reach` pixels, to the parts that are not all one value.

    Outside of the frame, the values at its border go on.
    """
    padded = np.pad(values, reach, mode="edge")
    result = values.copy()
    height, width = values.shape
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            bottom, right = min(top + TILE, height), min(left + TILE, width)
            part = padded[top : bottom + 2 * reach, left : right + 2 * reach]
            if part.min() != part.max():
                result[top:bottom, left:right] = work(part)
    return result


def _extreme_in_disc(part: NDArray[Any], radius: float, reach: int, reduce: Reduce) -> NDArray[Any]:
    """The largest or smallest of the pixels whose centres are within `radius`, from row to row of the disc."""
    height, width = part.shape
    widened = part[:, reach : width - reach]  # by the half width of the disc in the row that is taken next
    result, half = widened[reach : height - reach], 0
    for y in range(int(radius), -1, -1):
        while (half + 1) ** 2 + y**2 <= radius**2:
            half += 1
            sides = (part[:, reach + x : width - reach + x] for x in (-half, half))
            widened = reduce(widened, reduce(*sides))
        for first in {reach - y, reach + y}:
            result = reduce(result, widened[first : first + height - 2 * reach])
    return result


def _extreme_within(part: FloatArray, radius: float, reduce: Reduce) -> FloatArray:
    """The largest or smallest alpha within `radius`: of the pixels there and of eight points on the circle.

    Alpha is interpolated linearly between pixels, which makes the shift finer than a pixel.
    """
    reach, diagonal = math.ceil(radius), radius / math.sqrt(2)
    result = _extreme_in_disc(part, radius, reach, reduce)
    ends, corners = (-radius, radius), (-diagonal, diagonal)
    for x, ys in ((-radius, [0.0]), (radius, [0.0]), (0.0, ends), (-diagonal, corners), (diagonal, corners)):
        columns = _columns_at(part, reach, x)
        for y in ys:
            result = reduce(result, _columns_at(columns.T, reach, y).T)
    return np.asarray(result)


def _columns_at(part: FloatArray, reach: int, x: float) -> FloatArray:
    """The columns of a part without its margin, as seen from `x` pixels further right."""
    first, last = reach + math.floor(x), part.shape[1] - reach + math.floor(x)
    near, share = part[:, first:last], x - math.floor(x)
    return near + share * (part[:, first + 1 : last + 1] - near) if share else near


def _median_within(part: FloatArray, radius: float) -> FloatArray:
    """The median of the pixels whose centres are within `radius`, where they are not all one value."""
    reach = int(radius)
    lowest, highest = (_extreme_in_disc(part, radius, reach, reduce) for reduce in (np.minimum, np.maximum))
    rows, columns = np.nonzero(lowest != highest)
    y, x = np.nonzero(np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1]) <= radius)
    width = part.shape[1]
    near = np.take(part, (rows * width + columns)[:, None] + (y * width + x))
    result = lowest.copy()
    result[rows, columns] = np.partition(near, len(y) // 2, axis=1)[:, len(y) // 2]
    return np.asarray(result)


def _gaussian_reach(sigma: float) -> int:
    return int(_GAUSSIAN_REACH * sigma + 0.5)


def _gaussian(sigma: float) -> NDArray[np.float64]:
    reach = _gaussian_reach(sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def _blurred(values: FloatArray, weights: NDArray[np.float64]) -> FloatArray:
    """A matte blurred along both axes, by products with banded matrices; parts that are all one value stay.

    Each row of parts is blurred down once, as far as its parts need it, and then across, part by part. In float64:
    rounded to float32, what is all 1 stays 1, and the order of the sums does not matter.
    """
    reach, result = len(weights) // 2, values.copy()
    padded = np.pad(values, reach, mode="edge")
    height, width = values.shape
    for top in range(0, height, TILE):
        strip = padded[top : min(top + TILE, height) + 2 * reach]
        lefts = [left for left in range(0, width, TILE) if np.ptp(strip[:, left : left + TILE + 2 * reach])]
        down = _banded(weights, len(strip) - 2 * reach)
        blurred = {place: down @ strip[:, place : place + TILE].astype(np.float64) for place in _touched(lefts, reach)}
        for left in lefts:
            right = min(left + TILE, width)
            part = np.concatenate([blurred[place] for place in _touched([left], reach) if place in blurred], axis=1)
            across = _banded(weights, right - left)
            result[top : top + TILE, left:right] = (part[:, : across.shape[1]] @ across.T).clip(0, 1)
    return result


def _touched(lefts: list[int], reach: int) -> list[int]:
    """The first columns of the blocks of `TILE` columns that parts of a padded matte cover with their margins."""
    return sorted({place for left in lefts for place in range(left, left + TILE + 2 * reach, TILE)})


def _banded(weights: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """(count, count + weights - 1): each row has the weights, one further right than in the row above."""
    rows = np.zeros((count, count + len(weights)))
    rows[:, : len(weights)] = weights
    return rows.ravel()[: count * (count + len(weights) - 1)].reshape(count, -1)


def _in_small_regions(inside: NDArray[np.bool_], size: float) -> NDArray[np.bool_]:
    """The pixels of the regions that have fewer than `size`; regions that touch at a corner are one.

    Runs of pixels in a row are joined with those that they touch in the next row, as in a union-find structure.
    """
    height, width = inside.shape
    stride = width + 2  # a pixel outside on both sides keeps runs of two rows apart
    bounds = np.flatnonzero(np.diff(np.pad(inside, ((0, 0), (1, 1))).ravel())) + 1
    starts, ends = bounds[::2], bounds[1::2]
    first = np.searchsorted(ends, starts + stride)
    counts = np.searchsorted(starts, ends + stride, side="right") - first
    upper = np.repeat(np.arange(len(starts)), counts)
    lower = _consecutive(first, counts)
    root = np.arange(len(starts))
    while np.any(differs := root[upper] != root[lower]):
        ends_of_pairs = root[upper[differs]], root[lower[differs]]
        np.minimum.at(root, np.maximum(*ends_of_pairs), np.minimum(*ends_of_pairs))
        while np.any(root[root] != root):
            root = root[root]
    lengths = ends - starts
    is_small = np.bincount(root, weights=lengths, minlength=len(root))[root] < size
    result = np.zeros(height * stride, dtype=bool)
    result[_consecutive(starts[is_small], lengths[is_small])] = True
    return result.reshape(height, stride)[:, 1:-1]


def _consecutive(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers start, start + 1, ... of each pair, one pair after the other."""
    before = np.cumsum(counts) - counts
    return np.asarray(np.repeat(starts - before, counts) + np.arange(counts.sum()))
