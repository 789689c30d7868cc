from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from mask2alpha import Mask2Alpha
from mask2alpha.cli.main import main
from mask2alpha.model.config import PRESETS

OBJECT = (slice(20, 60), slice(30, 90))


@pytest.fixture
def photo(tmp_path, rng) -> Path:
    """A red rectangle on noisy grey, 120 wide and 80 high."""
    pixels = rng.normal(120, 6, (80, 120, 3))
    pixels[OBJECT] = (200, 20, 20)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    Mask2Alpha(PRESETS["tiny_backbone"]).save_pretrained(path)
    return path


def run(*arguments, command="mask"):
    return CliRunner().invoke(main, [command, *map(str, arguments)])


@pytest.mark.parametrize(
    "prompt",
    [
        ["--box", "25,15,95,65"],
        ["--box", "20.8%,18.75%,79%,81%"],
        ["--point", "40,30 80,50", "--not", "5,5", "--not", "110,70 100,5"],
        ["--box", "25,15,95,65", "--point", "50%,50%", "--brush", "3"],
    ],
)
def test_grabcut_writes_the_mask_of_what_is_pointed_at(photo, tmp_path, prompt):
    result = run(photo, "-o", tmp_path / "mask.png", "--by", "grabcut", *prompt)
    assert result.exit_code == 0, result.output
    mask = np.asarray(Image.open(tmp_path / "mask.png")) > 127
    truth = np.zeros((80, 120), bool)
    truth[OBJECT] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.95
    assert "25% of the photo" in result.output


def test_the_models_own_selection_holds_points_per_cent_and_painted_strokes(photo, model, tmp_path):
    painted = np.zeros((80, 120), np.uint8)
    painted[30:34, 40:80] = 255
    Image.fromarray(painted).save(tmp_path / "stroke.png")
    arguments = ["--model", model, "--stroke", tmp_path / "stroke.png", "--point", "100%,100%", "--not", "0%,50%"]
    result = run(photo, "-o", tmp_path / "mask.png", *arguments)
    assert result.exit_code == 0, result.output
    mask = np.asarray(Image.open(tmp_path / "mask.png")) > 127
    assert mask[31:33, 41:79].all()
    assert mask[79, 119]
    assert not mask[40, 0]


def test_the_old_names_warn_and_mean_the_same(photo, tmp_path):
    marks = [("--point", "--not"), ("--target", "--rest")]
    results = [
        run(photo, "-o", tmp_path / f"{point}.png", "--by", "grabcut", point, "40,30 80,50", rest, "5,5")
        for point, rest in marks
    ]
    assert "deprecated" not in results[0].output
    assert "`mask --target` is deprecated since 0.2 and goes in 0.4; use `--point`" in results[1].output
    assert "use `--not`" in results[1].output
    assert (tmp_path / "--point.png").read_bytes() == (tmp_path / "--target.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--box", "1,2,3"], "expected 4 numbers"),
        (["--point", "1;2"], "expected 2 numbers"),
        (["--box", "1,2,30,40,5"], "expected 4 numbers"),
        (["--point", " "], "no point"),
        (["--box", "500,0,600,50"], "covers nothing"),
        (["--not", "120,10"], "outside the photograph"),
        (["--point", "150%,40%"], "target point (180, 32) is outside the photograph, 120 wide and 80 high"),
        (["--by", "magic"], "segmenter 'magic' is not known"),
        (["--by", "grabcut"], "needs a box"),
        (["--text", "cat"], "takes no label"),
        (["--model", "small", "--point", "9,9"], "backbone, such as 'base'"),
    ],
)
def test_bad_prompts_get_one_line(photo, tmp_path, model, arguments, complaint):
    result = run(photo, "-o", tmp_path / "mask.png", "--model", model, *arguments)
    assert result.exit_code == 2
    assert complaint in result.output
    assert not (tmp_path / "mask.png").exists()


@pytest.mark.parametrize(
    ("size", "complaint"), [((60, 80), "is 80 x 60, the photo 120 x 80"), ((80, 120), "no stroke")]
)
def test_a_stroke_must_fit_and_be_white_somewhere(photo, tmp_path, size, complaint):
    Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / "stroke.png")
    result = run(photo, "-o", tmp_path / "mask.png", "--stroke", tmp_path / "stroke.png")
    assert result.exit_code == 2
    assert complaint in result.output


def test_what_exists_is_replaced_only_on_demand(photo, tmp_path):
    target = tmp_path / "mask.png"
    target.write_bytes(b"mine")
    arguments = ["-o", target, "--by", "grabcut", "--box", "25,15,95,65"]
    assert "--overwrite" in run(photo, *arguments).output
    assert target.read_bytes() == b"mine"
    assert run(photo, *arguments, "--overwrite").exit_code == 0
    assert run(photo, "-o", photo, "--by", "grabcut", "--box", "25,15,95,65", "--overwrite").exit_code == 2


def test_matte_needs_no_mask_where_a_point_says_what_is_meant(photo, model, tmp_path):
    arguments = ["--model", model, "--point", "50%,50%"]
    result = run(photo, "-o", tmp_path / "alpha.png", *arguments, command="matte")
    assert result.exit_code == 0, result.output
    assert np.asarray(Image.open(tmp_path / "alpha.png")).shape == (80, 120)
    assert run(photo, "-o", tmp_path / "mask.png", *arguments).exit_code == 0
    run(photo, tmp_path / "mask.png", "-o", tmp_path / "same.png", "--model", model, command="matte")
    assert (tmp_path / "alpha.png").read_bytes() == (tmp_path / "same.png").read_bytes()
    again = run(photo, "-o", tmp_path / "alpha.png", *arguments, command="matte")
    assert "1 skipped" in again.output


def test_matte_wants_a_mask_or_a_prompt_over_one_photo(photo, model, tmp_path):
    both = run(photo, photo, "-o", tmp_path / "a.png", "--point", "1,1", "--model", model, command="matte")
    neither = run(photo, "-o", tmp_path / "a.png", "--model", model, command="matte")
    folder = run(tmp_path, "-o", tmp_path / "a.png", "--point", "1,1", "--model", model, command="matte")
    assert (both.exit_code, neither.exit_code, folder.exit_code) == (2, 2, 2)
    assert "give either MASK, or --point" in both.output
    assert "give either MASK, or --point" in neither.output
    assert "is a folder" in folder.output
