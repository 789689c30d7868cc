"""A person at the page in headless Chromium, with and without a service, and a plain server for the latter."""

import base64
import functools
import io
import os
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "photos" / "astronaut.png"
MASK = ROOT / "examples" / "masks" / "astronaut.png"
HELMET = ROOT / "examples" / "masks" / "astronaut__helmet.png"
PATIENCE = 240_000
"""Milliseconds to wait for what takes a second on a free machine: the tests may share theirs."""


class Walker:
    """A person at the page of a service."""

    options: tuple[str, ...] = ()
    """Of the command that mattes as the page does."""
    tolerance = 0
    """Largest difference from the command's alpha, in values of 8 bits."""

    def __init__(self, browser: Any, address: str, **settings: Any) -> None:
        self.context = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | settings))
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._listen)
        self.page.on("request", lambda request: self.hosts.add(request.url.split(":")[0] + request.url.split("/")[2]))
        self.page.goto(address)

    def _listen(self, message: Any) -> None:
        # a browser reports each answer of 4xx; the page shows those that matter, which the tests look at
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(message.text)

    def close(self) -> None:
        self.context.close()
        assert not self.problems
        assert len(self.hosts - {"blob"}) <= 1, self.hosts

    def drop(self, *files: Path, on: str = "body", as_: str | None = None) -> None:
        """Drag files over the page and let go, above a zone where several are offered."""
        contents = [(file.name, base64.b64encode(file.read_bytes()).decode()) for file in files]
        transfer = self.page.evaluate_handle(
            """(files) => {
                const transfer = new DataTransfer();
                for (const [name, data] of files) {
                    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
                    transfer.items.add(new File([bytes], name));
                }
                return transfer;
            }""",
            contents,
        )
        self.page.dispatch_event(on, "dragenter", {"dataTransfer": transfer})
        self.page.dispatch_event(f"[data-use={as_}]" if as_ else on, "drop", {"dataTransfer": transfer})

    def open(self, photo: Path = PHOTO) -> None:
        self.drop(photo)
        self.page.wait_for_selector("body:not(.is-empty)")
        self.settle()

    def settle(self) -> None:
        """Wait until all mattes are there."""
        self.page.wait_for_timeout(400)
        self.page.wait_for_selector("#canvas:not([aria-busy=true])", state="attached")
        self.page.wait_for_selector("#progress", state="hidden")

    def spot(self, x: float, y: float) -> tuple[float, float]:
        """The place on the screen of a share of the stage's width and height."""
        box = self.page.locator("#canvas").bounding_box()
        assert box
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def click(self, x: float, y: float, *, key: str | None = None) -> None:
        """Click the stage, with a key held down."""
        if key:
            self.page.keyboard.down(key)
        self.page.mouse.click(*self.spot(x, y))
        if key:
            self.page.keyboard.up(key)
        self.settle()

    def stroke(self, *points: tuple[float, float], rest: bool = False) -> None:
        """Press (and rest for a moment), move along points given as shares of the stage, and let go."""
        spots = [self.spot(x, y) for x, y in points]
        self.page.mouse.move(*spots[0])
        self.page.mouse.down()
        if rest:
            self.page.wait_for_timeout(700)
        for spot in spots[1:]:
            self.page.mouse.move(*spot, steps=6)
        self.page.mouse.up()

    def hover(self, x: float, y: float) -> float:
        """Rest the pointer on the stage; the seconds until it shows what a click would take there."""
        return float(
            self.page.evaluate(
                """([x, y]) => new Promise((resolve) => {
                    const canvas = document.getElementById("canvas");
                    const { left, top } = canvas.getBoundingClientRect();
                    const colour = () => String(canvas.getContext("2d").getImageData(
                        (x - left) * devicePixelRatio, (y - top) * devicePixelRatio, 1, 1).data);
                    const [before, begun] = [colour(), performance.now()];
                    const event = { clientX: x, clientY: y, pointerType: "mouse", bubbles: true };
                    canvas.dispatchEvent(new PointerEvent("pointermove", event));
                    const look = () => colour() === before
                        ? requestAnimationFrame(look) : resolve((performance.now() - begun) / 1000);
                    look();
                })""",
                list(self.spot(x, y)),
            )
        )

    def look(self, mode: str) -> None:
        self.page.check(f"input[name=mode][value={mode}]")
        self.settle()

    def stage(self) -> Image.Image:
        return Image.open(io.BytesIO(self.page.locator("#stage").screenshot())).convert("RGB")

    def pixel(self, x: float, y: float) -> tuple[int, int, int]:
        """The colour on the stage, at a share of its width and height."""
        shown = self.stage()
        value = shown.getpixel((round(x * (shown.width - 1)), round(y * (shown.height - 1))))
        assert isinstance(value, tuple)
        return value[0], value[1], value[2]

    def download(self, output: str, format: str = "png") -> Path:
        self.page.select_option("#download-output", output)
        self.page.select_option("#download-format", format)
        with self.page.expect_download(timeout=PATIENCE) as started:
            self.page.click("#download")
        return Path(started.value.path()).rename(started.value.path().with_name(started.value.suggested_filename))

    def message(self) -> str:
        self.page.wait_for_selector("#toast")
        return str(self.page.inner_text("#toast-text"))

    def photograph(self, name: str) -> None:
        folder = os.environ.get("MASK2ALPHA_SCREENSHOTS")
        if folder:
            self.page.wait_for_selector("#status-pill", state="hidden")
            shown = Image.open(io.BytesIO(self.page.screenshot()))
            (ROOT / folder).mkdir(parents=True, exist_ok=True)
            shown.convert("RGB").save(ROOT / folder / f"{name}.webp", quality=82, method=6)

    def matte(self, photo: Path, mask: Path) -> Path:
        """Open a photograph and give it a mask; the alpha that the page then downloads."""
        self.open(photo)
        self.drop(mask, as_="mask")
        self.page.wait_for_selector("#hint", state="hidden")
        self.settle()
        return self.download("alpha")

    def command(self, photo: Path, mask: Path, tmp_path: Path, *options: str) -> np.ndarray:
        """What `mask2alpha matte` writes: alpha, or another output."""
        out = tmp_path / f"alpha_of_{mask.name}"
        call = [sys.executable, "-m", "mask2alpha", "matte", photo, mask, "-o", out, "--overwrite"]
        subprocess.run([*call, *self.options, *options], check=True, timeout=600)
        return np.asarray(Image.open(out)).astype(int)

    def check_alpha(self, file: Path, photo: Path, mask: Path, tmp_path: Path, *options: str) -> None:
        """Compare a downloaded alpha with the command's."""
        difference = np.abs(grey(file) - self.command(photo, mask, tmp_path, *options))
        assert difference.max() <= self.tolerance


class AloneWalker(Walker):
    """A person at the page without a service, after its first visit."""

    options = ("--model", "small", "--dtype", "float32")
    tolerance = 1

    def __init__(self, browser: Any, address: str, **settings: Any) -> None:
        super().__init__(browser, address, **settings)
        self.page.wait_for_function("() => crossOriginIsolated")  # the service worker is there, and has loaded it again

    def photograph(self, name: str) -> None:
        """Nothing: the documentation shows the page of a service."""


class Handler(SimpleHTTPRequestHandler):
    """A plain server: no headers for isolation, which the page has to give itself."""

    def log_message(self, format: str, *args: Any) -> None:
        self.server.requests.append(self.path)  # type: ignore[attr-defined]

    def copyfile(self, source: Any, outputfile: Any) -> None:
        data = source.read()
        self.server.sent += len(data)  # type: ignore[attr-defined]
        outputfile.write(data)


class Server(ThreadingHTTPServer):
    """Serves a folder, and counts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.sent = 0
        self.requests: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


def grey(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"))
