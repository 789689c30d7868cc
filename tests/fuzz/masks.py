"""Sound mask files of random kinds, and what each must mean: written and judged here, without our own reading code.

A drawing is a picture of a few flat regions, or a soft one. It is stored in a random container, depth, palette, layout,
layer and orientation. `expect` says what a user expects: the target's pixels, or a refusal. File number i of a seed is
always the same.
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import OpenEXR
import tifffile
from PIL import Image
from tests.fuzz.sound import REFUSED, TURNS, Array, SoundReport, judge_all, png, saved, stored_for

from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.imaging.decode import decode_image, decode_mask
from mask2alpha.ops.mask_fit import fit_mask
from mask2alpha.ops.masks import Mask, MaskChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskFile:
    """A file and what is expected of it."""

    kind: str
    data: bytes
    choice: MaskChoice
    expected: Array | str
    """The target, (H, W), 0 to 255, upright; or `REFUSED`."""
    tolerance: int = 0
    orientation: int = 1
    """Of the photo that the mask belongs to; the mask itself lies as the camera saw it where that is not 1."""


def fuzz_masks(seed: int, *, first: int, count: int, seconds: float, clock: Callable[[], float]) -> SoundReport:
    """Read files `first` to `first + count - 1`, or as many as the time allows, and compare."""

    def judge(index: int) -> tuple[str, bool, str]:
        file = make_mask_file(seed, index)
        return file.kind, isinstance(file.expected, str), _compare(file)

    return judge_all(judge, first=first, count=count, seconds=seconds, clock=clock)


def make_mask_file(seed: int, index: int) -> MaskFile:
    """File number `index` of a seed."""
    rng = np.random.default_rng((seed, index))
    maker = _MAKERS[int(rng.integers(len(_MAKERS)))]
    return maker(rng)


def _compare(file: MaskFile) -> str:
    """What is wrong; "" for nothing."""
    expected = file.expected
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            mask = decode_mask(file.data, choice=file.choice)
            if file.orientation != 1 and not isinstance(expected, str):
                fitted, notes = fit_mask(Mask(values=mask), expected.shape, orientation=file.orientation)
                mask = fitted.as_bytes()
                if "turned" not in "".join(notes):
                    return "turned without a word"
    except (ImageFileError, InputError) as error:
        return "" if isinstance(expected, str) else f"refused: {error}"
    if isinstance(expected, str):
        return f"read, but is ambiguous; warnings: {[str(each.message) for each in caught]}"
    if mask.shape != expected.shape:
        return f"is {mask.shape}, not {expected.shape}"
    difference = int(np.abs(mask.astype(int) - expected).max())
    return f"differs by {difference}" if difference > file.tolerance else ""


def _draw(rng: np.random.Generator, num_regions: int) -> Array:
    """(H, W), 0 to `num_regions`: discs, of each of which more is seen than a line."""
    while True:
        height, width = (int(side) for side in rng.integers(24, 60, 2))
        y, x = np.mgrid[:height, :width]
        drawing = np.zeros((height, width), dtype=np.uint8)
        for region in range(1, num_regions + 1):
            radius = rng.uniform(5, 11)
            row, column = rng.uniform(0, height), rng.uniform(0, width)
            drawing[np.hypot(y - row, x - column) < radius] = region
        counts = np.bincount(drawing.reshape(-1), minlength=num_regions + 1)
        squares = np.lib.stride_tricks.sliding_window_view(drawing, (3, 3))
        is_square = (squares == squares[..., :1, :1]).all(axis=(2, 3))
        if counts.min() >= 24 and len(np.unique(squares[is_square])) > num_regions:
            return drawing


def _soft(rng: np.random.Generator) -> Array:
    """(H, W) in [0, 1]: a disc with a wide soft edge."""
    height, width = (int(side) for side in rng.integers(30, 60, 2))
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - rng.uniform(8, height - 8), x - rng.uniform(8, width - 8))
    return np.clip((14 - distance) / rng.uniform(4, 10), 0, 1)


def _white(target: Array) -> Array:
    return np.where(target, np.uint8(255), np.uint8(0))


def _lossless(rng: np.random.Generator) -> str:
    return str(rng.choice(["PNG", "TIFF", "BMP"]))


def _two_values(rng: np.random.Generator) -> MaskFile:
    """Black and white, or 0 and 1, of any depth."""
    target = _draw(rng, 1) == 1
    bits = int(rng.choice([1, 2, 4, 8, 16]))
    high = 1 if rng.random() < 0.4 else 2**bits - 1
    is_inverted = bool(rng.random() < 0.3)
    if bits >= 8 and rng.random() < 0.5:
        dtype = np.uint8 if bits == 8 else np.uint16
        is_flipped = bool(rng.random() < 0.5) and high > 1
        values = (~target if is_flipped else target) * dtype(high)
        buffer = io.BytesIO()
        options = {"compression": "zlib"} if bits == 8 and rng.random() < 0.5 else {}
        photometric = "miniswhite" if is_flipped else "minisblack"
        tifffile.imwrite(buffer, values, photometric=photometric, byteorder=str(rng.choice(["<", ">"])), **options)
        data = buffer.getvalue()
    else:
        data = png(target.astype(np.uint16) * high, bits)
    expected = _white(~target if is_inverted else target)
    return MaskFile(kind=f"{bits} bits", data=data, choice=MaskChoice(is_inverted=is_inverted), expected=expected)


def _labels(rng: np.random.Generator) -> MaskFile:
    """A map of labels of any depth; one is named, or none."""
    count = int(rng.integers(1, 5))
    drawing = _draw(rng, count)
    bits = int(rng.choice([4, 8, 16]))
    top = 2**bits - 1
    near_half = {127, 128, 129, *(value for value in range(top + 1) if abs(2 * value - top) <= max(1, 0.04 * top))}
    pool = [value for value in range(2, min(int(0.85 * top), 300)) if value not in near_half and value != 255]
    values = np.array([0, *np.sort(rng.choice(pool, count, replace=False))])
    if rng.random() < 0.3 and bits >= 8 and count > 1:
        values[-1] = 255 if bits == 8 else 65535  # what nobody labelled
    stored = values[drawing]
    named = int(rng.integers(1, count + 1)) if rng.random() < 0.6 else None
    if bits == 8 and rng.random() < 0.5:
        data = saved(Image.fromarray(stored.astype(np.uint8)), _lossless(rng))
    else:
        data = png(stored, bits)
    choice = MaskChoice(label=None if named is None else str(values[named]))
    expected = REFUSED if named is None else _white(drawing == named)
    return MaskFile(kind=f"labels, {bits} bits", data=data, choice=choice, expected=expected)


def _palette(rng: np.random.Generator) -> MaskFile:
    """Random colours in a palette, or the same in RGB, with or without a transparent entry."""
    count = int(rng.integers(1, 6))
    drawing = _draw(rng, count)
    colours = rng.integers(0, 256, (count + 1, 3), dtype=np.uint8)
    colours[0] = (0, 0, 0) if rng.random() < 0.5 else colours[0]
    colours[1] = (200, 40, int(rng.integers(0, 256)))  # no grey
    if len(np.unique(colours, axis=0)) <= count:
        return _palette(rng)
    as_indices = bool(rng.random() < 0.6)
    picture = Image.fromarray(drawing).convert("P") if as_indices else Image.fromarray(colours[drawing])
    kind = _lossless(rng)
    options: dict[str, Any] = {}
    if as_indices:
        picture.putdata(drawing.reshape(-1).tolist())
        picture.putpalette(colours.reshape(-1).tolist())
        options = {"transparency": 0} if kind == "PNG" and rng.random() < 0.3 else {}
    data = saved(picture, kind, **options)
    named = int(rng.integers(1, count + 1)) if rng.random() < 0.6 else None
    if named is None:
        # one visible colour over a transparent ground is a cut-out
        expected: Array | str = _white(drawing == 1) if options and count == 1 else REFUSED
        return MaskFile(kind="palette", data=data, choice=MaskChoice(), expected=expected)
    by_index = as_indices and rng.random() < 0.5
    label = str(named) if by_index else f"#{''.join(f'{part:02x}' for part in colours[named])}"
    return MaskFile(kind="palette", data=data, choice=MaskChoice(label=label), expected=_white(drawing == named))


def _soft_grey(rng: np.random.Generator) -> MaskFile:
    """A soft mask of any depth, grey or in three channels, lossless or not; or as alpha over a photo."""
    soft = _soft(rng)
    eight, sixteen = np.rint(255 * soft).astype(np.uint8), np.rint(65535 * soft).astype(np.uint16)
    expected, layout = eight, int(rng.integers(5))
    if layout == 0:
        data = saved(Image.fromarray(eight), _lossless(rng))
    elif layout == 1:
        data = saved(Image.fromarray(np.repeat(eight[..., None], 3, 2)), _lossless(rng))
    elif layout == 2:
        data = png(sixteen, 16)
    elif layout == 3:
        colours = rng.integers(0, 256, (*soft.shape, 3), dtype=np.uint8)
        data = saved(Image.fromarray(np.dstack([colours, eight])), str(rng.choice(["PNG", "TIFF"])))
    else:
        kind = str(rng.choice(["JPEG", "WEBP"]))
        data = saved(Image.fromarray(eight).convert("RGB"), kind, quality=95)
    tolerance = {2: 1, 4: 24}.get(layout, 0)
    return MaskFile(kind=f"soft {layout}", data=data, choice=MaskChoice(), expected=expected, tolerance=tolerance)


def _channel(rng: np.random.Generator) -> MaskFile:
    """A mask in one channel of a colour picture."""
    drawing = _draw(rng, 3)
    names = ["red", "green", "blue"]
    wanted = int(rng.integers(3))
    planes = [_white(drawing == place + 1) for place in range(3)]
    data = saved(Image.fromarray(np.dstack(planes)), _lossless(rng))
    choice = MaskChoice(channel=names[wanted][0] if rng.random() < 0.3 else names[wanted])
    return MaskFile(kind="channel", data=data, choice=choice, expected=planes[wanted])


def _layers(rng: np.random.Generator) -> MaskFile:
    """An OpenEXR file with one channel, or with several, one of which is named."""
    drawing = _draw(rng, 2)
    dtype = [np.float16, np.float32, np.uint32][int(rng.integers(3))]
    name = str(rng.choice(["A", "R", "Y", "Z", "roto.A", "roto.R", "a.b.mask", "mask"]))
    target = drawing == 1
    channels = {name: target.astype(dtype)}
    if rng.random() < 0.5:
        for other in rng.choice(["R", "G", "B", "id.X", "depth.Z", "matte.A"], int(rng.integers(1, 6)), replace=False):
            channels.setdefault(str(other), (drawing == 2).astype(np.float16))
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    buffer = io.BytesIO()
    OpenEXR.File(header, channels).write(buffer)
    is_named = bool(rng.random() < 0.7) or len(channels) > 1
    choice = MaskChoice(channel=name if is_named else None)
    return MaskFile(kind="layers", data=buffer.getvalue(), choice=choice, expected=_white(target))


def _orientation(rng: np.random.Generator) -> MaskFile:
    """A mask that says how it was turned; or one that does not, whose photo does."""
    upright = _white(_draw(rng, 1) == 1)
    if upright.shape[0] == upright.shape[1]:
        upright = upright[:-2]
    orientation = int(rng.integers(1, 9))
    picture = Image.fromarray(stored_for(upright, orientation))
    if rng.random() < 0.3:
        picture = picture.convert(str(rng.choice(["RGB", "1", "LA"])))
    is_said = orientation < 5 or bool(rng.random() < 0.5)
    kind = str(rng.choice(["PNG", "TIFF"]))
    data = saved(picture, kind, orientation if is_said else 1)
    return MaskFile(
        kind="orientation",
        data=data,
        choice=MaskChoice(),
        expected=upright,
        orientation=1 if is_said else orientation,
    )


def _photo_turn(rng: np.random.Generator) -> MaskFile:
    """As `_orientation`, but the orientation comes from a photo's file, as at every door."""
    file = _orientation(rng)
    orientation = int(rng.integers(1, 9))
    picture = Image.fromarray(rng.integers(0, 256, (24, 36, 3), dtype=np.uint8))
    photo = decode_image(saved(picture, str(rng.choice(["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])), orientation))
    upright = TURNS[orientation](np.asarray(picture))
    is_right = photo.orientation == orientation and photo.pixels.shape == upright.shape
    return file if is_right else MaskFile(kind="photo", data=b"", choice=MaskChoice(), expected=upright[..., 0])


_MAKERS = (_two_values, _labels, _palette, _soft_grey, _channel, _layers, _orientation, _photo_turn)
