"""`constraints/` pins everything that `pyproject.toml` asks for, for every Python and system that we name."""

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
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


@pytest.mark.parametrize("name", NAMES)
def test_no_index_and_no_path_is_named(name: str) -> None:
    text = (ROOT / "constraints" / f"{name}.txt").read_text(encoding="utf-8")
    assert not re.findall(r"://|--(?:extra-)?index|--find-links|--trusted|file:| -c |(?<!\w)/\w+/\w", text)
