"""A folder matted by processes that are killed at random moments ends as if nothing had happened."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mask2alpha.checkpoints import save_model
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import write_image
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha

KINDS = ("alpha", "cutout")


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
@pytest.mark.parametrize(
    ("num_photos", "num_kills"), [(6, 1), pytest.param(500, 20, marks=pytest.mark.slow)], ids=["small", "full"]
)
def test_a_folder_stopped_by_kill_9_ends_complete(tmp_path: Path, num_photos: int, num_kills: int) -> None:
    command = prepare(tmp_path, num_photos)
    chance = random.Random(0)
    moments = sorted(chance.randrange(1, len(KINDS) * num_photos) for _ in range(num_kills))
    finished: dict[Path, tuple[int, int]] = {}
    for moment in moments:
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while len(outputs(tmp_path)) < moment and process.poll() is None:
                time.sleep(0.001)
            time.sleep(chance.random() * 0.02)
            process.kill()
        check_finished(tmp_path, finished)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    check_finished(tmp_path, finished)
    assert len(finished) == len(KINDS) * num_photos
    left = {path.name for path in (tmp_path / "out").rglob(".*")}
    assert left <= {".mask2alpha.jsonl"}  # nor is anything left of what was begun


def prepare(folder: Path, num_photos: int) -> list[str]:
    rng = np.random.default_rng(0)
    mask = np.zeros((24, 32), dtype=np.uint8)
    mask[6:18, 8:24] = 255
    for index in range(num_photos):
        write_image(folder / "photos" / f"{index:03}.png", rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        write_image(folder / "masks" / f"{index:03}.png", np.roll(mask, index % 7, axis=1))
    weights = save_model(Mask2Alpha(PRESETS["tiny"]), folder / "tiny.safetensors")
    return [
        sys.executable, "-m", "mask2alpha", "matte", str(folder / "photos"), str(folder / "masks"),
        "-o", str(folder / "out"), "--output", ",".join(KINDS), "--model", str(weights),
        "--device", "cpu", "--dtype", "float32",
    ]  # fmt: skip


def outputs(folder: Path) -> list[Path]:
    return sorted(path for kind in KINDS for path in (folder / "out" / kind).glob("[!.]*"))


def check_finished(folder: Path, finished: dict[Path, tuple[int, int]]) -> None:
    """Every file under a final name is whole, and those seen before are the very same; then note the new ones."""
    for path in outputs(folder):
        status = path.stat()
        identity = (status.st_ino, status.st_mtime_ns)
        if path not in finished:
            assert read_image(path).pixels.shape == (24, 32, 3)
            finished[path] = identity
        assert finished[path] == identity
