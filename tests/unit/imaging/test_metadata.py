import io

import numpy as np
import pytest
from PIL import Image

from mask2alpha.imaging.decode import decode_image
from mask2alpha.imaging.encode import Tags, encode_image
from mask2alpha.imaging.metadata import upright_exif, upright_xmp, without_gps_exif

XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="6" dc:rights="me"
 exif:GPSLatitude="47,22.5N" drone-dji:GpsLongitude='8.5'><exif:GPSAltitude>400/1</exif:GPSAltitude>
 <xmp:Thumbnails><rdf:Alt>AAAA</rdf:Alt></xmp:Thumbnails></rdf:Description></rdf:RDF></x:xmpmeta>"""


def camera_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8298], exif[0x0100] = 6, "Camera", "me", 4000
    exif[0x8769] = {0x9003: "2020:01:01 00:00:00", 0x927C: b"maker's note", 0xA002: 4000}
    exif[0x8825] = {1: "N", 2: (47.0, 22.0, 30.0)}
    loaded = Image.Exif()
    loaded.load(exif.tobytes())
    return loaded


def read_back(data: bytes) -> tuple[dict[int, object], dict[int, object], dict[int, object]]:
    exif = Image.Exif()
    exif.load(data)
    return dict(exif), dict(exif.get_ifd(0x8769)), dict(exif.get_ifd(0x8825))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_descriptions_are_kept_upright_and_structure_is_not(kind: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, kind, exif=camera_exif().tobytes())
    exif = decode_image(buffer.getvalue()).exif
    assert exif is not None
    main, camera, place = read_back(exif)
    assert (main[0x010F], main[0x8298]) == ("Camera", "me")
    assert main.get(0x0112, 1) == 1
    assert 0x0100 not in main
    assert camera == {0x9003: "2020:01:01 00:00:00"}
    assert place[2] == (47.0, 22.0, 30.0)


def test_the_place_is_removed_to_the_last_byte() -> None:
    exif = upright_exif(camera_exif())
    assert exif is not None
    cleaned = without_gps_exif(exif)
    main, camera, place = read_back(cleaned)
    assert main[0x010F] == "Camera"
    assert camera == {0x9003: "2020:01:01 00:00:00"}
    assert not place
    assert 0x8825 not in main
    assert len(cleaned) < len(exif)


def test_xmp_loses_place_thumbnail_and_rotation() -> None:
    cleaned = upright_xmp(XMP, has_gps=False)
    assert cleaned is not None
    assert b"gps" not in cleaned.lower()
    assert b"AAAA" not in cleaned
    assert b'tiff:Orientation="1"' in cleaned
    assert b'dc:rights="me"' in cleaned
    kept = upright_xmp(XMP, has_gps=True)
    assert kept is not None
    assert b"GPSLatitude" in kept


def test_xmp_with_a_place_that_cannot_be_removed_is_left_out() -> None:
    with pytest.warns(UserWarning, match="states the location"):
        assert upright_xmp(b"<exif:GPSLatitude><deep>47</deep></exif:GPSLatitude>", has_gps=False) is None


def test_a_damaged_block_is_left_out_with_a_warning() -> None:
    class Damaged(Image.Exif):
        def get_ifd(self, tag: int) -> dict[int, object]:
            raise ValueError("no table")

    with pytest.warns(UserWarning, match="damaged and was left out: no table"):
        assert upright_exif(Damaged()) is None


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg", "a.tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_metadata_is_written_and_read_back(name: str, dtype: type) -> None:
    if dtype is np.uint16 and name in ("a.webp", "a.jpg"):
        pytest.skip("8-bit formats")
    exif = upright_exif(camera_exif())
    assert exif is not None
    xmp = XMP.replace(b' tiff:Orientation="6"', b"")
    photo = decode_image(encode_image(np.zeros((4, 4, 3), dtype), name, tags=Tags(exif=exif, xmp=xmp)))
    assert photo.exif is not None
    main, camera, place = read_back(photo.exif)
    assert main[0x010F] == "Camera"
    if name != "a.tif":  # whose writer keeps the texts
        assert camera[0x9003] == "2020:01:01 00:00:00"
        assert place[1] == "N"
    assert photo.xmp == xmp
