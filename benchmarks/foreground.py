"""Colour error and time of the foreground estimate beside pymatting's `estimate_foreground_ml`, on the same composites.

Cut-outs with known colours and alpha are put over photographs, at several sizes; both methods get the composite, in 8
bits, and the true alpha. Error: the mean of alpha |F - true F| over the pixels whose alpha is from 0.02 to 0.98, which
is also the error of a composite over any other background. Time: from float32 arrays to float32 arrays, turn by turn,
the median of the repeats; pymatting's first call, which compiles, is not counted. Ratios are medians of each turn's.

    python benchmarks/foreground.py FOREGROUNDS BACKGROUNDS --threads 1
"""

import json
import statistics
import time
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pymatting import estimate_foreground_ml

from mask2alpha.pipeline.foreground import estimate_foreground

FloatArray = NDArray[np.float32]


@click.command()
@click.argument("foregrounds", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("backgrounds", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--size", "sizes", multiple=True, default=(512, 1024, 2048), show_default=True, help="Side in pixels.")
@click.option("--count", default=12, show_default=True, help="Composites per size.")
@click.option("--repeats", default=5, show_default=True, help="Timed turns per composite.")
@click.option("--threads", default=torch.get_num_threads(), show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="A .json file.")
def main(
    foregrounds: Path,
    backgrounds: Path,
    sizes: tuple[int, ...],
    count: int,
    repeats: int,
    threads: int,
    seed: int,
    output: Path | None,
) -> None:
    """Measure on cut-outs (RGBA) from FOREGROUNDS over photographs from BACKGROUNDS."""
    import numba

    torch.set_num_threads(threads)
    numba.set_num_threads(threads)
    rows = []
    print(f"{threads} threads; error in 1/255; own / pymatting")
    print("side   error own  pymatting  worse in   ms own  pymatting   ratio (quartiles)")
    for size in sizes:
        rng = np.random.default_rng(seed)
        own_errors, peer_errors, own_ms, peer_ms, ratios = [], [], [], [], []
        for index in range(count):
            image, alpha, colours = draw_composite(rng, foregrounds, backgrounds, size)
            if index == 0:
                run_pymatting(image, alpha)  # compiles
                run_own(image, alpha)
            for _ in range(repeats):
                start = time.perf_counter()
                own = run_own(image, alpha)
                middle = time.perf_counter()
                peer = run_pymatting(image, alpha)
                end = time.perf_counter()
                own_ms.append(1e3 * (middle - start))
                peer_ms.append(1e3 * (end - middle))
                ratios.append((middle - start) / (end - middle))
            own_errors.append(colour_error(own, colours, alpha))
            peer_errors.append(colour_error(peer, colours, alpha))
        low, middle_ratio, high = statistics.quantiles(ratios, n=4)
        worse = sum(own > peer for own, peer in zip(own_errors, peer_errors, strict=True))
        row = {
            "side": size,
            "own_error": statistics.mean(own_errors),
            "pymatting_error": statistics.mean(peer_errors),
            "own_worse_in": worse,
            "own_ms": statistics.median(own_ms),
            "pymatting_ms": statistics.median(peer_ms),
            "time_ratio": middle_ratio,
            "time_ratio_quartiles": [low, high],
        }
        rows.append(row)
        print(
            f"{size:5d}  {row['own_error']:9.3f}  {row['pymatting_error']:9.3f}  {worse:3d} of {count:3d}  "
            f"{row['own_ms']:7.1f}  {row['pymatting_ms']:9.1f}   {middle_ratio:.2f} ({low:.2f}-{high:.2f})"
        )
    if output:
        output.write_text(json.dumps({"threads": threads, "count": count, "seed": seed, "rows": rows}, indent=2) + "\n")


def draw_composite(
    rng: np.random.Generator, foregrounds: Path, backgrounds: Path, size: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Image (size, size, 3) rounded to 8 bits, true alpha (size, size), true colours; float32 in [0, 1]."""
    cutouts, photos = (
        sorted(file for file in folder.rglob("*") if file.suffix in (".webp", ".png", ".jpg"))
        for folder in (foregrounds, backgrounds)
    )
    cutout = Image.open(cutouts[rng.integers(len(cutouts))]).convert("RGBA")
    photo = Image.open(photos[rng.integers(len(photos))]).convert("RGB")
    side = min(photo.size)
    background = np.asarray(photo.crop((0, 0, side, side)).resize((size, size), Image.Resampling.BICUBIC))
    target = np.asarray(cutout.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    alpha, colours = np.ascontiguousarray(target[..., 3]), target[..., :3]
    composite = alpha[..., None] * colours + (1 - alpha[..., None]) * (background.astype(np.float32) / 255)
    return (np.rint(composite * 255) / 255).astype(np.float32), alpha, colours


def run_own(image: FloatArray, alpha: FloatArray) -> FloatArray:
    """This package's estimate."""
    colours = estimate_foreground(torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(alpha)[None])
    return colours.permute(1, 2, 0).numpy()


def run_pymatting(image: FloatArray, alpha: FloatArray) -> FloatArray:
    """Pymatting's, with its defaults."""
    return np.asarray(estimate_foreground_ml(image, alpha), dtype=np.float32)


def colour_error(estimate: FloatArray, colours: FloatArray, alpha: FloatArray) -> float:
    """Mean of alpha |F - true F| where alpha is mixed, times 255."""
    is_mixed = (alpha > 0.02) & (alpha < 0.98)
    return float(255 * (np.abs(estimate - colours) * alpha[..., None])[is_mixed].mean())


if __name__ == "__main__":
    main()
