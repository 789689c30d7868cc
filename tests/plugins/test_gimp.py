"""Drives GIMP 3 itself, without a window, where it is installed; MASK2ALPHA_GIMP may hold the command to start it."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from stand_in_service import TINT

COMMAND = shlex.split(os.environ.get("MASK2ALPHA_GIMP", "")) or [
    path for path in [shutil.which("gimp-console-3.0") or shutil.which("gimp-console-3")] if path
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMMAND, reason="GIMP 3 is not installed (Debian 13: apt install gimp)"),
]
PLUGINS = Path(__file__).parents[2] / "plugins"
SESSION = Path(__file__).with_name("gimp_session.py")
SELECTED = (slice(5, 20), slice(10, 30))
"""Rows and columns of the layer that the session selects."""


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """GIMP's folder of a user whose only plug-in is ours; shared, because GIMP asks all plug-ins on its first start."""
    profile = tmp_path_factory.mktemp("profile")
    folder = profile / "plug-ins" / "mask2alpha"
    folder.mkdir(parents=True)
    shutil.copy(PLUGINS / "gimp" / "mask2alpha.py", folder)
    shutil.copy(PLUGINS / "service_client.py", folder)
    return profile


@pytest.fixture
def gimp(tmp_path, service, profile):
    """Run the session in GIMP."""
    shutil.copy(SESSION, tmp_path)

    def run(*, result="new-layer", rough="selection", edges=None, url=service.url):
        (tmp_path / "out.json").unlink(missing_ok=True)
        wish = {"url": url, "result": result, "rough": rough, "edges": edges, "out": str(tmp_path / "out.json")}
        script = f"exec(open({str(tmp_path / SESSION.name)!r}).read())"
        arguments = ["-idf", "--batch-interpreter=python-fu-eval", "-b", script, "--quit"]
        environment = {**os.environ, "GIMP3_DIRECTORY": str(profile), "MASK2ALPHA_SESSION": json.dumps(wish)}
        finished = subprocess.run(
            [*COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert (tmp_path / "out.json").exists(), finished.stdout + finished.stderr
        return json.loads((tmp_path / "out.json").read_text())

    return run


def selected_mask():
    mask = np.zeros((30, 40), np.uint8)
    mask[SELECTED] = 255
    return mask


def test_a_selection_becomes_a_cut_out_layer_above_the_hidden_photo(gimp, service):
    outcome = gimp(edges="shift=-1")
    assert outcome["success"], outcome["error"]
    assert outcome["menus"] == ["<Image>/Layer/Mask"]
    cutout, photo = outcome["layers"]
    assert (cutout["name"], cutout["offsets"], cutout["visible"]) == ("photo (cut out)", [5, 3], True)
    assert not photo["visible"]
    pixels = np.array(cutout["values"]).reshape(30, 40, 4)
    np.testing.assert_array_equal(pixels[..., 3], selected_mask())
    assert (pixels[SELECTED][..., :3] == TINT).all()
    [request] = service.requests
    assert (request["photo"] == (0x20, 0x40, 0x60)).all()
    np.testing.assert_array_equal(request["mask"], selected_mask())
    assert (request["channel"], request["edges"]) == ("grey", "shift=-1")


def test_a_rough_layer_mask_becomes_a_fine_one(gimp, service):
    outcome = gimp(result="layer-mask", rough="mask")
    assert outcome["success"], outcome["error"]
    [photo] = outcome["layers"]
    assert photo["is_mask"]
    assert photo["visible"]
    np.testing.assert_array_equal(np.array(photo["values"]).reshape(30, 40), selected_mask())
    np.testing.assert_array_equal(service.requests[0]["mask"], selected_mask())


def test_says_what_is_missing(gimp, service):
    outcome = gimp(rough="none")
    assert not outcome["success"]
    assert "select the object roughly first" in outcome["error"]
    assert len(outcome["layers"]) == 1
    assert not service.requests


def test_works_in_every_start_of_gimp(gimp, service):
    """From the second start on, GIMP reads the arguments' defaults from a file, the empty ones as None."""
    for _ in range(2):
        outcome = gimp()
        assert outcome["success"], outcome["error"]
    assert [request["edges"] for request in service.requests] == ["", ""]


def test_shows_faults_that_nobody_foresaw(gimp, profile):
    client = profile / "plug-ins" / "mask2alpha" / "service_client.py"
    kept = client.read_text(encoding="utf-8")
    client.write_text(kept + "\n\ndef matte(*_, **__):\n    raise KeyError('odd')\n", encoding="utf-8")
    try:
        outcome = gimp()
    finally:
        client.write_text(kept, encoding="utf-8")
    assert not outcome["success"]
    assert "mask2alpha failed: KeyError: 'odd'" in outcome["error"]
    assert len(outcome["layers"]) == 1
