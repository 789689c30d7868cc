"""Where training pictures come from: folders of cut-out foregrounds, and folders of photographs for backgrounds.

    root/
      foregrounds/<set>/**/*.webp|png    RGBA cut-outs, in any layout below the set's folder
      backgrounds/<set>/**/*.jpg|...     photographs and textures

Everything is decoded once into memory as uint8; a broken file stops the run before training starts. `datasets` opens
sets that are too large for that: its pools have the same interface, but their items are decoded when they are drawn.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2alpha.data.cutout import Cutout
from mask2alpha.data.synthetic import make_cutout
from mask2alpha.errors import InputError

UInt8Array = NDArray[np.uint8]
Item = TypeVar("Item")

FOREGROUND_SHARES: Mapping[str, float] = {
    "people": 8.0,
    "hair": 3.0,
    "tuxpaint": 2.0,
    "wesnoth_portraits": 1.5,
    "flightgear_trees": 1.2,
    "stk_foliage": 1.0,
    "0ad_flora": 1.0,
    "layerdiffuse": 1.0,
    "fluent3d": 0.3,
}
"""How often a set of foregrounds is drawn, as a whole, relative to the others; a set not named here has 1."""

BACKGROUND_SHARES: Mapping[str, float] = {
    "gcompris_photos": 4.0,
    "wallpapers": 3.0,
    "stk_textures": 1.0,
    "0ad_terrain": 0.5,
}
"""The same for backgrounds."""

ATLAS_SETS = frozenset({"0ad_flora", "flightgear_trees", "stk_foliage"})
"""Sets whose files hold several objects, or opaque strips (of bark) beside the object."""

EXACT_SETS = frozenset({"people", "hair", "layerdiffuse", "fluent3d"})
"""Sets whose colours are right under soft alpha too; other cut-outs may carry rims of their old background."""

UNUSABLE_FILES = frozenset({"layerdiffuse/man_crop.webp", "layerdiffuse/dreamshaper_sd.webp"})
"""Files by folder and name whose alpha is no truth: a rough mask with the old background in it; a body full of grey."""

CUTOUT_SUFFIXES = frozenset({".webp", ".png"})
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def extend_colours(colour: UInt8Array, alpha: UInt8Array, *, is_exact: bool = False) -> UInt8Array:
    """Replace the doubtful colours where alpha is soft or zero by those of the object's nearby solid parts.

    A normalised convolution over an image pyramid: a pixel keeps its colour as far as its alpha is to be trusted, and
    takes the rest from the next coarser level. Without it, rims of the old background would be learnt as part of every
    object.

    Args:
        colour: (height, width, 3) colours, meaningless under zero alpha.
        alpha: (height, width).
        is_exact: Colours are right under soft alpha, so only those under almost no alpha are replaced.

    Returns:
        Colours defined everywhere; unchanged where alpha is 255.
    """
    share = (alpha.astype(np.float32) / np.float32(255.0))[..., None]
    weight = np.minimum(1.0, 8.0 * share) if is_exact else share**3
    levels = [(colour.astype(np.float32) * weight, weight)]
    while max(levels[-1][1].shape[:2]) > 2:
        height, width = levels[-1][1].shape[:2]
        half = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
        weighted, weight = (cv2.resize(part, half, interpolation=cv2.INTER_AREA) for part in levels[-1])
        levels.append((weighted, weight[..., None]))
    weighted, weight = levels[-1]
    filled = weighted / np.maximum(weight, 1e-6)
    for level, (weighted, weight) in reversed(list(enumerate(levels[:-1]))):
        height, width = weight.shape[:2]
        filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
        # Below the full resolution a small weight is evidence already: nothing nearer is known.
        trust = weight if level == 0 else np.minimum(1.0, weight * (8.0 if is_exact else 2.0))
        filled = weighted / np.maximum(weight, 1e-6) * trust + filled * (1.0 - trust)
    return np.asarray(np.clip(np.rint(filled), 0, 255), np.uint8)


def split_atlas(colour: UInt8Array, alpha: UInt8Array) -> list[tuple[UInt8Array, UInt8Array]]:
    """Take an atlas apart: opaque rectangles (strips of bark) go, each large connected piece becomes a cut-out.

    Args:
        colour: (height, width, 3).
        alpha: (height, width).

    Returns:
        (colour, alpha) per piece; empty when nothing but strips and crumbs was there.
    """
    alpha = _without_opaque_rectangles(alpha)
    side = max(alpha.shape)
    reach = max(3, side // 50) | 1
    solid = (alpha > 16).astype(np.uint8)
    joined = cv2.dilate(solid, np.ones((reach, reach), np.uint8))
    num_labels, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    pieces = []
    for label in range(1, num_labels):
        left, top, width, height, _ = (int(value) for value in stats[label])
        if max(width, height) < max(48, 0.2 * side) or min(width, height) < 24:
            continue
        window = np.s_[top : top + height, left : left + width]
        piece_alpha = np.where(labels[window] == label, alpha[window], 0).astype(np.uint8)
        if np.count_nonzero(piece_alpha > 127) >= 400:
            pieces.append((colour[window], piece_alpha))
    return pieces


def _without_opaque_rectangles(alpha: UInt8Array) -> UInt8Array:
    """Clear the fully opaque, axis-aligned rectangles from an alpha."""
    opaque = (alpha > 240).astype(np.uint8)
    cleared = alpha.copy()
    for side in (max(12, min(alpha.shape) // 6), max(8, min(alpha.shape) // 24)):
        boxes = cv2.morphologyEx(opaque, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
        num_labels, _, stats, _ = cv2.connectedComponentsWithStats(boxes, connectivity=4)
        for label in range(1, num_labels):
            left, top, width, height, area = (int(value) for value in stats[label])
            is_long = max(width, height) > 0.3 * max(alpha.shape)
            if area > 0.95 * width * height and is_long:
                cleared[max(0, top - 2) : top + height + 2, max(0, left - 2) : left + width + 2] = 0
    return cleared


class LazyItems(Sequence[Item]):
    """Items that are made each time they are asked for, by calling a function."""

    def __init__(self, makers: Sequence[Callable[[], Item]]) -> None:
        self._makers = makers

    def __len__(self) -> int:
        return len(self._makers)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> "LazyItems[Item]": ...

    def __getitem__(self, index: int | slice) -> "Item | LazyItems[Item]":
        """Make one item, or narrow the sequence."""
        return LazyItems(self._makers[index]) if isinstance(index, slice) else self._makers[index]()


class _Pool(Generic[Item]):
    """Items in memory or made when asked for, drawn by the share of their set."""

    def __init__(
        self, items: Sequence[Item], weights: NDArray[np.float64], set_sizes: Mapping[str, int] | None = None
    ) -> None:
        self.items = items
        self.weights = weights / weights.sum()
        self.set_sizes = dict(set_sizes or {})
        """Number of items of each set, by its name; empty where that is not known."""
        self._cumulative = np.cumsum(self.weights)

    def __len__(self) -> int:
        return len(self.items)

    def draw(self, rng: np.random.Generator) -> Item:
        """Draw one item."""
        index = int(np.searchsorted(self._cumulative, rng.random(), side="right"))
        return self.items[min(index, len(self.items) - 1)]


class CutoutFolder(_Pool[Cutout]):
    """Foregrounds in memory, each a `Cutout` whose colours are extended under its soft and zero alpha."""

    def __init__(
        self,
        roots: Sequence[Path] | Mapping[Path, float],
        max_side: int = 512,
        *,
        atlas_sets: Iterable[str] = ATLAS_SETS,
    ) -> None:
        """Load every cut-out below the given folders.

        Args:
            roots: Folders of RGBA files in any layout; with a mapping, each folder's share in the draws, else 1 each.
            max_side: Larger cut-outs are shrunk to this longest side, in pixels.
            atlas_sets: Names of folders whose files are split into their connected pieces.

        Raises:
            InputError: A folder is missing or empty, or a file is broken or has no alpha; names it.
        """
        atlases = frozenset(atlas_sets)

        def read(path: Path, root: Path) -> list[Cutout]:
            return _read_cutouts(path, max_side, is_atlas=root.name in atlases, is_exact=root.name in EXACT_SETS)

        super().__init__(*_load_roots(roots, CUTOUT_SUFFIXES, read, "cut-outs"))

    @classmethod
    def from_arrays(
        cls,
        cutouts: Sequence[Cutout],
        weights: NDArray[np.float64] | None = None,
        set_sizes: Mapping[str, int] | None = None,
    ) -> "CutoutFolder":
        """Make a pool of cut-outs that are at hand already; `weights` per cut-out, default equal."""
        return _pool_from_arrays(cls, cutouts, weights, set_sizes, "cutouts")


class PhotoFolder(_Pool[UInt8Array]):
    """Backgrounds in memory: (height, width, 3) uint8 RGB photographs. Called, it is a `TextureSource`."""

    def __init__(self, roots: Sequence[Path] | Mapping[Path, float], max_side: int = 1024) -> None:
        """Load every photograph below the given folders.

        Args:
            roots: Folders of pictures in any layout; with a mapping, each folder's share in the draws, else 1 each.
            max_side: Larger photographs are shrunk to this longest side, in pixels.

        Raises:
            InputError: A folder is missing or empty, or a file is broken; names it.
        """

        def read(path: Path, root: Path) -> list[UInt8Array]:
            return [read_photo(path, max_side)]

        super().__init__(*_load_roots(roots, PHOTO_SUFFIXES, read, "photographs"))

    @classmethod
    def from_arrays(
        cls,
        photos: Sequence[UInt8Array],
        weights: NDArray[np.float64] | None = None,
        set_sizes: Mapping[str, int] | None = None,
    ) -> "PhotoFolder":
        """Make a pool of photographs that are at hand already; `weights` per photograph, default equal."""
        return _pool_from_arrays(cls, photos, weights, set_sizes, "photos")

    def __call__(self, rng: np.random.Generator, size: int) -> UInt8Array:
        """Cut a random, perhaps mirrored square out of a random photograph.

        Args:
            rng: The source of chance.
            size: The square's side in pixels; a small photograph is enlarged to fill it.

        Returns:
            (size, size, 3) uint8 RGB.
        """
        photo = self.draw(rng)
        height, width = photo.shape[:2]
        largest = min(height, width)
        smallest = min(largest, max(32, int(size * 0.6)))
        side = int(rng.integers(smallest, largest + 1))
        top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        crop = photo[top : top + side, left : left + side]
        interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        crop = np.asarray(cv2.resize(crop, (size, size), interpolation=interpolation), np.uint8)
        return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop


@dataclass(frozen=True, slots=True)
class Sources:
    """What composites are made of."""

    cutouts: CutoutFolder | None
    """Foregrounds; None: procedural foregrounds only."""
    photos: PhotoFolder
    """Backgrounds, and the textures of procedural foregrounds."""
    procedural_share: float = 0.5
    """Share of the foregrounds that are made on the spot, in [0, 1]; taken as 1 without cut-outs."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.procedural_share <= 1.0:
            raise InputError(f"procedural_share is {self.procedural_share}; expected a number in [0, 1]")

    def describe(self) -> list[dict[str, Any]]:
        """The sets by role, name and number of items, as a checkpoint's metadata lists them."""
        pools = (("foreground", self.cutouts), ("background", self.photos))
        return [
            {"role": role, "name": name, "items": count}
            for role, pool in pools
            if pool is not None
            for name, count in pool.set_sizes.items()
        ]

    def draw_procedural(self, rng: np.random.Generator, size: int) -> Cutout:
        """Draw a procedural foreground of (size, size)."""
        return make_cutout(rng, size, self.photos)

    @classmethod
    def from_shared_layout(
        cls,
        root: Path | str,
        *,
        cutout_side: int = 512,
        photo_side: int = 1024,
        procedural_share: float = 0.5,
    ) -> "Sources":
        """Load `root/foregrounds/*` and `root/backgrounds/*`, weighted by `FOREGROUND_SHARES`, `BACKGROUND_SHARES`.

        Args:
            root: Folder of the two folders.
            cutout_side: Larger cut-outs are shrunk to this longest side, in pixels.
            photo_side: The same for photographs.
            procedural_share: Share of the foregrounds that are procedural, in [0, 1].

        Raises:
            InputError: A folder is missing or a file is broken; names it.
        """
        foregrounds = _subfolders(Path(root) / "foregrounds")
        backgrounds = _subfolders(Path(root) / "backgrounds")
        photos = PhotoFolder({folder: BACKGROUND_SHARES.get(folder.name, 1.0) for folder in backgrounds}, photo_side)
        return cls(
            cutouts=CutoutFolder(
                {folder: FOREGROUND_SHARES.get(folder.name, 1.0) for folder in foregrounds}, cutout_side
            ),
            photos=photos,
            procedural_share=procedural_share,
        )


_PoolT = TypeVar("_PoolT", bound="_Pool[Any]")


def _pool_from_arrays(
    kind: type[_PoolT],
    items: Sequence[Any],
    weights: NDArray[np.float64] | None,
    set_sizes: Mapping[str, int] | None,
    argument: str,
) -> _PoolT:
    if not items:
        raise InputError(f"{argument} is empty; at least one is needed")
    pool = kind.__new__(kind)
    weights = np.ones(len(items)) if weights is None else np.asarray(weights, np.float64)
    _Pool.__init__(pool, items, weights, set_sizes)
    return pool


def _load_roots(
    roots: Sequence[Path] | Mapping[Path, float],
    suffixes: frozenset[str],
    read: Callable[[Path, Path], list[Item]],
    noun: str,
) -> tuple[list[Item], NDArray[np.float64], dict[str, int]]:
    """Read all files below the roots; each root's share is spread evenly over its items."""
    shares = roots if isinstance(roots, Mapping) else dict.fromkeys(roots, 1.0)
    if not shares:
        raise InputError(f"no folders of {noun} were given")
    items: list[Item] = []
    weights: list[float] = []
    set_sizes: dict[str, int] = {}
    for root, share in ((Path(root), share) for root, share in shares.items()):
        if share < 0:
            raise InputError(f"{root}: share {share} is negative")
        if not root.is_dir():
            raise InputError(f"{root}: no such folder of {noun}")
        files = sorted(
            path
            for path in root.rglob("*")
            if path.suffix.lower() in suffixes and path.is_file() and f"{root.name}/{path.name}" not in UNUSABLE_FILES
        )
        found = [item for path in files for item in read(path, root)]
        if not found:
            raise InputError(f"{root}: holds no usable {noun} ({', '.join(sorted(suffixes))})")
        items += found
        weights += [share / len(found)] * len(found)
        set_sizes[root.name] = set_sizes.get(root.name, 0) + len(found)
    if sum(weights) <= 0:
        raise InputError(f"the shares of all folders of {noun} are zero")
    return items, np.array(weights), set_sizes


def _read_cutouts(path: Path, max_side: int, *, is_atlas: bool, is_exact: bool) -> list[Cutout]:
    colour, alpha = read_rgba(path)
    pieces = (
        [(piece, make_solid(cover)) for piece, cover in split_atlas(colour, alpha)] if is_atlas else [(colour, alpha)]
    )
    return [trim_cutout(colour, alpha, max_side, is_exact=is_exact) for colour, alpha in pieces]


def read_rgba(path: Path) -> tuple[UInt8Array, UInt8Array]:
    """The colours and the cleaned alpha of an RGBA file.

    Raises:
        InputError: The file is broken, has no alpha channel, or its alpha is zero everywhere; names it.
    """
    picture = decode_picture(path, cv2.IMREAD_UNCHANGED)
    if picture.ndim != 3 or picture.shape[2] != 4:
        raise InputError(f"{path}: a cut-out needs an alpha channel; the picture's shape is {picture.shape}")
    return np.ascontiguousarray(picture[..., 2::-1]), clean_alpha(picture[..., 3], path)


def clean_alpha(alpha: UInt8Array, path: Path) -> UInt8Array:
    """Alpha with what is almost 0 or 255 made so.

    Raises:
        InputError: Nothing is left; names `path`.
    """
    alpha = _snap(alpha)
    if not alpha.any():
        raise InputError(f"{path}: the cut-out is empty, its alpha is zero everywhere")
    return alpha


def make_solid(alpha: UInt8Array) -> UInt8Array:
    """Alpha with 255 where it and its neighbours are nearly opaque: the bodies of drawn foliage are full of 245s."""
    body = np.asarray(cv2.erode(alpha, np.ones((3, 3), np.uint8)), np.uint8) >= 190
    return np.where(body, 255, alpha).astype(np.uint8)


def _snap(alpha: UInt8Array) -> UInt8Array:
    return np.where(alpha <= 3, 0, np.where(alpha >= 252, 255, alpha)).astype(np.uint8)


def trim_cutout(colour: UInt8Array, alpha: UInt8Array, max_side: int, *, is_exact: bool) -> Cutout:
    """Trim the empty margin, extend the colours, then shrink to the largest side wanted.

    Args:
        colour: (height, width, 3) RGB.
        alpha: (height, width), somewhere above zero.
        max_side: Longest side of the result, in pixels.
        is_exact: As for `extend_colours`.
    """
    rows, columns = np.flatnonzero(alpha.max(axis=1)), np.flatnonzero(alpha.max(axis=0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    colour = extend_colours(colour[window], alpha[window], is_exact=is_exact)
    alpha = np.ascontiguousarray(alpha[window])
    if max(alpha.shape) > max_side:
        scale = max_side / max(alpha.shape)
        size_wh = (max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale)))
        colour, alpha = (_shrink(part, size_wh) for part in (colour, alpha))
    return Cutout(colour, alpha)


def read_photo(path: Path, max_side: int) -> UInt8Array:
    """A photograph as (height, width, 3) RGB, shrunk to `max_side` if it is larger.

    Raises:
        InputError: The file is broken; names it.
    """
    photo = np.ascontiguousarray(decode_picture(path, cv2.IMREAD_COLOR)[..., ::-1])
    scale = max_side / max(photo.shape[:2])
    if scale < 1.0:
        size_wh = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
        photo = _shrink(photo, size_wh)
    return photo


def _shrink(image: UInt8Array, size_wh: tuple[int, int]) -> UInt8Array:
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def decode_picture(path: Path, flags: int) -> UInt8Array:
    """What OpenCV makes of a file of 8 bits per channel (BGR order).

    Raises:
        InputError: It cannot be read, is no picture, or has more bits; names it.
    """
    try:
        content = np.fromfile(path, np.uint8)
        picture = cv2.imdecode(content, flags) if content.size else None
    except (OSError, cv2.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if picture is None:
        raise InputError(f"{path}: not a picture, or a broken one")
    if picture.dtype != np.uint8:
        raise InputError(f"{path}: expected 8 bits per channel, the picture is {picture.dtype}")
    return np.asarray(picture)


def _subfolders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        raise InputError(f"{parent}: no such folder")
    folders = sorted(path for path in parent.iterdir() if path.is_dir())
    if not folders:
        raise InputError(f"{parent}: holds no folders")
    return folders
