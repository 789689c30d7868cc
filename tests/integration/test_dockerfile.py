"""What can be known of the Dockerfile without an engine: its rules, and that its commands work on this machine."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Instruction(NamedTuple):
    stage: int
    name: str
    rest: str


def read_dockerfile() -> list[Instruction]:
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    instructions, stage = [], -1
    for line in filter(None, lines):
        name, _, rest = line.partition(" ")
        stage += name == "FROM"
        instructions.append(Instruction(stage, name, rest.strip()))
    return instructions


INSTRUCTIONS = read_dockerfile()
LAST = INSTRUCTIONS[-1].stage


def having(name: str, *, stage: int | None = None) -> list[str]:
    return [item.rest for item in INSTRUCTIONS if item.name == name and stage in (None, item.stage)]


def test_every_instruction_is_known() -> None:
    known = {
        "ARG",
        "FROM",
        "ENV",
        "RUN",
        "WORKDIR",
        "COPY",
        "USER",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
    }
    assert {item.name for item in INSTRUCTIONS} <= known


def test_it_does_not_run_as_root() -> None:
    assert [re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) is not None for user in having("USER", stage=LAST)] == [True]
    assert not having("RUN", stage=LAST)


def test_versions_are_named_and_stages_are_slim() -> None:
    for base in having("FROM"):
        assert "slim" in base
        assert "latest" not in base


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    for copied in having("COPY", stage=0):
        *sources, _ = copied.split()
        for source in sources:
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored


def test_the_entry_point_is_a_command_with_the_variables_of_the_image() -> None:
    command = json.loads(having("ENTRYPOINT")[0])
    assert command == ["mask2alpha", "serve"]
    result = subprocess.run(
        [sys.executable, "-m", *command, "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    for variable in re.findall(r"MASK2ALPHA_SERVE_(\w+)=", " ".join(having("ENV"))):
        assert f"--{variable.lower().replace('_', '-')}" in result.stdout


def test_the_health_check_fails_where_nothing_answers() -> None:
    command = json.loads(having("HEALTHCHECK")[0].partition("CMD ")[2])
    environment = {**os.environ, "MASK2ALPHA_SERVE_PORT": "9"}
    result = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, check=False)
    assert result.returncode != 0
    assert urllib.error.URLError.__name__ in result.stderr.decode()


@pytest.mark.slow
@pytest.mark.network
def test_every_command_of_the_build_runs(tmp_path: Path) -> None:
    """The build stage, with a folder of its own in place of the image's root; PyTorch from wherever pip looks."""
    source, venv = tmp_path / "source", tmp_path / "venv"
    environment = {**os.environ, "TORCH_INDEX": "", "HEIC": "yes", "PIP_NO_CACHE_DIR": "0"}
    for instruction in (item for item in INSTRUCTIONS if item.stage == 0):
        if instruction.name == "WORKDIR":
            source.mkdir()
        elif instruction.name == "COPY":
            *names, target = instruction.rest.split()
            for name in names:
                if (ROOT / name).is_dir():
                    shutil.copytree(
                        ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
                    )
                else:
                    shutil.copy(ROOT / name, source / target)
        elif instruction.name == "RUN":
            command = instruction.rest.replace("/opt/venv", str(venv)).replace(
                "python -m venv", f"{sys.executable} -m venv"
            )
            folder = source if source.exists() else tmp_path
            subprocess.run(["/bin/sh", "-c", command], cwd=folder, env=environment, check=True, timeout=1800)
    result = subprocess.run(
        [str(venv / "bin" / "mask2alpha"), "serve", "--help"], capture_output=True, text=True, check=True
    )
    assert "--max-pixels" in result.stdout
    probe = "import mask2alpha.serving.server, mask2alpha.serving.job_runner, importlib.resources as r; " \
        "print((r.files('mask2alpha') / 'serving/example/photo.jpg').is_file())"  # fmt: skip
    result = subprocess.run([str(venv / "bin" / "python"), "-c", probe], capture_output=True, text=True, check=True)
    assert result.stdout == "True\n"
