import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BINARY = {".avif", ".dat", ".heic", ".png", ".jpg", ".webp", ".safetensors", ".npz", ".npy"}
MACHINE_PATH = re.compile(r"(?<![\w./])/(?:work|home|tmp|root|Users|mnt)/\w")
REGISTRY_WORDS = (r"pyp[i]", r"python[h]osted", r"arti[f]actory", r"ne[x]us", r"simpl[e]/", r"download\.py[t]orch")
"""Each with a class of one letter, so that this file does not name them either."""
REGISTRY = re.compile(rf"https?://[\w.-]*(?:{'|'.join(REGISTRY_WORDS)})", re.IGNORECASE)
MAX_BYTES = 16_000_000
BACKBONES = ROOT / "src/mask2alpha/weights/backbones"
"""Frozen weights: committed once and never changed."""


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    own = [file for file in tracked_files() if not file.name.startswith("engine-")]  # the page's, of ONNX Runtime
    files = [file for file in own if file.suffix not in BINARY]
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY], ids=["machine path", "registry host"])
def test_no_text_names_a_machine(texts: dict[str, str], pattern: re.Pattern[str]) -> None:
    found = {name: match.group() for name, text in texts.items() if (match := pattern.search(text))}
    assert not found


def test_no_tracked_file_is_large() -> None:
    assert not [file.name for file in tracked_files() if file.stat().st_size > MAX_BYTES and file.parent != BACKBONES]


def test_no_weights_are_pickled() -> None:
    assert not [file.name for file in tracked_files() if file.suffix in {".pt", ".pth", ".bin", ".ckpt", ".pkl"}]


def test_no_two_test_files_share_a_name() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
