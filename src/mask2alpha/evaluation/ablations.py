"""The paper's ablations, Tables 3, 4 and 5, on any benchmark: the network with and without a part of it.

A part is either switched off in one trained network (`switch`), or missing from a network that was trained without it.
These are different questions. The paper's tables are about retrained networks; a switch says how much a network that
was trained with the part leans on it.
"""

import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import Benchmark
from mask2alpha.evaluation.runner import Evaluation, Predict, evaluate, use_predictor
from mask2alpha.imaging.decode import read_image, read_mask
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage2_decoding.refine import refine
from mask2alpha.model.stage2_decoding.states import Sampler
from mask2alpha.pipeline.encoder_input import shrink_mask
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.preprocess import mask_to_pixels

Table: TypeAlias = Literal[3, 4, 5, "algorithm"]
"""One of the paper's tables, or `algorithm`: the choices within Algorithm 2, which the paper does not ablate."""
Selection: TypeAlias = Literal["none", "shm", "sgsdr"]
PAPER_STEPS = (1, 3, 6, 10, 20)
"""Table 4's numbers of steps, a single pass in the place of "none"."""
ALGORITHM_STEPS = (10,)
"""Numbers of steps with which Algorithm 2's choices are compared, beside each model's own."""
_SELECTION_LABELS = {"none": "no detail stage", "shm": "SHM", "sgsdr": "SGSDR"}
_GUIDANCE_LABELS = {False: "without MGFSM", True: "with MGFSM"}
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """A trained network and what to call it."""

    name: str
    """As the user named it."""
    weights: str
    """The start of its weights' SHA-256, or another word that no other weights have."""
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
    """Medians over interleaved repeats, in seconds per photograph and mask."""

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


def switch(
    model: Mask2Alpha,
    *,
    has_guidance: bool | None = None,
    selection: Selection | None = None,
    update: Literal["formula", "sticky"] | None = None,
) -> Mask2Alpha:
    """The same weights with a part off or replaced; nothing is trained again.

    Args:
        model: It is not changed; the result shares its weights.
        has_guidance: Whether the mask steers the encoder's last block (MGFSM).
        selection: How the pixels of the detail stage are chosen.
        update: Whether fine pixels follow the newest prediction (`formula`) or keep their first value (`sticky`).

    Raises:
        InputError: The weights lack a part that is asked for.
    """
    config = model.config
    if has_guidance is not None:
        config = replace(config, encoder=replace(config.encoder, has_guidance=has_guidance))
    if selection is not None:
        config = replace(config, detail=replace(config.detail, selection=selection))
    if update is not None:
        config = replace(config, decoder=replace(config.decoder, update=update))
    switched = Mask2Alpha(config)
    weights = model.state_dict()
    missing = sorted(name for name in switched.state_dict() if name not in weights)
    if missing:
        raise InputError(f"model: its weights lack {missing[0]} and {len(missing) - 1} more; the part was not trained")
    kept = {name: weights[name] for name in switched.state_dict()}
    switched.load_state_dict(kept, assign=True)
    return switched.train(model.training)


def plan_table_3(models: Sequence[NamedModel]) -> list[Variant]:
    """Without and with MGFSM: of one model by a switch, of two as they were trained.

    Raises:
        InputError: There are more than two models, or two that do not differ in this, or one that has no guidance.
    """
    expected = ("a model trained with guidance", "one model, or one trained without guidance and one with it")
    return _plan_part(models, "table 3", "encoder.has_guidance", _GUIDANCE_LABELS, expected)


def plan_table_4(models: Sequence[NamedModel], steps: Sequence[int] = PAPER_STEPS) -> list[Variant]:
    """Each number of steps, by model; a model that does not iterate is the paper's row "none".

    The reference is the last iterative model with the most steps.

    Raises:
        InputError: No model iterates, or a number of steps is below 1.
    """
    if not steps or min(steps) < 1:
        raise InputError(f"steps must be numbers of at least 1; got {list(steps)}")
    _require(any(named.model.config.decoder.is_iterative for named in models), "table 4", "an iterative model", models)
    variants = []
    for named in sorted(models, key=lambda named: named.model.config.decoder.is_iterative):
        is_iterative = named.model.config.decoder.is_iterative
        suffix = f" ({named.name})" if len(models) > 1 else ""
        variants += [
            Variant(
                label=(_count_steps(count) if is_iterative else "none") + suffix,
                source=named,
                model=named.model,
                num_steps=count,
            )
            for count in (dict.fromkeys(sorted(steps)) if is_iterative else (1,))
        ]
    variants[-1] = replace(variants[-1], is_reference=True)
    return variants


def plan_table_5(models: Sequence[NamedModel]) -> list[Variant]:
    """Without detail stage, with SHM's active pixels, with SGSDR's: of one model by switches, of several as trained.

    Raises:
        InputError: Several models do not differ in this, none has SGSDR, or one model has no detail stage.
    """
    expected = ("a model with a detail stage", "one model, or one trained with each of none, shm and sgsdr")
    return _plan_part(models, "table 5", "detail.selection", _SELECTION_LABELS, expected)


def plan_algorithm(models: Sequence[NamedModel], steps: Sequence[int] = ALGORITHM_STEPS) -> list[Variant]:
    """Algorithm 2 with a sticky update, with a random sampler, and as it is run, for each number of steps.

    The reference is the model as it is run, with its own number of steps.

    Raises:
        InputError: There is not exactly one model, or it does not iterate.
    """
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
        for count in (*(count for count in dict.fromkeys(steps) if count != own), own)
        for label, model, sampler in choices
    ]
    variants[-1] = replace(variants[-1], is_reference=True)
    return variants


def _plan_part(
    models: Sequence[NamedModel], what: str, path: str, labels: Mapping[Any, str], expected: tuple[str, str]
) -> list[Variant]:
    """A row for each value of a part of the network: of one model by switches, of several as they were trained.

    Args:
        models: The networks.
        what: The table, for messages.
        path: Where the part stands in the configuration.
        labels: The rows' titles by the part's value: the first is without it, the last is the whole method.
        expected: What is accepted as one model, and as several.
    """
    read = attrgetter(path)
    values = list(labels)
    if len(models) == 1:
        _require(read(models[0].model.config) != values[0], what, expected[0], models)
        part = path.rpartition(".")[2]
        chosen = [(models[0], switch(models[0].model, **{part: value})) for value in values]
    else:
        ordered = sorted(models, key=lambda named: values.index(read(named.model.config)))
        found = [read(named.model.config) for named in ordered]
        _require(len(set(found)) == len(found) and values[-1] in found, what, expected[1], models)
        chosen = [(named, named.model) for named in ordered]
    return [
        Variant(
            label=labels[read(model.config)],
            source=named,
            model=model,
            num_steps=model.config.decoder.num_steps,
            is_reference=read(model.config) == values[-1],
        )
        for named, model in chosen
    ]


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
    has_progress: bool = False,
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
        num_timed: Photographs that are timed, the benchmark's first.
        output: A folder for one CSV file per variant; a stopped run goes on from them, and another table takes the
            variants that it shares.
        has_progress: Show bars on the standard error stream.

    Raises:
        InputError: As for `runner.evaluate` and `Predictor`.
    """
    predictors = [make_predictor(variant, device, dtype, error_threshold) for variant in variants]
    evaluations = []
    for variant, predictor in zip(variants, predictors, strict=True):
        about = describe(variant, predictor)
        file_name = re.sub(r"[^a-z0-9.]+", "_", f"{benchmark.name}, {about}".lower()) + ".csv"
        evaluations.append(
            evaluate(
                _reseeding(use_predictor(predictor), predictor.options.generator),
                benchmark,
                kinds=kinds,
                predictor=about,
                output=None if output is None else output / file_name,
                has_progress=has_progress,
            )
        )
    photographs = [] if repeats == 0 else read_photographs(benchmark, evaluations[0].kinds[0], num_timed)
    times = measure_times(predictors, photographs, repeats) if photographs else [None] * len(predictors)
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
        "timed_masks": evaluations[0].kinds[0]
        if evaluations[0].kinds[0] in benchmark.photographs[0].mask_paths
        else "the true alpha cut at one half",
        "timed_sizes": [list(image.shape[:2]) for image, _ in photographs],
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


def read_photographs(benchmark: Benchmark, kind: str, count: int) -> list[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """The first photos with their masks of one kind, or with the true alpha cut at one half if those are not files."""
    return [
        (
            read_image(photograph.image_path).pixels,
            read_mask(photograph.mask_paths.get(kind, photograph.alpha_path)) > 127,
        )
        for photograph in benchmark.photographs[:count]
    ]


def measure_times(
    predictors: Sequence[Predictor],
    photographs: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]],
    repeats: int,
) -> list[Times]:
    """Time all predictors turn by turn, so that a busy machine slows them alike.

    Each repeat goes through all photographs and predictors after one unmeasured round; a repeat's time is its mean over
    the photographs, and the result is the median over the repeats.
    """
    loops = [[_prepare_loop(predictor, *photograph) for photograph in photographs] for predictor in predictors]
    seconds: list[dict[str, list[float]]] = [{"loop": [], "whole": []} for _ in predictors]
    for repeat in range(repeats + 1):
        order = np.roll(np.arange(len(predictors)), repeat).tolist()
        totals = np.zeros((len(predictors), 2))
        for place, (image, mask) in enumerate(photographs):
            for index in order:
                predictor = predictors[index]
                totals[index, 0] += _stopwatch(loops[index][place], predictor.device)
                totals[index, 1] += _stopwatch(partial(predictor.predict, image, mask), predictor.device)
        if repeat:
            for index, (loop, whole) in enumerate((totals / len(photographs)).tolist()):
                seconds[index]["loop"].append(loop)
                seconds[index]["whole"].append(whole)
    return [Times(**{kind: statistics.median(values) for kind, values in each.items()}) for each in seconds]


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


def _count_steps(count: int) -> str:
    return "1 (single pass)" if count == 1 else str(count)


def _require(is_met: bool, what: str, expected: str, models: Sequence[NamedModel]) -> None:
    if not is_met:
        raise InputError(f"models: {what} needs {expected}; got {', '.join(named.name for named in models) or 'none'}")
