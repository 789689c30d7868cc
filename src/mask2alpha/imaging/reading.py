"""What the readers of all formats share: the checks made before anything is decoded, and how they refuse a file."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 512 * 2**20
MAX_PIXELS = 150_000_000
MAX_SIDE = 65_500


class UnreadableError(Exception):
    """Why a file is not read, without its name; a subclass of neither OSError nor ValueError, which mean damage."""


def check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Refuse what a header announces, (width, height), before memory is taken for it.

    Raises:
        UnreadableError: The picture is empty or too large.
    """
    width, height = size
    if width < 1 or height < 1:
        raise UnreadableError(f"{width} x {height} is not the size of a picture")
    if width * height > max_pixels:
        raise UnreadableError(f"{width} x {height} is more than {max_pixels} pixels")
    if max(width, height) > MAX_SIDE:
        raise UnreadableError(f"{width} x {height}: a side has more than {MAX_SIDE} pixels")


@contextmanager
def extra_needed(what: str) -> Iterator[None]:
    """Turn a failed import into advice.

    Raises:
        UnreadableError: An import in the block failed.
    """
    try:
        yield
    except ImportError as error:
        raise UnreadableError(f'{what} needs more packages: pip install "mask2alpha[formats]"') from error


def finite(array: NDArray[Any]) -> NDArray[Any]:
    """The array, its NaN and infinite values replaced by 0, with a warning."""
    wrong = ~np.isfinite(array)
    if not wrong.any():
        return array
    warnings.warn(f"{int(wrong.sum())} values were not finite (NaN or infinite) and became 0", stacklevel=3)
    return np.where(wrong, array.dtype.type(0), array)


def straight_colours(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Premultiplied colours (H, W, 3) divided by alpha (H, W), both whole numbers or floats; black where alpha is 0."""
    top = 1 if colours.dtype.kind == "f" else np.iinfo(colours.dtype).max
    share = alpha[..., None].astype(np.float32) / np.float32(top)
    straight = np.divide(colours, share, out=np.zeros(colours.shape, dtype=np.float32), where=share > 0)
    return np.asarray(straight if top == 1 else np.rint(np.minimum(straight, top)), dtype=colours.dtype)
