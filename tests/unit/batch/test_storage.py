from pathlib import Path

import pytest

from mask2alpha.batch import storage
from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.imaging.decode import read_image


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "bucket") if request.param == "local" else f"memory://{tmp_path.name}"


def test_a_file_is_written_read_listed_and_deleted(folder: str) -> None:
    uri = storage.join(folder, "deep/x.txt")
    assert storage.list_files(storage.parent(uri)) == []
    assert not storage.exists(uri)
    storage.write_bytes(uri, b"one")
    storage.write_bytes(uri, b"two")
    storage.write_bytes(storage.join(folder, "deep/.hidden"), b"")
    assert storage.read_bytes(uri) == b"two"
    assert storage.list_files(storage.parent(uri)) == [uri]
    assert storage.is_folder(folder)
    storage.delete(uri)
    storage.delete(uri)
    assert not storage.exists(uri)
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(uri)


def test_what_is_written_at_a_local_target_arrives(folder: str) -> None:
    uri = storage.join(folder, "a/b.bin")
    with storage.local_target(uri) as path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12")
    with storage.local_copy(uri) as path:
        assert path.read_bytes() == b"12"


def test_nothing_arrives_when_writing_fails(folder: str) -> None:
    uri = storage.join(folder, "a/b.bin")
    with pytest.raises(RuntimeError), storage.local_target(uri):
        raise RuntimeError
    assert not storage.exists(uri)


def test_errors_name_the_uri_and_not_the_copy(folder: str) -> None:
    uri = storage.join(folder, "bad.png")
    storage.write_bytes(uri, b"no picture")
    with pytest.raises(ImageFileError, match=f"^{uri}: not a picture"), storage.local_copy(uri) as path:
        read_image(path)


def test_paths_are_joined_as_their_folder_is() -> None:
    assert storage.join("/a", "b/c.png") == "/a/b/c.png"
    assert storage.join("/a", "/b.png") == "/b.png"
    assert storage.join("/a", "s3://x/b.png") == "s3://x/b.png"
    assert storage.join("s3://x/y", "b.png") == "s3://x/y/b.png"
    assert storage.parent("s3://x/y/m.csv") == "s3://x/y"


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(InputError, match="nosuch://x/y: cannot be reached"):
        storage.read_bytes("nosuch://x/y")
