"""Score a predictor on a benchmark, every pair beside its own input mask.

The protocol is that of `metrics`: whole image, original resolution, float64, predictions as they come (not quantised).
Legend: K counts the masks of one photograph; all of them go to the predictor in one call, so that a network may encode
the photograph once.
"""

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import EXACT_KIND, GuidedFolder, GuidedPhotograph
from mask2alpha.evaluation.metrics import MatteScores, evaluate_matte

Predict: TypeAlias = Callable[[npt.NDArray[Any], npt.NDArray[np.bool_]], npt.NDArray[Any]]
"""`predict(image (H, W, 3) uint8, masks (K, H, W) bool)` returns alphas (K, H, W), floating, in [0, 1]."""

_METRICS = tuple(field.name for field in fields(MatteScores))
_COLUMNS = ("predictor", "name", "kind", *_METRICS, *(f"mask_{metric}" for metric in _METRICS))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairScores:
    """The errors of one pair, and what its mask itself would have scored."""

    name: str
    """The photograph's name."""
    kind: str
    """The kind of mask."""
    scores: MatteScores
    """The prediction's errors."""
    mask_scores: MatteScores
    """The errors of the input mask taken as the matte."""

    @property
    def is_better(self) -> bool:
        """Whether the prediction has a lower SAD than its mask."""
        return self.scores.sad < self.mask_scores.sad


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The scores of one predictor on one benchmark."""

    predictor: str
    """What was evaluated, in words."""
    kinds: tuple[str, ...]
    """The kinds of masks, in the benchmark's order."""
    pairs: tuple[PairScores, ...]
    """One entry a pair, photograph by photograph."""

    def select(self, kind: str | None = None) -> list[PairScores]:
        """The pairs of one kind; None: all of them."""
        return [pair for pair in self.pairs if kind is None or pair.kind == kind]

    def mean(self, kind: str | None = None) -> MatteScores:
        """The prediction's mean errors over one kind; None: over all pairs."""
        return MatteScores.mean([pair.scores for pair in self.select(kind)])

    def mask_mean(self, kind: str | None = None) -> MatteScores:
        """The input masks' mean errors over one kind; None: over all pairs."""
        return MatteScores.mean([pair.mask_scores for pair in self.select(kind)])

    def count_better(self) -> tuple[int, int]:
        """(pairs whose prediction beats its mask in SAD, pairs), the `exact` masks left out."""
        counted = [pair for pair in self.pairs if pair.kind != EXACT_KIND]
        return sum(pair.is_better for pair in counted), len(counted)


def evaluate(
    predict: Predict,
    benchmark: GuidedFolder,
    *,
    kinds: Sequence[str] | None = None,
    predictor: str = "",
    output: Path | str | None = None,
    has_progress: bool = False,
) -> Evaluation:
    """Score a predictor on all pairs of a benchmark.

    Args:
        predict: Called once a photograph, see `Predict`.
        benchmark: Where the files are.
        kinds: The kinds to score, in that order; None: all of the benchmark's.
        predictor: What is evaluated, in words: model and settings. Written to each row of `output`.
        output: A CSV file with one row a pair, rewritten atomically after every photograph. Pairs that it already
            holds are not predicted again, so a stopped run goes on where it stopped.
        has_progress: Show a bar on the standard error stream.

    Raises:
        InputError: A file's size does not fit its photograph, `predict` returned something else than said, a kind is
            unknown, or `output` is the result of another predictor or benchmark.
        ImageFileError: A file cannot be read.
    """
    chosen = _select_kinds(benchmark, kinds)
    path = None if output is None else Path(output)
    done = {} if path is None else _read_rows(path, predictor, benchmark)
    with tqdm(
        total=len(benchmark.photographs) * len(chosen), desc="evaluate", unit="pair", disable=not has_progress
    ) as bar:
        for photograph in benchmark.photographs:
            missing = [kind for kind in chosen if (photograph.name, kind) not in done]
            if missing:
                for pair in _score_photograph(predict, photograph, missing):
                    done[pair.name, pair.kind] = pair
                if path is not None:
                    _write_rows(path, predictor, done, benchmark)
            bar.update(len(chosen))
    pairs = tuple(done[photograph.name, kind] for photograph in benchmark.photographs for kind in chosen)
    return Evaluation(predictor=predictor, kinds=chosen, pairs=pairs)


def _select_kinds(benchmark: GuidedFolder, kinds: Sequence[str] | None) -> tuple[str, ...]:
    if kinds is None:
        return benchmark.kinds
    chosen = tuple(dict.fromkeys(kinds))
    unknown = [kind for kind in chosen if kind not in benchmark.kinds]
    if unknown or not chosen:
        raise InputError(f"kinds: got {', '.join(unknown) or 'none'}, expected some of {', '.join(benchmark.kinds)}")
    return chosen


def _score_photograph(predict: Predict, photograph: GuidedPhotograph, kinds: Sequence[str]) -> list[PairScores]:
    image = _read_image(photograph.image_path)
    size = image.shape[:2]
    true_alpha = _read_alpha(photograph.alpha_path)
    _check_size(photograph.alpha_path, true_alpha, photograph.image_path, size)
    masks = []
    for kind in kinds:
        mask = _read_mask(photograph.mask_paths[kind])
        _check_size(photograph.mask_paths[kind], mask, photograph.image_path, size)
        masks.append(mask)
    alphas = np.asarray(predict(image, np.stack(masks)))
    if alphas.shape != (len(kinds), *size):
        raise InputError(f"predict: returned shape {alphas.shape}, expected {(len(kinds), *size)}")
    return [
        PairScores(
            name=photograph.name,
            kind=kind,
            scores=evaluate_matte(alpha, true_alpha),
            mask_scores=evaluate_matte(mask, true_alpha),
        )
        for kind, mask, alpha in zip(kinds, masks, alphas, strict=True)
    ]


def _check_size(path: Path, array: npt.NDArray[Any], image_path: Path, size: tuple[int, ...]) -> None:
    if array.shape != size:
        raise InputError(f"{path}: is {array.shape[1]} x {array.shape[0]}, but {image_path} is {size[1]} x {size[0]}")


def _read_image(path: Path) -> npt.NDArray[Any]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _read_alpha(path: Path) -> npt.NDArray[np.float64]:
    with Image.open(path) as image:
        return np.asarray(image.convert("L")) / 255.0


def _read_mask(path: Path) -> npt.NDArray[np.bool_]:
    return _read_alpha(path) > 0.5


def _read_rows(path: Path, predictor: str, benchmark: GuidedFolder) -> dict[tuple[str, str], PairScores]:
    """The pairs of an earlier run; empty where there is no file."""
    if not path.exists():
        return {}
    names = {photograph.name for photograph in benchmark.photographs}
    rows: dict[tuple[str, str], PairScores] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != _COLUMNS:
            raise InputError(f"output: {path} exists and is no result of an evaluation; name another file")
        for row in reader:
            if row["predictor"] != predictor:
                raise InputError(
                    f"output: {path} holds results of {row['predictor']!r}, not of {predictor!r}; name another file"
                )
            if row["name"] not in names:
                raise InputError(
                    f"output: {path} holds {row['name']}, which {benchmark.root} has not; name another file"
                )
            rows[row["name"], row["kind"]] = PairScores(
                name=row["name"],
                kind=row["kind"],
                scores=MatteScores(**{metric: float(row[metric]) for metric in _METRICS}),
                mask_scores=MatteScores(**{metric: float(row[f"mask_{metric}"]) for metric in _METRICS}),
            )
    return rows


def _write_rows(path: Path, predictor: str, pairs: dict[tuple[str, str], PairScores], benchmark: GuidedFolder) -> None:
    """Write all pairs in the benchmark's order, kinds of an earlier run after its own; never leave half a file."""
    names = [photograph.name for photograph in benchmark.photographs]
    kinds = list(dict.fromkeys((*benchmark.kinds, *(kind for _, kind in pairs))))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for name in names:
            for kind in kinds:
                if (name, kind) in pairs:
                    pair = pairs[name, kind]
                    errors = [repr(getattr(pair.scores, metric)) for metric in _METRICS]
                    mask_errors = [repr(getattr(pair.mask_scores, metric)) for metric in _METRICS]
                    writer.writerow([predictor, name, kind, *errors, *mask_errors])
    os.replace(temporary, path)
