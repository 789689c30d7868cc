import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("what", ["--masks", "--photos"])
def test_sound_files_of_every_kind_are_read_as_they_were_drawn(what: str) -> None:
    command = [sys.executable, "-m", "tests.fuzz", what, "--count", "150", "--seed", "0"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " read" in result.stdout
    assert " refused" in result.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process are Linux's")
def test_damaged_files_are_matted_or_refused_and_nothing_else() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--count", "100", "--seed", "0"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert "matted" in result.stdout
    assert "refused" in result.stdout
