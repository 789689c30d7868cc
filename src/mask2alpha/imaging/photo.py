"""A picture as read from a file, what it becomes for the network and for outputs, and what their files say of it.

Four kinds of values: whole numbers that are sRGB or described by a colour profile; floats that a profile describes;
floats without a profile, which are linear light (scene-linear: 1 is a white sheet, lamps are above it); and numbers of
a colour space that the user names, which outputs keep.
"""

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.imaging import colour
from mask2alpha.imaging.colour import Primaries
from mask2alpha.imaging.spaces import SPACES, ColourSpace
from mask2alpha.shapes import Size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Photo:
    """A picture as read from a file, upright."""

    pixels: NDArray[Any]
    """(H, W, 3), uint8, uint16, float16 or float32; colours where the file has alpha are those stored under it."""
    alpha: NDArray[Any] | None = None
    """(H, W), the dtype of `pixels`: the file's own alpha channel, if it has one."""
    is_grey: bool = False
    """The file holds one channel, three times in `pixels`; a profile is then a grey one."""
    icc_profile: bytes | None = None
    """The colour profile that `pixels` are in; None means sRGB, and for floats linear light."""
    primaries: Primaries | None = None
    """Of linear light or of `space`: the colours of the three channels, where they are known; None: those of sRGB."""
    space: ColourSpace | None = None
    """What the user says that the numbers are, in place of a profile; None: the file says it."""
    exif: bytes | None = None
    """Descriptive tags of the file's EXIF block, the orientation set to upright; with the place, if it is stated."""
    xmp: bytes | None = None
    """The file's XMP packet, unchanged."""
    resolution: tuple[float, float] | None = None
    """Pixels per inch, across and down, where the file states them."""
    orientation: int = 1
    """EXIF's, 1 to 8, as the file states it; it has been undone."""

    @property
    def size(self) -> Size:
        """(height, width)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def is_linear(self) -> bool:
        """Whether the values are linear light."""
        is_light = self.space is None or self.space.to_light is None
        return bool(np.issubdtype(self.pixels.dtype, np.floating)) and self.icc_profile is None and is_light

    def taken_as(self, name: str | None) -> "Photo":
        """The same pixels, whose numbers are those of a colour space by its name; None: what the file says.

        Raises:
            InputError: The name is not one of `SPACES`.
        """
        if name is None:
            return self
        if name not in SPACES:
            raise InputError(f"color space {name!r} is not known; accepted: {', '.join(SPACES)}")
        is_usual = name == "srgb" and self.pixels.dtype.kind == "u"
        space = SPACES[name]
        primaries = space.primaries or self.primaries
        return replace(
            self, icc_profile=None, primaries=None if is_usual else primaries, space=None if is_usual else space
        )

    def in_srgb(self) -> "Photo":
        """What the network sees: uint8 or uint16, sRGB.

        The photo itself if it is sRGB already, with its profile. Linear light above
        0.8 is compressed, so that nothing is clipped.
        """
        if self.is_linear or self.space is not None:
            light = self.pixels if self.space is None else self.space.light(self.pixels)
            pixels = colour.srgb_from_linear(light, self.primaries, has_shoulder=True)
            return replace(self, pixels=pixels, primaries=None, space=None)
        if self.icc_profile is None or colour.is_like_srgb(self.icc_profile):
            return self if self.pixels.dtype.kind == "u" else self._with_depth(16)
        return replace(self, pixels=colour.srgb_from_profile(self.pixels, self.icc_profile), icc_profile=None)

    def for_output(self, suffix: str, bits: int | None = None) -> "Photo":
        """The photo in values that a format can hold.

        Args:
            suffix: Of the file to write: ".exr" wants linear light, ".tif" takes any values, the others whole numbers.
            bits: Per sample: 8 or 16 whole, 32 or (EXR) 16 floating; None: what keeps the photo's own values.

        Returns:
            The photo itself where nothing has to change. Linear light becomes sRGB where whole numbers are asked for;
            what is below 0 or above 1 is clipped then.
        """
        suffix = suffix.lower()
        if suffix == ".exr":
            return self._linear(bits)
        if suffix in (".tif", ".tiff"):
            if bits == 32 or (bits is None and self.pixels.dtype.kind == "f"):
                return self._as_float()
            return self._with_depth(bits)
        return self._with_depth(bits if suffix == ".png" else 8)

    def _linear(self, bits: int | None) -> "Photo":
        if bits is None:
            bits = 16 if self.pixels.dtype in (np.uint8, np.float16) else 32
        dtype = np.float16 if bits == 16 else np.float32
        if self.space is not None and self.pixels.dtype.kind == "u":
            return replace(self, pixels=(self.pixels / np.float32(np.iinfo(self.pixels.dtype).max)).astype(dtype))
        if self.is_linear or self.space is not None:
            largest = np.finfo(dtype).max
            if self.pixels.dtype.itemsize > np.dtype(dtype).itemsize and np.abs(self.pixels).max() > largest:
                warnings.warn(f"values above {largest:g} were clipped; 32-bit .exr keeps them", stacklevel=3)
                return replace(self, pixels=np.clip(self.pixels, -largest, largest).astype(dtype))
            pixels = self.pixels.astype(dtype, copy=False)
            return self if pixels is self.pixels else replace(self, pixels=pixels)
        pixels = colour.linear_from_profile(self.pixels, self.icc_profile).astype(dtype)
        return replace(self, pixels=pixels, icc_profile=None)

    def _as_float(self) -> "Photo":
        if self.is_linear and self.primaries is not None and self.space is None:  # which TIFF does not state
            return replace(self, pixels=colour.to_srgb_primaries(self.pixels, self.primaries), primaries=None)
        if self.pixels.dtype == np.float32:
            return self
        if self.is_linear or self.icc_profile is None:  # also the numbers of a space
            return self._linear(32)
        scale = 1 if self.pixels.dtype.kind == "f" else np.iinfo(self.pixels.dtype).max
        return replace(self, pixels=self.pixels.astype(np.float32) / np.float32(scale))

    def _with_depth(self, bits: int | None) -> "Photo":
        """Whole numbers of 8 or 16 bits; None: as many as the photo has, 16 for floats."""
        if bits is None:
            bits = 8 if self.pixels.dtype == np.uint8 else 16
        if self.pixels.dtype.kind == "f" and self.icc_profile is None and self.pixels.max() > 1:
            warnings.warn("values brighter than white (above 1) were clipped; .exr keeps them", stacklevel=3)
        if self.is_linear:
            pixels = colour.srgb_from_linear(self.pixels, self.primaries)
            return replace(self, pixels=pixels, primaries=None, space=None)._with_depth(bits)
        pixels = colour.with_depth(self.pixels, bits)
        return self if pixels is self.pixels else replace(self, pixels=pixels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """What a file says about its pixels."""

    icc_profile: bytes | None = None
    """The profile that the colours are in; one that describes other channels than the picture has is left out."""
    primaries: Primaries | None = None
    """Of linear light, in OpenEXR only."""
    is_premultiplied: bool = False
    """Whether the colours are multiplied by alpha; the file says which, and WebP cannot hold it."""
    exif: bytes | None = None
    """Without orientation, or with 1. OpenEXR holds none of it, TIFF only the texts."""
    xmp: bytes | None = None
    """Not held by OpenEXR."""
    resolution: tuple[float, float] | None = None
    """Pixels per inch, across and down; WebP holds it in EXIF."""
    compression: str = "zip"
    """Of OpenEXR: one of `imaging.exr.COMPRESSIONS`."""
