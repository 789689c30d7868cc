"""Recognises the format of a file by its content; other formats are refused, with advice."""

from mask2alpha.errors import ImageFileError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIF", "EXR", "BMP")
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".exr", ".bmp",
)  # fmt: skip
"""Names under which pictures are looked for in folders; what a file is, its content decides."""

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\x76\x2f\x31\x01": "EXR",
    b"BM": "BMP",
}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}
_REFUSED = {
    b"8BPS": "a Photoshop document; export it as PNG or TIFF (File > Export, or Save a Copy)",
    b"GIF8": "a GIF; save it as PNG",
    b"FUJIFILMCCD-RAW": "a camera raw file; develop it to a 16-bit TIFF first",
    b"\xff\x0a": "a JPEG XL picture; save it as PNG, TIFF or AVIF",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture; save it as PNG, TIFF or AVIF",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture; save it as PNG or TIFF",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture; save it as PNG or TIFF",
    b"%PDF": "a PDF; save the page as PNG or TIFF",
    b"%!PS": "a PostScript file; save it as PNG or TIFF",
    b"gimp xcf": "a GIMP project; export it as PNG or TIFF (File > Export As)",
}
_CAMERA_RAW = "a camera raw file; develop it to a 16-bit TIFF first"


def kind_of(data: bytes, name: str) -> str:
    """The kind of file: PNG, JPEG, WEBP, TIFF, AVIF, HEIF, EXR or BMP.

    Args:
        data: The file, or at least its first 64 bytes.
        name: What messages call it.

    Raises:
        ImageFileError: It is of no accepted kind.
    """
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            if kind == "TIFF" and data[8:10] == b"CR":
                raise ImageFileError(f"{name}: {_CAMERA_RAW}")
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        brands = {data[8:12], *(data[start : start + 4] for start in range(16, min(64, _box_size(data)), 4))}
        if data[8:12] == b"crx ":
            raise ImageFileError(f"{name}: {_CAMERA_RAW}")
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    for magic, advice in _REFUSED.items():
        if data.startswith(magic):
            raise ImageFileError(f"{name}: {advice}")
    raise ImageFileError(f"{name}: not a picture of an accepted format ({', '.join(SUFFIXES)})")


def _box_size(data: bytes) -> int:
    return int.from_bytes(data[:4], "big")
