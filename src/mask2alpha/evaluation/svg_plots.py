"""Plots as SVG text: a few series of points on linear or logarithmic axes, nothing more.

Colours are CSS variables (`--ink`, `--soft`, `--s0` to `--s7`), so a page decides on them; `standalone` adds light and
dark ones for a file of its own. Series differ in colour and in the shape of their marks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460.0, 330.0
NUM_COLOURS = 8
COLOURS_LIGHT = ("#0064b0", "#c8500a", "#00795c", "#a8457e", "#7a6000", "#3d8fc4", "#5b5b5b", "#7a3fb3")
COLOURS_DARK = ("#6cb2f0", "#ff9a57", "#43cfa6", "#ee9ac9", "#e6cf52", "#a5dcff", "#bdbdbd", "#c9a2f5")
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 14.0, 12.0, 46.0
_LEGEND_ROW, _LEGEND_COLUMNS = 19, 2
_MAX_LABEL = 27


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points of one method."""

    label: str
    """Its name in the legend."""
    points: tuple[tuple[float, float], ...]
    """(x, y)."""
    spans: tuple[tuple[float, float], ...] = ()
    """(low, high) of y for each point, drawn as a vertical line; empty for none."""
    is_joined: bool = False
    """Draw a line through the points, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """How one coordinate is drawn."""

    title: str
    """With its unit."""
    is_log: bool = False
    """Logarithmic; values must be above zero."""
    names: tuple[str, ...] = ()
    """Names for the values 0, 1, 2 … instead of numbers."""


def colour_variables(colours: Sequence[str]) -> str:
    """CSS that sets `--s0`, `--s1` …."""
    return "".join(f"--s{index}:{colour};" for index, colour in enumerate(colours))


def mark(index: int, x: float, y: float, size: float = 5) -> str:
    """The mark of series number `index`: eight colours, and shapes that change with each series."""
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>',
        f'<rect x="{x - size * 0.9:.1f}" y="{y - size * 0.9:.1f}" width="{size * 1.8:.1f}" height="{size * 1.8:.1f}"/>',
        f'<path d="M{x:.1f} {y - size * 1.2:.1f}l{size * 1.15:.1f} {size * 2:.1f}h{-size * 2.3:.1f}z"/>',
        f'<path d="M{x:.1f} {y - size * 1.3:.1f}l{size * 1.3:.1f} {size * 1.3:.1f}l{-size * 1.3:.1f} {size * 1.3:.1f}'
        f'l{-size * 1.3:.1f} {-size * 1.3:.1f}z"/>',
        f'<path d="M{x:.1f} {y + size * 1.2:.1f}l{size * 1.15:.1f} {-size * 2:.1f}h{-size * 2.3:.1f}z"/>',
    )
    return f'<g fill="var(--s{index % NUM_COLOURS})">{shapes[index % len(shapes)]}</g>'


def plot(series: Sequence[Series], x_axis: Axis, y_axis: Axis, *, title: str) -> str:
    """An `<svg>` element with axes, points and a legend below.

    Args:
        series: At least one, with at least one point between them.
        x_axis: The horizontal axis.
        y_axis: The vertical axis; it begins at zero unless logarithmic.
        title: For readers that cannot see it.
    """
    points = [point for one in series for point in one.points]
    assert points, "a plot needs points"
    tops = [high for one in series for _, high in one.spans]
    x_scale = _Scale.make([x for x, _ in points], x_axis, _LEFT, WIDTH - _RIGHT)
    y_scale = _Scale.make([y for _, y in points] + tops, y_axis, HEIGHT - _BOTTOM, _TOP)
    rows = -(-len(series) // _LEGEND_COLUMNS)
    height = HEIGHT + rows * _LEGEND_ROW + 4
    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui, sans-serif" font-size="12.5">',
        *_draw_axes(x_scale, y_scale, x_axis, y_axis),
    ]
    for index, one in enumerate(series):
        parts += _draw_series(index, one, x_scale, y_scale)
    for index, one in enumerate(series):
        x = 14 + (index % _LEGEND_COLUMNS) * (WIDTH - 14) / _LEGEND_COLUMNS
        y = HEIGHT + 10 + (index // _LEGEND_COLUMNS) * _LEGEND_ROW
        label = one.label if len(one.label) <= _MAX_LABEL else one.label[: _MAX_LABEL - 1] + "…"
        parts.append(
            f'{mark(index, x, y - 4)}<text x="{x + 11:.1f}" y="{y:.1f}" fill="var(--ink)">{escape(label)}</text>'
        )
    return "".join([*parts, "</svg>"])


def standalone(svg: str) -> str:
    """A `<svg>` of `plot` as the text of a file, with its own colours for light and dark pages."""
    light = f"--ink:#222;--soft:#d5d5d5;{colour_variables(COLOURS_LIGHT)}"
    dark = f"--ink:#e6e6e6;--soft:#444;{colour_variables(COLOURS_DARK)}"
    style = f"<style>svg{{{light}}}@media (prefers-color-scheme: dark){{svg{{{dark}}}}}</style>"
    head, bracket, body = svg.partition(">")
    return head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1) + bracket + style + body + "\n"


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    is_log: bool
    ticks: tuple[float, ...]

    @classmethod
    def make(cls, values: Sequence[float], axis: Axis, start: float, end: float) -> "_Scale":
        if axis.names:
            ticks = tuple(float(index) for index in range(len(axis.names)))
            return cls(-0.5, len(axis.names) - 0.5, start, end, False, ticks)
        if axis.is_log:
            ticks = _log_ticks(min(values), max(values))
            return cls(math.log10(ticks[0]), math.log10(ticks[-1]), start, end, True, ticks)
        top = max(values) or 1.0
        step = _nice_step(top)
        count = max(1, math.ceil(top / step - 1e-9))
        return cls(0.0, count * step, start, end, False, tuple(step * index for index in range(count + 1)))

    def __call__(self, value: float) -> float:
        position = math.log10(value) if self.is_log else value
        return self.start + (position - self.low) / (self.high - self.low) * (self.end - self.start)


def _log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten around [low, high], with 2 and 5 times them where that spans at most two decades."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    steps = (1, 2, 5) if math.log10(high / low) <= 2 else (1,)
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    below = [tick for tick in ticks if tick <= low * (1 + 1e-9)]
    above = [tick for tick in ticks if tick >= high * (1 - 1e-9)]
    chosen = tuple(tick for tick in ticks if below[-1] <= tick <= above[0])
    return chosen if len(chosen) > 1 else (chosen[0], chosen[0] * 10)


def _nice_step(top: float) -> float:
    power = 10.0 ** math.floor(math.log10(top / 4))
    return next((power * factor for factor in (1, 2, 5) if power * factor * 5 >= top), power * 10)


def _draw_axes(x_scale: _Scale, y_scale: _Scale, x_axis: Axis, y_axis: Axis) -> list[str]:
    bottom = HEIGHT - _BOTTOM
    parts = ['<g stroke="var(--soft)" stroke-width="1" shape-rendering="crispEdges">']
    parts += [f'<path d="M{_LEFT} {y_scale(tick):.1f}H{WIDTH - _RIGHT}"/>' for tick in y_scale.ticks]
    parts += [f'<path d="M{x_scale(tick):.1f} {bottom}V{_TOP}"/>' for tick in x_scale.ticks]
    parts.append('</g><g fill="var(--ink)">')
    for index, tick in enumerate(x_scale.ticks):
        name = x_axis.names[index] if x_axis.names else _format_tick(tick)
        parts.append(f'<text x="{x_scale(tick):.1f}" y="{bottom + 17}" text-anchor="middle">{escape(name)}</text>')
    for tick in y_scale.ticks:
        parts.append(f'<text x="{_LEFT - 7}" y="{y_scale(tick) + 4:.1f}" text-anchor="end">{_format_tick(tick)}</text>')
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<text x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{bottom + 36}" text-anchor="middle">{escape(x_axis.title)}</text>'
        f'<text x="13" y="{middle}" text-anchor="middle" transform="rotate(-90 13 {middle})">'
        f"{escape(y_axis.title)}</text>"
        "</g>"
    )
    return parts


def _draw_series(index: int, series: Series, x_scale: _Scale, y_scale: _Scale) -> list[str]:
    places = [(x_scale(x), y_scale(y)) for x, y in series.points]
    stroke = f'stroke="var(--s{index % NUM_COLOURS})" fill="none"'
    parts = [f"<g><title>{escape(series.label)}</title>"]
    if series.is_joined and len(places) > 1:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{path}" {stroke} stroke-width="1.5" opacity="0.7"/>')
    for (x, _), (low, high) in zip(places, series.spans, strict=bool(series.spans)):
        parts.append(
            f'<path d="M{x:.1f} {y_scale(low):.1f}V{y_scale(high):.1f}" {stroke} stroke-width="2" opacity="0.6"/>'
        )
    parts += [mark(index, x, y) for x, y in places]
    return [*parts, "</g>"]


def _format_tick(value: float) -> str:
    return f"{value:.10f}".rstrip("0").rstrip(".") if abs(value) < 1 else f"{value:,.10g}".replace(",", " ")
