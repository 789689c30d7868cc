"""Where training pictures come from: folders of cut-out foregrounds, and folders of photos for backgrounds.

    root/
      foregrounds/SET/**/*.webp|png    RGBA cut-outs, in any layout below the set's folder
      backgrounds/SET/**/*.jpg|...     photos and textures

`Sources.from_shared_layout` decodes everything into memory as uint8; a broken file stops the run before training
starts. `datasets` and `shards` fill the same pools with items that are decoded when they are drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2alpha.data.cutout import Cutout
from mask2alpha.errors import InputError

UInt8Array = NDArray[np.uint8]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class KnownSet:
    """What is known of a set in memory by the name of its folder."""

    share: float = 1.0
    """How often it is drawn, as a whole, relative to the others of its role."""
    is_exact: bool = False
    """Whether colours are right under soft alpha too; other cut-outs may carry rims of their old background."""
    is_atlas: bool = False
    """Whether files hold several objects, or opaque strips (of bark) beside the object."""
    unusable: tuple[str, ...] = ()
    """Files whose alpha is wrong: a rough mask with the old background in it; a body full of grey."""


KNOWN_SETS: Mapping[str, KnownSet] = {
    "people": KnownSet(8.0, is_exact=True),
    "hair": KnownSet(3.0, is_exact=True),
    "tuxpaint": KnownSet(2.0),
    "wesnoth_portraits": KnownSet(1.5),
    "flightgear_trees": KnownSet(1.2, is_atlas=True),
    "stk_foliage": KnownSet(is_atlas=True),
    "0ad_flora": KnownSet(is_atlas=True),
    "layerdiffuse": KnownSet(is_exact=True, unusable=("man_crop.webp", "dreamshaper_sd.webp")),
    "fluent3d": KnownSet(0.3, is_exact=True),
    "gcompris_photos": KnownSet(4.0),
    "wallpapers": KnownSet(3.0),
    "0ad_terrain": KnownSet(0.5),
}
"""Foregrounds and backgrounds by name; a set that is not named here is a `KnownSet()`."""

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

    def __getitem__(self, index: Any) -> Any:
        """Make one item, or narrow the sequence by a slice."""
        return LazyItems(self._makers[index]) if isinstance(index, slice) else self._makers[index]()


class Pool(Generic[Item]):
    """Foregrounds or backgrounds, in memory or made when asked for, drawn by the share of their set."""

    def __init__(
        self,
        items: Sequence[Item],
        weights: NDArray[np.float64] | None = None,
        set_sizes: Mapping[str, int] | None = None,
    ) -> None:
        """Make a pool.

        Args:
            items: At least one.
            weights: (items,) how often each is drawn, relative to the others; default: equally often.
            set_sizes: Number of items of each set, by its name.

        Raises:
            InputError: There are no items.
        """
        if not items:
            raise InputError("a pool of training pictures is empty; at least one is needed")
        self.items = items
        weights = np.ones(len(items)) if weights is None else np.asarray(weights, np.float64)
        self.weights = weights / weights.sum()
        self.set_sizes = dict(set_sizes or {})
        self._cumulative = np.cumsum(self.weights)

    def __len__(self) -> int:
        return len(self.items)

    def draw(self, rng: np.random.Generator) -> Item:
        """Draw one item."""
        index = int(np.searchsorted(self._cumulative, rng.random(), side="right"))
        return self.items[min(index, len(self.items) - 1)]


class PhotoPool(Pool[UInt8Array]):
    """Backgrounds, (height, width, 3) uint8 RGB. Called, it is a `TextureSource`."""

    def __call__(self, rng: np.random.Generator, size: int) -> UInt8Array:
        """Cut a random, perhaps mirrored square out of a random photo.

        Args:
            rng: Random numbers.
            size: The square's side in pixels; a small photo is enlarged to fill it.

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
        crop = resize(crop, (size, size), cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
        return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop


@dataclass(frozen=True, slots=True)
class Sources:
    """What composites are made of."""

    cutouts: Pool[Cutout] | None
    """Foregrounds whose colours are extended under soft and zero alpha; None: procedural foregrounds only."""
    photos: PhotoPool
    """Backgrounds, and the textures of procedural foregrounds."""
    procedural_share: float = 0.5
    """Share of the foregrounds that are procedural, in [0, 1]; taken as 1 without cut-outs."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.procedural_share <= 1.0:
            raise InputError(f"procedural_share is {self.procedural_share}; expected a number in [0, 1]")

    def describe(self) -> list[dict[str, Any]]:
        """The sets by role, name and number of items, as a checkpoint's metadata lists them."""
        pools = {"foreground": self.cutouts, "background": self.photos}
        return [
            {"role": role, "name": name, "items": count}
            for role, pool in pools.items()
            if pool is not None
            for name, count in pool.set_sizes.items()
        ]

    @classmethod
    def from_shared_layout(
        cls, root: Path | str, *, cutout_side: int = 512, photo_side: int = 1024, procedural_share: float = 0.5
    ) -> "Sources":
        """Load `root/foregrounds/*` and `root/backgrounds/*`, each set with the share of `KNOWN_SETS`.

        Args:
            root: Folder of the two folders.
            cutout_side: Larger cut-outs are shrunk to this longest side, in pixels.
            photo_side: The same for photos.
            procedural_share: Share of the foregrounds that are procedural, in [0, 1].

        Raises:
            InputError: A folder is missing or empty, or a file is broken or has no alpha; names it.
        """
        folders = []
        for parent in (Path(root) / "foregrounds", Path(root) / "backgrounds"):
            folders.append(sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else [])
            if not folders[-1]:
                raise InputError(f"{parent}: expected a folder of folders, one for each set")
        photos = load_photos(folders[1], photo_side)
        return cls(load_cutouts(folders[0], cutout_side), photos, procedural_share)


def load_cutouts(folders: Sequence[Path], max_side: int = 512) -> Pool[Cutout]:
    """Load every cut-out (RGBA) below the folders of some sets, those of atlases split into their pieces.

    Args:
        folders: One for each set.
        max_side: Larger cut-outs are shrunk to this longest side, in pixels.

    Raises:
        InputError: A folder is missing or empty, or a file is broken or has no alpha; names it.
    """

    def read(path: Path, known: KnownSet) -> list[Cutout]:
        colour, alpha = read_rgba(path)
        pieces = [(colour, alpha)]
        if known.is_atlas:
            pieces = [(piece, make_solid(cover)) for piece, cover in split_atlas(colour, alpha)]
        return [trim_cutout(colour, alpha, max_side, is_exact=known.is_exact) for colour, alpha in pieces]

    return Pool(*_load_sets(folders, CUTOUT_SUFFIXES, read))


def load_photos(folders: Sequence[Path], max_side: int = 1024) -> PhotoPool:
    """Load every photo below the folders of some sets.

    Args:
        folders: One for each set.
        max_side: Larger photos are shrunk to this longest side, in pixels.

    Raises:
        InputError: A folder is missing or empty, or a file is broken; names it.
    """
    return PhotoPool(*_load_sets(folders, PHOTO_SUFFIXES, lambda path, _: [read_photo(path, max_side)]))


def _load_sets(
    folders: Sequence[Path], suffixes: frozenset[str], read: Callable[[Path, KnownSet], list[Item]]
) -> tuple[list[Item], NDArray[np.float64], dict[str, int]]:
    """Items, weights and sizes of all sets; each set's share is spread evenly over its items."""
    items: list[Item] = []
    weights: list[float] = []
    set_sizes: dict[str, int] = {}
    for folder in folders:
        known = KNOWN_SETS.get(folder.name, KnownSet())
        files = [path for path in list_files(folder, suffixes) if path.name not in known.unusable]
        found = [item for path in files for item in read(path, known)]
        if not found:
            raise InputError(f"{folder}: expected a folder with usable files ({', '.join(sorted(suffixes))})")
        items += found
        weights += [known.share / len(found)] * len(found)
        set_sizes[folder.name] = set_sizes.get(folder.name, 0) + len(found)
    return items, np.array(weights), set_sizes


def list_files(folder: Path, suffixes: frozenset[str] = PHOTO_SUFFIXES) -> list[Path]:
    """All files of these suffixes at any depth below a folder, sorted; empty where the folder is missing."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())


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
    alpha = np.where(alpha <= 3, 0, np.where(alpha >= 252, 255, alpha)).astype(np.uint8)
    if not alpha.any():
        raise InputError(f"{path}: the cut-out is empty, its alpha is zero everywhere")
    return alpha


def make_solid(alpha: UInt8Array) -> UInt8Array:
    """Alpha with 255 where it and its neighbours are nearly opaque: the bodies of drawn foliage are full of 245s."""
    body = np.asarray(cv2.erode(alpha, np.ones((3, 3), np.uint8)), np.uint8) >= 190
    return np.where(body, 255, alpha).astype(np.uint8)


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
    return Cutout(shrink(colour, max_side), shrink(np.ascontiguousarray(alpha[window]), max_side))


def read_photo(path: Path, max_side: int) -> UInt8Array:
    """A photo as (height, width, 3) RGB, shrunk to `max_side` if it is larger.

    Raises:
        InputError: The file is broken; names it.
    """
    return shrink(np.ascontiguousarray(decode_picture(path, cv2.IMREAD_COLOR)[..., ::-1]), max_side)


def shrink(image: UInt8Array, max_side: int) -> UInt8Array:
    """Shrink an image to this longest side, in pixels; a smaller one stays as it is."""
    longest = max(image.shape[:2])
    return image if longest <= max_side else resize(image, scaled_size(image, max_side / longest), cv2.INTER_AREA)


def scaled_size(image: UInt8Array, scale: float) -> tuple[int, int]:
    """(width, height) of an image times `scale`, each at least 1."""
    height, width = image.shape[:2]
    return max(1, round(width * scale)), max(1, round(height * scale))


def resize(image: UInt8Array, size_wh: tuple[int, int], interpolation: int) -> UInt8Array:
    """Resize by one of OpenCV's interpolations, with its type."""
    return np.asarray(cv2.resize(image, size_wh, interpolation=interpolation), np.uint8)


def decode_picture(path: Path, flags: int) -> UInt8Array:
    """What OpenCV makes of a file of 8 bits per channel (BGR order).

    Raises:
        InputError: It cannot be read, is not a picture, or has more bits; names it.
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
