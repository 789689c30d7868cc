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
from mask2alpha.imaging.photo import Photo, Tags
from mask2alpha.imaging.reading import UnreadableError, check_size, extra_needed, finite
from mask2alpha.ops.masks import DrawnMask

COMPRESSIONS = ("zip", "zips", "piz", "dwaa", "dwab", "none")
"""Of files that are written; dwaa and dwab change colours a little, and never alpha."""
_COLOURS = ("R", "G", "B")


def decode_exr(data: bytes, max_pixels: int) -> Photo:
    """The first part's colours: channels R, G, B, else those of the first layer that has them, else Y.

    The picture is the display window; what lies outside the data window is black and transparent.

    Raises:
        UnreadableError: It is too large or deep, or has no colours that are read.
        OSError, RuntimeError, ValueError: It is damaged.
    """
    header = _header(data, max_pixels)
    wanted = _colour_channels([channel.name for channel in header["channels"]])
    planes, is_whole = _read_planes(data, header, list(dict.fromkeys(name for name in wanted if name)))
    size = next(iter(planes.values())).shape
    dtype = np.float16 if all(plane.dtype == np.float16 for plane in planes.values()) else np.float32
    colours = [np.zeros(size, dtype) if name is None else planes[name].astype(dtype, copy=False) for name in wanted[:3]]
    alpha = is_whole if wanted[3] is None else planes[wanted[3]]
    return Photo(
        pixels=_finite(np.stack(colours, axis=2)),
        alpha=None if alpha is None else _finite(alpha.astype(dtype, copy=False)),
        is_grey=wanted[0] == wanted[1],
        primaries=_primaries(header),
        resolution=_resolution(header),
    )


def decode_exr_mask(data: bytes, max_pixels: int, channel: str | None, *, advice: str = "") -> DrawnMask:
    """The first part's channels, as a mask may be drawn in them.

    Args:
        data: The whole file.
        max_pixels: Largest picture accepted.
        channel: The channel or layer that is asked for; where it names one of the file, or where there is a single
            channel, that is read and no colours. None: the colours, as `decode_exr` finds them.
        advice: What messages advise about several channels; empty: the option `--channel`.

    Raises:
        UnreadableError: As `decode_exr`; or several channels may be the mask.
        OSError, RuntimeError, ValueError: It is damaged.
    """
    header = _header(data, max_pixels)
    names = [each.name for each in header["channels"]]
    in_layer = [name for name in names if channel is not None and channel in (name, name.rpartition(".")[0])]
    if len(names) == 1 or in_layer:
        planes, _ = _read_planes(data, header, in_layer or names)
        planes = {name: _finite(plane) for name, plane in planes.items()}
        lone = next(iter(planes.values()))
        return DrawnMask(values=lone, channels=planes if in_layer else {})
    try:
        wanted = [name for name in _colour_channels(names) if name]
    except UnreadableError:
        shown = ", ".join(sorted(names)[:12])
        advice = advice or f"choose with --channel, for example --channel {min(names)}"
        raise UnreadableError(f"the mask may be any of the channels {shown}; {advice}") from None
    photo = decode_exr(data, max_pixels)
    if rest := sorted(set(names) - set(wanted)):
        shown = ", ".join(rest[:12])
        others = f"it also has {shown}" if advice else f"--channel chooses another of {shown}"
        warnings.warn(f"the mask was read from {', '.join(wanted)}; {others}", stacklevel=3)
    return DrawnMask(values=photo.pixels[..., 0] if photo.is_grey else photo.pixels, alpha=photo.alpha)


def _header(data: bytes, max_pixels: int) -> Mapping[str, Any]:
    """The first part's header, checked."""
    with extra_needed("OpenEXR"):
        import OpenEXR
    header: Mapping[str, Any] = OpenEXR.File(io.BytesIO(data), header_only=True, num_threads=0).parts[0].header
    if header["type"] not in (OpenEXR.scanlineimage, OpenEXR.tiledimage):
        raise UnreadableError("deep OpenEXR pictures are not supported; flatten it")
    for window in ("displayWindow", "dataWindow"):
        check_size(_window(header[window])[2:], max_pixels)
    return header


def _read_planes(
    data: bytes, header: Mapping[str, Any], wanted: list[str]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_] | None]:
    """The wanted channels over the display window, and where in it there are data; None: everywhere."""
    import OpenEXR

    sampling = {channel.name: (channel.xSampling, channel.ySampling) for channel in header["channels"]}
    if any(sampling[name] != (1, 1) for name in wanted):
        raise UnreadableError("OpenEXR channels with fewer samples than pixels are not supported")
    parts = OpenEXR.File(io.BytesIO(data), separate_channels=True, num_threads=0).parts
    if not parts:  # a part whose pixels cannot be read is left out
        raise ValueError("its pixels cannot be read")
    left, top, width, height = _window(header["displayWindow"])
    data_left, data_top, data_width, data_height = _window(header["dataWindow"])
    rows, columns = slice(max(0, data_top - top), None), slice(max(0, data_left - left), None)
    cut_rows = slice(max(0, top - data_top), max(0, top - data_top + height))
    cut_columns = slice(max(0, left - data_left), max(0, left - data_left + width))
    whole = np.ones((data_height, data_width), dtype=np.bool_)
    planes: dict[str, NDArray[Any]] = {}
    for name, plane in [("", whole), *((name, parts[0].channels[name].pixels) for name in wanted)]:
        planes[name] = np.zeros((height, width), dtype=plane.dtype)
        seen = plane[cut_rows, cut_columns]
        planes[name][rows, columns][: seen.shape[0], : seen.shape[1]] = seen
    is_whole = planes.pop("")
    is_everywhere = (data_left, data_top, data_width, data_height) == (left, top, width, height)
    return planes, None if is_everywhere else is_whole


def encode_exr(passes: Mapping[str, NDArray[Any]], tags: Tags) -> bytes:
    """An OpenEXR file with a layer per pass.

    Args:
        passes: Name of the layer ("" for the main one) to (H, W), (H, W, 3) or (H, W, 4), float16 or float32. The
            single channel of a (H, W) layer is called A in "alpha" and in those below it ("alpha.dog"), else Y.
        tags: Those that OpenEXR holds. The header says whether colours are premultiplied, which OpenEXR expects.

    Raises:
        UnreadableError: The extra is missing.
    """
    with extra_needed("OpenEXR"):
        import OpenEXR
    channels = {}
    for layer, array in passes.items():
        assert array.dtype in (np.float16, np.float32), array.dtype
        prefix = f"{layer}." if layer else ""
        single = "A" if layer.partition(".")[0] == "alpha" else "Y"
        planes = array[..., None] if array.ndim == 2 else array
        for index, letter in enumerate("RGBA"[: planes.shape[2]] if array.ndim == 3 else single):
            channels[prefix + letter] = np.ascontiguousarray(planes[..., index])
    compression = "no" if tags.compression == "none" else tags.compression
    header: dict[str, Any] = {
        "compression": getattr(OpenEXR, f"{compression}_compression".upper()),
        "type": OpenEXR.scanlineimage,
        "alphaMode": "premultiplied" if tags.is_premultiplied else "straight",
    }
    if tags.primaries is not None:
        header["chromaticities"] = tags.primaries
    if tags.resolution is not None:
        across, down = tags.resolution
        header["xDensity"], header["pixelAspectRatio"] = across, down / across
    buffer = io.BytesIO()
    OpenEXR.File(header, channels, num_threads=0).write(buffer)
    return buffer.getvalue()


def _primaries(header: Mapping[str, Any]) -> Primaries | None:
    if "chromaticities" not in header:
        return None
    primaries = usable_primaries(header["chromaticities"])
    if primaries is None:
        warnings.warn("the chromaticities do not span a colour space and were left out", stacklevel=3)
    return primaries


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
    """Finite floats; whole numbers, such as the ids of objects, as they are."""
    if array.dtype.kind == "u":
        return array
    return finite(array if array.dtype in (np.float16, np.float32) else array.astype(np.float32))
