"""The metadata of a weights file: recipe, commit, hardware, data."""

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mask2alpha.data.sources import Sources
from mask2alpha.errors import InputError
from mask2alpha.training.config import Recipe

CARD_NAMES = ("SOURCES.json", "README.md")
"""Names in the data folder; the first that exists is taken."""
_LONGEST_README = 20_000


def read_data_card(path: Path) -> Any:
    """A data card: any JSON; for instance a list of {"name", "origin", "licence", "items"}.

    Raises:
        InputError: The file cannot be read or is not JSON; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}") from error


def find_data_card(data: Path) -> Any:
    """The card of a data folder: the first of `CARD_NAMES` in it, or None.

    Of a README the first 20,000 characters are taken as text.

    Raises:
        InputError: A card cannot be read.
    """
    for name in CARD_NAMES:
        path = data / name
        if path.is_file():
            if path.suffix == ".json":
                return read_data_card(path)
            return path.read_text(encoding="utf-8", errors="replace")[:_LONGEST_README]
    return None


def describe_run(
    recipe: Recipe, sources: Sources, device: str, num_processes: int, about: Mapping[str, Any]
) -> dict[str, Any]:
    """The metadata that stays the same during a run; `about` has `data_card` and `initial_weights`."""
    return {
        "recipe": json.dumps(asdict(recipe)),
        "commit": commit(),
        "hardware": hardware(device, num_processes),
        "training_data": {
            "sets": sources.describe(),
            "procedural_share": sources.procedural_share if sources.cutouts is not None else 1.0,
            "card": about.get("data_card"),
        },
        **{key: value for key, value in about.items() if key != "data_card"},
    }


def commit() -> str | None:
    """The commit of this source tree, with `-dirty` where files differ from it; None outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--match="]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def hardware(device: str, num_processes: int) -> dict[str, Any]:
    """The processor and the number of processes of the training."""
    is_cuda = torch.device(device).type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if is_cuda else _cpu_name(),
        "threads": None if is_cuda else torch.get_num_threads(),
        "processes": num_processes,
        "torch": torch.__version__,
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
