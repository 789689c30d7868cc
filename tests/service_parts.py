"""Pictures as bytes, and a service whose workers have no network behind them, for the tests of the service."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from mask2alpha.serving.app import create_app
from mask2alpha.serving.settings import ServiceSettings

STUB = (sys.executable, str(Path(__file__).with_name("stub_worker.py")))
WISH = "http://testserver"


def to_file(array: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def photo(width: int = 30, height: int = 20) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def left_half(width: int = 30, height: int = 20) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[:, : width // 2] = 255
    return mask


@contextmanager
def stub_service(tmp_path: Path, **settings: Any) -> Iterator[TestClient]:
    """A client of a service whose one worker is `stub_worker.py`."""
    app = create_app(ServiceSettings(spool=tmp_path, **settings), command=STUB)
    with TestClient(app) as client:
        yield client
