"""Pictures as bytes, and a service whose workers have no network behind them, for the tests of the service."""

import contextlib
import email.message
import http.client
import io
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import urllib.response
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from mask2alpha.serving.app import create_app
from mask2alpha.serving.settings import ServiceSettings

STUB = (sys.executable, str(Path(__file__).with_name("stub_worker.py")))
FAKE = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))
FAKE_CLIP = (sys.executable, str(Path(__file__).with_name("fake_clip_worker.py")))


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


@contextlib.contextmanager
def stub_service(tmp_path: Path, **settings: Any) -> Iterator[TestClient]:
    """A client of a service whose one worker is `stub_worker.py`, and clips' work `fake_clip_worker.py`."""
    app = create_app(ServiceSettings(spool=tmp_path, **settings), command=STUB, clip_command=FAKE_CLIP)
    with TestClient(app) as client:
        yield client


@contextlib.contextmanager
def fake_service(tmp_path: Path, **settings: Any) -> Iterator[TestClient]:
    """A client of a service whose one worker is `fake_worker.py`."""
    app = create_app(ServiceSettings(spool=tmp_path, **settings), command=FAKE)
    with TestClient(app) as client:
        yield client


class InProcess:
    """In place of `urllib.request.urlopen`: hands requests to a service in this process."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def __call__(self, request: urllib.request.Request, timeout: float) -> urllib.response.addinfourl:
        answer = self.client.request(
            request.get_method(),
            urlsplit(request.full_url).path,
            content=request.data,  # type: ignore[arg-type]
            headers=dict(request.header_items()),
        )
        headers = email.message.Message()
        for name, value in answer.headers.items():
            headers[name] = value
        body = io.BytesIO(answer.content)
        if answer.status_code >= 400:
            raise urllib.error.HTTPError(request.full_url, answer.status_code, answer.reason_phrase, headers, body)
        return urllib.response.addinfourl(body, headers, request.full_url, answer.status_code)


def to_form(**parts: str | bytes | list[bytes]) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a form: text fields, and files as bytes."""
    boundary = b"a-boundary-of-the-tests"
    body = bytearray()
    for name, value in parts.items():
        for item in value if isinstance(value, list) else [value]:
            is_file = isinstance(item, bytes)
            suffix = f'; filename="{name}"' if is_file else ""
            body += b"--" + boundary + f'\r\nContent-Disposition: form-data; name="{name}"{suffix}\r\n\r\n'.encode()
            body += (item if isinstance(item, bytes) else item.encode()) + b"\r\n"
    return bytes(body + b"--" + boundary + b"--\r\n"), {
        "Content-Type": f"multipart/form-data; boundary={boundary.decode()}"
    }


class RunningService:
    """`mask2alpha serve` as a process of its own."""

    def __init__(self, folder: Path, model: str, *options: str) -> None:
        self.log = folder / "service.log"
        command = [sys.executable, "-m", "mask2alpha", "serve", "--port", "0", "--model", model, "--device", "cpu"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, "--spool", str(folder), *options], stderr=log)
        self.port = self._wait_for_port()

    def _wait_for_port(self) -> int:
        for _ in range(1200):
            for line in self.log.read_text().splitlines():
                if '"event": "serving"' in line:
                    return int(json.loads(line)["port"])
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            time.sleep(0.1)
        raise RuntimeError("the service does not start")

    def post(self, path: str, **parts: str | bytes | list[bytes]) -> tuple[int, bytes]:
        """Status and body of the answer."""
        body, headers = to_form(**parts)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        with contextlib.closing(connection):
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def get(self, path: str) -> str:
        """Body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="utf-8")
        return [int(pid) for pid in children.split()]

    def stop(self) -> int:
        """Ask it to stop; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(600)
