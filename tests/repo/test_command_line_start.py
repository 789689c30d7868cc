import subprocess
import sys
import time

import pytest

COMMANDS = ["matte", "video", "serve", "batch", "eval", "compare", "explain", "ablate", "train", "info", "doctor"]
SLOWEST_S = 1.0
"""Aim: 0.3 s. A busy machine gets three tries and a generous bound."""

HEAVY = ("torch", "numpy", "PIL", "huggingface_hub")
PROBE = f"""
import sys
from mask2alpha.__main__ import main
try:
    main(sys.argv[1:])
except SystemExit as exit:
    code = exit.code
heavy = [name for name in {HEAVY!r} if name in sys.modules]
print("HEAVY", heavy)
sys.exit(code or len(heavy))
"""


def test_help_imports_nothing_heavy() -> None:
    result = subprocess.run([sys.executable, "-c", PROBE, "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    for command in COMMANDS:
        assert command in result.stdout


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "mask2alpha", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < SLOWEST_S


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mask2alpha", command, "--help"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Usage:" in result.stdout
