"""The folder of the page without a service."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from exporting import restless_model
from mask2alpha.model.config import PRESETS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    restless_model(PRESETS["tiny"]).save_pretrained(folder / "model.safetensors")
    command = [
        sys.executable,
        "-m",
        "mask2alpha",
        "page",
        "-o",
        folder / "site",
        "--model",
        folder / "model.safetensors",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "site"


def test_the_service_worker_keeps_every_file_that_the_page_needs(site: Path) -> None:
    worker = (site / "sw.js").read_text(encoding="utf-8")
    listed = re.search(r"^const FILES = (\[.*\]);$", worker, re.MULTILINE)
    assert listed
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert set(json.loads(listed[1])) == files - {"sw.js", "README.md", "_headers"}
    assert {"index.html", "model/encoder.onnx", "model/model.json", "example/photo.jpg", "licenses.txt"} <= files


def test_the_page_allows_itself_nothing_of_other_hosts(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none';")
    assert not re.search(r"\*|https?:|'unsafe-inline'|'unsafe-eval'", policy[1])
    assert policy.start() < page.index("<script")
    assert 'data-service="none"' in page
    assert json.loads((site / "model" / "model.json").read_text())["steps"] == PRESETS["tiny"].decoder.num_steps


def test_the_read_me_makes_it_a_static_space(site: Path) -> None:
    head = (site / "README.md").read_text(encoding="utf-8").split("---")[1]
    assert "sdk: static" in head
    assert "cross-origin-embedder-policy: require-corp" in head
