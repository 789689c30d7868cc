"""Where test photographs with truth and guidance masks lie on disk.

A benchmark only names files, and how masks that are not files are made; `runner.evaluate` reads and makes them.
`public_benchmarks` knows the layouts of published sets.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mask2alpha.errors import InputError
from mask2alpha.evaluation.masks import RECIPES
from mask2alpha.imaging.decode import SUFFIXES, read_image

EXACT_KIND = "exact"
"""The kind of mask that is the truth cut at one half; there is little to win over it, so shares leave it out."""
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
    """The files of one photograph, or of one instance in it."""

    name: str
    """The files' common name, without suffix; of an instance FOLDER/PHOTOGRAPH/INSTANCE."""
    image_path: Path
    """The photograph; instances of one photograph follow each other and share it."""
    alpha_path: Path
    """The true alpha, one channel."""
    mask_paths: dict[str, Path]
    """The guidance mask of each kind that is a file."""
    trimap_path: Path | None = None
    """The trimap that comes with the benchmark: 0, unknown, 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidedPair:
    """One photograph with one of its masks: the unit that is scored."""

    name: str
    """The photograph's name."""
    kind: str
    """The kind of mask."""
    image_path: Path
    """The photograph."""
    alpha_path: Path
    """The true alpha, one channel."""
    mask_path: Path
    """The guidance mask, one channel, True above one half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """Which guidance masks are used: from files, by recipes, by segmenters; with none said, what the benchmark has."""

    folder: Path | None = None
    """Holds KIND/NAME.png; None: where the benchmark's own masks lie, if it has any."""
    kinds: Sequence[str] | None = None
    """The kinds among the files, in that order; None: all there are, or no files where the next two say something."""
    recipes: Sequence[str] = ()
    """Names of `masks.RECIPES`."""
    segmenters: Mapping[str, Segment] = field(default_factory=dict)
    """What makes a mask from the photograph, by the name that its kind of mask shall have."""

    def __post_init__(self) -> None:
        """Check the recipes.

        Raises:
            InputError: A recipe is unknown.
        """
        unknown = [name for name in self.recipes if name not in RECIPES]
        if unknown:
            raise InputError(f"masks: got {', '.join(unknown)}, expected some of {', '.join(RECIPES)}")

    @property
    def uses_files(self) -> bool:
        """Whether files of masks are wanted."""
        return self.kinds is not None or self.folder is not None or not (self.recipes or self.segmenters)


class Benchmark:
    """Photographs with true alphas and several kinds of guidance masks."""

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
        """Put together what was found.

        Args:
            name: As in `public_benchmarks.BENCHMARKS`.
            title: Its published name.
            root: The folder.
            photographs: In order; instances of one photograph one after the other.
            kinds: The kinds of masks that are files.
            masks: The recipes and segmenters that follow them.
            official_count: How many photographs the published set has; None: unknown or any number.
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
        """The pairs, photograph by photograph.

        Raises:
            InputError: Some masks are not files; `runner.write_masks` makes files of them.
        """
        if self.recipes or self.segmenters:
            made = ", ".join((*self.recipes, *self.segmenters))
            raise InputError(f"benchmark: its masks {made} are not files; write_masks makes files of them")
        for photograph in self.photographs:
            for kind in self.kinds:
                yield GuidedPair(
                    name=photograph.name,
                    kind=kind,
                    image_path=photograph.image_path,
                    alpha_path=photograph.alpha_path,
                    mask_path=photograph.mask_paths[kind],
                )

    @property
    def num_images(self) -> int:
        """The number of photographs, instances of one counted once."""
        return len({photograph.image_path for photograph in self.photographs})

    @property
    def mask_origin(self) -> str:
        """Where the masks come from, in words."""
        parts = [f"recipe {name} ({RECIPES[name]})" for name in self.recipes]
        parts += [f"segmenter {name}" for name in self.segmenters]
        files = [kind for kind in self.kinds if kind not in self.recipes and kind not in self.segmenters]
        return "; ".join([f"masks of {self.root}"] * bool(files) + parts)


class GuidedFolder(Benchmark):
    """A folder of photographs, their true alphas and guidance masks of several kinds.

        ROOT/
          image/NAME.png            the photograph (.jpg, .webp or .tif will do)
          alpha/NAME.png            its true alpha, one channel, 8 or 16 bits
          mask/KIND/NAME.png        its guidance mask of that kind, one channel, white = target
          trimap/NAME.png           0, 128, 255; only for the protocol trimap-unknown

    Every photograph has an alpha and one mask of each kind. Kinds come in a fixed order, the ones that
    `data.mask_perturbation` draws first, others by name after them. Where masks are made by recipes or segmenters,
    mask/ need not be there.
    """

    def __init__(self, root: Path | str, kinds: Sequence[str] | None = None, *, masks: Masks | None = None) -> None:
        """List the folder.

        Args:
            root: The folder drawn above.
            kinds: The kinds to use, in that order; None: all there are.
            masks: Other masks than those, or further ones; its `kinds` count where `kinds` is None.

        Raises:
            InputError: A folder or a file is missing, has no partner, or shares its name; the message says which.
        """
        folder = Path(root)
        choice = masks or Masks()
        if kinds is not None:
            choice = Masks(folder=choice.folder, kinds=kinds, recipes=choice.recipes, segmenters=choice.segmenters)
        mask_folder = choice.folder or folder / "mask"
        needed = {"image": "photographs", "alpha": "true alphas"} | ({"mask": "masks"} if choice.uses_files else {})
        for part, what in needed.items():
            if not (mask_folder if part == "mask" else folder / part).is_dir():
                raise InputError(
                    f"root: {folder} has no folder {part}/; move the {what} there: it needs image/, alpha/, mask/KIND/"
                )
        found = _choose_kinds(mask_folder, choice.kinds) if choice.uses_files else ()
        images = list_pictures(folder / "image")
        alphas = list_pictures(folder / "alpha")
        if not images:
            raise InputError(f"root: {folder / 'image'} holds no pictures")
        _match_names(images, alphas, folder / "image", folder / "alpha")
        mask_paths = {kind: list_pictures(mask_folder / kind) for kind in found}
        for kind in found:
            _match_names(images, mask_paths[kind], folder / "image", mask_folder / kind)
        trimaps = list_pictures(folder / "trimap") if (folder / "trimap").is_dir() else {}
        super().__init__(
            name="folder",
            title=str(folder),
            root=folder,
            photographs=[
                GuidedPhotograph(
                    name=name,
                    image_path=path,
                    alpha_path=alphas[name],
                    mask_paths={kind: mask_paths[kind][name] for kind in found},
                    trimap_path=trimaps.get(name),
                )
                for name, path in images.items()
            ],
            kinds=found,
            masks=choice,
        )


def find_masks(photographs: Sequence[GuidedPhotograph], folder: Path, kinds: Sequence[str] | None) -> Sequence[str]:
    """Give photographs, in place, their masks FOLDER/KIND/NAME.png (or another suffix); return the kinds.

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


def check_size(path: Path, size: tuple[int, ...], other: Path | str, other_size: tuple[int, ...]) -> None:
    """Refuse a file whose size (height, width) is not that of another.

    Raises:
        InputError: It is not.
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


def _match_names(images: dict[str, Path], others: dict[str, Path], image_folder: Path, other_folder: Path) -> None:
    for here, there, folder in ((images, others, other_folder), (others, images, image_folder)):
        missing = [name for name in here if name not in there]
        if missing:
            raise InputError(f"root: {folder} lacks {shorten(missing)}; move them there")
