"""The table of docs/files.md, "what a mask may be": a file for each row, read as the row says."""

import io
import re
import shutil
import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.imaging.fitted_masks import read_fitted_mask
from mask2alpha.ops.masks import MaskChoice
from mask2alpha.video.clips import open_clip, open_masks

DISC = np.hypot(*np.mgrid[-20:20, -30:30]) < 15
WHITE = DISC * np.uint8(255)
PARTS = DISC.astype(np.uint8) * (1 + (np.arange(60) >= 30)).astype(np.uint8)
SOFT = np.clip((18 - np.hypot(*np.mgrid[-20:20, -30:30])) * 32, 0, 255).astype(np.uint8)
UNIT = SOFT / np.float32(255)
NOISE = np.random.default_rng(1).integers(0, 256, (*DISC.shape, 3), dtype=np.uint8)
COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)[PARTS]
SECOND = np.where(PARTS == 2, np.uint8(255), np.uint8(0))


def by_pillow(values: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()


def palette(values: NDArray[np.uint8], *colours: int) -> bytes:
    picture = Image.fromarray(values).convert("P")
    picture.putdata(values.flatten().tolist())
    picture.putpalette(colours)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def tiff(values: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="minisblack")
    return buffer.getvalue()


def exr(**channels: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    planes = {name.replace("_", "."): plane.astype(np.float32) for name, plane in channels.items()}
    OpenEXR.File(header, planes).write(buffer)
    return buffer.getvalue()


def turned(values: NDArray[Any], orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x112] = orientation
    return by_pillow(values, exif=exif)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A file of a row, and what becomes of it."""

    data: bytes
    reads: NDArray[np.uint8] | str
    """The mask; or how it is refused."""
    says: str = ""
    """The warning."""
    choices: Mapping[MaskChoice, NDArray[np.uint8]] = field(default_factory=dict)
    """What is read with a choice."""
    tolerance: int = 0
    size: tuple[int, int] = DISC.shape
    """Of the photo."""
    orientation: int = 1
    """The photo's."""


ROWS = {
    "two values: 1 bit, 0/1, black and white in 2, 4, 8 or 16 bits": [
        Row(data=by_pillow(DISC), reads=WHITE),
        Row(data=by_pillow(DISC.astype(np.uint8)), reads=WHITE),
        Row(data=by_pillow(WHITE), reads=WHITE),
        Row(data=by_pillow(DISC * np.uint16(65535)), reads=WHITE),
    ],
    "two values near black and white, such as 0/254 or 16/235; 0/255 in 16 bits": [
        Row(data=by_pillow(DISC * np.uint8(254)), reads=WHITE, says="254 was taken for the target"),
        Row(data=by_pillow(np.where(DISC, np.uint8(235), np.uint8(16))), reads=WHITE, says="235 was taken"),
        Row(data=by_pillow(DISC * np.uint16(255)), reads=WHITE, says="255 was taken for the target"),
    ],
    "a soft mask: many greys up to white": [
        Row(data=by_pillow(SOFT), reads=SOFT),
        Row(data=by_pillow(SOFT * np.uint16(257)), reads=SOFT),
    ],
    "a trimap: black, middle grey, white": [
        Row(data=by_pillow(np.array([0, 128, 255], np.uint8)[PARTS]), reads=np.array([0, 128, 255], np.uint8)[PARTS]),
    ],
    "middle grey alone": [
        Row(data=by_pillow(np.full(DISC.shape, 128, np.uint8)), reads=np.full(DISC.shape, 128, np.uint8)),
    ],
    "floats in [0, 1]": [
        Row(data=tiff(UNIT), reads=SOFT),
        Row(data=tiff(1.4 * UNIT - np.float32(0.2)), tolerance=1,
            reads=np.clip(1.4 * SOFT - 51, 0, 255).astype(np.uint8)),
    ],
    "floats beyond that": [
        Row(data=tiff(255 * UNIT), reads="divide it by 255"),
        Row(data=tiff(7 * DISC.astype(np.float32)), reads="--label 7", choices={MaskChoice(label="7"): WHITE}),
    ],
    "signed samples, or 32-bit whole numbers in TIFF": [
        Row(data=tiff(DISC.astype(np.int8)), reads="signed samples"),
        Row(data=tiff(DISC.astype(np.int16)), reads="signed samples"),
        Row(data=tiff(DISC.astype(np.uint32)), reads="32-bit|uint32"),
    ],
    "a map of labels: whole numbers of which none is nearly white (0/7, 0/128), or few values that fill whole regions "
    '(0/85/170/255; 255 as "not labelled")': [
        Row(data=by_pillow(DISC * np.uint8(7)), reads=r"0 \(.*7 \(.*--label 7", choices={
            MaskChoice(label="7"): WHITE, MaskChoice(channel="grey"): WHITE,
        }),
        Row(data=by_pillow(DISC * np.uint8(128)), reads="--label 128"),
        Row(data=by_pillow(PARTS * np.uint8(85)), reads="--label 85|--label 170",
            choices={MaskChoice(label="170"): SECOND}),
        Row(data=by_pillow(np.where(np.arange(60) < 50, PARTS, np.uint8(255))), reads="--label", choices={
            MaskChoice(label="2"): np.where(np.arange(60) < 50, SECOND, np.uint8(0)),
        }),
        Row(data=by_pillow(PARTS * np.uint8(85)), reads="--label",
            choices={MaskChoice(channel="grey"): PARTS * np.uint8(85)}),
    ],
    "a palette, or colours, without colours: all greys": [
        Row(data=palette(DISC.astype(np.uint8), 255, 255, 255, 0, 0, 0), reads=255 - WHITE),
        Row(data=by_pillow(SOFT[..., None].repeat(3, 2)), reads=SOFT),
    ],
    "a palette in colours": [
        Row(data=palette(PARTS, 0, 0, 0, 128, 0, 0, 0, 128, 0), reads=r"0 \(#000000\).*1 \(#800000\)", choices={
            MaskChoice(label="2"): SECOND, MaskChoice(label="#008000"): SECOND,
        }),
    ],
    "colours, such as one colour per instance": [
        Row(data=by_pillow(COLOURS), reads="#800000", choices={
            MaskChoice(label="#008000"): SECOND, MaskChoice(channel="green"): SECOND,
        }),
    ],
    "many colours": [Row(data=by_pillow(NOISE), reads="looks like a photograph")],
    "an alpha channel that varies over a photo, or over one colour": [
        Row(data=by_pillow(np.dstack([NOISE, SOFT])), reads=SOFT),
        Row(data=by_pillow(np.dstack([0 * NOISE + 9, SOFT])), reads=SOFT),
    ],
    "an alpha channel that varies over something drawn in few colours": [
        Row(data=by_pillow(np.dstack([COLOURS, SOFT | 1])), reads="--channel alpha, --channel grey or --label",
            choices={
            MaskChoice(channel="alpha"): SOFT | 1, MaskChoice(label="#008000"): SECOND,
        }),
    ],
    "an alpha channel that is the same everywhere": [
        Row(data=by_pillow(np.dstack([WHITE[..., None].repeat(3, 2), np.full(DISC.shape, 99, np.uint8)])), reads=WHITE),
        Row(data=by_pillow(np.dstack([COLOURS, np.full(DISC.shape, 255, np.uint8)])), reads="#800000"),
    ],
    "JPEG, lossy WebP, AVIF, HEIC": [
        *(Row(data=by_pillow(SOFT[..., None].repeat(3, 2), kind, quality=95), reads=SOFT, tolerance=24)
          for kind in ("JPEG", "WEBP", "AVIF")),
        *(Row(data=by_pillow(np.full((40, 60, 3), 4, np.uint8), kind, quality=95), reads=np.zeros((40, 60), np.uint8))
          for kind in ("JPEG", "WEBP", "AVIF")),
        Row(data=by_pillow(COLOURS, "JPEG", quality=95), reads="colours"),
    ],
    "OpenEXR with one channel, whatever its name": [
        Row(data=exr(thing_Q=DISC), reads=WHITE),
        Row(data=exr(A=UNIT), reads=SOFT),
    ],
    "OpenEXR with R, G, B or Y, and others": [
        Row(data=exr(Y=DISC, roto_A=PARTS == 2, roto_X=UNIT), reads=WHITE, says="--channel chooses another", choices={
            MaskChoice(channel="roto.A"): SECOND, MaskChoice(channel="roto"): SECOND,
        }),
        Row(data=exr(R=DISC, G=DISC, B=DISC, id_X=PARTS), reads=WHITE, says="--channel chooses another"),
    ],
    "OpenEXR with several others": [
        Row(data=exr(left_A=DISC, right_A=PARTS == 2), reads=r"left\.A, right\.A; choose with --channel", choices={
            MaskChoice(channel="right"): SECOND,
        }),
    ],
    "of the photo's size": [Row(data=by_pillow(SOFT), reads=SOFT, orientation=6)],
    "of the photo's aspect, within a pixel or 1 %": [
        Row(data=by_pillow(WHITE.repeat(2, 0).repeat(2, 1)), reads=WHITE, says="resized", tolerance=0),
        Row(data=by_pillow(np.pad(WHITE, ((0, 0), (0, 1)))[:, :59]), reads=np.pad(WHITE[:, :59], ((0, 0), (0, 1))),
            says="resized", tolerance=255),
    ],
    "of the photo's sides, swapped, where EXIF turned the photo, or the display matrix the clip": [
        Row(data=by_pillow(np.rot90(SOFT)), reads=SOFT, says="as the camera saw it", orientation=6),
        Row(data=by_pillow(np.rot90(SOFT, -1)), reads=SOFT, says="as the camera saw it", orientation=8),
    ],
    "with an orientation of its own in EXIF": [
        Row(data=turned(np.rot90(SECOND), 6), reads=SECOND),
        Row(data=turned(np.fliplr(SECOND), 2), reads=SECOND),
        Row(data=turned(np.flipud(SECOND), 4), reads=SECOND, orientation=6),
    ],
    "of another aspect": [
        Row(data=by_pillow(WHITE[:, :50]), reads="another aspect.*--fit stretch"),
        Row(data=by_pillow(WHITE.T), reads="sides are swapped.*--fit stretch"),
        Row(data=by_pillow(np.zeros((9, 9), np.uint8)), reads=0 * WHITE),
        Row(data=by_pillow(np.full((9, 9), 255, np.uint8)), reads=0 * WHITE + 255),
        Row(data=by_pillow(WHITE.repeat(2, 1)), reads="another aspect", choices={MaskChoice(fit="stretch"): WHITE}),
    ],
}  # fmt: skip
"""First cell of a row to files of that kind; a clip has a test of its own."""
CLIP = "a clip of masks (`video`)"


def test_the_table_has_these_rows() -> None:
    text = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
    table = text.partition("| a mask may be | how it is read |\n| --- | --- |\n")[2].partition("\n\n")[0]
    assert [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()] == [
        *list(ROWS)[: list(ROWS).index("of the photo's size")],
        CLIP,
        *list(ROWS)[list(ROWS).index("of the photo's size") :],
    ]


@pytest.mark.parametrize(("name", "place"), [(name, place) for name in ROWS for place in range(len(ROWS[name]))])
def test_a_file_is_read_as_the_table_says(tmp_path: Path, name: str, place: int) -> None:
    row = ROWS[name][place]
    (tmp_path / "mask").write_bytes(row.data)

    def read(choice: MaskChoice) -> NDArray[np.uint8]:
        return read_fitted_mask(tmp_path / "mask", row.size, orientation=row.orientation, choice=choice).as_bytes()

    if isinstance(row.reads, str):
        with pytest.raises((ImageFileError, InputError), match=row.reads):
            read(MaskChoice())
    else:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            mask = read(MaskChoice())
        told = " ".join(str(warning.message) for warning in caught)
        assert re.search(row.says, told) if row.says else not told
        assert np.abs(mask.astype(int) - row.reads).max() <= row.tolerance
        assert np.mean(mask != row.reads) < 0.05 or row.tolerance < 255
    for choice, expected in row.choices.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.array_equal(read(choice) > 127, expected > 127), choice


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not on PATH")
def test_a_clip_of_masks_is_read_frame_by_frame_and_warned_of_once(tmp_path: Path) -> None:
    for folder, frame in (("frames", NOISE), ("masks", WHITE // 255 * np.uint8(250))):
        (tmp_path / folder).mkdir()
        for number in range(3):
            Image.fromarray(frame).save(tmp_path / folder / f"{number}.png")
        command = ["ffmpeg", "-v", "error", "-i", tmp_path / folder / "%d.png", "-c:v", "ffv1", "-pix_fmt", "bgr0"]
        subprocess.run([*command, tmp_path / f"{folder}.mkv"], check=True)
    masks = open_masks(tmp_path / "masks.mkv", open_clip(tmp_path / "frames.mkv"))
    with pytest.warns(UserWarning, match="only the values 0 and 250") as caught:
        frames = list(masks.frames())
    assert len(caught) == 1
    assert len(frames) == 3
    assert all(np.array_equal(frame, WHITE) for frame in frames)
