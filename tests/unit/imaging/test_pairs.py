from pathlib import Path

import pytest

from mask2alpha.errors import InputError
from mask2alpha.imaging.pairs import match_names, match_pairs, output_stem


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


@pytest.mark.parametrize(
    ("photo", "mask"),
    [
        ("caf\u00e9.png", "cafe\u0301.png"),
        ("cafe\u0301.jpg", "caf\u00e9__left.png"),
        ("\u30ac.tif", "\u30ab\u3099.png"),  # a katakana letter, composed and decomposed
        ("a.jpg", "a_mask.png"),
        ("a.jpg", "a-Matte.PNG"),
        ("a.b.jpg", "a.b.alpha.webp"),
        ("a.jpg", "a__left_mask.png"),
        ("a.jpg", "a_mask__left.png"),
        ("a.jpg", "a.jpg.png"),
        ("a.jpeg", "a.jpg.png"),
        ("a.TIFF", "a.tif.png"),
        ("a.jpg", "a.jpg__2.png"),
        ("mask.jpg", "mask.png"),
    ],
)
def test_names_that_mean_the_same_photo_are_matched(tmp_path: Path, photo: str, mask: str) -> None:
    pairing = match_pairs(touch(tmp_path / "p", photo, "z.png"), touch(tmp_path / "m", mask))
    assert [(pair.photo.name, pair.masks[0].name) for pair in pairing.pairs] == [(photo, mask)]


@pytest.mark.parametrize("mask", ["A.png", "a_masked.png", "a2.png", "amask.png", "a.png.jpg"])
def test_names_that_do_not_are_not(tmp_path: Path, mask: str) -> None:
    assert match_pairs(touch(tmp_path / "p", "a.jpg"), touch(tmp_path / "m", mask)).pairs == ()


def test_a_photo_of_the_masks_own_name_comes_first(tmp_path: Path) -> None:
    photos = touch(tmp_path / "p", "a.jpg", "a_mask.jpg", "a__1.jpg")
    pairing = match_pairs(photos, touch(tmp_path / "m", "a_mask.png", "a__1.png"))
    assert [(pair.photo.name, pair.masks[0].name) for pair in pairing.pairs] == [
        ("a__1.jpg", "a__1.png"),
        ("a_mask.jpg", "a_mask.png"),
    ]


def test_case_counts_only_where_the_file_system_heeds_it() -> None:
    assert match_names(["A.JPG"], ["a.png"]) == {}
    assert match_names(["A.JPG", "Stra\u00dfe.jpg"], ["a.png", "STRASSE.png"], ignores_case=True) == {
        "a.png": "A.JPG",
        "STRASSE.png": "Stra\u00dfe.jpg",
    }


def test_accents_in_two_forms_are_two_files_of_one_stem(tmp_path: Path) -> None:
    photos = touch(tmp_path / "p", "caf\u00e9.jpg", "cafe\u0301.png")
    with pytest.raises(InputError, match="same stem"):
        match_pairs(photos, touch(tmp_path / "m", "a.png"))


def test_what_is_left_over_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    photos = touch(tmp_path / "p", "portrait-01.jpg", "x.jpg", "zebra.jpg")
    masks = touch(tmp_path / "m", "portrait_1.png", "x.png")
    pairing = match_pairs(photos, masks)
    assert {each.name: other.name for each, other in pairing.nearest.items()} == {
        "portrait-01.jpg": "portrait_1.png",
        "portrait_1.png": "portrait-01.jpg",
    }


def test_outputs_are_called_as_the_mask_where_that_says_more() -> None:
    assert output_stem("a", "a__left") == "a__left"
    assert output_stem("a", "b") == "a"
    assert output_stem("caf\u00e9", "cafe\u0301") == "caf\u00e9"
    assert output_stem("caf\u00e9", "cafe\u0301__1") == "cafe\u0301__1"
