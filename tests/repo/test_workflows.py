"""What can be known of the workflows without running them: that they are whole, and that what they name exists."""

import json
import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mask2alpha.cli.matte import command as matte

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
WORKFLOWS: dict[str, Any] = {
    path.name: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
JOBS = {(name, job): about for name, flow in WORKFLOWS.items() for job, about in flow["jobs"].items()}
SCRIPT = "\n".join(step.get("run", "") for job in JOBS.values() for step in job.get("steps", []) if "if" not in step)
NOTES = runpy.run_path(str(ROOT / "tools" / "release_notes.py"))


def matrices() -> Iterator[dict[str, list[str]]]:
    return (job["strategy"]["matrix"] for job in JOBS.values() if "strategy" in job)


def test_each_matrix_has_the_systems_and_the_pythons_that_are_promised() -> None:
    named = [text.rpartition(" ")[2] for text in PYPROJECT["project"]["classifiers"] if "Python :: 3." in text]
    assert len(list(matrices())) == 2
    for matrix in matrices():
        assert matrix["python"] == named
        assert matrix["os"] == ["ubuntu-latest", "windows-latest", "macos-latest"]


def test_what_the_steps_name_exists() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    asked = [target for words in re.findall(r"\bmake ([a-z -]+)$", SCRIPT, re.MULTILINE) for target in words.split()]
    assert asked
    assert set(asked) <= set(targets)
    scripts = json.loads((ROOT / "web" / "package.json").read_text(encoding="utf-8"))["scripts"]
    assert set(re.findall(r"\bnpm (?:run )?(?!ci)(\w+)", SCRIPT)) <= scripts.keys()
    files = re.findall(r"(?<![\w/])((?:\.ci|tools|examples)/[\w./-]+)", SCRIPT)
    files += [job["uses"] for job in JOBS.values() if "uses" in job]
    assert len(files) > 3
    assert not [file for file in files if not (ROOT / file).is_file()]
    folders = [job["defaults"]["run"].get("working-directory", ".") for job in JOBS.values() if "defaults" in job]
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_extras_and_groups_that_are_installed_are_declared() -> None:
    extras = {name for text in re.findall(r"\.\[([\w,]+)\]", SCRIPT) for name in text.split(",")}
    assert extras
    assert extras <= PYPROJECT["project"]["optional-dependencies"].keys()
    assert set(re.findall(r"--group (\w+)", SCRIPT)) <= PYPROJECT["dependency-groups"].keys()


def test_the_command_of_the_wheel_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = [line for line in SCRIPT.splitlines() if "mask2alpha matte" in line]
    words = shlex.split(line.partition("mask2alpha matte ")[2])
    monkeypatch.chdir(ROOT)
    assert matte.make_context("matte", words).params["target"] == Path("cutout.png")


def test_jobs_wait_for_jobs_that_exist_and_actions_have_a_version() -> None:
    for (name, _), job in JOBS.items():
        needs = job.get("needs", [])
        assert ({needs} if isinstance(needs, str) else set(needs)) <= WORKFLOWS[name]["jobs"].keys()
        for step in job.get("steps", []):
            assert "run" in step or re.fullmatch(r"[\w-]+/[\w-]+@(?:v\d+|release/v1)", step["uses"])


def test_only_a_tag_publishes_and_only_after_all_tests() -> None:
    jobs = WORKFLOWS["release.yml"]["jobs"]
    assert set(jobs["publish"]["needs"]) == {"build", "test", "wheel", "docs"}
    for name in ("publish", "container", "npm", "site", "notes"):
        assert jobs[name]["if"] == "github.ref_type == 'tag'"
        assert name == "publish" or "publish" in jobs[name]["needs"]


def test_a_job_may_do_no_more_than_it_needs() -> None:
    assert all(flow["permissions"] == {"contents": "read"} for flow in WORKFLOWS.values())
    assert JOBS["release.yml", "publish"]["permissions"] == {"id-token": "write"}  # Trusted Publishing: no secret
    assert "secrets." not in str(WORKFLOWS)


def test_the_notes_of_a_release_are_its_part_of_the_changelog() -> None:
    changelog = "# Changelog\n\n## Unreleased\n\n- new\n\n## 0.2.0 (2026-01-02)\n\n- two\n- more\n\n## 0.1.0\n\n- one\n"
    find = NOTES["find_notes"]
    assert [find(changelog, version) for version in ("0.2.0", "0.1.0", "0.3.0")] == ["- two\n- more", "- one", "- new"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", NOTES["read_version"]())
