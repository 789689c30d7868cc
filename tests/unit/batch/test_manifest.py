from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from mask2alpha.batch.manifest import Row, make_chunks, read_manifest
from mask2alpha.errors import InputError

ROWS = [Row("a", "p/a.jpg", "m/a.png"), Row("b__1", "p/b.jpg", "m/b__1.png"), Row("b__2", "p/b.jpg", "m/b__2.png")]


def write_csv(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return str(path)


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    lines = [f"{row.photo},{row.mask}" for row in ROWS]
    table = pyarrow.table({"mask": [row.mask for row in ROWS], "photo": [row.photo for row in ROWS], "x": [1, 2, 3]})
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    for uri in (write_csv(tmp_path / "m.csv", "photo,mask", *lines), str(tmp_path / "m.parquet")):
        manifest = read_manifest(uri)
        assert manifest.rows == ROWS
        assert manifest.base == str(tmp_path)


def test_rows_of_one_photo_come_together(tmp_path: Path) -> None:
    uri = write_csv(tmp_path / "m.csv", "name,mask,photo", "1,x,a", "2,y,b", "3,z,a")
    assert [row.name for row in read_manifest(uri).rows] == ["1", "3", "2"]


def test_a_folder_is_matched_by_name(tmp_path: Path) -> None:
    for name in ("photos/a.jpg", "photos/b.jpg", "photos/d.jpg", "photos/.hidden.jpg", "masks/a.png", "masks/b__1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "masks" / "c.png").touch()
    manifest = read_manifest(str(tmp_path))
    assert manifest.rows == [Row("a", "photos/a.jpg", "masks/a.png"), Row("b__1", "photos/b.jpg", "masks/b__1.png")]
    assert manifest.unmatched == ("photos/d.jpg", "masks/c.png")
    assert manifest.base == str(tmp_path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("photo,masks", "a,b"), "lacks the column mask"),
        (("photo,mask",), "has no rows"),
        (("photo,mask", "a.jpg,a.png", "b.jpg,"), "row 2 has no mask"),
        (("photo,mask", "x/a.jpg,a.png", "y/a.jpg,a.png"), "two rows are called 'a'"),
        (("photo,mask,name", "a,b,../etc/x"), "'../etc/x' cannot name an output below OUT"),
        (("photo,mask,name", "a,b,/x"), "'/x' cannot name an output below OUT"),
        (("photo,mask,name", "a,b,x\\y"), "cannot name an output below OUT"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("\\", "\\\\")):
        read_manifest(write_csv(tmp_path / "m.csv", *lines))


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"no table")
    for name, message in (
        ("nowhere.csv", "cannot be read"),
        ("nowhere", "a manifest is"),
        ("broken.parquet", "damaged manifest"),
    ):
        with pytest.raises(InputError, match=message):
            read_manifest(str(tmp_path / name))


def test_chunks_keep_the_masks_of_a_photo_together() -> None:
    rows = [Row(str(number), photo, "m") for number, photo in enumerate("aabcccd")]
    chunks = make_chunks(rows, 2)
    assert ["".join(row.photo for row in chunk) for chunk in chunks] == ["aa", "bccc", "d"]
    assert make_chunks([], 2) == []
