"""Write `dist/mask2alpha-VERSION.cdx.json`: what an installation of the wheel consists of, as CycloneDX.

    make sbom

Installs the wheel of `dist/` with the pins of `constraints/runtime.txt` and one PyTorch, and lets cyclonedx-py read the
result. Addresses are taken out: a purl names each package, and the others say where the building machine found it.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LEFT_OUT = {"externalReferences", "properties", "evidence"}
"""Addresses, paths of licence files, and paths of the installation."""

ADDRESS = re.compile(r"(?:https?|file|git\+\w+)://[^\s\"]+|(?<![\w./@:])/(?:tmp|home|root|work|Users|usr|var)/[^\s\"]+")
SCHEMA = re.compile(r"https?://(?:[\w-]+\.)*cyclonedx\.org/")


def install(folder: Path, wheel: Path, torch: str) -> Path:
    """A virtual environment with the wheel and its dependencies, and nothing else: not even pip."""
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "--disable-pip-version-check", "install", "--quiet"]
    for words in (
        ["--require-hashes", "-r", str(ROOT / "constraints" / "runtime.txt")],
        [torch],
        ["--no-deps", str(wheel)],
    ):
        subprocess.run([*pip, *words], check=True)
    return folder / "bin" / "python"


def without_addresses(value: Any) -> Any:
    """The same document without the fields and the words that lead anywhere."""
    if isinstance(value, dict):
        return {name: without_addresses(part) for name, part in value.items() if name not in LEFT_OUT}
    if isinstance(value, list):
        return [without_addresses(part) for part in value]
    if isinstance(value, str) and not SCHEMA.match(value):
        return ADDRESS.sub("", value).strip()
    return value


def main() -> None:
    """Install, list, clean, check, write."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", required=True, help="as pip takes it: torch==2.9.1")
    arguments = parser.parse_args()
    (wheel,) = (ROOT / "dist").glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        python = install(Path(folder) / "venv", wheel, arguments.torch)
        command = [
            sys.executable,
            "-m",
            "cyclonedx_py",
            "environment",
            "--output-reproducible",
            "--output-format",
            "JSON",
        ]
        listed = subprocess.run(
            [*command, "--pyproject", str(ROOT / "pyproject.toml"), str(python)], check=True, capture_output=True
        ).stdout
    described = without_addresses(json.loads(listed))
    version = wheel.stem.split("-")[1]
    described["metadata"]["component"] |= {"version": version, "purl": f"pkg:pypi/mask2alpha@{version}"}
    text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
    faults = JsonStrictValidator(SchemaVersion.from_version(described["specVersion"])).validate_str(text)
    if faults is not None:
        sys.exit(f"not valid CycloneDX: {faults}")
    for old in wheel.parent.glob("*.cdx.json"):
        old.unlink()
    out = wheel.parent / f"mask2alpha-{version}.cdx.json"
    out.write_text(text, encoding="utf-8")
    print(f"{out.relative_to(ROOT)}: {len(described['components'])} packages, {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
