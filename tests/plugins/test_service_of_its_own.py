"""The client of the plug-ins against `mask2alpha serve` itself."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import service_client
from PIL import Image

from mask2alpha import Mask2Alpha
from mask2alpha.model.config import PRESETS

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A service with a tiny model, at a free port."""
    pytest.importorskip("fastapi", reason="belongs to the extra serve")
    Mask2Alpha(PRESETS["tiny"]).save_pretrained(tmp_path / "tiny.safetensors")
    log = tmp_path / "log"
    command = [
        sys.executable,
        "-m",
        "mask2alpha",
        "serve",
        "--port",
        "0",
        "--model",
        str(tmp_path / "tiny.safetensors"),
    ]
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        yield f"http://127.0.0.1:{port_in(log, process)}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def port_in(log: Path, process: "subprocess.Popen[bytes]") -> int:
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("event") == "serving":
                return int(entry["port"])
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_service_gives_what_the_plugins_ask_for(url: str) -> None:
    photo, mask = (EXAMPLES / folder / "chelsea.png" for folder in ("photos", "masks"))
    answer = service_client.matte(photo.read_bytes(), mask.read_bytes(), "cutout", url=url)
    cutout = np.asarray(Image.open(io.BytesIO(answer)))
    assert cutout.shape == (300, 451, 4)
    assert cutout.dtype == np.uint8
    with pytest.raises(service_client.ServiceError, match=r"(?i)mask"):
        service_client.matte(photo.read_bytes(), b"no picture", "cutout", url=url)
