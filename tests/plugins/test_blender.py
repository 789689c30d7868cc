"""Drives Blender itself, where it is installed; MASK2ALPHA_BLENDER may hold a command that runs a script in it.

Such a command is `blender --background --python-exit-code 1 --python`, or a Python that has the package bpy.
"""

import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import build
import numpy as np
import pytest
from PIL import Image
from stand_in_service import TINT

COMMAND = shlex.split(os.environ.get("MASK2ALPHA_BLENDER", ""))
if not COMMAND and importlib.util.find_spec("bpy"):
    COMMAND = [sys.executable]
if not COMMAND and shutil.which("blender"):
    COMMAND = ["blender", "--background", "--python-exit-code", "1", "--python"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMMAND, reason="Blender is not installed (pip install bpy, or blender on the path)"),
]
HEIGHT, WIDTH = 12, 16
BOX = (slice(3, 9), slice(4, 12))
"""Rows and columns, from the top, of what the masks select."""


def write(path: Path, pixels) -> dict[str, str]:
    Image.fromarray(pixels).save(path)
    return {"path": str(path), "source": "FILE"}


@pytest.fixture
def photo(rng):
    return rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def mask():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[BOX] = 255
    return mask


@pytest.fixture
def blender(tmp_path, service):
    """Install the add-on in a Blender with settings of its own, and matte."""

    def run(photo, mask, *, url=service.url, **choice):
        wish = {
            "zip": str(build.build("blender", tmp_path)),
            "url": url,
            "folder": str(tmp_path / "mattes"),
            "photo": photo,
            "mask": mask,
            "choice": choice,
            "out": str(tmp_path / "out.json"),
        }
        environment = {
            **os.environ,
            "BLENDER_USER_RESOURCES": str(tmp_path / "blender"),
            "MASK2ALPHA_SESSION": json.dumps(wish),
        }
        finished = subprocess.run(
            [*COMMAND, str(Path(__file__).with_name("blender_session.py"))],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert (tmp_path / "out.json").exists(), finished.stdout + finished.stderr
        return json.loads((tmp_path / "out.json").read_text()) | {"log": finished.stdout + finished.stderr}

    return run


def test_a_photo_becomes_a_cut_out_node(blender, service, photo, mask, tmp_path):
    outcome = blender(write(tmp_path / "photo.png", photo), write(tmp_path / "mask.png", mask))
    assert outcome["error"] is None
    assert outcome["result"] == ["FINISHED"]
    assert outcome["panel"]
    assert outcome["is_gone_when_disabled"]
    [node] = outcome["nodes"]
    assert Path(node["file"]) == tmp_path / "mattes" / "photo_cutout.png"
    assert (node["size"], node["alpha_mode"]) == ([WIDTH, HEIGHT], "STRAIGHT")
    cutout = np.asarray(Image.open(node["file"]))
    np.testing.assert_array_equal(cutout[..., 3], mask)
    assert (cutout[..., :3] == TINT).all()
    np.testing.assert_array_equal(service.requests[0]["photo"], photo)


def test_what_the_mask_does_not_say_is_sent(blender, service, photo, mask, tmp_path):
    files = write(tmp_path / "photo.png", photo), write(tmp_path / "mask.png", mask // 255 * 7)
    outcome = blender(*files, label="7", invert=True, edges=" shift=-1 ")
    assert outcome["error"] is None
    assert (service.requests[0]["label"], service.requests[0]["invert"]) == ("7", "true")
    assert service.requests[0]["edges"] == "shift=-1"
    assert "channel" not in service.requests[0]


def test_a_mask_painted_in_blender_is_sent_as_painted(blender, service, photo, mask, tmp_path):
    outcome = blender(write(tmp_path / "photo.png", photo), {"painted": [4, HEIGHT - 9, 12, HEIGHT - 3]})
    assert outcome["error"] is None
    np.testing.assert_array_equal(service.requests[0]["mask"], mask)


def test_a_sequence_is_matted_frame_by_frame(blender, service, photo, mask, tmp_path):
    for number in (7, 8, 9):
        write(tmp_path / f"shot_{number:04d}.png", photo + np.uint8(number))
        write(tmp_path / f"roto.{number:04d}.png", np.roll(mask, number, axis=1))
    outcome = blender(
        {"path": str(tmp_path / "shot_0007.png"), "source": "SEQUENCE"},
        {"path": str(tmp_path / "roto.0007.png"), "source": "SEQUENCE"},
    )
    assert outcome["error"] is None
    [node] = outcome["nodes"]
    assert (node["source"], node["duration"], node["offset"]) == ("SEQUENCE", 3, 6)
    assert Path(node["file"]).name == "shot_cutout_0007.png"
    for index, number in enumerate((7, 8, 9)):
        np.testing.assert_array_equal(service.requests[index]["photo"], photo + np.uint8(number))
        alpha = np.asarray(Image.open(tmp_path / "mattes" / f"shot_cutout_{number:04d}.png"))[..., 3]
        np.testing.assert_array_equal(alpha, np.roll(mask, number, axis=1))


def test_other_machines_are_asked_only_where_blender_may_go_online(blender, service, photo, mask, tmp_path):
    outcome = blender(
        write(tmp_path / "photo.png", photo), write(tmp_path / "mask.png", mask), url="https://mattes.example.org"
    )
    assert "allow online access" in outcome["error"]
    assert not outcome["nodes"]


@pytest.mark.parametrize("way", ["a mask of that name", "a sequence of masks", "a link to the photo", "a hard link"])
def test_a_cut_out_never_overwrites_what_it_is_made_from(blender, service, photo, mask, tmp_path, way):
    folder = tmp_path / "mattes"
    folder.mkdir()
    wishes = [write(tmp_path / "photo.png", photo), write(folder / "photo_cutout.png", mask)]
    if way == "a sequence of masks":
        for number in (1, 2):
            write(tmp_path / f"shot_{number:04d}.png", photo)
            write(folder / f"shot_cutout_{number:04d}.png", mask)
        paths = tmp_path / "shot_0001.png", folder / "shot_cutout_0001.png"
        wishes = [{"path": str(path), "source": "SEQUENCE"} for path in paths]
    elif way != "a mask of that name":
        wishes[1] = write(tmp_path / "mask.png", mask)
        (folder / "photo_cutout.png").unlink()
        link = os.link if way == "a hard link" else os.symlink
        link(tmp_path / "photo.png", folder / "photo_cutout.png")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    outcome = blender(*wishes)
    assert "is an input and would be overwritten" in outcome["error"]
    assert not service.requests
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_what_the_service_says_is_reported_with_the_frame(blender, service, photo, mask, tmp_path):
    service.warnings = ["the mask is full"]
    outcome = blender(write(tmp_path / "photo.png", photo), write(tmp_path / "mask.png", mask))
    assert outcome["result"] == ["FINISHED"]
    assert "photo_cutout.png: the mask is full" in outcome["log"]
