"""Where test photographs with truth and guidance masks lie on disk.

A benchmark only names files; `runner.evaluate` reads them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mask2alpha.errors import InputError
from mask2alpha.imaging.decode import SUFFIXES

EXACT_KIND = "exact"
"""The kind of mask that is the truth cut at one half; there is little to win over it, so shares leave it out."""
_KNOWN_KINDS = (EXACT_KIND, "eroded", "dilated", "lowres", "blobby", "wobbly", "holes")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidedPhotograph:
    """The files of one photograph."""

    name: str
    """The files' common name, without suffix."""
    image_path: Path
    """The photograph."""
    alpha_path: Path
    """The true alpha, one channel."""
    mask_paths: dict[str, Path]
    """The guidance mask of each kind."""


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


class GuidedFolder:
    """A folder of photographs, their true alphas and guidance masks of several kinds.

        ROOT/
          image/NAME.png            the photograph (.jpg, .webp or .tif will do)
          alpha/NAME.png            its true alpha, one channel, 8 or 16 bits
          mask/KIND/NAME.png        its guidance mask of that kind, one channel, white = target

    Every photograph has an alpha and one mask of each kind. Kinds come in a fixed order, the ones that
    `data.mask_perturbation` draws first, others by name after them.
    """

    def __init__(self, root: Path | str, kinds: Sequence[str] | None = None) -> None:
        """List the folder.

        Args:
            root: The folder drawn above.
            kinds: The kinds to use, in that order; None: all there are.

        Raises:
            InputError: A folder or a file is missing, has no partner, or shares its name; the message says which.
        """
        self.root = Path(root)
        for folder in ("image", "alpha", "mask"):
            if not (self.root / folder).is_dir():
                raise InputError(f"root: {self.root} has no folder {folder}/; expected image/, alpha/ and mask/KIND/")
        self.kinds: tuple[str, ...] = _choose_kinds(self.root / "mask", kinds)
        images = _list_pictures(self.root / "image")
        alphas = _list_pictures(self.root / "alpha")
        if not images:
            raise InputError(f"root: {self.root / 'image'} holds no pictures")
        _match_names(images, alphas, self.root / "image", self.root / "alpha")
        masks = {kind: _list_pictures(self.root / "mask" / kind) for kind in self.kinds}
        for kind in self.kinds:
            _match_names(images, masks[kind], self.root / "image", self.root / "mask" / kind)
        self.photographs: tuple[GuidedPhotograph, ...] = tuple(
            GuidedPhotograph(
                name=name,
                image_path=path,
                alpha_path=alphas[name],
                mask_paths={kind: masks[kind][name] for kind in self.kinds},
            )
            for name, path in images.items()
        )

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.photographs) * len(self.kinds)

    def __iter__(self) -> Iterator[GuidedPair]:
        """The pairs, photograph by photograph."""
        for photograph in self.photographs:
            for kind, mask_path in photograph.mask_paths.items():
                yield GuidedPair(
                    name=photograph.name,
                    kind=kind,
                    image_path=photograph.image_path,
                    alpha_path=photograph.alpha_path,
                    mask_path=mask_path,
                )


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


def _list_pictures(folder: Path) -> dict[str, Path]:
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
            shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            raise InputError(f"root: {folder} lacks {shown}")
