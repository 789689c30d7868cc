"""A comparison as one HTML file that needs no network: tables, plots, and a contact sheet of pictures.

Everything is inside the file: styles, plots as inline SVG, pictures as WebP data URIs. There is no script. It adapts to
the width of the screen, to dark mode and to paper. It shows photos of the benchmark: mind their licence before you pass
it on. The page itself is `templates/comparison.html.j2`.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from mask2alpha.evaluation.benchmarks import GuidedPair
from mask2alpha.evaluation.compare import Comparison, MethodResults
from mask2alpha.evaluation.plots import Plot
from mask2alpha.evaluation.summary import Summary, describe, tabulate
from mask2alpha.evaluation.tables import load_template
from mask2alpha.imaging.decode import read_image, read_mask

THUMBNAIL_SIDE = 300
"""Longest side of a picture in the contact sheet, in pixels."""
CROP_SIDE = 96
"""Side of a zoomed crop, in the photograph's pixels."""
CROP_ZOOM = 2
NUM_CROPS = 2
"""Zoomed places per row."""
_QUALITY = 72
_Pixels: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """One pair of the contact sheet, with the first method's SAD."""

    pair: GuidedPair
    """The files."""
    sad: float
    """How bad the first method is there."""


def format_html(comparison: Comparison, summary: Summary, *, plots: Sequence[Plot], sheet_rows: int = 12) -> str:
    """The whole page.

    Args:
        comparison: Where the mattes are.
        summary: Its numbers.
        plots: What `draw_plots` made of them.
        sheet_rows: Most rows of the contact sheet, at 0.1 to 0.2 MB each; 0 for none.

    Raises:
        ImageFileError: A photo, mask or matte cannot be read.
        InputError: Jinja is not installed.
    """
    page = load_template("comparison.html").render(
        title=f"Comparison on {summary.title}",
        tables=tabulate(summary),
        plots=plots,
        first=comparison.methods[0].method.label,
        sheet=[_lay_out_row(comparison.methods, row) for row in choose_rows(comparison, sheet_rows)],
        conditions=describe(summary),
        methods=summary.methods,
    )
    return f"{page}\n"


def choose_rows(comparison: Comparison, count: int) -> list[SheetRow]:
    """The pairs of the contact sheet, worst first.

    For the first method's SAD: the worst pair of every photograph, then the second worst of every photograph, and so
    on until `count`; those are shown in order of their SAD. So one bad photograph does not fill the sheet.
    """
    first = comparison.methods[0]
    rows = []
    for pair in comparison.pairs:
        result = first.pairs[pair.name, pair.kind]
        if result.scores is not None:
            rows.append(SheetRow(pair=pair, sad=result.scores.sad))
    rows.sort(key=lambda row: -row.sad)
    seen: dict[Path, int] = {}
    ranked = []
    for row in rows:
        photograph = row.pair.image_path
        seen[photograph] = seen.get(photograph, 0) + 1
        ranked.append((seen[photograph], -row.sad, row))
    ranked.sort(key=lambda entry: entry[:2])
    return sorted((row for _, _, row in ranked[:count]), key=lambda row: -row.sad)


def find_worst_places(error: npt.NDArray[Any], count: int, side: int) -> list[tuple[int, int]]:
    """Upper left corners (row, column) of windows with the largest summed error, which do not overlap.

    Args:
        error: (H, W), not negative.
        count: Most windows; fewer where the rest holds no error.
        side: Side of a window; it is cut to the size of the photo.
    """
    height, width = min(side, error.shape[0]), min(side, error.shape[1])
    sums = np.zeros((error.shape[0] + 1, error.shape[1] + 1))
    sums[1:, 1:] = error.cumsum(axis=0).cumsum(axis=1)
    windows = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    places: list[tuple[int, int]] = []
    for _ in range(count):
        row, column = (int(index) for index in np.unravel_index(np.argmax(windows), windows.shape))
        if windows[row, column] <= 1e-9:
            break
        places.append((row, column))
        windows[max(0, row - height + 1) : row + height, max(0, column - width + 1) : column + width] = 0
    return places


def _lay_out_row(methods: Sequence[MethodResults], row: SheetRow) -> dict[str, Any]:
    """A row of the contact sheet as the template takes it."""
    pair = row.pair
    image = _narrow(read_image(pair.image_path).pixels)
    mask = np.where(read_mask(pair.mask_path) > 127, 255, 0).astype(np.uint8)
    true_alpha = _narrow(read_image(pair.alpha_path).pixels)[..., 0]
    given = {"photo": image, "mask": mask, "true alpha": true_alpha}
    about = f"{pair.name}, {pair.kind} mask"
    mattes: list[tuple[str, _Pixels]] = []
    made = []
    for results in methods:
        result, label = results.pairs[pair.name, pair.kind], results.method.label
        if result.scores is not None:
            alpha = read_image(results.alpha_folder / pair.kind / f"{pair.name}.png").pixels[..., 0]
            mattes.append((label, alpha))
            error_map = draw_error(_shrink(alpha), _shrink(true_alpha))
            pictures = [_picture(_shrink(alpha), label, about), _picture(error_map, f"error of {label}", about)]
            made.append({"caption": f"{label}: {result.scores.sad:.2f}", "pictures": pictures})
    error = np.abs(mattes[0][1].astype(np.float64) - true_alpha) / 255
    places = []
    for top, left in find_worst_places(error, NUM_CROPS, CROP_SIDE):
        window = (slice(top, top + CROP_SIDE), slice(left, left + CROP_SIDE))
        where = f"{about}, zoomed at row {top}, column {left}"
        crops = [_figure(caption, _enlarge(array[window]), where) for caption, array in (*given.items(), *mattes)]
        places.append({"row": top, "column": left, "crops": crops})
    shown = [_figure(caption, _shrink(array), about) for caption, array in given.items()]
    return {"about": about, "sad": row.sad, "given": shown, "made": made, "places": places}


def draw_error(alpha: _Pixels, true_alpha: _Pixels) -> _Pixels:
    """Colours (H, W, 3): orange where the matte is too high, blue where it is too low, the stronger the more."""
    difference = (alpha.astype(np.float64) - true_alpha) / 255
    strength = np.sqrt(np.abs(difference))[..., None]  # so that small errors can be seen, too
    colour = np.where(difference[..., None] > 0, np.array([255.0, 150.0, 40.0]), np.array([70.0, 150.0, 255.0]))
    drawn: _Pixels = np.rint(strength * colour + (1 - strength) * 18).astype(np.uint8)
    return drawn


def _narrow(pixels: npt.NDArray[Any]) -> _Pixels:
    narrow: _Pixels = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    return narrow


def _shrink(pixels: _Pixels) -> _Pixels:
    scale = THUMBNAIL_SIDE / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size_wh = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size_wh, Image.Resampling.BOX))


def _enlarge(pixels: _Pixels) -> _Pixels:
    return np.repeat(np.repeat(pixels, CROP_ZOOM, axis=0), CROP_ZOOM, axis=1)


def _figure(caption: str, pixels: _Pixels, about: str) -> dict[str, Any]:
    return {"caption": caption, "pictures": [_picture(pixels, caption, about)]}


def _picture(pixels: _Pixels, caption: str, about: str) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="WEBP", quality=_QUALITY, method=4)
    return {
        "data": base64.b64encode(buffer.getvalue()).decode("ascii"),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "alt": f"{caption}, {about}",
    }
