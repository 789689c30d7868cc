"""Worker, results and job with a fake predictor: what is done once, again, or set aside."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from numpy.typing import NDArray

from fakes import FakePredictor
from mask2alpha.batch.engines import run_here
from mask2alpha.batch.job import Report, run_batch
from mask2alpha.batch.manifest import Row, read_manifest
from mask2alpha.batch.results import PARTS, Result, chunk_name, merge_parts
from mask2alpha.batch.worker import ATTEMPTS, Worker, WorkerSettings, may_pass
from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.imaging.atomic import replacing
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import write_image
from mask2alpha.pipeline.matte import EncodedImage


class WorkerDied(BaseException):
    """As if the process had been killed: nothing is tidied up."""


class FatalPredictor(FakePredictor):
    """Ends the process on photographs whose first pixel is red, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.num_deaths = 0

    def encode(self, image: NDArray[Any]) -> EncodedImage:
        if tuple(image[0, 0]) == (255, 0, 0):
            self.num_deaths += 1
            raise WorkerDied
        return super().encode(image)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Four photos, one with two masks; the mask of `d` is no picture."""
    rng = np.random.default_rng(0)
    for name in "abcd":
        write_image(tmp_path / "photos" / f"{name}.png", rng.integers(0, 255, (20, 30, 3), dtype=np.uint8))
    mask = np.zeros((20, 30), np.uint8)
    mask[:, :15] = 255
    for name in ("a", "b__1", "b__2", "c"):
        write_image(tmp_path / "masks" / f"{name}.png", mask)
    (tmp_path / "masks" / "d.png").write_bytes(b"no picture")
    return tmp_path


@pytest.fixture
def fake() -> FakePredictor:
    return FakePredictor()


def settings(folder: Path, **changes: Any) -> WorkerSettings:
    return WorkerSettings(**({"base": str(folder), "out": str(folder / "out")} | changes))


def run(folder: Path, predictor: FakePredictor, chunk_size: int = 2, **changes: Any) -> Report:
    own = {key: changes.pop(key) for key in ("has_overwrite", "retries_failed") if key in changes}

    def engine(chunks: Sequence[tuple[Row, ...]], given: WorkerSettings) -> Iterator[Result]:
        return run_here(chunks, given, lambda given: predictor)

    return run_batch(read_manifest(str(folder)), settings(folder, **changes), engine, chunk_size=chunk_size, **own)


def matted(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "out" / "alpha").iterdir()}


def test_everything_is_matted_or_set_aside_with_its_reason(manifest: Path, fake: FakePredictor) -> None:
    report = run(manifest, fake)
    assert (report.num_matted, report.num_before) == (4, 0)
    assert [result.name for result in report.failures] == ["d"]
    assert "not a picture" in str(report.failures[0].reason)
    assert sorted(matted(manifest)) == ["a.png", "b__1.png", "b__2.png", "c.png"]
    assert fake.num_encoded == 4  # b once
    lines = pyarrow.parquet.read_table(manifest / "out" / "results.parquet").to_pylist()
    assert [line["name"] for line in lines] == ["a", "b__1", "b__2", "c", "d"]
    stamps = [(manifest / kind / "a.png").stat() for kind in ("photos", "masks")]
    assert lines[0].pop("made_from") == " ".join(f"{stamp.st_size}@{stamp.st_mtime_ns}" for stamp in stamps)
    assert lines[0] == {
        "name": "a", "photo": "photos/a.png", "mask": "masks/a.png", "options": "", "reason": None,
        "warning": None, "height": 20, "width": 30, "coverage": 0.5, "predicted_error": 0.0,
    }  # fmt: skip
    assert not list((manifest / "out" / PARTS).iterdir())
    assert not list((manifest / "out" / ATTEMPTS).iterdir())


def test_what_is_done_stays_and_what_failed_is_tried_when_asked(manifest: Path, fake: FakePredictor) -> None:
    run(manifest, fake)
    report = run(manifest, fake)
    assert (report.num_matted, report.num_before, len(report.failures), fake.num_predicted) == (0, 4, 1, 4)
    write_image(manifest / "masks" / "d.png", np.full((20, 30), 255, np.uint8))
    assert run(manifest, fake).num_matted == 0
    report = run(manifest, fake, retries_failed=True)
    assert (report.num_matted, report.num_before, report.failures) == (1, 4, [])
    assert run(manifest, fake, has_overwrite=True).num_matted == 5


def test_a_batch_goes_on_where_its_driver_died(manifest: Path, fake: FakePredictor) -> None:
    whole = manifest / "whole"
    run(manifest, fake, out=str(whole))

    def die_after_the_first_chunk(chunks: Sequence[tuple[Row, ...]], given: WorkerSettings) -> Iterator[Result]:
        worker = Worker(given, lambda given: fake)
        yield from worker.run(chunks[0])
        for _ in worker.run(chunks[1]):
            raise WorkerDied

    with pytest.raises(WorkerDied):
        run_batch(read_manifest(str(manifest)), settings(manifest), die_after_the_first_chunk, chunk_size=1)
    fake.num_predicted = 0
    report = run(manifest, fake)
    assert (report.num_matted, report.num_before, fake.num_predicted) == (3, 1, 3)
    for path in whole.rglob("*"):
        if path.suffix in (".png", ".parquet"):
            assert path.read_bytes() == (manifest / "out" / path.relative_to(whole)).read_bytes(), path


def test_parts_of_a_driver_that_died_without_a_word_are_found(manifest: Path, fake: FakePredictor) -> None:
    chunk = read_manifest(str(manifest)).rows[:3]
    list(Worker(settings(manifest), lambda given: fake).run(chunk))
    parts = [pyarrow.parquet.read_table(part) for part in (manifest / "out" / PARTS).glob("*.parquet")]
    assert sorted(name for part in parts for name in part["name"].to_pylist()) == ["a", "b__1", "b__2"]
    assert run(manifest, fake).num_before == 3


def test_a_chunk_done_twice_is_there_once(manifest: Path, fake: FakePredictor) -> None:
    chunk = read_manifest(str(manifest)).rows
    worker = Worker(settings(manifest), lambda given: fake)
    first, _ = list(worker.run(chunk)), merge_parts(str(manifest / "out"))
    assert list(worker.run(chunk)) == first
    assert len(merge_parts(str(manifest / "out"))) == 5
    assert pyarrow.parquet.read_table(manifest / "out" / "results.parquet").num_rows == 5


def test_a_photograph_that_ends_its_worker_is_set_aside(manifest: Path) -> None:
    write_image(manifest / "photos" / "b.png", np.full((20, 30, 3), (255, 0, 0), np.uint8))
    predictor = FatalPredictor()
    chunk = read_manifest(str(manifest)).rows
    for _ in range(10):
        try:
            results = list(Worker(settings(manifest, retries=1), lambda given: predictor).run(chunk))
            break
        except WorkerDied:
            continue
    assert predictor.num_deaths == 3  # of the first it is not known on which photograph
    assert {result.name: result.reason for result in results if result.name[0] == "b"} == dict.fromkeys(
        ("b__1", "b__2"), "2 workers died on this photo"
    )
    assert sorted(matted(manifest)) == ["a.png", "c.png"]
    assert not list((manifest / "out" / ATTEMPTS).iterdir())


def test_a_worker_killed_by_others_leaves_nothing_undone(manifest: Path, fake: FakePredictor) -> None:
    chunk = read_manifest(str(manifest)).rows
    note = manifest / "out" / ATTEMPTS / f"{chunk_name(chunk)}.json"
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"photo": "photos/b.png", "deaths": {"photos/b.png": 1}}))
    results = list(Worker(settings(manifest), lambda given: fake).run(chunk))
    assert [result.name for result in results if result.reason is None] == ["a", "b__1", "b__2", "c"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_who_is_asked_to_stop_leaves_no_note(manifest: Path, fake: FakePredictor, stop: type[BaseException]) -> None:
    rows = Worker(settings(manifest), lambda given: fake).run(read_manifest(str(manifest)).rows)
    next(rows)
    assert list((manifest / "out" / ATTEMPTS).iterdir())
    with pytest.raises(stop):
        rows.throw(stop())  # type: ignore[attr-defined]
    assert not list((manifest / "out" / ATTEMPTS).iterdir())


def test_what_may_pass_is_tried_again(manifest: Path, fake: FakePredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(times: int, error: Exception) -> Callable[..., Any]:
        left = [error] * times
        whole = fake.encode

        def encode(image: NDArray[Any]) -> EncodedImage:
            if left:
                raise left.pop()
            return whole(image)

        return encode

    row = read_manifest(str(manifest)).rows[:1]
    for times, error, reason in (
        (2, RuntimeError("DefaultCPUAllocator: can't allocate memory"), None),
        (3, MemoryError(), "MemoryError: "),
        (1, ValueError("odd"), "ValueError: odd"),
    ):
        monkeypatch.setattr(fake, "encode", failing(times, error))
        (result,) = Worker(settings(manifest), lambda given: fake, pause_s=0.0).run(row)
        assert result.reason == reason
        monkeypatch.undo()


def test_a_lost_gpu_is_no_fault_of_the_photograph(manifest: Path, fake: FakePredictor) -> None:
    def lose(image: NDArray[Any]) -> EncodedImage:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    fake.encode = lose  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="CUDA error"):
        list(Worker(settings(manifest), lambda given: fake, pause_s=0.0).run(read_manifest(str(manifest)).rows))


def test_only_what_the_system_refuses_may_pass() -> None:
    def wrapped(cause: Exception) -> ImageFileError:
        error = ImageFileError("x")
        error.__cause__ = cause
        return error

    assert may_pass(wrapped(OSError(5, "Input/output error")))
    assert may_pass(ConnectionError("reset"))
    assert not may_pass(wrapped(OSError("image file is truncated")))
    assert not may_pass(wrapped(FileNotFoundError(2, "No such file")))
    assert not may_pass(FileNotFoundError(2, "No such file"))
    assert not may_pass(InputError("mask"))


def test_other_settings_are_not_mixed_into_a_folder(manifest: Path, fake: FakePredictor) -> None:
    run(manifest, fake)
    with pytest.raises(InputError, match=r"started with other settings.*num_steps None → 3"):
        run(manifest, fake, num_steps=3)
    assert run(manifest, fake, num_steps=3, has_overwrite=True).num_matted == 4


def test_a_changed_row_is_done_again_and_other_rows_stay_known(manifest: Path, fake: FakePredictor) -> None:
    run(manifest, fake)
    (manifest / "m.csv").write_text("photo,mask,name\nphotos/c.png,masks/a.png,c\nphotos/c.png,masks/c.png,new\n")

    def engine(chunks: Sequence[tuple[Row, ...]], given: WorkerSettings) -> Iterator[Result]:
        return run_here(chunks, given, lambda given: fake)

    report = run_batch(read_manifest(str(manifest / "m.csv")), settings(manifest), engine)
    assert (report.num_matted, report.num_before, report.failures) == (2, 0, [])
    found = merge_parts(str(manifest / "out"))
    assert sorted(found) == ["a", "b__1", "b__2", "c", "d", "new"]
    assert found["c"].mask == "masks/a.png"


def test_an_input_is_not_overwritten(manifest: Path, fake: FakePredictor) -> None:
    (manifest / "masks").rename(manifest / "alpha")
    (manifest / "m.csv").write_text("photo,mask\nphotos/a.png,alpha/a.png\n")
    with pytest.raises(InputError, match="is an input and would be overwritten"):
        run_batch(read_manifest(str(manifest / "m.csv")), settings(manifest, out=str(manifest)), run_here)


def test_all_kinds_and_depths_are_written(manifest: Path, fake: FakePredictor) -> None:
    deep = np.full((20, 30, 3), 40_000, np.uint16)
    write_image(manifest / "photos" / "a.png", deep)
    run(manifest, fake, kinds=("alpha", "cutout", "foreground"))
    alpha = read_image(manifest / "out" / "alpha" / "a.png").pixels
    assert alpha.dtype == np.uint16
    assert np.array_equal(np.unique(alpha), [0, 65535])
    cutout = read_image(manifest / "out" / "cutout" / "a.png")
    assert cutout.alpha is not None
    assert np.array_equal(read_image(manifest / "out" / "foreground" / "a.png").pixels, deep)


def test_warnings_are_kept_with_their_row(manifest: Path, fake: FakePredictor) -> None:
    write_image(manifest / "masks" / "c.png", np.eye(40, 60, dtype=np.uint8) * 255)
    run(manifest, fake)
    found = merge_parts(str(manifest / "out"))
    assert "resized" in str(found["c"].warning)
    assert found["a"].warning is None


def test_a_grey_photograph_stays_grey(manifest: Path, fake: FakePredictor) -> None:
    write_image(manifest / "photos" / "a.png", np.full((20, 30), 90, np.uint8))
    run(manifest, fake, kinds=("cutout", "foreground"))
    assert read_image(manifest / "out" / "foreground" / "a.png").is_grey
    assert read_image(manifest / "out" / "cutout" / "a.png").is_grey


def test_leftovers_of_killed_workers_are_removed(manifest: Path, fake: FakePredictor) -> None:
    run(manifest, fake)
    with replacing(manifest / "out" / "alpha" / "x.png") as temporary:
        temporary.touch()
        host = temporary.name[1:9]
    left = manifest / "out" / "alpha" / f".{host}-{2**22 + 1}-0123456789ab.part"
    left.touch()
    run(manifest, fake)
    assert not left.exists()


def test_a_batch_may_lie_in_an_object_store(manifest: Path, fake: FakePredictor) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    name = manifest.name
    store.put(str(manifest), f"/{name}", recursive=True)

    def engine(chunks: Sequence[tuple[Row, ...]], given: WorkerSettings) -> Iterator[Result]:
        return run_here(chunks, given, lambda given: fake)

    there = read_manifest(f"memory://{name}")
    report = run_batch(there, WorkerSettings(base=there.base, out=f"memory://{name}/out"), engine)
    assert report.num_matted == 4
    assert str(report.failures[0].reason).startswith(f"memory://{name}/masks/d.png: not a picture")
    run(manifest, fake)
    for path, content in matted(manifest).items():
        assert store.cat(f"/{name}/out/alpha/{path}") == content
