"""Install the wheel under every Python we name, with the oldest and the newest of what it asks for, and test it.

    make compat                                                                # all of them
    make compat COMPAT="--python 3.12 --ends newest --tests tests/unit/model"  # a part
    make compat COMPAT=--matte-only                                            # the example alone

`lowest` takes, of every direct dependency and of every tool of the tests, the oldest version that `pyproject.toml`
allows and that has a wheel for the Python at hand; `newest` takes the newest. In each environment: the example through
the command line, then the fast tests of the last commit. The environments stay in `.cache/compat/` until
`pyproject.toml` changes. An interpreter that is missing is named and left out.

`make compat TORCH="torch==2.13.0+cpu"` takes one build of PyTorch for both ends. uv looks for it where its own settings
say (`UV_FIND_LINKS`, `UV_TORCH_BACKEND`).
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}
EXTRAS = ("train", "report", "peers", "prompts", "formats", "serve", "video")  # those of `make test`
COMPARED = (
    "tests/integration/test_published_encoders.py",
    "tests/integration/test_training_runs.py",
    "tests/unit/model/stage1_encoder/test_vit.py",
)
"""Tests against transformers, which needs PyTorch 2.7; left out at the lowest end."""

SHOWN = ("torch", "numpy", "pillow", "safetensors", "jaxtyping", "huggingface_hub", "click", "fastapi", "starlette")
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
    subprocess.run([UV, *map(str, words), "--quiet"], cwd=ROOT, check=True)


def install(folder: Path, interpreter: Path, wheel: Path, resolution: str, torch: str) -> Path:
    """The Python of an environment with the extras and the tools of the tests, and the wheel as it is now."""
    python = folder / "bin" / "python"
    asked = folder / "asked.txt"
    wanted = torch + (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    if not asked.exists() or asked.read_text(encoding="utf-8") != wanted:
        uv("venv", "--clear", "--python", interpreter, folder)
        extras = [word for extra in EXTRAS for word in ("--extra", extra)]
        source = ["--requirements", "pyproject.toml", *extras, "--group", "dev"]  # so they count as direct
        only = ["--only-binary", ":all:", "--resolution", resolution]
        uv("pip", "install", "--python", python, *only, *source, *filter(None, [torch]))
        asked.write_text(wanted, encoding="utf-8")
    uv("pip", "install", "--python", python, "--no-deps", "--reinstall", wheel)
    return python


def attempt(python: Path, folder: Path, tests: list[str], *, matte_only: bool) -> str:
    """Matte the example, run the tests; the last line of what the tests print, or what went wrong."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(clone)], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["OMP_NUM_THREADS"] = "1"
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"
    pair = ["examples/photos/astronaut.png", "examples/masks/astronaut.png"]
    commands = [["-m", "mask2alpha", "matte", *pair, "-o", str(folder / "alpha.png")]]
    if not matte_only:
        fast = ["-m", "pytest", "-p", "no:cacheprovider", "-m", "not slow and not gpu and not network"]
        # an old library warns of what a new one took away
        commands.append([*fast, "-o", "filterwarnings=default", "--disable-warnings", *tests])
    told = ""
    for words in commands:
        result = subprocess.run(
            [str(python), *words], cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        told = (result.stdout.strip() or "matted").splitlines()[-1]
        if result.returncode != 0:
            print(result.stdout[-20000:], result.stderr[-3000:], file=sys.stderr)
            failed = ", ".join(line for line in result.stdout.splitlines() if line.startswith(("FAILED", "ERROR")))
            return f"FAILED: {told} {failed}"
    return told


def versions(python: Path) -> str:
    """The versions that matter."""
    code = f"from importlib.metadata import version as v; print(', '.join(f'{{n}} {{v(n)}}' for n in {SHOWN!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Try each combination in an environment of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="*", default=PYTHONS, choices=PYTHONS)
    parser.add_argument("--ends", nargs="*", default=list(RESOLUTIONS), choices=list(RESOLUTIONS))
    parser.add_argument("--tests", nargs="*", default=[], help="files, folders or options for pytest")
    parser.add_argument("--matte-only", action="store_true", help="matte the example, run no tests")
    parser.add_argument("--torch", default="", help='one PyTorch for both ends, as in "torch==2.9.1"')
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
                environment = ROOT / ".cache" / "compat" / f"{version}-{end}"
                try:
                    python = install(environment, interpreter, wheel, RESOLUTIONS[end], arguments.torch)
                    ignored = [f"--ignore={path}" for path in COMPARED if end == "lowest"]
                    tests = [*ignored, *arguments.tests]
                    told = attempt(python, Path(folder), tests, matte_only=arguments.matte_only)
                    told = f"{told} | {versions(python)}"
                except subprocess.CalledProcessError as error:
                    told = f"FAILED: no installation (exit {error.returncode})"
            failed += told.startswith("FAILED")
            print(f"Python {version}, {end}: {told} ({time.monotonic() - start:.0f} s)", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
