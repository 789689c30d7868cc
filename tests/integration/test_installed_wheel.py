"""The wheel as a stranger gets it: built from what git tracks, installed by itself, away from the repository."""

import os
import re
import shutil
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from mask2alpha import __version__

ROOT = Path(__file__).parents[2]
WEIGHTS = "mask2alpha/weights/"
MAX_WHEEL_BYTES = 80_000_000
MAX_REST_BYTES = 7_000_000
"""Of the wheel, unpacked, beside its weights. Docs and tests do not belong in it."""

pytestmark = pytest.mark.slow


class Distributions(NamedTuple):
    source: Path
    """The tracked files, copied."""

    sdist: Path
    wheel: Path


class Installation(NamedTuple):
    folder: Path
    python: Path
    program: Path


def environment() -> dict[str, str]:
    """This process's, without anything that leads Python back to the repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "VIRTUAL_ENV"))}
    return {**kept, "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run(*command: str | Path, cwd: Path, timeout: float = 120) -> str:
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def build(kind: str, source: Path, out: Path) -> Path:
    """`kind` is "wheel" or "sdist". With the setuptools at hand: no network."""
    out.mkdir(exist_ok=True)
    code = f"import setuptools.build_meta as backend; backend.build_{kind}({str(out)!r})"
    run(sys.executable, "-W", "ignore", "-c", code, cwd=source)
    (made,) = out.iterdir()
    return made


def members(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    folder = tmp_path_factory.mktemp("distributions")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", "pyproject.toml", "README.md", "LICENSE", "src", "tests"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    source = folder / "source"
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    sdist = build("sdist", source, folder / "sdist")
    return Distributions(source, sdist, build("wheel", source, folder / "wheel"))


@pytest.fixture(scope="module", params=["beside what is installed", pytest.param("fresh", marks=pytest.mark.network)])
def installation(
    request: pytest.FixtureRequest, distributions: Distributions, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """A virtual environment with the wheel. `fresh` downloads the rest, with the PyTorch that runs these tests."""
    folder = tmp_path_factory.mktemp("installation")
    fresh = request.param == "fresh"
    venv.create(folder / "venv", with_pip=True)
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", distributions.wheel, cwd=folder)
    if fresh:
        torch = f"torch=={metadata.version('torch')}"
        run(python, "-m", "pip", "install", "--quiet", torch, distributions.wheel, cwd=folder, timeout=1800)
        run(python, "-m", "pip", "check", cwd=folder)
    else:
        purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
        # a path in a .pth file is not itself searched for .pth files: the editable installation stays out
        (Path(purelib) / "beside.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    return Installation(folder, python, scripts / "mask2alpha")


def test_the_wheel_holds_every_tracked_file_of_the_package_and_nothing_else(distributions: Distributions) -> None:
    source = distributions.source / "src"
    tracked = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    tracked = {name for name in tracked if ".egg-info/" not in name}
    held = {name for name in members(distributions.wheel) if ".dist-info/" not in name}
    assert held == tracked
    assert {f"{WEIGHTS}small.safetensors", "mask2alpha/py.typed", "mask2alpha/serving/example/photo.jpg"} <= held


def test_the_wheel_holds_the_page_and_all_that_it_names(distributions: Distributions) -> None:
    held = members(distributions.wheel)
    page = "mask2alpha/web/index.html"
    named = re.findall(r"assets/[\w.-]+\.\w+", held[page].decode())
    assert len(named) >= 2
    assert {f"mask2alpha/web/{name}" for name in named} <= set(held)


def test_the_wheel_is_small(distributions: Distributions) -> None:
    assert distributions.wheel.stat().st_size <= MAX_WHEEL_BYTES
    rest = sum(len(content) for name, content in members(distributions.wheel).items() if not name.startswith(WEIGHTS))
    assert rest <= MAX_REST_BYTES


def test_the_wheel_says_licence_versions_and_command(distributions: Distributions) -> None:
    held = members(distributions.wheel)
    info = f"mask2alpha-{__version__}.dist-info"
    assert f"{info}/licenses/LICENSE" in held
    assert b"mask2alpha = mask2alpha.__main__:main" in held[f"{info}/entry_points.txt"]
    described = held[f"{info}/METADATA"].decode()
    for line in (f"Version: {__version__}", "License-Expression: Apache-2.0", "Requires-Python: >=3.11"):
        assert line in described


def test_the_sdist_builds_the_same_wheel(distributions: Distributions, tmp_path: Path) -> None:
    with tarfile.open(distributions.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir())
    again = build("wheel", unpacked, tmp_path / "wheel")
    assert again.name == distributions.wheel.name
    assert members(again) == members(distributions.wheel)


def test_it_is_the_wheel_that_is_imported(installation: Installation) -> None:
    code = "import sys, mask2alpha; print(mask2alpha.__file__); print(*sys.path, sep='\\n')"
    module, *searched = run(installation.python, "-c", code, cwd=installation.folder).splitlines()
    assert Path(module).is_relative_to(installation.folder / "venv")
    assert str(ROOT) not in searched
    assert str(ROOT / "src") not in searched


def test_it_says_its_version(installation: Installation) -> None:
    assert __version__ in run(installation.program, "--version", cwd=installation.folder)


def test_it_says_what_it_runs_on_and_with_which_weights(installation: Installation) -> None:
    told = run(installation.program, "info", cwd=installation.folder)
    assert re.search(rf"^mask2alpha +{re.escape(__version__)}$", told, re.MULTILINE)
    weights = re.search(r"^small .*\n +(.+)$", told, re.MULTILINE)
    assert weights
    assert Path(weights.group(1)).is_relative_to(installation.folder / "venv")


def test_it_mattes_the_example(installation: Installation, tmp_path: Path) -> None:
    for kind in ("photos", "masks"):
        shutil.copy(ROOT / "examples" / kind / "astronaut.png", tmp_path / f"{kind}.png")
    run(installation.program, "matte", "photos.png", "masks.png", "-o", "alpha.png", cwd=tmp_path, timeout=300)
    with Image.open(tmp_path / "alpha.png") as picture, Image.open(tmp_path / "masks.png") as drawn:
        alpha = np.asarray(picture.convert("L"), dtype=np.float32) / 255
        mask = np.asarray(drawn.convert("L"), dtype=np.float32) / 255
    assert alpha.shape == mask.shape
    assert 0 < np.abs(alpha - mask).mean() < 0.1
    assert ((alpha > 0.1) & (alpha < 0.9)).mean() > 0.005
