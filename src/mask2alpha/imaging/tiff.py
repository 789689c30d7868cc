"""TIFF files that Pillow does not know: floats, and 16-bit samples in planes. Needs the extra `formats`."""

import io
import logging
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mask2alpha.imaging.metadata import read_resolution
from mask2alpha.imaging.photo import Photo, Tags
from mask2alpha.imaging.reading import UnreadableError, check_size, extra_needed, finite, straight_colours

if TYPE_CHECKING:
    from tifffile import TiffPage

_UNCOMPRESSED, _DEFLATE = (1,), (8, 32946)
_MAX_SEGMENTS = 2**20


def decode_deep_tiff(data: bytes, max_pixels: int) -> tuple[Photo, int]:
    """The first page and its orientation (1 to 8), not yet applied.

    Strips or tiles are decompressed one by one, and never to more than they should hold.

    Raises:
        UnreadableError: It is too large, or of a kind that is not read.
        Exception: tifffile's own ones, where the file is damaged.
    """
    with extra_needed("this kind of TIFF"):
        import tifffile
    tifffile.logger().setLevel(logging.CRITICAL)  # a damaged file is reported once, by our own error
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        check_size((page.imagewidth, page.imagelength), max_pixels)
        samples = _decode_page(page, data)
        icc_profile = page.tags.valueof(34675)
        xmp = page.tags.valueof(700)
        orientation = page.tags.valueof(274, default=1)
        per_unit = {2: 1.0, 3: 2.54}.get(int(page.tags.valueof(296, default=2)))
        fractions = [page.tags.valueof(tag) for tag in (282, 283)]
    resolution = None
    if per_unit and all(fractions):
        resolution = read_resolution(per_unit * fraction[0] / max(1, fraction[1]) for fraction in fractions)
    is_premultiplied = tuple(page.extrasamples) == (1,)
    colours, alpha = _split(samples, tuple(page.extrasamples))
    if alpha is not None and is_premultiplied:
        colours = straight_colours(colours, alpha)
    photo = Photo(
        pixels=np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else colours,
        alpha=alpha,
        is_grey=colours.shape[2] == 1,
        icc_profile=bytes(icc_profile) if icc_profile else None,
        xmp=bytes(xmp) if xmp else None,
        resolution=resolution,
    )
    return photo, int(orientation)


def encode_deep_tiff(array: NDArray[Any], tags: Tags, texts: Mapping[int, str]) -> bytes:
    """A deflated TIFF of any depth: (H, W), (H, W, 2), (H, W, 3) or (H, W, 4).

    Args:
        array: uint8, uint16 or float32; an even number of channels means that the last is alpha.
        tags: Those that such a file holds; EXIF is not read.
        texts: Further tags and their values.

    Raises:
        UnreadableError: The extra is missing.
    """
    with extra_needed("this kind of TIFF"):
        import tifffile
    channels = array.shape[2] if array.ndim == 3 else 1
    has_alpha = channels in (2, 4)
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        array,
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["assocalpha" if tags.is_premultiplied else "unassalpha"] if has_alpha else None,
        compression="zlib",
        iccprofile=tags.icc_profile,
        metadata=None,
        software=False,
        resolution=tags.resolution,
        resolutionunit=None if tags.resolution is None else "INCH",
        extratags=[
            *((tag, 2, None, text.encode("ascii", "replace"), True) for tag, text in texts.items()),
            *([(700, 1, len(tags.xmp), tags.xmp, True)] if tags.xmp else []),
        ],
    )
    return buffer.getvalue()


def _split(samples: NDArray[Any], extra: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Colours (H, W, 1 or 3) and, where the first extra sample is declared as such, alpha (H, W)."""
    num_colours = samples.shape[2] - len(extra)
    if num_colours not in (1, 3):
        raise UnreadableError(f"{num_colours} colour channels in a TIFF of this kind; save it as RGB")
    alpha = np.ascontiguousarray(samples[..., num_colours]) if extra[:1] in ((1,), (2,)) else None
    return np.ascontiguousarray(samples[..., :num_colours]), alpha


def _decode_page(page: "TiffPage", data: bytes) -> NDArray[Any]:
    """All samples, (H, W, channels): uint8, uint16 or float32."""
    is_white_zero = page.photometric == 0 and page.dtype is not None and page.dtype.kind == "u"
    if not (page.photometric in (1, 2) or is_white_zero) or page.dtype is None or page.dtype.name not in _DTYPES:
        raise UnreadableError(
            f"a TIFF with {page.dtype or 'odd'} samples is not supported; save it as 8- or 16-bit, or 32-bit float, RGB"
        )
    if page.compression not in (*_UNCOMPRESSED, *_DEFLATE):
        raise UnreadableError("a TIFF of this depth is read uncompressed or with ZIP (deflate) compression only")
    if page.imagedepth != 1 or page.samplesperpixel > 8 or page.fillorder != 1:
        raise UnreadableError("a TIFF of this layout is not supported")
    height, width, channels = page.imagelength, page.imagewidth, page.samplesperpixel
    is_planar = page.planarconfig == 2 and channels > 1
    tile_height, tile_width = (page.tilelength, page.tilewidth) if page.is_tiled else (
        min(page.rowsperstrip or height, height), width)  # fmt: skip
    check_size((tile_width, tile_height), 4 * max(height * width, 2**16))
    across, down = -(-width // tile_width), -(-height // tile_height)
    planes = channels if is_planar else 1
    if len(page.dataoffsets) < across * down * planes or across * down * planes > _MAX_SEGMENTS:
        raise ValueError("strips or tiles are missing")
    samples: NDArray[Any] = np.empty((height, width, channels), dtype=_DTYPES[page.dtype.name])
    for index in range(across * down * planes):
        plane, place = divmod(index, across * down)
        y, x = place // across * tile_height, place % across * tile_width
        rows = tile_height if page.is_tiled else min(tile_height, height - y)
        start, size = page.dataoffsets[index], page.databytecounts[index]
        segment = _decode_segment(data[start : start + size], page, (rows, tile_width, 1 if is_planar else channels))
        target = samples[y : y + rows, x : x + tile_width, plane : plane + 1 if is_planar else channels]
        target[...] = segment[: target.shape[0], : target.shape[1]]
    if is_white_zero:
        samples[..., 0] = np.iinfo(samples.dtype).max - samples[..., 0]
    return finite(samples) if samples.dtype.kind == "f" else samples


_DTYPES: dict[str, type] = {
    "uint8": np.uint8, "uint16": np.uint16, "float16": np.float32, "float32": np.float32, "float64": np.float32,
}  # fmt: skip


def _decode_segment(raw: bytes, page: "TiffPage", shape: tuple[int, int, int]) -> NDArray[Any]:
    """One strip or tile, its predictor undone."""
    assert page.dtype is not None
    dtype = page.dtype.newbyteorder(page.parent.byteorder)
    num_bytes = shape[0] * shape[1] * shape[2] * dtype.itemsize
    if page.compression in _DEFLATE:
        raw = zlib.decompressobj().decompress(raw, num_bytes)
    if len(raw) < num_bytes:
        raise ValueError("truncated strip or tile")
    predictor = page.predictor if page.compression in _DEFLATE else 1  # which libtiff, too, heeds only then
    if predictor == 3:  # bytes of a row: all first bytes, all second ..., each as difference to the one before
        steps = np.frombuffer(raw, np.uint8, num_bytes).reshape(shape[0], -1, shape[2])
        sums = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(shape[0], dtype.itemsize, -1)
        return np.asarray(np.ascontiguousarray(sums.swapaxes(1, 2)).view(dtype.newbyteorder(">"))).reshape(shape)
    samples = np.frombuffer(raw, dtype, num_bytes // dtype.itemsize).reshape(shape)
    if predictor == 2 and dtype.kind == "u":
        return np.asarray(np.cumsum(samples, axis=1, dtype=samples.dtype.newbyteorder("=")))
    if predictor != 1:
        raise UnreadableError("a TIFF with this predictor is not supported")
    return samples
