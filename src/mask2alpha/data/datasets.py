"""Data sets as their authors publish them, and one's own folders: listed and checked first, decoded when drawn.

Every set opens as the same pools that `sources` keeps in memory, so that composition does not know the difference.
`open_sources` is what `mask2alpha train --foregrounds KIND=PATH --backgrounds KIND=PATH` calls; the folder that each
kind expects is drawn in the docstring of its `list_` function.

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
    CutoutFolder,
    LazyItems,
    PhotoFolder,
    Sources,
    UInt8Array,
    clean_alpha,
    decode_picture,
    extend_colours,
    read_photo,
    read_rgba,
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
    """Whether the colours are the object's own under soft alpha too. False: a photograph or a cut-out with rims, where
    soft pixels are mixtures with the old background; their colours are estimated from the object's solid parts."""


Files = TypeVar("Files", CutoutFiles, Path)


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
    parts = [base / "Adobe-licensed images", base / "Other"]
    names_file = base / "training_fg_names.txt"
    if names_file.is_file():
        names = [line.strip() for line in names_file.read_text(encoding="utf-8").splitlines() if line.strip()]
        found = [next((part for part in parts if (part / "fg" / name).is_file()), parts[0]) for name in names]
    else:
        pairs = [(path.name, part) for part in parts for path in _pictures(part / "fg")]
        names, found = [name for name, _ in pairs], [part for _, part in pairs]
    return [
        CutoutFiles(part / "fg" / name, _with_any_suffix(part / "alpha", name), is_exact=True)
        for name, part in zip(names, found, strict=True)
    ]


def list_aim500(root: Path) -> list[CutoutFiles]:
    """AIM-500, 500 photographs of many kinds. A benchmark: whoever trains on it cannot report numbers on it.

    ROOT/
      original/NAME.jpg    photographs
      mask/NAME.png        alphas
    """
    return _list_pairs(root / "original", root / "mask")


def list_am2k(root: Path) -> list[CutoutFiles]:
    """AM-2k, animals, 1,800 for training.

        ROOT/
          train/original/NAME.jpg    photographs
          train/mask/NAME.png        alphas
          train/fg/NAME.png          optional: the object's own colours, which its authors estimated by closed form

    With `fg` these colours are taken, else they are estimated from the photographs.
    """
    train = root / "train"
    if (train / "fg").is_dir():
        return _list_pairs(train / "fg", train / "mask", is_exact=True)
    return _list_pairs(train / "original", train / "mask")


def list_p3m10k(root: Path) -> list[CutoutFiles]:
    """P3M-10k, portraits with blurred faces, 9,421 for training.

    ROOT/
      train/blurred_image/NAME.jpg    photographs
      train/mask/NAME.png             alphas
    """
    return _list_pairs(root / "train" / "blurred_image", root / "train" / "mask")


def list_him(root: Path) -> list[CutoutFiles]:
    """HIM2K and I-HIM50K, people, several alphas per photograph; each instance is a foreground.

        ROOT/                                                    ROOT/
          images/natural/NAME.jpg    HIM2K (and images/comp)       images/NAME.jpg       I-HIM50K
          alphas/natural/NAME/00.png one file per person           alphas/NAME/00.png

    HIM2K is a benchmark, as AIM-500 is.
    """
    images, alphas = root / "images", root / "alphas"
    listed = []
    for image in _pictures(images):
        folder = alphas / image.relative_to(images).with_suffix("")
        listed += [CutoutFiles(image, alpha) for alpha in _pictures(folder)] or [CutoutFiles(image, folder / "00.png")]
    return listed


def list_pairs(root: Path) -> list[CutoutFiles]:
    """Photographs and their alphas, in any layout below the two folders.

        ROOT/
          image/**/NAME.jpg    (.jpeg, .png, .webp)
          alpha/**/NAME.png    the same relative name with any of these suffixes

    What soft pixels show of the old background is replaced by colours estimated from the object's solid parts.
    """
    return _list_pairs(root / "image", root / "alpha")


def list_cutouts(root: Path) -> list[CutoutFiles]:
    """RGBA files in any layout.

    ROOT/**/NAME.png|webp
    """
    return [CutoutFiles(path) for path in _pictures(root, CUTOUT_SUFFIXES)]


def list_coco(root: Path) -> list[Path]:
    """COCO's training photographs.

    ROOT/train2017/NAME.jpg    or train2014; or ROOT is that folder itself
    """
    for name in ("train2017", "train2014"):
        if (root / name).is_dir():
            return _pictures(root / name)
    return _pictures(root)


def list_bg20k(root: Path) -> list[Path]:
    """BG-20k, 15,000 photographs without salient objects for training.

    ROOT/train/NAME.jpg    its testval/ is left alone
    """
    return _pictures(root / "train")


def list_photos(root: Path) -> list[Path]:
    """Photographs in any layout.

    ROOT/**/NAME.jpg|jpeg|png|webp
    """
    return _pictures(root)


FOREGROUNDS: Mapping[str, Callable[[Path], list[CutoutFiles]]] = {
    "cutouts": list_cutouts,
    "pairs": list_pairs,
    "dim": list_dim,
    "aim500": list_aim500,
    "am2k": list_am2k,
    "p3m10k": list_p3m10k,
    "him2k": list_him,
    "ihim50k": list_him,
}
"""Kinds of `--foregrounds`."""

BACKGROUNDS: Mapping[str, Callable[[Path], list[Path]]] = {
    "photos": list_photos,
    "coco": list_coco,
    "bg20k": list_bg20k,
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
            raise InputError(f"a data set has the form KIND=PATH or KIND=PATH@SHARE; got {text!r}")
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
    """Open data sets for training, together with sources that are in memory already.

    Args:
        foregrounds: May be empty: then those of `base`, or procedural ones alone.
        backgrounds: May be empty only with a `base`.
        base: Its foregrounds as a whole, and its backgrounds as a whole, have a share of 1.
        cutout_side: Larger foregrounds are shrunk to this longest side when drawn, in pixels.
        photo_side: The same for backgrounds.
        procedural_share: Share of the foregrounds that are made on the spot, in [0, 1].

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
        cutout_pool = CutoutFolder.from_arrays(*_join(cutout_pool, cutouts, partial(read_cutout, max_side=cutout_side)))
    if photos:
        photo_pool = PhotoFolder.from_arrays(*_join(photo_pool, photos, partial(read_photo, max_side=photo_side)))
    assert photo_pool is not None
    return Sources(
        cutouts=cutout_pool,
        photos=photo_pool,
        procedural_share=procedural_share,
    )


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
            raise InputError(
                f"{files.alpha}: its size {alpha.shape} differs from that of {files.colour}, {bgr.shape[:2]}"
            )
        colour, alpha = np.ascontiguousarray(bgr[..., ::-1]), clean_alpha(alpha, files.alpha)
    if max(alpha.shape) > 2 * max_side:  # estimating colours at full size would take most of the time
        colour, alpha = _shrink(colour, alpha, 2 * max_side)
        alpha = clean_alpha(alpha, files.alpha or files.colour)
    if files.alpha is not None and not files.is_exact:  # a photograph: trust its colours in solid pixels only
        colour = extend_colours(colour, np.rint(255 * (alpha / 255.0) ** 3).astype(np.uint8))
        return trim_cutout(colour, alpha, max_side, is_exact=True)
    return trim_cutout(colour, alpha, max_side, is_exact=files.is_exact)


def check_headers(listed: Iterable[CutoutFiles | Path]) -> list[str]:
    """What is wrong with files as far as their first bytes tell, one line each; empty where all is well."""
    problems = []
    for files in listed:
        if isinstance(files, Path):
            files = CutoutFiles(files, files)  # a photograph: any size and mode will do
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
        raise InputError(f"{data_set.kind!r} is no kind of data set here; there are {', '.join(kinds)}")
    if not data_set.root.is_dir():
        problems.append(f"{data_set.root}: no such folder")
        return []
    listed = kinds[data_set.kind](data_set.root)
    if not listed:
        problems.append(f"{data_set.root}: holds no files in the layout of {data_set.kind!r}")
    problems += check_headers(listed)
    return listed


def _join(
    base: CutoutFolder | PhotoFolder | None,
    listed: Sequence[tuple[DataSet, list[Files]]],
    read: Callable[[Files], Item],
) -> tuple[LazyItems[Item], NDArray[np.float64], dict[str, int]]:
    """Items, weights and sizes of all sets; each set's share is spread evenly over its items."""
    makers: list[Callable[[], Item]] = []
    weights: list[float] = []
    set_sizes: dict[str, int] = {}
    if base is not None:
        items: Sequence[Any] = base.items
        makers += [partial(items.__getitem__, index) for index in range(len(items))]
        weights += base.weights.tolist()
        set_sizes |= base.set_sizes
    for data_set, files in listed:
        makers += [partial(read, one) for one in files]
        weights += [data_set.share / len(files)] * len(files)
        set_sizes[data_set.kind] = set_sizes.get(data_set.kind, 0) + len(files)
    return LazyItems(makers), np.array(weights), set_sizes


def _list_pairs(colours: Path, alphas: Path, *, is_exact: bool = False) -> list[CutoutFiles]:
    return [
        CutoutFiles(path, _with_any_suffix(alphas, str(path.relative_to(colours))), is_exact=is_exact)
        for path in _pictures(colours)
    ]


def _pictures(folder: Path, suffixes: Iterable[str] = PHOTO_SUFFIXES) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())


def _with_any_suffix(folder: Path, name: str) -> Path:
    """The file of that name, or one that differs in its suffix only; where there is none, the name as .png."""
    path = folder / name
    candidates = [path, *(path.with_suffix(suffix) for suffix in sorted(PHOTO_SUFFIXES))]
    return next((candidate for candidate in candidates if candidate.is_file()), path.with_suffix(".png"))


def _read_header(path: Path) -> tuple[tuple[int, int], bool]:
    """(width, height), and whether there is an alpha channel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return picture.size, picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    except FileNotFoundError:
        raise InputError(f"{path}: is missing") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a picture, or a broken one: {error}") from error


def _shrink(colour: UInt8Array, alpha: UInt8Array, max_side: int) -> tuple[UInt8Array, UInt8Array]:
    """Shrink to a longest side; colours count by their alpha, so that nothing from outside the object bleeds in."""
    scale = max_side / max(alpha.shape)
    size_wh = (max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale)))
    weight = alpha.astype(np.float32)[..., None]
    weighted, total = (cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA) for part in (colour * weight, weight))
    small = np.rint(weighted / np.maximum(total, 1e-3)[..., None]).clip(0, 255).astype(np.uint8)
    return small, np.rint(total).astype(np.uint8)
