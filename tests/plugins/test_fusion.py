"""Runs the plug-in over a stand-in for Fusion's scripting interface, since Fusion itself cannot be installed freely."""

import runpy
import sys
import zipfile

import build
import numpy as np
import pytest
from PIL import Image
from stand_in_fusion import Composition, Fusion, Tool
from stand_in_service import TINT

HEIGHT, WIDTH = 12, 16
BOX = (slice(3, 9), slice(4, 12))


def plate(frame):
    values = np.ones((HEIGHT, WIDTH, 4))
    values[..., :3] = frame % 100 / 255
    return values


def polygon(_frame):
    values = np.zeros((HEIGHT, WIDTH, 4))
    values[(*BOX, 3)] = 1
    return values


@pytest.fixture
def comp(service, tmp_path):
    """A composition with a plate, a mask and a Saver of its own; the mask was selected last."""
    comp = Composition()
    photo, mask = Tool(comp, "Loader", "Plate", plate), Tool(comp, "PolylineMask", "Polygon1", polygon)
    comp.tools = [mask, photo, Tool(comp, "Saver", "Final")]
    comp.selected, comp.ActiveTool = [mask, photo], mask
    comp.answer = {"folder": str(tmp_path / "shot 1"), "url": service.url}
    return comp


@pytest.fixture
def run(comp, tmp_path, monkeypatch):
    """Run the script as its zip file installs it; what it shows at the end, or None."""
    with zipfile.ZipFile(build.build("fusion", tmp_path)) as archive:
        archive.extractall(tmp_path / "Comp")
    fusion = Fusion(tmp_path / "Comp")

    def run():
        monkeypatch.setattr(sys, "path", list(sys.path))
        monkeypatch.delitem(sys.modules, "service_client", raising=False)
        before = len(comp.shown)
        script = tmp_path / "Comp" / "mask2alpha" / "mask2alpha_fusion.py"
        try:
            runpy.run_path(str(script), {"fusion": fusion, "comp": comp})
        finally:
            check_composition()
        shown = comp.shown[before:]
        return shown[-1][1]["Default"] if shown and shown[-1][1][1] == "told" else None

    def check_composition():
        assert comp.num_locks == 0
        assert [tool.attributes["TOOLS_Name"] for tool in comp.tools] == ["Polygon1", "Plate", "Final"]
        assert not comp.tools[-1].attributes["TOOLB_PassThrough"]

    return run


def test_every_frame_becomes_a_cut_out(run, comp, service, tmp_path, monkeypatch):
    monkeypatch.setenv("MASK2ALPHA_KEY", "secret")
    service.key = "secret"
    service.warnings = ["the mask is odd"]
    comp.answer["edges"] = "shift=-1"
    assert run().splitlines() == [
        f"The cut-outs are in {tmp_path / 'shot 1'}",
        "frame 1001: the mask is odd",
        "frame 1002: the mask is odd",
    ]
    files = sorted((tmp_path / "shot 1").iterdir())
    assert [file.name for file in files] == ["Plate_cutout.1001.png", "Plate_cutout.1002.png"]
    with Image.open(files[0]) as picture:
        cutout = np.asarray(picture)
    np.testing.assert_array_equal(cutout[..., 3], 255 * polygon(0)[..., 3])
    assert (cutout[..., :3] == TINT).all()
    assert [int(request["photo"][0, 0, 0]) for request in service.requests] == [1, 2]
    assert {(request["channel"], request["edges"]) for request in service.requests} == {("alpha", "shift=-1")}
    assert len(comp.rendered) == 4  # not by the composition's own Saver


def test_files_that_exist_stay(run, comp, service, tmp_path):
    run()
    num_requests, kept = len(service.requests), (tmp_path / "shot 1" / "Plate_cutout.1001.png").read_bytes()
    assert "exists; choose another folder" in run()
    assert len(service.requests) == num_requests
    assert (tmp_path / "shot 1" / "Plate_cutout.1001.png").read_bytes() == kept


def test_nothing_happens_when_the_user_cancels(run, comp, service):
    comp.answer = None
    assert run() is None
    assert not service.requests
    assert not comp.rendered


def test_the_composition_is_as_before_when_fusion_fails(run, comp):
    comp.fails = "loudly"
    with pytest.raises(RuntimeError, match="out of memory"):
        run()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda comp: comp.selected.pop(), "select the tool of the photo"),
        (lambda comp: setattr(comp, "ActiveTool", None), "select the tool of the photo"),
        (lambda comp: comp.answer.update(folder=None), "choose a folder"),
        (lambda comp: comp.answer.update(last="1000"), "give two numbers, the lower one first"),
        (lambda comp: comp.answer.update(first=None), "give two numbers, the lower one first"),
        (lambda comp: comp.answer.update(url="http://127.0.0.1:9"), "no mask2alpha service answers"),
        (lambda comp: setattr(comp, "fails", True), "Fusion did not render the photo of 2 of 2 frames"),
    ],
)
def test_says_what_is_missing(run, comp, service, tmp_path, change, said):
    change(comp)
    assert said in run()
    assert not service.requests
    assert not list((tmp_path / "shot 1").glob("*"))
