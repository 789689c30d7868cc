"""Published matting benchmarks by name, each in the folder layout of its authors.

This package contains none of them; each has its own licence. If a folder lacks something, one sentence says what to
move where. Only M-HIM2K has guidance masks; for the others `Masks` says which, by default all of `masks.RECIPES`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import (
    Benchmark,
    GuidedFolder,
    GuidedPhotograph,
    Masks,
    find_masks,
    list_pictures,
    pair_files,
    shorten,
)
from mask2alpha.evaluation.masks import RECIPES
from mask2alpha.imaging.decode import SUFFIXES

HIM2K_MASK_SETS = (
    "r50_c4_3x", "r50_dc5_3x", "r50_fpn_3x", "r50_fpn_400e", "r101_c4_3x", "r101_fpn_3x", "r101_fpn_400e",
    "regnetx_400e", "regnety_400e", "x101_fpn_3x",
)  # fmt: skip
"""The segmenters whose masks M-HIM2K has, in the order of its evaluation script."""
_MATCHED = "masks_matched_"
_DEPTH = 3  # how far below ROOT a misplaced layout is looked for
_IMAGE_ALIASES = ("image", "images", "original", "img", "fg", "input")
_ALPHA_ALIASES = ("alpha", "alphas", "matte", "mattes", "mask", "gt", "label")
"""Names that photos and true alphas have in rearranged copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Folders, in ROOT or in a folder of it, with one file per photo each."""

    title: str
    """The published name."""
    image: str
    alpha: str
    trimap: str = "trimap"
    bases: tuple[str, ...] = ("",)
    """Where the folders may lie below ROOT; the first is the official place."""
    count: int | None = None
    """Number of photos in the published set."""
    photos: str = "photos"
    """What messages call the photos."""
    is_alpha_shared: bool = False
    """Whether several photos NAME_0, NAME_1 share the alpha NAME."""


_COMPOSITION = _Layout(
    title="Composition-1k", image="merged", alpha="alpha_copy", trimap="trimaps", bases=("", "Test_set"), count=1000,
    photos="1000 composites that the data set's own script makes",
)  # fmt: skip
_ALPHAMATTING = _Layout(
    title="alphamatting.com, training set, lowres", image="input_training_lowres", alpha="gt_training_lowres",
    trimap="trimap_training_lowres/Trimap1", count=27,
)  # fmt: skip


def open_benchmark(name: str, root: Path | str, *, masks: Masks | None = None) -> Benchmark:
    """List a benchmark's files, which lie in the folder ROOT as follows. Trimaps are for the protocol trimap-unknown.

        aim-500         original/o_*.jpg, mask/o_*.png, trimap/o_*.png
        am-2k           validation/{original,mask,trimap}/m_*
        p3m-500-np      validation/P3M-500-NP/{original_image,mask,trimap}/p_*
        p3m-500-p       validation/P3M-500-P/{blurred_image,mask,trimap}/p_*
        m-him2k         images/natural/NAME.jpg, alphas/natural/NAME/00.png, masks_matched_SET/natural/NAME/00.png
        him2k           images/{natural,comp}/NAME.jpg, alphas/{natural,comp}/NAME/00.png
        composition-1k  merged/NAME_N.png, alpha_copy/NAME_N.png or alpha/NAME.png, trimaps/NAME_N.png; or in Test_set/
        ppm-100         image/*.jpg, matte/*.jpg; or in val/
        alphamatting    {input,gt}_training_lowres/GT*.png, trimap_training_lowres/Trimap1/GT*.png; or all in highres
        folder          image/, alpha/ and mask/KIND/, see `benchmarks.GuidedFolder`

    In m-him2k and him2k every person is a pair. Under the protocol him2k the persons of a photo are matched, for IMQ.

    Args:
        name: One of `BENCHMARKS`.
        root: The folder.
        masks: The guidance masks; None: the benchmark's own, or all recipes if it has none.

    Raises:
        InputError: The name is unknown, or something is missing; the message says what to move where.

    Source: AIM-500 (Li et al., IJCAI 2021), AM-2k (Li et al., IJCV 2022), P3M-10k (Li et al., ACM MM 2021), HIM2K (Sun
    et al., CVPR 2022), M-HIM2K (Huynh et al., CVPR 2024), Composition-1k (Xu et al., CVPR 2017), PPM-100 (Ke et al.,
    AAAI 2022), alphamatting.com (Rhemann et al., CVPR 2009).
    """
    if name not in BENCHMARKS:
        raise InputError(f"benchmark: got {name!r}, expected one of {', '.join(BENCHMARKS)}")
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(f"root: {folder} is not a folder; give the one that holds {name}")
    return BENCHMARKS[name](name, folder, masks or Masks())


def _open_flat(layouts: Sequence[_Layout], name: str, root: Path, masks: Masks) -> Benchmark:
    """Open a benchmark in the layout of which most is there."""
    candidates = [(layout, _find_base(root, layout.bases, layout.image)) for layout in layouts]
    layout, base = max(
        candidates, key=lambda found: sum((found[1] / part).is_dir() for part in (found[0].image, found[0].alpha))
    )
    if not (base / layout.image).is_dir():
        _refuse_misplaced(root, layout.bases, layout.image)
        _refuse_missing(base, layout.image, layout.photos, _IMAGE_ALIASES)
    if not (base / layout.alpha).is_dir():
        _refuse_missing(base, layout.alpha, "true alphas", _ALPHA_ALIASES)
    photographs = pair_files(
        base / layout.image,
        base / layout.alpha,
        base / layout.trimap,
        what=(layout.photos, "true alphas"),
        is_alpha_shared=layout.is_alpha_shared,
    )
    return _add_masks(name, layout.title, root, photographs, masks, layout.count)


def _open_instances(
    title: str, subsets: Sequence[str], count: int | None, name: str, root: Path, masks: Masks
) -> Benchmark:
    """Open HIM2K or M-HIM2K, which has masks of its own."""
    photographs = _list_instances(root, subsets)
    if name != "m-him2k" or not masks.uses_files or masks.folder is not None:
        return _add_masks(name, title, root, photographs, masks, count)
    found = [path.name.removeprefix(_MATCHED) for path in root.glob(f"{_MATCHED}*") if path.is_dir()]
    if not found:
        raise InputError(
            f"root: {root} has no {_MATCHED}{HIM2K_MASK_SETS[0]}/; move M-HIM2K's mask folders there, beside images/"
        )
    official = [kind for kind in HIM2K_MASK_SETS if kind in found]
    known = [*official, *sorted(set(found).difference(official))]
    kinds = known if masks.kinds is None else list(dict.fromkeys(masks.kinds))
    for kind in kinds:
        if kind not in found:
            raise InputError(f"kinds: {root} has no {_MATCHED}{kind}/; it has {', '.join(known)}")
        for photograph in photographs:
            photograph.mask_paths[kind] = root / f"{_MATCHED}{kind}" / f"{photograph.name}.png"
        missing = [f"{photo.name}.png" for photo in photographs if not photo.mask_paths[kind].is_file()]
        if missing:
            raise InputError(f"root: {root / (_MATCHED + kind)} lacks {shorten(missing)}; move the set's masks there")
    return Benchmark(name=name, title=title, root=root, photographs=photographs, kinds=kinds, masks=masks)


def _open_folder(name: str, root: Path, masks: Masks) -> Benchmark:
    return GuidedFolder(root, masks=masks)


def _flat(*layouts: _Layout) -> Callable[[str, Path, Masks], Benchmark]:
    return partial(_open_flat, layouts)


BENCHMARKS: Mapping[str, Callable[[str, Path, Masks], Benchmark]] = MappingProxyType({
    "aim-500": _flat(_Layout(title="AIM-500", image="original", alpha="mask", bases=("", "validation"), count=500)),
    "am-2k": _flat(_Layout(title="AM-2k", image="original", alpha="mask", bases=("validation",), count=200)),
    "p3m-500-np": _flat(_Layout(
        title="P3M-500-NP", image="original_image", alpha="mask", count=500,
        bases=("validation/P3M-500-NP", "P3M-500-NP", ""),
    )),
    "p3m-500-p": _flat(_Layout(
        title="P3M-500-P", image="blurred_image", alpha="mask", count=500, photos="photos with blurred faces",
        bases=("validation/P3M-500-P", "P3M-500-P", ""),
    )),
    "m-him2k": partial(_open_instances, "M-HIM2K, natural", ("natural",), None),
    "him2k": partial(_open_instances, "HIM2K", ("natural", "comp"), 2000),
    "composition-1k": _flat(_COMPOSITION, replace(_COMPOSITION, alpha="alpha", is_alpha_shared=True)),
    "ppm-100": _flat(_Layout(title="PPM-100", image="image", alpha="matte", bases=("", "val"), count=100)),
    "alphamatting": _flat(_ALPHAMATTING, _Layout(
        title="alphamatting.com, training set, highres", image="input_training_highres", alpha="gt_training_highres",
        trimap="trimap_training_highres/Trimap1", count=27,
    )),
    "folder": _open_folder,
})  # fmt: skip
"""Benchmarks by name: `(name, root, masks)` lists their files."""


def _add_masks(
    name: str, title: str, root: Path, photographs: Sequence[GuidedPhotograph], masks: Masks, count: int | None
) -> Benchmark:
    """Add the masks of a folder, and those that are made: by default by all recipes."""
    if masks.kinds is not None and masks.folder is None:
        raise InputError(f"kinds: {title} has no masks of its own; give a folder of masks, or recipes")
    kinds: Sequence[str] = ()
    if masks.folder is not None:
        kinds = find_masks(photographs, masks.folder, masks.kinds)
    elif masks.uses_files:
        masks = replace(masks, recipes=tuple(RECIPES))
    return Benchmark(
        name=name, title=title, root=root, photographs=photographs, kinds=kinds, masks=masks, official_count=count
    )


def _find_base(root: Path, bases: Sequence[str], image: str) -> Path:
    """The folder that holds the photos' folder: ROOT itself or a folder in it; if there is none, the official one."""
    return next((root / base for base in bases if (root / base / image).is_dir()), root / bases[0])


def _refuse_misplaced(root: Path, bases: Sequence[str], image: str) -> None:
    """Raise an error if the photos' folder lies elsewhere below ROOT."""
    official = root / bases[0]
    candidates = [path.parent for depth in range(1, _DEPTH + 1) for path in root.glob("*/" * depth + image)]
    for misplaced in sorted(path for path in candidates if path.is_dir() and "train" not in path.parts):
        otherwise = "" if bases[0] else f", or give {misplaced} as the root"
        raise InputError(
            f"root: {official} has no {image}/, {misplaced} has; "
            f"move the contents of {misplaced} to {official}{otherwise}"
        )


def _refuse_missing(base: Path, folder: str, what: str, aliases: Sequence[str]) -> None:
    """Raise an error that says what to move to a folder that does not exist."""
    lack = f"root: {base} has no {folder}/"
    for alias in aliases:
        if alias != folder and (base / alias).is_dir():
            raise InputError(f"{lack}; move the contents of {base / alias} to {base / folder}")
    if base.is_dir() and any(path.suffix.lower() in SUFFIXES for path in base.iterdir()):
        raise InputError(f"{lack}; move the {what} from {base} to {base / folder}")
    raise InputError(f"{lack}; move the {what} there")


def _list_instances(root: Path, subsets: Sequence[str]) -> list[GuidedPhotograph]:
    """The persons of HIM2K's layout, subset by subset."""
    found = [subset for subset in subsets if (root / "images" / subset).is_dir()]
    if not found:
        if not (root / "images").is_dir():
            _refuse_misplaced(root, ("",), "images")
        wanted = " or ".join(f"images/{subset}/" for subset in subsets)
        raise InputError(f"root: {root} has no {wanted}; move the photos there")
    photographs = []
    for subset in found:
        image_folder, alpha_folder = root / "images" / subset, root / "alphas" / subset
        if not alpha_folder.is_dir():
            raise InputError(f"root: {root} has no alphas/{subset}/; move the true alphas, one folder per photo, there")
        images = list_pictures(image_folder)
        if not images:
            raise InputError(f"root: {image_folder} has no pictures; move the photos there")
        alphas = {name: list_pictures(alpha_folder / name) for name in images if (alpha_folder / name).is_dir()}
        missing = [f"{name}/" for name in images if not alphas.get(name)]
        if missing:
            raise InputError(f"root: {alpha_folder} lacks {shorten(missing)} with true alphas; move them there")
        extra = [path.name for path in sorted(alpha_folder.iterdir()) if path.is_dir() and path.name not in images]
        if extra:
            raise InputError(f"root: {image_folder} lacks {shorten(extra)}; move their photos there")
        photographs += [
            GuidedPhotograph(name=f"{subset}/{name}/{instance}", image_path=path, alpha_path=alpha_path, mask_paths={})
            for name, path in images.items()
            for instance, alpha_path in alphas[name].items()
        ]
    return photographs
