"""Drives Krita itself, without a window, where it is installed; MASK2ALPHA_KRITA may hold `kritarunner`'s path."""

import json
import os
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import build
import numpy as np
import pytest
from stand_in_service import TINT

COMMAND = shlex.split(os.environ.get("MASK2ALPHA_KRITA", "")) or [
    path for path in [shutil.which("kritarunner")] if path
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMMAND, reason="Krita 5.2 is not installed (Debian 13: apt install krita)"),
]
SELECTED = (slice(5, 20), slice(10, 30))
"""Rows and columns that the session selects."""


@pytest.fixture
def krita(tmp_path, service):
    """Run the session in Krita, with the plug-in as its zip file installs it."""
    with zipfile.ZipFile(build.build("krita", tmp_path)) as archive:
        archive.extractall(tmp_path / "pykrita")

    def run(*, result="new-layer", rough="selection", depth="U8", colour=(0x60, 0x40, 0x20, 0xFF), url=service.url):
        out = tmp_path / "out.json"
        wish = {"url": url, "result": result, "rough": rough, "depth": depth, "colour": colour, "out": str(out)}
        environment = {
            **os.environ,
            "MASK2ALPHA_SESSION": json.dumps(wish),
            "PYTHONPATH": f"{tmp_path / 'pykrita'}{os.pathsep}{Path(__file__).parent}",
            "QT_QPA_PLATFORM": "offscreen",
            "XDG_CONFIG_HOME": str(tmp_path),
        }
        command = [*COMMAND, "-s", "krita_session", "-f", "main"]
        finished = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=600, check=False
        )
        assert out.exists(), finished.stdout + finished.stderr
        outcome = json.loads(out.read_text(encoding="utf-8"))
        assert "crash" not in outcome, outcome["crash"]
        return outcome

    return run


def selected_mask():
    mask = np.zeros((30, 40), np.uint8)
    mask[SELECTED] = 255
    return mask


def test_a_selection_becomes_a_cut_out_layer_above_the_hidden_photo(krita, service):
    service.warnings = ["the mask is odd"]
    outcome = krita()
    assert (outcome["error"], outcome["told"]) == (None, ["the mask is odd"])
    photo, cutout = outcome["layers"]  # from the lowest up
    assert (cutout["name"], cutout["visible"], photo["visible"]) == ("photo (cut out)", True, False)
    pixels = np.array(cutout["pixels"]).reshape(30, 40, 4)
    np.testing.assert_array_equal(pixels[..., 3], selected_mask())
    assert (pixels[SELECTED][..., :3] == TINT[::-1]).all()  # Krita has blue first
    [request] = service.requests
    assert request["photo"].shape == (30, 40, 3)
    assert (request["photo"] == (0x20, 0x40, 0x60)).all()  # the part that the layer's mask hides, too
    np.testing.assert_array_equal(request["mask"], selected_mask())
    assert (request["channel"], request["edges"]) == ("grey", "shift=-1")
    assert outcome["documents"] == 1


def test_a_selection_becomes_a_transparency_mask(krita):
    outcome = krita(result="transparency-mask")
    assert outcome["error"] is None
    [photo] = outcome["layers"]
    assert photo["visible"]
    assert list(photo["masks"]) == ["half of it", "mask2alpha"]
    np.testing.assert_array_equal(np.array(photo["masks"]["mask2alpha"]).reshape(30, 40), selected_mask())


def test_sixteen_bits_stay(krita, service):
    outcome = krita(depth="U16", colour=(0, 16, 0, 64, 0, 200, 255, 255))
    assert outcome["error"] is None
    assert len(outcome["layers"][1]["pixels"]) == 30 * 40 * 8
    assert service.requests[0]["photo_bits"] == 16


@pytest.mark.parametrize(
    ("rough", "said"), [("none", "select the object roughly first"), ("mask chosen", "choose the layer")]
)
def test_says_what_is_missing(krita, service, rough, said):
    outcome = krita(rough=rough)
    assert said in outcome["error"]
    assert len(outcome["layers"]) == 1
    assert not service.requests
