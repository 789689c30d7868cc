"""The training loop; read it from top to bottom."""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from mask2alpha.checkpoints import save_model
from mask2alpha.data.loading import SampleStream, TrainingBatch, make_loader
from mask2alpha.data.sources import Sources
from mask2alpha.errors import TrainingError
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.training.config import OptimConfig, Recipe
from mask2alpha.training.losses import weighted_sum
from mask2alpha.training.objective import MattingObjective
from mask2alpha.training.state import AveragedWeights, Progress, load_state, save_state

STATE_FILE = "state.safetensors"
WEIGHTS_FILE = "model.safetensors"
LOG_FILE = "log.jsonl"


def train(
    recipe: Recipe,
    sources: Sources,
    run_folder: Path,
    *,
    initial_weights: Mask2Alpha | None = None,
    budget_minutes: float | None = None,
    checkpoint_minutes: float = 5.0,
    log_every: int = 50,
    device: str = "cpu",
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train, or go on with a stopped run in the same folder.

    Args:
        recipe: What to train and how.
        sources: Cut-outs and photographs.
        run_folder: Receives the state, the averaged weights and the log; if it holds a state, the run goes on from it.
        initial_weights: A model to start a new run from instead of random weights.
        budget_minutes: Stop after this much training time (all resumptions together), the learning rate falling to
            zero by then; None: after `recipe.optim.num_steps`.
        checkpoint_minutes: Time between checkpoints.
        log_every: Steps between log lines.
        device: Where the network runs.
        should_stop: Asked after each step; True ends the run early with a checkpoint, to be resumed.

    Returns:
        The file with the averaged weights.

    Raises:
        TrainingError: A loss is not finite; the last checkpoint stays.
        CheckpointError: The state in `run_folder` is of another model.
    """
    # 1. Model, loss, optimiser, averaged weights; or their state from a stopped run.
    run_folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = Mask2Alpha(recipe.model)
    if initial_weights is not None:
        model.load_state_dict(initial_weights.state_dict())
    model = model.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    objective = MattingObjective(model, recipe)
    optimizer = make_optimizer(model, recipe.optim)
    average = AveragedWeights(model, recipe.optim.ema_decay)
    progress = Progress()
    state_path = run_folder / STATE_FILE
    if state_path.exists():
        progress = load_state(state_path, model, average, optimizer)

    # 2. Samples depend on the seed and their index alone, so a resumed run sees what an unbroken one would.
    stream = SampleStream(
        sources,
        size=recipe.data.size,
        batch_size=recipe.data.batch_size,
        masks_per_image=recipe.data.masks_per_image,
        seed=recipe.seed,
        start_index=progress.step * recipe.data.batch_size,
    )
    batches = iter(make_loader(stream, num_workers=recipe.data.num_workers, prefetch_factor=4))

    # 3. The steps.
    started = time.monotonic() - progress.seconds
    last_checkpoint = progress.seconds
    window: list[dict[str, float]] = []
    while not is_finished(progress, recipe.optim, budget_minutes):
        set_lr(optimizer, learning_rate(recipe.optim, progress, budget_minutes))
        terms = train_step(objective, optimizer, average, batches, progress, device)
        progress.step += 1
        progress.seconds = time.monotonic() - started
        window.append(terms)
        if len(window) == log_every:
            write_log(run_folder / LOG_FILE, window, progress, recipe.data.batch_size, optimizer)
            window.clear()
        if should_stop():
            break
        if progress.seconds - last_checkpoint > 60 * checkpoint_minutes:
            save_state(state_path, model, average, optimizer, progress)
            save_average(run_folder / WEIGHTS_FILE, average, recipe, progress)
            last_checkpoint = progress.seconds

    # 4. The result.
    save_state(state_path, model, average, optimizer, progress)
    save_average(run_folder / WEIGHTS_FILE, average, recipe, progress)
    return run_folder / WEIGHTS_FILE


def train_step(
    objective: MattingObjective,
    optimizer: torch.optim.Optimizer,
    average: AveragedWeights,
    batches: Iterator[TrainingBatch],
    progress: Progress,
    device: str,
) -> dict[str, float]:
    """One batch: losses, gradient, step, average. Returns the loss terms and their weighted `total`."""
    recipe = objective.recipe
    batch = next(batches).to(device)
    generator = torch.Generator(device).manual_seed(recipe.seed * 1_000_003 + progress.step)
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.uses_bfloat16):
        terms = objective(batch.image, batch.mask, batch.true_alpha, generator)
    total = weighted_sum(terms, asdict(recipe.loss))
    if not torch.isfinite(total):
        values = {name: term.item() for name, term in terms.items()}
        raise TrainingError(f"the loss of batch {progress.step} (seed {recipe.seed}) is not finite: {values}")
    optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(objective.parameters(), recipe.optim.clip_norm)
    optimizer.step()
    average.update(objective.model, progress.step + 1)
    return {name: term.item() for name, term in terms.items()} | {"total": total.item(), "norm": norm.item()}


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW; only tensors with two or more axes decay."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, list[Tensor] | float]] = [
        {"params": list(matrices), "weight_decay": config.weight_decay},
        {"params": list(others), "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98))


def run_fraction(progress: Progress, config: OptimConfig, budget_minutes: float | None) -> float:
    """The share of the run that is done, by steps or, if that is given, by time."""
    if budget_minutes is not None:
        return progress.seconds / (60 * budget_minutes)
    return progress.step / config.num_steps


def is_finished(progress: Progress, config: OptimConfig, budget_minutes: float | None) -> bool:
    """Whether steps or time are used up."""
    return run_fraction(progress, config, budget_minutes) >= 1


def learning_rate(config: OptimConfig, progress: Progress, budget_minutes: float | None) -> float:
    """Linear warm-up, then a cosine from the peak to 1 % of it."""
    fraction = min(run_fraction(progress, config, budget_minutes), 1.0)
    warmup = min((progress.step + 1) / max(config.warmup_steps, 1), 1.0)
    return config.lr * warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fraction)))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give all parameter groups the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def save_average(path: Path, average: AveragedWeights, recipe: Recipe, progress: Progress) -> None:
    """Write the averaged weights as a model file, with where they come from."""
    model = Mask2Alpha(recipe.model)
    model.load_state_dict(average.values)
    metadata = {
        "recipe": json.dumps(asdict(recipe)),
        "step": str(progress.step),
        "samples": str(progress.step * recipe.data.batch_size * recipe.data.masks_per_image),
        "training_seconds": f"{progress.seconds:.0f}",
    }
    save_model(model, path, metadata)


def write_log(
    path: Path, window: list[dict[str, float]], progress: Progress, batch_size: int, optimizer: torch.optim.Optimizer
) -> None:
    """Append one JSON line: means over the window, speed, learning rate."""
    means = {name: sum(terms[name] for terms in window) / len(window) for name in window[0]}
    line = {
        "step": progress.step,
        "seconds": round(progress.seconds, 1),
        "images": progress.step * batch_size,
        "lr": optimizer.param_groups[0]["lr"],
        **{name: round(value, 6) for name, value in means.items()},
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
