"""Drawings of what happens inside the network, as in the paper's Figures 2 and 5: arrays in, a picture out.

Legend: pictures are (height, width, 3) uint8. Maps are (h, w) of any size; they cover the padded photo, and `covered` =
(rows, columns) is the share of them, from the upper left, that is photo, in (0, 1].
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mask2alpha.evaluation.inspection import Inspection, summarise
from mask2alpha.shapes import Size

Picture: TypeAlias = NDArray[np.uint8]
Covered: TypeAlias = tuple[float, float]
Panel: TypeAlias = tuple[Picture, str]
"""A picture and its caption."""

PANEL_SIDE = 300
"""Default for the longest side of a panel, in pixels."""
MAX_WIDTH = 1800
"""Width that a figure of many panels tries to keep, in pixels."""
MIN_PANEL_SIDE = 150
MAX_STEPS_DRAWN = 8
"""Largest number of steps that are drawn; of more steps, evenly chosen ones with the first and the last."""
FONT_SIZE = 15
GAP = 8
"""Pixels between panels and around them."""
_SMALLEST_REACH = 0.07
"""Attention that differs by less than 2 to this, 5 per cent, is not spread over all colours."""

_PAPER, _INK = (255, 255, 255), (35, 35, 40)
_COARSE, _FINE = (48, 54, 78), (245, 178, 66)
_SGSDR, _SHM = (255, 176, 32), (70, 190, 255)
_REGIONS = ((52, 96, 190), (245, 200, 60), (214, 62, 62))
"""Background, edge, foreground, in the order of `Region`."""
_HEAT = np.array(
    [(4, 4, 20), (60, 15, 105), (135, 33, 107), (209, 66, 65), (248, 136, 22), (250, 210, 70), (252, 255, 200)]
)
_COOL_WARM = np.array([(35, 70, 200), (130, 170, 245), (245, 245, 245), (245, 150, 120), (190, 20, 40)])


def draw_steps(photo: Picture, mask: NDArray[Any], inspection: Inspection, *, side: int = PANEL_SIDE) -> Picture:
    """Figure 2: for each step the matte that it reads, the states, and its alpha, from left to right.

    Args:
        photo: The photo.
        mask: The guidance mask at the photo's size, True or 1 where the target is.
        inspection: The run.
        side: Longest side of a panel; smaller where there are many steps.
    """
    chosen = choose_steps(len(inspection.steps))
    side = min(side, max(MIN_PANEL_SIDE, MAX_WIDTH // (len(chosen) + 1)))
    size = panel_size(photo.shape[:2], side)
    rows = [
        [(reduce_photo(photo, size), "photo")],
        [(grey(mask, size), "mask")],
        [(grey(inspection.alpha, size), "alpha, after the detail stage")],
    ]
    for index in chosen:
        for row, panel in zip(rows, _step_panels(inspection, index, size), strict=True):
            row.append(panel)
    return tile(rows)


def animate_steps(
    photo: Picture, mask: NDArray[Any], inspection: Inspection, *, side: int = PANEL_SIDE
) -> list[Picture]:
    """Figure 2 as frames of one size: one a step, and the final alpha; arguments as for `draw_steps`."""
    size = panel_size(photo.shape[:2], side)
    steps = inspection.steps
    first = (overlay(photo, mask, size, colour=_REGIONS[2], opacity=0.5), "photo and mask")
    last = (
        (grey(steps[-1].alpha, size, inspection.covered), "after the last step, stride 4"),
        (two_colours(np.ones_like(steps[-1].is_fine), size), "100 % fine"),
        (grey(inspection.alpha, size), "alpha, after the detail stage"),
    )
    rows = [*(_step_panels(inspection, index, size) for index in range(len(steps))), last]
    frames = [tile([[first, *row]]) for row in rows]
    height = max(frame.shape[0] for frame in frames)
    return [
        np.pad(frame, ((0, height - frame.shape[0]), (0, 0), (0, 0)), constant_values=_PAPER[0]) for frame in frames
    ]


def draw_detail(photo: Picture, inspection: Inspection, *, side: int = PANEL_SIDE) -> Picture:
    """Figure 5: the active pixels of SGSDR beside those of SHM, whole and enlarged where the errors are largest."""
    error, sgsdr, shm = inspection.predicted_error, inspection.active_sgsdr, inspection.active_shm
    top, tau = max(float(np.quantile(error, 0.999)), 1e-6), inspection.error_threshold
    captions = (
        "photo",
        f"SGSDR: {100 * sgsdr.mean():.1f} % of the pixels active (predicted error above {tau:g})",
        f"SHM: {100 * shm.mean():.1f} % of the pixels active (band around soft alpha)",
        f"predicted error: black 0, white {top:.2g}",
        "alpha",
    )
    rows = []
    for name, part in (("", (slice(None), slice(None))), ("enlarged", busiest_window(error))):
        size = panel_size(photo[part].shape[:2], side)
        pictures = (
            reduce_photo(photo[part], size),
            overlay(photo[part], sgsdr[part], size, colour=_SGSDR, dim=0.45),
            overlay(photo[part], shm[part], size, colour=_SHM, dim=0.45),
            heat(resample(error[part], size) / top),
            grey(inspection.alpha[part], size),
        )
        rows.append(list(zip(pictures, [name] * len(captions) if name else captions, strict=True)))
    return tile(rows)


def draw_guidance(photo: Picture, mask: NDArray[Any], inspection: Inspection, *, side: int = PANEL_SIDE) -> Picture:
    """The regions of MGFSM, and the attention that each token receives with the module off and on, and its change.

    Attention is drawn in powers of 2 of the average token's. Arguments as for `draw_steps`.
    """
    size, covered = panel_size(photo.shape[:2], side), inspection.covered
    received = (inspection.attention_on, inspection.attention_off)
    on, off = (np.log2(np.maximum(values * values.size, 1e-6)) for values in received)
    reach = max(float(np.quantile(np.abs([on, off]), 0.99)), _SMALLEST_REACH)
    reach_of_change = max(float(np.abs(on - off).max()), _SMALLEST_REACH)
    regions = np.array(_REGIONS, dtype=np.float32)[_nearest(inspection.regions, size, covered)]
    pictures = (
        overlay(photo, mask, size, colour=_REGIONS[2], opacity=0.5),
        _blend(_dimmed(photo, size, 0.9), regions, 0.55),
        *(
            _blend(
                _dimmed(photo, size, 1.0), _colour_scale(_COOL_WARM, 0.5 + 0.5 * resample(v, size, covered) / r), 0.7
            )
            for v, r in ((off, reach), (on, reach), (on - off, reach_of_change))
        ),
    )
    most, most_changed = 2**reach, 2**reach_of_change
    summary = summarise(inspection)
    shares = {
        key: ", ".join(f"{name} {100 * share:.1f} %" for name, share in summary[key].items())
        for key in ("attention_off", "attention_on")
    }
    captions = (
        "photo and mask",
        "regions: blue background, yellow edge, red foreground",
        f"attention received, guidance off: blue 1/{most:.2f}, white 1, red {most:.2f} x the average. "
        + shares["attention_off"],
        f"attention received, guidance on: same colours. {shares['attention_on']}",
        f"on over off: blue 1/{most_changed:.2f}, white 1, red {most_changed:.2f}",
    )
    return tile([list(zip(pictures, captions, strict=True))])


def choose_steps(count: int, limit: int = MAX_STEPS_DRAWN) -> list[int]:
    """The indices of at most `limit` of `count` steps, evenly chosen, the first and the last among them."""
    if count <= limit:
        return list(range(count))
    return [round(index * (count - 1) / (limit - 1)) for index in range(limit)]


def panel_size(size: Size, side: int) -> Size:
    """(height, width) with the shape of `size` and a longest side of `side`; no side is below 1."""
    factor = side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def busiest_window(values: NDArray[Any], *, share: float = 0.25, smallest: int = 48) -> tuple[slice, slice]:
    """The window, a quarter of the sides, over which `values` (H, W) have the largest sum: its rows and columns."""
    rows, columns = (min(side, max(smallest, round(side * share))) for side in values.shape)
    inside = window_sums(values, (rows, columns))
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return slice(int(top), int(top) + rows), slice(int(left), int(left) + columns)


def window_sums(values: NDArray[Any], size: Size) -> NDArray[np.float64]:
    """The sum of `values` (H, W) over each window of `size`, by its upper left corner."""
    rows, columns = size
    sums = np.pad(values.astype(np.float64), ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return np.asarray(sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns])


def resample(values: NDArray[Any], size: Size, covered: Covered = (1.0, 1.0)) -> NDArray[np.float32]:
    """The covered part of a map at (height, width): averaged where it shrinks, repeated where it grows."""
    height, width = values.shape
    picture = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
    box = (0.0, 0.0, width * covered[1], height * covered[0])
    return np.array(picture.resize((size[1], size[0]), Image.Resampling.BOX, box=box), dtype=np.float32)


def reduce_photo(photo: Picture, size: Size) -> Picture:
    """The photo at (height, width)."""
    return np.array(Image.fromarray(np.ascontiguousarray(photo)).resize((size[1], size[0]), Image.Resampling.LANCZOS))


def grey(values: NDArray[Any], size: Size, covered: Covered = (1.0, 1.0)) -> Picture:
    """A map with values in [0, 1] as grey."""
    return np.repeat(_to_bytes(255 * resample(values, size, covered))[..., None], 3, axis=2)


def two_colours(is_fine: NDArray[np.bool_], size: Size, covered: Covered = (1.0, 1.0)) -> Picture:
    """The states: coarse dark blue, fine amber."""
    share = resample(is_fine, size, covered)[..., None]
    return _to_bytes((1 - share) * np.array(_COARSE) + share * np.array(_FINE))


def overlay(
    photo: Picture,
    marked: NDArray[Any],
    size: Size,
    *,
    colour: tuple[int, int, int],
    opacity: float = 1.0,
    dim: float | None = None,
) -> Picture:
    """The photo with `marked` pixels in a colour; `dim`: over its grey version, so much darkened."""
    base = reduce_photo(photo, size) if dim is None else _dimmed(photo, size, dim)
    return _blend(base, np.array(colour, dtype=np.float32), opacity * resample(marked, size)[..., None])


def heat(values: NDArray[np.float32]) -> Picture:
    """Values in [0, 1] from black over red to nearly white; larger ones are cut."""
    return _colour_scale(_HEAT, values)


def tile(rows: Sequence[Sequence[Panel]]) -> Picture:
    """Panels in rows and columns, each centred over its caption, which is wrapped to the column's width.

    Rows have the same number of panels; columns are at least `MIN_PANEL_SIDE` wide, so that captions stay readable.
    """
    font = ImageFont.load_default(FONT_SIZE)
    widths = [max(MIN_PANEL_SIDE, *(picture.shape[1] for picture, _ in column)) for column in zip(*rows, strict=True)]
    line = round(FONT_SIZE * 1.25)
    captions = [[_wrap(text, font, width) for (_, text), width in zip(row, widths, strict=True)] for row in rows]
    pictures = [max(picture.shape[0] for picture, _ in row) for row in rows]
    texts = [max(len(lines) for lines in row) * line for row in captions]
    height = GAP + sum(pictures) + sum(texts) + 2 * GAP * len(rows)
    canvas = Image.new("RGB", (GAP + sum(width + GAP for width in widths), height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    top = GAP
    for row, lines_of_row, picture_height, text_height in zip(rows, captions, pictures, texts, strict=True):
        left = GAP
        for (picture, _), lines, width in zip(row, lines_of_row, widths, strict=True):
            indent = (width - picture.shape[1]) // 2
            canvas.paste(Image.fromarray(picture), (left + indent, top))
            for number, text in enumerate(lines):
                draw.text((left, top + picture_height + GAP // 2 + number * line), text, fill=_INK, font=font)
            left += width + GAP
        top += picture_height + text_height + 2 * GAP
    return np.array(canvas)


def _step_panels(inspection: Inspection, index: int, size: Size) -> tuple[Panel, Panel, Panel]:
    step, covered = inspection.steps[index], inspection.covered
    share = 100 * float(step.is_fine.mean())
    return (
        (grey(step.mixed_matte, size, covered), f"step {index + 1} of {len(inspection.steps)} reads"),
        (two_colours(step.is_fine, size, covered), f"states: {share:.0f} % fine"),
        (grey(step.alpha, size, covered), f"alpha of step {index + 1}"),
    )


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _nearest(values: NDArray[np.int64], size: Size, covered: Covered) -> NDArray[np.int64]:
    """Labels of the covered part of a map at (height, width)."""
    rows, columns = (
        np.minimum((np.arange(side) + 0.5) / side * length * share, length - 1).astype(np.int64)
        for side, length, share in zip(size, values.shape, covered, strict=True)
    )
    chosen: NDArray[np.int64] = values[rows][:, columns]
    return chosen


def _dimmed(photo: Picture, size: Size, factor: float) -> Picture:
    brightness = reduce_photo(photo, size).mean(axis=2, keepdims=True) * factor
    return np.repeat(_to_bytes(brightness), 3, axis=2)


def _blend(base: Picture, above: NDArray[Any], opacity: Any) -> Picture:
    return _to_bytes(base * (1 - opacity) + above * opacity)


def _colour_scale(anchors: NDArray[np.int64], values: NDArray[np.float32]) -> Picture:
    places = np.linspace(0, 1, len(anchors))
    channels = [np.interp(values, places, anchors[:, channel]) for channel in range(3)]
    return _to_bytes(np.stack(channels, axis=-1))


def _to_bytes(values: NDArray[Any]) -> Picture:
    rounded: Picture = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return rounded
