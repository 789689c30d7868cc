"""What only the page of a service can do, in headless Chromium: selection by clicks, edges, all formats."""

import json
import logging
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from walking import MASK, PATIENCE, PHOTO, Walker, grey

pytestmark = pytest.mark.slow

LOG = logging.getLogger(__name__)
STROKE_LIMIT = 60.0
"""Seconds from the end of a stroke to its matte, which takes less than 1 on two free cores."""


def test_a_person_is_selected_and_downloaded_without_a_brush(walker: Walker, record_property: Any) -> None:
    page = walker.page
    with page.expect_response("**/hints*", timeout=PATIENCE):
        walker.open()
    assert page.get_attribute("[data-tool=select]", "aria-pressed") == "true"
    assert page.is_hidden("[data-tool=box]")
    assert "Ctrl-drag scribbles" in page.inner_text("#hint")

    # the resting pointer shows about what the click then takes
    page.wait_for_timeout(400)
    before = np.asarray(walker.stage(), np.int16)
    seconds = walker.hover(0.5, 0.75)
    record_property("seconds_to_what_a_click_takes", seconds)
    LOG.info("seconds until the resting pointer shows what a click takes: %.2f", seconds)
    shown = np.abs(np.asarray(walker.stage(), np.int16) - before).max(axis=2) > 12
    walker.photograph("hover")
    walker.click(0.5, 0.75)
    assert page.is_hidden("#hint")
    mask = grey(walker.download("mask"))
    side = round(512 * float(page.inner_text("#zoom-actual").removesuffix(" %")) / 100)
    top, left = (shown.shape[0] - side) // 2, (shown.shape[1] - side) // 2
    taken = np.asarray(Image.fromarray(mask).resize((side, side))) > 127
    hinted = shown[top : top + side, left : left + side]
    assert (hinted & taken).sum() / (hinted | taken).sum() > 0.8

    walker.look("alpha")
    assert min(walker.pixel(0.5, 0.75)) > 250
    assert walker.pixel(0.2, 0.15) == (0, 0, 0)
    dark_corner = (0.78, 0.6)
    walker.click(*dark_corner, key="Alt")
    assert walker.pixel(*dark_corner) == (0, 0, 0)
    assert min(walker.pixel(0.5, 0.75)) > 250
    walker.look("edit")
    walker.photograph("select")

    # a scribble, by a key and by a long press
    page.keyboard.down("Control")
    walker.stroke((0.45, 0.7), (0.5, 0.9))
    page.keyboard.up("Control")
    walker.settle()
    assert page.is_hidden("#toast")
    walker.stroke((0.62, 0.98), (0.66, 0.98), rest=True)
    walker.settle()
    mask = grey(walker.download("mask"))
    assert mask[496:504, 330:345].min() == 255
    walker.look("result")
    with Image.open(walker.download("cutout")) as picture:
        assert (picture.mode, picture.size) == ("RGBA", (512, 512))
        opacity = np.asarray(picture.getchannel("A"))
    assert opacity[400, 250] > 250
    assert opacity[60, 20] == 0


def test_clicks_brushes_and_the_scale_work_together(walker: Walker) -> None:
    page = walker.page
    walker.open()
    walker.click(0.5, 0.75)
    walker.click(0.78, 0.6, key="Alt")

    # each click is undone by itself
    page.keyboard.press("Control+z")
    walker.settle()
    page.keyboard.press("Control+Shift+z")
    walker.settle()

    # a correction by the brush stays when a further click takes something away
    page.keyboard.press("b")
    walker.stroke((0.25, 0.1), (0.25, 0.2))
    walker.settle()
    page.keyboard.press("s")
    assert page.is_disabled("input[name=scale][value=part]")
    page.check("input[name=mark][value=away]")
    walker.click(0.6, 0.95)
    mask = grey(walker.download("mask"))
    assert mask[60:70, 66:76].min() == 255  # the stroke
    assert mask[498:502, 326:330].max() == 0  # the click
    page.click("#undo")
    walker.settle()

    # how much a click takes, on an object of its own
    page.keyboard.press("n")
    page.keyboard.press("s")
    page.check("input[name=mark][value=add]")
    walker.click(0.5, 0.3)
    page.keyboard.press("g")
    page.keyboard.press("g")
    walker.settle()
    assert page.is_checked("input[name=scale][value=part]")
    page.click(".object:nth-child(2) .object-delete")

    # the unsure brush: a trimap's grey, which is sent, kept by further clicks, and downloaded
    page.keyboard.press("u")
    walker.stroke((0.4, 0.2), (0.6, 0.2))
    walker.settle()
    walker.photograph("unsure")
    page.keyboard.press("s")
    walker.click(0.5, 0.9)
    mask = grey(walker.download("mask"))
    assert np.isin(mask, (127, 128)).sum() > 1000
    assert page.is_hidden("#toast")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    walker.settle()
    assert not np.isin(grey(walker.download("mask")), (127, 128)).any()


def test_a_model_that_selects_nothing_offers_brush_and_box(browser: Any, address: str) -> None:
    walker = Walker(browser, "about:blank")
    page = walker.page

    def answer(route: Any) -> None:
        info = route.fetch().json()
        route.fulfill(json=info | {"selects": False})

    page.route("**/v1/info", answer)
    page.goto(address)
    page.wait_for_selector("[data-tool=select]", state="hidden")
    walker.open()
    assert page.get_attribute("[data-tool=brush]", "aria-pressed") == "true"
    assert "cannot select by a click" in page.inner_text("#hint")
    page.keyboard.press("s")
    assert page.is_hidden("#select-options")
    page.keyboard.press("r")
    walker.stroke((0.2, 0.05), (0.86, 0.94))  # GrabCut makes the rough mask
    page.wait_for_selector("#hint", state="hidden")
    walker.settle()
    walker.look("alpha")
    assert min(walker.pixel(0.5, 0.75)) > 250
    walker.close()


def test_trust_and_the_formats_that_a_browser_cannot_write(walker: Walker) -> None:
    walker.matte(PHOTO, MASK)
    walker.page.click("#advanced summary")
    walker.page.focus("#trust")
    walker.page.keyboard.press("End")
    walker.settle()
    assert walker.page.inner_text("#trust-text") == "1.00"
    with Image.open(walker.download("composite", "tiff")) as picture:
        assert (picture.mode, picture.size) == ("RGB", (512, 512))
    assert walker.download("steps").suffix == ".zip"
    assert walker.download("passes", "exr").read_bytes().startswith(b"\x76\x2f\x31\x01")


def test_the_edge_follows_its_sliders_and_is_downloaded_as_the_command_writes_it(
    walker: Walker, tmp_path: Path, record_property: Any
) -> None:
    page = walker.page
    plain = grey(walker.matte(PHOTO, MASK))
    walker.look("alpha")
    page.click("#edges summary")
    assert page.is_disabled("#edges-reset")
    before = walker.page.locator("#stage").screenshot()

    shift = page.get_by_role("slider", name="Shift")
    shift.focus()
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
    assert shift.get_attribute("aria-valuetext") == "-2 px"
    page.get_by_role("slider", name="Only near soft pixels").focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    walker.settle()
    assert walker.page.locator("#stage").screenshot() != before
    record_property("seconds_to_follow_a_slider", page.inner_text("#status"))
    file = walker.download("alpha")
    assert grey(file).mean() < plain.mean()
    walker.check_alpha(file, PHOTO, MASK, tmp_path, "--edges", "shift=-2,band=3")

    page.click("#edges-reset")
    walker.settle()
    assert shift.get_attribute("aria-valuetext") == "0 px"
    assert np.array_equal(grey(walker.download("alpha")), plain)


def test_a_stroke_on_a_2k_photograph_shows_its_matte_soon(walker: Walker, tmp_path: Path, record_property: Any) -> None:
    photo = tmp_path / "2k.jpg"
    Image.open(PHOTO).convert("RGB").resize((2048, 2048)).crop((0, 0, 2048, 1365)).save(photo, quality=92)
    walker.open(photo)
    walker.page.keyboard.press("b")
    walker.stroke((0.5, 0.3), (0.5, 0.7))
    walker.settle()
    seconds = []
    for shift in range(3):
        walker.page.evaluate("() => { document.getElementById('status').textContent = ''; }")
        walker.stroke((0.45 + 0.02 * shift, 0.3), (0.45 + 0.02 * shift, 0.7))
        begun = time.perf_counter()
        walker.page.locator("#status", has_text=re.compile(r"^Matte of .* updated")).wait_for(state="attached")
        seconds.append(time.perf_counter() - begun)
        walker.settle()
    record_property("seconds_to_the_matte", json.dumps([round(value, 2) for value in seconds]))
    LOG.info("seconds from a stroke to its matte on 2048 x 1365: %s", np.round(seconds, 2))
    assert min(seconds) < STROKE_LIMIT


def test_a_photograph_of_24_megapixels_is_painted_on_smoothly(
    walker: Walker, tmp_path: Path, record_property: Any
) -> None:
    photo = tmp_path / "24mp.jpg"
    Image.open(PHOTO).convert("RGB").resize((6000, 6000)).crop((0, 0, 6000, 4000)).save(photo, quality=85)
    walker.open(photo)
    walker.page.evaluate(
        """() => {
            window.frames24 = [];
            let last = performance.now();
            const tick = (now) => { window.frames24.push(now - last); last = now; requestAnimationFrame(tick); };
            requestAnimationFrame(tick);
        }"""
    )
    walker.page.keyboard.press("b")
    walker.stroke((0.5, 0.3), (0.5, 0.7), (0.6, 0.7), (0.6, 0.3))
    gaps = np.array(walker.page.evaluate("() => window.frames24"))
    record_property("median_frame_ms", float(np.median(gaps)))
    LOG.info("frames while painting on 24 megapixels: median %d ms, longest %d ms", np.median(gaps), gaps.max())
    assert np.median(gaps) < 500
    walker.settle()

    # close up, the part in sight is matted at full size; the browser does not show the body of a form with files
    walker.page.evaluate(
        """() => {
            window.regions24 = [];
            const send = window.fetch;
            window.fetch = (address, init) => {
                if (init?.body instanceof FormData) window.regions24.push(init.body.get("region"));
                return send(address, init);
            };
        }"""
    )
    begun = time.perf_counter()
    walker.page.keyboard.press("9")
    walker.page.wait_for_function("() => window.regions24.some((region) => region)")
    walker.settle()
    LOG.info("seconds to the part in sight at full size: %.1f", time.perf_counter() - begun)
    assert walker.page.inner_text("#zoom-actual") == "100 %"


def test_a_forgotten_photograph_is_sent_again(walker: Walker) -> None:
    walker.open()
    requests = {"count": 0}

    def forget(route: Any) -> None:
        requests["count"] += 1
        if requests["count"] > 1:
            route.continue_()
            return
        problem = {"type": "urn:mask2alpha:problem:encoding-not-found", "status": 404, "detail": "gone"}
        route.fulfill(status=404, content_type="application/problem+json", body=json.dumps(problem))

    walker.page.route("**/v1/encodings/*/mattes", forget)
    walker.page.keyboard.press("b")
    with walker.page.expect_request("**/v1/encodings", timeout=PATIENCE):
        walker.stroke((0.4, 0.5), (0.4, 0.9))
    walker.settle()
    assert requests["count"] >= 2
    assert walker.page.is_hidden("#toast")
    walker.look("alpha")
    assert walker.pixel(0.4, 0.75) != (0, 0, 0)


def test_everything_can_be_done_with_the_keyboard(walker: Walker) -> None:
    page = walker.page
    page.focus("#example")
    page.keyboard.press("Enter")
    page.wait_for_selector("body:not(.is-empty)")
    page.wait_for_selector("#hint", state="hidden")
    walker.settle()
    page.keyboard.press("?")
    assert page.is_visible("#help-dialog")
    page.keyboard.press("Escape")
    page.focus("#canvas")
    page.keyboard.press("n")
    page.keyboard.press("b")
    page.keyboard.press("Enter")  # the crosshair appears, and says where it is
    page.locator("#status", has_text=re.compile(r"^\d+, \d+$")).wait_for(state="attached")
    page.keyboard.press("Enter")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(f"Shift+{key}")
    page.keyboard.press("Enter")
    walker.settle()
    assert page.is_enabled("#clear")
    page.keyboard.press("n")
    page.keyboard.press("s")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # selects at the crosshair
    walker.settle()
    assert page.is_enabled("#clear")
    page.keyboard.press("Control+Enter")  # begins and ends a scribble
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    walker.settle()
    for key in ("Alt+Enter", "Shift+Enter"):  # takes away, and begins a box
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press(key)
        walker.settle()
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    walker.settle()
    page.keyboard.press("1")
    assert page.locator(".object").count() == 3
    assert page.is_hidden("#toast")
    names = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [tabindex]")]
            .filter((control) => control.checkVisibility())
            .filter((control) => !(control.getAttribute("aria-label") || control.getAttribute("aria-labelledby")
                || control.innerText?.trim() || control.labels?.length))
            .map((control) => control.outerHTML.slice(0, 80))"""
    )
    assert not names


def test_a_phone_shows_all_of_it_and_fingers_select(browser: Any, address: str) -> None:
    walker = Walker(
        browser, address, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="light"
    )
    walker.open()
    walker.page.touchscreen.tap(*walker.spot(0.5, 0.6))
    walker.page.wait_for_selector("#hint", state="hidden")
    walker.drop(MASK, as_="mask")
    walker.page.wait_for_selector(".object:nth-child(2)")
    walker.page.click(".object:nth-child(1) .object-delete")
    walker.settle()
    walker.photograph("phone")
    assert walker.page.evaluate("() => document.documentElement.scrollWidth") <= 390
    walker.close()
