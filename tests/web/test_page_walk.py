"""A walk through the page in headless Chromium, as a person would take it: once with the service, once without.

MASK2ALPHA_SCREENSHOTS=docs/images/page renews the pictures of the documentation.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from walking import HELMET, MASK, PHOTO, Walker, grey

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("walker", ["service", "alone"], indirect=True)]


def test_walk_from_the_photograph_to_the_download(walker: Walker) -> None:
    page = walker.page
    walker.photograph("empty")

    walker.open()
    assert page.inner_text("#photo-name") == "astronaut.png"
    assert page.is_visible("#hint")

    # a mask file marks the first object, and the matte follows
    walker.drop(MASK, as_="mask")
    page.wait_for_selector("#hint", state="hidden")
    walker.settle()
    walker.look("alpha")
    assert min(walker.pixel(0.5, 0.75)) > 250
    assert walker.pixel(0.20, 0.3) == (0, 0, 0)

    # erase, undo, redo
    page.keyboard.press("e")
    for _ in range(8):
        page.keyboard.press("]")
    walker.stroke((0.45, 0.7), (0.55, 0.7), (0.55, 0.8), (0.45, 0.8))
    walker.settle()
    assert walker.pixel(0.5, 0.75)[0] < 128
    page.keyboard.press("Control+z")
    walker.settle()
    assert min(walker.pixel(0.5, 0.75)) > 250
    page.keyboard.press("Control+Shift+z")
    walker.settle()
    assert walker.pixel(0.5, 0.75)[0] < 128
    page.click("#undo")
    walker.settle()

    # a second object, from a mask file, in its own layer
    page.dispatch_event("body", "dragenter", {})
    walker.drop(HELMET, as_="mask")
    page.wait_for_selector(".object:nth-child(2)")
    walker.settle()
    assert page.input_value(".object:nth-child(2) .object-name") == "helmet"
    walker.look("alpha")
    page.click(".object:nth-child(1) .object-eye")
    walker.settle()
    assert walker.pixel(0.5, 0.6) == (0, 0, 0)
    page.click(".object:nth-child(1) .object-eye")
    walker.settle()
    assert min(walker.pixel(0.5, 0.6)) > 250

    # another background, before and after
    page.check("input[name=background][value='#1faa59']")
    walker.settle()
    assert walker.pixel(0.19, 0.3) == (31, 170, 89)
    page.check("input[name=background][value=checker]")
    walker.look("compare")
    before = walker.pixel(0.25, 0.5)
    page.focus("#split-range")
    for _ in range(4):
        page.keyboard.press("PageDown")
    page.wait_for_timeout(200)
    assert walker.pixel(0.25, 0.5) != before
    box = page.locator(".split-line").bounding_box()
    assert box
    page.mouse.move(box["x"] + 20, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(700, 400, steps=5)
    page.mouse.up()
    assert abs(float(page.input_value("#split-range")) - 59) < 2
    page.click("#add-object")
    page.click(".object:nth-child(3) .object-delete")
    assert page.locator(".object").count() == 2

    # overlays, close up
    walker.look("edit")
    page.click(".object:nth-child(1) .object-name")
    for overlay in ("active", "steps", "error"):
        page.select_option("#overlay", overlay)
        walker.settle()
        assert page.is_visible(f"#legend-{overlay}")
    box = page.locator("#canvas").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.15)
    page.mouse.wheel(0, -700)
    page.click("[data-tool=hand]")
    walker.settle()
    walker.photograph("overlay")
    page.select_option("#overlay", "none")

    # the number of steps
    page.click("#advanced summary")
    page.focus("#steps")
    page.keyboard.press("ArrowRight")
    walker.settle()
    assert page.inner_text("#steps-text") == "3"
    page.click("#advanced-reset")
    walker.settle()

    # each output in each of its formats
    for output, format, kind in (
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


def test_the_downloaded_alpha_is_the_commands(walker: Walker, tmp_path: Path) -> None:
    file = walker.matte(PHOTO, MASK)
    assert file.name == "astronaut_alpha.png"
    walker.check_alpha(file, PHOTO, MASK, tmp_path)
    walker.photograph("edit")
    walker.page.emulate_media(color_scheme="dark")
    walker.look("compare")
    walker.photograph("compare")

    # and of what was painted: the command gets the same rough mask
    walker.look("edit")
    walker.page.keyboard.press("b")
    walker.stroke((0.5, 0.1), (0.8, 0.2))
    walker.settle()
    mask = walker.download("mask").rename(tmp_path / "painted.png")
    assert not np.array_equal(grey(mask), grey(MASK))
    walker.check_alpha(walker.download("alpha"), PHOTO, mask, tmp_path)


def test_errors_are_told_in_plain_words(walker: Walker, tmp_path: Path) -> None:
    text = tmp_path / "notes.png"
    text.write_text("not a picture")
    walker.drop(text)
    assert re.search(r"\w+ \w+ \w+", walker.message())
    assert "traceback" not in walker.message().lower()
    assert walker.page.is_visible("#empty-title")

    walker.open()
    wide = tmp_path / "wide.png"
    Image.new("L", (600, 100), 255).save(wide)
    walker.drop(wide, as_="mask")
    assert "600 × 100" in walker.message()
    walker.page.click("#toast-close")
    assert walker.page.is_hidden("#toast")
