"""Small benchmarks on disk, each in the layout of its authors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = (30, 40)


def soft_disc(radius: float, x: float = 20) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.rint(255 * np.clip(0.5 + (radius - np.hypot(rows - 15, columns - x)) / 4, 0, 1)).astype(np.uint8)


def write(path: Path, array: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, quality=95)


def colours(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.stack([alpha, 255 - alpha, alpha // 2], axis=2)


def trimap(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.where(alpha == 0, 0, np.where(alpha == 255, 255, 128)).astype(np.uint8)


def write_flat(
    base: Path, names: tuple[str, ...], image: str, alpha: str, trimaps: str | None, alpha_suffix: str = ".png"
) -> None:
    for index, name in enumerate(names):
        matte = soft_disc(6 + index)
        suffix = ".png" if image in ("merged", "input_training_lowres") else ".jpg"
        write(base / image / f"{name}{suffix}", colours(matte))
        write(base / alpha / f"{name}{alpha_suffix}", matte)
        if trimaps is not None:
            write(base / trimaps / f"{name}.png", trimap(matte))


def aim_500(root: Path) -> None:
    write_flat(root, ("o_0b7228ec", "o_0c8f03f0"), "original", "mask", "trimap")


def am_2k(root: Path) -> None:
    write_flat(root / "validation", ("m_0aa9dd6a", "m_0b2bbaa4"), "original", "mask", "trimap")
    write_flat(root / "train", ("m_0a6c2018",), "original", "mask", None)


def p3m_500_np(root: Path) -> None:
    write_flat(root / "validation" / "P3M-500-NP", ("p_1", "p_2"), "original_image", "mask", "trimap")


def p3m_500_p(root: Path) -> None:
    write_flat(root / "validation" / "P3M-500-P", ("p_015cd10e", "p_2"), "blurred_image", "mask", "trimap")


def ppm_100(root: Path) -> None:
    write_flat(root, ("6146816_556eaff97f_o", "3104502752_cb935c1f0b_o"), "image", "matte", None, ".jpg")


def composition_1k(root: Path) -> None:
    write_flat(root, ("13022246555_fb8c81ba07_o_0", "13022246555_fb8c81ba07_o_1"), "merged", "alpha_copy", "trimaps")


def alphamatting(root: Path) -> None:
    write_flat(root, ("GT01", "GT02"), "input_training_lowres", "gt_training_lowres", "trimap_training_lowres/Trimap1")


def him2k(root: Path, subsets: tuple[str, ...] = ("natural", "comp"), sets: tuple[str, ...] = ()) -> None:
    for subset in subsets:
        for name in ("aa", "bb"):
            write(root / "images" / subset / f"{name}.jpg", colours(soft_disc(9)))
            for index, x in enumerate((10, 30)):
                matte = soft_disc(7 - (name == "bb"), x)
                write(root / "alphas" / subset / name / f"{index:02}.png", matte)
                for mask_set in sets:
                    mask = np.roll(matte > 127, len(mask_set) % 3, axis=1).astype(np.uint8) * 255
                    write(root / f"masks_matched_{mask_set}" / subset / name / f"{index:02}.png", mask)


def m_him2k(root: Path) -> None:
    him2k(root, ("natural",), ("r50_c4_3x", "x101_fpn_3x"))


def folder(root: Path) -> None:
    write_flat(root, ("one", "two"), "image", "alpha", "trimap")
    for index, name in enumerate(("one", "two")):
        write(root / "mask" / "eroded" / f"{name}.png", (soft_disc(4 + index) > 127).astype(np.uint8) * 255)


LAYOUTS: dict[str, Callable[[Path], None]] = {
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
