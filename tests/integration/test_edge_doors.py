"""The same controls of the edge at every door: one result, bit for bit, and one refusal."""

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
from mask2alpha.cli import video as video_module
from mask2alpha.cli.main import main
from mask2alpha.errors import InputError
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.fitted_masks import read_fitted_mask
from mask2alpha.ops.edges import EdgeOptions
from mask2alpha.rendering import OutputOptions, RenderedMatte
from mask2alpha.serving import job_runner
from mask2alpha.serving.job_runner import JobRunner
from mask2alpha.serving.jobs import MatteJob, Target

Pixels = NDArray[np.uint8]
Door = Callable[[Path, Path, str, str, Path], Pixels]
"""(photo, mask, edges, kind of output, folder to write) to what was written."""

SIZE = (60, 90)
EDGES = [
    "shift=-1.5",
    "shift=0.75,feather=1.2",
    "contrast=0.4,gamma=1.6",
    "specks=20,pinholes=20,smooth=2",
    "threshold=0.5",
    "feather=3,band=2",
]


def command_line(*arguments: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (matte_module, video_module):
            patch.setattr(module, "build_predictor", lambda source, **settings: FakePredictor())
        result = CliRunner().invoke(main, arguments)
    if result.exit_code:
        raise InputError(result.output)


def by_command(photo: Path, mask: Path, edges: str, kind: str, out: Path) -> Pixels:
    command_line("matte", str(photo), str(mask), "-o", str(out / "a.png"), "--output", kind, "--edges", edges)
    return np.asarray(Image.open(out / "a.png"))


def by_python(photo: Path, mask: Path, edges: str, kind: str, out: Path) -> Pixels:
    read = read_image(photo)
    matte = FakePredictor().predict(read.in_srgb().pixels, read_fitted_mask(mask, SIZE))
    if kind == "alpha":
        return np.rint(255 * matte.with_edges(EdgeOptions.parse(edges)).alpha).astype(np.uint8)
    RenderedMatte(read, matte, options=OutputOptions(edges=EdgeOptions.parse(edges))).write(out / "a.png", kind)
    return np.asarray(Image.open(out / "a.png"))


def by_batch(photo: Path, mask: Path, edges: str, kind: str, out: Path) -> Pixels:
    settings = WorkerSettings(
        base=str(photo.parent), out=str(out), kinds=(kind,), edges=EdgeOptions.parse(edges), retries=0
    )
    (result,) = Worker(settings, lambda _: FakePredictor()).run([Row("a", photo.name, str(mask))])
    assert result.reason is None
    made = np.asarray(Image.open(out / kind / "a.png"))
    alpha = made if kind == "alpha" else made[..., 3]
    assert result.coverage == pytest.approx(alpha.mean() / 255, abs=1 / 255)
    return made


def by_service(photo: Path, mask: Path, edges: str, kind: str, out: Path) -> Pixels:
    runner = JobRunner(FakePredictor(), max_pixels=10**6, max_bytes=10**6, cache_bytes=10**6)
    job = MatteJob(photo=photo, masks=[mask], targets=[Target(mask=0)], folder=out, edges=edges, outputs=[kind])  # type: ignore[list-item]
    return np.asarray(Image.open(out / runner.run(job, lambda stage, done: None).file_name))


def by_video(photo: Path, mask: Path, edges: str, kind: str, out: Path) -> Pixels:
    for folder, file in (("frames", photo), ("masks", mask)):
        (out / folder).mkdir(exist_ok=True)
        (out / folder / f"1{file.suffix}").write_bytes(file.read_bytes())
    where = (str(out / "frames"), str(out / "masks"), "-o", str(out / "clip"))
    command_line("video", *where, "--output", kind, "--no-steady", "--edges", edges)
    made = read_image(out / "clip" / kind / "1.png")
    return made.pixels[..., 0] if made.alpha is None else np.dstack([made.pixels, made.alpha])


DOORS = {door.__name__: door for door in (by_command, by_python, by_batch, by_service, by_video)}


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Door:
    return DOORS[request.param]


@pytest.fixture
def photo(tmp_path: Path, rng: np.random.Generator) -> Path:
    Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """Soft, with a speck and a pinhole; `FakePredictor` takes it for the matte."""
    distance = np.hypot(*np.mgrid[-30:30, -45:45])
    values = np.clip((22 - distance) * 25 + 128, 0, 255).astype(np.uint8)
    values[2:4, 2:5], values[29:31, 44:46] = 255, 0
    Image.fromarray(values).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("kind", ["alpha", "cutout"])
def test_every_door_gives_the_same(
    door: Door, photo: Path, mask: Path, out: Path, tmp_path: Path, edges: str, kind: str
) -> None:
    (tmp_path / "python").mkdir()
    made = door(photo, mask, edges, kind, out)
    assert np.array_equal(made, by_python(photo, mask, edges, kind, tmp_path / "python"))
    alpha = made if kind == "alpha" else made[..., 3]
    assert not np.array_equal(alpha, np.asarray(Image.open(mask)))


def test_without_controls_the_matte_is_that_of_the_network(door: Door, photo: Path, mask: Path, out: Path) -> None:
    assert np.array_equal(door(photo, mask, "", "alpha", out), np.asarray(Image.open(mask)))


def test_colours_are_estimated_once_and_for_the_changed_alpha(photo: Path, mask: Path, out: Path) -> None:
    from mask2alpha.pipeline import matte as pipeline_matte

    seen = []
    estimate = pipeline_matte.estimate_foreground
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            pipeline_matte, "estimate_foreground", lambda image, alpha: seen.append(alpha) or estimate(image, alpha)
        )
        read = read_image(photo)
        matte = FakePredictor().predict(read.pixels, read_fitted_mask(mask, SIZE))
        rendered = RenderedMatte(read, matte, options=OutputOptions(edges=EdgeOptions(shift=2)))
        for kind in ("cutout", "foreground", "composite"):
            rendered.write(out / "a.png", kind)
    assert len(seen) == 1
    assert np.array_equal(seen[0][0].numpy(), matte.with_edges(EdgeOptions(shift=2)).alpha)


@pytest.mark.parametrize(
    ("edges", "complaint"),
    [("shift=99", "shift is 99.0; accepted: -32 to 32"), ("blur=1", "'blur' is not a control"), ("shift", "a number")],
)
def test_every_door_refuses_alike_and_writes_nothing(
    door: Door, photo: Path, mask: Path, out: Path, edges: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=r"edges|accepted") as refusal:
        door(photo, mask, edges, "alpha", out)
    assert complaint in " ".join(str(refusal.value).split())
    assert not list(out.rglob("*a.png")) + list(out.rglob("clip*"))


def test_the_command_makes_outputs_again_for_other_edges_only(photo: Path, mask: Path, out: Path) -> None:
    made = [by_command(photo, mask, edges, "alpha", out) for edges in ("", "shift=1", "shift=1.0,gamma=1")]
    assert not np.array_equal(made[0], made[1])
    assert np.array_equal(made[1], made[2])
    before = (out / "a.png").stat().st_mtime_ns
    by_command(photo, mask, "gamma=1,shift=1", "alpha", out)
    assert (out / "a.png").stat().st_mtime_ns == before


def test_the_service_scales_lengths_with_the_photo_and_keeps_its_matte(photo: Path, mask: Path, out: Path) -> None:
    runner = JobRunner(FakePredictor(), max_pixels=10**6, max_bytes=10**6, cache_bytes=10**8)
    job = MatteJob(photo=photo, masks=[mask], targets=[Target(mask=0)], folder=out, key="k", max_side=45)

    def answer(**changes: str) -> Pixels:
        result = runner.run(job.model_copy(update=changes), lambda stage, done: None)
        return np.asarray(Image.open(out / result.file_name))

    small = answer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakePredictor, "predict", None)  # a further call would fail
        shifted = answer(edges="shift=4")
    assert shifted.shape == (30, 45)
    grown = np.sqrt([values.sum() / 255 / np.pi for values in (small, shifted)])
    assert grown[1] - grown[0] == pytest.approx(2, abs=0.4)


def test_a_region_of_the_service_is_a_part_of_the_whole(photo: Path, mask: Path, out: Path) -> None:
    runner = JobRunner(FakePredictor(), max_pixels=10**6, max_bytes=10**6, cache_bytes=10**6)
    job = MatteJob(photo=photo, masks=[mask], targets=[Target(mask=0)], folder=out, edges="shift=3,feather=2")
    windows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_runner, "configure", lambda predictor, job, window: windows.append(window) or FakePredictor())
        whole, part = (
            np.asarray(Image.open(out / runner.run(each, lambda stage, done: None).file_name))
            for each in (job, job.model_copy(update={"region": (20.0, 5.0, 50.0, 40.0)}))
        )
    assert np.array_equal(part, whole[5:40, 20:50])
    assert windows == [None, (slice(0, 51), slice(9, 61))]  # detail is wanted as far as shift and feather carry it
