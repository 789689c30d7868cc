"""The tokens of a photo, small enough to send, so that a page shows at once what a click would take."""

import base64
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mask2alpha.pipeline.selection import PRIOR_WEIGHT, Tokens, find_salience

DIMENSIONS = 64
"""Directions of the features that are kept: the cosines between tokens hardly change."""


def write_hints(path: Path, tokens: Tokens, *, scale: tuple[float, float]) -> None:
    """Write tokens as JSON: `rows` and `columns`, `width` and `height` of what they span, `prior` and `features`.

    `prior` and `features` are signed bytes in base64, token by token in raster order, of which 127 means 1: the belief
    without any mark, in [-1, 1], and vectors of about unit length.

    Args:
        path: JSON file to write.
        tokens: Of the photo.
        scale: (x, y): pixels of the photo that the tokens belong to, per pixel in which `width` and `height` count.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        basis = torch.svd_lowrank(tokens.features, q=min(DIMENSIONS, *tokens.features.shape))[2]
    hints = {
        "rows": tokens.grid[0],
        "columns": tokens.grid[1],
        "width": tokens.spanned[1] / scale[0],
        "height": tokens.spanned[0] / scale[1],
        "prior": _as_bytes(PRIOR_WEIGHT * find_salience(tokens)),
        "features": _as_bytes(F.normalize(tokens.features @ basis, dim=1)),
    }
    path.write_text(json.dumps(hints), encoding="ascii")


def _as_bytes(values: Tensor) -> str:
    return base64.b64encode((values * 127).round().to(torch.int8).numpy().tobytes()).decode("ascii")
