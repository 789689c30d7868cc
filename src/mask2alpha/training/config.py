"""The configuration of a training run, and the `key=value` overrides of the command line."""

import ast
import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from mask2alpha.errors import InputError
from mask2alpha.model.config import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Samples and batches."""

    size: int = 320
    """Side of the square crops, in pixels; a multiple of 64."""
    batch_size: int = 6
    """Composites per step (per process)."""
    masks_per_image: int = 2
    """Guided targets per composite: they share its encoding."""
    num_workers: int = 1
    """Processes that prepare samples; 0: the training process prepares them."""
    procedural_share: float = 0.5
    """Share of the foregrounds that are procedural instead of taken from data sets, in [0, 1]."""
    enlarged_shares: tuple[float, float] = (0.0, 0.0)
    """Shares of the batches that are small composites, enlarged by 3/2 and by 2 to `size`, as inference enlarges small
    photos (`ops/working_size.py`); together at most 1."""
    cutout_side: int = 512
    """Larger foregrounds are shrunk to this longest side, in pixels."""
    photo_side: int = 1024
    """Larger backgrounds are shrunk to this longest side, in pixels."""

    def __post_init__(self) -> None:
        if self.size < 64 or self.size % 64:
            raise InputError(f"data.size must be a positive multiple of 64; got {self.size}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """The optimiser, with warm-up and a cosine to zero."""

    name: Literal["adamw", "muon"] = "adamw"
    """`muon`: matrices and kernels take orthogonal steps, everything else AdamW's."""
    lr: float = 1.5e-3
    """Peak learning rate."""
    pretrained_lr_scale: float = 1.0
    """Learning rate of the last block of a ViT that starts from published weights, relative to `lr`."""
    layer_decay: float = 1.0
    """Learning rate of each block of that ViT, relative to the next block's."""
    weight_decay: float = 0.01
    """Decoupled weight decay of matrices and kernels (not of norms, biases and scalars)."""
    num_steps: int = 20_000
    """Length of the run, in optimiser steps."""
    warmup_steps: int = 200
    """Steps of linear warm-up."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.999
    """Decay of the averaged weights, which the run returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Weights of the loss terms, under the names of the log."""

    l1_os4: float = 1.0
    """L1 of the coarse result, whole image."""
    unknown_os4: float = 0.5
    """L1 of the coarse result near soft or changing alpha."""
    entropy_os4: float = 0.1
    """Cross-entropy of the coarse result."""
    laplacian_os4: float = 0.25
    """Laplacian pyramid of the coarse result."""
    l1: float = 1.0
    """L1 of the final alpha, whole image."""
    unknown: float = 0.5
    """L1 of the final alpha near soft or changing alpha."""
    laplacian: float = 0.5
    """Laplacian pyramid of the final alpha."""
    gradient: float = 1.0
    """Gradient of the final alpha."""
    predicted_error: float = 0.5
    """L_C, the error head's loss."""


TRAINED_PARTS = ("all", "trust", "trimap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All settings of a run."""

    name: str
    """Name of the recipe, which the checkpoint keeps."""
    model: ModelConfig
    """The network."""
    data: DataConfig = field(default_factory=DataConfig)
    """Settings of the samples."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    """Settings of the optimiser."""
    loss: LossWeights = field(default_factory=LossWeights)
    """Weights of the loss terms."""
    own_state_share: float = 0.5
    """Share of images whose decoding state is the network's own instead of drawn (see `draw_training_state`)."""
    corrected_share: float = 0.0
    """Share of the steps whose masks are corrected first, as inference does (see `correct_mask`), in [0, 1]."""
    trained_part: str = "all"
    """What is trained. `all`: all but the adapters. `trust`: the adapter for more trust alone, with exact masks and a
    trust of 1. `trimap`: the adapter for trimaps alone, with trimaps made from the truth."""
    first_step_share: float = 0.3
    """Weight of the first decoding step in the losses of the coarse result; the drawn state's has the rest."""
    error_thresholds: tuple[float, float] = (0.005, 0.05)
    """Each step draws tau of the detail stage between these, log-uniformly."""
    error_quantile: float = 0.75
    """Quantile of the error that the error head learns, in (0, 1); 0.5 is the paper's L1."""
    token_budgets: tuple[int, int] = (400, 1000)
    """Each step draws the number of patches that a frozen backbone sees between these, log-uniformly."""
    detail_window: int = 128
    """Side of the window of each crop on which the detail stage is trained, in pixels; a multiple of 4."""
    uses_bfloat16: bool = True
    """Autocast to bfloat16 where the device computes in it."""
    seed: int = 0
    """Seed of the initial weights, the samples and the states."""

    def __post_init__(self) -> None:
        if self.trained_part not in TRAINED_PARTS:
            raise InputError(f"trained_part must be one of {', '.join(TRAINED_PARTS)}; got {self.trained_part!r}")
        if not 0 < self.error_quantile < 1:
            raise InputError(f"error_quantile must be between 0 and 1; got {self.error_quantile}")
        if not 1 <= self.token_budgets[0] <= self.token_budgets[1]:
            raise InputError(
                f"token_budgets must be two numbers of at least 1, the smaller first; got {self.token_budgets}"
            )
        if self.detail_window < 4 or self.detail_window % 4:
            raise InputError(f"detail_window must be a positive multiple of 4; got {self.detail_window}")


Config = TypeVar("Config")


def override(config: Config, assignment: str) -> Config:
    """Copy a (nested) configuration with one value replaced.

    Args:
        config: A frozen dataclass.
        assignment: `key=value`, the key dotted (`optim.lr=3e-4`), the value a Python literal or a bare word.

    Raises:
        InputError: The key is unknown, or the value has another type than the present one.
    """
    key, separator, text = assignment.partition("=")
    if not separator:
        raise InputError(f"an override has the form key=value; got {assignment!r}")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    return _replace(config, key.split("."), value, key)


def _replace(config: Config, path: list[str], value: object, key: str) -> Config:
    names = [entry.name for entry in dataclasses.fields(config)]  # type: ignore[arg-type]
    if path[0] not in names:
        raise InputError(f"{key!r} is not a setting: {path[0]!r} is not one of {', '.join(names)}")
    present: Any = getattr(config, path[0])
    if len(path) > 1:
        if not dataclasses.is_dataclass(present):
            raise InputError(f"{key!r} is not a setting: {path[0]!r} has no parts")
        value = _replace(present, path[1:], value, key)
    elif isinstance(present, float) and type(value) is int:
        value = float(value)
    elif type(value) is not type(present):
        raise InputError(f"{key!r} must be of type {type(present).__name__}; got {value!r}")
    return dataclasses.replace(config, **{path[0]: value})  # type: ignore[type-var]
