"""Where test photos with true alphas and guidance masks lie on disk.

A benchmark lists files, and how to make the masks that are not files; `runner.evaluate` reads and makes them.
`public_benchmarks` knows the layouts of published sets.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mask2alpha.errors import InputError
from mask2alpha.evaluation.masks import RECIPES
from mask2alpha.imaging.decode import SUFFIXES, read_image, read_mask

EXACT_KIND = "exact"
"""The kind of mask that is the truth cut at one half. A matte can hardly be better, so shares leave it out."""
EXACT_KINDS = (EXACT_KIND, "exact-v1")
"""The same from a file and by a recipe."""
EXACT_TOLERANCE = 1.15
"""How many times its mask's SAD a matte of an exact mask may have before `count_spoiled` counts it."""
_JPEG_CHROMA = 8  # the channels of a grey JPEG may differ by this much
_KNOWN_KINDS = (EXACT_KIND, "eroded", "dilated", "lowres", "blobby", "wobbly", "holes")

Segment: TypeAlias = Callable[[npt.NDArray[Any]], npt.NDArray[np.bool_]]
"""`segment(image (H, W, 3) uint8 or uint16)` returns one mask (H, W) or several instances' (K, H, W), bool. Each truth
gets the instance that overlaps it most, an empty mask where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidedPhotograph:
    """The files of one photo, or of one instance in it."""

    name: str
    """The files' common name, without suffix; of an instance FOLDER/PHOTO/INSTANCE."""
    image_path: Path
    """The photo; instances of one photo follow each other and share it."""
    alpha_path: Path
    """The true alpha, one channel."""
    mask_paths: dict[str, Path]
    """The guidance mask of each kind that is a file."""
    trimap_path: Path | None = None
    """The trimap that comes with the benchmark: 0, unknown, 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidedPair:
    """One photo with one of its masks: the unit that is scored."""

    name: str
    """The photo's name."""
    kind: str
    """The kind of mask."""
    image_path: Path
    """The photo."""
    alpha_path: Path
    """The true alpha, one channel."""
    mask_path: Path
    """The guidance mask, one channel, True above one half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """Which guidance masks are used: files, recipes, segmenters. Without any choice: the benchmark's own."""

    folder: Path | None = None
    """Holds KIND/NAME.png; None: the folder of the benchmark's own masks, if it has any."""
    kinds: Sequence[str] | None = None
    """The kinds among the files, in that order; None: all, or no files if there are recipes or segmenters."""
    recipes: Sequence[str] = ()
    """Names of `masks.RECIPES`."""
    segmenters: Mapping[str, Segment] = field(default_factory=dict)
    """Functions that make a mask from the photo, by the name of their kind of mask."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.recipes if name not in RECIPES]
        if unknown:
            raise InputError(f"masks: got {', '.join(unknown)}, expected some of {', '.join(RECIPES)}")

    @property
    def uses_files(self) -> bool:
        """Whether masks are read from files."""
        return self.kinds is not None or self.folder is not None or not (self.recipes or self.segmenters)


class Benchmark:
    """Photos with true alphas and several kinds of guidance masks."""

    def __init__(
        self,
        *,
        name: str,
        title: str,
        root: Path,
        photographs: Sequence[GuidedPhotograph],
        kinds: Sequence[str],
        masks: Masks,
        official_count: int | None = None,
    ) -> None:
        """Keep the list of files.

        Args:
            name: A name of `public_benchmarks.BENCHMARKS`.
            title: The published name.
            root: The folder.
            photographs: In order; instances of one photo follow each other.
            kinds: The kinds of masks that are files.
            masks: The recipes and segmenters, whose kinds follow.
            official_count: Number of photos in the published set; None: unknown.

        Raises:
            InputError: Two kinds of masks have the same name.
        """
        self.name, self.title, self.root = name, title, root
        self.photographs: tuple[GuidedPhotograph, ...] = tuple(photographs)
        self.recipes: tuple[str, ...] = tuple(dict.fromkeys(masks.recipes))
        self.segmenters: Mapping[str, Segment] = MappingProxyType(dict(masks.segmenters))
        self.kinds: tuple[str, ...] = (*kinds, *self.recipes, *self.segmenters)
        self.official_count = official_count
        if len(set(self.kinds)) < len(self.kinds):
            raise InputError(f"masks: two kinds have the same name: {', '.join(self.kinds)}")

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.photographs) * len(self.kinds)

    def __iter__(self) -> Iterator[GuidedPair]:
        """The pairs, photo by photo.

        Raises:
            InputError: Some masks are not files; `runner.write_masks` writes them.
        """
        if self.recipes or self.segmenters:
            made = ", ".join((*self.recipes, *self.segmenters))
            raise InputError(f"benchmark: its masks {made} are not files; write_masks writes them")
        for photograph in self.photographs:
            for kind in self.kinds:
                yield GuidedPair(
                    name=photograph.name,
                    kind=kind,
                    image_path=photograph.image_path,
                    alpha_path=photograph.alpha_path,
                    mask_path=photograph.mask_paths[kind],
                )

    def files(self) -> Iterator[Path]:
        """All input files; no output may replace one of them."""
        for photo in self.photographs:
            yield from (photo.image_path, photo.alpha_path, *photo.mask_paths.values())
            if photo.trimap_path is not None:
                yield photo.trimap_path

    @property
    def num_images(self) -> int:
        """The number of photos, which may have several instances each."""
        return len({photograph.image_path for photograph in self.photographs})

    @property
    def mask_origin(self) -> str:
        """Where the masks come from, in words."""
        parts = [f"recipe {name} ({RECIPES[name]})" for name in self.recipes]
        parts += [f"segmenter {name}" for name in self.segmenters]
        files = [kind for kind in self.kinds if kind not in self.recipes and kind not in self.segmenters]
        return "; ".join([f"masks of {self.root}"] * bool(files) + parts)


class GuidedFolder(Benchmark):
    """A folder of photos, their true alphas and guidance masks of several kinds.

        ROOT/
          image/NAME.png            the photo (.jpg, .webp or .tif will do)
          alpha/NAME.png            its true alpha, one channel, 8 or 16 bits
          mask/KIND/NAME.png        its guidance mask of that kind, one channel, white = target
          trimap/NAME.png           0, 128, 255; only for the protocol trimap-unknown

    Every photo has an alpha and one mask of each kind. The kinds that `data.mask_perturbation` draws come first, the
    others follow by name. With recipes or segmenters, mask/ is not needed.
    """

    def __init__(self, root: Path | str, kinds: Sequence[str] | None = None, *, masks: Masks | None = None) -> None:
        """List the folder.

        Args:
            root: The folder drawn above.
            kinds: The kinds to use, in that order; None: all.
            masks: Other or further masks; its `kinds` count if `kinds` is None.

        Raises:
            InputError: A folder or a file is missing, has no partner, or shares its name; the message says which.
        """
        folder = Path(root)
        choice = masks or Masks()
        if kinds is not None:
            choice = replace(choice, kinds=kinds)
        needed = {"image": "photos", "alpha": "true alphas"}
        if choice.uses_files and choice.folder is None:
            needed["mask"] = "masks"
        for part, what in needed.items():
            if not (folder / part).is_dir():
                raise InputError(
                    f"root: {folder} has no folder {part}/; move the {what} there: it needs image/, alpha/, mask/KIND/"
                )
        photographs = pair_files(folder / "image", folder / "alpha", folder / "trimap", what=("photos", "true alphas"))
        found: Sequence[str] = ()
        if choice.uses_files:
            found = find_masks(photographs, choice.folder or folder / "mask", choice.kinds)
        super().__init__(
            name="folder", title=str(folder), root=folder, photographs=photographs, kinds=found, masks=choice
        )


def pair_files(
    image_folder: Path,
    alpha_folder: Path,
    trimap_folder: Path,
    *,
    what: tuple[str, str],
    is_alpha_shared: bool = False,
) -> list[GuidedPhotograph]:
    """The photos of a folder with their alphas and, if there are any, trimaps of the same names, without masks.

    Args:
        image_folder: The photos.
        alpha_folder: The true alphas.
        trimap_folder: The trimaps; need not exist.
        what: What messages call photos and alphas.
        is_alpha_shared: Whether NAME.png is the alpha of NAME_0, NAME_1 and so on.

    Raises:
        InputError: There are no photos, or a partner is missing.
    """
    images, alphas = list_pictures(image_folder), list_pictures(alpha_folder)
    if not images:
        raise InputError(f"root: {image_folder} has no pictures; move the {what[0]} there")
    if is_alpha_shared:
        alphas = {key: path for key in images if (path := alphas.get(key, alphas.get(key.rpartition("_")[0])))}
    for here, there, folder, kind in (
        (images, alphas, alpha_folder, what[1]),
        (alphas, images, image_folder, what[0]),
    ):
        missing = [name for name in here if name not in there]
        if missing:
            raise InputError(f"root: {folder} lacks {shorten(missing)}; move their {kind} there")
    trimaps = list_pictures(trimap_folder) if trimap_folder.is_dir() else {}
    return [
        GuidedPhotograph(
            name=name, image_path=path, alpha_path=alphas[name], mask_paths={}, trimap_path=trimaps.get(name)
        )
        for name, path in images.items()
    ]


def find_masks(photographs: Sequence[GuidedPhotograph], folder: Path, kinds: Sequence[str] | None) -> Sequence[str]:
    """Give photos, in place, their masks FOLDER/KIND/NAME.png (or another suffix); return the kinds.

    Raises:
        InputError: There is no such folder or kind, or a mask is missing; the message says which.
    """
    if not folder.is_dir():
        raise InputError(f"masks: {folder} is not a folder; expected {folder}/KIND/NAME.png")
    chosen = _choose_kinds(folder, kinds)
    for kind in chosen:
        missing = []
        for photograph in photographs:
            base = folder / kind / photograph.name
            path = next((found for suffix in SUFFIXES if (found := Path(f"{base}{suffix}")).is_file()), None)
            if path is None:
                missing.append(f"{photograph.name}.png")
            else:
                photograph.mask_paths[kind] = path
        if missing:
            raise InputError(f"masks: {folder / kind} lacks {shorten(missing)}; move the masks of that kind there")
    return chosen


def read_alpha(path: Path) -> npt.NDArray[np.float64]:
    """One grey channel of 8 or 16 bits as values in [0, 1], at full precision.

    Raises:
        InputError: The file has colours.
        ImageFileError: It cannot be read.
    """
    pixels = read_image(path).pixels
    grey = pixels[..., 0]
    if (pixels != pixels[..., :1]).any():
        spread = int((pixels.max(axis=2) - pixels.min(axis=2)).max())
        if path.suffix.lower() not in (".jpg", ".jpeg") or spread > _JPEG_CHROMA:
            raise InputError(f"{path}: has colours, expected an alpha in one grey channel")
        grey = pixels.mean(axis=2)
    return np.asarray(grey / float(np.iinfo(pixels.dtype).max), dtype=np.float64)


def read_mask_file(path: Path) -> npt.NDArray[np.uint8]:
    """A guidance mask or a trimap, (H, W), 0 to 255.

    Raises:
        ImageFileError: The file cannot be read, or it is ambiguous which pixels it marks.
    """
    return read_mask(path, has_options=False)


def check_size(path: Path, size: tuple[int, ...], other: Path | str, other_size: tuple[int, ...]) -> None:
    """Check that a file has the size (height, width) of another.

    Raises:
        InputError: The sizes differ.
    """
    if tuple(size) != tuple(other_size):
        raise InputError(f"{path}: is {size[1]} x {size[0]} pixels, but {other} is {other_size[1]} x {other_size[0]}")


def shorten(names: Sequence[str]) -> str:
    """The first five names and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _choose_kinds(folder: Path, wanted: Sequence[str] | None) -> tuple[str, ...]:
    found = {path.name for path in folder.iterdir() if path.is_dir()}
    if not found:
        raise InputError(f"root: {folder} has no folder per kind of mask; expected {folder / EXACT_KIND}, for example")
    if wanted is None:
        return tuple(kind for kind in _KNOWN_KINDS if kind in found) + tuple(sorted(found.difference(_KNOWN_KINDS)))
    if not wanted:
        raise InputError("kinds: got none, expected at least one")
    missing = [kind for kind in wanted if kind not in found]
    if missing:
        raise InputError(f"kinds: {folder} has no {', '.join(missing)}; it has {', '.join(sorted(found))}")
    return tuple(dict.fromkeys(wanted))


def list_pictures(folder: Path) -> dict[str, Path]:
    """The pictures of a folder by name without suffix, sorted."""
    pictures: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in pictures:
            raise InputError(f"root: {pictures[path.stem]} and {path.name} have the same name")
        pictures[path.stem] = path
    return pictures
