from pathlib import Path

import pytest

from mask2alpha.serving.problems import ProblemError
from mask2alpha.serving.uploads import StoredPhoto, UploadStore, new_key


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def removed() -> list[str]:
    return []


@pytest.fixture
def photos(tmp_path: Path, clock: Clock, removed: list[str]) -> UploadStore:
    return UploadStore(tmp_path, max_count=3, max_bytes=100, expiry=10.0, on_removed=removed.append, clock=clock)


def add(photos: UploadStore, size: int = 10) -> tuple[StoredPhoto, str]:
    upload = photos.folder / "upload"
    upload.write_bytes(b"x" * size)
    return photos.add(new_key(), upload, width=3, height=2, is_16_bit=False)


def test_the_owner_gets_it_back(photos: UploadStore) -> None:
    photo, token = add(photos)
    assert photos.get(photo.id, token) is photo
    assert photo.path.read_bytes() == b"x" * 10
    assert token.encode() not in photo.token_hash


@pytest.mark.parametrize("token", ["", "x", "Ω"])
def test_others_do_not(photos: UploadStore, token: str) -> None:
    photo, _ = add(photos)
    with pytest.raises(ProblemError, match="not kept here"):
        photos.get(photo.id, token)
    with pytest.raises(ProblemError, match="not kept here"):
        photos.get("unknown", token)


def test_it_expires_after_its_last_use(photos: UploadStore, clock: Clock, removed: list[str]) -> None:
    photo, token = add(photos)
    clock.now += 9
    photos.get(photo.id, token)
    clock.now += 9
    photos.get(photo.id, token)
    clock.now += 11
    photos.remove_expired()
    assert (removed, len(photos), photos.num_bytes) == ([photo.id], 0, 0)
    assert not photo.path.exists()


def test_what_was_not_used_for_longest_makes_room(photos: UploadStore, removed: list[str]) -> None:
    kept = [add(photos) for _ in range(3)]
    photos.get(kept[0][0].id, kept[0][1])
    add(photos)
    assert removed == [kept[1][0].id]


def test_bytes_are_bounded(photos: UploadStore, removed: list[str]) -> None:
    first, second = add(photos, 40)[0], add(photos, 40)[0]
    add(photos, 60)
    assert removed == [first.id]
    add(photos, 90)
    assert removed[:2] == [first.id, second.id]
    assert (len(photos), photos.num_bytes) == (1, 90)


def test_removing_takes_the_file_along(photos: UploadStore) -> None:
    photo, token = add(photos)
    photos.remove(photo.id, token)
    assert not photo.path.exists()
    assert len(photos) == 0
