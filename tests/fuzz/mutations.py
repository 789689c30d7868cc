"""Damage to files: by chance, but the same for the same generator."""

import struct
import zlib

import numpy as np

_HEADER = 160
_NUMBERS = (0, 1, 2, 7, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def mutate(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """One to eight kinds of damage; in a PNG every second time with right checksums, to get past them.

    Args:
        data: The file.
        other: Another, of which pieces may be taken.
        rng: All chance is its.
    """
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 9)) if rng.random() < 0.5 else 1):
        _damage(damaged, other, rng)
        if len(damaged) < 4:
            break
    is_png = damaged[:8] == b"\x89PNG\r\n\x1a\n"
    return _with_checksums(damaged) if is_png and rng.random() < 0.6 else bytes(damaged)


def _damage(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    end = min(len(data), _HEADER) if rng.random() < 0.6 else len(data)
    at = int(rng.integers(0, max(1, end)))
    kind = int(rng.integers(0, 9))
    if kind <= 1:
        data[at] ^= 1 << int(rng.integers(0, 8))
    elif kind == 2:
        data[at] = int(rng.integers(0, 256))
    elif kind <= 4:
        number, order = int(rng.choice(_NUMBERS)), "<>"[int(rng.integers(0, 2))]
        letter = "BHI"[int(rng.integers(0, 3))]
        piece = struct.pack(order + letter, number & (256 ** struct.calcsize(letter) - 1))
        data[at : at + len(piece)] = piece
    elif kind == 5:
        del data[at : len(data) if rng.random() < 0.5 else at + int(rng.integers(1, 64))]
    elif kind == 6:
        data[at:at] = rng.integers(0, 256, int(rng.integers(1, 32)), dtype=np.uint8).tobytes()
    elif kind == 7:
        start = int(rng.integers(0, max(1, len(other))))
        data[at : at + 32] = other[start : start + int(rng.integers(1, 64))]
    else:
        data[at:at] = data[at : at + int(rng.integers(1, 64))]


def _with_checksums(data: bytearray) -> bytes:
    """A PNG whose chunks, as far as their lengths lead, have the right CRC."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return bytes(data)
