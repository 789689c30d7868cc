from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mask2alpha.cli.main import main

OBJECT = (slice(20, 60), slice(30, 90))


@pytest.fixture
def photo(tmp_path, rng) -> Path:
    """A red rectangle on noisy grey, 120 wide and 80 high."""
    pixels = rng.normal(120, 6, (80, 120, 3))
    pixels[OBJECT] = (200, 20, 20)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def run(*arguments):
    return CliRunner().invoke(main, ["mask", *map(str, arguments)])


@pytest.mark.parametrize(
    "prompt",
    [
        ["--box", "25,15,95,65"],
        ["--target", "40,30 80,50", "--rest", "5,5", "--rest", "110,70 100,5"],
        ["--box", "25,15,95,65", "--target", "60,40", "--brush", "3"],
    ],
)
def test_writes_the_mask_of_what_is_pointed_at(photo, tmp_path, prompt):
    result = run(photo, "-o", tmp_path / "mask.png", *prompt)
    assert result.exit_code == 0, result.output
    mask = np.asarray(Image.open(tmp_path / "mask.png")) > 127
    truth = np.zeros((80, 120), bool)
    truth[OBJECT] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.95
    assert "25% of the photo" in result.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--box", "1,2,3"], "expected 4 numbers"),
        (["--target", "1;2"], "expected 2 numbers"),
        (["--box", "1,2,30,40,5"], "expected 4 numbers"),
        (["--target", " "], "no point"),
        (["--box", "500,0,600,50"], "covers nothing"),
        (["--by", "magic"], "segmenter 'magic' is not known"),
        ([], "needs a box"),
    ],
)
def test_bad_prompts_get_one_line(photo, tmp_path, arguments, complaint):
    result = run(photo, "-o", tmp_path / "mask.png", *arguments)
    assert result.exit_code == 2
    assert complaint in result.output
    assert not (tmp_path / "mask.png").exists()


def test_what_exists_is_replaced_only_on_demand(photo, tmp_path):
    target = tmp_path / "mask.png"
    target.write_bytes(b"mine")
    assert "--overwrite" in run(photo, "-o", target, "--box", "25,15,95,65").output
    assert target.read_bytes() == b"mine"
    assert run(photo, "-o", target, "--box", "25,15,95,65", "--overwrite").exit_code == 0
    assert run(photo, "-o", photo, "--box", "25,15,95,65", "--overwrite").exit_code == 2
