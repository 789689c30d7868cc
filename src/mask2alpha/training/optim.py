"""The optimiser and its schedule."""

import math
import re

from torch import nn, optim

from mask2alpha.training.config import OptimConfig
from mask2alpha.training.muon import Muon
from mask2alpha.training.state import Progress

_PRETRAINED = "encoder.vit."
_BLOCK = re.compile(re.escape(_PRETRAINED) + r"(?:blocks|position_biases)\.(\d+)\.")
_UNDECAYED = ("class_token", "register_tokens", "table")


def make_optimizer(model: nn.Module, config: OptimConfig) -> optim.Optimizer:
    """Make AdamW or Muon; only tensors with two or more axes decay, but not the ViT's tokens and position tables.

    Muon's own steps are for matrices and kernels with at least two input channels and two output channels.
    Each group has a `scale`, by which `set_lr` multiplies the learning rate.
    """
    depth = 1 + max((int(match[1]) for name, _ in model.named_parameters() if (match := _BLOCK.match(name))), default=0)
    groups: dict[tuple[float, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        has_decay = parameter.ndim > 1 and not (name.startswith(_PRETRAINED) and name.rpartition(".")[2] in _UNDECAYED)
        is_matrix = config.name == "muon" and has_decay and min(parameter.shape[:2]) > 1
        groups.setdefault((lr_scale(name, depth, config), has_decay, is_matrix), []).append(parameter)
    described = [
        {
            "params": parameters,
            "scale": scale,
            "weight_decay": config.weight_decay if has_decay else 0.0,
            "is_matrix": is_matrix,
        }
        for (scale, has_decay, is_matrix), parameters in groups.items()
    ]
    if config.name == "muon":
        return Muon(described, lr=config.lr)
    return optim.AdamW(described, lr=config.lr, betas=(0.9, 0.98))


def lr_scale(name: str, depth: int, config: OptimConfig) -> float:
    """The learning rate of a parameter, relative to that of new layers.

    Args:
        name: In the model's `state_dict`.
        depth: Number of blocks of the pretrained ViT.
        config: Its `pretrained_lr_scale` is that of the last block. Each earlier block has `layer_decay` times the
            scale of the next one, and so have the embedding and the positions relative to the first.
    """
    if not name.startswith(_PRETRAINED):
        return 1.0
    distance = depth  # of the embedding, the tokens and the positions
    if match := _BLOCK.match(name):
        distance = depth - 1 - int(match[1])
    elif name.startswith(_PRETRAINED + "final_norm"):
        distance = 0
    return config.pretrained_lr_scale * config.layer_decay**distance


def run_fraction(progress: Progress, config: OptimConfig, budget_minutes: float | None) -> float:
    """The share of the run that is done: of the time if there is a budget, else of the steps."""
    if budget_minutes is not None:
        return progress.seconds / (60 * budget_minutes)
    return progress.step / config.num_steps


def is_finished(progress: Progress, config: OptimConfig, budget_minutes: float | None) -> bool:
    """Whether the run has used up its steps or its time."""
    return run_fraction(progress, config, budget_minutes) >= 1


def learning_rate(config: OptimConfig, progress: Progress, budget_minutes: float | None) -> float:
    """Linear warm-up, then a cosine from the peak to 1 % of it."""
    fraction = min(run_fraction(progress, config, budget_minutes), 1.0)
    warmup = min((progress.step + 1) / max(config.warmup_steps, 1), 1.0)
    return config.lr * warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fraction)))


def set_lr(optimizer: optim.Optimizer, lr: float) -> None:
    """Give each parameter group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]
