"""Log, TensorBoard, preview sheets and validation of a run. Nothing here changes what is trained."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mask2alpha.checkpoints import build_model, read_metadata, save_model
from mask2alpha.data.loading import make_sample
from mask2alpha.data.sources import Sources
from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import GuidedFolder
from mask2alpha.evaluation.metrics import MatteScores, check_packages
from mask2alpha.evaluation.runner import Evaluation, evaluate, use_predictor
from mask2alpha.extras import import_extra
from mask2alpha.imaging.encode import write_image
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.training.config import Recipe
from mask2alpha.training.state import AveragedWeights, Progress

LOG_FILE = "log.jsonl"
BEST_FILE = "best.safetensors"
PREVIEW_FOLDER = "previews"
TENSORBOARD_FOLDER = "tensorboard"
NUM_PREVIEWS = 4
_PREVIEW_SEED = 2**31 - 1
"""This is not a training seed, so previews show samples that are never trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorOptions:
    """What `TrainingMonitor` writes and how often; times are minutes of training."""

    log_every: int = 50
    """Steps between log lines."""
    preview_minutes: float = 30.0
    """Time between preview sheets; 0: no previews."""
    validation: tuple[GuidedFolder, ...] = ()
    """Folders of photos with true alphas and masks; none: no validation."""
    validation_minutes: float = 60.0
    """Time between validations; the last comes at the end of the run."""
    has_tensorboard: bool = False
    """Whether to write the log and the previews for TensorBoard, too."""
    on_line: Callable[[Mapping[str, Any]], None] = field(default=lambda line: None)
    """Called with every line of the log."""

    def __post_init__(self) -> None:
        if self.log_every < 1:
            raise InputError(f"log_every must be at least 1; got {self.log_every}")
        if self.preview_minutes < 0 or self.validation_minutes <= 0:
            raise InputError("preview_minutes must be at least 0, and validation_minutes above 0")
        if self.validation:
            check_packages()


class TrainingMonitor:
    """Writes the log, previews and best weights into a run's folder; only the first process has one."""

    def __init__(
        self,
        options: MonitorOptions,
        run_folder: Path,
        recipe: Recipe,
        sources: Sources,
        progress: Progress,
        device: str,
    ) -> None:
        """Prepare the previews' samples and TensorBoard.

        Raises:
            InputError: TensorBoard is asked for and not installed.
        """
        self._options = options
        self._run_folder = run_folder
        self._recipe = recipe
        self._device = device
        self._window: list[dict[str, float]] = []
        self._last = (progress, 0.0, 0)
        self._last_preview = self._last_validation = progress.seconds
        self._last_validated_step = progress.step
        indices = range(NUM_PREVIEWS if options.preview_minutes else 0)
        self._samples = [make_sample(sources, recipe.data.size, 1, _PREVIEW_SEED, index) for index in indices]
        self._writer = _open_tensorboard(run_folder / TENSORBOARD_FOLDER) if options.has_tensorboard else None

    def record(self, terms: dict[str, float], progress: Progress, lr: float, num_images: int) -> None:
        """Add a step's losses to the window; a full window becomes one line of the log, the means of its steps.

        Args:
            terms: Loss terms, their `total`, the gradient's `norm`.
            progress: After the step.
            lr: The learning rate of newly made layers.
            num_images: Seen so far, by all processes.
        """
        self._window.append(terms)
        self._last = progress, lr, num_images
        if len(self._window) == self._options.log_every:
            self._write_window()

    def _write_window(self) -> None:
        if not self._window:
            return
        progress, lr, num_images = self._last
        names, count = self._window[0], len(self._window)
        means = {name: round(sum(step[name] for step in self._window) / count, 6) for name in names}
        self._window.clear()
        self._write({"images": num_images, "lr": lr, **means}, progress)

    def preview_and_validate(
        self, average: AveragedWeights, progress: Progress, about: Mapping[str, Any], *, is_last: bool
    ) -> float:
        """Draw previews and validate where they are due.

        Args:
            average: The averaged weights.
            progress: How far the run has come.
            about: Metadata for `BEST_FILE`.
            is_last: Whether the run ends here.

        Returns:
            The seconds that this took.
        """
        started = time.monotonic()
        if is_last:
            self._write_window()
        is_preview_due = progress.seconds - self._last_preview >= 60 * self._options.preview_minutes or is_last
        is_validation_due = progress.seconds - self._last_validation >= 60 * self._options.validation_minutes or (
            is_last and self._last_validated_step < progress.step
        )
        if self._samples and is_preview_due:
            self._last_preview = progress.seconds
            self._preview(average, progress)
        if self._options.validation and is_validation_due:
            self._last_validation, self._last_validated_step = progress.seconds, progress.step
            self._validate(average, progress, about)
        return time.monotonic() - started

    def close(self) -> None:
        """Log the steps since the last line, and finish what is still being written."""
        self._write_window()
        if self._writer is not None:
            self._writer.close()

    def _write(self, values: Mapping[str, Any], progress: Progress) -> None:
        line = {"step": progress.step, "seconds": round(progress.seconds, 1), **values}
        with (self._run_folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._options.on_line(line)
        if self._writer is not None:
            for name, value in _flatten(values).items():
                self._writer.add_scalar(name, value, progress.step)

    def _preview(self, average: AveragedWeights, progress: Progress) -> None:
        sheet = draw_previews(averaged_model(self._recipe, average).to(self._device), self._samples)
        folder = self._run_folder / PREVIEW_FOLDER
        folder.mkdir(exist_ok=True)
        write_image(folder / f"{progress.step:08}.png", sheet)
        if self._writer is not None:
            self._writer.add_image("preview", sheet, progress.step, dataformats="HWC")

    def _validate(self, average: AveragedWeights, progress: Progress, about: Mapping[str, Any]) -> None:
        model = averaged_model(self._recipe, average)
        predict = use_predictor(Predictor(model, device=self._device, dtype=torch.float32))
        scores = summarize([evaluate(predict, folder) for folder in self._options.validation])
        path = self._run_folder / BEST_FILE
        is_best = not path.exists() or scores["mad"] < read_metadata(path)["metrics"]["mad"]
        if is_best:
            save_model(averaged_model(self._recipe, average), path, {**about, "metrics": scores})
        self._write({"validation": scores, "is_best": is_best}, progress)


def averaged_model(recipe: Recipe, average: AveragedWeights) -> Mask2Alpha:
    """A model with the averaged weights, in evaluation mode, on the CPU."""
    with torch.random.fork_rng(devices=[]):  # building a model draws weights; training must not notice
        model = build_model(recipe.model)
    model.load_state_dict(average.values, strict=False)
    return model.eval()


def summarize(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The scores of each validation folder, and their mean over the folders, each of which counts once.

    `mad` decides which weights are the best: it is SAD per megapixel divided by 1000, so that large photos do not
    count for more than small ones.
    """
    scores = MatteScores.mean([evaluation.mean() for evaluation in evaluations])
    return {
        "sad_per_megapixel": round(scores.sad_per_megapixel, 4),
        **{name: round(value, 7) for name, value in asdict(scores).items()},
        "folders": dict(zip(_name_folders(evaluations), map(_summarize_folder, evaluations), strict=True)),
    }


def _summarize_folder(evaluation: Evaluation) -> dict[str, Any]:
    """Mean errors over all pairs and by kind of mask; shares of pairs worse than their mask leave out exact masks."""
    mean = evaluation.mean()
    worse, counted = evaluation.count_worse()
    return {
        "sad": round(mean.sad, 4),
        "sad_per_megapixel": round(mean.sad_per_megapixel, 4),
        "sad_by_kind": {kind: round(evaluation.mean(kind).sad, 3) for kind in evaluation.kinds},
        "sad_per_megapixel_by_kind": {
            kind: round(evaluation.mean(kind).sad_per_megapixel, 3) for kind in evaluation.kinds
        },
        "worse_than_mask": round(worse / counted, 4) if counted else None,
    }


def _name_folders(evaluations: Sequence[Evaluation]) -> list[str]:
    """The folders' last names, or their paths where two have the same name."""
    paths = [Path(evaluation.benchmark) for evaluation in evaluations]
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


@torch.no_grad()
def draw_previews(
    model: Mask2Alpha, samples: list[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]]
) -> NDArray[np.uint8]:
    """One row per sample: image, mask, predicted alpha, true alpha.

    Args:
        model: In evaluation mode.
        samples: What `make_sample` gives, one target each.

    Returns:
        (rows * size, 4 * size, 3) uint8.
    """
    device = next(model.parameters()).device
    rows = []
    for image, true_alphas, masks in samples:
        pixels = torch.from_numpy(image).to(device).permute(2, 0, 1).unsqueeze(0).float() / 255
        mask = torch.from_numpy(masks[:1]).to(device).unsqueeze(0).float() / 255
        alpha = (model(pixels, mask).alpha[0, 0].clamp(0, 1) * 255).round().byte().cpu().numpy()
        greys = [np.repeat(grey[..., None], 3, axis=2) for grey in (masks[0], alpha, true_alphas[0])]
        rows.append(np.concatenate([image, *greys], axis=1))
    return np.concatenate(rows)


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}/")
        elif value is not None:
            flat[prefix + name] = float(value)
    return flat


def _open_tensorboard(folder: Path) -> Any:
    module = import_extra("torch.utils.tensorboard", extra="tensorboard", purpose="--tensorboard")
    return module.SummaryWriter(str(folder))
