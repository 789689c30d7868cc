"""mask2alpha: a photograph and a rough mask in, a full-resolution alpha matte out.

Public names are loaded on first use, so that ``import mask2alpha`` does not import PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mask2alpha._version import __version__
from mask2alpha.errors import CheckpointError, ImageFileError, InputError, Mask2AlphaError, TrainingError

if TYPE_CHECKING:
    from mask2alpha.model.config import PRESETS, ModelConfig
    from mask2alpha.model.mask2alpha import Mask2Alpha
    from mask2alpha.model.values import RunOptions
    from mask2alpha.ops.edges import EdgeOptions
    from mask2alpha.pipeline.matte import EncodedImage, Matte
    from mask2alpha.pipeline.predictor import Predictor

_HOMES = {
    "EdgeOptions": "mask2alpha.ops.edges",
    "EncodedImage": "mask2alpha.pipeline.matte",
    "Mask2Alpha": "mask2alpha.model.mask2alpha",
    "Matte": "mask2alpha.pipeline.matte",
    "ModelConfig": "mask2alpha.model.config",
    "PRESETS": "mask2alpha.model.config",
    "Predictor": "mask2alpha.pipeline.predictor",
    "RunOptions": "mask2alpha.model.values",
}

__all__ = [
    "PRESETS",
    "CheckpointError",
    "EdgeOptions",
    "EncodedImage",
    "ImageFileError",
    "InputError",
    "Mask2Alpha",
    "Mask2AlphaError",
    "Matte",
    "ModelConfig",
    "Predictor",
    "RunOptions",
    "TrainingError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mask2alpha' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
