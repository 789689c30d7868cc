"""Which mask belongs to which photo: by the file's name; ``photo__label.png`` are several masks of one photo."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePosixPath

from mask2alpha.errors import InputError
from mask2alpha.imaging.decode import SUFFIXES

LABEL_SEPARATOR = "__"
_MASK_WORD = re.compile(r"(?<=.)[-_. ](mask|matte|alpha|seg)$", re.IGNORECASE)
"""What many programs put behind the photo's name."""
_SPELLINGS = {".jpeg": ".jpg", ".tiff": ".tif", ".heif": ".heic"}
_LEAST_LIKENESS = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoMasks:
    """A photo and its masks."""

    photo: Path
    masks: tuple[Path, ...]
    """Ordered by name; at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """What was matched, and what was left over."""

    pairs: tuple[PhotoMasks, ...]
    unmatched_photos: tuple[Path, ...]
    unmatched_masks: tuple[Path, ...]
    nearest: Mapping[Path, Path] = field(default_factory=dict)
    """For what was left over, the file of the other kind whose name is most like its own, if any is."""


def match_pairs(photos: Path, masks: Path) -> Pairing:
    """Match photos to masks.

    Args:
        photos: A file or a folder (its picture files; subfolders are not searched).
        masks: A file or a folder. A photo file and a mask file belong together whatever their names; otherwise names
            decide, see `match_names`.

    Raises:
        InputError: A path does not exist, a folder has no pictures, or two files claim the same name.
    """
    if photos.is_file() and masks.is_file():
        return Pairing(pairs=(PhotoMasks(photo=photos, masks=(masks,)),), unmatched_photos=(), unmatched_masks=())
    photo_of_name, mask_of_name = ({file.name: file for file in _pictures(path)} for path in (photos, masks))
    for folder, names in ((photos, photo_of_name), (masks, mask_of_name)):
        check_stems(names, folder)
    matched = match_names(photo_of_name, mask_of_name, ignores_case=_ignores_case(masks))
    masks_of_photo: dict[Path, list[Path]] = {}
    for mask, photo in matched.items():
        masks_of_photo.setdefault(photo_of_name[photo], []).append(mask_of_name[mask])
    unmatched_photos = tuple(photo for photo in photo_of_name.values() if photo not in masks_of_photo)
    unmatched_masks = tuple(file for name, file in mask_of_name.items() if name not in matched)
    nearest = {
        each: others[name]
        for left_over, others in ((unmatched_photos, mask_of_name), (unmatched_masks, photo_of_name))
        for each in left_over
        if (name := find_nearest(each.name, others)) is not None
    }
    return Pairing(
        pairs=tuple(
            PhotoMasks(photo=photo, masks=tuple(masks_of_photo[photo]))
            for photo in photo_of_name.values()
            if photo in masks_of_photo
        ),
        unmatched_photos=unmatched_photos,
        unmatched_masks=unmatched_masks if photos.is_dir() else (),
        nearest=nearest,
    )


def match_names(photos: Iterable[str], masks: Iterable[str], *, ignores_case: bool = False) -> dict[str, str]:
    """Find the photo of each mask by name.

    A mask is called as its photo (``a.png`` of ``a.jpg``), has the photo's whole name before its own suffix
    (``a.jpg.png``), or a word behind the photo's name (``a_mask.png``, also -matte, .alpha and the like); each may be
    followed by a label (``a__left.png``). Names that differ only in how accents are composed are the same.

    Args:
        photos: Names of files, without folders.
        masks: The same.
        ignores_case: Whether names that differ only in case are the same.

    Returns:
        Name of a mask to the name of its photo, in the masks' order; masks without a photo are left out.
    """
    photo_of_key: dict[str, str] = {}
    for photo in photos:
        path = PurePosixPath(photo)
        for key in (path.stem, path.stem + _suffix(path)):
            photo_of_key.setdefault(_key(key, ignores_case), photo)
    matched = {}
    for mask in masks:
        for name in _names_of_photo(PurePosixPath(mask).stem):
            path = PurePosixPath(name)
            photo_name = photo_of_key.get(_key(name, ignores_case))
            if photo_name is None and path.suffix.lower() in SUFFIXES:
                photo_name = photo_of_key.get(_key(path.stem + _suffix(path), ignores_case))
            if photo_name is not None:
                matched[mask] = photo_name
                break
    return matched


def output_stem(photo: str, mask: str) -> str:
    """The stem of what is made of a photo and a mask, given their stems: the mask's where it says more."""
    if _key(photo, True) == _key(mask, True) or not _key(mask, True).startswith(_key(photo, True)):
        return photo
    return mask


def find_nearest(name: str, others: Iterable[str]) -> str | None:
    """The name of a file that is most like another's, if any is like it; suffixes do not count."""
    stems = {_key(PurePosixPath(other).stem, True): other for other in others}
    found = get_close_matches(_key(PurePosixPath(name).stem, True), stems, n=1, cutoff=_LEAST_LIKENESS)
    return stems[found[0]] if found else None


def check_stems(names: Sequence[str] | Mapping[str, object], folder: object) -> None:
    """Refuse two files of one stem, because their outputs would be called alike.

    Raises:
        InputError: There are two.
    """
    named: dict[str, str] = {}
    for name in names:
        stem = _key(PurePosixPath(name).stem, False)
        if stem in named:
            raise InputError(f"{name} and {named[stem]} in {folder} have the same stem")
        named[stem] = name


def _names_of_photo(stem: str) -> list[str]:
    """What the photo of a mask may be called, the likeliest first."""
    without_label = stem.rpartition(LABEL_SEPARATOR)[0]
    names = [stem, without_label]
    names += [_MASK_WORD.sub("", name) for name in names]
    names.append(names[2].rpartition(LABEL_SEPARATOR)[0])  # a__left_mask
    return [name for name in dict.fromkeys(names) if name]


def _key(name: str, ignores_case: bool) -> str:
    composed = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFC", composed.casefold()) if ignores_case else composed


def _suffix(path: PurePosixPath) -> str:
    suffix = path.suffix.lower()
    return _SPELLINGS.get(suffix, suffix)


def _ignores_case(path: Path) -> bool:
    """Whether the file system finds a file by a name of other case."""
    folder = path if path.is_dir() else path.parent
    sample = next((file for file in folder.iterdir() if file.name.swapcase() != file.name), None)
    return sample is not None and sample.with_name(sample.name.swapcase()).exists()


def list_pictures(folder: Path) -> list[Path]:
    """The picture files directly in a folder, by name.

    Raises:
        InputError: There are none.
    """
    found = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
    if not found:
        raise InputError(f"{folder}: no pictures in this folder (looked for {', '.join(SUFFIXES)})")
    return found


def _pictures(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    return list_pictures(path)
