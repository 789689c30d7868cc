"""The state that continues a stopped run exactly: weights, averaged weights, optimiser, counters. Safetensors only."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mask2alpha.backbones import PREFIX
from mask2alpha.errors import CheckpointError
from mask2alpha.imaging.atomic import replacing


@dataclass(slots=True, kw_only=True)
class Progress:
    """Progress of a run."""

    step: int = 0
    """Finished optimiser steps; also the index of the next batch."""
    seconds: float = 0.0
    """Wall-clock time spent training, over all resumptions."""


def trained_state(module: nn.Module) -> dict[str, Tensor]:
    """The module's `state_dict` without the backbone, if that is frozen; its weights have a file of their own."""
    frozen = {
        name for name, parameter in module.named_parameters() if name.startswith(PREFIX) and not parameter.requires_grad
    }
    return {name: tensor for name, tensor in module.state_dict().items() if name not in frozen}


class AveragedWeights:
    """Exponential moving average of a module's `trained_state`."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: tensor.detach().clone() for name, tensor in trained_state(module).items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the module's weights; the first steps (from 1) move further, so that the start is forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in trained_state(module).items():
            average = self.values[name]
            if name.endswith("num_batches_tracked"):
                average.copy_(tensor)
            else:
                average.lerp_(tensor.to(average.dtype), 1 - decay)


def save_state(
    path: Path, module: nn.Module, average: AveragedWeights, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    """Write the state to `path`; an interrupted write leaves the previous file whole."""
    tensors = {f"model.{name}": tensor for name, tensor in trained_state(module).items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.values.items()}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{key}.{name}"] = value
    metadata = {"step": str(progress.step), "seconds": json.dumps(progress.seconds)}
    metadata["optimizer"] = type(optimizer).__name__
    with replacing(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata=metadata)


def load_state(path: Path, module: nn.Module, average: AveragedWeights, optimizer: torch.optim.Optimizer) -> Progress:
    """Restore what `save_state` wrote.

    Raises:
        CheckpointError: The file cannot be read, or belongs to another model or optimiser.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"the training state {path} cannot be read: {error}") from error
    if (known := metadata["optimizer"]) != (wanted := type(optimizer).__name__):
        raise CheckpointError(f"the training state {path} belongs to the optimiser {known}; this recipe has {wanted}")
    try:
        trained = _part(tensors, "model.")
        if missing := trained_state(module).keys() - trained.keys():
            raise KeyError(sorted(missing)[0])
        problems = module.load_state_dict(trained, strict=False)
        if problems.unexpected_keys:
            raise KeyError(problems.unexpected_keys[0])
        averages = _part(tensors, "average.")
        average.values = {name: averages[name].to(value.device) for name, value in average.values.items()}
        of_parameter = _moments(tensors)
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            optimizer.state[parameter] = {
                key: value if key == "step" else value.to(parameter.device) for key, value in of_parameter[name].items()
            }
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"the training state {path} does not fit this recipe: {error}") from error
    return Progress(step=int(metadata["step"]), seconds=json.loads(metadata["seconds"]))


def _moments(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The optimiser's state of each parameter, by the parameter's name."""
    found: dict[str, dict[str, Tensor]] = {}
    for path, tensor in _part(tensors, "optimizer.").items():
        key, _, name = path.partition(".")
        found.setdefault(name, {})[key] = tensor
    return found


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
