"""OpenEXR: linear light in half or float, values above 1 kept; written with separate passes where there are several.

Needs the extra `formats`.
"""

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2alpha.imaging.colour import Primaries, usable_primaries
from mask2alpha.imaging.metadata import read_resolution
from mask2alpha.imaging.photo import Photo
from mask2alpha.imaging.reading import UnreadableError, check_size, extra_needed

_COLOURS = ("R", "G", "B")


def decode_exr(data: bytes, max_pixels: int) -> Photo:
    """The first part's colours: channels R, G, B, else those of the first layer that has them, else Y.

    The picture is the display window; what lies outside the data window is black and transparent.

    Raises:
        UnreadableError: It is too large or deep, or has no colours that we read.
        OSError, RuntimeError, ValueError: It is damaged.
    """
    with extra_needed("OpenEXR"):
        import OpenEXR
    header = OpenEXR.File(io.BytesIO(data), header_only=True, num_threads=0).parts[0].header
    if header["type"] not in (OpenEXR.scanlineimage, OpenEXR.tiledimage):
        raise UnreadableError("deep OpenEXR pictures are not supported; flatten it")
    left, top, width, height = _window(header["displayWindow"])
    data_left, data_top, data_width, data_height = _window(header["dataWindow"])
    check_size((width, height), max_pixels)
    check_size((data_width, data_height), max_pixels)
    names = {channel.name: channel for channel in header["channels"]}
    wanted = _colour_channels(list(names))
    if any((names[name].xSampling, names[name].ySampling) != (1, 1) for name in wanted if name):
        raise UnreadableError("OpenEXR channels with fewer samples than pixels are not supported")
    parts = OpenEXR.File(io.BytesIO(data), separate_channels=True, num_threads=0).parts
    if not parts:  # a part whose pixels cannot be read is left out
        raise ValueError("its pixels cannot be read")
    planes = [None if name is None else parts[0].channels[name].pixels for name in wanted]
    dtype = np.float16 if all(plane is None or plane.dtype == np.float16 for plane in planes) else np.float32
    rows, columns = slice(max(0, data_top - top), None), slice(max(0, data_left - left), None)
    cut_rows = slice(max(0, top - data_top), max(0, top - data_top + height - rows.start))
    cut_columns = slice(max(0, left - data_left), max(0, left - data_left + width - columns.start))
    canvas = np.zeros((height, width, 4), dtype=dtype)
    for index, plane in enumerate(planes):
        if plane is None and index < 3:
            continue
        seen = (np.ones((data_height, data_width), dtype) if plane is None else plane)[cut_rows, cut_columns]
        canvas[rows, columns, index][: seen.shape[0], : seen.shape[1]] = seen
    has_alpha = planes[3] is not None or (data_left, data_top, data_width, data_height) != (left, top, width, height)
    return Photo(
        pixels=_finite(np.ascontiguousarray(canvas[..., :3])),
        alpha=_finite(np.ascontiguousarray(canvas[..., 3])) if has_alpha else None,
        is_grey=wanted[0] == wanted[1],
        primaries=usable_primaries(header["chromaticities"]) if "chromaticities" in header else None,
        resolution=_resolution(header),
    )


def encode_exr(
    passes: Mapping[str, NDArray[Any]],
    *,
    primaries: Primaries | None = None,
    is_premultiplied: bool = True,
    resolution: tuple[float, float] | None = None,
) -> bytes:
    """An OpenEXR file with a layer per pass, ZIP-compressed.

    Args:
        passes: Name of the layer ("" for the main one) to (H, W), (H, W, 3) or (H, W, 4), float16 or float32. The
            single channel of a (H, W) layer is called Y in the main layer, else A for "alpha" and Y for others.
        primaries: Of the colours; None: sRGB's, which is OpenEXR's default.
        is_premultiplied: Whether the colours of four channels are, which OpenEXR expects; said in the header.
        resolution: Pixels per inch, across and down.

    Raises:
        UnreadableError: The extra is missing.
    """
    with extra_needed("OpenEXR"):
        import OpenEXR
    channels = {}
    for layer, array in passes.items():
        assert array.dtype in (np.float16, np.float32), array.dtype
        prefix = f"{layer}." if layer else ""
        single = "A" if layer == "alpha" else "Y"
        planes = array[..., None] if array.ndim == 2 else array
        for index, letter in enumerate("RGBA"[: planes.shape[2]] if array.ndim == 3 else single):
            channels[prefix + letter] = np.ascontiguousarray(planes[..., index])
    header: dict[str, Any] = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "alphaMode": "premultiplied" if is_premultiplied else "straight",
    }
    if primaries is not None:
        header["chromaticities"] = primaries
    if resolution is not None:
        header["xDensity"], header["pixelAspectRatio"] = resolution[0], resolution[1] / resolution[0]
    buffer = io.BytesIO()
    OpenEXR.File(header, channels, num_threads=0).write(buffer)
    return buffer.getvalue()


def _resolution(header: Mapping[str, Any]) -> tuple[float, float] | None:
    density = float(header.get("xDensity", 0))
    return read_resolution((density, density * float(header.get("pixelAspectRatio", 1))))


def _window(window: Any) -> tuple[int, int, int, int]:
    """Left, top, width and height of a box of inclusive corners."""
    (left, top), (right, bottom) = (tuple(int(value) for value in corner) for corner in window)
    return left, top, right - left + 1, bottom - top + 1


def _colour_channels(names: list[str]) -> list[str | None]:
    """The names of red, green, blue and, where there is one, alpha."""
    layers = dict.fromkeys(name.rpartition(".")[0] for name in sorted(names, key=lambda name: (name.count("."), name)))
    for layer in layers:
        prefix = f"{layer}." if layer else ""
        if all(prefix + colour in names for colour in _COLOURS):
            alpha = prefix + "A"
            return [*(prefix + colour for colour in _COLOURS), alpha if alpha in names else None]
    if "RY" in names or "BY" in names:
        raise UnreadableError("OpenEXR with luminance and chroma is not supported; save it with R, G and B")
    if "Y" in names:
        return ["Y", "Y", "Y", "A" if "A" in names else None]
    raise UnreadableError(f"no channels R, G, B or Y, only {', '.join(sorted(names)[:8]) or 'none'}")


def _finite(array: NDArray[Any]) -> NDArray[Any]:
    """NaN and infinite values become 0, with a warning."""
    array = array.astype(np.float32, copy=False) if array.dtype not in (np.float16, np.float32) else array
    wrong = ~np.isfinite(array)
    if wrong.any():
        warnings.warn(f"{int(wrong.sum())} values were not finite (NaN or infinite) and became 0", stacklevel=2)
        array = np.where(wrong, array.dtype.type(0), array)
    return array
