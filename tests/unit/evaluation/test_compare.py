import csv
import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mask2alpha.checkpoints import save_model
from mask2alpha.errors import InputError
from mask2alpha.evaluation import compare as compare_module
from mask2alpha.evaluation.benchmarks import GuidedFolder
from mask2alpha.evaluation.compare import Comparison, PairResult, _Worker, compare
from mask2alpha.evaluation.metrics import evaluate_matte
from mask2alpha.evaluation.peers import load_method, parse_method
from mask2alpha.evaluation.runner import evaluate, predict_masks
from mask2alpha.evaluation.summary import describe, format_markdown, summarise, tabulate
from mask2alpha.imaging.decode import read_image, read_mask
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Runs methods in this process, which is faster; the list holds (method, photograph, kind) of every run."""
    calls = []

    def run(self: _Worker, job: Any) -> PairResult:
        calls.append((self._method.label, *job.key))
        compare_module._load.cache_clear()  # a new process would read its files again
        return compare_module._run_job(job, self._method.text)

    monkeypatch.setattr(_Worker, "run", run)
    return calls


def run(folder: Path, root: Path, *methods: str, **options: Any) -> Comparison:
    return compare(methods, GuidedFolder(root), folder, title="test", **options)


def all_scores(comparison: Comparison) -> dict[str, list[Any]]:
    return {
        results.method.label: [result.scores for result in results.pairs.values()] for results in comparison.methods
    }


def test_every_method_has_its_process_and_its_costs(make_root: Callable[..., Path], tmp_path: Path) -> None:
    root = make_root()
    comparison = run(tmp_path / "out", root, "mask", "feather:sigma=2", cost_sizes=[0.001, 0.1])
    masks, blurred = comparison.methods
    expected = evaluate(predict_masks, GuidedFolder(root))
    assert [result.scores for result in masks.pairs.values()] == [pair.scores for pair in expected.pairs]
    feathering = load_method(parse_method("feather:sigma=2"))
    for pair in GuidedFolder(root):
        image, mask = read_image(pair.image_path).pixels, read_mask(pair.mask_path) > 127
        alpha, true_alpha = feathering(image, mask), read_image(pair.alpha_path).pixels[..., 0] / 255
        result = blurred.pairs[pair.name, pair.kind]
        assert result.scores == evaluate_matte(alpha, true_alpha)
        assert (result.height, result.width) == mask.shape
        assert result.cpu_s is not None
        assert result.wall_s is not None
        assert 0 <= result.cpu_s < 60
        assert 0 < result.wall_s < 60
        assert result.peak_bytes is not None
        assert 10 * 2**20 < result.peak_bytes < 2**31
        stored = read_image(blurred.alpha_folder / pair.kind / f"{pair.name}.png").pixels[..., 0]
        np.testing.assert_array_equal(stored, np.rint(alpha * 255))
    assert [round(cost.megapixels, 3) for cost in blurred.costs] == [0.001, 0.1]
    assert all(cost.scores is None for cost in blurred.costs)
    assert not blurred.failures


@pytest.mark.parametrize("stop_at", range(1, 7))
def test_a_run_stopped_anywhere_goes_on_with_the_same_numbers(
    make_root: Callable[..., Path],
    tmp_path: Path,
    in_process: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    stop_at: int,
) -> None:
    root, methods = make_root(), ("mask", "guided-filter:radius=3")
    whole = run(tmp_path / "whole", root, *methods)
    del in_process[:]
    work = _Worker.run

    def stop(self: _Worker, job: Any) -> PairResult:
        if len(in_process) == stop_at:
            raise KeyboardInterrupt
        return work(self, job)

    monkeypatch.setattr(_Worker, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", root, *methods)
    monkeypatch.setattr(_Worker, "run", work)
    assert all_scores(run(tmp_path / "out", root, *methods)) == all_scores(whole)
    assert len(in_process) == len(set(in_process)) == 8


def test_what_is_done_is_not_repeated_and_other_methods_can_join(
    make_root: Callable[..., Path], tmp_path: Path, in_process: list[tuple[str, str, str]]
) -> None:
    root = make_root()
    first = run(tmp_path, root, "mask")
    again = run(tmp_path, root, "feather", "mask")
    assert [label for label, _, _ in in_process] == ["mask"] * 4 + ["feather"] * 4
    assert again.methods[1].pairs == first.methods[0].pairs
    del in_process[:]
    run(tmp_path, root, "feather", "mask", redo=["mask"])
    assert [label for label, _, _ in in_process] == ["mask"] * 4


def test_new_weights_and_changed_files_are_run_again(
    make_root: Callable[..., Path], tmp_path: Path, in_process: list[tuple[str, str, str]]
) -> None:
    root, weights = make_root(), tmp_path / "tiny.safetensors"
    save_model(Mask2Alpha(PRESETS["tiny"]), weights)
    first = run(tmp_path / "out", root, "mask", str(weights))
    save_model(Mask2Alpha(PRESETS["tiny"]), weights)
    del in_process[:]
    second = run(tmp_path / "out", root, "mask", str(weights))
    assert {label for label, _, _ in in_process} == {"tiny.safetensors"}
    assert len(in_process) == 4
    assert first.methods[1].pairs != second.methods[1].pairs
    del in_process[:]
    shutil.copy(root / "mask" / "eroded" / "first.png", root / "mask" / "exact" / "first.png")
    run(tmp_path / "out", root, "mask")
    assert in_process == [("mask", "first", "exact")]


def test_stale_results_go_before_the_new_identity_is_written(
    make_root: Callable[..., Path],
    tmp_path: Path,
    in_process: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = make_root()
    results = run(tmp_path, root, "mask").methods[0]
    about = results.alpha_folder.parent / "method.json"
    about.write_text(about.read_text(encoding="utf-8").replace("recipe ", "an earlier recipe "), encoding="utf-8")

    def stop(self: _Worker, job: Any) -> PairResult:
        raise KeyboardInterrupt

    work = _Worker.run
    monkeypatch.setattr(_Worker, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, root, "mask")
    monkeypatch.setattr(_Worker, "run", work)
    del in_process[:]
    run(tmp_path, root, "mask")
    assert len(in_process) == 4


def test_a_folder_of_mattes_is_compared(
    make_root: Callable[..., Path], tmp_path: Path, in_process: list[tuple[str, str, str]]
) -> None:
    root = make_root()
    for kind in ("exact", "eroded"):
        shutil.copytree(root / "alpha", tmp_path / "mattes" / kind)
    (tmp_path / "mattes" / "eroded" / "second.png").unlink()
    comparison = run(tmp_path / "out", root, f"predictions:{tmp_path / 'mattes'}", "mask")
    made = comparison.methods[0]
    assert [result.scores.sad for result in made.pairs.values() if result.scores] == [0, 0, 0]
    assert [(failure.name, failure.kind) for failure in made.failures] == [("second", "eroded")]
    assert "second.png: cannot be read" in made.failures[0].failure
    assert made.pairs["first", "exact"].cpu_s is None
    shutil.copy(root / "alpha" / "second.png", tmp_path / "mattes" / "eroded")
    del in_process[:]
    assert not run(tmp_path / "out", root, f"predictions:{tmp_path / 'mattes'}", "mask").methods[0].failures
    assert len(in_process) == 1


def test_a_pair_that_fails_is_listed_and_the_others_go_on(
    make_root: Callable[..., Path], tmp_path: Path, in_process: list[tuple[str, str, str]]
) -> None:
    root = make_root()
    Image.fromarray(np.zeros((3, 4), dtype=np.uint8)).save(root / "mask" / "exact" / "first.png")
    (root / "image" / "second.png").write_bytes(b"no picture")
    results = run(tmp_path, root, "mask").methods[0]
    failures = {(failure.name, failure.kind): failure.failure for failure in results.failures}
    assert "is 4 x 3 pixels, but the photo is 32 x 24" in failures["first", "exact"]
    assert "not a picture" in failures["second", "exact"]
    assert results.pairs["first", "eroded"].scores is not None


def test_a_process_that_is_killed_fails_that_pair_only(make_root: Callable[..., Path]) -> None:
    pair = next(iter(GuidedFolder(make_root())))
    job = compare_module._Job(pair=pair, table=compare_module.PAIRS_FILE, files="")
    with _Worker(parse_method("mask")) as worker:
        assert worker.run(job).scores is not None
        os.kill(worker.process_id, signal.SIGKILL)
        failed = worker.run(job)
        assert failed.failure == "its process ended abruptly (out of memory?)"
        assert failed.scores is None
        assert worker.run(job).scores is not None


def test_a_method_that_cannot_be_loaded_fails_on_every_pair(make_root: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no network")
    results = run(tmp_path / "out", make_root(names=("first",)), f"onnx:{tmp_path / 'net.onnx'}").methods[0]
    assert len(results.failures) == 2
    assert all("ONNX Runtime cannot load it" in failure.failure for failure in results.failures)


def test_unusable_requests_are_refused(make_root: Callable[..., Path], tmp_path: Path) -> None:
    root = make_root()
    with pytest.raises(InputError, match="methods: got none"):
        run(tmp_path, root)
    with pytest.raises(InputError, match="'mask' was given twice; distinguish them with :label=NAME"):
        run(tmp_path, root, "mask", "mask")
    with pytest.raises(InputError, match="redo: small is not one of the methods mask"):
        run(tmp_path, root, "mask", redo=["small"])
    with pytest.raises(InputError, match="pairs: got none"):
        compare(["mask"], [], tmp_path, title="test")
    run(tmp_path / "out", root, "mask")
    (table,) = (tmp_path / "out").rglob("pairs.csv")
    table.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="is not a result of a comparison"):
        run(tmp_path / "out", root, "mask")


def test_a_table_holds_every_pair_at_full_precision(
    make_root: Callable[..., Path], tmp_path: Path, in_process: list[tuple[str, str, str]]
) -> None:
    results = run(tmp_path, make_root(), "feather").methods[0]
    with (results.alpha_folder.parent / "pairs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    for row, result in zip(rows, results.pairs.values(), strict=True):
        assert result.scores is not None
        assert (row["name"], row["kind"], float(row["sad"])) == (result.name, result.kind, result.scores.sad)


@pytest.fixture
def comparison(make_root: Callable[..., Path], tmp_path: Path, in_process: list[tuple[str, str, str]]) -> Comparison:
    root = make_root(names=("first", "second", "third"))
    return run(tmp_path / "out", root, "mask", "feather", "guided-filter:radius=3", cost_sizes=[0.001])


def without(comparison: Comparison, label: str, *keys: tuple[str, str]) -> Comparison:
    """The comparison in which a method failed on these pairs."""
    methods = []
    for results in comparison.methods:
        pairs = dict(results.pairs)
        if results.method.label == label:
            for key in keys:
                pairs[key] = replace(pairs[key], scores=None, failure="broken")
        methods.append(replace(results, pairs=pairs))
    return replace(comparison, methods=tuple(methods))


def test_the_summary_is_that_of_the_pairs(comparison: Comparison) -> None:
    summary = summarise(comparison, num_resamples=300)
    sads = {
        label: np.array([scores.sad for scores in all_scores(comparison)[label]]) for label in all_scores(comparison)
    }
    masks, blurred, _ = summary["methods"]
    assert (summary["num_pairs"], len(summary["common"]), summary["num_photographs"]) == (6, 6, 3)
    assert blurred["scores"]["sad"]["mean"] == pytest.approx(sads["feather"].mean())
    difference = blurred["differences"]["sad"]
    assert difference["mean"] == pytest.approx((sads["feather"] - sads["mask"]).mean())
    assert difference["low"] <= difference["mean"] <= difference["high"]
    assert not masks["differences"]
    assert blurred["kinds"]["exact"]["sad"] == pytest.approx(sads["feather"][::2].mean())
    assert summarise(comparison, num_resamples=300) == summary
    assert summarise(comparison, num_resamples=300, seed=1) != summary


def test_instances_of_one_photograph_are_one_photograph(comparison: Comparison) -> None:
    image_path = comparison.pairs[0].image_path
    shared = replace(comparison, pairs=tuple(replace(pair, image_path=image_path) for pair in comparison.pairs))
    summary = summarise(shared, num_resamples=100)
    assert summary["num_photographs"] == 1
    interval = summary["methods"][0]["scores"]["sad"]
    assert interval["low"] == interval["mean"] == interval["high"]


def test_means_are_over_the_pairs_that_all_finished(comparison: Comparison) -> None:
    summary = summarise(without(comparison, "feather", ("first", "exact")), num_resamples=100)
    assert len(summary["common"]) == 5
    kept = [result.scores for key, result in comparison.methods[0].pairs.items() if key != ("first", "exact")]
    mean = summary["methods"][0]["scores"]["sad"]["mean"]
    assert mean == pytest.approx(np.mean([scores.sad for scores in kept if scores]))
    assert summary["methods"][1]["failures"] == [("first", "exact", "broken")]
    assert "5 of 6 pairs" in describe(summary)[0]
    assert tabulate(summary)[-1].rows == [["feather", "first", "exact", "broken"]]


def test_a_method_that_finished_nothing_does_not_empty_the_others(comparison: Comparison) -> None:
    keys = tuple(comparison.methods[0].pairs)
    summary = summarise(without(comparison, "mask", *keys), num_resamples=100)
    assert len(summary["common"]) == 6
    assert not summary["methods"][0]["scores"]
    assert not summary["methods"][1]["differences"]
    assert summary["methods"][1]["scores"]
    nothing = summarise(replace(comparison, methods=without(comparison, "mask", *keys).methods[:1]), num_resamples=100)
    assert nothing["common"] == []
    assert "| mask |  |  |  |  |" in format_markdown(nothing)


def test_tables_stress_what_is_lowest(comparison: Comparison) -> None:
    summary = summarise(comparison, num_resamples=100)
    errors = tabulate(summary)[0]
    means = [method["scores"]["mse"]["mean"] for method in summary["methods"]]
    assert (int(np.argmin(means)), 2) in errors.best
    assert errors.rows[1][1].startswith(f"{summary['methods'][1]['scores']['sad']['mean']:.2f} [")
    assert [table.title for table in tabulate(summary)] == [
        "Errors",
        "Differences to mask",
        "SAD per kind of mask",
        "Cost",
        "Cost by size",
    ]


def test_markdown_and_json_say_the_same(comparison: Comparison) -> None:
    summary = summarise(comparison, num_resamples=100)
    markdown = format_markdown(summary)
    assert "# Comparison on test" in markdown
    assert "Ran on: " in markdown
    assert "- `guided-filter:radius=3`: guided-filter; eps 1e-06, radius 3" in markdown
    data = json.loads(json.dumps(summary))
    first = comparison.methods[1].pairs["first", "exact"].scores
    assert first is not None
    assert data["methods"][1]["pairs"][0]["scores"]["sad"] == first.sad
    assert data["methods"][1]["scores"]["sad"]["mean"] == summary["methods"][1]["scores"]["sad"]["mean"]
