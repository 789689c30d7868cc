"""What docs/export.md tells other programs to do: the six graphs, run with NumPy, Pillow and ONNX Runtime alone."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from exporting import picture
from mask2alpha.checkpoints import load_model
from mask2alpha.model.config import PRESETS
from mask2alpha.model.stage1_encoder.backbone import find_token_grid, fit_patches
from mask2alpha.model.stage1_encoder.normalization import HalfResolutionInput
from mask2alpha.pipeline.predictor import Predictor

Array = NDArray[Any]
onnxruntime = pytest.importorskip("onnxruntime")


class Files:
    """The graphs of a folder."""

    def __init__(self, folder: Path) -> None:
        self.sessions = {path.stem: onnxruntime.InferenceSession(str(path)) for path in folder.glob("*.onnx")}
        about = {prop.key: prop.value for prop in onnx.load(folder / "encoder.onnx").metadata_props}
        self.encoder = json.loads(about["model_config"])["encoder"]

    def run(self, graph: str, values: dict[str, Array]) -> dict[str, Array]:
        """The outputs by name; of `values`, those that the graph has as inputs are used."""
        session = self.sessions[graph]
        feeds = {given.name: values[given.name] for given in session.get_inputs()}
        return dict(zip([made.name for made in session.get_outputs()], session.run(None, feeds), strict=True))


def halve(x: Array) -> Array:
    rows = x[:, :, ::2] + x[:, :, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]) * np.float32(0.25)


def make_patches(image: Array, encoder: dict[str, Any]) -> tuple[Array, tuple[int, int]]:
    """Step 2: the backbone's input, and its token grid."""
    height, width = image.shape[2:]
    across = math.sqrt(encoder["token_budget"])
    shape = math.sqrt(height / width)
    rows, columns = max(1, round(across * shape)), max(1, round(across / shape))
    patch = encoder["patch_size"]
    mean, std = (np.float32(encoder[key]).reshape(1, 3, 1, 1) for key in ("image_mean", "image_std"))
    source = halve(image) if height // 2 >= rows * patch else image
    channels = [Image.fromarray(channel) for channel in ((source - mean) / std)[0]]
    resized = [channel.resize((columns * patch, rows * patch), Image.Resampling.BICUBIC) for channel in channels]
    return np.stack([np.asarray(channel) for channel in resized])[None], (rows, columns)


def matte(files: Files, image: Array, mask: Array, *, num_steps: int, least_error: float) -> Array:
    """All steps of the list in docs/export.md, for `image` (1, 3, H, W) and `mask` (K, 1, H, W)."""
    height, width = image.shape[2:]
    values: dict[str, Array] = {"image": image, "mask": mask}
    if files.encoder["kind"] == "backbone":
        values["patches"], grid = make_patches(image, files.encoder)
        values["token_grid"] = np.array(grid)
        values["reach"] = np.array(max(1, round(math.sqrt(height * width / math.prod(grid)) / 16)))
    values |= files.run("encoder", values)
    values["thumbnail"], mask_os4 = halve(halve(image)), halve(halve(mask))
    values["mask_os4"] = values["alpha"] = values["last_error"] = mask_os4
    values["was_fine"], values["fine_share"] = np.zeros(mask_os4.shape, dtype=bool), np.array(0.0)
    values |= files.run("guide", values)
    values |= files.run("state", values)
    values |= files.run("fusion", values)
    for step in range(1, num_steps + 1):
        values |= files.run("step", values)
        if step < num_steps:
            values["alpha"] = 1 / (1 + np.exp(-values["alpha_logits"]))
            values["last_error"], values["was_fine"] = values["predicted_error"], values["is_fine"]
            values["fine_share"] = np.array(1 - math.cos(math.pi / 2 * step / num_steps))
            values |= files.run("state", values)
    values["spanned"] = np.float32([height, width])
    values["least_error"] = np.full((len(mask), 1, 1, 1), least_error, dtype=np.float32)
    return (255 * files.run("detail", values)["alpha"] - 1).clip(0, 253) / 253


def test_the_documented_steps_give_what_pytorch_gives(exported: Path, rng: np.random.Generator) -> None:
    files = Files(exported / "onnx")
    own = Predictor(load_model(exported), device="cpu", dtype=torch.float32, num_steps=3, error_threshold=0.0)
    for size in ((128, 128), (64, 128), (192, 256)):  # masks that leave no pixel to `mask_reach`
        pixels, mask = picture(rng, *size)
        masks = np.stack([mask, mask[::-1]])
        image = np.float32(pixels.transpose(2, 0, 1)[None]) / np.float32(255)
        made = matte(files, image, np.float32(masks[:, None]), num_steps=3, least_error=0.0)
        for alpha, one in zip(made[:, 0], own.predict_instances(pixels, masks), strict=True):
            difference = np.abs(alpha - one.alpha)
            assert (difference > 1e-3).mean() <= 0.002
            assert difference.mean() < 1e-4
            assert np.ptp(one.alpha) > 0.05


@pytest.mark.parametrize(("size", "budget"), [((512, 384), 60), ((128, 192), 120)])
def test_pillow_makes_the_patches_that_the_encoder_makes(
    size: tuple[int, int], budget: int, rng: np.random.Generator
) -> None:
    config = PRESETS["tiny_backbone"]
    config = replace(config, encoder=replace(config.encoder, token_budget=budget))
    image = rng.random((1, 3, *size), dtype=np.float32)
    made, grid = make_patches(image, config.to_dict()["encoder"])
    assert grid == find_token_grid(size, budget)
    entry, given = HalfResolutionInput(config.encoder), torch.from_numpy(image)
    half, _ = entry(given)
    expected = fit_patches(given, half, entry, grid, patch_size=config.encoder.patch_size)
    np.testing.assert_allclose(made, expected.numpy(), rtol=0, atol=2e-4)
