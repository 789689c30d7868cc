"""Time the two promises: a photograph with one mask, and what a further mask of the same photograph costs.

Both are measured in one run, turn by turn (whole call, further mask, next model, again), so that a busy machine slows
all of them alike; the medians are reported. `whole` is `Predictor.predict(image, mask)` from arrays to arrays, encoding
included; `further` is `Predictor.predict(encoded, mask)` with the encoding at hand.

    python benchmarks/bench.py --model small --model dinov2_small --size 1024
"""

import json
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
"""Share of the pixels that the detail stage of a model with random weights works on. Its predicted errors mean nothing
and would select all of them; trained models select a few percent."""

Times = dict[str, list[float]]
"""`whole` and `further` → seconds of each repeat."""


@click.command()
@click.option("--model", "names", multiple=True, default=("small", "dinov2_small"), help="A preset; repeatable.")
@click.option("--size", default=1024, show_default=True, help="Side of the square photograph, in pixels.")
@click.option("--repeats", default=7, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "benchmarks" / "results", help="Folder.")
def main(names: tuple[str, ...], size: int, repeats: int, device: str, output: Path) -> None:
    """Measure, print a table, write a JSON file."""
    image, mask = load_example(size)
    predictors = {name: build_predictor(name, size, device) for name in names}
    times = measure(predictors, image, mask, repeats)
    result = {
        "what": "seconds of Predictor.predict: with encoding (whole), with the encoding at hand (further)",
        "size": [size, size],
        "repeats": repeats,
        "models": {name: summarise(name, predictors[name], times[name]) for name in names},
        "environment": describe_environment(device),
    }
    print_table(result)
    output.mkdir(parents=True, exist_ok=True)
    file = output / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {file}")


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


def build_predictor(name: str, size: int, device: str) -> Predictor:
    """With the shipped weights where there are some, else with random ones and a fixed number of active pixels."""
    if name in shipped_names():
        return Predictor(load_model(name), device=device)
    torch.manual_seed(0)
    return Predictor(
        Mask2Alpha(PRESETS[name]),
        device=device,
        error_threshold=0.0,
        active_budget=round(RANDOM_ACTIVE_SHARE * size * size),
    )


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


def summarise(name: str, predictor: Predictor, times: Times) -> dict[str, Any]:
    """Medians, spread, and the further mask's share of the whole."""
    is_trained = name in shipped_names()
    summary: dict[str, Any] = {
        "weights": "shipped" if is_trained else f"random, {RANDOM_ACTIVE_SHARE:.0%} of the pixels active",
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
    print(f"{'model':14} {'whole':>9} {'further':>9} {'share':>7}  spread of whole  weights")
    for name, summary in result["models"].items():
        whole, further = summary["whole"], summary["further"]
        print(
            f"{name:14} {whole['median_s']:8.3f}s {further['median_s']:8.3f}s {summary['further_share']:7.0%}  "
            f"{whole['min_s']:.3f}–{whole['max_s']:.3f} s   {summary['weights']} ({summary['dtype']})"
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
