"""What the command, batches and the service make of shared photos and of colours: what Python makes of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("cv2")

from fakes import FakePredictor
from mask2alpha.batch.manifest import Row
from mask2alpha.batch.worker import Worker, WorkerSettings
from mask2alpha.cli import matte as matte_module
from mask2alpha.cli.main import main
from mask2alpha.imaging.decode import read_image
from mask2alpha.rendering import OutputOptions, RenderedMatte
from mask2alpha.serving.job_runner import JobRunner
from mask2alpha.serving.jobs import MatteJob, Target

Door = Callable[[Path, bool], list[NDArray[np.uint8]]]


def by_command(folder: Path, is_exclusive: bool) -> list[NDArray[np.uint8]]:
    arguments = ["matte", *(str(folder / name) for name in ("photos", "masks")), "-o", str(folder / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matte_module, "build_predictor", lambda source, **settings: FakePredictor())
        result = CliRunner().invoke(main, [*arguments, *(["--exclusive"] if is_exclusive else [])])
    assert result.exit_code == 0, result.output
    return [np.asarray(Image.open(folder / "out" / "alpha" / f"p__{name}.png")) for name in "ab"]


def by_service(folder: Path, is_exclusive: bool) -> list[NDArray[np.uint8]]:
    runner = JobRunner(FakePredictor(), max_pixels=10**6, max_bytes=10**6, cache_bytes=10**6)
    masks = [folder / "masks" / f"p__{name}.png" for name in "ab"]
    job = MatteJob(
        photo=folder / "photos" / "p.png",
        masks=masks,
        targets=[Target(mask=0), Target(mask=1)],
        folder=folder,
        exclusive=is_exclusive,
    )
    runner.run(job, lambda stage, done: None)
    return [np.asarray(Image.open(folder / f"{index}.png")) for index in (0, 1)]


@pytest.fixture(params=[by_command, by_service])
def door(request: pytest.FixtureRequest) -> Door:
    made: Door = request.param
    return made


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A photo with two soft masks that overlap, which `FakePredictor` takes for the mattes."""
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / "photos" / "p.png")
    for name, x in (("a", 22), ("b", 38)):
        distance = np.hypot(*np.mgrid[-20:20, -x : 60 - x])
        soft = np.clip((14 - distance) * 25 + 128, 0, 255).astype(np.uint8)
        Image.fromarray(soft).save(tmp_path / "masks" / f"p__{name}.png")
    return tmp_path


def test_every_door_shares_alike(door: Door, folder: Path) -> None:
    given = [np.asarray(Image.open(path)) for path in sorted((folder / "masks").iterdir())]
    apart, shared = door(folder, False), door(folder, True)
    assert np.array_equal(apart, given)
    mattes = FakePredictor().predict_instances(np.zeros((40, 60, 3), np.uint8), given, is_exclusive=True)
    for made, matte in zip(shared, mattes, strict=True):
        assert np.array_equal(made, np.rint(255 * matte.alpha))
    total = np.sum(shared, axis=0, dtype=int)
    assert np.sum(given, axis=0, dtype=int).max() == 510
    assert total.max() <= 256  # each is rounded


def test_the_command_makes_all_mattes_of_a_photo_again_if_one_mask_changed(folder: Path) -> None:
    before = by_command(folder, True)
    path = folder / "masks" / "p__b.png"
    Image.fromarray(np.roll(np.asarray(Image.open(path)), -6, axis=1)).save(path)
    after = by_command(folder, True)
    assert not np.array_equal(before[0], after[0])
    assert np.sum(after, axis=0, dtype=int).max() <= 256


def test_every_door_gives_the_same_colours(folder: Path) -> None:
    photo, mask, out = folder / "photos" / "p.png", folder / "masks" / "p__a.png", folder / "out.png"
    read = read_image(photo)
    matte = FakePredictor().predict(read.pixels, np.asarray(Image.open(mask)))
    expected = RenderedMatte(read, matte, options=OutputOptions().with_colours("0.5", "#20e040:0.7")).encode(
        "a.png", "cutout"
    )
    options = ["--output", "cutout", "--colours", "0.5", "--despill", "#20e040:0.7"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matte_module, "build_predictor", lambda source, **settings: FakePredictor())
        result = CliRunner().invoke(main, ["matte", str(photo), str(mask), "-o", str(out), *options])
    assert result.exit_code == 0, result.output
    settings = WorkerSettings(
        base=str(folder), out=str(folder), kinds=("cutout",), colours="0.5", despill="#20e040:0.7", retries=0
    )
    list(Worker(settings, lambda _: FakePredictor()).run([Row("batch", str(photo), str(mask))]))
    runner = JobRunner(FakePredictor(), max_pixels=10**6, max_bytes=10**6, cache_bytes=10**6)
    job = MatteJob(
        photo=photo,
        masks=[mask],
        targets=[Target(mask=0)],
        folder=folder,
        outputs=["cutout"],
        colours="0.5",
        despill="#20e040:0.7",
    )
    runner.run(job, lambda stage, done: None)
    for path in (out, folder / "cutout" / "batch.png", folder / "0.png"):
        assert path.read_bytes() == expected
    assert not np.array_equal(np.asarray(Image.open(out))[..., :3], read.pixels)
