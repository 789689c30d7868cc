"""A stand-in for `mask2alpha serve` that keeps to its contract for `POST /v1/mattes`, with the mask as the matte."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

TINT = (10, 200, 30)
"""The colour that the stand-in gives to every cut-out, so that its pixels are recognised."""


@dataclass
class StandInService:
    """What it was asked, and how it will answer."""

    url: str = ""
    key: str = ""
    """The API key that it wants, if any."""
    warnings: list[str] = field(default_factory=list)
    """What it says of every pair of pictures."""
    busy: list[int] = field(default_factory=list)
    """Status codes to answer first, each with `Retry-After: 1`."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Of each request: the arrays `photo` and `mask` (grey) with the bits of their samples, and the fields' texts."""

    def answer(self, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self.busy:
            return self.problem(self.busy.pop(0), "busy", {"Retry-After": "1"})
        if self.key and headers.get("Authorization") != f"Bearer {self.key}":
            return self.problem(401, "the API key is missing or wrong")
        if path != "/v1/mattes":
            return self.problem(404, f"there is no {path}")
        form = BytesParser(policy=HTTP).parsebytes(
            b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + body
        )
        parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        request: dict[str, Any] = {}
        for name, part in parts.items():
            content = part.get_payload(decode=True)
            if name in ("photo", "mask"):
                request[f"{name}_bits"] = content[24]  # the depth that a PNG file declares
                picture = Image.open(io.BytesIO(content))
                request[name] = np.asarray(picture)
            else:
                request[name] = content.decode()
        if request["mask"].ndim == 3:
            is_alpha = request.get("channel") == "alpha"
            mask = Image.fromarray(request["mask"])
            request["mask"] = np.asarray(mask.getchannel("A") if is_alpha else mask.convert("L"))
        self.requests.append(request)
        photo, mask = request["photo"], request["mask"]
        if photo.shape[:2] != mask.shape:
            return self.problem(422, f"mask of shape {mask.shape} for a photograph of shape {photo.shape}")
        cutout = np.concatenate([np.full((*mask.shape, 3), TINT, np.uint8), mask[..., None]], axis=2)
        answer = Image.fromarray(cutout if request["outputs"] == "cutout" else mask)
        file = io.BytesIO()
        answer.save(file, request["format"].upper())
        headers = {"Content-Type": "image/png"}
        if self.warnings:
            headers["X-Warnings"] = json.dumps(self.warnings)
        return 200, headers, file.getvalue()

    def problem(self, status: int, detail: str, headers: dict[str, str] | None = None) -> Any:
        content = json.dumps({"type": "urn:mask2alpha:problem:x", "title": "No", "status": status, "detail": detail})
        return status, {"Content-Type": "application/problem+json", **(headers or {})}, content.encode()


@contextmanager
def running_service() -> Iterator[StandInService]:
    """Listens at a free port of this machine."""
    stand_in = StandInService()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, content = stand_in.answer(self.path, self.headers, body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
