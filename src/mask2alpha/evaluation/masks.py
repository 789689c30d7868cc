"""Guidance masks made from true alphas by named recipes: the same recipe and photo always give the same mask.

A recipe's name ends in its version; a recipe that has been released is never changed, a better one gets a new name.
Random numbers come from SHA-256 of the recipe's and the photo's name, and all arithmetic is in integers, so that masks
depend neither on the machine nor on the version of a library; the tests check it by digests.

Lengths are shares of the object's extent, the square root of its area in pixels.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mask2alpha.errors import InputError
from mask2alpha.extras import import_extra

_BoolArray: TypeAlias = npt.NDArray[np.bool_]
_IntArray: TypeAlias = npt.NDArray[np.int64]
_FINENESS = 256  # displacements are in parts of a pixel


class _Chance:
    """Whole numbers drawn from a text."""

    def __init__(self, seed: str) -> None:
        self._numbers = self._generate(seed)

    @staticmethod
    def _generate(seed: str) -> Iterator[int]:
        counter = 0
        while True:
            digest = sha256(f"{seed}\0{counter}".encode()).digest()
            yield from (int.from_bytes(digest[start : start + 8], "big") for start in range(0, 32, 8))
            counter += 1

    def between(self, least: int, most: int) -> int:
        """A number from `least` to `most`, both included."""
        return least + next(self._numbers) % (most - least + 1)

    def array(self, shape: tuple[int, int], reach: int) -> _IntArray:
        """Numbers from -`reach` to `reach`."""
        drawn = [self.between(-reach, reach) for _ in range(shape[0] * shape[1])]
        return np.array(drawn, dtype=np.int64).reshape(shape)


_Recipe: TypeAlias = Callable[[_BoolArray, _Chance], _BoolArray]


def make_mask(recipe: str, name: str, true_alpha: npt.NDArray[Any]) -> _BoolArray:
    """The guidance mask of a photo.

    Args:
        recipe: One of `RECIPES`.
        name: The photo's name in its benchmark; it seeds the random numbers.
        true_alpha: (H, W) in [0, 1].

    Returns:
        (H, W), True = target. Empty only where the alpha is zero everywhere: a recipe that leaves nothing of a small
        object gives its exact mask instead.

    Raises:
        InputError: The recipe is unknown.
    """
    if recipe not in RECIPES:
        raise InputError(f"masks: got {recipe!r}, expected one of {', '.join(RECIPES)}")
    exact = _cut(np.asarray(true_alpha))
    if not exact.any():
        return exact
    made = _TABLE[recipe][0](exact, _Chance(f"{recipe}\0{name}"))
    return made if made.any() else exact


def _cut(true_alpha: npt.NDArray[Any]) -> _BoolArray:
    """Alpha above one half; where none is (smoke, glass), above half of the largest value."""
    level = 0.5 if (true_alpha > 0.5).any() else float(true_alpha.max(initial=0)) / 2
    return np.asarray(true_alpha > level)


def _extent(mask: _BoolArray) -> int:
    return math.isqrt(int(np.count_nonzero(mask)))


def _share(extent: int, chance: _Chance, least: int, most: int) -> int:
    """A length of `least` to `most` thousandths of the extent, at least 1 pixel."""
    return max(1, extent * chance.between(least, most) // 1000)


def _exact(mask: _BoolArray, chance: _Chance) -> _BoolArray:
    return mask


def _eroded(mask: _BoolArray, chance: _Chance) -> _BoolArray:
    return ~dilate(~mask, _share(_extent(mask), chance, 5, 30))  # what lies beyond the photo does not erode


def _dilated(mask: _BoolArray, chance: _Chance) -> _BoolArray:
    return dilate(mask, _share(_extent(mask), chance, 5, 30))


def _lowres(mask: _BoolArray, chance: _Chance) -> _BoolArray:
    """Cells' coverage, 40 to 96 of them along the longer side, enlarged bilinearly and cut at one half."""
    height, width = mask.shape
    cell = max(2, -(-max(height, width) // chance.between(40, 96)))
    padded = np.pad(mask, ((0, -height % cell), (0, -width % cell)), mode="edge")
    rows, columns = padded.shape[0] // cell, padded.shape[1] // cell
    coverage = padded.reshape(rows, cell, columns, cell).sum(axis=(1, 3), dtype=np.int64)
    enlarged = _enlarge(_enlarge(coverage, height, cell).T, width, cell).T  # times (2 cell)^2
    return np.asarray(2 * enlarged > (2 * cell) ** 2 * cell**2)


def _perturbed(mask: _BoolArray, chance: _Chance) -> _BoolArray:
    """An unsteady hand: the outline wanders, and one to four blobs at it are missing or too many."""
    extent = _extent(mask)
    reach, cell = _share(extent, chance, 20, 50), max(4, _share(extent, chance, 60, 200))
    window = _around(mask, reach)
    part = mask[window]
    height, width = part.shape
    down, right = (_smooth_field(chance, (height, width), cell, reach) for _ in range(2))
    y = np.clip(np.arange(height)[:, None] + down, 0, height - 1)
    x = np.clip(np.arange(width)[None, :] + right, 0, width - 1)
    result = np.zeros_like(mask)
    result[window] = part[y, x]
    border = np.flatnonzero(mask & dilate(~mask, 1)) if not mask.all() else np.flatnonzero(mask)
    for _ in range(chance.between(1, 4)):
        place = int(border[chance.between(0, len(border) - 1)])
        radius, value = _share(extent, chance, 20, 80), bool(chance.between(0, 1))
        _stamp(result, place // mask.shape[1], place % mask.shape[1], radius, value)
    return result


def _around(mask: _BoolArray, margin: int) -> tuple[slice, slice]:
    """The part of the photo within `margin` of the mask's bounding box."""
    spans = []
    for axis in (1, 0):
        found = np.flatnonzero(mask.any(axis=axis))
        spans.append(slice(max(0, int(found[0]) - margin), int(found[-1]) + 1 + margin))
    return spans[0], spans[1]


def paint_band(mask: _BoolArray, *, width: int) -> npt.NDArray[np.uint8]:
    """A trimap whose unknown band covers `width` pixels on each side of the mask's border, with the mask under it.

    Returns:
        (H, W): 127 in the band outside of the mask, 128 in the band inside of it, elsewhere 0 and 255.
    """
    is_open = dilate(mask, width) & dilate(~mask, width)
    return np.where(is_open, np.where(mask, 128, 127), np.where(mask, 255, 0)).astype(np.uint8)


def dilate(mask: _BoolArray, radius: int) -> _BoolArray:
    """The pixels within `radius` (Euclidean, by centres) of a True one.

    Distances are roots of whole numbers, so that comparing them with a whole radius is exact on every machine.
    """
    if not mask.any():
        return np.zeros_like(mask)
    window = _around(mask, radius)
    ndimage = import_extra("scipy.ndimage", extra="eval", purpose="making masks")
    result = np.zeros_like(mask)
    result[window] = ndimage.distance_transform_edt(~mask[window]) <= radius
    return result


def _enlarge(values: _IntArray, size: int, cell: int) -> _IntArray:
    """Linear interpolation of values at the centres of cells along the first axis, times 2 `cell`."""
    position = 2 * np.arange(size, dtype=np.int64) + 1 - cell
    first = position // (2 * cell)
    weight = (position - first * 2 * cell)[:, None]
    last = len(values) - 1
    lower, upper = values[np.clip(first, 0, last)], values[np.clip(first + 1, 0, last)]
    return np.asarray(lower * (2 * cell - weight) + upper * weight)


def _smooth_field(chance: _Chance, size: tuple[int, int], cell: int, reach: int) -> _IntArray:
    """Whole displacements of up to `reach` pixels that change over `cell` pixels."""
    height, width = size
    corners = chance.array((height // cell + 2, width // cell + 2), reach * _FINENESS)
    field = _enlarge(_enlarge(corners, height, cell).T, width, cell).T
    unit = (2 * cell) ** 2 * _FINENESS
    return np.asarray((field + unit // 2) // unit)


def _stamp(mask: _BoolArray, row: int, column: int, radius: int, value: bool) -> None:
    """Set a disc, in place."""
    top, left = max(0, row - radius), max(0, column - radius)
    part = mask[top : row + radius + 1, left : column + radius + 1]
    y = np.arange(top, top + part.shape[0])[:, None] - row
    x = np.arange(left, left + part.shape[1])[None, :] - column
    part[y**2 + x**2 <= radius**2] = value


_TABLE: Mapping[str, tuple[_Recipe, str]] = {
    "exact-v1": (_exact, "alpha above one half"),
    "eroded-v1": (_eroded, "exact, less a rim of 0.5 to 3 % of the extent"),
    "dilated-v1": (_dilated, "exact, and a rim of 0.5 to 3 % of the extent"),
    "lowres-v1": (_lowres, "exact, seen through a grid of 40 to 96 cells along the longer side"),
    "perturbed-v1": (
        _perturbed,
        "exact, its outline displaced by up to 2 to 5 % of the extent, with blobs missing and too many",
    ),
}
RECIPES: Mapping[str, str] = MappingProxyType({name: what for name, (_, what) in _TABLE.items()})
"""The recipes' names, and what they do to a mask."""
