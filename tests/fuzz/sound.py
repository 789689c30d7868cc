"""What the makers of sound files share: the report, the turns of EXIF, and a writer of PNG files of any kind."""

import io
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]
REFUSED = "refused"
TURNS: dict[int, Callable[[Array], Array]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.rot90(np.fliplr(a)),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.fliplr(a), -1),
    8: np.rot90,
}
"""EXIF orientation to what makes the stored picture upright, as the standard describes it."""


@dataclass(slots=True)
class SoundReport:
    """What became of the files."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str, str]] = field(default_factory=list)
    """Number of the file, its kind, what is wrong."""


def judge_all(
    judge: Callable[[int], tuple[str, bool, str]],
    *,
    first: int,
    count: int,
    seconds: float,
    clock: Callable[[], float],
) -> SoundReport:
    """Judge files `first` to `first + count - 1`, or as many as the time allows.

    Args:
        judge: From the number of a file to its kind, whether it was to be refused, and what is wrong ("": nothing).
        first: Number of the first file.
        count: How many.
        seconds: Time allowed.
        clock: Tells the time in seconds.
    """
    report, start = SoundReport(), clock()
    for index in range(first, first + count):
        if clock() - start > seconds:
            break
        kind, is_refusal, problem = judge(index)
        report.outcomes["wrong" if problem else REFUSED if is_refusal else "read"] += 1
        if problem:
            report.failures.append((index, kind, problem))
    return report


def stored_for(upright: Array, orientation: int) -> Array:
    """The picture that the turn of an orientation makes upright."""
    stored = np.ascontiguousarray(TURNS[{6: 8, 8: 6}.get(orientation, orientation)](upright))
    assert np.array_equal(TURNS[orientation](stored), upright)
    return stored


def exif_block(orientation: int, **tags: Any) -> Image.Exif:
    """An EXIF block that states an orientation."""
    exif = Image.Exif()
    exif[0x112] = orientation
    for name, value in tags.items():
        exif[int(name.removeprefix("tag"))] = value
    return exif


def saved(picture: Image.Image, kind: str, orientation: int = 1, **options: Any) -> bytes:
    """A file that Pillow writes."""
    if orientation != 1:
        options["exif"] = exif_block(orientation)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png(
    values: Array,
    bits: int,
    colour_type: int = 0,
    chunks: Iterable[tuple[bytes, bytes]] = (),
    *,
    is_interlaced: bool = False,
) -> bytes:
    """A PNG file of any depth and colour type.

    Args:
        values: (H, W) or (H, W, C), whole numbers below 2**bits.
        bits: 1, 2, 4, 8 or 16.
        colour_type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
        chunks: Kind and content, to stand before the pixels.
        is_interlaced: In the seven passes of Adam7.
    """
    height, width = values.shape[:2]
    passes = _ADAM7 if is_interlaced else ((0, 0, 1, 1),)
    rows = b"".join(
        _packed_rows(values[top::down, left::right], bits)
        for top, left, down, right in passes
        if top < height and left < width
    )
    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, is_interlaced)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )


_ADAM7: Sequence[tuple[int, int, int, int]] = (
    (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1),
)  # fmt: skip
"""First row and column, and the steps down and right."""


def packed(values: Array, bits: int) -> Array:
    """Rows of whole numbers as bytes, the highest bits first, each row from a byte of its own on."""
    flat = values.reshape(values.shape[0], -1)
    if bits == 16:
        return np.ascontiguousarray(flat.astype(">u2")).view(np.uint8)
    spread = (flat[..., None].astype(np.uint8) >> np.arange(bits - 1, -1, -1, dtype=np.uint8)) & 1
    return np.packbits(spread.reshape(values.shape[0], -1), axis=1)


def _packed_rows(values: Array, bits: int) -> bytes:
    return np.pad(packed(values, bits), ((0, 0), (1, 0))).tobytes()  # no filter
