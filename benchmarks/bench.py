"""Time the two promises: a photograph with one mask, and what a further mask of the same photograph costs.

Both are measured in one run, turn by turn (whole call, further mask, next model, again), so that a busy machine slows
all of them alike; the medians are reported. `whole` is `Predictor.predict(image, mask)` from arrays to arrays, encoding
included; `further` is `Predictor.predict(encoded, mask)` with the encoding at hand. See benchmarks/README.md.

    python benchmarks/bench.py --model small --model dinov2_small --size 1024
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import mask2alpha
from mask2alpha.checkpoints import load_model, shipped_names
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.predictor import Predictor

ROOT = Path(__file__).parents[1]
RANDOM_ACTIVE_SHARE = 0.05
"""Share of the pixels that the detail stage of a model with random weights works on: its predicted errors mean nothing,
so the threshold is put where this share is above it. A trained model selects by its own threshold."""

Times = dict[str, list[float]]
"""`whole` and `further` → seconds of each repeat."""


@click.command()
@click.option(
    "--model",
    "names",
    multiple=True,
    default=("small", "dinov2_small"),
    help="A preset, or a weights file; repeatable.",
)
@click.option("--size", default=1024, show_default=True, help="Side of the square photograph, in pixels.")
@click.option("--repeats", default=7, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", type=int, help="Of PyTorch. Default: its own choice, the physical cores.")
@click.option("--output", type=click.Path(path_type=Path), help="A .json file. Default: benchmarks/results/TIME.json.")
def main(
    names: tuple[str, ...], size: int, repeats: int, device: str, threads: int | None, output: Path | None
) -> None:
    """Measure, print a table, write a JSON file."""
    if threads is not None:
        torch.set_num_threads(threads)
    image, mask = load_example(size)
    predictors = {name: build_predictor(name, image, mask, device) for name in names}
    active_shares = {name: active_share(predictor, image, mask) for name, predictor in predictors.items()}
    times = measure(predictors, image, mask, repeats)
    result = {
        "what": "seconds of Predictor.predict: with encoding (whole), with the encoding at hand (further)",
        "size": [size, size],
        "repeats": repeats,
        "models": {name: summarise(name, predictors[name], active_shares[name], times[name]) for name in names},
        "environment": describe_environment(device),
    }
    print_table(result)
    output = output or ROOT / "benchmarks" / "results" / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {output}")


def load_example(size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The example photograph and mask, resampled to a square of `size` pixels."""
    with (
        Image.open(ROOT / "examples/photos/astronaut.png") as photo,
        Image.open(ROOT / "examples/masks/astronaut.png") as mask,
    ):
        return (
            np.asarray(photo.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)),
            np.asarray(mask.convert("L").resize((size, size), Image.Resampling.NEAREST)),
        )


def is_trained(name: str) -> bool:
    """Whether there are weights: shipped ones of a preset, or a file."""
    return name in shipped_names() or name not in PRESETS


def build_predictor(name: str, image: NDArray[Any], mask: NDArray[Any], device: str) -> Predictor:
    """With the weights where there are some, else with random ones and a threshold that gives a fixed active share."""
    if is_trained(name):
        return Predictor(load_model(name), device=device)
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS[name])
    errors = Predictor(model, device=device).predict(image, mask).predicted_error
    return Predictor(model, device=device, error_threshold=float(np.quantile(errors, 1 - RANDOM_ACTIVE_SHARE)))


def active_share(predictor: Predictor, image: NDArray[Any], mask: NDArray[Any]) -> float:
    """Share of the pixels that the detail stage works on."""
    threshold = predictor.options.error_threshold
    if threshold is None:
        threshold = predictor.model.config.detail.error_threshold
    return float((predictor.predict(image, mask).predicted_error > threshold).mean())


def measure(
    predictors: dict[str, Predictor], image: NDArray[Any], mask: NDArray[Any], repeats: int
) -> dict[str, Times]:
    """Interleaved repeats, after one unmeasured turn."""
    encoded = {name: predictor.encode(image) for name, predictor in predictors.items()}
    times: dict[str, Times] = {name: {"whole": [], "further": []} for name in predictors}
    for turn in range(repeats + 1):
        for name, predictor in predictors.items():
            whole = stopwatch(partial(predictor.predict, image, mask))
            further = stopwatch(partial(predictor.predict, encoded[name], mask))
            if turn:
                times[name]["whole"].append(whole)
                times[name]["further"].append(further)
    return times


def stopwatch(call: Callable[[], object]) -> float:
    """Seconds of one call; its result is on the CPU, so a GPU has finished too."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def summarise(name: str, predictor: Predictor, share: float, times: Times) -> dict[str, Any]:
    """Medians, spread, and the further mask's share of the whole."""
    summary: dict[str, Any] = {
        "weights": "shipped" if name in shipped_names() else "file" if is_trained(name) else "random",
        "active_share": round(share, 4),
        "parameters": sum(parameter.numel() for parameter in predictor.model.parameters()),
        "num_steps": predictor.model.config.decoder.num_steps,
        "dtype": str(predictor.dtype).removeprefix("torch."),
    }
    for kind, seconds in times.items():
        summary[kind] = {
            "median_s": round(statistics.median(seconds), 4),
            "min_s": round(min(seconds), 4),
            "max_s": round(max(seconds), 4),
        }
    summary["further_share"] = round(summary["further"]["median_s"] / summary["whole"]["median_s"], 3)
    return summary


def print_table(result: dict[str, Any]) -> None:
    """One line per model."""
    environment = result["environment"]
    height, width = result["size"]
    print(f"{height} x {width}, {environment['device']}, {environment['threads']} threads, {environment['processor']}")
    print(f"{'model':14} {'whole':>9} {'further':>9} {'share':>7}  spread of whole  weights, active pixels")
    for name, summary in result["models"].items():
        whole, further = summary["whole"], summary["further"]
        times = f"{whole['median_s']:8.3f}s {further['median_s']:8.3f}s {summary['further_share']:7.0%}"
        print(
            f"{Path(name).name[:14]:14} {times}  "
            f"{whole['min_s']:.3f}–{whole['max_s']:.3f} s   {summary['weights']}, {summary['active_share']:.1%} "
            f"({summary['dtype']})"
        )


def describe_environment(device: str) -> dict[str, Any]:
    """Versions and hardware, without which a number means nothing."""
    return {
        "commit": _git("rev-parse", "--short", "HEAD"),
        "is_modified": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "mask2alpha": mask2alpha.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "processor": _processor(),
        "system": platform.system(),
    }


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
