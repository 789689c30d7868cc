"""What all sections share: the example, fair timing on a machine that is not quiet, children, and the environment.

Calls that are compared take turns: A, B, C, A, B, C, … A busy machine then slows all of them alike. Times are medians
over the turns; ratios are medians of each turn's ratio, which survives slow turns better than the ratio of medians. The
first turn is not counted.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mask2alpha.checkpoints import load_model, shipped_names
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.predictor import Predictor

ROOT = Path(__file__).parents[1]
RANDOM_ACTIVE_SHARE = 0.05
"""Share of the pixels that the detail stage of a model with random weights works on: its predicted errors mean nothing,
so the threshold is put where this share is above it. A trained model selects by its own threshold."""
LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "THP_MEM_ALLOC_ENABLE": "1"}
"""Environment in which glibc (2.35 on) and PyTorch ask the kernel for pages of 2 MB; it must allow `madvise`."""

Times = dict[str, list[float]]
"""Seconds of each turn, by the name of the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a section is run."""

    repeats: int = 7
    """Counted turns."""
    threads: int = 2
    """Of PyTorch, ONNX Runtime, OpenVINO and numba."""
    is_quick: bool = False
    """Small sizes and few turns, for a check of the ratios."""
    memory_gb: float = 12.0
    """Address space that a peer may use beyond what is taken when it starts; more counts as "does not fit"."""
    timeout_s: float = 3600.0
    """Of one child."""


def load_example(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The example photograph and mask, resampled."""
    with (
        Image.open(ROOT / "examples/photos/astronaut.png") as photo,
        Image.open(ROOT / "examples/masks/astronaut.png") as mask,
    ):
        return (
            np.array(photo.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)),
            np.array(mask.convert("L").resize((width, height), Image.Resampling.NEAREST)),
        )


def build_predictor(name: str, *, dtype: torch.dtype | None = None) -> Predictor:
    """With the weights where there are some, else with random ones and a threshold that gives a fixed active share."""
    if name in shipped_names() or name not in PRESETS:
        return Predictor(load_model(name), device="cpu", dtype=dtype)
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS[name])
    errors = Predictor(model, device="cpu").predict(*load_example(1024, 1024)).predicted_error
    threshold = float(np.quantile(errors, 1 - RANDOM_ACTIVE_SHARE))
    return Predictor(model, device="cpu", dtype=dtype, error_threshold=threshold)


def active_share(predictor: Predictor, predicted_error: NDArray[np.float32]) -> float:
    """Share of the pixels that the detail stage worked on."""
    threshold = predictor.options.error_threshold
    if threshold is None:
        threshold = predictor.model.config.detail.error_threshold
    return round(float((predicted_error > threshold).mean()), 4)


def take_turns(calls: Mapping[str, Callable[[], object]], repeats: int) -> Times:
    """Seconds of each call in each turn, after one turn that is not counted."""
    times: Times = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds = time.perf_counter() - start
            if turn:
                times[name].append(seconds)
    return times


def summarise(times: Times) -> dict[str, dict[str, float]]:
    """Median, least and most seconds of each call."""
    return {
        name: {
            "median_s": round(statistics.median(seconds), 5),
            "min_s": round(min(seconds), 5),
            "max_s": round(max(seconds), 5),
        }
        for name, seconds in times.items()
    }


def ratio(times: Times, name: str, base: str) -> float:
    """The median over the turns of the time of `name` over that of `base`."""
    pairs = zip(times[name], times[base], strict=True)
    return round(statistics.median(one / other for one, other in pairs), 4)


def peak_megabytes() -> float:
    """Most memory that this process has had resident."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def in_child(
    function: str,
    arguments: Mapping[str, Any],
    settings: Settings,
    *,
    environment: Mapping[str, str] | None = None,
    has_memory_limit: bool = False,
) -> dict[str, Any]:
    """Run `module.function(**arguments)` of this folder in a process of its own, whose memory starts from nothing.

    Returns:
        What it returned, through JSON; or, where it failed, `failed` with the last line of its error.
    """
    call = json.dumps(
        {
            "function": function,
            "arguments": dict(arguments),
            "threads": settings.threads,
            "memory_gb": settings.memory_gb if has_memory_limit else None,
        }
    )
    try:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("child.py")), call],
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=settings.timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {settings.timeout_s:g} s"}
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"failed": lines[-1][:200]}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def describe_environment(threads: int) -> dict[str, Any]:
    """Versions and hardware, without which a number means nothing."""
    pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return {
        "commit": _git("rev-parse", "--short", "HEAD"),
        "is_modified": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "threads": threads,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "large_pages": pages.read_text(encoding="utf-8").strip() if pages.exists() else "unknown",
        "libc": " ".join(platform.libc_ver()),
        "system": platform.system(),
    }


_PACKAGES = ("mask2alpha", "torch", "numpy", "pymatting", "transformers", "onnxruntime", "openvino", "spconv")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


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
