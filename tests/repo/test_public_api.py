import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = ROOT / "tests" / "repo" / "public_api.txt"


@pytest.fixture(scope="module")
def described() -> list[str]:
    text: str = runpy.run_path(str(ROOT / "tools" / "write_public_api.py"))["describe"]()
    return text.splitlines()


def test_the_public_interface_is_the_pinned_one(described: list[str]) -> None:
    """If the change is meant: `make api`, and its line in the changelog."""
    assert described == PINNED.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("kind", ["Predictor(", "  .predict(", "matte", "POST /v1/mattes", "format_version "])
def test_every_part_is_described(described: list[str], kind: str) -> None:
    assert any(line.startswith(kind) for line in described)
