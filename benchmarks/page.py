"""Measure the page without a service in headless Chromium.

    mask2alpha page -o site/
    python benchmarks/page.py site/

Needs the dependency group `browser` and Chromium. Prints bytes of the first visit, wall time, processor time of the
page's workers, and the peak memory of the largest process. Linux only.
"""

import functools
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

PHOTO = Path(__file__).parents[1] / "examples" / "photos" / "astronaut.png"
SIZES = ((1024, 1024), (4000, 3000))
PATIENCE = 600_000
"""Milliseconds."""


class Handler(SimpleHTTPRequestHandler):
    """Counts what it sends."""

    sent = 0

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file."""
        data = source.read()
        Handler.sent += len(data)
        outputfile.write(data)


def processes() -> Iterator[Path]:
    """The folders in /proc of Chromium's processes that descend from this one."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    for process in parents:
        ancestor = process
        while ancestor in parents and ancestor != os.getpid():
            ancestor = parents[ancestor]
        if ancestor == os.getpid() and process != os.getpid():
            yield Path("/proc") / str(process)


def worker_seconds() -> float:
    """Processor time of all threads of workers so far."""
    total = 0
    for thread in (thread for process in processes() for thread in process.glob("task/*")):
        try:
            if (thread / "comm").read_text().startswith("Dedicated"):
                total += sum(map(int, (thread / "stat").read_text().rsplit(")", 1)[1].split()[11:13]))
        except OSError:
            continue
    return total / os.sysconf("SC_CLK_TCK")


def peak_megabytes() -> float:
    """Of the largest process."""
    found = [re.search(r"VmHWM:\s+(\d+)", (process / "status").read_text()) for process in processes()]
    return max(int(match[1]) for match in found if match) / 1024


def measure(name: str, work: Callable[[], object]) -> None:
    """Run a piece of work, and print what it took."""
    started, used = time.perf_counter(), worker_seconds()
    work()
    wall, used = time.perf_counter() - started, worker_seconds() - used
    load = os.getloadavg()[0]
    print(f"  {name}: {wall:.1f} s, workers {used:.1f} s, peak {peak_megabytes():.0f} MB, load {load:.0f}", flush=True)


def settle(page: Any) -> None:
    """Wait until all mattes are there."""
    page.wait_for_timeout(400)
    page.wait_for_selector("#canvas:not([aria-busy=true])", state="attached")
    page.wait_for_selector("#progress", state="hidden")


def walk(page: Any, photo: Path) -> None:
    """Open a photo, paint, and download."""

    def open_photo() -> None:
        with page.expect_file_chooser() as chooser:
            page.click("#choose")
        chooser.value.set_files(photo)
        page.wait_for_selector("body:not(.is-empty)")
        settle(page)

    def stroke(x: float) -> None:
        box = page.locator("#canvas").bounding_box()
        page.evaluate("() => { document.getElementById('status').textContent = ''; }")
        page.mouse.move(box["x"] + x * box["width"], box["y"] + 0.3 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + x * box["width"], box["y"] + 0.7 * box["height"], steps=6)
        page.mouse.up()
        page.locator("#status", has_text=re.compile(r"^Matte of .* updated")).wait_for(state="attached")

    def download() -> None:
        page.select_option("#download-output", "alpha")
        with page.expect_download(timeout=PATIENCE):
            page.click("#download")

    measure("start of the engine, encoding", open_photo)
    page.keyboard.press("b")
    for number, x in enumerate((0.5, 0.47, 0.53), start=1):
        measure(f"stroke {number} to its matte", lambda x=x: stroke(x))
        settle(page)
    measure("download of alpha", download)


def main(site: str) -> None:
    """Measure photos of several sizes."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as running, tempfile.TemporaryDirectory() as folder:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        print(f"Chromium {browser.version}, {os.cpu_count()} cores")
        for width, height in SIZES:
            photo = Path(folder) / "photo.jpg"
            square = Image.open(PHOTO).convert("RGB").resize((width, width))
            square.crop((0, 0, width, height)).save(photo, quality=92)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(PATIENCE)
            Handler.sent = 0
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
            page.wait_for_function("() => crossOriginIsolated")
            print(f"{width} x {height}; first visit {Handler.sent / 1e6:.1f} MB")
            walk(page, photo)
            page.context.close()


if __name__ == "__main__":
    main(sys.argv[1])
