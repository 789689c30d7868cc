"""The page in headless Chromium: needs the dependency group `browser` and Chromium."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from walking import PATIENCE, AloneWalker, Server, Walker

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a service; a module's `SERVE_OPTIONS` are further options of it."""
    pytest.importorskip("fastapi", reason="the serve extra is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("service") / "log.txt"
    options = ["--port", str(port), *getattr(request.module, "SERVE_OPTIONS", ())]
    if threads := os.environ.get("OMP_NUM_THREADS"):  # as the command: sums differ with the number of threads
        options += ["--threads", threads]
    with log.open("w") as output:
        service = subprocess.Popen(
            [sys.executable, "-m", "mask2alpha", "serve", *options], stdout=output, stderr=output
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/ready", service, log)
        yield f"http://127.0.0.1:{port}/"
    finally:
        service.terminate()
        service.wait(60)


def wait_until_ready(address: str, service: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(240):
        assert service.poll() is None, log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(1)
    pytest.fail(f"the service did not start: {log.read_text(encoding='utf-8')}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the group `browser` is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=chromium, args=FLAGS, timeout=PATIENCE)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="the extra export is not installed")
    folder = tmp_path_factory.mktemp("page") / "site"
    subprocess.run([sys.executable, "-m", "mask2alpha", "page", "-o", str(folder)], check=True, timeout=900)
    return folder


@pytest.fixture
def server(site: Path) -> Iterator[Server]:
    server = Server(site)
    yield server
    server.stop()


@pytest.fixture
def walker(request: pytest.FixtureRequest, browser: Any) -> Iterator[Walker]:
    """A person at the page: of a service, or with the parameter "alone" without one."""
    if getattr(request, "param", "service") == "alone":
        walker: Walker = AloneWalker(browser, request.getfixturevalue("server").address, color_scheme="light")
    else:
        walker = Walker(browser, request.getfixturevalue("address"), color_scheme="light")
    yield walker
    walker.close()
