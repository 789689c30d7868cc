"""The training loop; read it from top to bottom."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mask2alpha.checkpoints import build_model, save_model
from mask2alpha.data.loading import SampleStream, TrainingBatch, make_loader
from mask2alpha.data.sources import Sources
from mask2alpha.errors import TrainingError
from mask2alpha.model.fast.attention import FastAttention
from mask2alpha.model.fast.optimise import put_twins
from mask2alpha.model.layers import Attention
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.ops.dtypes import default_dtype
from mask2alpha.training.components import fit_components
from mask2alpha.training.config import Recipe
from mask2alpha.training.distributed import Processes
from mask2alpha.training.losses import weighted_sum
from mask2alpha.training.monitor import MonitorOptions, TrainingMonitor, averaged_model
from mask2alpha.training.objective import MattingObjective
from mask2alpha.training.optim import is_finished, learning_rate, make_optimizer, set_lr
from mask2alpha.training.provenance import describe_run
from mask2alpha.training.state import AveragedWeights, Progress, load_state, save_state

STATE_FILE = "state.safetensors"
WEIGHTS_FILE = "model.safetensors"
ORIGIN_FILE = "origin.json"


def train(
    recipe: Recipe,
    sources: Sources,
    run_folder: Path,
    *,
    initial_weights: Mask2Alpha | None = None,
    about: Mapping[str, Any] | None = None,
    budget_minutes: float | None = None,
    checkpoint_minutes: float = 5.0,
    monitoring: MonitorOptions | None = None,
    device: str = "cpu",
    processes: Processes | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Train, or continue the stopped run in the same folder.

    Args:
        recipe: Settings of the run.
        sources: Cut-outs and photos.
        run_folder: Receives the state, the averaged weights and the log. If it holds a state, the run continues it.
        initial_weights: Model to start a new run from, instead of random weights.
        about: JSON-able metadata of the weights: `data_card`, and `initial_weights` of a new run (a run that continues
            remembers its own).
        budget_minutes: Stop after this much training time (all resumptions together), with the learning rate falling
            to zero by then. None: stop after `recipe.optim.num_steps`.
        checkpoint_minutes: Time between checkpoints.
        monitoring: Log, previews, validation. The time of previews and validation is not training time.
        device: Device of the network.
        processes: Processes that share the run; each calls this function with the same arguments but for `device`.
        should_stop: Called after each step; True ends the run with a checkpoint, from which it can be resumed.

    Returns:
        The file with the averaged weights.

    Raises:
        TrainingError: A loss is not finite; the last checkpoint stays.
        CheckpointError: The state in `run_folder` belongs to another model.
    """
    processes = processes or Processes()
    # 1. Model, loss, optimiser, averaged weights; or their state from a stopped run.
    run_folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = build_model(recipe.model)
    if initial_weights is not None:
        model.load_state_dict(initial_weights.state_dict())
    elif not (run_folder / STATE_FILE).exists():
        fit_components(model, sources, size=recipe.data.size)
    put_twins(model, {Attention: FastAttention})  # the same function, with gradients too
    model = model.to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    choose_part(model, recipe.trained_part)
    optimizer = make_optimizer(model, recipe.optim)
    average = AveragedWeights(model, recipe.optim.ema_decay)
    progress = Progress()
    state_path = run_folder / STATE_FILE
    if state_path.exists():
        progress = load_state(state_path, model, average, optimizer)
    processes.check_same("the step to go on from", progress.step, device)
    objective = processes.share(MattingObjective(model, recipe), device)
    about = describe_run(recipe, sources, device, processes.count, recall_origin(run_folder, about or {}, processes))
    batch_size = recipe.data.batch_size * processes.count

    def describe() -> dict[str, Any]:
        samples = progress.step * batch_size * recipe.data.masks_per_image
        run = {"step": progress.step, "samples": samples, "training_seconds": round(progress.seconds)}
        return about | {key: str(value) for key, value in run.items()}

    def write_checkpoint() -> None:
        save_state(state_path, model, average, optimizer, progress)
        save_model(averaged_model(recipe, average), run_folder / WEIGHTS_FILE, describe())

    # 2. Samples depend on the seed and their index alone, so a resumed run sees what an unbroken one would.
    stream = SampleStream(
        sources=sources,
        size=recipe.data.size,
        batch_size=recipe.data.batch_size,
        masks_per_image=recipe.data.masks_per_image,
        enlarged_shares=recipe.data.enlarged_shares,
        seed=recipe.seed,
        start_index=progress.step * batch_size,
        rank=processes.rank,
        world_size=processes.count,
    )
    is_cuda = torch.device(device).type == "cuda"
    loader = make_loader(stream, num_workers=recipe.data.num_workers, has_pinned_memory=is_cuda)
    batches = iter(loader)
    monitor = None
    if processes.is_first:
        monitor = TrainingMonitor(monitoring or MonitorOptions(), run_folder, recipe, sources, progress, device)

    # 3. The steps.
    started = time.monotonic() - progress.seconds
    last_checkpoint = progress.seconds
    while not is_finished(progress, recipe.optim, budget_minutes):
        lr = learning_rate(recipe.optim, progress, budget_minutes)
        set_lr(optimizer, lr)
        terms = train_step(objective, model, recipe, optimizer, average, batches, progress, device, processes)
        progress.step += 1
        progress.seconds, is_stopped = processes.agree(time.monotonic() - started, should_stop(), device)
        if monitor is not None:
            monitor.record(terms, progress, lr, progress.step * batch_size)
        if is_stopped:
            break
        if monitor is not None:
            if progress.seconds - last_checkpoint > 60 * checkpoint_minutes:
                write_checkpoint()
                last_checkpoint = progress.seconds
            started += monitor.preview_and_validate(average, progress, describe(), is_last=False)

    # 4. The result.
    if monitor is not None:
        write_checkpoint()
        if is_finished(progress, recipe.optim, budget_minutes):
            monitor.preview_and_validate(average, progress, describe(), is_last=True)
        monitor.close()
    processes.finish()
    return run_folder / WEIGHTS_FILE


def train_step(
    objective: nn.Module,
    model: Mask2Alpha,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    average: AveragedWeights,
    batches: Iterator[TrainingBatch],
    progress: Progress,
    device: str,
    processes: Processes,
) -> dict[str, float]:
    """Train on one batch: losses, gradient, step, average.

    Returns:
        The loss terms, their weighted `total`, the gradient's `norm`, and `wait`, the seconds that it waited.
    """
    asked = time.monotonic()
    batch = next(batches).to(device, non_blocking=True)
    wait = time.monotonic() - asked
    seed = recipe.seed * 1_000_003 + progress.step + (processes.rank << 40)
    generator = torch.Generator(device).manual_seed(seed)
    is_mixed = recipe.uses_bfloat16 and default_dtype(torch.device(device)) == torch.bfloat16
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=is_mixed):
        terms = objective(batch.image, batch.mask, batch.true_alpha, generator)
    total = weighted_sum(terms, asdict(recipe.loss))
    if not torch.isfinite(total):
        values = {name: term.item() for name, term in terms.items()}
        first = (progress.step * processes.count + processes.rank) * recipe.data.batch_size
        raise TrainingError(
            f"the loss of batch {progress.step} (seed {recipe.seed}) is not finite; "
            f"its samples are {first} to {first + recipe.data.batch_size - 1}, its terms {values}"
        )
    optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.optim.clip_norm)
    optimizer.step()
    average.update(model, progress.step + 1)
    values = {name: term.item() for name, term in terms.items()}
    return values | {"total": total.item(), "norm": norm.item(), "wait": wait}


def choose_part(model: Mask2Alpha, part: str) -> None:
    """Freeze all parameters but those of `Recipe.trained_part`; if that is an adapter, also the statistics of norms.

    Raises:
        TrainingError: The model has no such adapter.
    """
    adapters = {"trust": model.trust, "trimap": model.trimap}
    if part == "all":
        for adapter in adapters.values():
            if adapter is not None:
                adapter.requires_grad_(False)
        return
    if (chosen := adapters[part]) is None:
        raise TrainingError(f"trained_part={part} needs a model with that adapter; model.decoder.{part}_channels is 0")
    model.eval().requires_grad_(False)
    chosen.train().requires_grad_(True)


def recall_origin(run_folder: Path, about: Mapping[str, Any], processes: Processes) -> dict[str, Any]:
    """Add the initial weights of the run's first start to `about`; a new run writes them to a file."""
    path = run_folder / ORIGIN_FILE
    if (run_folder / STATE_FILE).exists():
        if path.exists():
            return {**about, "initial_weights": json.loads(path.read_text(encoding="utf-8"))}
    elif processes.is_first:
        path.write_text(json.dumps(about.get("initial_weights")), encoding="utf-8")
    return dict(about)
