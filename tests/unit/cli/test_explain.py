import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from mask2alpha.checkpoints import save_model
from mask2alpha.cli.explain import command
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_model(Mask2Alpha(PRESETS["tiny"]), tmp_path / "tiny.safetensors")


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(tmp_path / "photo.png")
    mask = np.zeros((70, 90), np.uint8)
    mask[20:, 30:60] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path / "photo.png", tmp_path / "mask.png"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_all_figures_and_numbers_are_written(tmp_path: Path, weights: Path, pictures: tuple[Path, Path]) -> None:
    out = tmp_path / "out"
    result = run(*pictures, "-o", out, "--model", weights, "--steps", 2, "--panel", 80, "--error-threshold", 0.5)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == [
        "detail.png",
        "guidance.png",
        "numbers.json",
        "steps.png",
        "steps.webp",
    ]
    for name in ("detail.png", "guidance.png", "steps.png"):
        with Image.open(out / name) as picture:
            assert picture.mode == "RGB"
            assert picture.width > 300
    with Image.open(out / "steps.webp") as animation:
        assert animation.n_frames == 3
    numbers = json.loads((out / "numbers.json").read_text(encoding="utf-8"))
    assert numbers["num_steps"] == 2
    assert numbers["error_threshold"] == 0.5
    assert numbers["guidance"]["key_factor"] == {"foreground": 1, "edge": 1, "background": 1}
    assert f"SHM {numbers['active_share']['shm']:.2%}" in result.stdout
    assert "steps: 2" in result.stdout


def test_a_16_bit_photograph_is_drawn(tmp_path: Path, weights: Path, pictures: tuple[Path, Path]) -> None:
    from mask2alpha.imaging.encode import write_image

    photo = np.full((70, 90, 3), 40000, dtype=np.uint16)
    write_image(tmp_path / "deep.png", photo)
    result = run(tmp_path / "deep.png", pictures[1], "-o", tmp_path / "out", "--model", weights, "--steps", 1)
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "out" / "detail.png") as picture:
        assert picture.getpixel((20, 20)) == (156, 156, 156)


def test_a_missing_photograph_is_refused(tmp_path: Path, pictures: tuple[Path, Path]) -> None:
    result = run(tmp_path / "none.png", pictures[1], "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "none.png" in result.stderr
