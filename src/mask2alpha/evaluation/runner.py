"""Score a predictor on a benchmark, every pair beside its own input mask.

The protocol is that of `metrics`: whole image, original resolution, float64, predictions as they come (not quantised).
Legend: K counts the masks of one photograph; all of them go to the predictor in one call, so that a network may encode
the photograph once.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import EXACT_KIND, GuidedFolder, GuidedPhotograph
from mask2alpha.evaluation.metrics import MatteScores, evaluate_matte
from mask2alpha.imaging.atomic import replacing
from mask2alpha.imaging.decode import read_image, read_mask
from mask2alpha.pipeline.abstract import AbstractPredictor

Predict: TypeAlias = Callable[[npt.NDArray[Any], npt.NDArray[np.bool_]], npt.NDArray[Any]]
"""`predict(image (H, W, 3) uint8 or uint16, masks (K, H, W) bool)` returns alphas (K, H, W), floating, in [0, 1]."""

_Matte: TypeAlias = Callable[[GuidedPhotograph, Sequence[str], npt.NDArray[np.bool_]], npt.NDArray[Any]]
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
    benchmark: str
    """The benchmark's folder, where the masks come from."""
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

    def matte(photograph: GuidedPhotograph, kinds: Sequence[str], masks: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        image = read_image(photograph.image_path).pixels
        _check_size(photograph.image_path, image.shape[:2], photograph.alpha_path, masks.shape[1:])
        alphas = np.asarray(predict(image, masks))
        if alphas.shape != masks.shape:
            raise InputError(f"predict: returned shape {alphas.shape}, expected {masks.shape}")
        return alphas

    return _evaluate(matte, benchmark, kinds, predictor, output, has_progress)


def evaluate_predictions(
    folder: Path | str,
    benchmark: GuidedFolder,
    *,
    kinds: Sequence[str] | None = None,
    output: Path | str | None = None,
    has_progress: bool = False,
) -> Evaluation:
    """Score mattes that lie in `folder` as KIND/NAME.png, one channel, 8 or 16 bits; the rest is as for `evaluate`.

    Raises:
        InputError: As for `evaluate`, or a matte is missing.
        ImageFileError: A file cannot be read.
    """
    root = Path(folder)

    def matte(photograph: GuidedPhotograph, kinds: Sequence[str], masks: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        alphas = []
        for kind in kinds:
            path = root / kind / f"{photograph.name}.png"
            if not path.is_file():
                raise InputError(f"folder: {path} is missing")
            alphas.append(_read_alpha(path))
            _check_size(path, alphas[-1].shape, photograph.alpha_path, masks.shape[1:])
        return np.stack(alphas)

    return _evaluate(matte, benchmark, kinds, f"predictions in {root}", output, has_progress)


def predict_masks(image: npt.NDArray[Any], masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """The masks themselves as mattes: a `Predict` that every method has to beat."""
    return masks.astype(np.float32)


def use_predictor(predictor: AbstractPredictor) -> Predict:
    """A pipeline's predictor as a `Predict`: the photograph is encoded once for all its masks."""

    def predict(image: npt.NDArray[Any], masks: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        return np.stack([matte.alpha for matte in predictor.predict_instances(image, masks)])

    return predict


def _evaluate(
    matte: _Matte,
    benchmark: GuidedFolder,
    kinds: Sequence[str] | None,
    predictor: str,
    output: Path | str | None,
    has_progress: bool,
) -> Evaluation:
    chosen = _select_kinds(benchmark, kinds)
    path = None if output is None else Path(output)
    done = {} if path is None else _read_rows(path, predictor, benchmark)
    total = len(benchmark.photographs) * len(chosen)
    with tqdm(total=total, desc="evaluate", unit="pair", disable=not has_progress) as bar:
        for photograph in benchmark.photographs:
            missing = [kind for kind in chosen if (photograph.name, kind) not in done]
            if missing:
                for pair in _score_photograph(matte, photograph, missing):
                    done[pair.name, pair.kind] = pair
                if path is not None:
                    _write_rows(path, predictor, done, benchmark)
            bar.update(len(chosen))
    return Evaluation(
        predictor=predictor,
        benchmark=str(benchmark.root),
        kinds=chosen,
        pairs=tuple(done[photograph.name, kind] for photograph in benchmark.photographs for kind in chosen),
    )


def _select_kinds(benchmark: GuidedFolder, kinds: Sequence[str] | None) -> tuple[str, ...]:
    if kinds is None:
        return benchmark.kinds
    chosen = tuple(dict.fromkeys(kinds))
    unknown = [kind for kind in chosen if kind not in benchmark.kinds]
    if unknown or not chosen:
        raise InputError(f"kinds: got {', '.join(unknown) or 'none'}, expected some of {', '.join(benchmark.kinds)}")
    return chosen


def _score_photograph(matte: _Matte, photograph: GuidedPhotograph, kinds: Sequence[str]) -> list[PairScores]:
    true_alpha = _read_alpha(photograph.alpha_path)
    masks = []
    for kind in kinds:
        path = photograph.mask_paths[kind]
        masks.append(_read_mask(path))
        _check_size(path, masks[-1].shape, photograph.alpha_path, true_alpha.shape)
    alphas = matte(photograph, kinds, np.stack(masks))
    return [
        PairScores(
            name=photograph.name,
            kind=kind,
            scores=evaluate_matte(alpha, true_alpha),
            mask_scores=evaluate_matte(mask, true_alpha),
        )
        for kind, mask, alpha in zip(kinds, masks, alphas, strict=True)
    ]


def _check_size(path: Path, size: tuple[int, ...], alpha_path: Path, alpha_size: tuple[int, ...]) -> None:
    if size != alpha_size:
        raise InputError(
            f"{path}: is {size[1]} x {size[0]} pixels, but {alpha_path} is {alpha_size[1]} x {alpha_size[0]}"
        )


def _read_alpha(path: Path) -> npt.NDArray[np.float64]:
    """One grey channel of 8 or 16 bits as values in [0, 1], at full precision."""
    pixels = read_image(path).pixels
    if (pixels != pixels[..., :1]).any():
        raise InputError(f"{path}: has colours, expected an alpha in one grey channel")
    return pixels[..., 0] / float(np.iinfo(pixels.dtype).max)


def _read_mask(path: Path) -> npt.NDArray[np.bool_]:
    return read_mask(path) > 127


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
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for name in names:
            for kind in kinds:
                if (name, kind) in pairs:
                    pair = pairs[name, kind]
                    errors = [repr(getattr(pair.scores, metric)) for metric in _METRICS]
                    mask_errors = [repr(getattr(pair.mask_scores, metric)) for metric in _METRICS]
                    writer.writerow([predictor, name, kind, *errors, *mask_errors])
