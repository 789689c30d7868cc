"""One file: photo and mask in, alpha out."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from exporting import picture
from mask2alpha.checkpoints import load_model
from mask2alpha.export.metadata import read_metadata
from mask2alpha.export.single import PatchesGraph
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage1_encoder.backbone import BackboneEncoder, fit_patches
from mask2alpha.pipeline.predictor import Predictor

onnxruntime = pytest.importorskip("onnxruntime")


def export_single(source: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "mask2alpha", "export", source, str(folder), "--single"]
    subprocess.run(command, check=True, capture_output=True)
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]
    return folder / "model.onnx"


def test_the_file_gives_the_predictors_alpha_and_error_at_any_size(
    exported: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    path = export_single(str(exported / "model.safetensors"), tmp_path / "single")
    assert read_metadata(path)["graph"] == "model"
    session = onnxruntime.InferenceSession(str(path))
    predictor = Predictor(load_model(exported), device="cpu", dtype=torch.float32)
    for size in ((128, 192), (150, 251)):
        photo, mask = picture(rng, *size)
        masks = np.stack([mask, mask[::-1]])
        image = np.float32(photo.transpose(2, 0, 1)[None]) / np.float32(255)
        alpha, error = session.run(None, {"image": image, "mask": np.float32(masks[:, None])})
        for index, one in enumerate(masks):
            expected = predictor.predict(photo, one)
            difference = np.abs(alpha[index, 0] - expected.alpha)
            assert (difference > 1e-3).mean() <= 0.01
            assert difference.mean() < 1e-4
            assert np.abs(error[index, 0] - expected.coarse_error).mean() < 1e-4
            assert np.ptp(expected.alpha) > 0.05


@pytest.mark.parametrize("size", [(128, 192), (1024, 512), (64, 640)])
def test_patches_are_those_of_the_encoder(size: tuple[int, int]) -> None:
    encoder = Mask2Alpha(PRESETS["tiny_backbone"]).encoder
    assert isinstance(encoder, BackboneEncoder)
    image = torch.rand(1, 3, *size)
    patches, grid = PatchesGraph(encoder)(image)
    assert tuple(grid.tolist()) == encoder.token_grid(size)
    expected = fit_patches(image, encoder.input(image)[0], encoder.input, encoder.token_grid(size), patch_size=14)
    torch.testing.assert_close(patches, expected, rtol=0, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "small"])
def test_the_file_of_a_shipped_model_gives_its_alpha(name: str, tmp_path: Path) -> None:
    from PIL import Image

    session = onnxruntime.InferenceSession(str(export_single(name, tmp_path / "single")))
    predictor = Predictor(load_model(name), device="cpu", dtype=torch.float32)
    examples = Path(__file__).parents[3] / "examples"
    for width, height in ((1024, 1024), (1001, 1500)):  # sizes that the predictor mattes as they are
        photo = np.asarray(Image.open(examples / "photos/astronaut.png").convert("RGB").resize((width, height)))
        with Image.open(examples / "masks/astronaut.png") as file:
            mask = np.asarray(file.convert("L").resize((width, height), Image.Resampling.NEAREST)) > 127
        image = np.float32(photo.transpose(2, 0, 1)[None]) / np.float32(255)
        alpha = session.run(["alpha"], {"image": image, "mask": np.float32(mask[None, None])})[0][0, 0]
        difference = np.abs(alpha - predictor.predict(photo, mask).alpha)
        assert (difference > 1e-3).mean() <= 1e-5
        assert difference.mean() < 1e-6
