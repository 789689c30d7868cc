from pathlib import Path

import pytest

from mask2alpha.errors import InputError
from mask2alpha.imaging.made import NAME, MadeFiles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A photo, a mask, and an output that was made from them."""
    (tmp_path / "photo.png").write_bytes(b"photo")
    (tmp_path / "mask.png").write_bytes(b"mask")
    (tmp_path / "alpha").mkdir()
    made = MadeFiles(tmp_path, {"steps": 3})
    assert is_wanted(made)
    (tmp_path / "alpha" / "a.png").write_bytes(b"matte")
    made.add(tmp_path / "alpha" / "a.png", kind="alpha", photo=tmp_path / "photo.png", mask=tmp_path / "mask.png")
    return tmp_path


def is_wanted(made: MadeFiles, kind: str = "alpha") -> bool:
    folder = made.folder
    return made.is_wanted(folder / "alpha" / "a.png", kind=kind, photo=folder / "photo.png", mask=folder / "mask.png")


def test_what_was_made_from_the_same_is_up_to_date(folder: Path) -> None:
    assert not is_wanted(MadeFiles(folder, {"steps": 3}))


@pytest.mark.parametrize("change", ["photo", "mask", "option", "kind", "deleted"])
def test_what_was_made_from_something_else_is_made_again(folder: Path, change: str) -> None:
    if change in ("photo", "mask"):
        (folder / f"{change}.png").write_bytes(b"other")
    elif change == "deleted":
        (folder / "alpha" / "a.png").unlink()
    made = MadeFiles(folder, {"steps": 4 if change == "option" else 3})
    assert is_wanted(made, "cutout" if change == "kind" else "alpha")


def test_a_file_of_the_users_own_is_not_replaced(folder: Path) -> None:
    (folder / "alpha" / "a.png").write_bytes(b"retouched")
    assert not is_wanted(MadeFiles(folder, {"steps": 3}))
    with pytest.raises(InputError, match=r"a\.png exists and was not made from .*--overwrite replaces it"):
        is_wanted(MadeFiles(folder, {"steps": 4}))
    (folder / NAME).unlink()
    with pytest.raises(InputError, match="--overwrite"):
        is_wanted(MadeFiles(folder, {"steps": 3}))


def test_a_line_cut_off_by_a_kill_spoils_no_other(folder: Path) -> None:
    record = folder / NAME
    record.write_text(record.read_text() + '\n["alpha/b.png", "12')
    made = MadeFiles(folder, {"steps": 3})
    assert not is_wanted(made)
    made.add(folder / "alpha" / "a.png", kind="other")
    assert not MadeFiles(folder, {"steps": 3}).is_wanted(folder / "alpha" / "a.png", kind="other")
