"""A comparison as one HTML file that needs no network: tables, plots, and a contact sheet of pictures.

The file contains everything: styles, plots as inline SVG, pictures as WebP data URIs. It has no script. It adapts to
the width of the screen, to dark mode and to paper. It shows photos of the benchmark: mind their licence before you pass
it on. The page itself is `templates/comparison.html.j2`.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from mask2alpha.evaluation.benchmarks import GuidedPair, read_mask_file
from mask2alpha.evaluation.compare import Comparison, MethodResults
from mask2alpha.evaluation.figures import window_sums
from mask2alpha.evaluation.plots import Plot
from mask2alpha.evaluation.summary import describe, tabulate
from mask2alpha.evaluation.tables import load_template
from mask2alpha.imaging.decode import read_image

THUMBNAIL_SIDE = 300
"""Longest side of a picture in the contact sheet, in pixels."""
CROP_SIDE = 96
"""Side of a zoomed crop, in the photo's pixels."""
CROP_ZOOM = 2
NUM_CROPS = 2
"""Zoomed places per row."""
_QUALITY = 72
_TOO_HIGH, _TOO_LOW, _GROUND = (255.0, 150.0, 40.0), (70.0, 150.0, 255.0), 18
_Pixels: TypeAlias = npt.NDArray[np.uint8]


def format_html(comparison: Comparison, summary: dict[str, Any], *, plots: Sequence[Plot], sheet_rows: int = 12) -> str:
    """The whole page.

    Args:
        comparison: Where the mattes are.
        summary: What `summarise` made of it.
        plots: What `draw_plots` made of the summary.
        sheet_rows: Largest number of rows of the contact sheet, at 0.1 to 0.2 MB each.

    Raises:
        ImageFileError: A photo, mask or matte cannot be read.
        InputError: Jinja is not installed.
    """
    page = load_template("comparison.html").render(
        title=f"Comparison on {summary['title']}",
        tables=tabulate(summary),
        plots=plots,
        first=comparison.methods[0].method.label,
        sheet=[_lay_out_row(comparison.methods, pair, sad) for pair, sad in choose_rows(comparison, sheet_rows)],
        conditions=describe(summary),
        methods=summary["methods"],
    )
    return f"{page}\n"


def choose_rows(comparison: Comparison, count: int) -> list[tuple[GuidedPair, float]]:
    """The pairs of the contact sheet with the first method's SAD, worst first.

    The worst pair of every photo comes first, then the second worst of every photo, and so on until `count`; those are
    sorted by their SAD. So one bad photo does not fill the sheet.
    """
    results = comparison.methods[0].pairs
    scored = [(pair, results[pair.name, pair.kind].scores) for pair in comparison.pairs]
    rows = sorted(((pair, scores.sad) for pair, scores in scored if scores is not None), key=lambda row: -row[1])
    seen: dict[Path, int] = {}
    ranks = []
    for pair, _ in rows:
        seen[pair.image_path] = seen.get(pair.image_path, 0) + 1
        ranks.append(seen[pair.image_path])
    chosen = np.argsort(ranks, kind="stable")[:count]
    return [rows[index] for index in sorted(chosen.tolist())]


def find_worst_places(error: npt.NDArray[Any], count: int, side: int) -> list[tuple[int, int]]:
    """Upper left corners (row, column) of windows with the largest summed error, which do not overlap.

    Args:
        error: (H, W), not negative.
        count: Largest number of windows; there are fewer if the rest has no error.
        side: Side of a window; it is cut to the size of the photo.
    """
    height, width = min(side, error.shape[0]), min(side, error.shape[1])
    windows = window_sums(error, (height, width))
    places: list[tuple[int, int]] = []
    for _ in range(count):
        row, column = (int(index) for index in np.unravel_index(np.argmax(windows), windows.shape))
        if windows[row, column] <= 1e-9:
            break
        places.append((row, column))
        windows[max(0, row - height + 1) : row + height, max(0, column - width + 1) : column + width] = 0
    return places


def _lay_out_row(methods: Sequence[MethodResults], pair: GuidedPair, sad: float) -> dict[str, Any]:
    """A row of the contact sheet as the template takes it."""
    true_alpha = _narrow(read_image(pair.alpha_path).pixels)[..., 0]
    given = {
        "photo": _narrow(read_image(pair.image_path).pixels),
        "mask": np.where(read_mask_file(pair.mask_path) > 127, 255, 0).astype(np.uint8),
        "true alpha": true_alpha,
    }
    about = f"{pair.name}, {pair.kind} mask"
    mattes: dict[str, _Pixels] = {}
    made = []
    for results in methods:
        scores, label = results.pairs[pair.name, pair.kind].scores, results.method.label
        if scores is not None:
            alpha = read_image(results.alpha_folder / pair.kind / f"{pair.name}.png").pixels[..., 0]
            mattes[label] = alpha
            error_map = draw_error(_shrink(alpha), _shrink(true_alpha))
            pictures = [_picture(_shrink(alpha), label, about), _picture(error_map, f"error of {label}", about)]
            made.append({"caption": f"{label}: {scores.sad:.2f}", "pictures": pictures})
    error = np.abs(next(iter(mattes.values())).astype(np.float64) - true_alpha) / 255
    places = []
    for top, left in find_worst_places(error, NUM_CROPS, CROP_SIDE):
        window = (slice(top, top + CROP_SIDE), slice(left, left + CROP_SIDE))
        where = f"{about}, zoomed at row {top}, column {left}"
        crops = [
            {"caption": caption, "pictures": [_picture(_enlarge(array[window]), caption, where)]}
            for caption, array in (*given.items(), *mattes.items())
        ]
        places.append({"row": top, "column": left, "crops": crops})
    shown = [
        {"caption": caption, "pictures": [_picture(_shrink(array), caption, about)]} for caption, array in given.items()
    ]
    return {"about": about, "sad": sad, "given": shown, "made": made, "places": places}


def draw_error(alpha: _Pixels, true_alpha: _Pixels) -> _Pixels:
    """Colours (H, W, 3): orange where the matte is too high, blue where it is too low, stronger for a larger error."""
    difference = (alpha.astype(np.float64) - true_alpha)[..., None] / 255
    strength = np.sqrt(np.abs(difference))  # so that small errors can be seen, too
    colour = np.where(difference > 0, np.array(_TOO_HIGH), np.array(_TOO_LOW))
    return np.asarray(np.rint(strength * colour + (1 - strength) * _GROUND), dtype=np.uint8)


def _narrow(pixels: npt.NDArray[Any]) -> _Pixels:
    return np.asarray(pixels if pixels.dtype == np.uint8 else pixels >> 8, dtype=np.uint8)


def _shrink(pixels: _Pixels) -> _Pixels:
    scale = THUMBNAIL_SIDE / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size_wh = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size_wh, Image.Resampling.BOX))


def _enlarge(pixels: _Pixels) -> _Pixels:
    return pixels.repeat(CROP_ZOOM, axis=0).repeat(CROP_ZOOM, axis=1)


def _picture(pixels: _Pixels, caption: str, about: str) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="WEBP", quality=_QUALITY, method=4)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"data": data, "width": pixels.shape[1], "height": pixels.shape[0], "alt": f"{caption}, {about}"}
