"""What the values of a mask mean: one function, `understand`, for arrays, files, video frames and uploads.

What is certain is taken. What is ambiguous is refused, with what was found and the choices there are (`MaskChoice`).
What was guessed is said in a note, which the caller hands on as a warning. NumPy only; nothing here opens a file.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import InputError

Fit: TypeAlias = Literal["aspect", "stretch"]
"""How a mask of another size comes to the photo's size: `aspect` scales it only if its aspect is the photo's."""

OVERSHOOT = 0.5
"""Floats this far below 0 or above 1 are clamped: rounding and resampling with negative lobes leave [0, 1] a little."""
_NOISE_TOP = 4
"""Values up to this, of 255, are black in a file whose compression is lossy."""
_GREY_SPREAD = {False: 2, True: 16}
"""Lossy or not: how far the channels of a grey picture may differ, of 255."""
_COLOUR_SPREAD = 48
"""How far, per channel of 255, lossy compression may move a colour."""
NEAR_HALF = 0.04
"""Share of white by which twice a trimap's third value may differ from it."""
_NEARLY_WHITE = 0.9
_MOST_LABELS = 64
_FILL = {1: 0.05, 2: 0.2}
_MANY_FILL = 0.5
"""Values between black and white are labels if a greater share of them fills regions: by their number, and for more."""
_SHOWN = 8
_CHANNEL_NAMES = {
    "grey": "grey", "gray": "grey", "luminance": "grey", "y": "grey", "alpha": "alpha", "a": "alpha", "red": "red",
    "r": "red", "green": "green", "g": "green", "blue": "blue", "b": "blue",
}  # fmt: skip
_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskChoice:
    """What a user says about a mask that its values do not say."""

    label: str | None = None
    """The target's value, palette index or colour (`#rrggbb`) in a map of labels."""
    channel: str | None = None
    """The channel that is the mask: grey, alpha, red, green, blue, or the name of a channel or layer of the file. Its
    values count as they are: they are never taken for labels."""
    is_inverted: bool = False
    """Whether the mask marks what is not the target."""
    fit: Fit = "aspect"

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise InputError(f"fit must be one of {', '.join(get_args(Fit))}; got {self.fit!r}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mask:
    """A mask whose values are understood."""

    values: NDArray[Any]
    """(H, W); bool, uint8 of which 255 is the target, or float32 in [0, 1]."""
    is_soft: bool = False
    """Whether grey is a share, such as the mean of several masks, and never the grey of a trimap."""

    def as_bytes(self) -> NDArray[np.uint8]:
        """The same as uint8, 0 to 255."""
        if self.values.dtype == np.uint8:
            return self.values
        if self.values.dtype == np.bool_:
            return np.where(self.values, np.uint8(255), np.uint8(0))
        return np.asarray(np.rint(self.values * np.float32(255)), dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DrawnMask:
    """A mask as a file or an array stores it, before its values are understood."""

    values: NDArray[Any]
    """(H, W), or (H, W, 3) in colours. Bool, whole numbers or floats; indices where there is a palette."""
    top: int | None = None
    """The whole number that is white in the file, such as 255, 65535 or 15; None: the values' type does not tell."""
    alpha: NDArray[Any] | None = None
    """(H, W), of the same kind as `values`; with a palette, uint8."""
    palette: NDArray[np.uint8] | None = None
    """(N, 3)."""
    is_lossy: bool = False
    """Whether compression has changed the values."""
    channels: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Further channels of the file by their names, (H, W)."""


def understand(
    drawn: DrawnMask, choice: MaskChoice | None = None, *, name: str = "mask", advice: str = ""
) -> tuple[Mask, list[str]]:
    """Say which pixels a mask marks.

    Args:
        drawn: The mask's values, and what its file says of them.
        choice: What the user says of them.
        name: What messages call the mask.
        advice: What messages advise; empty: the options of `MaskChoice` or, without a choice, other arrays.

    Returns:
        The mask, and notes on what was guessed or may surprise.

    Raises:
        InputError: The values are ambiguous, or a choice does not fit them.
    """
    try:
        return _understand(drawn, choice or MaskChoice(), name)
    except _AmbiguousError as error:
        by_array = (
            f"pass one mask per label, for example {name} == {error.label}, or floats, which are taken as they are"
        )
        raise InputError(f"{name} {error.found}; {advice or (by_array if choice is None else error.advice)}") from None


def find_labels(drawn: DrawnMask) -> list[str]:
    """The labels of a map of labels but for 0 and black, the background: texts for `MaskChoice.label`.

    Raises:
        InputError: There are more labels than a map of objects has.
    """
    if drawn.palette is not None:
        labels = [str(index) for index in _used(drawn.values) if index]
    elif drawn.values.ndim == 2 or (drawn.values == drawn.values[..., :1]).all():
        values = np.unique(drawn.values if drawn.values.ndim == 2 else drawn.values[..., 0])
        labels = [f"{float(value):g}" for value in values if value]
    else:
        labels = [f"#{colour:06x}" for colour in np.unique(_packed(drawn)) if colour]
    if len(labels) > _MOST_LABELS:
        raise InputError(f"{len(labels)} values are more than the {_MOST_LABELS} labels that a map of objects may have")
    return labels


class _AmbiguousError(Exception):
    """The values may mean several things."""

    def __init__(self, found: str, *, advice: str, label: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.advice = advice
        """For whoever can make a `MaskChoice`."""
        self.label = label


def _understand(drawn: DrawnMask, choice: MaskChoice, name: str) -> tuple[Mask, list[str]]:
    notes: list[str] = []
    if choice.channel is not None:
        values, top = _channel(drawn, choice.channel, name)
        is_chosen = True
    elif _has_alpha_for_mask(drawn, choice):
        assert drawn.alpha is not None
        values, top, is_chosen = drawn.alpha, 255 if drawn.palette is not None else drawn.top, True
    elif drawn.palette is not None or drawn.values.ndim == 3:
        grey = _as_grey(drawn)
        if choice.label is not None and (drawn.palette is not None or grey is None):
            return _finished(_label_of_colours(drawn, choice.label, name), choice), notes
        if grey is None:
            raise _ambiguous_colours(drawn)
        values, top, is_chosen = grey, 255 if drawn.palette is not None else drawn.top, False
    else:
        values, top, is_chosen = drawn.values, drawn.top, False
    if choice.label is not None:
        return _finished(_label_of_values(values, choice.label, name), choice), notes
    if values.dtype == np.bool_:
        return _finished(values, choice), notes
    if np.issubdtype(values.dtype, np.floating):
        return _finished(_unit_floats(values, name, notes), choice), notes
    if not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"{name} is of type {values.dtype}; accepted: bool, whole numbers or floats")
    return _finished(_whole(values, top, name, notes, is_chosen=is_chosen, is_lossy=drawn.is_lossy), choice), notes


def _finished(values: NDArray[Any], choice: MaskChoice) -> Mask:
    if choice.is_inverted:
        return Mask(values=~values if values.dtype == np.bool_ else (255 if values.dtype == np.uint8 else 1) - values)
    return Mask(values=values)


def _whole(
    values: NDArray[Any], top: int | None, name: str, notes: list[str], *, is_chosen: bool, is_lossy: bool
) -> NDArray[Any]:
    """Whole numbers as bool, uint8 or float32.

    Args:
        values: (H, W).
        top: White, where it is known.
        name: What messages call the mask.
        notes: Warnings are added to it.
        is_chosen: The values are brightness for certain: the user named the channel, or it is an alpha channel.
        is_lossy: Compression has changed the values.
    """
    low, high = int(values.min()), int(values.max())
    if is_lossy and high <= _NOISE_TOP * (top or 255) // 255:
        return np.zeros(values.shape, dtype=np.bool_)
    if low >= 0 and high <= 1:
        return values.view(np.bool_) if values.dtype == np.uint8 else values.astype(np.bool_)
    if top is not None and (top < 255 or is_chosen):
        white: int | None = top
    else:
        white = next((each for each in (255, 65535) if high <= each), None)
    if low < 0 or white is None or (white == 65535 and values.dtype != np.uint16):
        raise InputError(f"{name} has whole values from {low} to {high}; accepted: 0/1, 0/255, or 0/65535 in uint16")
    if values.dtype == np.uint8 and high == white == 255 and not (values + np.uint8(1) > 1).any():
        return values  # black and white, as most masks are
    counts = _histogram(values, high + 1)
    there = np.flatnonzero(counts)
    if top == 65535 and white == 255 and not is_chosen:
        if not set(there.tolist()) <= {0, 127, 128, 129, 255} or high < 255:
            raise _ambiguous_labels(counts, "in 16 bits")
        notes.append(f"{name} has 16 bits but no value above 255; 255 was taken for the target")
    is_lone = len(there) == 1 and low >= _NEARLY_WHITE * white
    is_pair = len(there) == 2 and (
        (low <= (1 - _NEARLY_WHITE) * white and high >= _NEARLY_WHITE * white) or (is_chosen and low == 0)
    )
    if (is_lone or is_pair) and (low, high) != (0, white) and low != white:
        notes.append(f"{name} has only the values {' and '.join(map(str, there))}; {high} was taken for the target")
        return np.asarray(values == high)
    if not is_chosen:
        _refuse_labels(values, counts, white)
    elif high < _NEARLY_WHITE * white:
        notes.append(f"the highest value of {name} is {high} of {white}, so nothing is wholly the target")
    _note_photograph(counts, white, name, notes)
    if white == 255:
        return values.astype(np.uint8, copy=False)
    scaled = values.astype(np.float32) / np.float32(white)
    return np.asarray(np.rint(scaled * 255), dtype=np.uint8) if white < 255 else scaled


def _refuse_labels(values: NDArray[Any], counts: NDArray[np.int64], white: int) -> None:
    """Refuse whole numbers that may be labels.

    Raises:
        _AmbiguousError: No value is as much as half of white; or there are one or two values, none of them nearly
            white; or few values that are neither nearly white nor a trimap's fill whole regions.
    """
    there = np.flatnonzero(counts)
    high = int(there[-1])
    inner = there[(there > 0) & (there < white)]
    is_half = np.abs(2 * inner - white) <= max(1, NEAR_HALF * white)
    if white < 255 and is_half.sum() > 1:  # of few shades there is one in the middle
        is_half[:] = False
    if len(inner) == 0 or (is_half.all() and len(inner) == len(there)):  # of a trimap, all of it unknown
        return
    if high < white // 2 or (len(there) <= 2 and high < _NEARLY_WHITE * white):
        raise _ambiguous_labels(counts, f"none of them near white ({white})")
    inner = inner[~is_half & (inner < _NEARLY_WHITE * white)]
    if 0 < len(inner) <= _MOST_LABELS:
        is_inner = np.isin(values, inner)
        if _share_of_regions(values, is_inner) > _FILL.get(len(inner), _MANY_FILL):
            raise _ambiguous_labels(counts, "each of which fills a region")


def _share_of_regions(values: NDArray[Any], is_inner: NDArray[np.bool_]) -> float:
    """How many of the marked pixels are the corner of a square of one value."""
    side = max(1, min(values.shape) // 128)
    if min(values.shape) <= side:
        return 0.0
    here = values[:-side, :-side]
    is_flat = is_inner[:-side, :-side].copy()
    for other in (values[side:, :-side], values[:-side, side:], values[side:, side:]):
        is_flat &= here == other
    return float(is_flat.sum()) / float(is_inner.sum())


def _note_photograph(counts: NDArray[np.int64], white: int, name: str, notes: list[str]) -> None:
    """Add a note if most pixels are neither black nor white and have many shades, unlike a mask."""
    shades = counts[int(0.1 * white) + 1 : int(0.9 * white)]
    if shades.sum() > 0.5 * counts.sum() and np.count_nonzero(shades) >= 64:
        notes.append(
            f"{name} looks like a photograph: {shades.sum() / counts.sum():.0%} of it is neither dark nor bright"
        )


def _unit_floats(values: NDArray[Any], name: str, notes: list[str]) -> NDArray[np.float32]:
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise InputError(f"{name} has values that are not finite (NaN or infinity)")
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        if low >= 0 and high < 127 and bool((values == np.rint(values)).all()):
            counts = _histogram(values.astype(np.int64), int(high) + 1)
            raise _ambiguous_labels(counts, "as floats")
        top = next((top for top in (255, 65535) if high <= top and low >= 0), None)
        advice = f"; divide it by {top}" if top and high >= top / 2 else ""
        raise InputError(f"{name} has values from {low:g} to {high:g}; a float mask is in [0, 1]{advice}")
    values = values.astype(np.float32, copy=False)
    values = values if low >= 0 and high <= 1 else np.clip(values, 0, 1)
    step = max(1, math.isqrt(values.size // 2**18))
    _note_photograph(_histogram((values[::step, ::step] * 255).astype(np.uint8), 256), 255, name, notes)
    return values


def _histogram(values: NDArray[Any], length: int) -> NDArray[np.int64]:
    """How often each of 0 to `length` - 1 occurs; some rows at a time, because `bincount` wants 8 bytes a pixel."""
    counts = np.zeros(length, dtype=np.int64)
    step = max(1, 2**20 // max(1, values.shape[1]))
    for start in range(0, values.shape[0], step):
        counts += np.bincount(values[start : start + step].reshape(-1), minlength=length)
    return counts


def _channel(drawn: DrawnMask, channel: str, name: str) -> tuple[NDArray[Any], int | None]:
    """The values of a channel, and what is white in it."""
    if channel in drawn.channels:
        return drawn.channels[channel], None
    layer = [each for each in drawn.channels if each.rpartition(".")[0] == channel]
    wanted = [f"{channel}.{letter}" for letter in "AY" if f"{channel}.{letter}" in layer] or layer
    if len(layer) == 1 or (wanted and wanted != layer):
        return drawn.channels[wanted[0]], None
    is_colour = drawn.palette is not None or drawn.values.ndim == 3
    known = ["grey", *(["red", "green", "blue"] if is_colour else []), *(["alpha"] if drawn.alpha is not None else [])]
    kind = _CHANNEL_NAMES.get(channel.lower())
    if kind not in known or drawn.values.size == 0:
        names = [*(known if drawn.values.size else []), *drawn.channels]
        raise InputError(f"{name} has no channel {channel!r}; it has {', '.join(names)}")
    if kind == "alpha":
        assert drawn.alpha is not None
        return drawn.alpha, 255 if drawn.palette is not None else drawn.top
    colours = drawn.values if drawn.palette is None else drawn.palette[drawn.values]
    top = drawn.top if drawn.palette is None else 255
    if not is_colour:
        return colours, top
    if kind == "grey":
        grey = _as_grey(drawn)
        return (_luminance(colours) if grey is None else grey), top
    return np.ascontiguousarray(colours[..., ("red", "green", "blue").index(kind)]), top


def _luminance(colours: NDArray[Any]) -> NDArray[Any]:
    grey = colours @ _WEIGHTS
    return grey if colours.dtype.kind == "f" else np.asarray(np.rint(grey), dtype=colours.dtype)


def _as_grey(drawn: DrawnMask) -> NDArray[Any] | None:
    """The values of a picture whose channels agree; None for a picture in colours."""
    if drawn.palette is not None:
        used = drawn.palette[_used(drawn.values)]
        if (used != used[:, :1]).any():
            return None
        return np.asarray(drawn.palette[:, 0][drawn.values])
    colours = drawn.values
    if (colours == colours[..., :1]).all():
        return np.ascontiguousarray(colours[..., 0])
    if colours.dtype == np.bool_:
        return None
    spread = float((colours.max(axis=2) - colours.min(axis=2)).max())
    top = 1 if colours.dtype.kind == "f" else np.iinfo(colours.dtype).max
    is_bright = float(colours.max()) >= top / 2  # in a dark picture a small difference may be all there is
    return _luminance(colours) if is_bright and spread <= _GREY_SPREAD[drawn.is_lossy] * top / 255 else None


def _used(indices: NDArray[Any]) -> NDArray[np.intp]:
    return np.flatnonzero(_histogram(indices, 256))


def _packed(drawn: DrawnMask) -> NDArray[np.uint32]:
    """Each pixel's colour as 0xrrggbb."""
    colours = drawn.values if drawn.palette is None else drawn.palette
    if colours.dtype.kind == "f":
        colours = np.rint(np.clip(colours, 0, 1) * 255)
    elif colours.dtype != np.uint8:
        colours = colours >> (8 * colours.dtype.itemsize - 8) if colours.dtype != np.bool_ else colours * np.uint8(255)
    wide = colours.astype(np.uint32)
    packed = np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2], dtype=np.uint32)
    return packed if drawn.palette is None else packed[drawn.values]


def _has_alpha_for_mask(drawn: DrawnMask, choice: MaskChoice) -> bool:
    """Whether an alpha channel is the mask: where it varies and the colours draw no mask of their own.

    Raises:
        _AmbiguousError: Both may be meant.
    """
    alpha = drawn.alpha
    if alpha is None or choice.label is not None or alpha.min() == alpha.max():
        return False
    colours = drawn.values[..., None].repeat(3, axis=2) if drawn.values.ndim == 2 and drawn.palette is None else None
    packed = _packed(drawn if colours is None else DrawnMask(values=colours))
    visible, counts = np.unique(packed[alpha > 0], return_counts=True)
    order = np.argsort(counts)[::-1]
    visible, shares = visible[order], counts[order] / counts.sum()
    is_drawn = len(visible) <= _MOST_LABELS and shares[:_SHOWN].sum() >= 0.95 and shares[0] < 0.995
    if is_drawn and (alpha > 0).sum() >= 4 * len(visible):
        shown = _listed([f"#{colour:06x}" for colour in visible], shares)
        raise _AmbiguousError(
            f"has an alpha channel that varies, and under it the colours {shown}, which may be a mask, too",
            advice=f"choose with --channel alpha, --channel grey or --label '#{visible[0]:06x}'",
        )
    return True


def _label_of_values(values: NDArray[Any], label: str, name: str) -> NDArray[np.bool_]:
    try:
        number = float(label)
    except ValueError:
        raise InputError(f"label {label!r} is not a number, but {name} holds numbers, not colours") from None
    chosen = np.asarray(values == number)
    if not chosen.any():
        there, counts = np.unique(values, return_counts=True)
        order = np.argsort(counts)[::-1]
        shown = _listed([f"{value:g}" for value in there[order].astype(float)], counts[order] / counts.sum())
        raise InputError(f"{name} has no value {label}; it has {shown}")
    return chosen


def _label_of_colours(drawn: DrawnMask, label: str, name: str) -> NDArray[np.bool_]:
    """The pixels of a palette index or a colour."""
    if drawn.palette is not None and re.fullmatch(r"\d{1,3}", label):
        chosen = np.asarray(drawn.values == int(label))
    elif match := re.fullmatch(r"#?([0-9a-fA-F]{6})", label):
        wanted, packed = int(match[1], 16), _packed(drawn)
        chosen = np.asarray(packed == wanted)
        if drawn.is_lossy:
            chosen = np.ones(packed.shape, dtype=np.bool_)
            for shift in (0, 8, 16):
                there = (packed >> shift & 255).astype(np.int16)
                chosen &= np.abs(there - (wanted >> shift & 255)) <= _COLOUR_SPREAD
    else:
        accepted = "an index of its palette or a colour" if drawn.palette is not None else "a colour"
        raise InputError(f"label {label!r}: {name} is in colours, so a label is {accepted} such as #ff0000")
    if not chosen.any():
        raise InputError(f"{name} has no {label}; it has {_colours_found(drawn)[0]}")
    return chosen


def _ambiguous_labels(counts: NDArray[np.int64], why: str) -> _AmbiguousError:
    there = np.flatnonzero(counts)
    order = np.argsort(counts[there])[::-1]
    shown = _listed([str(value) for value in there[order]], counts[there][order] / counts.sum())
    label = next((str(value) for value in there[order] if value), "0")
    return _AmbiguousError(
        f"has the whole values {shown}, {why}, which looks like a map of labels",
        advice=f"choose the target's value with --label {label}, or have the brightness taken with --channel grey",
        label=label,
    )


def _ambiguous_colours(drawn: DrawnMask) -> _AmbiguousError:
    shown, num_colours, label, share = _colours_found(drawn)
    if num_colours > 256 and share < 0.8:
        return _AmbiguousError(
            f"looks like a photograph: it has {num_colours} colours",
            advice="give the mask, or have the brightness taken with --channel grey",
        )
    return _AmbiguousError(
        f"is in colours: {shown}",
        advice=f"choose the target's with --label {label}, or a channel with --channel red, green, blue or grey",
    )


def _colours_found(drawn: DrawnMask) -> tuple[str, int, str, float]:
    """The commonest colours in words, how many there are, one that is not black, and the share of the commonest."""
    packed = _packed(drawn)
    there, counts = np.unique(packed, return_counts=True)
    if drawn.palette is not None:
        indices = _used(drawn.values)
        counts = _histogram(drawn.values, 256)[indices]
        names = [f"{index} (#{''.join(f'{part:02x}' for part in drawn.palette[index])})" for index in indices]
        labels = [str(index) for index in indices]
    else:
        names = [f"#{colour:06x}" for colour in there]
        labels = [f"'{name}'" for name in names]
    order = np.argsort(counts)[::-1]
    shares = counts[order] / counts.sum()
    example = next((labels[place] for place in order if "#000000" not in names[place]), labels[0])
    return _listed([names[place] for place in order], shares), len(names), example, float(shares[:_SHOWN].sum())


def _listed(names: list[str], shares: NDArray[Any]) -> str:
    """The first of them with their shares, as in "0 (78 %), 7 (22 %) and 3 more"."""
    told = [f"{name} ({_percent(share)})" for name, share in zip(names[:_SHOWN], shares, strict=False)]
    return ", ".join(told) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _percent(share: float) -> str:
    return "less than 1 %" if share < 0.01 else f"{100 * share:.0f} %"
