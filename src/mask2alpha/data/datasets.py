"""Data sets as their authors publish them, and one's own folders: listed and checked first, decoded when drawn.

Every set opens as the same pools that `sources` keeps in memory, so that composition does not know the difference.
`mask2alpha train --foregrounds KIND=PATH --backgrounds KIND=PATH` calls `open_sources`. A set of photos and alphas in
two folders is one line of `FOREGROUNDS`, a set of backgrounds one line of `BACKGROUNDS`; any other layout is a function
whose docstring draws the folder.

Many of these sets are for research only: their licences decide what weights trained on them may be used for.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mask2alpha.data.cutout import Cutout
from mask2alpha.data.sources import (
    CUTOUT_SUFFIXES,
    PHOTO_SUFFIXES,
    LazyItems,
    PhotoPool,
    Pool,
    Sources,
    UInt8Array,
    clean_alpha,
    decode_picture,
    extend_colours,
    list_files,
    read_photo,
    read_rgba,
    scaled_size,
    trim_cutout,
)
from mask2alpha.errors import InputError

_SHOWN_PROBLEMS = 10
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class CutoutFiles:
    """Where one foreground lies on disk."""

    colour: Path
    """Its colours; RGBA where `alpha` is None."""
    alpha: Path | None = None
    """Its alpha, one grey channel of the same size."""
    is_exact: bool = False
    """Whether the colours are the object's own under soft alpha too. False: a photo or a cut-out with rims, where soft
    pixels are mixtures with the old background; their colours are estimated from the object's solid parts."""


Files = TypeVar("Files", CutoutFiles, Path)


def list_pairs(root: Path, colours: str, alphas: str, *, is_exact: bool = False) -> list[CutoutFiles]:
    """Photos and their alphas: COLOURS/**/NAME.jpg (.jpeg, .png, .webp) and ALPHAS/**/NAME with any of these suffixes.

    Args:
        root: The data set's folder.
        colours: Folder of the photos, below `root`.
        alphas: Folder of the alphas, which have the same relative names.
        is_exact: As in `CutoutFiles`.
    """
    folder = root / colours
    return [
        CutoutFiles(path, _with_any_suffix(root / alphas, str(path.relative_to(folder))), is_exact=is_exact)
        for path in list_files(folder)
    ]


def list_dim(root: Path) -> list[CutoutFiles]:
    """Adobe's Deep Image Matting training set, 431 foregrounds; on request, research only.

        ROOT/                                  Combined_Dataset, or its Training_set
          Training_set/
            training_fg_names.txt              one file name per line
            Adobe-licensed images/fg/NAME      colours, the object's own also under soft alpha
            Adobe-licensed images/alpha/NAME
            Other/fg/NAME
            Other/alpha/NAME

    The names file decides what is used; without one, all files in the two `fg` folders are.
    """
    base = root / "Training_set" if (root / "Training_set").is_dir() else root
    parts = ("Adobe-licensed images", "Other")
    listed = [files for part in parts for files in list_pairs(base, f"{part}/fg", f"{part}/alpha", is_exact=True)]
    names_file = base / "training_fg_names.txt"
    if not names_file.is_file():
        return listed
    by_name = {files.colour.name: files for files in reversed(listed)}
    names = [line.strip() for line in names_file.read_text(encoding="utf-8").splitlines() if line.strip()]
    missing = base / parts[0]  # where a listed file is looked for that lies in neither folder
    return [by_name.get(name, CutoutFiles(missing / "fg" / name, missing / "alpha" / name)) for name in names]


def list_am2k(root: Path) -> list[CutoutFiles]:
    """AM-2k, animals, 1,800 for training.

        ROOT/
          train/original/NAME.jpg    photos
          train/mask/NAME.png        alphas
          train/fg/NAME.png          optional: the object's own colours, which its authors estimated by closed form

    With `fg` these colours are taken, else they are estimated from the photos.
    """
    has_colours = (root / "train" / "fg").is_dir()
    return list_pairs(root, "train/fg" if has_colours else "train/original", "train/mask", is_exact=has_colours)


def list_him(root: Path) -> list[CutoutFiles]:
    """HIM2K and I-HIM50K, people, several alphas per photo; each instance is a foreground. HIM2K is a benchmark.

    ROOT/                                                    ROOT/
      images/natural/NAME.jpg    HIM2K (and images/comp)       images/NAME.jpg       I-HIM50K
      alphas/natural/NAME/00.png one file per person           alphas/NAME/00.png
    """
    listed = []
    for image in list_files(root / "images"):
        folder = root / "alphas" / image.relative_to(root / "images").with_suffix("")
        listed += [CutoutFiles(image, alpha) for alpha in list_files(folder) or [folder / "00.png"]]
    return listed


def list_photos(root: Path, *folders: str) -> list[Path]:
    """Photos in any layout below the first of these folders that exists, or below the last one."""
    names = folders or (".",)
    return list_files(root / next((name for name in names if (root / name).is_dir()), names[-1]))


FOREGROUNDS: Mapping[str, Callable[[Path], list[CutoutFiles]]] = {
    "cutouts": lambda root: [CutoutFiles(path) for path in list_files(root, CUTOUT_SUFFIXES)],
    "pairs": partial(list_pairs, colours="image", alphas="alpha"),
    "dim": list_dim,
    "aim500": partial(list_pairs, colours="original", alphas="mask"),  # a benchmark: train on it or report it
    "am2k": list_am2k,
    "p3m10k": partial(list_pairs, colours="train/blurred_image", alphas="train/mask"),
    "him2k": list_him,
    "ihim50k": list_him,
}
"""Kinds of `--foregrounds`: what lists the files of a set's folder."""

BACKGROUNDS: Mapping[str, Callable[[Path], list[Path]]] = {
    "photos": list_photos,
    "coco": lambda root: list_photos(root, "train2017", "train2014", "."),
    "bg20k": lambda root: list_photos(root, "train"),  # not its testval/
}
"""Kinds of `--backgrounds`."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """One `--foregrounds` or `--backgrounds`."""

    kind: str
    """A key of `FOREGROUNDS` or `BACKGROUNDS`."""
    root: Path
    """Its folder."""
    share: float = 1.0
    """How often it is drawn, as a whole, relative to the others."""

    @classmethod
    def parse(cls, text: str) -> "DataSet":
        """Read `KIND=PATH` or `KIND=PATH@SHARE`.

        Raises:
            InputError: It has another form.
        """
        kind, separator, path = text.partition("=")
        if not (separator and kind and path):
            raise InputError(f"a data set is written KIND=PATH or KIND=PATH@SHARE; got {text!r}")
        head, at, tail = path.rpartition("@")
        try:
            share = float(tail) if at else 1.0
        except ValueError:  # the @ belongs to the path
            return cls(kind, Path(path))
        if not 0 < share < float("inf"):
            raise InputError(f"the share of {text!r} must be a positive number")
        return cls(kind, Path(head if at else path), share)


def open_sources(
    foregrounds: Sequence[DataSet],
    backgrounds: Sequence[DataSet],
    *,
    base: Sources | None = None,
    cutout_side: int = 512,
    photo_side: int = 1024,
    procedural_share: float = 0.5,
) -> Sources:
    """Open data sets for training, together with sources that are open already.

    Args:
        foregrounds: May be empty: then those of `base`, or procedural ones alone.
        backgrounds: May be empty only with a `base`.
        base: Its foregrounds as a whole, and its backgrounds as a whole, have a share of 1.
        cutout_side: Larger foregrounds are shrunk to this longest side when drawn, in pixels.
        photo_side: The same for backgrounds.
        procedural_share: Share of the foregrounds that are procedural, in [0, 1].

    Raises:
        InputError: A kind is unknown, a folder or files are missing, or pictures have broken headers, no alpha or an
            alpha of another size. All problems of all sets are found before it is raised; it names the first ten.
    """
    problems: list[str] = []
    cutouts = [(data_set, _list(data_set, FOREGROUNDS, problems)) for data_set in foregrounds]
    photos = [(data_set, _list(data_set, BACKGROUNDS, problems)) for data_set in backgrounds]
    if problems:
        more = f"\n... and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        raise InputError("the data cannot be used:\n" + "\n".join(problems[:_SHOWN_PROBLEMS]) + more)
    if base is None and not photos:
        raise InputError("backgrounds: none were given")
    cutout_pool, photo_pool = (base.cutouts, base.photos) if base else (None, None)
    if cutouts:
        cutout_pool = Pool(*_join(cutout_pool, cutouts, partial(read_cutout, max_side=cutout_side)))
    if photos:
        photo_pool = PhotoPool(*_join(photo_pool, photos, partial(read_photo, max_side=photo_side)))
    assert photo_pool is not None
    return Sources(cutout_pool, photo_pool, procedural_share)


def read_cutout(files: CutoutFiles, max_side: int) -> Cutout:
    """Decode one foreground, trimmed, with colours everywhere, its longest side at most `max_side`.

    Raises:
        InputError: A file is broken, the sizes differ, or alpha is zero everywhere; names the file.
    """
    if files.alpha is None:
        colour, alpha = read_rgba(files.colour)
    else:
        # Alphas carry no orientation, so that of the colours must not be applied either.
        bgr = decode_picture(files.colour, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        alpha = decode_picture(files.alpha, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
        if bgr.shape[:2] != alpha.shape:
            raise InputError(f"{files.alpha}: its size {alpha.shape} is not that of {files.colour}, {bgr.shape[:2]}")
        colour, alpha = np.ascontiguousarray(bgr[..., ::-1]), clean_alpha(alpha, files.alpha)
    if max(alpha.shape) > 2 * max_side:  # estimating colours at full size would take most of the time
        colour, alpha = _shrink(colour, alpha, 2 * max_side)
        alpha = clean_alpha(alpha, files.alpha or files.colour)
    if files.alpha is not None and not files.is_exact:  # a photo: trust its colours in solid pixels only
        colour = extend_colours(colour, np.rint(255 * (alpha / 255.0) ** 3).astype(np.uint8))
        return trim_cutout(colour, alpha, max_side, is_exact=True)
    return trim_cutout(colour, alpha, max_side, is_exact=files.is_exact)


def check_headers(listed: Iterable[CutoutFiles | Path]) -> list[str]:
    """What the first bytes of files show to be wrong with them, one line each; empty if nothing is."""
    problems = []
    for files in listed:
        if isinstance(files, Path):
            files = CutoutFiles(files, files)  # a photo: any size and mode will do
        try:
            size, has_alpha = _read_header(files.colour)
            if files.alpha is None and not has_alpha:
                problems.append(f"{files.colour}: a cut-out needs an alpha channel")
            if files.alpha not in (None, files.colour) and _read_header(files.alpha)[0] != size:
                problems.append(f"{files.alpha}: its size differs from that of {files.colour}")
        except InputError as error:
            problems.append(str(error))
    return problems


def _list(data_set: DataSet, kinds: Mapping[str, Callable[[Path], list[Files]]], problems: list[str]) -> list[Files]:
    """The files of a set; what is wrong with them is added to `problems`."""
    if data_set.kind not in kinds:
        raise InputError(f"{data_set.kind!r} is not a kind of data set; expected one of {', '.join(kinds)}")
    if not data_set.root.is_dir():
        problems.append(f"{data_set.root}: no such folder")
        return []
    listed = kinds[data_set.kind](data_set.root)
    if not listed:
        problems.append(f"{data_set.root}: holds no files in the layout of {data_set.kind!r}")
    problems += check_headers(listed)
    return listed


def _join(
    base: Pool[Any] | None, listed: Sequence[tuple[DataSet, list[Files]]], read: Callable[[Files], Item]
) -> tuple[LazyItems[Item], NDArray[np.float64], dict[str, int]]:
    """Items, weights and sizes of all sets; each set's share is spread evenly over its items."""
    makers: list[Callable[[], Item]] = []
    weights: list[float] = []
    set_sizes: dict[str, int] = {}
    if base is not None:
        makers += [partial(base.items.__getitem__, index) for index in range(len(base))]
        weights += base.weights.tolist()
        set_sizes |= base.set_sizes
    for data_set, files in listed:
        makers += [partial(read, one) for one in files]
        weights += [data_set.share / len(files)] * len(files)
        set_sizes[data_set.kind] = set_sizes.get(data_set.kind, 0) + len(files)
    return LazyItems(makers), np.array(weights), set_sizes


def _with_any_suffix(folder: Path, name: str) -> Path:
    """The file of that name, or one that differs in its suffix only; where there is none, the name as .png."""
    path = folder / name
    candidates = [path, *(path.with_suffix(suffix) for suffix in sorted(PHOTO_SUFFIXES))]
    return next((candidate for candidate in candidates if candidate.is_file()), path.with_suffix(".png"))


def _read_header(path: Path) -> tuple[tuple[int, int], bool]:
    """(width, height), and whether there is an alpha channel."""
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(path) as picture,
        ):
            return picture.size, picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    except FileNotFoundError:
        raise InputError(f"{path}: is missing") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a picture, or a broken one: {error}") from error


def _shrink(colour: UInt8Array, alpha: UInt8Array, max_side: int) -> tuple[UInt8Array, UInt8Array]:
    """Shrink to a longest side; colours count by their alpha, so that nothing from outside the object bleeds in."""
    size_wh = scaled_size(alpha, max_side / max(alpha.shape))
    weight = alpha.astype(np.float32)[..., None]
    weighted, total = (cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA) for part in (colour * weight, weight))
    small = np.rint(weighted / np.maximum(total, 1e-3)[..., None]).clip(0, 255).astype(np.uint8)
    return small, np.rint(total).astype(np.uint8)
