"""Sound photo files of random kinds, and what each must look like: written and judged without our own reading code.

A picture is stored in a random container, depth, palette, layout, layer, orientation and colour space. `PhotoFile` says
what a reader must see. What is read is then written in a random format, read again by Pillow, tifffile, OpenEXR or
OpenCV, and must show the same colours. File number i of a seed is always the same.
"""

import io
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import OpenEXR
import tifffile
from PIL import Image, ImageCms
from tests.fuzz.light import SRGB, Space, srgb_values
from tests.fuzz.photo_files import PhotoFile, make_photo_file
from tests.fuzz.sound import Array, SoundReport, judge_all

from mask2alpha.errors import ImageFileError
from mask2alpha.imaging.decode import decode_image
from mask2alpha.imaging.encode import Tags, encode_image
from mask2alpha.imaging.photo import Photo

_TOLERANCE = 2.0 / 255
"""Of sRGB values: 8-bit conversions round twice."""


def fuzz_photos(seed: int, *, first: int, count: int, seconds: float, clock: Callable[[], float]) -> SoundReport:
    """Read files `first` to `first + count - 1`, or as many as the time allows, write them again, and compare."""

    def judge(index: int) -> tuple[str, bool, str]:
        rng = np.random.default_rng((seed, index))
        file = make_photo_file(rng)
        return file.kind, file.expected is None, _problem(file, rng)

    return judge_all(judge, first=first, count=count, seconds=seconds, clock=clock)


def _problem(file: PhotoFile, rng: np.random.Generator) -> str:
    """What is wrong; "" for nothing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            photo = decode_image(file.data)
        except ImageFileError as error:
            return "" if file.expected is None else f"refused: {error}"
        if file.expected is None:
            return "read, but is of a kind whose colours are not known"
        told = [str(each.message) for each in caught]
        if file.warning:
            return "" if any(file.warning in message for message in told) else f"no warning of {file.warning}: {told}"
        if told:
            return f"warned without reason: {told}"
        return _misread(file, photo) or _miswritten(file, photo, rng)


def _misread(file: PhotoFile, photo: Photo) -> str:
    assert file.expected is not None
    if photo.pixels.shape != file.expected.shape or photo.pixels.dtype != file.expected.dtype:
        return f"is {photo.pixels.shape} {photo.pixels.dtype}, not {file.expected.shape} {file.expected.dtype}"
    if _difference(photo.pixels, file.expected) > file.tolerance:
        return f"pixels differ by {_difference(photo.pixels, file.expected)}"
    if (photo.alpha is None) != (file.alpha is None):
        return "has alpha" if photo.alpha is not None else "has lost its alpha"
    if photo.alpha is not None and _difference(photo.alpha, file.alpha) > file.tolerance:
        return f"alpha differs by {_difference(photo.alpha, file.alpha)}"
    if photo.is_grey != file.space.is_grey:
        return f"grey is {photo.is_grey}"
    if photo.orientation != file.orientation:
        return f"orientation is {photo.orientation}, not {file.orientation}"
    if file.resolution and (
        photo.resolution is None or np.abs(np.subtract(photo.resolution, file.resolution)).max() > 0.51
    ):
        return f"resolution is {photo.resolution}, not {file.resolution}"
    light = file.space.light(_unit(photo.pixels))
    error = np.abs(_unit(photo.in_srgb().pixels) - srgb_values(np.clip(light, 0, 1)))
    if photo.is_linear and photo.pixels.max() > 1:  # highlights are compressed for the network
        error = error[(light.max(axis=2) <= 0.8) & (light.min(axis=2) >= 0)]
    return f"sRGB differs by {255 * error.max():.1f} of 255" if error.size and error.max() > _TOLERANCE else ""


def _miswritten(file: PhotoFile, photo: Photo, rng: np.random.Generator) -> str:
    """What is wrong with the photo's colours in a file of another format, as an independent reader sees them."""
    name = str(rng.choice(["png", "tif", "exr", "webp"]))
    output = photo.for_output(f".{name}")
    opaque = np.ones(output.pixels.shape[:2]) * (1 if output.pixels.dtype.kind == "f" else _top(output.pixels))
    array = np.dstack([output.pixels, opaque.astype(output.pixels.dtype)]) if rng.random() < 0.5 else output.pixels
    if photo.is_grey and output.is_grey and name in ("png", "tif"):
        array = array[..., [0, 3]] if array.shape[2] == 4 else array[..., 0]
    elif photo.is_grey and output.icc_profile:
        output = output.in_srgb().for_output(f".{name}")
        array = output.pixels
    data = encode_image(array, f"a.{name}", tags=Tags(icc_profile=output.icc_profile, primaries=output.primaries))
    light, wanted = _reread(data, name), file.space.light(_unit(photo.pixels))
    if name == "exr" or (name == "tif" and photo.is_linear):
        scale = np.maximum(1, np.abs(wanted))
        error = (np.abs(light - wanted) / scale).max()
        limit = 0.004 if output.pixels.dtype == np.float16 or photo.pixels.dtype == np.uint8 else 0.002
        return f"light in .{name} differs by {error:.4f}" if error > limit else ""
    error = np.abs(srgb_values(np.clip(light, 0, 1)) - srgb_values(np.clip(wanted, 0, 1)))
    over = error > _TOLERANCE + _step(_unit(photo.pixels), file.space)
    if photo.is_grey:  # LittleCMS interpolates grey between 33 places, which is coarse in the dark
        over &= _unit(photo.pixels) > 9 / 255
    return f"sRGB in .{name} differs by {255 * error[over].max():.1f} of 255" if over.any() else ""


def _reread(data: bytes, name: str) -> Array:
    """The linear light, in the primaries of sRGB, that a file of ours shows to another reader."""
    if name == "exr":
        part = OpenEXR.File(io.BytesIO(data), separate_channels=True).parts[0]
        planes = {key: channel.pixels.astype(np.float64) for key, channel in part.channels.items()}
        colours = np.dstack([planes["R" if "R" in planes else "Y"]] * 3) if "R" not in planes else np.dstack(
            [planes[key] for key in "RGB"])  # fmt: skip
        chromaticities = tuple(float(each) for each in part.header.get("chromaticities", SRGB))
        return Space(primaries=chromaticities, exponent=1).light(colours)
    if name == "tif":
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            array, profile = file.pages[0].asarray(), file.pages[0].tags.valueof(34675)
    elif name == "png":
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if array.ndim == 3:
            array = array[..., [2, 1, 0, 3][: array.shape[2]]]
        profile = Image.open(io.BytesIO(data)).info.get("icc_profile")
    else:
        picture = Image.open(io.BytesIO(data))
        array, profile = np.asarray(picture), picture.info.get("icc_profile")
    colours = array[..., None] if array.ndim == 2 else array
    is_grey = colours.shape[2] < 3 or (profile is not None and bytes(profile)[16:20] == b"GRAY")  # OpenCV gives colours
    colours = colours[..., :1] if is_grey else colours[..., :3]
    if array.dtype.kind == "f" and profile is None:
        return Space(exponent=1, is_grey=True).light(np.repeat(colours, 3 // colours.shape[2], axis=2))
    values = _unit(colours)
    if profile is not None:
        values = _by_littlecms(np.rint(255 * values).astype(np.uint8), bytes(profile)) / 255
    return Space(is_grey=True).light(np.repeat(values, 3 // values.shape[2], axis=2))


def _by_littlecms(values: Array, profile: bytes) -> Array:
    """8-bit colours, or grey, to sRGB."""
    picture = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    shown = ImageCms.profileToProfile(picture, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert shown is not None
    return np.asarray(shown)


def _step(values: Array, space: Space) -> Array:
    """How far sRGB may move where each stored value moves by half of 1/255: far, in the dark of a linear space.

    The channels move together: at the edge of the gamut, only all three of them may bring a colour into it.
    """
    step = 0.6 / 255
    moved = [
        _srgb(space, np.clip(values + step * np.array(signs), 0, 1)) for signs in itertools.product((-1, 1), repeat=3)
    ]
    return np.max(moved, axis=0) - np.min(moved, axis=0)


def _srgb(space: Space, values: Array) -> Array:
    return srgb_values(np.clip(space.light(values), 0, 1))


def _unit(values: Array) -> Array:
    return values.astype(np.float64) / (1 if values.dtype.kind == "f" else _top(values))


def _top(values: Array) -> int:
    return int(np.iinfo(values.dtype).max)


def _difference(one: Array, other: Any) -> float:
    return float(np.abs(one.astype(np.float64) - other).max())
