"""Write `constraints/`: every package of an installation with its version and the hashes of its files.

    make constraints

One resolution by `uv` holds for Python 3.11 and newer on Linux, macOS and Windows. Versions and hashes are those of the
public index that uv asks by default; neither its address nor a path is written. PyTorch, and what only its CUDA build
needs, get a file of their own, because there are several builds of each version: who takes another one leaves it out.
`pylock.toml` (PEP 751) has what `runtime.txt` has. It names each file in `wheels/` beside it, for want of an address.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLDEST_PYTHON = "3.11"
PINNED_GROUPS = ("browser", "dev")
"""Dependency groups that the tests use."""

OF_TORCH = re.compile(r"(torch|triton|cuda-[\w-]+|nvidia-[\w-]+)==")
HOW = "# Written by `make constraints`; how to use it: docs/versioning.md\n"
HEADERS = {
    "runtime": "# What `mask2alpha` needs, without PyTorch.\n",
    "torch": "# PyTorch's public build and, on Linux, the CUDA libraries that it brings.\n"
    "# A build from elsewhere (CPU, ROCm, another CUDA) has other hashes: leave this file out then.\n",
    "full": "# `mask2alpha` with every extra and the tools of the tests, without PyTorch.\n",
    "release": "# The tools that make a release, in an environment of their own.\n",
}


def compiled(*options: str, name: str = "out.txt") -> str:
    """What `uv pip compile` writes into a file of this name."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / name
        command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--universal", "--upgrade"]
        command += ["--no-header", "--python-version", OLDEST_PYTHON, "--output-file", str(out), *options]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return out.read_text(encoding="utf-8")


def resolve(*options: str) -> list[str]:
    """The pins that uv finds: one string per package, with its hashes and who asked for it."""
    text = compiled("--generate-hashes", "--no-emit-index-url", "--annotation-style", "line", *options)
    return re.split(r"^(?=[^\s#])", "\n" + text, flags=re.MULTILINE)[1:]


def lock(*options: str) -> tuple[str, list[str]]:
    """The head and the packages of a pylock.toml, with files of `wheels/` in place of addresses; wheels alone."""
    text = compiled(*options, name="pylock.toml")
    text = re.sub(r'url = "[^"]*/([^"/]+)", upload-time = [^,]+, ', r'path = "wheels/\1", ', text)
    text = re.sub(r"^(sdist|index) = .*\n", "", text, flags=re.MULTILINE)
    head, *packages = re.split(r"^(?=\[\[packages\]\])", text, flags=re.MULTILINE)
    return head, [text for text in packages if not OF_TORCH.match(text.split('"')[1] + "==")]


def write(name: str, pins: list[str]) -> None:
    """Write one file of `constraints/`."""
    path = ROOT / "constraints" / f"{name}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text(HOW + HEADERS[name] + "".join(pins), encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {len(pins)} pins, {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Resolve once with every extra, and let the runtime agree with that."""
    full = resolve("pyproject.toml", "--extra=all", *(f"--group={group}" for group in PINNED_GROUPS))
    with tempfile.TemporaryDirectory() as folder:
        agreed = Path(folder) / "full.txt"
        agreed.write_text("".join(full), encoding="utf-8")
        runtime = resolve("pyproject.toml", f"--constraints={agreed}", "--no-annotate")
    write("runtime", [pin for pin in runtime if not OF_TORCH.match(pin)])
    write("torch", [pin for pin in runtime if OF_TORCH.match(pin)])
    write("full", [pin for pin in full if not OF_TORCH.match(pin)])
    write("release", resolve("--group=release"))
    with tempfile.TemporaryDirectory() as folder:
        agreed = Path(folder) / "runtime.txt"
        agreed.write_text("".join(runtime), encoding="utf-8")
        head, packages = lock("pyproject.toml", f"--constraints={agreed}")
    (ROOT / "constraints" / "pylock.toml").write_text(HOW + head + "".join(packages), encoding="utf-8")


if __name__ == "__main__":
    main()
