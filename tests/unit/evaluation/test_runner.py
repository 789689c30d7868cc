import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.evaluation.benchmarks import GuidedFolder
from mask2alpha.evaluation.metrics import MatteScores, evaluate_matte
from mask2alpha.evaluation.runner import evaluate, evaluate_predictions, predict_masks, use_predictor
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.pipeline.matte import EncodedImage, Matte

PERFECT = MatteScores(sad=0.0, mse=0.0, grad=0.0, conn=0.0, mad=0.0)
Images = NDArray[Any]


def predict_truth(image: Images, masks: Images) -> Images:
    return np.broadcast_to(image[..., 0] / 255.0, masks.shape)


def predict_half(image: Images, masks: Images) -> Images:
    return np.full(masks.shape, 0.5, dtype=np.float32)


class Counting:
    """A `Predict` that notes its calls and may stop with an error at one of them."""

    def __init__(self, predict: Callable[[Images, Images], Images], stop_at: int | None = None) -> None:
        self.predict, self.stop_at = predict, stop_at
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, image: Images, masks: Images) -> Images:
        if len(self.shapes) == self.stop_at:
            raise KeyboardInterrupt
        self.shapes.append(masks.shape)
        assert image.dtype == np.uint8
        assert masks.dtype == bool
        return self.predict(image, masks)


def test_the_truth_scores_zero_and_beats_every_mask(benchmark_folder: GuidedFolder) -> None:
    evaluation = evaluate(predict_truth, benchmark_folder, predictor="truth")
    assert all(pair.scores == PERFECT for pair in evaluation.pairs)
    assert evaluation.mean() == PERFECT
    assert evaluation.mask_mean().sad > 0
    assert evaluation.count_better() == (2, 2)  # the two pairs with `exact` masks do not count
    assert (evaluation.predictor, evaluation.benchmark) == ("truth", str(benchmark_folder.root))


def test_the_masks_score_as_themselves(benchmark_folder: GuidedFolder) -> None:
    evaluation = evaluate(predict_masks, benchmark_folder)
    assert all(pair.scores == pair.mask_scores for pair in evaluation.pairs)
    assert evaluation.count_better() == (0, 2)


def test_scores_are_those_of_the_files(benchmark_folder: GuidedFolder) -> None:
    evaluation = evaluate(predict_half, benchmark_folder)
    pair = evaluation.pairs[3]
    assert (pair.name, pair.kind) == ("second", "eroded")
    with Image.open(benchmark_folder.root / "alpha" / "second.png") as file:
        true_alpha = np.asarray(file) / 255.0
    assert pair.scores == evaluate_matte(np.full_like(true_alpha, 0.5), true_alpha)
    assert pair.mask_scores == evaluate_matte(true_alpha == 1, true_alpha)


def test_all_masks_of_a_photograph_go_in_one_call(benchmark_folder: GuidedFolder) -> None:
    predict = Counting(predict_half)
    evaluate(predict, benchmark_folder)
    assert predict.shapes == [(2, 24, 32), (2, 24, 32)]


def test_means_are_taken_per_kind(benchmark_folder: GuidedFolder) -> None:
    evaluation = evaluate(predict_masks, benchmark_folder)
    eroded = [pair.scores.sad for pair in evaluation.pairs if pair.kind == "eroded"]
    assert evaluation.mean("eroded").sad == pytest.approx(np.mean(eroded))
    assert evaluation.mean().sad == pytest.approx(np.mean([pair.scores.sad for pair in evaluation.pairs]))
    assert len(evaluation.select("exact")) == 2


def test_only_the_wanted_kinds_are_scored(benchmark_folder: GuidedFolder) -> None:
    evaluation = evaluate(predict_masks, benchmark_folder, kinds=["eroded"])
    assert evaluation.kinds == ("eroded",)
    assert {pair.kind for pair in evaluation.pairs} == {"eroded"}
    with pytest.raises(InputError, match="kinds: got blurred, expected some of exact, eroded"):
        evaluate(predict_masks, benchmark_folder, kinds=["blurred"])


def test_a_stopped_run_goes_on_with_the_same_numbers(benchmark_folder: GuidedFolder, tmp_path: Path) -> None:
    whole = evaluate(predict_half, benchmark_folder)
    output = tmp_path / "results" / "half.csv"
    with pytest.raises(KeyboardInterrupt):
        evaluate(Counting(predict_half, stop_at=1), benchmark_folder, output=output)
    predict = Counting(predict_half)
    assert evaluate(predict, benchmark_folder, output=output) == whole
    assert len(predict.shapes) == 1
    assert [path.name for path in output.parent.iterdir()] == ["half.csv"]


def test_a_finished_run_is_read_and_not_repeated(benchmark_folder: GuidedFolder, tmp_path: Path) -> None:
    output = tmp_path / "half.csv"
    first = evaluate(predict_half, benchmark_folder, output=output)
    predict = Counting(predict_half)
    assert evaluate(predict, benchmark_folder, output=output) == first
    assert predict.shapes == []


def test_more_kinds_are_added_to_an_earlier_run(make_root: Callable[..., Path], tmp_path: Path) -> None:
    root, output = make_root(), tmp_path / "half.csv"
    evaluate(predict_half, GuidedFolder(root, ["eroded"]), output=output)
    evaluate(predict_half, GuidedFolder(root, ["exact"]), output=output)
    predict = Counting(predict_half)
    assert evaluate(predict, GuidedFolder(root), output=output) == evaluate(predict_half, GuidedFolder(root))
    assert predict.shapes == []


def test_the_file_has_one_row_a_pair(benchmark_folder: GuidedFolder, tmp_path: Path) -> None:
    evaluation = evaluate(predict_half, benchmark_folder, predictor="half, always", output=tmp_path / "half.csv")
    with (tmp_path / "half.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], row["kind"]) for row in rows] == [(pair.name, pair.kind) for pair in benchmark_folder]
    assert {row["predictor"] for row in rows} == {"half, always"}
    assert [float(row["grad"]) for row in rows] == [pair.scores.grad for pair in evaluation.pairs]
    assert [float(row["mask_sad"]) for row in rows] == [pair.mask_scores.sad for pair in evaluation.pairs]


def test_results_of_something_else_are_not_continued(
    make_root: Callable[..., Path], benchmark_folder: GuidedFolder, tmp_path: Path
) -> None:
    output = tmp_path / "half.csv"
    evaluate(predict_half, benchmark_folder, predictor="half", output=output)
    with pytest.raises(InputError, match="has results of 'half', not of 'other'"):
        evaluate(predict_half, benchmark_folder, predictor="other", output=output)
    shutil.rmtree(benchmark_folder.root)
    with pytest.raises(InputError, match="has a row for first, which"):
        evaluate(predict_half, GuidedFolder(make_root(names=("third",))), predictor="half", output=output)
    output.write_text("name,age\nanna,7\n", encoding="utf-8")
    with pytest.raises(InputError, match="is not a result of an evaluation"):
        evaluate(predict_half, GuidedFolder(make_root(names=("third",))), predictor="half", output=output)


def test_a_truth_of_16_bits_keeps_its_precision(benchmark_folder: GuidedFolder) -> None:
    deep = np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 85
    Image.fromarray(deep).save(benchmark_folder.root / "alpha" / "first.png")
    evaluation = evaluate(lambda image, masks: np.stack([deep / 65535.0] * len(masks)), benchmark_folder)
    assert evaluation.pairs[0].scores == PERFECT


def test_a_truth_in_colour_is_refused(benchmark_folder: GuidedFolder) -> None:
    shutil.copy(benchmark_folder.root / "image" / "first.png", benchmark_folder.root / "alpha" / "first.png")
    with pytest.raises(InputError, match=r"first\.png: has colours"):
        evaluate(predict_masks, benchmark_folder)


def test_an_unreadable_file_is_named(benchmark_folder: GuidedFolder) -> None:
    (benchmark_folder.root / "mask" / "exact" / "second.png").write_bytes(b"no picture")
    with pytest.raises(ImageFileError, match=r"second\.png"):
        evaluate(predict_masks, benchmark_folder)


@pytest.mark.parametrize("file", ["image/first.png", "alpha/first.png", "mask/eroded/first.png"])
def test_a_file_of_another_size_is_named(benchmark_folder: GuidedFolder, file: str) -> None:
    path = benchmark_folder.root / file
    with Image.open(path) as image:
        smaller = image.resize((10, 8))
    smaller.save(path)
    with pytest.raises(InputError, match="10 x 8"):
        evaluate(predict_masks, benchmark_folder)


def test_what_the_predictor_returns_is_checked(benchmark_folder: GuidedFolder) -> None:
    with pytest.raises(InputError, match=r"predict: returned shape \(24, 32\), expected \(2, 24, 32\)"):
        evaluate(lambda image, masks: masks[0].astype(np.float32), benchmark_folder)
    with pytest.raises(InputError, match=r"alpha: got values from 0\.0 to 255\.0"):
        evaluate(lambda image, masks: masks * np.float32(255), benchmark_folder)


def test_a_folder_of_mattes_is_scored(benchmark_folder: GuidedFolder, tmp_path: Path) -> None:
    mattes = tmp_path / "mattes"
    for kind in benchmark_folder.kinds:
        shutil.copytree(benchmark_folder.root / "alpha", mattes / kind)
    assert evaluate_predictions(mattes, benchmark_folder).mean() == PERFECT
    (mattes / "eroded" / "second.png").unlink()
    with pytest.raises(InputError, match=r"eroded/second\.png is missing"):
        evaluate_predictions(mattes, benchmark_folder)


class OnceEncoding(AbstractPredictor):
    """Predicts each mask as it is."""

    def encode(self, image: Images) -> EncodedImage:
        raise AssertionError("not needed")

    def predict(self, image: Images | EncodedImage, mask: Images) -> Matte:
        raise AssertionError("one call for all masks")

    def predict_instances(self, image: Any, masks: Any, *, is_exclusive: bool = False) -> tuple[Matte, ...]:
        return tuple(
            Matte(
                alpha=mask.astype(np.float32),
                image=image,
                coarse_error=np.zeros((1, 1), np.float32),
                spanned=mask.shape,
            )
            for mask in masks
        )


def test_a_pipelines_predictor_gets_all_masks_at_once(benchmark_folder: GuidedFolder) -> None:
    evaluation = evaluate(use_predictor(OnceEncoding()), benchmark_folder)
    assert evaluation.pairs == evaluate(predict_masks, benchmark_folder).pairs


@pytest.mark.parametrize("values", [[0, 3, 7], [0, 1, 2], [5, 9, 200]])
def test_an_ambiguous_mask_is_refused_without_options_that_do_not_exist(
    benchmark_folder: GuidedFolder, values: list[int]
) -> None:
    labels = np.repeat(np.array(values, dtype=np.uint8), 8)[:, None].repeat(32, axis=1)
    Image.fromarray(labels).save(benchmark_folder.root / "mask" / "exact" / "first.png")
    with pytest.raises(ImageFileError, match="give a file that is white on the target and black elsewhere") as caught:
        evaluate(predict_masks, benchmark_folder)
    assert "--" not in str(caught.value)
