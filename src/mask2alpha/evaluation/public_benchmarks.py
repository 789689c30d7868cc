"""Published matting benchmarks by name, each in the folder layout in which its authors give it out.

None comes with this package; each has a licence of its own. What a folder lacks is said in one sentence with what to
move where. Only M-HIM2K brings guidance masks; for the others `Masks` says which, all of `masks.RECIPES` where it
says nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One folder of a layout."""

    folder: str
    """Its name in the layout."""
    what: str
    """What belongs there, in words."""
    others: tuple[str, ...] = ()
    """Names that it has in rearranged copies."""


_ORIGINAL = _Part(folder="original", what="photographs", others=("image", "images", "original_image", "img"))
_MASK = _Part(folder="mask", what="true alphas", others=("alpha", "alphas", "matte", "gt"))
_TRIMAP = _Part(folder="trimap", what="trimaps", others=("trimaps",))


def open_benchmark(name: str, root: Path | str, *, masks: Masks | None = None) -> Benchmark:
    """List a benchmark's files.

    Args:
        name: One of `BENCHMARKS`.
        root: Its folder; the functions below draw what is in it.
        masks: The guidance masks; None: the benchmark's own, or all recipes where it has none.

    Raises:
        InputError: The name is unknown, or something is missing; the message says what to move where.
    """
    if name not in BENCHMARKS:
        raise InputError(f"benchmark: got {name!r}, expected one of {', '.join(BENCHMARKS)}")
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(f"root: {folder} is not a folder; give the one that holds {name}")
    return BENCHMARKS[name](folder, masks or Masks())


def aim_500(root: Path, masks: Masks) -> Benchmark:
    """AIM-500 (Li et al., IJCAI 2021): 500 photographs of all kinds of things.

    ROOT/                       "AIM-500"
      original/o_NAME.jpg       the photographs
      mask/o_NAME.png           the true alphas
      trimap/o_NAME.png         only for the protocol trimap-unknown
    """
    return _open("aim-500", "AIM-500", root, ("", "validation"), _ORIGINAL, _MASK, _TRIMAP, masks, 500)


def am_2k(root: Path, masks: Masks) -> Benchmark:
    """AM-2k (Li et al., IJCV 2022), its test part: 200 photographs of animals.

    ROOT/                       "AM-2k"
      validation/
        original/m_NAME.jpg     the photographs
        mask/m_NAME.png         the true alphas
        trimap/m_NAME.png       only for the protocol trimap-unknown
    """
    return _open("am-2k", "AM-2k", root, ("validation",), _ORIGINAL, _MASK, _TRIMAP, masks, 200)


def p3m_500_np(root: Path, masks: Masks) -> Benchmark:
    """P3M-500-NP (Li et al., ACM MM 2021): 500 photographs of people, faces as they are.

    ROOT/                       "P3M-10k"
      validation/
        P3M-500-NP/
          original_image/NAME.jpg
          mask/NAME.png         the true alphas
          trimap/NAME.png       only for the protocol trimap-unknown
    """
    image = _Part(folder="original_image", what="photographs", others=("original", "image"))
    bases = ("validation/P3M-500-NP", "P3M-500-NP", "")
    return _open("p3m-500-np", "P3M-500-NP", root, bases, image, _MASK, _TRIMAP, masks, 500)


def p3m_500_p(root: Path, masks: Masks) -> Benchmark:
    """P3M-500-P (Li et al., ACM MM 2021): 500 photographs of people, faces blurred.

    ROOT/                       "P3M-10k"
      validation/
        P3M-500-P/
          blurred_image/NAME.jpg
          mask/NAME.png         the true alphas
          trimap/NAME.png       only for the protocol trimap-unknown
    """
    image = _Part(folder="blurred_image", what="photographs with blurred faces", others=("original", "image"))
    bases = ("validation/P3M-500-P", "P3M-500-P", "")
    return _open("p3m-500-p", "P3M-500-P", root, bases, image, _MASK, _TRIMAP, masks, 500)


def ppm_100(root: Path, masks: Masks) -> Benchmark:
    """PPM-100 (Ke et al., AAAI 2022): 100 large portraits.

    ROOT/                       "PPM-100"
      image/NAME.jpg            the photographs
      matte/NAME.jpg            the true alphas
    """
    image = _Part(folder="image", what="photographs", others=("fg", "images", "original"))
    alpha = _Part(folder="matte", what="true alphas", others=("alpha", "mask", "mattes"))
    return _open("ppm-100", "PPM-100", root, ("", "val"), image, alpha, None, masks, 100)


def composition_1k(root: Path, masks: Masks) -> Benchmark:
    """Composition-1k, the test set of Deep Image Matting (Xu et al., CVPR 2017): 50 foregrounds on 20 backgrounds each.

    Adobe gives out foregrounds, alphas, trimaps and a script that makes the composites. The layout is the one in which
    trimap methods expect the outcome:

        ROOT/                       "Composition-1k-testset", or "Combined_Dataset" with it in Test_set/
          merged/NAME_N.png         the composites
          alpha_copy/NAME_N.png     the true alphas, one a composite; or alpha/NAME.png, one a foreground
          trimaps/NAME_N.png        only for the protocol trimap-unknown, which published numbers are of
    """
    image = _Part(folder="merged", what="1000 composites that the data set's own script makes", others=("image", "img"))
    alpha = _Part(folder="alpha_copy", what="true alphas", others=("gt", "label", "mask"))
    trimap = _Part(folder="trimaps", what="trimaps", others=("trimap",))
    bases = ("", "Test_set")
    base = _find_base(root, bases, image)
    if (base / "alpha").is_dir() and not (base / "alpha_copy").is_dir():
        alpha = replace(alpha, folder="alpha")
    return _open("composition-1k", "Composition-1k", root, bases, image, alpha, trimap, masks, 1000)


def alphamatting(root: Path, masks: Masks) -> Benchmark:
    """The public training set of alphamatting.com (Rhemann et al., CVPR 2009): 27 photographs with measured alphas.

    ROOT/
      input_training_lowres/GT01.png            or all three ..._highres, where there is no lowres
      gt_training_lowres/GT01.png               the true alphas
      trimap_training_lowres/Trimap1/GT01.png   only for the protocol trimap-unknown
    """
    size = "highres" if (root / "input_training_highres").is_dir() else "lowres"
    size = "lowres" if (root / "input_training_lowres").is_dir() else size
    image = _Part(folder=f"input_training_{size}", what="photographs", others=("input", "image"))
    alpha = _Part(folder=f"gt_training_{size}", what="true alphas", others=("gt", "alpha"))
    trimap = _Part(folder=f"trimap_training_{size}/Trimap1", what="trimaps")
    title = f"alphamatting.com, training set, {size}"
    return _open("alphamatting", title, root, ("",), image, alpha, trimap, masks, 27)


def him2k(root: Path, masks: Masks) -> Benchmark:
    """HIM2K (Sun et al., CVPR 2022): people, each with an alpha of their own, in composed and in natural pictures.

        ROOT/                               "HIM2K"
          images/{natural,comp}/NAME.jpg
          alphas/{natural,comp}/NAME/00.png one true alpha for each person

    Every person is a pair; under the protocol him2k the persons of a picture are matched and IMQ is reported.
    """
    photographs = _list_instances(root, ("natural", "comp"))
    return _finish("him2k", "HIM2K", root, photographs, masks, 2000)


def m_him2k(root: Path, masks: Masks) -> Benchmark:
    """M-HIM2K (Huynh et al., CVPR 2024), natural subset: HIM2K with the masks of ten Mask R-CNNs, each a kind.

        ROOT/                                           "HIM2K_M-HIM2K"
          images/natural/NAME.jpg
          alphas/natural/NAME/00.png                    one true alpha for each person
          masks_matched_r50_c4_3x/natural/NAME/00.png   the same person's guidance mask, for each of the ten sets
          masks_matched_.../

    Every person is a pair. Published means are over persons, whole image.
    """
    photographs = _list_instances(root, ("natural",))
    if not masks.uses_files or masks.folder is not None:
        return _finish("m-him2k", "M-HIM2K, natural", root, photographs, masks, None)
    found = [path.name.removeprefix(_MATCHED) for path in sorted(root.glob(f"{_MATCHED}*")) if path.is_dir()]
    if not found:
        raise InputError(
            f"root: {root} has no {_MATCHED}{HIM2K_MASK_SETS[0]}/; move M-HIM2K's mask folders there, beside images/"
        )
    kinds = list(dict.fromkeys(masks.kinds)) if masks.kinds is not None else sorted(found, key=_mask_set_order)
    unknown = [kind for kind in kinds if kind not in found]
    if unknown:
        raise InputError(f"kinds: {root} has no {_MATCHED}{unknown[0]}/; it has {', '.join(found)}")
    for kind in kinds:
        missing = []
        for photograph in photographs:
            path = root / f"{_MATCHED}{kind}" / f"{photograph.name}.png"
            photograph.mask_paths[kind] = path
            if not path.is_file():
                missing.append(f"{photograph.name}.png")
        if missing:
            raise InputError(f"root: {root / (_MATCHED + kind)} lacks {shorten(missing)}; move the set's masks there")
    return Benchmark(
        name="m-him2k", title="M-HIM2K, natural", root=root, photographs=photographs, kinds=kinds, masks=masks
    )


def folder(root: Path, masks: Masks) -> Benchmark:
    """Any folder in the layout of `benchmarks.GuidedFolder`: image/, alpha/ and mask/KIND/."""
    return GuidedFolder(root, masks=masks)


BENCHMARKS: Mapping[str, Callable[[Path, Masks], Benchmark]] = MappingProxyType(
    {
        "aim-500": aim_500,
        "am-2k": am_2k,
        "p3m-500-np": p3m_500_np,
        "p3m-500-p": p3m_500_p,
        "m-him2k": m_him2k,
        "him2k": him2k,
        "composition-1k": composition_1k,
        "ppm-100": ppm_100,
        "alphamatting": alphamatting,
        "folder": folder,
    }
)
"""Benchmarks by name: `(root, masks)` lists their files."""


def _open(
    name: str,
    title: str,
    root: Path,
    bases: Sequence[str],
    image: _Part,
    alpha: _Part,
    trimap: _Part | None,
    masks: Masks,
    official_count: int | None,
) -> Benchmark:
    """A layout of one file a photograph in each of two or three folders, which lie in one of `bases`."""
    base = _find_base(root, bases, image)
    for part in (image, alpha):
        _require(base, part)
    images, alphas = (list_pictures(base / part.folder) for part in (image, alpha))
    if not images:
        raise InputError(f"root: {base / image.folder} holds no pictures; move the {image.what} there")
    if alpha.folder == "alpha" and name == "composition-1k":
        alphas = {key: path for key in images if (path := alphas.get(key, alphas.get(key.rpartition("_")[0])))}
    for here, there, part in ((images, alphas, alpha), (alphas, images, image)):
        missing = [key for key in here if key not in there]
        if missing:
            raise InputError(f"root: {base / part.folder} lacks {shorten(missing)}; move their {part.what} there")
    trimap_folder = base / trimap.folder if trimap is not None else None
    trimaps = list_pictures(trimap_folder) if trimap_folder is not None and trimap_folder.is_dir() else {}
    photographs = [
        GuidedPhotograph(name=key, image_path=path, alpha_path=alphas[key], mask_paths={}, trimap_path=trimaps.get(key))
        for key, path in images.items()
    ]
    return _finish(name, title, root, photographs, masks, official_count)


def _finish(
    name: str,
    title: str,
    root: Path,
    photographs: Sequence[GuidedPhotograph],
    masks: Masks,
    official_count: int | None,
) -> Benchmark:
    """Add the masks: those of a folder, and those that are made; all recipes where nothing is said."""
    if masks.kinds is not None and masks.folder is None:
        raise InputError(f"kinds: {title} has no masks of its own; give a folder of masks, or recipes")
    kinds: Sequence[str] = ()
    if masks.folder is not None:
        kinds = find_masks(photographs, masks.folder, masks.kinds)
    elif masks.uses_files:
        masks = replace(masks, recipes=tuple(RECIPES))
    return Benchmark(
        name=name,
        title=title,
        root=root,
        photographs=photographs,
        kinds=kinds,
        masks=masks,
        official_count=official_count,
    )


def _find_base(root: Path, bases: Sequence[str], image: _Part) -> Path:
    """Where the layout begins: ROOT itself or a folder in it."""
    for base in bases:
        if (root / base / image.folder).is_dir():
            return root / base
    candidates = [path.parent for depth in range(1, _DEPTH + 1) for path in root.glob("*/" * depth + image.folder)]
    for misplaced in sorted(path for path in candidates if path.is_dir() and "train" not in path.parts):
        otherwise = "" if bases[0] else f", or give {misplaced} as the root"
        raise InputError(
            f"root: {root / bases[0]} has no {image.folder}/, {misplaced} has; "
            f"move what is in {misplaced} to {root / bases[0]}{otherwise}"
        )
    return root / bases[0]


def _require(base: Path, part: _Part) -> None:
    if (base / part.folder).is_dir():
        return
    lack = f"root: {base} has no {part.folder}/"
    for other in part.others:
        if (base / other).is_dir():
            raise InputError(f"{lack}; move what is in {base / other} to {base / part.folder}")
    if base.is_dir() and any(path.suffix.lower() in SUFFIXES for path in base.iterdir()):
        raise InputError(f"{lack}; move the {part.what} from {base} to {base / part.folder}")
    raise InputError(f"{lack}; move the {part.what} there")


def _list_instances(root: Path, subsets: Sequence[str]) -> list[GuidedPhotograph]:
    """The persons of HIM2K's layout, subset by subset."""
    photographs = []
    found = [subset for subset in subsets if (root / "images" / subset).is_dir()]
    base = _find_base(root, ("",), _Part(folder="images", what="photographs"))
    if not found:
        wanted = " or ".join(f"images/{subset}/" for subset in subsets)
        raise InputError(f"root: {base} has no {wanted}; move the photographs there")
    for subset in found:
        alpha_folder = root / "alphas" / subset
        if not alpha_folder.is_dir():
            raise InputError(
                f"root: {root} has no alphas/{subset}/; move the true alphas, one folder a photograph, there"
            )
        images = list_pictures(root / "images" / subset)
        if not images:
            raise InputError(f"root: {root / 'images' / subset} holds no pictures; move the photographs there")
        alphas = {name: list_pictures(alpha_folder / name) for name in images if (alpha_folder / name).is_dir()}
        missing = [f"{name}/" for name in images if not alphas.get(name)]
        if missing:
            raise InputError(f"root: {alpha_folder} lacks {shorten(missing)} with true alphas; move them there")
        extra = [path.name for path in sorted(alpha_folder.iterdir()) if path.is_dir() and path.name not in images]
        if extra:
            raise InputError(f"root: {root / 'images' / subset} lacks {shorten(extra)}; move their photographs there")
        photographs += [
            GuidedPhotograph(name=f"{subset}/{name}/{instance}", image_path=path, alpha_path=alpha_path, mask_paths={})
            for name, path in images.items()
            for instance, alpha_path in alphas[name].items()
        ]
    return photographs


def _mask_set_order(name: str) -> tuple[int, str]:
    return (HIM2K_MASK_SETS.index(name) if name in HIM2K_MASK_SETS else len(HIM2K_MASK_SETS), name)
