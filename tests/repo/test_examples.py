import runpy
from pathlib import Path

import pytest
import torch
from PIL import Image

from mask2alpha.checkpoints import save_model
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha

EXAMPLES = Path(__file__).parents[2] / "examples"
PICTURES = {
    "demo.py": {"alpha.png", "cutout.png", "composite.png", "comparison.png"},
    "one_photo.py": {"chelsea_alpha.png", "chelsea_cutout.png", "chelsea_on_teal.png"},
    "several_masks.py": {"astronaut_cutout.png", "astronaut__helmet_cutout.png"},
}
NOT_RUN = {"make_masks.py"}
"""Draws the masks that lie beside it."""


@pytest.fixture(scope="module")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    return str(save_model(Mask2Alpha(PRESETS["tiny"]), tmp_path_factory.mktemp("tiny")))


def test_every_example_is_run_or_named() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PICTURES) | NOT_RUN


@pytest.mark.parametrize("script", list(PICTURES))
def test_every_example_runs_and_leaves_its_pictures(script: str, tiny_checkpoint: str, tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLES / script))["main"](tiny_checkpoint, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == PICTURES[script]
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            picture.load()


def test_every_mask_has_its_photograph_and_its_size() -> None:
    masks = sorted((EXAMPLES / "masks").glob("*.png"))
    assert masks
    for path in masks:
        photograph = EXAMPLES / "photos" / f"{path.stem.split('__')[0]}.png"
        with Image.open(path) as mask, Image.open(photograph) as image:
            assert mask.size == image.size
            assert mask.mode == "L"


def test_every_mask_has_its_drawing() -> None:
    script = runpy.run_path(str(EXAMPLES / "make_masks.py"))
    assert set(script["DRAWINGS"]) == {path.stem for path in (EXAMPLES / "masks").glob("*.png")}
