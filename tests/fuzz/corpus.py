"""Small sound files of every accepted kind, the seeds of the mutations; and some of kinds that are refused."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from mask2alpha.imaging.encode import Tags, encode_image

PICTURES = Path(__file__).parents[1] / "data" / "pictures"
SIZE = (9, 12)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6" exif:GPSLatitude="47,22N"/>'


def make_corpus() -> dict[str, bytes]:
    """Name to file."""
    rng = np.random.default_rng(0)
    eight = rng.integers(0, 256, (*SIZE, 4), dtype=np.uint8)
    deep = rng.integers(0, 65536, (*SIZE, 4), dtype=np.uint16)
    light = (rng.random((*SIZE, 4)) * 4).astype(np.float32)
    light[..., 3] = rng.random(SIZE)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = Tags(icc_profile=profile, xmp=XMP)
    files = {path.name: path.read_bytes() for path in sorted(PICTURES.iterdir())}
    for name, array in (("grey", eight[..., 0]), ("rgb", eight[..., :3]), ("rgba", eight)):
        for suffix in (".png", ".tif", ".webp"):
            files[name + suffix] = encode_image(array, name + suffix, tags=tags if name == "rgb" else None)
    for suffix in (".png", ".tif"):
        files["deep_rgb" + suffix] = encode_image(deep[..., :3], "a" + suffix, tags=tags)
        files["deep_rgba" + suffix] = encode_image(deep, "a" + suffix)
        files["deep_la" + suffix] = encode_image(deep[..., [0, 3]], "a" + suffix)
        files["deep_grey" + suffix] = encode_image(deep[..., 0], "a" + suffix)
    files["premultiplied.tif"] = encode_image(deep, "a.tif", tags=Tags(is_premultiplied=True))
    files["float.tif"] = encode_image(light[..., :3], "a.tif")
    files["float_grey.tif"] = encode_image(light[..., 0], "a.tif")
    files["float.exr"] = encode_image(light, "a.exr")
    files["half.exr"] = encode_image(light[..., :3].astype(np.float16), "a.exr")
    picture = Image.fromarray(eight[..., :3])
    exif = _exif()
    files["rgb.jpg"] = _saved(picture, "JPEG", exif=exif, icc_profile=profile, quality=85)
    files["progressive.jpg"] = _saved(picture, "JPEG", progressive=True)
    files["grey.jpg"] = _saved(picture.convert("L"), "JPEG")
    files["cmyk.jpg"] = _saved(picture.convert("CMYK"), "JPEG")
    files["lossy.webp"] = _saved(picture, "WEBP", exif=exif)
    files["rgb.avif"] = _saved(picture, "AVIF", exif=exif, quality=60, speed=9)
    files["rgba.avif"] = _saved(Image.fromarray(eight), "AVIF", quality=60, speed=9)
    files["rgb.bmp"] = _saved(picture, "BMP")
    files["palette.png"] = _saved(picture.convert("P"), "PNG", transparency=3)
    files["bits.png"] = _saved(picture.convert("1"), "PNG")
    files["lzw.tif"] = _saved(picture, "TIFF", compression="tiff_lzw")
    files["uncompressed.tif"] = _saved(picture, "TIFF", exif=exif)
    files["jpeg.tif"] = _saved(picture, "TIFF", compression="jpeg")
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 50, zip=True)
    more = [Image.fromarray(255 - eight[..., :3])]
    files["animated.png"] = _saved(picture, "PNG", save_all=True, append_images=more, pnginfo=text)
    files["animated.webp"] = _saved(picture, "WEBP", save_all=True, append_images=more)
    files["refused.gif"] = _saved(picture, "GIF")
    files["refused.psd"] = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, *SIZE, 8, 3) + bytes(64)
    return files


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    exif[0x8769] = {0x9003: "2020:01:01 00:00:00", 0x927C: b"maker's note"}
    exif[0x8825] = {1: "N", 2: (47.0, 22.0, 0.0)}
    return exif.tobytes()
