"""The page without a service in headless Chromium: its mattes are the command's, and it needs no network after loading.

Needs the dependency group `browser` and Chromium. MASK2ALPHA_VALIDATION=folder compares the mattes of pairs in it, too:
photos in `image`, masks of the same names in the folders of `mask`.
"""

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_page_walk
from PIL import Image
from test_page_walk import HELMET, MASK, PHOTO, Walker, command, grey

browser = test_page_walk.browser
pytestmark = pytest.mark.slow
pytest.importorskip("onnx", reason="the extra export is not installed")

LARGEST_VISIT = 25e6
"""Bytes of a first visit."""
PAIRS = 20


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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "site"
    subprocess.run([sys.executable, "-m", "mask2alpha", "page", "-o", str(folder)], check=True, timeout=900)
    return folder


@pytest.fixture
def server(site: Path) -> Iterator[Server]:
    server = Server(site)
    yield server
    server.stop()


class AloneWalker(Walker):
    """A person at the page, after its first visit."""

    def __init__(self, browser: Any, address: str, **settings: Any) -> None:
        super().__init__(browser, address, **settings)
        self.page.wait_for_function("() => crossOriginIsolated")  # the service worker is there, and has loaded it again


@pytest.fixture
def walker(browser: Any, server: Server) -> Iterator[AloneWalker]:
    walker = AloneWalker(browser, server.address, color_scheme="light")
    yield walker
    walker.close()


def expected(photo: Path, mask: Path, tmp_path: Path, *options: str) -> np.ndarray:
    return command(photo, mask, tmp_path, "--model", "small", "--dtype", "float32", *options).astype(int)


def matte_of(walker: Walker, photo: Path, mask: Path) -> np.ndarray:
    walker.open(photo)
    walker.drop(mask, as_="mask")
    walker.page.wait_for_selector("#hint", state="hidden")
    walker.settle()
    return grey(walker.download("alpha")).astype(int)


def test_the_first_visit_is_small_and_all_the_rest_works_offline(
    walker: AloneWalker, server: Server, tmp_path: Path, record_property: Any
) -> None:
    assert server.sent < LARGEST_VISIT
    record_property("bytes_of_the_first_visit", server.sent)
    server.stop()
    walker.page.reload()
    walker.page.wait_for_function("() => crossOriginIsolated")
    assert np.abs(matte_of(walker, PHOTO, MASK) - expected(PHOTO, MASK, tmp_path)).max() <= 1


def test_walk_from_the_photograph_to_the_download(walker: AloneWalker) -> None:
    page = walker.page
    for tool in ("select", "box"):
        assert page.is_hidden(f"[data-tool={tool}]")
    assert "stay in this browser" in page.inner_text("#limits")
    page.click("#example")
    page.wait_for_selector("body:not(.is-empty)")
    page.wait_for_selector("#hint", state="hidden")
    walker.settle()
    walker.look("alpha")
    assert min(walker.pixel(0.5, 0.75)) > 250
    assert walker.pixel(0.2, 0.15) == (0, 0, 0)

    # erase, undo
    page.keyboard.press("e")
    for _ in range(8):
        page.keyboard.press("]")
    walker.stroke((0.45, 0.7), (0.55, 0.7), (0.55, 0.8), (0.45, 0.8))
    walker.settle()
    assert walker.pixel(0.5, 0.75)[0] < 128
    page.keyboard.press("Control+z")
    walker.settle()
    assert min(walker.pixel(0.5, 0.75)) > 250

    # another object, another background
    walker.drop(HELMET, as_="mask")
    page.wait_for_selector(".object:nth-child(2)")
    walker.settle()
    page.click(".object:nth-child(2) .object-delete")
    page.check("input[name=background][value='#1faa59']")
    walker.settle()
    assert walker.pixel(0.19, 0.3) == (31, 170, 89)
    walker.look("compare")
    walker.look("edit")
    for overlay in ("active", "steps", "error"):
        page.select_option("#overlay", overlay)
        walker.settle()
    page.select_option("#overlay", "none")

    for output, format, kind in (
        ("cutout", "png", "RGBA"),
        ("cutout", "webp", "RGBA"),
        ("cutout_premultiplied", "png", "RGBA"),
        ("foreground", "jpeg", "RGB"),
        ("composite", "png", "RGB"),
        ("comparison", "png", "RGB"),
        ("mask", "png", "L"),
        ("error", "png", "L"),
        ("active", "png", "L"),
    ):
        file = walker.download(output, format)
        with Image.open(file) as picture:
            assert picture.mode == kind, output
            assert picture.size == ((2048, 512) if output == "comparison" else (512, 512)), output


def test_the_cutout_is_the_commands(walker: AloneWalker, tmp_path: Path) -> None:
    matte_of(walker, PHOTO, MASK)
    made = np.asarray(Image.open(walker.download("cutout"))).astype(int)
    difference = np.abs(made - expected(PHOTO, MASK, tmp_path, "--output", "cutout"))
    assert difference[..., 3].max() <= 1
    assert difference[..., :3].max() <= 2


def test_a_picture_that_cannot_be_read_is_told_in_plain_words(walker: AloneWalker, tmp_path: Path) -> None:
    text = tmp_path / "notes.png"
    text.write_text("not a picture")
    walker.drop(text)
    assert "cannot be read here" in walker.message()


def test_the_mattes_of_validation_pairs_are_the_commands(
    walker: AloneWalker, server: Server, tmp_path: Path, record_property: Any
) -> None:
    given = os.environ.get("MASK2ALPHA_VALIDATION")
    if not given:
        pytest.skip("MASK2ALPHA_VALIDATION names no folder")
    photos = sorted(Path(given, "image").iterdir())
    kinds = sorted(path for path in Path(given, "mask").iterdir() if path.is_dir())
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(PAIRS):
        photo = photos[number % len(photos)]
        mask = next(kinds[number % len(kinds)].glob(f"{photo.stem}.*"))
        for folder, file in (("photos", photo), ("masks", mask)):
            (tmp_path / folder / f"{number:02}{file.suffix}").symlink_to(file)
    options = ["-o", tmp_path / "out", "--model", "small", "--dtype", "float32"]
    matte = [sys.executable, "-m", "mask2alpha", "matte", tmp_path / "photos", tmp_path / "masks", *options]
    subprocess.run(matte, check=True, timeout=3600)

    server.stop()
    walker.open()
    largest = []
    for photo in sorted((tmp_path / "photos").iterdir()):
        walker.drop(photo, as_="photo")
        walker.page.locator("#photo-name", has_text=photo.name).wait_for()
        walker.drop(next((tmp_path / "masks").glob(f"{photo.stem}.*")), as_="mask")
        walker.page.wait_for_selector("#hint", state="hidden")
        walker.settle()
        made = grey(walker.download("alpha")).astype(int)
        largest.append(int(np.abs(made - grey(tmp_path / "out" / "alpha" / f"{photo.stem}.png")).max()))
    record_property("largest_differences", str(largest))
    assert max(largest) <= 1, largest
