import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from layouts import LAYOUTS
from mask2alpha.errors import InputError
from mask2alpha.evaluation import results, runner
from mask2alpha.evaluation.benchmarks import Benchmark, Masks
from mask2alpha.evaluation.instances import add_counts, count_instances
from mask2alpha.evaluation.metrics import Protocol
from mask2alpha.evaluation.public_benchmarks import open_benchmark
from mask2alpha.evaluation.runner import evaluate, evaluate_predictions, write_masks

Images = NDArray[Any]
CASES: list[tuple[str, Protocol, Masks]] = [
    ("m-him2k", "him2k", Masks()),
    ("m-him2k", "whole", Masks()),
    ("aim-500", "trimap-unknown", Masks(recipes=["perturbed-v1", "lowres-v1"])),
]


def blur(image: Images, masks: Images) -> Images:
    """A matte of no round numbers that depends on photograph and mask."""
    return np.clip(0.613 * masks + 0.37 * image[..., 0] / 255, 0, 1)


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case[:2]))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Benchmark, Protocol]:
    name, protocol, masks = request.param
    LAYOUTS[name](tmp_path / "data")
    return open_benchmark(name, tmp_path / "data", masks=masks), protocol


def test_stopped_anywhere_the_run_ends_with_the_same_numbers(
    case: tuple[Benchmark, Protocol], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark, protocol = case
    monkeypatch.setattr(results, "_SECONDS_BETWEEN_SAVES", 0)
    monkeypatch.setattr(runner, "_MAX_PIXELS_A_CALL", 2 * 30 * 40)  # several calls a photograph
    whole = evaluate(blur, benchmark, protocol=protocol)
    num_calls = 0

    def snapshot(image: Images, masks: Images) -> Images:  # what a machine that is switched off now would leave
        nonlocal num_calls
        num_calls += 1
        if (tmp_path / "run").is_dir():
            shutil.copytree(tmp_path / "run", tmp_path / f"stopped {num_calls}")
        return blur(image, masks)

    assert evaluate(snapshot, benchmark, protocol=protocol, output=tmp_path / "run" / "a.csv") == whole
    left = sorted(path.name for path in tmp_path.glob("stopped *"))
    assert len(left) >= 1
    files = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert len(files) == 1 + (protocol == "him2k")
    for name in left:
        assert evaluate(blur, benchmark, protocol=protocol, output=tmp_path / name / "a.csv") == whole
        assert {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} == files


def test_interrupted_anywhere_the_run_ends_with_the_same_numbers(
    case: tuple[Benchmark, Protocol], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark, protocol = case
    monkeypatch.setattr(runner, "_MAX_PIXELS_A_CALL", 30 * 40)
    whole = evaluate(blur, benchmark, protocol=protocol)
    num_calls = 0
    for patience in (1, 3, 4, 6, 100):

        def give_up(image: Images, masks: Images, patience: int = patience) -> Images:
            nonlocal num_calls
            num_calls += 1
            if num_calls > patience:
                raise KeyboardInterrupt
            return blur(image, masks)

        num_calls = 0
        try:
            assert evaluate(give_up, benchmark, protocol=protocol, output=tmp_path / "a.csv") == whole
        except KeyboardInterrupt:
            assert patience < 100
    assert not list(tmp_path.glob(".*.part"))


def test_results_of_another_protocol_or_convention_are_not_continued(tmp_path: Path) -> None:
    LAYOUTS["folder"](tmp_path / "data")
    benchmark = open_benchmark("folder", tmp_path / "data")
    evaluate(blur, benchmark, output=tmp_path / "a.csv")
    with pytest.raises(InputError, match="has results of 'whole', not of 'him2k'"):
        evaluate(blur, benchmark, output=tmp_path / "a.csv", protocol="him2k")
    with pytest.raises(InputError, match="has results of 'adobe', not of 'aim'"):
        evaluate(blur, benchmark, output=tmp_path / "a.csv", convention="aim")
    with (tmp_path / "a.csv").open(encoding="utf-8") as file:
        assert {(row["protocol"], row["convention"]) for row in csv.DictReader(file)} == {("whole", "adobe")}


def test_the_convention_changes_grad_and_leaves_sad(tmp_path: Path) -> None:
    LAYOUTS["folder"](tmp_path)
    benchmark = open_benchmark("folder", tmp_path)
    adobe, aim = (evaluate(blur, benchmark, convention=convention) for convention in ("adobe", "aim"))  # type: ignore[arg-type]
    assert adobe.mean().sad == aim.mean().sad
    assert adobe.mean().grad != aim.mean().grad
    assert (adobe.convention, aim.convention) == ("adobe", "aim")


def test_all_instances_of_a_photograph_go_in_one_call_and_the_photograph_is_read_once(tmp_path: Path) -> None:
    LAYOUTS["m-him2k"](tmp_path)
    shapes = []

    def predict(image: Images, masks: Images) -> Images:
        shapes.append(masks.shape)
        return masks.astype(float)

    evaluate(predict, open_benchmark("m-him2k", tmp_path))
    assert shapes == [(4, 30, 40), (4, 30, 40)]  # two persons, two sets of masks


def test_very_many_masks_go_in_several_calls_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LAYOUTS["m-him2k"](tmp_path)
    benchmark = open_benchmark("m-him2k", tmp_path)
    expected = evaluate(blur, benchmark, protocol="him2k")
    monkeypatch.setattr(runner, "_MAX_PIXELS_A_CALL", 3 * 30 * 40)
    assert evaluate(blur, benchmark, protocol="him2k") == expected


def test_imq_is_that_of_the_accumulator(tmp_path: Path) -> None:
    LAYOUTS["m-him2k"](tmp_path)
    benchmark = open_benchmark("m-him2k", tmp_path, masks=Masks(kinds=["r50_c4_3x"]))
    evaluation = evaluate(blur, benchmark, protocol="him2k")
    counts = []
    seen = []

    def predict(image: Images, masks: Images) -> Images:
        seen.append(blur(image, masks))
        return seen[-1]

    evaluate(predict, benchmark)
    for alphas, name in zip(seen, ("aa", "bb"), strict=True):
        truths = [
            runner.read_alpha(photograph.alpha_path)
            for photograph in benchmark.photographs
            if f"/{name}/" in photograph.name
        ]
        counts += count_instances(alphas, np.stack(truths))
    assert evaluation.count_instances() == add_counts(counts) == evaluation.count_instances("r50_c4_3x")
    masks_alone = evaluation.count_instances(of_masks=True)
    assert masks_alone[0].num_true_positives == 4
    with pytest.raises(InputError, match="empty"):
        evaluate(blur, benchmark).count_instances()


def test_segmenters_make_masks_and_each_truth_gets_its_own(tmp_path: Path) -> None:
    LAYOUTS["m-him2k"](tmp_path)

    def segment(image: Images) -> Images:  # both persons, right one first, and something that is nobody
        x = np.arange(40)[None, :] + 0 * np.arange(30)[:, None]
        disc = np.hypot(x - np.array([[[30]], [[10]], [[20]]]), np.arange(30)[:, None] - 15) < 6
        disc[2] = False
        return disc

    benchmark = open_benchmark("m-him2k", tmp_path, masks=Masks(segmenters={"halves": segment}))
    assert benchmark.kinds == ("halves",)
    evaluation = evaluate(blur, benchmark)
    assert all(pair.mask_scores.mad < 0.1 for pair in evaluation.pairs)
    assert "segmenter halves" in benchmark.mask_origin
    nobody = Masks(segmenters={"blind": lambda image: np.zeros((0, 30, 40), bool)})
    blind = evaluate(blur, open_benchmark("m-him2k", tmp_path, masks=nobody))
    assert blind.mask_mean().sad > evaluation.mask_mean().sad
    wrong = Masks(segmenters={"grey": lambda image: np.zeros((30, 40))})
    with pytest.raises(InputError, match="grey: returned float64"):
        evaluate(blur, open_benchmark("m-him2k", tmp_path, masks=wrong))


def test_masks_can_be_written_for_other_programs(tmp_path: Path) -> None:
    LAYOUTS["him2k"](tmp_path / "data")
    masks = Masks(recipes=["dilated-v1"], segmenters={"all": lambda image: np.ones((30, 40), bool)})
    made = open_benchmark("him2k", tmp_path / "data", masks=masks)
    with pytest.raises(InputError, match=r"dilated-v1, all are not files; write_masks"):
        list(made)
    written = write_masks(made, tmp_path / "masks")
    assert len(list(written)) == len(made) == 16
    assert all(pair.mask_path.is_file() for pair in written)
    assert (tmp_path / "masks" / "dilated-v1" / "comp" / "aa" / "00.png").is_file()
    assert evaluate(blur, written).pairs == evaluate(blur, made).pairs
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "masks").rglob("*.png")}
    write_masks(made, tmp_path / "masks")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_predictions_of_instances_are_scored(tmp_path: Path) -> None:
    LAYOUTS["him2k"](tmp_path / "data")
    benchmark = open_benchmark("him2k", tmp_path / "data", masks=Masks(recipes=["eroded-v1"]))
    shutil.copytree(tmp_path / "data" / "alphas", tmp_path / "mattes" / "eroded-v1")
    evaluation = evaluate_predictions(tmp_path / "mattes", benchmark, protocol="him2k")
    assert evaluation.mean().mad == 0
    assert evaluation.count_instances()[1].imq == {"mad": 1, "mse": 1, "grad": 1, "conn": 1}


def test_a_trimap_that_leaves_nothing_open_is_refused(tmp_path: Path) -> None:
    LAYOUTS["folder"](tmp_path)
    shutil.copy(tmp_path / "mask" / "eroded" / "one.png", tmp_path / "trimap" / "one.png")
    with pytest.raises(InputError, match=r"one\.png: the trimap has no unknown pixels"):
        evaluate(blur, open_benchmark("folder", tmp_path), protocol="trimap-unknown")


def test_the_exact_recipe_is_left_out_of_the_share(tmp_path: Path) -> None:
    LAYOUTS["folder"](tmp_path)
    masks = Masks(recipes=["exact-v1", "eroded-v1"])
    assert evaluate(blur, open_benchmark("folder", tmp_path, masks=masks)).count_better()[1] == 2


def test_without_pyarrow_no_parquet_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LAYOUTS["folder"](tmp_path / "data")
    evaluation = evaluate(blur, open_benchmark("folder", tmp_path / "data"))
    monkeypatch.setattr(results, "find_spec", lambda name: None)
    assert not results.write_parquet(evaluation, tmp_path / "a.parquet")
    assert not (tmp_path / "a.parquet").exists()


def test_parquet_has_the_rows_of_the_csv_file(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    LAYOUTS["folder"](tmp_path / "data")
    evaluation = evaluate(blur, open_benchmark("folder", tmp_path / "data"), predictor="b", output=tmp_path / "a.csv")
    assert results.write_parquet(evaluation, tmp_path / "a.parquet")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = [{k: v if k in TEXTS else float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert parquet.read_table(tmp_path / "a.parquet").to_pylist() == rows


TEXTS = {"predictor", "name", "kind", "protocol", "convention"}
