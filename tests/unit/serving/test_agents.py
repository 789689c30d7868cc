"""The tools for agents, called by the protocol's own client."""

import asyncio
import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mask2alpha.errors import InputError
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.serving import agents
from mask2alpha.serving.agents import SHOWN_SIDE, Toolbox, Workspace, make_server

pytestmark = pytest.mark.filterwarnings("ignore:the highest value of the mask is")  # random weights are sure of nothing
OUTSIDE = r"outside of the allowed folders|is not a path"
EXAMPLES = Path(__file__).parents[3] / "examples"


def make_predictor() -> Predictor:
    torch.manual_seed(0)
    return Predictor(Mask2Alpha(PRESETS["tiny_backbone"]).eval(), device="cpu", dtype=torch.float32)


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    """An allowed folder with a photo and its mask, and a secret beside it."""
    (tmp_path / "allowed").mkdir()
    photo = Image.fromarray(rng.integers(0, 256, (90, 130, 3), dtype=np.uint8))
    photo.save(tmp_path / "secret.png")
    photo.save(tmp_path / "allowed/photo.png")
    mask = np.zeros((90, 130), np.uint8)
    mask[20:70, 30:100] = 255
    Image.fromarray(mask).save(tmp_path / "allowed/mask.png")
    return tmp_path / "allowed"


@pytest.fixture
def toolbox(folder: Path) -> Toolbox:
    return Toolbox(make_predictor, Workspace(roots=(folder,)))


def opened(picture: bytes) -> Image.Image:
    return Image.open(io.BytesIO(picture))


def test_a_mask_becomes_a_cutout(toolbox: Toolbox, folder: Path) -> None:
    about, picture = toolbox.matte_photo("photo.png", "cutout.png", mask="mask.png")
    with Image.open(folder / "cutout.png") as written:
        assert (written.mode, written.size) == ("RGBA", (130, 90))
    assert about["output"] == str(folder / "cutout.png")
    assert opened(picture).size == (130, 90)


def test_points_become_a_mask_and_the_mask_a_matte_and_the_matte_a_composite(toolbox: Toolbox, folder: Path) -> None:
    toolbox.select_object("photo.png", "rough.png", points=[(60, 40)], not_points=[(2, 2)])
    with Image.open(folder / "rough.png") as rough:
        values = np.asarray(rough)
    assert set(np.unique(values)) <= {0, 255}
    assert values[40, 60] == 255
    assert values[2, 2] == 0
    toolbox.matte_photo("photo.png", "alpha.png", mask="rough.png", kind="alpha")
    toolbox.composite_photo("photo.png", "alpha.png", "out.jpg", background="#206070")
    with Image.open(folder / "out.jpg") as composite:
        assert composite.size == (130, 90)


def test_a_composite_of_an_alpha_is_what_the_matte_gives(toolbox: Toolbox, folder: Path) -> None:
    toolbox.matte_photo("photo.png", "alpha.png", mask="mask.png", kind="alpha")
    toolbox.matte_photo("photo.png", "one.png", mask="mask.png", kind="composite", background="red")
    toolbox.composite_photo("photo.png", "alpha.png", "other.png", background="red")
    one, other = (np.asarray(Image.open(folder / name), np.int16) for name in ("one.png", "other.png"))
    assert np.abs(one - other).mean() < 2  # the file's alpha has 8 bits


def test_an_answer_shows_a_small_picture(toolbox: Toolbox, folder: Path) -> None:
    Image.new("RGB", (3000, 1500), "red").save(folder / "large.png")
    about, picture = toolbox.inspect_photo("large.png")
    assert about["width"] == 3000
    assert opened(picture).size == (SHOWN_SIDE, SHOWN_SIDE // 2)
    assert about["shown_scale"] == pytest.approx(3000 / SHOWN_SIDE, abs=1e-3)


def test_the_encoding_of_the_last_photo_is_kept(
    toolbox: Toolbox, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolbox.select_object("photo.png", "one.png", points=[(60, 40)])
    monkeypatch.setattr(toolbox._predictor, "encode", lambda pixels: pytest.fail("it was encoded again"))
    toolbox.select_object("photo.png", "two.png", points=[(60, 40), (70, 50)])


@pytest.mark.parametrize("name", ["../secret.png", "SECRET", "link.png", "linked/secret.png", "nul\0.png"])
def test_files_outside_of_the_folders_are_refused(toolbox: Toolbox, folder: Path, name: str) -> None:
    os.symlink(folder.parent / "secret.png", folder / "link.png")
    os.symlink(folder.parent, folder / "linked")
    name = str(folder.parent / "secret.png") if name == "SECRET" else name
    with pytest.raises(InputError, match=OUTSIDE):
        toolbox.inspect_photo(name)
    with pytest.raises(InputError, match=OUTSIDE):
        toolbox.matte_photo("photo.png", name, mask="mask.png", overwrite=True)
    with pytest.raises(InputError, match=OUTSIDE):
        toolbox.matte_photo("photo.png", "out.png", mask="mask.png", kind="composite", background=name)


def test_inputs_and_existing_files_are_not_overwritten(toolbox: Toolbox, folder: Path) -> None:
    before = (folder / "photo.png").read_bytes(), (folder / "mask.png").read_bytes()
    for target in ("photo.png", "mask.png", "./sub/../photo.png"):
        (folder / "sub").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="is an input and would be overwritten"):
            toolbox.matte_photo("photo.png", target, mask="mask.png", overwrite=True)
    (folder / "old.png").write_bytes(b"old")
    with pytest.raises(InputError, match=r"old.png exists; give another name, or overwrite=true"):
        toolbox.matte_photo("photo.png", "old.png", mask="mask.png")
    assert (folder / "old.png").read_bytes() == b"old"
    assert ((folder / "photo.png").read_bytes(), (folder / "mask.png").read_bytes()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output": "out.png"}, "give either a mask, or points or a box"),
        ({"output": "out.png", "mask": "mask.png", "points": [(1, 1)]}, "give either a mask, or points or a box"),
        ({"output": "out.png", "mask": "mask.png", "kind": "depth"}, "kind is 'depth'; accepted: alpha"),
        ({"output": "out.jpg", "mask": "mask.png"}, "alpha"),
        ({"output": "out.xyz", "mask": "mask.png"}, "xyz"),
        ({"output": "no/out.png", "mask": "mask.png"}, "its folder does not exist"),
        ({"output": "out.png", "mask": "none.png"}, "none.png: no such file"),
        ({"output": "out.png", "points": [(500, 1)]}, r"point \(500, 1\) is outside"),
    ],
)
def test_what_cannot_be_done_is_refused(
    toolbox: Toolbox, folder: Path, arguments: dict[str, Any], message: str
) -> None:
    files = sorted(folder.iterdir())
    with pytest.raises((InputError, agents.Mask2AlphaError), match=message):
        toolbox.matte_photo("photo.png", **arguments)
    assert sorted(folder.iterdir()) == files


def test_giant_photos_are_refused(toolbox: Toolbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "MAX_PIXELS", 1000)
    with pytest.raises(agents.Mask2AlphaError, match="pixels"):
        toolbox.inspect_photo("photo.png")


def test_the_sdks_client_selects_mattes_and_composites(toolbox: Toolbox, folder: Path) -> None:
    client_module = pytest.importorskip("mcp.client.client", reason="the extra mcp is not installed")

    async def talk() -> dict[str, Any]:
        async with client_module.Client(make_server(toolbox)) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            calls = {
                "select_object": {"photo": "photo.png", "output": "rough.png", "points": [[60, 40]]},
                "matte_photo": {"photo": "photo.png", "output": "alpha.png", "mask": "rough.png", "kind": "alpha"},
                "composite_photo": {"photo": "photo.png", "alpha": "alpha.png", "output": "out.png"},
                "inspect_photo": {"photo": "../secret.png"},
            }
            return {"tools": tools, **{name: await client.call_tool(name, given) for name, given in calls.items()}}

    answers = asyncio.run(talk())
    assert set(answers["tools"]) == {"inspect_photo", "select_object", "matte_photo", "composite_photo"}
    assert "rough mask" in answers["tools"]["matte_photo"].description
    for name in ("select_object", "matte_photo", "composite_photo"):
        text, picture = answers[name].content
        assert not answers[name].is_error
        assert (folder / Path(json.loads(text.text)["output"]).name).exists()
        assert opened(base64.b64decode(picture.data)).format == "JPEG"
    assert answers["inspect_photo"].is_error
    assert "outside of the allowed folders" in answers["inspect_photo"].content[0].text


@pytest.mark.slow
def test_the_shipped_model_selects_the_cat(tmp_path: Path) -> None:
    (tmp_path / "chelsea.png").write_bytes((EXAMPLES / "photos/chelsea.png").read_bytes())
    toolbox = Toolbox(lambda: Predictor(Mask2Alpha.from_pretrained("base")), Workspace(roots=(tmp_path,)))
    about, _ = toolbox.select_object("chelsea.png", "mask.png", points=[(220, 180)])
    assert 0.2 < about["coverage"] < 0.8
