"""The paper's ablations, Tables 3, 4 and 5, on any benchmark: the network with and without a part of it.

A part is either switched off in one trained network (`switch`), or missing from a network that was trained without it.
These are different questions. The paper's tables are about retrained networks; a switch shows how much a network that
was trained with the part depends on it.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import Benchmark, read_mask_file
from mask2alpha.evaluation.runner import Evaluation, Predict, evaluate, list_outputs, use_predictor
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.targets import check_inputs_stay
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage2_decoding.refine import refine
from mask2alpha.model.stage2_decoding.states import Sampler
from mask2alpha.pipeline.encoder_input import shrink_mask
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.preprocess import mask_to_pixels

Table: TypeAlias = Literal[3, 4, 5, "algorithm"]
"""One of the paper's tables, or `algorithm`: the choices within Algorithm 2, which the paper does not ablate."""
PAPER_STEPS = (1, 3, 6, 10, 20)
"""Table 4's numbers of steps, with a single pass instead of "none"."""
ALGORITHM_STEPS = (10,)
"""Numbers of steps with which Algorithm 2's choices are compared, beside each model's own."""
_SECTIONS = {"has_guidance": "encoder", "selection": "detail", "update": "decoder"}
"""The parts that can be switched, and where they stand in the configuration."""
_SELECTION_LABELS = {"none": "no detail stage", "shm": "SHM", "sgsdr": "SGSDR"}
_GUIDANCE_LABELS = {False: "without MGFSM", True: "with MGFSM"}
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """A trained network and what to call it."""

    name: str
    """As the user named it."""
    weights: str
    """The start of its weights' SHA-256, or another word that tells its weights from others."""
    model: Mask2Alpha


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One row of an ablation: a network and a number of steps."""

    label: str
    """The row's title."""
    source: NamedModel
    """The network as it was trained."""
    model: Mask2Alpha
    """The network as it is run."""
    num_steps: int
    sampler: Sampler = "topk"
    """How the pixels that turn fine are chosen; `bernoulli` starts from the same seed for every photo."""
    is_reference: bool = False
    """Whether the other rows are compared with this one: the whole method."""

    @property
    def is_switched(self) -> bool:
        """Whether a part that the network was trained with is off or replaced."""
        return self.model.config != self.source.model.config or self.sampler != "topk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Medians over interleaved repeats, in seconds per photo and mask."""

    loop: float
    """The decoder's steps alone, from fused features to the coarse matte: what the paper's Table 4 seems to time."""
    whole: float
    """From arrays to arrays: encoding, all stages, and the matte's copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationRow:
    """One row of the finished table."""

    variant: Variant
    evaluation: Evaluation
    times: Times | None
    """None: not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """A finished table."""

    table: Table
    rows: tuple[AblationRow, ...]
    settings: dict[str, Any]
    """The conditions, JSON-able."""

    @property
    def reference(self) -> AblationRow:
        """The row of the whole method."""
        return next(row for row in self.rows if row.variant.is_reference)

    def count_better(self, row: AblationRow) -> tuple[int, int]:
        """(pairs on which `row` has a lower SAD than the reference, pairs)."""
        pairs = list(zip(row.evaluation.pairs, self.reference.evaluation.pairs, strict=True))
        return sum(one.scores.sad < other.scores.sad for one, other in pairs), len(pairs)


def switch(model: Mask2Alpha, **parts: Any) -> Mask2Alpha:
    """The same weights with a part off or replaced; nothing is trained again.

    Args:
        model: It is not changed; the result shares its weights.
        parts: `has_guidance`, whether the mask steers the encoder's last block (MGFSM); `selection`, how the pixels of
            the detail stage are chosen; `update`, whether fine pixels follow the newest prediction (`formula`) or keep
            their first value (`sticky`).

    Raises:
        InputError: The weights lack a part that is asked for.
    """
    config = model.config
    for part, value in parts.items():
        section = _SECTIONS[part]
        config = replace(config, **{section: replace(getattr(config, section), **{part: value})})
    switched = Mask2Alpha(config)
    weights = model.state_dict()
    missing = sorted(name for name in switched.state_dict() if name not in weights)
    if missing:
        raise InputError(f"model: its weights lack {missing[0]} and {len(missing) - 1} more; the part was not trained")
    switched.load_state_dict({name: weights[name] for name in switched.state_dict()}, assign=True)
    return switched.train(model.training)


def plan_table(table: Table, models: Sequence[NamedModel], steps: Sequence[int] | None = None) -> list[Variant]:
    """The rows of a table.

    Tables 3 and 5: one model is run with each value of the part, several as they were trained. Table 4: each number of
    steps, by model; a model that does not iterate is the paper's row "none". `algorithm`: one model with a sticky
    update, with a random sampler, and as it is run.

    Args:
        table: The table.
        models: Trained networks.
        steps: Numbers of steps, for table 4 and `algorithm`; None: `PAPER_STEPS` and `ALGORITHM_STEPS`.

    Returns:
        The rows, of which one is the reference.

    Raises:
        InputError: The models do not fit the table, or a number of steps is below 1.
    """
    if table == 3:
        expected = ("a model trained with guidance", "one model, or one trained without guidance and one with it")
        return _plan_part(models, "table 3", "has_guidance", _GUIDANCE_LABELS, expected)
    if table == 5:
        expected = ("a model with a detail stage", "one model, or one trained with each of none, shm and sgsdr")
        return _plan_part(models, "table 5", "selection", _SELECTION_LABELS, expected)
    counts = (PAPER_STEPS if table == 4 else ALGORITHM_STEPS) if steps is None else tuple(dict.fromkeys(steps))
    if min(counts, default=0 if table == 4 else 1) < 1:
        raise InputError(f"steps must be numbers of at least 1; got {list(counts)}")
    return _plan_steps(models, counts) if table == 4 else _plan_algorithm(models, counts)


def _plan_steps(models: Sequence[NamedModel], steps: Sequence[int]) -> list[Variant]:
    _require(any(named.model.config.decoder.is_iterative for named in models), "table 4", "an iterative model", models)
    variants = []
    for named in sorted(models, key=lambda named: named.model.config.decoder.is_iterative):
        suffix = f" ({named.name})" if len(models) > 1 else ""
        if named.model.config.decoder.is_iterative:
            labels = {count: "1 (single pass)" if count == 1 else str(count) for count in sorted(steps)}
        else:
            labels = {1: "none"}
        variants += [
            Variant(label=label + suffix, source=named, model=named.model, num_steps=count)
            for count, label in labels.items()
        ]
    variants[-1] = replace(variants[-1], is_reference=True)
    return variants


def _plan_algorithm(models: Sequence[NamedModel], steps: Sequence[int]) -> list[Variant]:
    is_met = len(models) == 1 and models[0].model.config.decoder.is_iterative
    _require(is_met, "algorithm", "one iterative model", models)
    source = models[0]
    own = source.model.config.decoder.num_steps
    choices: list[tuple[str, Mask2Alpha, Sampler]] = [
        ("sticky update", switch(source.model, update="sticky"), "topk"),
        ("bernoulli sampler", source.model, "bernoulli"),
        ("as run", source.model, "topk"),
    ]
    variants = [
        Variant(label=f"{label}, {count} steps", source=source, model=model, num_steps=count, sampler=sampler)
        for count in (*(count for count in steps if count != own), own)
        for label, model, sampler in choices
    ]
    variants[-1] = replace(variants[-1], is_reference=True)
    return variants


def _plan_part(
    models: Sequence[NamedModel], what: str, part: str, labels: Mapping[Any, str], expected: tuple[str, str]
) -> list[Variant]:
    """A row for each value of a part, by the order of `labels`: the first is without it, the last the whole method."""
    values = list(labels)

    def read(model: Mask2Alpha) -> Any:
        return getattr(getattr(model.config, _SECTIONS[part]), part)

    if len(models) == 1:
        _require(read(models[0].model) != values[0], what, expected[0], models)
        chosen = [(models[0], switch(models[0].model, **{part: value})) for value in values]
    else:
        chosen = sorted(((named, named.model) for named in models), key=lambda pair: values.index(read(pair[1])))
        found = [read(model) for _, model in chosen]
        _require(len(set(found)) == len(found) and values[-1] in found, what, expected[1], models)
    return [
        Variant(
            label=labels[read(model)],
            source=named,
            model=model,
            num_steps=model.config.decoder.num_steps,
            is_reference=read(model) == values[-1],
        )
        for named, model in chosen
    ]


def _require(is_met: bool, what: str, expected: str, models: Sequence[NamedModel]) -> None:
    if not is_met:
        raise InputError(f"models: {what} needs {expected}; got {', '.join(named.name for named in models) or 'none'}")


def run_ablation(
    table: Table,
    variants: Sequence[Variant],
    benchmark: Benchmark,
    *,
    kinds: Sequence[str] | None = None,
    device: str | None = None,
    dtype: torch.dtype = torch.float32,
    error_threshold: float | None = None,
    repeats: int = 5,
    num_timed: int = 3,
    output: Path | None = None,
) -> Ablation:
    """Score and time every variant.

    Args:
        table: Which of the paper's tables it is.
        variants: The rows.
        benchmark: Where the files are.
        kinds: Kinds of masks; None: all of the benchmark's.
        device: As for `Predictor`.
        dtype: Number format of the network.
        error_threshold: tau; None: each model's.
        repeats: Number of repeats of the timing; 0 measures no times.
        num_timed: Number of photos to time, from the first on.
        output: A folder for one CSV file per variant. A stopped run continues from them, and tables share variants.

    Raises:
        InputError: As for `runner.evaluate` and `Predictor`.
    """
    predictors = [make_predictor(variant, device, dtype, error_threshold) for variant in variants]
    abouts = [describe(variant, predictor) for variant, predictor in zip(variants, predictors, strict=True)]
    names = [re.sub(r"[^a-z0-9.]+", "_", f"{benchmark.name}, {about}".lower()) + ".csv" for about in abouts]
    if output is not None:
        check_inputs_stay((path for name in names for path in list_outputs(output / name)), benchmark.files())
    evaluations = [
        evaluate(
            _reseeding(use_predictor(predictor), predictor.options.generator),
            benchmark,
            kinds=kinds,
            predictor=about,
            output=None if output is None else output / name,
        )
        for predictor, about, name in zip(predictors, abouts, names, strict=True)
    ]
    first_kind = evaluations[0].kinds[0]
    photos = read_photos(benchmark, first_kind, num_timed) if repeats else []
    times = measure_times(predictors, photos, repeats) if photos else [None] * len(predictors)
    has_mask_files = first_kind in benchmark.photographs[0].mask_paths
    settings = {
        "benchmark": benchmark.name,
        "root": str(benchmark.root),
        "num_pairs": len(evaluations[0].pairs),
        "kinds": list(evaluations[0].kinds),
        "device": _device_name(predictors[0].device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": str(dtype).removeprefix("torch."),
        "repeats": repeats,
        "timed_masks": first_kind if has_mask_files else "the true alpha cut at one half",
        "timed_sizes": [list(image.shape[:2]) for image, _ in photos],
    }
    rows = zip(variants, evaluations, times, strict=True)
    return Ablation(
        table=table,
        rows=tuple(AblationRow(variant=variant, evaluation=scores, times=time) for variant, scores, time in rows),
        settings=settings,
    )


def make_predictor(
    variant: Variant, device: str | None, dtype: torch.dtype, error_threshold: float | None
) -> Predictor:
    """A predictor that runs a variant."""
    predictor = Predictor(
        variant.model, device=device, dtype=dtype, num_steps=variant.num_steps, error_threshold=error_threshold
    )
    if variant.sampler != "topk":
        generator = torch.Generator(predictor.device)
        predictor.options = replace(predictor.options, sampler=variant.sampler, generator=generator)
    return predictor


def _reseeding(predict: Predict, generator: torch.Generator | None) -> Predict:
    """Start from the same seed for every photo, so that scores do not depend on which photos came before."""
    if generator is None:
        return predict

    def seeded(image: NDArray[Any], masks: NDArray[np.bool_]) -> NDArray[Any]:
        generator.manual_seed(_SEED)
        return predict(image, masks)

    return seeded


def describe(variant: Variant, predictor: Predictor) -> str:
    """The variant in words; the same words mean the same weights and settings."""
    config = variant.model.config
    threshold = predictor.options.error_threshold
    return ", ".join(
        [
            f"weights {variant.source.weights}",
            f"{variant.num_steps if config.decoder.is_iterative else 'no'} steps",
            f"detail {config.detail.selection}",
            f"guidance {'on' if config.encoder.has_guidance else 'off'}",
            f"error threshold {config.detail.error_threshold if threshold is None else threshold:g}",
            *(["sticky update"] if config.decoder.update == "sticky" else []),
            *([f"{variant.sampler} sampler"] if variant.sampler != "topk" else []),
            f"{str(predictor.dtype).removeprefix('torch.')} on {predictor.device.type}",
        ]
    )


def read_photos(benchmark: Benchmark, kind: str, count: int) -> list[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """The first photos with their masks of one kind; if those are not files, with the true alpha cut at one half."""
    return [
        (read_image(photo.image_path).pixels, read_mask_file(photo.mask_paths.get(kind, photo.alpha_path)) > 127)
        for photo in benchmark.photographs[:count]
    ]


def measure_times(
    predictors: Sequence[Predictor], photos: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]], repeats: int
) -> list[Times]:
    """Time all predictors turn by turn, so that a busy machine slows them alike.

    Each repeat goes through all photos and predictors after one unmeasured round. A repeat's time is its mean over the
    photos, and the result is the median over the repeats.
    """
    loops = [[_prepare_loop(predictor, *photo) for photo in photos] for predictor in predictors]
    seconds = np.zeros((repeats + 1, len(predictors), 2))
    for repeat in range(repeats + 1):
        order = np.roll(np.arange(len(predictors)), repeat).tolist()
        for place, (image, mask) in enumerate(photos):
            for index in order:
                predictor = predictors[index]
                seconds[repeat, index, 0] += _stopwatch(loops[index][place], predictor.device)
                seconds[repeat, index, 1] += _stopwatch(partial(predictor.predict, image, mask), predictor.device)
    medians = np.median(seconds[1:] / len(photos), axis=0)
    return [Times(loop=loop, whole=whole) for loop, whole in medians.tolist()]


def fit_line(steps: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """(seconds per step, seconds beside) of the line of least squares; there are at least two numbers of steps."""
    slope, constant = np.polyfit(steps, seconds, 1)
    return float(slope), float(constant)


def _prepare_loop(predictor: Predictor, image: NDArray[Any], mask: NDArray[np.bool_]) -> Callable[[], object]:
    """Everything before the decoding loop is done here; what is returned runs the loop alone."""
    model = predictor.model
    encoded = predictor.encode(image)
    small = shrink_mask(mask_to_pixels(mask, encoded.size).to(predictor.device), encoded.encoding.size)
    with predictor.running():
        fused = model.fuse(model.guide(encoded.encoding, small), small)

    def loop() -> object:
        with predictor.running():
            return refine(model.step, fused, predictor.options.filled(model.config))

    return loop


def _stopwatch(call: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
