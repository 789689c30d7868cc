"""Install the wheel under every Python we name, with the oldest and the newest of what it asks for, and try it.

    make compat                                            # all of them
    make compat COMPAT="--python 3.12 --ends newest"

`lowest` takes, of every direct dependency, the oldest version that `pyproject.toml` allows and that has a wheel for the
Python at hand; `newest` takes the newest. In each environment: the example through the command line, and the unit tests
of the network, its operations, the pipeline and the checkpoints. An interpreter that is missing is named and left out.
"""

import argparse
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}
TESTS = ["tests/unit/ops", "tests/unit/model", "tests/unit/pipeline", "tests/unit/test_checkpoints.py"]
COMPARED = ["tests/unit/model/stage1_encoder/test_vit.py", "tests/unit/pipeline/test_foreground.py"]
"""These need other libraries, which would decide what else is installed."""

TOOLS = ["pytest>=8.2", "beartype>=0.19", "hypothesis>=6.100", "scipy>=1.12"]
SHOWN = ("torch", "numpy", "pillow", "safetensors", "jaxtyping", "huggingface_hub", "click")
UV = str(Path(sys.executable).with_name("uv"))


def find_interpreter(version: str) -> Path | None:
    """`python3.x` on the path or among pyenv's, if it runs and is that version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python{version}"))]
    for candidate in filter(None, candidates):
        code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
        result = subprocess.run([str(candidate), "-c", code], capture_output=True, text=True, check=False)
        if result.returncode == 0 and result.stdout.strip() == version:
            return Path(candidate)
    return None


def uv(*words: str | Path) -> None:
    """Run uv quietly."""
    subprocess.run([UV, *map(str, words), "--quiet"], check=True)


def install(folder: Path, interpreter: Path, wheel: Path, resolution: str) -> Path:
    """An environment with the wheel, and after it the tools of the tests, which may not change what it got."""
    uv("venv", "--python", interpreter, folder)
    python = folder / "bin" / "python"
    pip = ("pip", "install", "--python", python, "--only-binary", ":all:")
    uv(*pip, "--resolution", resolution, "--requirements", ROOT / "pyproject.toml")  # so they count as direct
    uv("pip", "install", "--python", python, "--no-deps", wheel)
    frozen = folder / "frozen.txt"
    listed = subprocess.run([UV, "pip", "freeze", "--python", str(python)], capture_output=True, text=True, check=True)
    frozen.write_text("\n".join(line for line in listed.stdout.splitlines() if "==" in line), encoding="utf-8")
    uv(*pip, "--constraints", frozen, *TOOLS)
    return python


def attempt(python: Path, folder: Path, paths: list[str]) -> str:
    """Matte the example, run the tests; the last line of what the tests print, or what went wrong."""
    words = ["git", "archive", "HEAD", "tests", "examples", "pyproject.toml"]
    exported = subprocess.run(words, cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        archive.extractall(folder, filter="data")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["OMP_NUM_THREADS"] = "1"
    matte = [
        "-m",
        "mask2alpha",
        "matte",
        "examples/photos/astronaut.png",
        "examples/masks/astronaut.png",
        "-o",
        "a.png",
    ]
    tests = ["-m", "pytest", "-p", "no:cacheprovider", "-m", "not slow and not gpu and not network", *paths]
    tests += [f"--ignore={path}" for path in COMPARED]
    tests += ["-o", "filterwarnings=default"]  # an old NumPy warns of what a new one took away
    told = ""
    for words in (matte, tests):
        result = subprocess.run(
            [str(python), *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        told = (result.stdout.strip() or "matted").splitlines()[-1]
        if result.returncode != 0:
            print(result.stdout[-6000:], result.stderr[-3000:], file=sys.stderr)
            failed = ", ".join(line for line in result.stdout.splitlines() if line.startswith(("FAILED", "ERROR")))
            return f"FAILED: {told} {failed}"
    return told


def versions(python: Path) -> str:
    """The versions that matter."""
    code = f"from importlib.metadata import version as v; print(', '.join(f'{{n}} {{v(n)}}' for n in {SHOWN!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Try each combination in an environment of its own, and remove it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="*", default=PYTHONS, choices=PYTHONS)
    parser.add_argument("--ends", nargs="*", default=list(RESOLUTIONS), choices=list(RESOLUTIONS))
    parser.add_argument("--tests", nargs="*", default=TESTS, help="other tests than those named above")
    arguments = parser.parse_args()
    (wheel,) = (ROOT / "dist").glob("*.whl")
    failed = 0
    for version in arguments.python:
        interpreter = find_interpreter(version)
        if interpreter is None:
            print(f"Python {version}: no interpreter found")
            continue
        for end in arguments.ends:
            start = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                try:
                    python = install(Path(folder) / "venv", interpreter, wheel, RESOLUTIONS[end])
                    told = f"{attempt(python, Path(folder), arguments.tests)} | {versions(python)}"
                except subprocess.CalledProcessError as error:
                    told = f"FAILED: no installation (exit {error.returncode})"
            failed += told.startswith("FAILED")
            print(f"Python {version}, {end}: {told} ({time.monotonic() - start:.0f} s)", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
