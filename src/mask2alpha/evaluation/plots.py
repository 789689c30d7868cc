"""The plots of a comparison, drawn by matplotlib as SVG: error against time, error per kind, cost against size."""

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from mask2alpha.extras import import_extra

SHORTEST_S = 1e-3
"""Shorter times are drawn at this one, because a logarithmic axis has no zero."""
_INK = "#123456"  # stands for the page's colour of text until the drawing is finished
_COLOURS = ("#2c82c9", "#d9711c", "#1a9c78", "#c05b95", "#a38600", "#5aa7c7", "#7d7d7d", "#9158c9")
_MARKERS = "os^Dv"
_MAX_LABEL = 27
_PAGE_COLOURS = "<style>svg{color:#222}@media (prefers-color-scheme:dark){svg{color:#e6e6e6}}</style>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One plot."""

    name: str
    """The stem of its file's name."""
    caption: str
    """How to read it."""
    svg: str
    """The whole file; it has colours for light and dark pages."""

    @property
    def inline(self) -> str:
        """The `<svg>` element for a page of HTML, which gives the colour of text."""
        element = self.svg[self.svg.index("<svg") :].replace(_PAGE_COLOURS, "")
        return re.sub(r' xmlns(:\w+)?="[^"]+"', "", element)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points of one method."""

    label: str
    """Its name in the legend."""
    points: Sequence[tuple[float, float]]
    """(x, y)."""
    span: tuple[float, float] | None = None
    """(low, high) of y at the only point, drawn as a vertical line."""


def draw_plots(summary: dict[str, Any]) -> list[Plot]:
    """Every plot that the numbers of `summary.summarise` allow.

    Raises:
        InputError: matplotlib is not installed.
    """
    methods = summary["methods"]
    return [*_draw_time(methods), *_draw_kinds(methods, summary["kinds"]), *_draw_sizes(methods)]


def _draw_time(methods: Sequence[dict[str, Any]]) -> Iterator[Plot]:
    series = []
    for method in methods:
        if method["scores"] and method["cpu_s"] is not None:
            sad = method["scores"]["sad"]
            points = [(max(method["cpu_s"], SHORTEST_S), sad["mean"])]
            series.append(Series(label=method["label"], points=points, span=(sad["low"], sad["high"])))
    if series:
        caption = (
            "Error against time: mean SAD with its 95 % interval, median CPU time (1 ms also stands for less). "
            "Good is low and left."
        )
        axes: dict[str, Any] = {"x_title": "CPU time of one pair, s (log)", "y_title": "SAD", "log": "x"}
        yield draw_series("error_against_time", "SAD by CPU time", caption, series, **axes)


def _draw_kinds(methods: Sequence[dict[str, Any]], kinds: Sequence[str]) -> Iterator[Plot]:
    scored = [method for method in methods if method["kinds"]]
    if not scored or len(kinds) < 2:
        return
    offsets = np.linspace(-0.3, 0.3, len(scored)) if len(scored) > 1 else np.zeros(1)
    series = [
        Series(
            label=method["label"],
            points=[(place + offset, method["kinds"][kind]["sad"]) for place, kind in enumerate(kinds)],
        )
        for method, offset in zip(scored, offsets.tolist(), strict=True)
    ]
    caption = "Error per kind of mask: mean SAD; methods side by side."
    axes: dict[str, Any] = {"x_title": "kind of mask", "y_title": "SAD", "x_names": kinds}
    yield draw_series("error_per_kind", "SAD by mask kind", caption, series, **axes)


def _draw_sizes(methods: Sequence[dict[str, Any]]) -> Iterator[Plot]:
    for field, unit, factor, what in (
        ("cpu_s", "CPU time, s", 1.0, "time"),
        ("peak_bytes", "peak memory, MiB", 2.0**-20, "memory"),
    ):
        series = []
        for method in methods:
            known = [cost for cost in method["costs"] if cost[field] is not None]
            points = [(cost["megapixels"], max(cost[field] * factor, SHORTEST_S)) for cost in known]
            series += [Series(label=method["label"], points=points)] if points else []
        if series:
            caption = f"Cost against size: {what} for one resized photo."
            axes: dict[str, Any] = {"x_title": "size of the photo, megapixels (log)", "y_title": f"{unit} (log)"}
            name, title = f"{what}_against_size", f"{unit} by size"
            yield draw_series(name, title, caption, series, log="xy", is_joined=True, **axes)


def draw_series(
    name: str,
    title: str,
    caption: str,
    series: Sequence[Series],
    *,
    x_title: str,
    y_title: str,
    log: str = "",
    x_names: Sequence[str] = (),
    is_joined: bool = False,
) -> Plot:
    """A plot with a legend below; each series has its colour and marker.

    Args:
        name: The stem of the file's name.
        title: What it shows, for readers who cannot see it.
        caption: How to read it.
        series: At least one.
        x_title: The horizontal axis, with its unit.
        y_title: The vertical axis, with its unit; it begins at zero unless it is logarithmic.
        log: The logarithmic axes: `x`, `y`, `xy` or none; their values must be above zero.
        x_names: Names for the values 0, 1, 2 … of x instead of numbers.
        is_joined: Draw a line through the points of each series.
    """
    matplotlib = import_extra("matplotlib", extra="report", purpose="a plot")
    figure_module = import_extra("matplotlib.figure", extra="report", purpose="a plot")
    settings = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9.5, "text.parse_math": False}
    settings |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK)
    with matplotlib.rc_context(settings):
        figure = figure_module.Figure(figsize=(4.8, 3.4 + 0.22 * (-(-len(series) // 2))), layout="constrained")
        axes = figure.add_subplot(xlabel=x_title, ylabel=y_title)
        axes.grid(color=_INK, alpha=0.2)
        axes.spines[:].set_visible(False)
        for index, one in enumerate(series):
            colour = _COLOURS[index % len(_COLOURS)]
            x, y = zip(*one.points, strict=True)
            if one.span is not None:
                axes.vlines(x, *one.span, colors=colour, alpha=0.6, linewidth=2)
            marker, line = _MARKERS[index % len(_MARKERS)], "-" if is_joined else "none"
            axes.plot(x, y, linestyle=line, marker=marker, color=colour, zorder=3)
        for letter in log:
            _make_logarithmic(axes, letter, [point["xy".index(letter)] for one in series for point in one.points])
        if "y" not in log:
            axes.set_ylim(bottom=0)
        if x_names:
            axes.set_xticks(range(len(x_names)), labels=x_names)
        labels = [_shorten(one.label) for one in series]
        figure.legend(list(axes.lines), labels, loc="outside lower center", ncols=2, frameon=False)
        for artist in figure.findobj():
            artist.set_clip_on(False)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    return Plot(name=name, caption=caption, svg=_finish(buffer.getvalue(), title))


def _make_logarithmic(axes: Any, letter: str, values: Sequence[float]) -> None:
    ticker = import_extra("matplotlib.ticker", extra="report", purpose="a plot")
    axis = getattr(axes, f"{letter}axis")
    getattr(axes, f"set_{letter}scale")("log")
    is_short = max(values) <= 100 * min(values)  # more decades have no room for labels between them
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if is_short else (1,)))
    axis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def _shorten(label: str) -> str:
    short = label if len(label) <= _MAX_LABEL else label[: _MAX_LABEL - 1] + "…"
    return f" {short}" if short.startswith("_") else short  # matplotlib leaves labels with an underscore out


def _finish(svg: str, title: str) -> str:
    """The drawing with the page's colour of text and a description, without what only matplotlib needs."""
    svg = re.sub(r' id="[\w.]+_\d+"', "", svg).replace(_INK, "currentColor")
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    svg = svg.replace("<svg ", f'<svg class="plot" role="img" aria-label="{escape(title)}" ', 1)
    start = svg.index(">", svg.index("<svg")) + 1
    return svg[:start] + _PAGE_COLOURS + svg[start:]
