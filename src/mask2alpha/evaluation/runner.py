"""Score a predictor on a benchmark, every pair beside its own input mask.

Scores follow the protocol of `metrics`: by default the whole image, at its original resolution, in float64, with
predictions that are not quantised. Legend: K counts the masks of one photo, of all kinds and instances. They go to the
predictor in one call, unless they are very many, so that a network may encode the photo once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import Benchmark, GuidedPhotograph, Masks, check_size, read_alpha, read_mask_file
from mask2alpha.evaluation.instances import count_instances
from mask2alpha.evaluation.masks import make_mask, paint_band
from mask2alpha.evaluation.metrics import Convention, Protocol, check_packages, evaluate_matte, unknown_region
from mask2alpha.evaluation.results import Evaluation as Evaluation
from mask2alpha.evaluation.results import InstanceScores, ResultsFile, instance_path, parquet_path
from mask2alpha.evaluation.results import PairScores as PairScores
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import write_image
from mask2alpha.imaging.targets import check_inputs_stay
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.progress import track

Predict: TypeAlias = Callable[[npt.NDArray[Any], npt.NDArray[np.bool_]], npt.NDArray[Any]]
"""`predict(image (H, W, 3) uint8 or uint16, masks (K, H, W) bool)` returns alphas (K, H, W), floating, in [0, 1]."""

_Item: TypeAlias = tuple[GuidedPhotograph, str]
_Read: TypeAlias = Callable[[], npt.NDArray[Any]]
_Matte: TypeAlias = Callable[[Sequence[_Item], npt.NDArray[np.bool_], _Read], npt.NDArray[Any]]
_MAX_PIXELS_A_CALL = 2**27


def evaluate(
    predict: Predict,
    benchmark: Benchmark,
    *,
    kinds: Sequence[str] | None = None,
    predictor: str = "",
    output: Path | str | None = None,
    protocol: Protocol = "whole",
    convention: Convention = "adobe",
) -> Evaluation:
    """Score a predictor on all pairs of a benchmark.

    Args:
        predict: Called once per photo; see `Predict`.
        benchmark: Where the files are.
        kinds: The kinds to score, in that order; None: all of the benchmark's.
        predictor: What is evaluated, in words: model and settings. Written to each row of `output`.
        output: A CSV file with one row per pair, rewritten atomically every few seconds and at the end. Pairs that it
            already has are not predicted again, so that a stopped run continues.
        protocol: Which pixels count. Under `him2k` the instances of a photo are also matched, for IMQ.
        convention: How Grad and Conn are computed.

    Raises:
        InputError: A file's size does not fit its photo, `predict` returned another shape or other values, a kind is
            unknown, a trimap is missing, or `output` is an input or the result of another predictor or benchmark.
        ImageFileError: A file cannot be read.
    """

    def matte(items: Sequence[_Item], masks: npt.NDArray[np.bool_], read: _Read) -> npt.NDArray[Any]:
        photograph = items[0][0]
        image = read()
        check_size(photograph.image_path, image.shape[:2], photograph.alpha_path, masks.shape[1:])
        alphas = np.asarray(predict(image, masks))
        if alphas.shape != masks.shape:
            raise InputError(f"predict: returned shape {alphas.shape}, expected {masks.shape}")
        return alphas

    return _evaluate(matte, benchmark, kinds, predictor, output, _Scoring(protocol, convention))


def evaluate_predictions(
    folder: Path | str,
    benchmark: Benchmark,
    *,
    kinds: Sequence[str] | None = None,
    output: Path | str | None = None,
    protocol: Protocol = "whole",
    convention: Convention = "adobe",
) -> Evaluation:
    """Score the mattes KIND/NAME.png in `folder`, of one channel and 8 or 16 bits; other arguments as for `evaluate`.

    Raises:
        InputError: As for `evaluate`, or a matte is missing.
        ImageFileError: A file cannot be read.
    """
    root = Path(folder)

    def path_of(item: _Item) -> Path:
        return root / item[1] / f"{item[0].name}.png"

    def matte(items: Sequence[_Item], masks: npt.NDArray[np.bool_], read: _Read) -> npt.NDArray[Any]:
        alphas = []
        for item in items:
            path = path_of(item)
            if not path.is_file():
                raise InputError(f"folder: {path} is missing")
            alphas.append(read_alpha(path))
            check_size(path, alphas[-1].shape, item[0].alpha_path, masks.shape[1:])
        return np.stack(alphas)

    if output is not None:
        mattes = (path_of((photo, kind)) for photo in benchmark.photographs for kind in benchmark.kinds)
        check_inputs_stay(list_outputs(output), mattes)
    about = f"predictions in {root}"
    return _evaluate(matte, benchmark, kinds, about, output, _Scoring(protocol, convention))


def list_outputs(output: Path | str) -> list[Path]:
    """The files that an evaluation with this `output` may write."""
    return [Path(output), instance_path(Path(output)), parquet_path(Path(output))]


def write_masks(benchmark: Benchmark, folder: Path | str) -> Benchmark:
    """Write all masks of a benchmark as FOLDER/KIND/NAME.png, those that recipes and segmenters make, too.

    Masks that exist there are kept.

    Returns:
        The same benchmark with these files for masks, so that its pairs can be listed.

    Raises:
        InputError: A segmenter returned another shape or type, or a size does not fit.
        ImageFileError: A file cannot be read or written.
    """
    root = Path(folder)
    for group in _group(benchmark.photographs):
        read = cache(lambda path=group[0].image_path: read_image(path).pixels)
        for photograph in group:
            paths = {kind: root / kind / f"{photograph.name}.png" for kind in benchmark.kinds}
            missing = [kind for kind, path in paths.items() if not path.is_file()]
            true_alpha = read_alpha(photograph.alpha_path) if missing else np.empty((0, 0))
            for kind in missing:
                mask = _make_or_read_mask(benchmark, photograph, kind, true_alpha, read)
                write_image(paths[kind], mask.astype(np.uint8) * 255)
            photograph.mask_paths.update(paths)
    return Benchmark(
        name=benchmark.name,
        title=benchmark.title,
        root=benchmark.root,
        photographs=benchmark.photographs,
        kinds=benchmark.kinds,
        masks=Masks(folder=root),
        official_count=benchmark.official_count,
    )


def predict_masks(image: npt.NDArray[Any], masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """The masks themselves as mattes: the `Predict` that every method should beat."""
    return masks.astype(np.float32)


def use_predictor(predictor: AbstractPredictor, *, band: int | None = None) -> Predict:
    """A pipeline's predictor as a `Predict`: it encodes a photo once for all its masks.

    Args:
        predictor: It.
        band: The masks become trimaps: this many pixels on each side of their border are open, with the mask known
            under them.
    """

    def predict(image: npt.NDArray[Any], masks: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        given = list(masks) if band is None else [paint_band(mask, width=band) for mask in masks]
        return np.stack([matte.alpha for matte in predictor.predict_instances(image, given)])

    return predict


@dataclass(frozen=True, slots=True)
class _Scoring:
    """Which pixels count, and how Grad and Conn are computed."""

    protocol: Protocol
    convention: Convention

    @property
    def has_instances(self) -> bool:
        """Whether the instances of a photo are matched, which needs all of them."""
        return self.protocol == "him2k"


def _evaluate(
    matte: _Matte,
    benchmark: Benchmark,
    kinds: Sequence[str] | None,
    predictor: str,
    output: Path | str | None,
    scoring: _Scoring,
) -> Evaluation:
    check_packages()
    chosen = _select_kinds(benchmark, kinds)
    if output is not None:
        check_inputs_stay(list_outputs(output), benchmark.files())
    conditions = {"predictor": predictor, "protocol": scoring.protocol, "convention": scoring.convention}
    store = ResultsFile(None if output is None else Path(output), benchmark, conditions)
    total = len(benchmark.photographs) * len(chosen)
    with store, track("evaluate", unit="pair", total=total) as bar:
        for group in _group(benchmark.photographs):
            items = _list_missing(group, chosen, store, scoring)
            if items:
                store.add(*_score_photograph(matte, benchmark, items, scoring))
            bar.update(len(group) * len(chosen))
    firsts = [group[0].name for group in _group(benchmark.photographs)] if scoring.has_instances else []
    return Evaluation(
        predictor=predictor,
        benchmark=str(benchmark.root),
        kinds=chosen,
        pairs=tuple(store.pairs[photograph.name, kind] for photograph in benchmark.photographs for kind in chosen),
        protocol=scoring.protocol,
        convention=scoring.convention,
        name=benchmark.name,
        title=benchmark.title,
        mask_origin=benchmark.mask_origin,
        num_images=benchmark.num_images,
        official_count=benchmark.official_count,
        instances=tuple(one for name in firsts for kind in chosen for one in store.instances[name, kind]),
    )


def _list_missing(
    group: Sequence[GuidedPhotograph], kinds: Sequence[str], store: ResultsFile, scoring: _Scoring
) -> list[_Item]:
    """The pairs of one photo that are still to be scored; under him2k all pairs of a kind together."""
    items = [(photo, kind) for photo in group for kind in kinds if (photo.name, kind) not in store.pairs]
    if not scoring.has_instances:
        return items
    unmatched = {kind for kind in kinds if (group[0].name, kind) not in store.instances}
    unmatched |= {kind for _, kind in items}
    return [(photo, kind) for photo in group for kind in kinds if kind in unmatched]


def _group(photographs: Iterable[GuidedPhotograph]) -> Iterator[list[GuidedPhotograph]]:
    """The instances of one photo together."""
    for _, group in groupby(photographs, key=lambda photograph: photograph.image_path):
        yield list(group)


def _select_kinds(benchmark: Benchmark, kinds: Sequence[str] | None) -> tuple[str, ...]:
    if kinds is None:
        return benchmark.kinds
    chosen = tuple(dict.fromkeys(kinds))
    unknown = [kind for kind in chosen if kind not in benchmark.kinds]
    if unknown or not chosen:
        raise InputError(f"kinds: got {', '.join(unknown) or 'none'}, expected some of {', '.join(benchmark.kinds)}")
    return chosen


def _score_photograph(
    matte: _Matte, benchmark: Benchmark, items: Sequence[_Item], scoring: _Scoring
) -> tuple[list[PairScores], list[InstanceScores]]:
    """Predict and score pairs of one photo."""
    path = items[0][0].image_path
    read = cache(lambda: read_image(path).pixels)
    read_truth = cache(read_alpha)
    pairs = []
    of_kind: dict[str, list[tuple[npt.NDArray[Any], ...]]] = {}
    for chunk in _chunk(items, read_truth(items[0][0].alpha_path).size):
        truths = [read_truth(photograph.alpha_path) for photograph, _ in chunk]
        masks = [
            _make_or_read_mask(benchmark, photograph, kind, true_alpha, read)
            for (photograph, kind), true_alpha in zip(chunk, truths, strict=True)
        ]
        for (photograph, _), true_alpha in zip(chunk, truths, strict=True):
            check_size(photograph.alpha_path, true_alpha.shape, path, masks[0].shape)
        alphas = matte(chunk, np.stack(masks), read)
        for (photograph, kind), true_alpha, mask, alpha in zip(chunk, truths, masks, alphas, strict=True):
            trimap = _read_trimap(photograph, true_alpha.shape) if scoring.protocol == "trimap-unknown" else None
            scores, mask_scores = (
                evaluate_matte(
                    guess, true_alpha, protocol=scoring.protocol, convention=scoring.convention, trimap=trimap
                )
                for guess in (alpha, mask)
            )
            pairs.append(PairScores(name=photograph.name, kind=kind, scores=scores, mask_scores=mask_scores))
            if scoring.has_instances:
                of_kind.setdefault(kind, []).append((alpha, mask, true_alpha))
    instances = []
    for kind, entries in of_kind.items():
        predicted, masked, true = (np.stack(arrays) for arrays in zip(*entries, strict=True))
        for of, guess in (("prediction", predicted), ("mask", masked)):
            matched = count_instances(guess, true, convention=scoring.convention)
            first = items[0][0].name
            instances += [InstanceScores(photograph=first, kind=kind, of=of, counts=counts) for counts in matched]
    return pairs, instances


def _chunk(items: Sequence[_Item], num_pixels: int) -> Iterator[Sequence[_Item]]:
    size = max(1, _MAX_PIXELS_A_CALL // num_pixels)
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _make_or_read_mask(
    benchmark: Benchmark, photograph: GuidedPhotograph, kind: str, true_alpha: npt.NDArray[np.float64], read: _Read
) -> npt.NDArray[np.bool_]:
    if kind in benchmark.recipes:
        return make_mask(kind, photograph.name, true_alpha)
    if kind in benchmark.segmenters:
        found = np.asarray(benchmark.segmenters[kind](read()))
        return _choose_instance(kind, found, true_alpha > 0.5)
    path = photograph.mask_paths[kind]
    mask = read_mask_file(path) > 127
    check_size(path, mask.shape, photograph.alpha_path, true_alpha.shape)
    return mask


def _choose_instance(name: str, found: npt.NDArray[Any], target: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask of a segmenter that overlaps the target most, or an empty mask if none does."""
    masks = found[None] if found.ndim == 2 else found
    if masks.dtype != np.bool_ or masks.ndim != 3 or masks.shape[1:] != target.shape:
        raise InputError(
            f"{name}: returned {found.dtype} of shape {found.shape}, expected bool of {target.shape} or several"
        )
    if found.ndim == 2:
        return found
    overlaps = [(mask & target).sum() / max(1, int((mask | target).sum())) for mask in masks]
    return np.asarray(masks[int(np.argmax(overlaps))]) if max(overlaps, default=0) else np.zeros_like(target)


def _read_trimap(photograph: GuidedPhotograph, size: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    path = photograph.trimap_path
    if path is None:
        raise InputError(
            f"protocol: trimap-unknown needs a trimap for {photograph.name}, which the benchmark lacks; "
            "move its trimaps to the folder that its layout names, or choose another protocol"
        )
    trimap = read_mask_file(path)
    check_size(path, trimap.shape, photograph.alpha_path, size)
    if not unknown_region(trimap).any():
        raise InputError(f"{path}: the trimap has no unknown pixels, expected 0, 128 and 255")
    return trimap
