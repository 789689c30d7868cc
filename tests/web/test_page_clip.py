"""A walk through a clip in headless Chromium: open, scrub, mask, follow, correct, export."""

import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from walking import PATIENCE, PHOTO, Walker

pytest.importorskip("cv2", reason="the extra video is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not on PATH"),
]
SERVE_OPTIONS = ("--model", "small")
"""A clip has many frames; this model selects nothing, so that the brush marks the target."""
NUM_FRAMES = 12
SIDE = 320


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera that pans over a person; in a format that browsers do not play."""
    path = tmp_path_factory.mktemp("clip") / "walk.mkv"
    crop = f"crop={SIDE}:{SIDE}:x='40+2*n':y=20"
    arguments = ["ffmpeg", "-v", "error", "-loop", "1", "-r", "5", "-i", str(PHOTO), "-frames:v", str(NUM_FRAMES)]
    subprocess.run([*arguments, "-vf", crop, "-c:v", "ffv1", "-pix_fmt", "gbrp", str(path)], check=True)
    return path


def go_to(walker: Walker, number: int) -> None:
    page = walker.page
    page.focus("#clip-frame")
    page.keyboard.press("Home")
    for _ in range(number - 1):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "(text) => document.getElementById('photo-name').textContent.endsWith(text)", arg=f", frame {number}"
    )
    settle(walker)


def settle(walker: Walker) -> None:
    walker.page.wait_for_selector("#clip-bar:not([aria-busy=true])")
    walker.settle()


def follow(walker: Walker) -> None:
    """Follow the target to the last frame."""
    page = walker.page
    page.click("#clip-follow")
    page.wait_for_selector("#clip-follow:text-is('Stop')")
    page.wait_for_selector("#clip-export:not(:disabled)")
    settle(walker)
    assert page.inner_text("#clip-follow") == "Follow"
    assert page.is_hidden("#toast")


def test_walk_from_the_clip_to_the_export(walker: Walker, clip: Path) -> None:
    page = walker.page
    walker.drop(clip)
    page.wait_for_selector("#clip-bar")
    walker.settle()
    assert page.inner_text("#photo-name") == "walk.mkv, frame 1"
    assert page.inner_text("#clip-number") == f"1 / {NUM_FRAMES}"
    assert page.is_disabled("#clip-export")

    # without a mask there is nothing to follow
    page.click("#clip-follow")
    assert "Mark the target" in walker.message()
    page.click("#toast-close")

    # the target is painted in the second frame, whose mask stays while others are looked at
    go_to(walker, 2)
    page.keyboard.press("b")
    for _ in range(6):
        page.keyboard.press("]")
    walker.stroke((0.55, 0.2), (0.55, 0.9), (0.42, 0.95), (0.75, 0.95), (0.68, 0.75), (0.45, 0.75))
    walker.settle()
    assert page.locator("#clip-marks span").count() == 1
    go_to(walker, 1)
    assert page.locator("#clip-marks span").count() == 1
    assert page.is_disabled("#undo")

    # it is followed in both directions, and the mattes come in
    follow(walker)
    go_to(walker, NUM_FRAMES)
    walker.photograph("clip")
    walker.look("alpha")
    assert min(walker.pixel(0.55, 0.75)) > 200
    assert max(walker.pixel(0.3, 0.1)) < 60
    walker.look("edit")

    # a correction of the last frame, which does not reach the first: the eraser takes from its matte
    page.keyboard.press("e")
    walker.stroke((0.5, 0.7), (0.6, 0.7), (0.6, 0.8), (0.5, 0.8))
    walker.settle()
    assert page.locator("#clip-marks span").count() == 2
    follow(walker)
    walker.photograph("clip-corrected")
    walker.look("alpha")
    assert walker.pixel(0.55, 0.75)[0] < 128
    go_to(walker, 1)
    assert min(walker.pixel(0.55, 0.75)) > 200

    # as pictures, at the clip's own size
    page.select_option("#clip-output", "alpha")
    page.select_option("#clip-format", "png")
    with page.expect_download(timeout=PATIENCE) as started:
        page.click("#clip-export")
    assert started.value.suggested_filename == "walk_alpha.zip"
    with zipfile.ZipFile(started.value.path()) as archive:
        assert archive.namelist() == [f"{number:06d}.png" for number in range(1, NUM_FRAMES + 1)]
        alphas = []
        for name in archive.namelist():
            with archive.open(name) as file, Image.open(file) as picture:
                assert picture.size == (SIDE, SIDE)
                alphas.append(np.asarray(picture.convert("L")))
    middle = slice(round(0.72 * SIDE), round(0.78 * SIDE)), slice(round(0.53 * SIDE), round(0.6 * SIDE))
    assert alphas[-1][middle].mean() < alphas[0][middle].mean() - 40

    # a photograph takes the clip's place
    walker.drop(PHOTO, as_="photo")
    page.wait_for_selector("#clip-bar", state="hidden")


def test_work_on_a_clip_is_stopped(walker: Walker, clip: Path) -> None:
    page = walker.page
    walker.drop(clip)
    page.wait_for_selector("#clip-bar")
    page.keyboard.press("b")
    walker.stroke((0.5, 0.5), (0.5, 0.9))
    walker.settle()
    page.click("#clip-follow")
    page.wait_for_selector("#clip-follow:text-is('Stop')")
    page.click("#clip-follow")
    page.wait_for_selector("#clip-follow:text-is('Follow')")
    walker.settle()
    assert page.is_disabled("#clip-export")
    assert page.is_hidden("#toast")


def test_what_is_wrong_with_a_clip_is_told(browser: Any, address: str, tmp_path: Path) -> None:
    walker = Walker(browser, address)
    text = tmp_path / "notes.mp4"
    text.write_text("not a clip", encoding="utf-8")
    walker.drop(text)
    assert "not a clip that can be read" in walker.message()
    assert walker.page.is_visible("#empty-title")

    def answer(route: Any) -> None:
        told = route.fetch().json()
        del told["clips"]  # as the page without a service
        route.fulfill(json=told)

    walker.page.route("**/v1/info", answer)
    walker.page.reload()
    walker.page.wait_for_function("() => document.getElementById('about').textContent")
    walker.drop(text)
    assert "Clips need the service" in walker.message()
    walker.close()
