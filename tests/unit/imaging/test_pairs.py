from pathlib import Path

import pytest

from mask2alpha.errors import InputError
from mask2alpha.imaging.pairs import match_pairs


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    return folder


def test_masks_are_matched_by_stem_and_by_label(tmp_path: Path) -> None:
    photos = touch(tmp_path / "photos", "a.jpg", "b.png", "c.png", "x__y.png", "notes.txt", ".hidden.png")
    masks = touch(tmp_path / "masks", "a.png", "b__2.png", "b__1.png", "x__y.png", "x__y__hat.png", "d.png")
    pairing = match_pairs(photos, masks)
    assert {pair.photo.name: [mask.name for mask in pair.masks] for pair in pairing.pairs} == {
        "a.jpg": ["a.png"],
        "b.png": ["b__1.png", "b__2.png"],
        "x__y.png": ["x__y.png", "x__y__hat.png"],
    }
    assert [path.name for path in pairing.unmatched_photos] == ["c.png"]
    assert [path.name for path in pairing.unmatched_masks] == ["d.png"]


def test_two_files_belong_together_whatever_their_names(tmp_path: Path) -> None:
    photo, mask = touch(tmp_path / "p", "a.jpg") / "a.jpg", touch(tmp_path / "m", "b.png") / "b.png"
    assert match_pairs(photo, mask).pairs[0].masks == (mask,)


def test_one_photo_takes_its_masks_from_a_folder(tmp_path: Path) -> None:
    photo = touch(tmp_path / "p", "a.jpg") / "a.jpg"
    pairing = match_pairs(photo, touch(tmp_path / "m", "a__1.png", "b.png"))
    assert [mask.name for mask in pairing.pairs[0].masks] == ["a__1.png"]
    assert pairing.unmatched_masks == ()


def test_what_cannot_be_matched_is_refused(tmp_path: Path) -> None:
    twins = touch(tmp_path / "twins", "a.jpg", "a.png")
    masks = touch(tmp_path / "masks", "a.png")
    with pytest.raises(InputError, match="same stem"):
        match_pairs(twins, masks)
    with pytest.raises(InputError, match="no pictures"):
        match_pairs(touch(tmp_path / "empty"), masks)
    with pytest.raises(InputError, match="no such file"):
        match_pairs(tmp_path / "gone", masks)
