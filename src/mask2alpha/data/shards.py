"""Sources in tar files of a bounded size, for data sets larger than memory and machines that share a file system.

The folder contains:

    shard-00000.tar    NAME.colour.webp and NAME.alpha.png of foregrounds, NAME.webp of backgrounds: WebDataset's layout
    index.npz          where each picture lies in which tar, and how often it is drawn
    SOURCES.json       the data card, if there is one

Foregrounds are stored as they are composed: trimmed, shrunk, colours extended under their soft alpha. The index gives
access to any picture, so sample i of a run does not depend on the order of the tars, and a resumed run continues
exactly; a stream with a shuffle buffer can do neither. A shared file system opens a few large files instead of many.
"""

import io
import json
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2alpha.data.cutout import Cutout
from mask2alpha.data.sources import LazyItems, PhotoPool, Pool, Sources, UInt8Array
from mask2alpha.errors import InputError
from mask2alpha.imaging.atomic import replacing

INDEX = "index.npz"
SHARD_BYTES = 256 * 2**20
_VERSION = 1
_HEADER_BYTES = 512
_LOSSLESS = 101


def write_shards(
    sources: Sources,
    folder: Path | str,
    *,
    quality: int | None = None,
    shard_bytes: int = SHARD_BYTES,
    data_card: Any = None,
) -> None:
    """Write foregrounds and backgrounds to a new folder of shards.

    Args:
        sources: Read item by item, so that data sets opened by `open_sources` may be larger than memory.
        folder: A new folder, or one without shards.
        quality: WebP quality of the colours, 1 to 100; None: lossless. Alphas are always lossless.
        shard_bytes: A new tar begins when one is larger than this.
        data_card: Origin and licences of the pictures, any JSON.

    Raises:
        InputError: The folder already holds shards, or a picture of the sources is broken.
    """
    folder = Path(folder)
    if is_sharded(folder):
        raise InputError(f"{folder} already holds shards; give a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    writer = _Writer(folder, shard_bytes)
    colours, alphas, photos = [], [], []
    for number, cutout in enumerate(sources.cutouts.items if sources.cutouts is not None else ()):
        colours.append(writer.add(f"f{number:08}.colour.webp", _encode_colours(cutout.colour, quality)))
        alphas.append(writer.add(f"f{number:08}.alpha.png", _encode(".png", cutout.alpha)))
    for number, photo in enumerate(sources.photos.items):
        photos.append(writer.add(f"b{number:08}.webp", _encode_colours(photo, quality)))
    writer.close()
    if data_card is not None:
        (folder / "SOURCES.json").write_text(json.dumps(data_card, indent=2), encoding="utf-8")
    about = {
        "foregrounds": {} if sources.cutouts is None else sources.cutouts.set_sizes,
        "backgrounds": sources.photos.set_sizes,
    }
    with replacing(folder / INDEX) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            version=np.int64(_VERSION),
            about=np.array(json.dumps(about)),
            procedural_share=np.float64(sources.procedural_share),
            cutout_weights=sources.cutouts.weights if sources.cutouts is not None else np.zeros(0),
            photo_weights=sources.photos.weights,
            colours=np.array(colours, np.int64).reshape(-1, 3),
            alphas=np.array(alphas, np.int64).reshape(-1, 3),
            photos=np.array(photos, np.int64).reshape(-1, 3),
        )


def is_sharded(folder: Path) -> bool:
    """Whether a folder is one that `write_shards` has finished."""
    return (folder / INDEX).is_file()


def open_shards(folder: Path | str) -> Sources:
    """Open a folder of shards; pictures are read when they are drawn.

    Raises:
        InputError: The index is missing or damaged, or a tar is missing or too short; names it.
    """
    folder = Path(folder)
    try:
        with np.load(folder / INDEX, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files}
        version, about = int(content["version"]), json.loads(str(content["about"]))
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise InputError(f"{folder}: not a folder of shards: {error}") from error
    if version != _VERSION:
        raise InputError(f"{folder}: shards of version {version}; expected {_VERSION}")
    colours, alphas, photos = (content[name] for name in ("colours", "alphas", "photos"))
    _check_sizes(folder, np.concatenate([colours, alphas, photos]))

    def read_cutout(index: int) -> Cutout:
        return Cutout(_read_colours(folder, colours[index]), _read(folder, alphas[index], cv2.IMREAD_GRAYSCALE))

    def read_photo(index: int) -> UInt8Array:
        return _read_colours(folder, photos[index])

    pool = None
    if len(colours):
        items = LazyItems([partial(read_cutout, index) for index in range(len(colours))])
        pool = Pool(items, content["cutout_weights"], about["foregrounds"])
    photo_items = LazyItems([partial(read_photo, index) for index in range(len(photos))])
    photo_pool = PhotoPool(photo_items, content["photo_weights"], about["backgrounds"])
    return Sources(pool, photo_pool, float(content["procedural_share"]))


class _Writer:
    """Appends files to tars, and says where they lie: number of the tar, offset and length in bytes."""

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self.folder = folder
        self.shard_bytes = shard_bytes
        self.number = -1
        self.tar: tarfile.TarFile | None = None

    def add(self, name: str, content: bytes) -> tuple[int, int, int]:
        if self.tar is None or self.tar.offset > self.shard_bytes:
            self.close()
            self.number += 1
            self.tar = tarfile.open(_shard(self.folder, self.number), "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        member = tarfile.TarInfo(name)
        member.size = len(content)
        start = self.tar.offset + _HEADER_BYTES
        self.tar.addfile(member, io.BytesIO(content))
        return self.number, start, len(content)

    def close(self) -> None:
        if self.tar is not None:
            self.tar.close()


def _shard(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05}.tar"


def _check_sizes(folder: Path, places: NDArray[np.int64]) -> None:
    for number in np.unique(places[:, 0]):
        shard, within = _shard(folder, int(number)), places[places[:, 0] == number]
        expected = int((within[:, 1] + within[:, 2]).max())
        if not shard.is_file():
            raise InputError(f"{shard}: no such file")
        if shard.stat().st_size < expected:
            raise InputError(f"{shard}: too short: {shard.stat().st_size} bytes, but the index expects {expected}")


def _read_colours(folder: Path, place: NDArray[np.int64]) -> UInt8Array:
    return np.ascontiguousarray(_read(folder, place, cv2.IMREAD_COLOR)[..., ::-1])


def _read(folder: Path, place: NDArray[np.int64], flags: int) -> UInt8Array:
    number, start, length = (int(value) for value in place)
    shard = _shard(folder, number)
    try:
        with shard.open("rb") as file:
            file.seek(start)
            content = np.frombuffer(file.read(length), np.uint8)
        picture = cv2.imdecode(content, flags) if content.size == length else None
    except (OSError, cv2.error) as error:
        raise InputError(f"{shard}: the picture at byte {start} cannot be read: {error}") from error
    if picture is None:
        raise InputError(f"{shard}: the picture at byte {start} is damaged")
    return np.asarray(picture, np.uint8)


def _encode_colours(colours: UInt8Array, quality: int | None) -> bytes:
    return _encode(".webp", colours[..., ::-1], cv2.IMWRITE_WEBP_QUALITY, quality or _LOSSLESS)


def _encode(suffix: str, picture: UInt8Array, *options: int) -> bytes:
    is_encoded, content = cv2.imencode(suffix, picture, options)
    assert is_encoded, picture.shape
    return bytes(content.tobytes())
