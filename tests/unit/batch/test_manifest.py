from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from mask2alpha.batch.manifest import Row, make_chunks, parse_choice, read_manifest
from mask2alpha.errors import InputError
from mask2alpha.ops.masks import MaskChoice

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
        (("photo,mask", "b.jpg,", ",b.png"), "no rows that can be used: row 1 has no mask; row 2 has no photo"),
        (("photo,mask", "x/a.jpg,a.png", "y/a.jpg,a.png"), "two rows have the name 'a'"),
        (("photo,mask,name", "a,b,../etc/x"), "'../etc/x' cannot name an output below OUT"),
        (("photo,mask,name", "a,b,/x"), "'/x' cannot name an output below OUT"),
        (("photo,mask,name", "a,b,x\\y"), "cannot name an output below OUT"),
    ],
)
def test_a_wrong_manifest_is_refused(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("\\", "\\\\")):
        read_manifest(write_csv(tmp_path / "m.csv", *lines))


def test_a_bad_row_is_set_aside_and_the_others_are_done(tmp_path: Path) -> None:
    lines = ("photo,mask,name,invert,fit", "a.jpg,a.png", "b.jpg,", "c.jpg,c.png,../c", "d.jpg,d.png,,perhaps")
    lines += ("e.jpg,e.png,,,bend", "f,1.jpg,f.png,f,no,stretch", '"g\n.jpg",g.png', "h.jpg,h.png,,no,stretch")
    manifest = read_manifest(write_csv(tmp_path / "m.csv", *lines))
    assert [row.name for row in manifest.rows] == ["a", "h"]
    assert [reason.split(" ")[1] for reason in manifest.set_aside] == ["2", "3", "4", "5", "6", "7"]
    for reason, words in zip(
        manifest.set_aside,
        ("no mask", "'../c' cannot name", "'perhaps' for invert", "'bend' for fit", "more values", "cannot be printed"),
        strict=True,
    ):
        assert words in reason


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfphoto;mask\r\np.png;m.png\r\n",
        b"photo\tmask\np.png\tm.png\n",
        "\ufeffphoto\tmask\r\np.png\tm.png\r\n".encode("utf-16-le"),
        b"sep=;\r\nphoto;mask\r\np.png;m.png\r\n",
        b"Photo , MASK\np.png , m.png\n",
        b"photo,mask\n\n,\np.png,m.png\n,,\n \n",
        b"photo|mask\np.png|m.png",
        b"photo,mask\rp.png,m.png\r",
        b'"mask","note","photo"\r\n"m.png","two\r\nlines, with; separators","p.png"\r\n',
        b"photo,mask,,\np.png,m.png,,\n",
        b"photo,mask\np.png,m.png\np.png,m.png\n",
    ],
)
def test_tables_are_read_as_spreadsheets_write_them(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.csv").write_bytes(content)
    manifest = read_manifest(str(tmp_path / "m.csv"))
    assert manifest.rows == [Row("p", "p.png", "m.png")]
    assert manifest.set_aside == ()


def test_a_cell_with_the_separator_in_quotes_stays_whole(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b'photo;mask\n"a;1.png";"b,d.png"\n"x""y.png";z.png\n')
    rows = read_manifest(str(tmp_path / "m.csv")).rows
    assert [row[1:3] for row in rows] == [("a;1.png", "b,d.png"), ('x"y.png', "z.png")]
    (tmp_path / "m.tsv").write_bytes(b"photo\tmask\na,1.png\tb;c.png\n")
    assert [row[1:3] for row in read_manifest(str(tmp_path / "m.tsv")).rows] == [("a,1.png", "b;c.png")]


def test_an_open_quote_does_not_swallow_the_rest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="damaged manifest"):
        read_manifest(write_csv(tmp_path / "m.csv", "photo,mask", '"a.png,m.png', "b.png,n.png"))


def test_what_a_table_says_of_a_mask_comes_before_what_holds_for_all(tmp_path: Path) -> None:
    lines = ("photo,mask,label,channel,invert,fit", "a,m,7", "b,m,,alpha,yes,stretch", "c,m", "d,m,,,no")
    common = MaskChoice(label="3", is_inverted=True)
    rows = read_manifest(write_csv(tmp_path / "m.csv", *lines), common).rows
    assert [parse_choice(row.options) for row in rows] == [
        MaskChoice(label="7", is_inverted=True),
        MaskChoice(label="3", channel="alpha", is_inverted=True, fit="stretch"),
        common,
        MaskChoice(label="3"),
    ]
    assert read_manifest(write_csv(tmp_path / "n.csv", "photo,mask", "a,m")).rows[0].options == ""


def test_numbers_of_a_parquet_table_are_labels(tmp_path: Path) -> None:
    table = pyarrow.table({"photo": ["a", "b"], "mask": ["m", "m"], "label": [7.0, float("nan")]})
    pyarrow.parquet.write_table(table, tmp_path / "m.parquet")
    rows = read_manifest(str(tmp_path / "m.parquet")).rows
    assert [parse_choice(row.options).label for row in rows] == ["7.0", None]


def test_a_folder_is_matched_whatever_form_accents_have(tmp_path: Path) -> None:
    for name in ("photos/caf\u00e9.jpg", "photos/b.jpeg", "photos/lake.jpg", "masks/cafe\u0301.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("b.jpg.png", "cafe\u0301__2.png", "laek.png"):
        (tmp_path / "masks" / name).touch()
    manifest = read_manifest(str(tmp_path))
    assert sorted(row.name for row in manifest.rows) == ["b.jpg", "cafe\u0301__2", "caf\u00e9"]
    assert manifest.unmatched == ("photos/lake.jpg", "masks/laek.png")
    assert manifest.nearest == {"photos/lake.jpg": "masks/laek.png", "masks/laek.png": "photos/lake.jpg"}


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
