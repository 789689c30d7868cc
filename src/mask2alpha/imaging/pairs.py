"""Which mask belongs to which photograph: by the file's stem; ``photo__label.png`` are several masks of one photo."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mask2alpha.errors import InputError
from mask2alpha.imaging.decode import SUFFIXES

LABEL_SEPARATOR = "__"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoMasks:
    """A photograph and its masks."""

    photo: Path
    masks: tuple[Path, ...]
    """Ordered by name; at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """What was matched, and what was left over."""

    pairs: tuple[PhotoMasks, ...]
    unmatched_photos: tuple[Path, ...]
    unmatched_masks: tuple[Path, ...]


def match_pairs(photos: Path, masks: Path) -> Pairing:
    """Match photographs to masks.

    Args:
        photos: A file or a folder (its picture files; subfolders are not searched).
        masks: A file or a folder. A photo file and a mask file belong together whatever their names; otherwise a mask
            belongs to the photo whose stem is its own, or its own up to the last "__".

    Raises:
        InputError: A path does not exist, a folder has no pictures, or two files claim the same name.
    """
    if photos.is_file() and masks.is_file():
        return Pairing(pairs=(PhotoMasks(photo=photos, masks=(masks,)),), unmatched_photos=(), unmatched_masks=())
    photo_of_stem = _by_stem(_pictures(photos))
    masks_of_photo: dict[Path, list[Path]] = {}
    unmatched_masks = []
    for stem, mask in _by_stem(_pictures(masks)).items():
        photo = photo_of_stem.get(stem) or photo_of_stem.get(stem.rpartition(LABEL_SEPARATOR)[0])
        if photo is None:
            unmatched_masks.append(mask)
        else:
            masks_of_photo.setdefault(photo, []).append(mask)
    return Pairing(
        pairs=tuple(
            PhotoMasks(photo=photo, masks=tuple(masks_of_photo[photo]))
            for photo in photo_of_stem.values()
            if photo in masks_of_photo
        ),
        unmatched_photos=tuple(photo for photo in photo_of_stem.values() if photo not in masks_of_photo),
        unmatched_masks=tuple(unmatched_masks) if photos.is_dir() else (),
    )


def _pictures(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    found = sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
    if not found:
        raise InputError(f"{path}: no pictures in this folder (looked for {', '.join(SUFFIXES)})")
    return found


def _by_stem(files: Iterable[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for file in files:
        if file.stem in named:
            raise InputError(f"{file.name} and {named[file.stem].name} in {file.parent} have the same stem")
        named[file.stem] = file
    return named
