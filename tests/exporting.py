"""Models to export, exported by the command itself, in a process without shape checks; and something to matte."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from mask2alpha.model.config import ModelConfig
from mask2alpha.model.mask2alpha import Mask2Alpha


def restless_model(config: ModelConfig, *, error_logit: float = -8.0) -> Mask2Alpha:
    """Random weights, also where a fresh model has zeros: then no part of the network is without effect.

    Args:
        config: Of the model.
        error_logit: Bias of the predicted error, which brings the errors to both sides of the threshold.
    """
    torch.manual_seed(0)
    model = Mask2Alpha(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        model.decoder.heads.weight.mul_(30)
        model.decoder.heads.bias.copy_(torch.tensor([0.0, error_logit]))
    return model


def export(model: Mask2Alpha, folder: Path, *options: str, name: str = "onnx") -> Path:
    model.save_pretrained(folder / "model.safetensors")
    names = [str(folder / "model.safetensors"), str(folder / name)]
    command = [sys.executable, "-m", "mask2alpha", "export", *names, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def picture(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A photograph of noise, and a mask of two rectangles."""
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), dtype=bool)
    mask[height // 4 : height // 2, width // 4 :] = True
    mask[height // 2 : -height // 8, width // 3 : width // 2] = True
    return image, mask
