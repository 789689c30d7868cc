import tarfile
from pathlib import Path

import numpy as np
import pytest

from mask2alpha.data.cutout import Cutout
from mask2alpha.data.loading import make_sample
from mask2alpha.data.shards import INDEX, is_sharded, open_shards, write_shards
from mask2alpha.data.sources import PhotoPool, Pool, Sources
from mask2alpha.errors import InputError


@pytest.fixture
def sources(rng: np.random.Generator) -> Sources:
    def noise(*shape: int) -> np.ndarray:
        return rng.integers(0, 256, shape, dtype=np.uint8)

    cutouts = [Cutout(noise(40 + n, 50, 3), np.maximum(noise(40 + n, 50), 1)) for n in range(5)]
    return Sources(
        cutouts=Pool(cutouts, np.array([1.0, 2, 3, 4, 5]), {"mine": 5}),
        photos=PhotoPool([noise(70, 80 + n, 3) for n in range(3)], None, {"walls": 3}),
        procedural_share=0.0,
    )


def test_shards_make_the_samples_of_what_they_were_made_of(sources: Sources, tmp_path: Path) -> None:
    write_shards(sources, tmp_path / "shards", shard_bytes=20_000)
    assert len(list((tmp_path / "shards").glob("*.tar"))) > 2
    opened = open_shards(tmp_path / "shards")
    assert opened.describe() == sources.describe()
    for index in range(6):
        for made, expected in zip(
            make_sample(opened, 64, 2, 0, index), make_sample(sources, 64, 2, 0, index), strict=True
        ):
            assert np.array_equal(made, expected)


def test_a_shard_is_a_tar_of_samples_by_name(sources: Sources, tmp_path: Path) -> None:
    write_shards(sources, tmp_path, data_card=[{"name": "mine"}])
    with tarfile.open(tmp_path / "shard-00000.tar") as tar:
        names = tar.getnames()
    assert names[:2] == ["f00000000.colour.webp", "f00000000.alpha.png"]
    assert names[-1] == "b00000002.webp"
    assert len(names) == 13
    assert (tmp_path / "SOURCES.json").read_text().startswith("[")


def test_lossy_shards_keep_the_alphas(sources: Sources, tmp_path: Path) -> None:
    assert sources.cutouts is not None
    write_shards(sources, tmp_path, quality=90)
    opened = open_shards(tmp_path)
    assert opened.cutouts is not None
    for made, expected in zip(opened.cutouts.items[1:], sources.cutouts.items[1:], strict=True):
        assert np.array_equal(made.alpha, expected.alpha)
        assert not np.array_equal(made.colour, expected.colour)
    assert len(opened.cutouts.items[1:]) == 4


def test_backgrounds_alone_can_be_sharded(sources: Sources, tmp_path: Path) -> None:
    write_shards(Sources(cutouts=None, photos=sources.photos), tmp_path)
    opened = open_shards(tmp_path)
    assert opened.cutouts is None
    assert len(opened.photos) == 3


def test_an_unfinished_or_damaged_folder_is_refused(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder of shards"):
        open_shards(tmp_path)
    write_shards(sources, tmp_path)
    with pytest.raises(InputError, match="already holds shards"):
        write_shards(sources, tmp_path)
    shard = tmp_path / "shard-00000.tar"
    content = shard.read_bytes()
    opened = open_shards(tmp_path)
    assert opened.cutouts is not None
    shard.write_bytes(content[:512] + bytes(3000) + content[3512:])
    with pytest.raises(InputError, match=r"shard-00000.tar: the picture at byte 512 is damaged"):
        _ = opened.cutouts.items[0]
    shard.write_bytes(content[:5000])
    with pytest.raises(InputError, match=r"shard-00000.tar: too short"):
        open_shards(tmp_path)
    shard.unlink()
    with pytest.raises(InputError, match=r"shard-00000.tar: no such file"):
        open_shards(tmp_path)
    assert is_sharded(tmp_path)
    (tmp_path / INDEX).write_bytes(b"")
    with pytest.raises(InputError, match="not a folder of shards"):
        open_shards(tmp_path)
