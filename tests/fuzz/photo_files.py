"""Makers of sound photo files of random kinds; see photos.py."""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import OpenEXR
import tifffile
from PIL import Image, ImageOps
from tests.fuzz.light import SRGB, Space
from tests.fuzz.sound import TURNS, Array, exif_block, packed, png, saved

_KNOWN_PRIMARIES = (
    SRGB,
    (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.3290),  # Adobe RGB
    (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),  # Display P3
    (0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001, 0.3457, 0.3585),  # ProPhoto
    (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),  # BT.2020
)
_LIGHT_PRIMARIES = (
    *_KNOWN_PRIMARIES,
    (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767),  # ACEScg
    (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, 0.32168, 0.33767),  # ACES 2065-1
)
_CICP_PRIMARIES = {1: SRGB, 9: _KNOWN_PRIMARIES[4], 12: _KNOWN_PRIMARIES[2], 2: SRGB}
_CICP_CURVES = {1: None, 13: None, 6: None, 4: 2.2, 5: 2.8, 8: 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFile:
    """A file and what a reader must see in it."""

    kind: str
    data: bytes
    expected: Array | None
    """(H, W, 3), upright, in the values of the file; None: it must be refused."""
    alpha: Array | None = None
    space: Space = field(default_factory=Space)
    """What the values mean."""
    orientation: int = 1
    tolerance: float = 0
    resolution: tuple[float, float] | None = None
    """Pixels per inch, across and down, of the upright picture."""
    warning: str = ""
    """What must be said of a file whose colours are read otherwise than they are meant."""


def make_photo_file(rng: np.random.Generator) -> PhotoFile:
    """A file of a random kind."""
    return _MAKERS[int(rng.integers(len(_MAKERS)))](rng)


def _size(rng: np.random.Generator) -> tuple[int, int]:
    height, width = (int(side) for side in rng.integers(2, 24, 2))
    return height, width + (height == width)


def _values(rng: np.random.Generator, channels: int, bits: int) -> Array:
    """(H, W, channels), whole numbers below 2**bits."""
    return rng.integers(0, 2**bits, (*_size(rng), channels)).astype(np.uint16 if bits == 16 else np.uint8)


def _space(rng: np.random.Generator, *, is_grey: bool) -> tuple[Space, bytes | None]:
    """A space and its profile; half the time sRGB without one."""
    if rng.random() < 0.5:
        return Space(is_grey=is_grey), None
    exponent = None if rng.random() < 0.4 else float(rng.choice([1.0, 1.8, 2.2, 2.4]))
    exponent = None if exponent is None else round(exponent * 256) / 256
    space = Space(
        primaries=_KNOWN_PRIMARIES[int(rng.integers(len(_KNOWN_PRIMARIES)))], exponent=exponent, is_grey=is_grey
    )
    return space, space.icc_profile(is_table=bool(rng.random() < 0.5))


def _rgb(values: Array) -> Array:
    return np.repeat(values, 3, axis=2) if values.shape[2] == 1 else values


def _widened(values: Array, bits: int) -> Array:
    """Values of fewer bits as 8, with the same meaning."""
    return values if bits >= 8 else values * np.uint8(255 // (2**bits - 1))


def _turned(values: Array | None, orientation: int) -> Array | None:
    return None if values is None else TURNS[orientation](values)


def _png(rng: np.random.Generator) -> PhotoFile:
    """Every colour type and depth, transparent colours, colour tags of four kinds, interlaced or not."""
    colour_type = int(rng.choice([0, 2, 3, 4, 6]))
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    bits = int(rng.choice({0: [1, 2, 4, 8, 16], 3: [1, 2, 4, 8]}.get(colour_type, [8, 16])))
    stored, is_grey = _values(rng, channels, bits), colour_type in (0, 4)
    top = 65535 if bits == 16 else 255
    colours, alpha = _widened(stored, bits)[..., : 1 if is_grey else 3], None
    chunks: list[tuple[bytes, bytes]] = []
    if channels in (2, 4):
        alpha = stored[..., -1]
    if colour_type == 3:
        palette = rng.integers(0, 256, (2**bits, 3), dtype=np.uint8)
        chunks.append((b"PLTE", palette.tobytes()))
        colours = palette[stored[..., 0]]
        if rng.random() < 0.4:
            opacity = rng.integers(0, 256, int(rng.integers(1, 2**bits + 1)), dtype=np.uint8)
            chunks.append((b"tRNS", opacity.tobytes()))
            alpha = np.pad(opacity, (0, 2**bits - len(opacity)), constant_values=255)[stored[..., 0]]
    elif channels in (1, 3) and rng.random() < 0.3:
        key = stored[0, 0]
        chunks.append((b"tRNS", struct.pack(f">{channels}H", *(key if channels == 3 else key[:1]))))
        alpha = np.where((stored == key).all(axis=2), 0, top).astype(stored.dtype)
    space, tags, warning = _png_tags(rng, is_grey=is_grey)
    orientation = int(rng.integers(1, 9))
    resolution = None
    if rng.random() < 0.3:
        per_metre = rng.integers(1000, 20000, 2)
        resolution = (float(per_metre[0]) * 0.0254, float(per_metre[1]) * 0.0254)
        resolution = resolution[::-1] if orientation > 4 else resolution
        tags.append((b"pHYs", struct.pack(">IIB", *(int(each) for each in per_metre), 1)))
    if orientation > 1:
        tags.append((b"eXIf", exif_block(orientation).tobytes().removeprefix(b"Exif\0\0")))
    data = png(stored, bits, colour_type, [*tags, *chunks], is_interlaced=bool(rng.random() < 0.3))
    return PhotoFile(
        kind=f"png {colour_type} {bits} bits",
        data=data,
        expected=_turned(_rgb(colours), orientation),
        alpha=_turned(alpha, orientation),
        space=space,
        orientation=orientation,
        resolution=resolution,
        warning=warning,
    )


def _png_tags(rng: np.random.Generator, *, is_grey: bool) -> tuple[Space, list[tuple[bytes, bytes]], str]:
    """Colour tags by their rank: cICP, iCCP, sRGB, gAMA and cHRM; a lower one beside a higher one does not count."""
    import zlib

    kind = int(rng.integers(6))
    space, profile = _space(rng, is_grey=is_grey)
    iccp = [(b"iCCP", b"x\0\0" + zlib.compress(profile))] if profile else []
    if kind == 0:
        primaries = _KNOWN_PRIMARIES[int(rng.integers(len(_KNOWN_PRIMARIES)))]
        gamma = int(rng.choice([100000, 55556, 45455, 38462, 45000]))
        has_primaries = bool(rng.random() < 0.6)
        tags = [(b"gAMA", struct.pack(">I", gamma))]
        if has_primaries:
            numbers = (round(100000 * number) for number in (*primaries[6:], *primaries[:6]))
            tags.append((b"cHRM", struct.pack(">8I", *numbers)))
        is_usual = abs(gamma / 100000 * 2.2 - 1) < 0.01
        return (
            Space(
                primaries=primaries if has_primaries else SRGB,
                exponent=None if is_usual else 100000 / gamma,
                is_grey=is_grey,
            ),
            tags,
            "",
        )
    if kind == 1:
        code, curve = int(rng.choice(list(_CICP_PRIMARIES))), int(rng.choice([*_CICP_CURVES, 16, 18]))
        tags = [(b"cICP", bytes([code, curve, 0, 1])), *iccp]
        if curve not in _CICP_CURVES:
            return space, tags, "" if profile else "H.273"
        return Space(primaries=_CICP_PRIMARIES[code], exponent=_CICP_CURVES[curve], is_grey=is_grey), tags, ""
    if kind == 2:
        return Space(is_grey=is_grey), [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000))], ""
    return space, iccp, ""


def _tiff(rng: np.random.Generator) -> PhotoFile:
    """Depths, photometric interpretations, planes, strips, tiles, byte orders, predictors, extra samples, BigTIFF."""
    dtype = np.dtype(rng.choice(["uint8", "uint8", "uint16", "uint16", "float16", "float32", "float64"]))
    is_grey = bool(rng.random() < 0.4)
    num_colours, num_extra = 1 if is_grey else 3, int(rng.choice([0, 0, 1]))
    channels = num_colours + num_extra
    if dtype.kind == "u":
        stored = _values(rng, channels, 8 * dtype.itemsize)
    else:
        stored = (rng.random((*_size(rng), channels)) * float(rng.choice([1, 8]))).astype(dtype)
    extra = str(rng.choice(["unassalpha", "assocalpha", "unspecified"])) if num_extra else ""
    top = 1 if dtype.kind == "f" else np.iinfo(dtype).max
    if num_extra:
        stored[..., -1] = stored[..., -1] / 8 if dtype.kind == "f" else stored[..., -1]
    photometric = ("miniswhite" if rng.random() < 0.3 and dtype.kind == "u" else "minisblack") if is_grey else "rgb"
    space, profile = _space(rng, is_grey=is_grey)
    if dtype.kind == "f" and profile is None:
        space = Space(exponent=1.0, is_grey=is_grey)
    elif dtype.kind == "f":
        stored = np.clip(stored, 0, 1)
        if extra == "assocalpha":
            stored[..., :-1] *= stored[..., -1:]
    orientation = int(rng.integers(1, 9))
    options: dict[str, Any] = {"byteorder": str(rng.choice(["<", ">"])), "bigtiff": bool(rng.random() < 0.2)}
    if num_extra:
        options["extrasamples"] = [extra]
    is_planar = channels > 1 and bool(rng.random() < 0.3)
    if channels > 1:
        options["planarconfig"] = "separate" if is_planar else "contig"
    if rng.random() < 0.5:
        options["compression"] = "zlib"
        if rng.random() < 0.5 and dtype.kind == "u":
            options["predictor"] = 2
    if rng.random() < 0.3:
        options["tile"] = (16, 16)
    elif rng.random() < 0.5:
        options["rowsperstrip"] = int(rng.integers(1, 8))
    if rng.random() < 0.3:
        options |= {"resolution": (300, 150), "resolutionunit": "INCH"}
    array = stored[..., 0] if channels == 1 else stored
    array = np.moveaxis(array, 2, 0) if is_planar else array
    data = _tifffile(array, photometric=photometric, orientation=orientation, icc_profile=profile, **options)
    if data is None:
        return _tiff(rng)
    colours = stored[..., :num_colours]
    colours = top - colours if photometric == "miniswhite" else colours
    alpha = stored[..., -1] if num_extra and extra != "unspecified" else None
    tolerance = 0.0
    if extra == "assocalpha":
        assert alpha is not None
        share = alpha[..., None].astype(np.float64) / top
        colours = np.divide(colours, share, out=np.zeros(colours.shape), where=share > 0)
        colours = np.rint(np.minimum(colours, top)) if top > 1 else colours
        tolerance = 1.0 if top > 1 else 1e-3 * float(np.abs(colours).max() + 1)
    read_as = np.float32 if dtype.kind == "f" else dtype
    return PhotoFile(
        kind=f"tiff {dtype} {photometric} {extra} {options}",
        data=data,
        expected=_turned(_rgb(colours).astype(read_as), orientation),
        alpha=None if alpha is None else _turned(alpha.astype(read_as), orientation),
        space=space,
        orientation=orientation,
        tolerance=tolerance,
        resolution=None if "resolution" not in options else (150, 300) if orientation > 4 else (300, 150),
    )


def _tifffile(
    array: Array, *, photometric: str, orientation: int, icc_profile: bytes | None, **options: Any
) -> bytes | None:
    """What tifffile writes; None where it does not write such a file."""
    buffer = io.BytesIO()
    try:
        tifffile.imwrite(
            buffer, array, photometric=photometric, metadata=None, iccprofile=icc_profile,
            extratags=[(274, 3, 1, orientation, True)], **options,
        )  # fmt: skip
    except (ValueError, KeyError, NotImplementedError, ImportError):
        return None
    return buffer.getvalue()


def _shallow_tiff(rng: np.random.Generator) -> PhotoFile:
    """1, 2 and 4 bits, grey either way round, or a palette of 8 bits."""
    bits = int(rng.choice([1, 2, 4, 8]))
    stored, orientation = _values(rng, 1, bits), int(rng.integers(1, 9))
    is_palette = bits == 8
    photometric = 3 if is_palette else int(rng.integers(2))
    rows = packed(stored, bits).tobytes()
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    entries = [
        (256, 3, 1, stored.shape[1]), (257, 3, 1, stored.shape[0]), (258, 3, 1, bits), (259, 3, 1, 1),
        (262, 3, 1, photometric), (273, 4, 1, 8), (274, 3, 1, orientation), (277, 3, 1, 1),
        (278, 3, 1, stored.shape[0]), (279, 4, 1, len(rows)),
    ]  # fmt: skip
    body = b"II*\0" + struct.pack("<I", 8 + len(rows)) + rows
    if is_palette:
        entries.append((320, 3, 768, 8 + len(rows) + 2 + 12 * 11 + 4))
    table = struct.pack("<H", len(entries))
    for tag, kind, count, value in entries:
        is_short = kind == 3 and count == 1
        table += struct.pack("<HHI", tag, kind, count) + struct.pack(
            "<HH" if is_short else "<I", *((value, 0) if is_short else (value,))
        )
    data = body + table + bytes(4) + (palette.T.astype("<u2") * 257).tobytes() * is_palette
    colours = palette[stored[..., 0]] if is_palette else _widened(stored, bits)
    colours = 255 - colours if photometric == 0 else colours
    return PhotoFile(
        kind=f"tiff {bits} bits, photometric {photometric}",
        data=data,
        expected=_turned(_rgb(colours), orientation),
        space=Space(is_grey=not is_palette),
        orientation=orientation,
    )


def _odd_tiff(rng: np.random.Generator) -> PhotoFile:
    """Samples and photometric interpretations whose colours nobody can know: refused."""
    shape = (*_size(rng), 3)
    kind = int(rng.integers(6))
    if kind == 0:
        array, photometric = rng.integers(0, 2**31, shape).astype(str(rng.choice(["uint32", "int32"]))), "rgb"
    elif kind == 1:
        array, photometric = rng.integers(-100, 100, shape).astype(str(rng.choice(["int8", "int16"]))), "rgb"
    elif kind == 2:
        array, photometric = rng.integers(0, 256, shape, dtype=np.uint8), str(rng.choice(["cielab", "icclab"]))
    elif kind == 3:
        array, photometric = rng.integers(0, 65536, shape).astype(np.uint16), str(rng.choice(["cielab", "ycbcr"]))
    elif kind == 4:
        array, photometric = (
            rng.integers(-9, 9, shape[:2]).astype(str(rng.choice(["int8", "int16", "int32"]))),
            "minisblack",
        )
    else:
        array, photometric = rng.integers(0, 65536, (*shape[:2], 4)).astype(np.uint16), "separated"
    data = _tifffile(array, photometric=photometric, orientation=1, icc_profile=None)
    if data is None:
        return _odd_tiff(rng)
    is_cmyk = photometric == "separated"
    return PhotoFile(
        kind=f"odd tiff {array.dtype} {photometric}",
        data=data,
        expected=np.zeros(1) if is_cmyk else None,
        warning="CMYK without" if is_cmyk else "",
    )


def _by_pillow(rng: np.random.Generator) -> PhotoFile:
    """JPEG, WebP, AVIF: as Pillow itself decodes and turns them."""
    kind = str(rng.choice(["JPEG", "JPEG", "WEBP", "WEBP", "AVIF"]))
    is_grey, orientation = kind == "JPEG" and bool(rng.random() < 0.3), int(rng.integers(1, 9))
    has_alpha = kind != "JPEG" and bool(rng.random() < 0.4)
    values = _values(rng, 1 if is_grey else 4 if has_alpha else 3, 8)
    space, profile = _space(rng, is_grey=is_grey)
    options: dict[str, Any] = {"quality": int(rng.integers(60, 100))}
    if profile:
        options["icc_profile"] = profile
    if kind == "WEBP":
        options |= {"lossless": bool(rng.random() < 0.5), "method": 0}
    if kind == "AVIF":
        options["speed"] = 10
    if kind == "JPEG":
        options["progressive"] = bool(rng.random() < 0.3)
    data = saved(Image.fromarray(values[..., 0] if is_grey else values), kind, orientation, **options)
    with Image.open(io.BytesIO(data)) as picture:
        decoded = np.asarray(picture) if kind == "AVIF" else np.asarray(ImageOps.exif_transpose(picture))
    if kind == "AVIF":  # libavif leaves the turn to the reader
        decoded = TURNS[orientation](decoded)
    decoded = decoded[..., None] if decoded.ndim == 2 else decoded
    return PhotoFile(
        kind=f"{kind} {options.get('lossless', '')}",
        data=data,
        expected=_rgb(decoded[..., :3]),
        alpha=decoded[..., 3] if has_alpha and decoded.shape[2] == 4 else None,
        space=space,
        orientation=orientation,
    )


def _adobe_jpeg(rng: np.random.Generator) -> PhotoFile:
    """A camera's Adobe RGB without a profile: EXIF says "uncalibrated" and the interoperability index R03 (DCF 2.0)."""
    values, orientation = _values(rng, 3, 8), int(rng.integers(1, 9))
    exif = exif_block(orientation)
    is_adobe = bool(rng.random() < 0.7)
    exif[0x8769] = {0xA001: 65535 if is_adobe else 1, 0xA005: {1: "R03" if is_adobe else "R98"}}
    kind = str(rng.choice(["JPEG", "WEBP", "PNG"]))
    data = saved(
        Image.fromarray(values), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {"quality": 95})
    )
    with Image.open(io.BytesIO(data)) as picture:
        decoded = np.asarray(ImageOps.exif_transpose(picture))
    space = Space(primaries=_KNOWN_PRIMARIES[1], exponent=563 / 256) if is_adobe else Space()
    return PhotoFile(kind=f"{kind} R03", data=data, expected=decoded, space=space, orientation=orientation)


def _bmp(rng: np.random.Generator) -> PhotoFile:
    """1, 4, 8, 16, 24 and 32 bits, from below or from above, the fourth byte of 32 bits unused or alpha."""
    bits = int(rng.choice([1, 4, 8, 16, 24, 32]))
    height, width = _size(rng)
    is_from_above, has_masks = bool(rng.random() < 0.3), bits == 32 and bool(rng.random() < 0.5)
    palette, alpha = b"", None
    if bits <= 8:
        entries = rng.integers(0, 256, (2**bits, 4), dtype=np.uint8)
        stored = rng.integers(0, 2**bits, (height, width, 1)).astype(np.uint8)
        palette, expected, rows = entries.tobytes(), entries[stored[..., 0]][..., 2::-1], packed(stored, bits)
    elif bits == 16:
        five = rng.integers(0, 32, (height, width, 3)).astype(np.uint16)
        rows = (five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]).astype("<u2").view(np.uint8)
        expected = (five.astype(np.int64) * 255 // 31).astype(np.uint8)
    else:
        stored = rng.integers(0, 256, (height, width, bits // 8), dtype=np.uint8)
        rows, expected = stored.reshape(height, -1), stored[..., 2::-1]
        alpha = stored[..., 3] if has_masks else None
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    rows = rows if is_from_above else rows[::-1]
    size = 108 if has_masks else 40
    head = struct.pack("<IiiHHIIiiII", size, width, -height if is_from_above else height, 1, bits,
                       3 if has_masks else 0, rows.size, 2835, 2835, 0, 0)  # fmt: skip
    if has_masks:
        head += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    start = 14 + len(head) + len(palette)
    data = struct.pack("<2sIHHI", b"BM", start + rows.size, 0, 0, start) + head + palette + rows.tobytes()
    return PhotoFile(
        kind=f"bmp {bits} bits", data=data, expected=np.ascontiguousarray(expected), alpha=alpha,
        tolerance=1.0 if bits == 16 else 0.0,
    )  # fmt: skip


def _exr(rng: np.random.Generator) -> PhotoFile:
    """Half and float; colours, grey, alpha; layers; chromaticities; windows; compressions."""
    size, is_grey = _size(rng), bool(rng.random() < 0.3)
    dtype = np.dtype(rng.choice(["float16", "float32"]))
    layer = "" if is_grey or rng.random() < 0.6 else "beauty."
    names = ["Y"] if is_grey else [f"{layer}{letter}" for letter in "RGB"]
    has_alpha = bool(rng.random() < 0.4)
    names += [f"{layer}A"] * has_alpha
    channels = {name: (rng.random(size) * float(rng.choice([1, 8])) - 0.1).astype(dtype) for name in names}
    if has_alpha:
        channels[names[-1]] = rng.random(size).astype(dtype)
    for other in rng.choice(["depth.Z", "zzz.R", "id.X"], int(rng.integers(0, 3)), replace=False):
        channels[str(other)] = rng.random(size).astype(np.float32)
    header: dict[str, Any] = {
        "compression": [OpenEXR.ZIP_COMPRESSION, OpenEXR.NO_COMPRESSION, OpenEXR.PIZ_COMPRESSION,
                        OpenEXR.RLE_COMPRESSION, OpenEXR.ZIPS_COMPRESSION][int(rng.integers(5))],
        "type": OpenEXR.scanlineimage,
    }  # fmt: skip
    primaries = _LIGHT_PRIMARIES[int(rng.integers(len(_LIGHT_PRIMARIES)))] if rng.random() < 0.5 else None
    if primaries:
        header["chromaticities"] = primaries
    colours = np.dstack([channels[name] for name in names[: 1 if is_grey else 3]])
    alpha = channels[names[-1]] if has_alpha else None
    if rng.random() < 0.4:
        colours, alpha, windows = _windows(rng, colours, alpha)
        header |= windows
    buffer = io.BytesIO()
    OpenEXR.File(header, channels).write(buffer)
    space = Space(primaries=SRGB if is_grey or not primaries else primaries, exponent=1.0, is_grey=is_grey)
    return PhotoFile(kind="exr", data=buffer.getvalue(), expected=_rgb(colours), alpha=alpha, space=space)


def _windows(
    rng: np.random.Generator, colours: Array, alpha: Array | None
) -> tuple[Array, Array | None, dict[str, Any]]:
    """Colours and alpha in a display window that is not the data window, and both windows."""
    height, width = colours.shape[:2]
    left, top = (int(each) for each in rng.integers(-3, 4, 2))
    shown_height, shown_width = (int(each) for each in rng.integers(4, 24, 2))
    seen, covered = np.zeros((shown_height, shown_width, colours.shape[2]), colours.dtype), None
    covered = np.zeros((shown_height, shown_width), colours.dtype)
    for row in range(height):
        for column in range(width):
            y, x = row + top, column + left
            if 0 <= y < shown_height and 0 <= x < shown_width:
                seen[y, x] = colours[row, column]
                covered[y, x] = 1 if alpha is None else alpha[row, column]
    windows = {
        "dataWindow": (np.array([left, top], np.int32), np.array([left + width - 1, top + height - 1], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([shown_width - 1, shown_height - 1], np.int32)),
    }
    is_same = (left, top, width, height) == (0, 0, shown_width, shown_height)
    return seen, alpha if is_same else covered, windows


_MAKERS: tuple[Callable[[np.random.Generator], PhotoFile], ...] = (
    _png, _png, _tiff, _tiff, _shallow_tiff, _odd_tiff, _by_pillow, _adobe_jpeg, _bmp, _exr,
)  # fmt: skip
