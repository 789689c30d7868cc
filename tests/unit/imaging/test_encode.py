from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from mask2alpha.errors import ImageFileError
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import check_format, write_animation, write_image

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_is_written_is_read_back(tmp_path: Path, rng: np.random.Generator, suffix: str, channels: int) -> None:
    array = rng.integers(0, 256, (5, 6, channels), dtype=np.uint8)
    if channels == 4:
        array[..., 3] |= 1  # colours under alpha 0 need not survive
    write_image(tmp_path / f"a{suffix}", array if channels > 1 else array[..., 0], icc_profile=PROFILE)
    photo = read_image(tmp_path / f"a{suffix}")
    assert np.array_equal(photo.pixels, array[..., :3] if channels > 1 else np.repeat(array, 3, axis=2))
    assert channels < 4 or np.array_equal(photo.alpha, array[..., 3])
    assert photo.icc_profile == (PROFILE if channels > 1 else None)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_png_is_read_back(tmp_path: Path, rng: np.random.Generator, channels: int) -> None:
    array = rng.integers(0, 65536, (5, 6, channels), dtype=np.uint16)
    write_image(tmp_path / "a.png", array if channels > 1 else array[..., 0], icc_profile=PROFILE)
    photo = read_image(tmp_path / "a.png")
    assert np.array_equal(photo.pixels, array[..., :3] if channels > 1 else np.repeat(array, 3, axis=2))
    assert channels < 4 or np.array_equal(photo.alpha, array[..., 3])
    assert photo.icc_profile == (PROFILE if channels > 1 else None)


def test_jpeg_is_close(tmp_path: Path) -> None:
    array = np.full((16, 16, 3), (200, 30, 90), dtype=np.uint8)
    write_image(tmp_path / "sub" / "a.jpg", array)
    assert np.abs(read_image(tmp_path / "sub" / "a.jpg").pixels.astype(int) - array).max() <= 3


@pytest.mark.parametrize(
    ("name", "has_alpha", "reason"),
    [("a.jpg", True, "alpha"), ("a.gif", False, "accepted"), ("a", False, "without suffix")],
)
def test_formats_that_cannot_hold_it_are_refused(name: str, has_alpha: bool, reason: str) -> None:
    with pytest.raises(ImageFileError, match=reason):
        check_format(name, has_alpha=has_alpha)


def test_formats_that_cannot_hold_16_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"uint16 values are written as \.png or \.tif"):
        write_image(tmp_path / "a.webp", np.zeros((2, 2), np.uint16))
    assert not (tmp_path / "a.webp").exists()


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, np.zeros((2, 2), dtype=np.uint8))
    before = path.read_bytes()

    def fail(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(ImageFileError, match="no space left"):
        write_image(path, np.ones((2, 2), dtype=np.uint8))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_pillow_reads_our_sixteen_bit_files(tmp_path: Path, rng: np.random.Generator) -> None:
    array = rng.integers(0, 65536, (5, 6), dtype=np.uint16)
    write_image(tmp_path / "a.png", array)
    with Image.open(tmp_path / "a.png") as picture:
        assert np.array_equal(np.asarray(picture), array)


def test_an_animation_keeps_its_frames_and_times(tmp_path: Path) -> None:
    frames = [np.full((20, 30, 3), value, dtype=np.uint8) for value in (0, 120, 250)]
    write_animation(tmp_path / "sub" / "a.webp", frames, frame_ms=[100, 200, 300])
    with Image.open(tmp_path / "sub" / "a.webp") as picture:
        assert (picture.n_frames, picture.size) == (3, (30, 20))
        for index, frame in enumerate(frames):
            picture.seek(index)
            assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - frame).max() <= 4
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.webp"]


def test_an_animation_under_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"written as \.webp"):
        write_animation(tmp_path / "a.png", [np.zeros((2, 2, 3), dtype=np.uint8)], frame_ms=[1])
