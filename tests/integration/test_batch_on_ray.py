"""Batches as users start them: from the command line, in this process and on a Ray cluster of several processes."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mask2alpha.cli.main import main
from mask2alpha.imaging.encode import write_image

HAS_RAY = "ray is not installed: it is in the extra `batch`, and too large for `dev`"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight photographs, one with two masks; one is cut off."""
    rng = np.random.default_rng(0)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:40] = 255
    for number in range(8):
        write_image(tmp_path / "photos" / f"{number}.png", rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
        write_image(tmp_path / "masks" / f"{number}.png", mask)
    (tmp_path / "masks" / "7.png").rename(tmp_path / "masks" / "7__left.png")
    write_image(tmp_path / "masks" / "7__right.png", mask[:, ::-1])
    path = tmp_path / "photos" / "3.png"
    path.write_bytes(path.read_bytes()[:900])
    return tmp_path


def batch(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["batch", *map(str, arguments)])


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_folder_is_matted_here_by_the_shipped_model(folder: Path) -> None:
    result = batch(folder, folder / "out", "--threads", 1)
    assert result.exit_code == 1, result.output
    assert "8 matted, 0 done before, 1 set aside" in result.stderr
    assert "Set aside: 3: " in result.stderr
    assert sorted(path.name for path in (folder / "out" / "alpha").iterdir()) == [
        "0.png", "1.png", "2.png", "4.png", "5.png", "6.png", "7__left.png", "7__right.png",
    ]  # fmt: skip
    assert "0 matted, 8 done before, 1 set aside" in batch(folder, folder / "out").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--output", "alpha,nonsense"), "nonsense: choose from alpha, cutout"),
        (("--workers", "4-1"), "the smaller number first"),
        (("--workers", "many"), "neither a number nor a range"),
        (("--model", "nosuch"), "nosuch: expected a file, a folder"),
    ],
)
def test_wrong_arguments_are_refused(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    result = batch(folder, folder / "out", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not (folder / "out").exists()


@pytest.mark.slow
def test_ray_writes_what_this_process_writes(folder: Path) -> None:
    pytest.importorskip("ray", reason=HAS_RAY)
    batch(folder, folder / "here", "--threads", 1, "--output", "alpha,cutout")
    command = [
        sys.executable, "-m", "mask2alpha", "batch", str(folder), str(folder / "ray"), "--output", "alpha,cutout",
        "--ray", "local", "--workers", "1-2", "--chunk", "2",
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert result.returncode == 1, result.stderr
    assert "8 matted, 0 done before, 1 set aside" in result.stderr
    assert files(folder / "ray") == files(folder / "here")


DEADLY = """
    import os, signal, sys
    from functools import partial
    from mask2alpha.batch.engines import RayPool, run_on_ray
    from mask2alpha.batch.job import run_batch
    from mask2alpha.batch.manifest import read_manifest
    from mask2alpha.batch.worker import WorkerSettings

    def make_predictor(settings):
        from fakes import FakePredictor

        class DeadlyPredictor(FakePredictor):
            def encode(self, image):
                if image[0, 0, 0] == 255:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().encode(image)

        return DeadlyPredictor()

    manifest = read_manifest(sys.argv[1])
    pool = RayPool(min_workers=2, max_workers=2)
    settings = WorkerSettings(base=manifest.base, out=sys.argv[1] + "/out", retries=1)
    engine = partial(run_on_ray, pool=pool, make_predictor=make_predictor)
    report = run_batch(manifest, settings, engine, chunk_size=3)
    print(report.num_matted, [(result.name, result.reason) for result in report.failures])
"""


@pytest.mark.slow
def test_a_photograph_that_kills_every_worker_is_set_aside(folder: Path) -> None:
    pytest.importorskip("ray", reason=HAS_RAY)
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[0, 0] = 255
    for number in range(8):
        write_image(folder / "photos" / f"{number}.png", photo if number == 4 else photo * 0)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DEADLY), str(folder)],
        capture_output=True, text=True, timeout=900, check=False, env=environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().splitlines()[-1] == "8 [('4', '2 workers died on this photo')]"
