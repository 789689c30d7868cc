"""Parts of picture files that Pillow does not make."""

import struct
import zlib

import numpy as np
from PIL import ImageCms

SRGB_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def linear_profile() -> bytes:
    """sRGB's colours with linear values: LittleCMS's profile, its exponents set to 1 and its straight parts cut off."""
    profile = bytearray(SRGB_PROFILE)
    at = profile.index(b"para\0\0\0\0\0\3")
    profile[at + 8 : at + 32] = np.array([0, 0x10000, 0x10000, 0, 0x10000, 0], dtype=">u4").tobytes()
    profile[at + 8 : at + 12] = b"\0\3\0\0"
    profile[at + 12 : at + 32] = np.array([0x10000, 0x10000, 0, 0x10000, 0], dtype=">u4").tobytes()
    return bytes(profile)


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    """A PNG file with a further chunk before its pixels."""
    at = png.index(b"IDAT") - 4
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return png[:at] + chunk + png[at:]
