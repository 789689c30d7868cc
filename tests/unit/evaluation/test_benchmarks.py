from collections.abc import Callable
from pathlib import Path

import pytest

from layouts import soft_disc, write
from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import GuidedFolder

MakeRoot = Callable[..., Path]


def test_pairs_come_photograph_by_photograph(make_root: MakeRoot) -> None:
    benchmark = GuidedFolder(make_root())
    assert [(pair.name, pair.kind) for pair in benchmark] == [
        ("first", "exact"),
        ("first", "eroded"),
        ("second", "exact"),
        ("second", "eroded"),
    ]
    assert len(benchmark) == 4
    pair = next(iter(benchmark))
    assert pair.image_path == benchmark.root / "image" / "first.png"
    assert pair.alpha_path == benchmark.root / "alpha" / "first.png"
    assert pair.mask_path == benchmark.root / "mask" / "exact" / "first.png"


def test_known_kinds_come_first_in_a_fixed_order(make_root: MakeRoot) -> None:
    root = make_root(kinds=("aardvark", "holes", "zebra", "wobbly", "exact"))
    assert GuidedFolder(root).kinds == ("exact", "wobbly", "holes", "aardvark", "zebra")


def test_wanted_kinds_keep_their_order(make_root: MakeRoot) -> None:
    assert GuidedFolder(make_root(), ["eroded", "exact", "eroded"]).kinds == ("eroded", "exact")


def test_photographs_may_have_another_suffix(make_root: MakeRoot) -> None:
    root = make_root()
    (root / "image" / "first.png").rename(root / "image" / "first.JPG")
    (root / "image" / "notes.txt").write_text("no picture")
    assert [photograph.image_path.name for photograph in GuidedFolder(root).photographs] == ["first.JPG", "second.png"]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("image/second.png", r"image lacks second"),
        ("alpha/first.png", r"alpha lacks first"),
        ("mask/eroded/second.png", r"eroded lacks second"),
    ],
)
def test_a_missing_partner_is_named(make_root: MakeRoot, missing: str, message: str) -> None:
    root = make_root()
    (root / missing).unlink()
    with pytest.raises(InputError, match=message):
        GuidedFolder(root)


def test_many_missing_partners_are_counted(make_root: MakeRoot) -> None:
    root = make_root(names=tuple("abcdefgh"))
    for path in (root / "alpha").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"alpha lacks a, b, c, d, e and 3 more"):
        GuidedFolder(root)


@pytest.mark.parametrize("folder", ["image", "alpha", "mask"])
def test_a_missing_folder_is_named(make_root: MakeRoot, folder: str) -> None:
    root = make_root()
    (root / folder).rename(root / "elsewhere")
    with pytest.raises(InputError, match=rf"no folder {folder}/"):
        GuidedFolder(root)


def test_unusable_kinds_are_named(make_root: MakeRoot) -> None:
    root = make_root()
    with pytest.raises(InputError, match="has no blurred; it has eroded, exact"):
        GuidedFolder(root, ["exact", "blurred"])
    with pytest.raises(InputError, match="kinds: got none"):
        GuidedFolder(root, [])


def test_a_folder_without_pictures_or_kinds_is_refused(make_root: MakeRoot, tmp_path: Path) -> None:
    for folder in ("image", "alpha", "mask"):
        (tmp_path / "empty" / folder).mkdir(parents=True)
    with pytest.raises(InputError, match="image has no pictures; move the photos there"):
        GuidedFolder(tmp_path / "empty")
    for folder in ("image", "alpha"):
        write(tmp_path / "empty" / folder / "one.png", soft_disc(5))
    with pytest.raises(InputError, match="no folder per kind"):
        GuidedFolder(tmp_path / "empty")


def test_two_pictures_of_one_name_are_refused(make_root: MakeRoot) -> None:
    root = make_root()
    (root / "alpha" / "first.webp").write_bytes((root / "alpha" / "first.png").read_bytes())
    with pytest.raises(InputError, match="the same name"):
        GuidedFolder(root)
