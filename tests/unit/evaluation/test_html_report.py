import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import GuidedFolder
from mask2alpha.evaluation.compare import Comparison, compare
from mask2alpha.evaluation.html_report import choose_rows, draw_error, find_worst_places, format_html
from mask2alpha.evaluation.plots import Series, draw_plots, draw_series
from mask2alpha.evaluation.summary import summarise

SVG = "{http://www.w3.org/2000/svg}"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Two methods on three photographs, one named such that it would break a page that does not escape it."""
    root = tmp_path_factory.mktemp("benchmark")
    y, x = np.mgrid[:60, :80]
    for index, name in enumerate(("a & <b>", "c", "d")):
        alpha = np.clip(20 + 4 * index - np.hypot(y - 30, x - 40), 0, 4) / 4 * 255
        for folder, picture in (
            ("alpha", alpha),
            ("image", np.stack([alpha, 255 - alpha, np.full_like(alpha, 90)], axis=2)),
            ("mask/exact", (alpha > 127) * 255),
            ("mask/eroded", np.roll(alpha > 127, 5 * index, axis=0) * 255),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.astype(np.uint8)).save(root / folder / f"{name}.png")
    methods = ["guided-filter:radius=3,label=<ours>", "mask"]
    return compare(methods, GuidedFolder(root), root / "out", title="<script>", cost_sizes=[0.001, 0.004])


def colour_of(element: xml.etree.ElementTree.Element) -> str:
    found = re.search(r"fill: (#\w+)", element.get("style", ""))
    return found[1] if found else ""


@pytest.fixture(scope="module")
def page(comparison: Comparison) -> str:
    summary = summarise(comparison, num_resamples=200)
    return format_html(comparison, summary, plots=draw_plots(summary), sheet_rows=3)


class Reader(HTMLParser):
    """Notes every tag, checks that they close in order, and collects the text."""

    VOID = frozenset({"meta", "img", "br", "circle", "rect", "path"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_is_well_formed_and_needs_nothing_from_outside(page: str) -> None:
    reader = Reader(page)
    assert reader.open == []
    tags = {tag for tag, _ in reader.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base"}
    text = re.sub(r'src="data:image/webp;base64,[\w+/=]+"', "", page)
    assert not re.findall(r"https?:|//[a-z]|@import|url\(", text)
    for tag, attributes in reader.tags:
        for name in ("src", "href", "srcset", "xlink:href", "data", "action"):
            # within the page: a picture, or a shape of the same plot
            assert re.match(r"data:image/webp;base64,|#\w+$", attributes.get(name) or "data:image/webp;base64,"), tag
        assert not any(name.startswith("on") for name in attributes)


def test_every_picture_says_what_it_shows(page: str) -> None:
    images = [attributes for tag, attributes in Reader(page).tags if tag == "img"]
    assert len(images) >= 3 * (3 + 2 * 2)
    assert all(image["alt"] and image["width"] and image["height"] for image in images)
    plots = [attributes for tag, attributes in Reader(page).tags if tag == "svg"]
    assert len(plots) == 4
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in plots)


def test_names_are_text_and_never_markup(page: str) -> None:
    words = Reader(page).words
    assert "Comparison on <script>" in words
    assert "<ours>" in words
    assert "a & <b>, " in words


def test_the_numbers_of_the_summary_are_there(comparison: Comparison, page: str) -> None:
    summary = summarise(comparison, num_resamples=200)
    words = Reader(page).words
    for method in summary["methods"]:
        assert f"{method['scores']['sad']['mean']:.2f}" in words
        assert "[{low:.2f}, {high:.2f}]".format(**method["scores"]["grad"]) in words


def test_the_sheet_is_sorted_by_how_bad_the_first_method_is(comparison: Comparison, page: str) -> None:
    rows = choose_rows(comparison, 3)
    assert {pair.name for pair, _ in rows} == {"a & <b>", "c", "d"}
    assert [sad for _, sad in rows] == sorted((sad for _, sad in rows), reverse=True)
    for pair, sad in rows:
        others = [result for result in comparison.methods[0].pairs.values() if result.name == pair.name]
        assert sad == max(other.scores.sad for other in others if other.scores)
    assert len(choose_rows(comparison, 100)) == 6
    assert re.findall(r"<h3>(\d)\. ", page) == ["1", "2", "3"]
    without_sheet = format_html(comparison, summarise(comparison, num_resamples=100), plots=[], sheet_rows=0)
    assert "Contact sheet" not in without_sheet
    assert len(without_sheet) < len(page)


def test_the_worst_places_are_where_the_error_is() -> None:
    error = np.zeros((50, 70))
    error[12, 20] = 5
    error[40, 60] = 9
    places = find_worst_places(error, 3, side=10)
    assert len(places) == 2
    assert [
        (r <= y < r + 10, c <= x < c + 10) for (r, c), (y, x) in zip(places, [(40, 60), (12, 20)], strict=True)
    ] == [(True, True)] * 2
    assert find_worst_places(np.ones((4, 6)), 2, side=10) == [(0, 0)]
    assert find_worst_places(np.zeros((20, 20)), 2, side=10) == []


def test_error_maps_tell_too_high_from_too_low() -> None:
    alpha, true_alpha = np.array([[255, 0, 100]], dtype=np.uint8), np.array([[0, 255, 100]], dtype=np.uint8)
    ((high, low, none),) = draw_error(alpha, true_alpha).tolist()
    assert high == [255, 150, 40]
    assert low == [70, 150, 255]
    assert none == [18, 18, 18]


def test_plots_put_points_where_their_values_are() -> None:
    series = [
        Series(label="one", points=[(1.0, 10.0), (100.0, 30.0)]),
        Series(label="two & more", points=[(10.0, 20.0)], span=(15.0, 25.0)),
    ]
    plot = draw_series("test", "a <test>", "caption", series, x_title="x", y_title="y", log="x")
    tree = xml.etree.ElementTree.fromstring(plot.svg)
    places: dict[str, list[tuple[float, float]]] = {}
    for mark in tree.iter(f"{SVG}use"):
        places.setdefault(colour_of(mark), []).append((float(mark.get("x", "")), float(mark.get("y", ""))))
    (x1, y1), (x2, y2), _ = places["#2c82c9"]  # the last mark of a colour is the legend's
    (x3, y3), _ = places["#d9711c"]
    assert x1 < x2
    assert y1 > y2
    assert (x3, y3) == pytest.approx(((x1 + x2) / 2, (y1 + y2) / 2), abs=0.2)
    assert "two & more" in "".join(tree.itertext())
    assert tree.get("aria-label") == "a <test>"


def test_kinds_are_named_on_their_axis(comparison: Comparison) -> None:
    plots = {plot.name: plot for plot in draw_plots(summarise(comparison, num_resamples=100))}
    words = ["".join(text.itertext()) for text in xml.etree.ElementTree.fromstring(plots["error_per_kind"].svg).iter()]
    assert {"exact", "eroded", "kind of mask"} <= set(words)


@pytest.mark.parametrize(("longest", "has_steps_between"), [(0.05, True), (40.0, False)])
def test_logarithmic_axes_have_plain_numbers_with_room_between_them(longest: float, has_steps_between: bool) -> None:
    series = [Series(label="one", points=[(0.001, 1.0), (longest, 2.0)])]
    plot = draw_series("test", "title", "caption", series, x_title="time", y_title="SAD", log="x")
    tree = xml.etree.ElementTree.fromstring(plot.svg)
    words = {"".join(text.itertext()) for text in tree.iter(f"{SVG}text")}
    assert {"0.001", "0.01"} <= words
    assert ({"0.002", "0.005", "0.02"} <= words) == has_steps_between
    assert not [word for word in words if "10^" in word or "mathdefault" in word]
    assert "#ffffff" not in plot.svg  # no white ground that a dark page would show


def test_a_plot_as_a_file_of_its_own_brings_its_colours(comparison: Comparison) -> None:
    plots = draw_plots(summarise(comparison, num_resamples=100))
    names = [plot.name for plot in plots]
    assert names == ["error_against_time", "error_per_kind", "time_against_size", "memory_against_size"]
    for plot in plots:
        assert xml.etree.ElementTree.fromstring(plot.svg).tag == f"{SVG}svg"
        assert "prefers-color-scheme:dark" in plot.svg
        assert "currentColor" in plot.svg
        assert "prefers-color-scheme" not in plot.inline


def test_the_same_numbers_give_the_same_plot(comparison: Comparison) -> None:
    summary = summarise(comparison, num_resamples=100)
    assert draw_plots(summary) == draw_plots(summary)


def test_a_missing_package_is_named_with_its_extra(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = summarise(comparison, num_resamples=100)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"needs matplotlib: pip install 'mask2alpha\[report\]'"):
        draw_plots(summary)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(InputError, match=r"needs jinja2: pip install 'mask2alpha\[report\]'"):
        format_html(comparison, summary, plots=[])


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_without_sideways_scrolling(
    page: str, tmp_path: Path, width: int, read_pixels: Callable[[Path], np.ndarray]
) -> None:
    """The page reports its own layout in its title; the screenshot must hold text, plots and pictures."""
    probe = (
        "<script>addEventListener('load',()=>{const e=document.documentElement;parent.postMessage([innerWidth,"
        "e.scrollWidth,[...document.images].every(i=>i.complete&&i.naturalWidth>0),document.images.length],'*')})</script>"
    )
    (tmp_path / "page.html").write_text(page.replace("</body>", probe + "</body>"), encoding="utf-8")
    (tmp_path / "frame.html").write_text(
        "<body style='margin:0'><script>onmessage=e=>document.body.dataset.seen=e.data</script>"
        f"<iframe src='page.html' style='border:0;width:{width}px;height:3000px'></iframe></body>",
        encoding="utf-8",
    )
    assert BROWSER is not None
    base = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    base += ["--window-size=1280,3000", "--virtual-time-budget=5000"]
    target = (tmp_path / "frame.html").as_uri()
    dumped = subprocess.run([*base, "--dump-dom", target], capture_output=True, text=True, check=True, timeout=120)
    seen = re.search(r'data-seen="(\d+),(\d+),(\w+),(\d+)"', dumped.stdout)
    assert seen is not None, dumped.stdout[:500]
    inner_width, scroll_width, is_loaded, num_images = seen.groups()
    assert (int(inner_width), is_loaded) == (width, "true")
    assert int(scroll_width) <= width
    assert int(num_images) >= 21
    screenshot = tmp_path / "screenshot.png"
    subprocess.run([*base, f"--screenshot={screenshot}", target], capture_output=True, check=True, timeout=120)
    pixels = read_pixels(screenshot)[:, :width]
    assert pixels.shape[1] == width
    assert (pixels.std(axis=(1, 2)) > 1).mean() > 0.3  # rows of the picture that show something


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH")
def test_a_browser_prints_the_page(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    assert BROWSER is not None
    base = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    pdf = tmp_path / "page.pdf"
    target = (tmp_path / "page.html").as_uri()
    subprocess.run([*base, f"--print-to-pdf={pdf}", target], capture_output=True, check=True, timeout=120)
    pages = re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())
    assert 2 <= len(pages) <= 8
    assert pdf.read_bytes().count(b"/Subtype /Image") >= 10  # equal pictures are stored once


@pytest.fixture
def read_pixels() -> Callable[[Path], np.ndarray]:
    return lambda path: np.asarray(Image.open(path).convert("RGB"), dtype=np.float64)
