import os
import subprocess
from pathlib import Path

import pytest

from mask2alpha.errors import InputError
from mask2alpha.imaging import targets
from mask2alpha.imaging.encode import WRITTEN_SUFFIXES
from mask2alpha.imaging.targets import check_inputs_stay, names_a_file, prepare_folder


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.v2.TIFF", "a.jpeg", "a.Jpg", "a.jpe", "a.exr", "sub/.x.webp"])
def test_written_suffixes_name_files_in_any_spelling(tmp_path: Path, name: str) -> None:
    assert names_a_file(tmp_path / name, WRITTEN_SUFFIXES)


@pytest.mark.parametrize("name", ["out", "shots.v2", "2024.06.01", ".hidden", "out.png"])
def test_other_names_are_folders(tmp_path: Path, name: str) -> None:
    if name == "out.png":
        (tmp_path / name).mkdir()  # what is a folder already stays one
    assert not names_a_file(tmp_path / name, WRITTEN_SUFFIXES)


@pytest.mark.parametrize("name", ["a.jp2", "a.HEIC", "a.tga", "a.jxl", "a.svg", "a.mp4", "a.mov", "a.b.dds", "a.pdf"])
def test_suffixes_that_are_not_written_are_refused_with_those_that_are(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"cannot write \.\w+; accepted: \.png, .*or a folder"):
        names_a_file(tmp_path / name, WRITTEN_SUFFIXES)


def test_a_file_without_a_written_suffix_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "notes.v2").touch()
    with pytest.raises(InputError, match="or a folder"):
        names_a_file(tmp_path / "notes.v2", WRITTEN_SUFFIXES)


@pytest.mark.parametrize("way", ["same", "relative", "symbolic link", "hard link", "linked folder", "link as input"])
def test_an_output_that_is_an_input_is_refused_under_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    given = output = tmp_path / "in" / "mask.png"
    given.touch()
    if way == "relative":
        output = Path("in/../in/mask.png")
    elif way == "symbolic link":
        output = tmp_path / "out.png"
        output.symlink_to(given)
    elif way == "hard link":
        output = tmp_path / "out.png"
        os.link(given, output)
    elif way == "linked folder":
        (tmp_path / "out").symlink_to(tmp_path / "in")
        output = tmp_path / "out" / "mask.png"
    elif way == "link as input":
        given = tmp_path / "link.png"
        given.symlink_to(output)
    with pytest.raises(InputError) as refusal:
        check_inputs_stay([tmp_path / "other.png", output], ["white", given])
    assert str(output) in str(refusal.value)
    assert str(given) in str(refusal.value)


def test_outputs_beside_inputs_are_fine(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "b.png").touch()
    check_inputs_stay([tmp_path / "b.png", tmp_path / "alpha" / "a.png"], [tmp_path / "a.png", "no such file"])


def test_a_folder_that_can_be_written_is_left_empty(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


@pytest.mark.parametrize("place", ["a file above it", "a long name", "read-only", "full"])
def test_a_folder_that_cannot_be_written_is_told_in_plain_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder, reason = tmp_path / "out", "No space left"
    if place == "a file above it":
        (tmp_path / "file").touch()
        folder, reason = tmp_path / "file" / "out", "Not a directory"
    elif place == "a long name":
        folder, reason = tmp_path / ("x" * 300), "File name too long"
    elif place == "read-only":
        folder, reason = Path("/proc/mask2alpha"), "No such file or directory"  # the kernel's own: nobody may write
        if not Path("/proc/self").exists():
            pytest.skip("no /proc on this system")
    else:

        def fail(**options: object) -> None:
            raise OSError(28, "No space left on device", str(options))

        monkeypatch.setattr(targets, "TemporaryFile", fail)
    with pytest.raises(InputError, match=reason):
        prepare_folder(folder)


def test_the_path_of_a_killed_process_is_cleared(tmp_path: Path) -> None:
    from mask2alpha.imaging.atomic import replacing

    with replacing(tmp_path / "x") as temporary:
        temporary.touch()
        host = temporary.name[1:9]
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = tmp_path / f".{host}-{gone.pid}-0123456789ab.part"
    left.touch()
    prepare_folder(tmp_path)
    assert not left.exists()
