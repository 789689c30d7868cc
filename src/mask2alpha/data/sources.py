"""Where training pictures come from: folders of cut-out foregrounds, and folders of photographs for backgrounds.

    root/
      foregrounds/<set>/**/*.webp|png    RGBA cut-outs, in any layout below the set's folder
      backgrounds/<set>/**/*.jpg|...     photographs and textures

Everything is decoded once into memory as uint8; a broken file stops the run before training starts. `datasets` opens
sets that are too large for that: its pools have the same interface, but their items are decoded when they are drawn.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
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

EXACT_SETS = frozenset({"hair", "layerdiffuse", "fluent3d"})
"""Sets whose colours are right under soft alpha too; other cut-outs may carry rims of their old background."""

UNUSABLE_FILES = frozenset({"layerdiffuse/man_crop.webp", "layerdiffuse/dreamshaper_sd.webp"})
"""Files by folder and name whose alpha is no truth: a rough mask with the old background in it; a body full of grey."""

CUTOUT_SUFFIXES = frozenset({".webp", ".png"})
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_RAW_PACK, _COMPRESSED_PACK = 1, 2


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


class ProceduralPool:
    """Foregrounds made on the spot, a bounded number of them, each kept once made.

    Cut-out number n depends on n, the size and the photographs alone, so what is kept in memory (about 0.6 MB each, in
    each loader worker) changes the speed and never the samples.
    """

    def __init__(self, photos: PhotoFolder, count: int) -> None:
        """Describe the pool; `count` is the number of different cut-outs."""
        self._photos = photos
        self._count = count
        self._made: dict[tuple[int, int], Cutout] = {}

    def draw(self, rng: np.random.Generator, size: int) -> Cutout:
        """Draw one cut-out of (size, size)."""
        number = int(rng.integers(self._count))
        if (number, size) not in self._made:
            self._made[number, size] = make_cutout(np.random.default_rng([number, size]), size, self._photos)
        return self._made[number, size]


@dataclass(frozen=True, slots=True)
class Sources:
    """What composites are made of."""

    cutouts: CutoutFolder | None
    """Foregrounds; None: procedural foregrounds only."""
    photos: PhotoFolder
    """Backgrounds, and the textures of procedural foregrounds."""
    procedural_share: float = 0.5
    """Share of the foregrounds that are made on the spot, in [0, 1]; taken as 1 without cut-outs."""
    procedural_pool: ProceduralPool | None = None
    """Reuses procedural foregrounds, which is faster; None makes each of them anew."""

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
        if self.procedural_pool is not None:
            return self.procedural_pool.draw(rng, size)
        return make_cutout(rng, size, self.photos)

    @classmethod
    def from_shared_layout(
        cls,
        root: Path | str,
        *,
        cutout_side: int = 512,
        photo_side: int = 1024,
        procedural_share: float = 0.5,
        num_procedural: int = 2000,
    ) -> "Sources":
        """Load `root/foregrounds/*` and `root/backgrounds/*`, weighted by `FOREGROUND_SHARES`, `BACKGROUND_SHARES`.

        Args:
            root: Folder of the two folders.
            cutout_side: Larger cut-outs are shrunk to this longest side, in pixels.
            photo_side: The same for photographs.
            procedural_share: Share of the foregrounds that are procedural, in [0, 1].
            num_procedural: Size of the pool of procedural foregrounds; 0 makes each anew.

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
            procedural_pool=ProceduralPool(photos, num_procedural) if num_procedural else None,
        )


def pack_sources(sources: Sources, path: Path | str, *, max_bytes: int | None = None, data_card: Any = None) -> None:
    """Write decoded sources to one .npz file, which `load_packed` reads faster than the folders.

    Args:
        sources: What to pack.
        path: The file.
        max_bytes: None: everything as it is, uncompressed. Else the file is at most so large: pictures are compressed
            (WebP; colours lossy, alphas lossless as long as that fits) by the first of `PACK_LEVELS` that is small
            enough. A lossy alpha is no wrong label: composites are made from the packed alpha itself.
        data_card: Where the pictures come from and under which licences, any JSON; `load_data_card` gives it back.

    Raises:
        InputError: Not even the last of `PACK_LEVELS` fits `max_bytes`.
    """
    cutouts: Sequence[Cutout] = sources.cutouts.items if sources.cutouts is not None else ()
    about = {
        "foregrounds": {} if sources.cutouts is None else sources.cutouts.set_sizes,
        "backgrounds": sources.photos.set_sizes,
        "data_card": data_card,
    }
    content: dict[str, Any] = {
        "procedural_share": np.float64(sources.procedural_share),
        "cutout_weights": sources.cutouts.weights if sources.cutouts is not None else np.zeros(0),
        "photo_weights": sources.photos.weights,
        "about": np.array(json.dumps(about)),
    }
    if max_bytes is None:
        rgba = [np.dstack([cutout.colour, cutout.alpha]) for cutout in cutouts]
        content |= {
            "version": np.int64(_RAW_PACK),
            "cutout_sizes": np.array([item.shape[:2] for item in rgba], np.int64).reshape(-1, 2),
            "cutout_values": _flatten(rgba),
            "photo_sizes": np.array([photo.shape[:2] for photo in sources.photos.items], np.int64).reshape(-1, 2),
            "photo_values": _flatten(sources.photos.items),
        }
    else:
        files = _compress(cutouts, sources.photos.items, max_bytes - _PACK_OVERHEAD - 8 * len(cutouts))
        content |= {
            "version": np.int64(_COMPRESSED_PACK),
            "file_sizes": np.array([len(file) for file in files], np.int64),
            "files": _flatten(files),
        }
    with Path(path).open("wb") as file:
        np.savez(file, **content)


@dataclass(frozen=True, slots=True)
class PackLevel:
    """How strongly `pack_sources` compresses."""

    colour_quality: int
    """WebP quality of colours and photographs, 1 to 100."""
    alpha_quality: int
    """The same of alphas; 101 is lossless."""
    scale: float
    """Sides of the pictures, relative to those in memory."""


PACK_LEVELS = (
    PackLevel(90, 101, 1.0),
    PackLevel(80, 101, 1.0),
    PackLevel(70, 101, 1.0),
    PackLevel(70, 90, 1.0),
    PackLevel(55, 85, 1.0),
    PackLevel(55, 85, 0.8),
    PackLevel(50, 80, 0.64),
    PackLevel(45, 75, 0.5),
)
"""Tried in this order."""
_PACK_OVERHEAD = 65_536
"""Room for the file's own structure, names and weights, in bytes."""


def _compress(cutouts: Sequence[Cutout], photos: Sequence[UInt8Array], max_bytes: int) -> list[UInt8Array]:
    """The files of all colours, all alphas and all photographs, together at most `max_bytes`."""
    sampled_cutouts, sampled_photos = cutouts[:: 1 + len(cutouts) // 50], photos[:: 1 + len(photos) // 50]
    smallest = 0
    for level in PACK_LEVELS:
        of_cutouts, of_photos = _encode_cutouts(sampled_cutouts, level), _encode_photos(sampled_photos, level)
        expected = sum(map(len, of_cutouts)) * len(cutouts) / max(len(sampled_cutouts), 1)
        expected += sum(map(len, of_photos)) * len(photos) / len(sampled_photos)
        if expected > 1.1 * max_bytes:
            smallest = round(expected)
            continue
        files = _encode_cutouts(cutouts, level) + _encode_photos(photos, level)
        smallest = sum(map(len, files))
        if smallest <= max_bytes:
            return files
    raise InputError(f"max_bytes: the sources need about {smallest} bytes at the strongest compression")


def _encode_cutouts(cutouts: Sequence[Cutout], level: PackLevel) -> list[UInt8Array]:
    colours = [_encode(cutout.colour[..., ::-1], level.colour_quality, level.scale) for cutout in cutouts]
    return colours + [_encode(cutout.alpha, level.alpha_quality, level.scale) for cutout in cutouts]


def _encode_photos(photos: Sequence[UInt8Array], level: PackLevel) -> list[UInt8Array]:
    return [_encode(photo[..., ::-1], level.colour_quality, level.scale) for photo in photos]


def _encode(picture: UInt8Array, quality: int, scale: float) -> UInt8Array:
    if scale != 1.0:
        height, width = (max(1, round(scale * side)) for side in picture.shape[:2])
        picture = _shrink(np.ascontiguousarray(picture), (width, height))
    is_encoded, content = cv2.imencode(".webp", np.ascontiguousarray(picture), [cv2.IMWRITE_WEBP_QUALITY, quality])
    assert is_encoded
    return np.asarray(content, np.uint8).reshape(-1)


def load_packed(path: Path | str, *, num_procedural: int = 2000) -> Sources:
    """Read what `pack_sources` wrote.

    Args:
        path: The file.
        num_procedural: Size of the pool of procedural foregrounds; 0 makes each anew.

    Raises:
        InputError: The file is missing, is something else, or is of another version; names it.
    """
    content = _read_pack(path)
    about = _about(content)
    try:
        cutouts, photos = _unpack(content)
    except (cv2.error, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a file of packed sources: {error}") from error
    photo_pool = PhotoFolder.from_arrays(photos, content["photo_weights"], about["backgrounds"])
    return Sources(
        cutouts=CutoutFolder.from_arrays(cutouts, content["cutout_weights"], about["foregrounds"]) if cutouts else None,
        photos=photo_pool,
        procedural_share=float(content["procedural_share"]),
        procedural_pool=ProceduralPool(photo_pool, num_procedural) if num_procedural else None,
    )


def load_data_card(path: Path | str) -> Any:
    """The data card that `pack_sources` was given; None where it was given none.

    Raises:
        InputError: As for `load_packed`.
    """
    return _about(_read_pack(path, {"version", "about"}))["data_card"]


def _read_pack(path: Path | str, names: Set[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of a packed file, or those of the given names that it has."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files if names is None or name in names}
        version = int(content["version"])
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a file of packed sources: {error}") from error
    if version not in (_RAW_PACK, _COMPRESSED_PACK):
        raise InputError(f"{path}: packed sources of version {version}; expected {_RAW_PACK} or {_COMPRESSED_PACK}")
    return content


def _about(content: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    if "about" not in content:  # written before sets were named
        return {"foregrounds": {}, "backgrounds": {}, "data_card": None}
    about = json.loads(str(content["about"]))
    assert isinstance(about, dict)
    return about


def _unpack(content: Mapping[str, NDArray[Any]]) -> tuple[list[Cutout], list[UInt8Array]]:
    if int(content["version"]) == _RAW_PACK:
        rgba = _unflatten(content["cutout_values"], content["cutout_sizes"], 4)
        cutouts = [Cutout(np.ascontiguousarray(item[..., :3]), np.ascontiguousarray(item[..., 3])) for item in rgba]
        return cutouts, _unflatten(content["photo_values"], content["photo_sizes"], 3)
    ends = np.cumsum(content["file_sizes"])
    files = np.split(content["files"], ends[:-1])
    count = len(content["cutout_weights"])
    colours, alphas, photos = files[:count], files[count : 2 * count], files[2 * count :]
    if len(photos) != len(content["photo_weights"]):
        raise ValueError("weights and files do not match")
    cutouts = [
        Cutout(_unpack_rgb(colour), _snap(np.asarray(_unpack_file(alpha, cv2.IMREAD_GRAYSCALE), np.uint8)))
        for colour, alpha in zip(colours, alphas, strict=True)
    ]
    return cutouts, [_unpack_rgb(photo) for photo in photos]


def _unpack_rgb(file: UInt8Array) -> UInt8Array:
    return np.ascontiguousarray(_unpack_file(file, cv2.IMREAD_COLOR)[..., ::-1])


def _unpack_file(file: UInt8Array, flags: int) -> UInt8Array:
    picture = cv2.imdecode(file, flags) if file.size else None
    if picture is None:
        raise ValueError("a picture in it is damaged")
    return np.asarray(picture, np.uint8)


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


def _flatten(items: Sequence[UInt8Array]) -> UInt8Array:
    return np.concatenate([item.reshape(-1) for item in items]) if items else np.zeros(0, np.uint8)


def _unflatten(values: UInt8Array, sizes: NDArray[np.int64], channels: int) -> list[UInt8Array]:
    ends = np.cumsum(sizes.prod(axis=1) * channels)
    if (ends[-1] if len(ends) else 0) != len(values):
        raise ValueError("sizes and values do not match")
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    return [
        values[start:end].reshape(int(height), int(width), channels)
        for start, end, (height, width) in zip(starts, ends, sizes, strict=True)
    ]
