"""A comparison as one HTML file that needs no network: tables, plots, and a contact sheet of pictures.

Everything is inside the file: styles, plots as inline SVG, pictures as WebP data URIs. There is no script. It adapts to
the width of the screen, to dark mode and to paper. It holds pictures of the benchmark: mind their licence before
passing it on.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from mask2alpha.evaluation.benchmarks import GuidedPair
from mask2alpha.evaluation.compare import Comparison, MethodResults
from mask2alpha.evaluation.summary import Summary, Table, describe, tabulate
from mask2alpha.evaluation.svg_plots import COLOURS_DARK, COLOURS_LIGHT, Axis, Series, colour_variables, plot
from mask2alpha.imaging.decode import read_image, read_mask

THUMBNAIL_SIDE = 300
"""Longest side of a picture in the contact sheet, in pixels."""
CROP_SIDE = 96
"""Side of a zoomed crop, in the photograph's pixels."""
CROP_ZOOM = 2
NUM_CROPS = 2
"""Zoomed places per row."""
_SHORTEST_S = 1e-3
_QUALITY = 72
_Pixels: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """One pair of the contact sheet, with the first method's SAD."""

    pair: GuidedPair
    """The files."""
    sad: float
    """How bad the first method is there."""


def format_html(comparison: Comparison, summary: Summary, *, sheet_rows: int = 12) -> str:
    """The whole page.

    Args:
        comparison: Where the mattes are.
        summary: Its numbers.
        sheet_rows: Most rows of the contact sheet, at 0.1 to 0.2 MB each; 0 for none.

    Raises:
        ImageFileError: A picture cannot be read.
    """
    tables = "".join(_format_table(table) for table in tabulate(summary))
    plots = "".join(
        f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for _, caption, svg in draw_plots(summary)
    )
    sheet = _format_sheet(comparison, choose_rows(comparison, sheet_rows))
    conditions = "".join(f"<li>{escape(line)}</li>" for line in describe(summary))
    methods = "".join(
        f"<li><b>{escape(method.label)}</b>: {escape(method.identity)}</li>" for method in summary.methods
    )
    title = f"Comparison on {summary.title}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>"
        f"{tables}"
        f'<section><h2>Plots</h2><div class="plots">{plots}</div></section>'
        f"{sheet}"
        f"<section><h2>Conditions</h2><ul>{conditions}</ul><h2>Methods</h2><ul>{methods}</ul></section>"
        "</body></html>\n"
    )


def draw_plots(summary: Summary) -> list[tuple[str, str, str]]:
    """(file stem, caption, `<svg>`) of every plot that the numbers allow."""
    plots = []
    timed = [method for method in summary.methods if method.scores and method.cpu_s is not None]
    if timed:
        series = [
            Series(
                label=method.label,
                points=((max(method.cpu_s or 0.0, _SHORTEST_S), method.scores["sad"].mean),),
                spans=((method.scores["sad"].low, method.scores["sad"].high),),
            )
            for method in timed
        ]
        svg = plot(
            series, Axis(title="CPU time of one pair, s (log)", is_log=True), Axis(title="SAD"), title="SAD by CPU time"
        )
        plots.append(
            (
                "error_against_time",
                "Error against time: mean SAD with its 95 % interval, median CPU time (1 ms stands for less, too). "
                "Good is low and left.",
                svg,
            )
        )
    scored = [method for method in summary.methods if method.kinds]
    if scored and len(summary.kinds) > 1:
        offsets = np.linspace(-0.3, 0.3, len(scored)) if len(scored) > 1 else np.zeros(1)
        series = [
            Series(
                label=method.label,
                points=tuple(
                    (index + float(offset), method.kinds[kind]["sad"]) for index, kind in enumerate(summary.kinds)
                ),
            )
            for method, offset in zip(scored, offsets, strict=True)
        ]
        svg = plot(series, Axis(title="kind of mask", names=summary.kinds), Axis(title="SAD"), title="SAD by mask kind")
        plots.append(("error_per_kind", "Error per kind of mask: mean SAD; methods side by side.", svg))
    for name, unit, factor, caption in (
        ("cpu_s", "CPU time, s", 1.0, "time"),
        ("peak_bytes", "peak memory, MiB", 2.0**-20, "memory"),
    ):
        series = [
            Series(
                label=method.label,
                points=tuple(
                    (cost["megapixels"], max(cost[name] * factor, _SHORTEST_S))
                    for cost in method.costs
                    if cost[name] is not None
                ),
                is_joined=True,
            )
            for method in summary.methods
            if method.costs
        ]
        if any(one.points for one in series):
            svg = plot(
                series,
                Axis(title="size of the picture, megapixels (log)", is_log=True),
                Axis(title=f"{unit} (log)", is_log=True),
                title=f"{unit} by size",
            )
            plots.append((f"{caption}_against_size", f"Cost against size: {caption} for one resized photograph.", svg))
    return plots


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
        side: Of a window; it is cut to the picture's size.
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


def _format_table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    body = ""
    for i, row in enumerate(table.rows):
        cells = "".join(_format_cell(cell, is_best=(i, j) in table.best) for j, cell in enumerate(row) if j)
        body += f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>'
    note = f"<p>{escape(table.note.replace('`', ''))}</p>" if table.note else ""
    kind = ' class="text"' if table.title == "Failures" else ""
    return (
        f"<section><h2>{escape(table.title)}</h2>{note}"
        f'<div class="scroll" tabindex="0"><table{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _format_cell(cell: str, *, is_best: bool) -> str:
    number, bracket, rest = cell.partition(" [")
    text = escape(number)
    if is_best:
        text = f"<b>{text}</b>"
    return f"<td>{text}{f' <small>[{escape(rest)}</small>' if bracket else ''}</td>"


def _format_sheet(comparison: Comparison, rows: Sequence[SheetRow]) -> str:
    if not rows:
        return ""
    first = comparison.methods[0].method.label
    parts = [
        f"<section><h2>Contact sheet</h2><p>Sorted by the SAD of <b>{escape(first)}</b>, worst first; from every "
        "photograph its worst pairs. Error maps: <span class='more'>orange</span> where the matte is too "
        "high, <span class='less'>blue</span> where it is too low. Zoomed: where this method errs most.</p>"
    ]
    for number, row in enumerate(rows, start=1):
        parts.append(_format_row(comparison.methods, row, number))
    return "".join([*parts, "</section>"])


def _format_row(methods: Sequence[MethodResults], row: SheetRow, number: int) -> str:
    pair = row.pair
    image = _narrow(read_image(pair.image_path).pixels)
    mask = np.where(read_mask(pair.mask_path) > 127, 255, 0).astype(np.uint8)
    true_alpha = _narrow(read_image(pair.alpha_path).pixels)[..., 0]
    about = f"{pair.name}, {pair.kind} mask"
    mattes: list[tuple[str, float, _Pixels]] = []
    for results in methods:
        result = results.pairs[pair.name, pair.kind]
        if result.scores is not None:
            path = results.alpha_folder / pair.kind / f"{pair.name}.png"
            mattes.append((results.method.label, result.scores.sad, read_image(path).pixels[..., 0]))
    given = [
        _figure("photograph", _picture(_shrink(image), "photograph", about)),
        _figure("mask", _picture(_shrink(mask), "mask", about)),
        _figure("true alpha", _picture(_shrink(true_alpha), "true alpha", about)),
    ]
    made = []
    for label, sad, alpha in mattes:
        error_map = draw_error(_shrink(alpha), _shrink(true_alpha))
        pictures = _picture(_shrink(alpha), label, about) + _picture(error_map, f"error of {label}", about)
        made.append(_figure(f"{label}: {sad:.2f}", pictures))
    parts = [
        f'<article><h3>{number}. {escape(about)} <small>SAD {row.sad:.2f}</small></h3><div class="sheet">',
        *given,
        '</div><div class="sheet">',
        *made,
        "</div>",
    ]
    error = np.abs(mattes[0][2].astype(np.float64) - true_alpha) / 255
    for place_number, (top, left) in enumerate(find_worst_places(error, NUM_CROPS, CROP_SIDE), start=1):
        window = (slice(top, top + CROP_SIDE), slice(left, left + CROP_SIDE))
        where = f"{about}, zoomed at row {top}, column {left}"
        crops = [
            _figure(caption, _picture(_enlarge(array[window]), caption, where))
            for caption, array in (
                ("photograph", image),
                ("mask", mask),
                ("true alpha", true_alpha),
                *((label, alpha) for label, _, alpha in mattes),
            )
        ]
        parts += [
            f"<h4>Place {place_number}: row {top}, column {left}</h4>",
            '<div class="sheet crops">',
            *crops,
            "</div>",
        ]
    return "".join([*parts, "</article>"])


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


def _picture(pixels: _Pixels, caption: str, about: str) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="WEBP", quality=_QUALITY, method=4)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<img src="data:image/webp;base64,{data}" width="{pixels.shape[1]}" height="{pixels.shape[0]}" '
        f'alt="{escape(f"{caption}, {about}")}">'
    )


def _figure(caption: str, pictures: str) -> str:
    return f"<figure>{pictures}<figcaption>{escape(caption)}</figcaption></figure>"


_LIGHT = "--ink:#1d1d1f;--paper:#fff;--soft:#dcdcdf;--dim:#5f5f66;--raised:#f5f5f7;--more:#b45a00;--less:#1464d2;"
_LIGHT += f"{colour_variables(COLOURS_LIGHT)}"
_DARK = "--ink:#e8e8ea;--paper:#151517;--soft:#3a3a3e;--dim:#a5a5ab;--raised:#202023;--more:#ff9628;--less:#5aa0ff;"
_DARK += f"{colour_variables(COLOURS_DARK)}"
_STYLE = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 1500px; padding: 1rem clamp(0.75rem, 3vw, 2.5rem) 3rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }}
h1 {{ font-size: clamp(1.4rem, 4vw, 2rem); line-height: 1.2; margin: 0.5rem 0 1rem; }}
h2 {{ font-size: 1.25rem; margin: 2rem 0 0.25rem; }}
h3 {{ font-size: 1.05rem; margin: 0 0 0.5rem; }}
h4 {{ font-size: 0.85rem; font-weight: 500; color: var(--dim); margin: 0.75rem 0 0.25rem; }}
p {{ margin: 0.25rem 0 0.75rem; max-width: 48rem; color: var(--dim); }}
li {{ max-width: 60rem; margin: 0.25rem 0; }}
small {{ font-size: 0.78em; font-weight: 400; color: var(--dim); white-space: nowrap; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }}
th, td {{ padding: 0.35rem 0.75rem; border-bottom: 1px solid var(--soft); text-align: right; white-space: nowrap; }}
thead th {{ font-weight: 600; border-bottom-color: var(--dim); }}
th:first-child {{ text-align: left; position: sticky; left: 0; background: var(--paper); font-weight: 500; }}
table.text td, table.text th {{ text-align: left; white-space: normal; }}
figure {{ margin: 0; }}
figcaption {{ font-size: 0.8rem; line-height: 1.35; color: var(--dim); }}
.plots {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 1.5rem; }}
.plots figure {{ max-width: 640px; }}
.plot {{ display: block; width: 100%; height: auto; }}
article {{ background: var(--raised); border-radius: 10px; padding: 0.75rem; margin: 1rem 0; }}
.sheet + .sheet {{ margin-top: 0.6rem; }}
.sheet {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(47%, 170px), 1fr)); gap: 0.6rem; }}
.sheet.crops {{ grid-template-columns: repeat(auto-fill, minmax(min(30%, 130px), 1fr)); }}
.sheet img {{ display: block; width: 100%; height: auto; border-radius: 4px; margin-bottom: 3px; }}
.sheet.crops img {{ image-rendering: pixelated; }}
.more {{ color: var(--more); font-weight: 600; }}
.less {{ color: var(--less); font-weight: 600; }}
@media (max-width: 600px) {{
  th, td {{ padding: 0.35rem 0.5rem; font-size: 0.9rem; }}
  th:first-child {{ min-width: 36vw; max-width: 40vw; white-space: normal; overflow-wrap: anywhere; }}
}}
@media print {{
  @page {{ margin: 12mm; }}
  body {{ padding: 0; max-width: none; font-size: 10pt; }}
  .scroll {{ overflow: visible; }}
  th, td {{ padding: 1.5pt 4pt; font-size: 8pt; }}
  figure, tr {{ break-inside: avoid; }}
  h2, h3, h4 {{ break-after: avoid; }}
  .sheet {{ grid-template-columns: repeat(6, 1fr); gap: 4pt; }}
  .sheet.crops {{ grid-template-columns: repeat(8, 1fr); }}
  .plots {{ grid-template-columns: 1fr 1fr; }}
  article {{ border: 1px solid var(--soft); }}
}}
"""
