import json
import runpy
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
LISTED = {
    "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
    "components": [
        {
            "name": "torch",
            "purl": "pkg:pypi/torch@2.13.0%2Bcpu",
            "description": "Tensors, see https://example.org/docs and file:///home/someone/a.whl",
            "externalReferences": [{"type": "distribution", "url": "https://mirror.example.org/simple/torch"}],
            "properties": [{"name": "path", "value": "/build/env/lib"}],
        },
        {"name": "tqdm", "licenses": [{"license": {"id": "MIT", "text": "from /usr/lib/python3/x"}}]},
    ],
}


def test_the_list_of_what_is_inside_has_no_address_and_no_path() -> None:
    cleaned = runpy.run_path(str(TOOLS / "make_sbom.py"))["without_addresses"](LISTED)
    assert cleaned["$schema"] == LISTED["$schema"]
    text = json.dumps(cleaned["components"])
    assert not any(word in text for word in ("://", "/home", "/build", "/usr", "mirror"))
    assert cleaned["components"][0]["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert cleaned["components"][0]["description"].startswith("Tensors")


def test_this_interpreter_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    find = runpy.run_path(str(TOOLS / "check_compatibility.py"))["find_interpreter"]
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert find(f"{sys.version_info.major}.{sys.version_info.minor}") is not None
    assert find("3.1") is None
