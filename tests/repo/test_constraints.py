"""`constraints/` pins everything that `pyproject.toml` asks for, for every Python and system that we name."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.pylock import Pylock
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
NAMES = ("runtime", "torch", "full", "release")
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PYPROJECT["project"]["optional-dependencies"]
GROUPS: dict[str, list[str]] = PYPROJECT["dependency-groups"]
ENVIRONMENTS = [
    {
        "python_version": python,
        "python_full_version": f"{python}.5",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": system,
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[system],
        "platform_machine": machine,
        "os_name": "nt" if system == "win32" else "posix",
        "platform_release": "",
        "platform_version": "",
        "implementation_version": f"{python}.5",
        "extra": "",
    }
    for python in ("3.11", "3.12", "3.13", "3.14")
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64"))
]


class Pin(NamedTuple):
    requirement: Requirement
    hashes: list[str]

    @property
    def version(self) -> Version:
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return Version(specifier.version)


def read_pins(name: str) -> list[Pin]:
    text = re.sub(r"^\s*#.*\n?", "", (ROOT / "constraints" / f"{name}.txt").read_text(), flags=re.MULTILINE)
    pins = []
    for line in text.replace("\\\n", " ").splitlines():
        asked, *hashes = line.split(" --hash=")
        pins.append(Pin(Requirement(asked.strip()), [value.strip() for value in hashes]))
    return pins


PINS = {name: read_pins(name) for name in NAMES}


def pinned(pins: list[Pin], environment: dict[str, str]) -> dict[str, Version]:
    """The pins that count in an environment, where each package may have one."""
    counting = [
        (canonicalize_name(pin.requirement.name), pin.version)
        for pin in pins
        if pin.requirement.marker is None or pin.requirement.marker.evaluate(environment)
    ]
    assert len({name for name, _ in counting}) == len(counting)
    return dict(counting)


def unmet(asked: list[str], versions: dict[str, Version]) -> list[str]:
    requirements = [Requirement(text) for text in asked]
    return [
        str(requirement)
        for requirement in requirements
        if requirement.name != "mask2alpha"
        and not requirement.specifier.contains(
            versions.get(canonicalize_name(requirement.name), Version("0")), prereleases=True
        )
    ]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda e: f"{e['python_version']}-{e['platform_machine']}")
def test_everything_asked_for_is_pinned(environment: dict[str, str]) -> None:
    versions = {name: pinned(pins, environment) for name, pins in PINS.items()}
    dependencies = PYPROJECT["project"]["dependencies"]
    assert not unmet(dependencies, versions["runtime"] | versions["torch"])
    asked = [text for texts in (*EXTRAS.values(), GROUPS["dev"], GROUPS["browser"]) for text in texts]
    assert not unmet([*dependencies, *asked], versions["full"] | versions["torch"])
    assert not unmet(GROUPS["release"], versions["release"])
    assert versions["runtime"].items() <= versions["full"].items()
    assert not versions["full"].keys() & versions["torch"].keys()


@pytest.mark.parametrize("name", NAMES)
def test_every_pin_is_public_and_has_hashes(name: str) -> None:
    assert PINS[name]
    for pin in PINS[name]:
        assert pin.version.local is None
        assert pin.hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in pin.hashes)


def test_the_lock_has_what_the_runtime_pins_have() -> None:
    lock = Pylock.from_dict(tomllib.loads((ROOT / "constraints" / "pylock.toml").read_text(encoding="utf-8")))
    lock.validate()
    pins = {(canonicalize_name(pin.requirement.name), pin.version): set(pin.hashes) for pin in PINS["runtime"]}
    assert {(package.name, package.version) for package in lock.packages} == pins.keys()
    for package in lock.packages:
        hashes = {f"sha256:{wheel.hashes['sha256']}" for wheel in package.wheels}
        assert hashes <= pins[package.name, package.version]
        assert all(re.fullmatch(r"wheels/[^/]+\.whl", wheel.path) for wheel in package.wheels)


FIRST_WITHOUT_KNOWN_HOLES = {
    "click": "8.3.3",  # CVE-2026-7246
    "jinja2": "3.1.6",  # CVE-2025-27516
    "mcp": "1.28.1",  # CVE-2026-59950
    "mkdocs-material": "9.7.7",  # CVE-2026-73295
    "onnx": "1.22",  # CVE-2026-44512 and others
    "opencv-python-headless": "4.12",  # CVE-2025-53644
    "pillow": "12.3",  # GHSA-62p4-gmf7-7g93
    "pillow-heif": "1.8.1",  # GHSA-g89c-p67h-r497 and later ones, in the libheif that the wheel brings
    "pyarrow": "23.0.1",  # CVE-2026-25087
    "pytest": "9.0.3",  # CVE-2025-71176
    "python-multipart": "0.0.31",  # GHSA-v9pg-7xvm-68hf
    "ray": "2.55",  # CVE-2026-41486
    "setuptools": "83",  # PYSEC-2026-3447
    "starlette": "1.3.1",  # CVE-2026-54283
    "torch": "2.6",  # CVE-2025-32434; docs/versioning.md has what later versions mended
    "tqdm": "4.66.3",  # CVE-2024-34062
    "transformers": "5.10",  # CVE-2026-9856
    "uv": "0.10.11",  # GHSA-6gx3-4362-rf54
}


def test_no_floor_allows_a_version_with_a_known_hole() -> None:
    texts = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["build-system"]["requires"]]
    texts += [text for group in (*EXTRAS.values(), *GROUPS.values()) for text in group]
    seen = set()
    for requirement in map(Requirement, texts):
        first = FIRST_WITHOUT_KNOWN_HOLES.get(canonicalize_name(requirement.name))
        if first is not None:
            seen.add(canonicalize_name(requirement.name))
            (floor,) = [each.version for each in requirement.specifier if each.operator == ">="]
            assert Version(floor) >= Version(first), requirement
    assert seen == FIRST_WITHOUT_KNOWN_HOLES.keys()


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("end", ["lowest-direct", "highest"])
def test_the_oldest_and_the_newest_dependencies_go_together(python: str, end: str) -> None:
    """With a wheel for each; `make compat` also installs them and runs the fast tests."""
    uv = shutil.which("uv", path=os.pathsep.join([str(ROOT / ".cache" / "release" / "bin"), os.environ["PATH"]]))
    if uv is None:
        pytest.skip("uv is not installed; `make compat` brings it")
    groups = [f"--group={group}" for group in GROUPS]
    command = [uv, "pip", "compile", "pyproject.toml", "--extra=all", *groups, f"--resolution={end}"]
    command += ["--quiet", "--no-header", "--no-annotate", f"--python-version={python}", "--only-binary=:all:"]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    versions = {name: Version(version) for name, version in re.findall(r"^([\w.-]+)==([\w.+]+)$", found, re.MULTILINE)}
    for requirement in map(Requirement, PYPROJECT["project"]["dependencies"]):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            assert versions[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("name", [*(f"{name}.txt" for name in NAMES), "pylock.toml"])
def test_no_index_and_no_path_is_named(name: str) -> None:
    text = (ROOT / "constraints" / name).read_text(encoding="utf-8")
    assert not re.findall(r"://|--(?:extra-)?index|--find-links|--trusted|file:| -c |(?<!\w)/\w+/\w", text)
