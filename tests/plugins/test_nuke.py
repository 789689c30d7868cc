"""Runs the plug-in over a stand-in for Nuke's module, since Nuke itself cannot be installed freely."""

import importlib
import sys
import zipfile

import build
import numpy as np
import pytest
from PIL import Image
from stand_in_service import TINT

HEIGHT, WIDTH = 12, 16
BOX = (slice(3, 9), slice(4, 12))


@pytest.fixture
def nuke(tmp_path, monkeypatch):
    """The stand-in, with the plug-in as its zip file installs it, loaded by its menu."""
    with zipfile.ZipFile(build.build("nuke", tmp_path)) as archive:
        archive.extractall(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "mask2alpha"))
    for name in ("menu", "mask2alpha_nuke", "service_client", "nuke"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    stand_in = importlib.import_module("stand_in_nuke")
    importlib.reload(stand_in)
    monkeypatch.setitem(sys.modules, "nuke", stand_in)
    importlib.import_module("menu")
    yield stand_in
    for name in ("menu", "mask2alpha_nuke", "service_client"):
        sys.modules.pop(name, None)


def plate(frame):
    values = np.full((HEIGHT, WIDTH, 4), 0.2140411, np.float32)  # 0.5 in sRGB
    values[0, 0, :3] = frame / 2000
    return values


def roto(frame):
    values = np.zeros((HEIGHT, WIDTH, 4), np.float32)
    values[(*BOX, 3)] = 1
    return values


@pytest.fixture
def group(nuke, service, tmp_path):
    """The node as the menu makes it of two selected nodes, for three frames."""
    nuke.selection[:] = [nuke.Picture(roto), nuke.Picture(plate)]
    made = nuke.Menu.commands["Keyer/mask2alpha"]()
    made["url"].setValue(service.url)
    made["folder"].setValue(str(tmp_path / "shot 1"))
    return made


def press(nuke, group):
    nuke.thisNode = lambda: group
    exec(group["matte"].value(), {"nuke": nuke})


def test_every_frame_becomes_a_cut_out(nuke, group, service, tmp_path, monkeypatch):
    monkeypatch.setenv("MASK2ALPHA_KEY", "secret")
    service.key = "secret"
    group["edges"].setValue("shift=-1")
    press(nuke, group)
    assert not nuke.messages
    files = sorted((tmp_path / "shot 1").iterdir())
    assert [file.name for file in files] == [f"mask2alpha1_cutout.{frame}.png" for frame in (1001, 1002, 1003)]
    with Image.open(files[0]) as picture:
        cutout = np.asarray(picture)
    assert (cutout[..., 3] > 0)[BOX].all()
    assert cutout[..., 3].sum() == 255 * 48
    assert (cutout[..., :3] == TINT).all()
    mask = np.zeros((HEIGHT, WIDTH))
    mask[BOX] = 255
    for request in service.requests:
        assert (request["photo_bits"], request["channel"], request["edges"]) == (16, "grey", "shift=-1")
        assert abs(int(request["photo"][5, 5, 0]) - 127) <= 1  # half way in sRGB
        np.testing.assert_array_equal(request["mask"], mask)
    corners = [int(request["photo"][0, 0, 0]) for request in service.requests]
    assert len(corners) == 3
    read = group.node("cutout")
    assert read["file"].value() == f"{(tmp_path / 'shot 1').as_posix()}/mask2alpha1_cutout.%04d.png"
    assert (read["first"].value(), read["last"].value()) == (1001, 1003)
    assert group.node("made")["which"].value() == 1
    assert nuke.executed == ["reload"]


def test_before_the_first_matte_the_photo_passes_through(nuke, group):
    [output] = [node for node in group.children if node.kind == "Output"]
    np.testing.assert_array_equal(output.render(1001), plate(1001))


def test_frames_are_made_again_but_files_of_others_stay(nuke, group, service, tmp_path):
    press(nuke, group)
    press(nuke, group)
    assert not nuke.messages
    assert len(service.requests) == 6
    (tmp_path / "other").mkdir()
    kept = tmp_path / "other" / "mask2alpha1_cutout.1002.png"
    kept.write_bytes(b"kept")
    group["folder"].setValue(str(tmp_path / "other"))
    press(nuke, group)
    assert "exists, and this node did not make it" in nuke.messages[0]
    assert kept.read_bytes() == b"kept"
    assert len(service.requests) == 6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda nuke, group: group.setInput(1, None), "connect the photo and the rough mask"),
        (lambda nuke, group: group["last"].setValue(1000), "the last frame comes before"),
        (lambda nuke, group: group["folder"].setValue(""), "choose a folder"),
        (lambda nuke, group: setattr(group["folder"], "evaluate", lambda: None), "choose a folder"),
        (lambda nuke, group: nuke.settings.update(proxy=True), "turn the proxy mode off"),
        (lambda nuke, group: group["url"].setValue("http://127.0.0.1:9"), "no mask2alpha service answers"),
    ],
)
def test_says_what_is_missing(nuke, group, service, change, said):
    change(nuke, group)
    press(nuke, group)
    assert said in nuke.messages[0]
    assert not service.requests
    assert group.node("made")["which"].value() == 0


def test_what_the_service_says_is_told_with_the_frame_and_cancelling_stops(nuke, group, service):
    service.warnings = ["the mask is odd"]
    nuke.cancel_after = 1
    press(nuke, group)
    assert nuke.messages == ["mask2alpha: frame 1001: the mask is odd\ncancelled before frame 1002"]
    assert len(service.requests) == 1
