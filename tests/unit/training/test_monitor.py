import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mask2alpha.checkpoints import load_model, read_metadata
from mask2alpha.data.cutout import Cutout
from mask2alpha.data.sources import PhotoPool, Pool, Sources
from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import GuidedFolder
from mask2alpha.evaluation.metrics import MatteScores
from mask2alpha.evaluation.results import Evaluation, PairScores
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.training.monitor import (
    BEST_FILE,
    LOG_FILE,
    NUM_PREVIEWS,
    PREVIEW_FOLDER,
    TENSORBOARD_FOLDER,
    MonitorOptions,
    TrainingMonitor,
    summarize,
)
from mask2alpha.training.recipes import debug
from mask2alpha.training.state import AveragedWeights, Progress


@pytest.fixture(scope="module")
def sources() -> Sources:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96]
    alpha = (np.hypot(x - 48, y - 48) < 30).astype(np.uint8) * 255
    cutout = Cutout(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8), alpha)
    photo = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    return Sources(Pool([cutout]), PhotoPool([photo]), procedural_share=0.0)


@pytest.fixture
def average() -> AveragedWeights:
    return AveragedWeights(Mask2Alpha(debug().model), 0.9)


@pytest.fixture
def validation(tmp_path: Path) -> GuidedFolder:
    y, x = np.mgrid[:64, :64]
    alpha = ((np.hypot(x - 32, y - 32) < 20) * 255).astype(np.uint8)
    image = np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name, picture in (("image", image), ("alpha", alpha), ("mask/exact", alpha), ("mask/holes", 255 - alpha)):
        (tmp_path / "validation" / name).mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "validation" / name / "a.png")
    return GuidedFolder(tmp_path / "validation")


def make_monitor(
    options: MonitorOptions, folder: Path, sources: Sources, progress: Progress | None = None
) -> TrainingMonitor:
    return TrainingMonitor(options, folder, debug(), sources, progress or Progress(), "cpu")


def read_log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]


def test_a_log_line_is_the_mean_of_its_steps(sources: Sources, tmp_path: Path) -> None:
    shown: list[Any] = []
    monitor = make_monitor(MonitorOptions(log_every=2, preview_minutes=0.0, on_line=shown.append), tmp_path, sources)
    for step, total in enumerate([1.0, 3.0, 5.0, 7.0, 9.0], start=1):
        monitor.record({"total": total}, Progress(step=step, seconds=10.0 * step), lr=0.1, num_images=8 * step)
    monitor.close()
    assert read_log(tmp_path) == [
        {"step": 2, "seconds": 20.0, "images": 16, "lr": 0.1, "total": 2.0},
        {"step": 4, "seconds": 40.0, "images": 32, "lr": 0.1, "total": 6.0},
        {"step": 5, "seconds": 50.0, "images": 40, "lr": 0.1, "total": 9.0},
    ]
    assert shown == read_log(tmp_path)


def test_previews_show_image_mask_alpha_and_truth_in_time(
    sources: Sources, average: AveragedWeights, tmp_path: Path
) -> None:
    monitor = make_monitor(MonitorOptions(preview_minutes=1.0), tmp_path, sources)
    for step, seconds in enumerate([50.0, 61.0, 100.0, 125.0], start=1):
        monitor.preview_and_validate(average, Progress(step=step, seconds=seconds), {}, is_last=False)
    assert sorted(path.name for path in (tmp_path / PREVIEW_FOLDER).iterdir()) == ["00000002.png", "00000004.png"]
    sheets = [np.asarray(Image.open(path)) for path in sorted((tmp_path / PREVIEW_FOLDER).iterdir())]
    assert sheets[0].shape == (NUM_PREVIEWS * 64, 4 * 64, 3)
    np.testing.assert_array_equal(*sheets)  # the same samples, and here the same weights
    mask, alpha, truth = (sheets[0][:, 64 * column : 64 * (column + 1), 0].astype(float) for column in (1, 2, 3))
    assert np.abs(mask - truth).mean() < np.abs(mask - (255 - truth)).mean()
    assert alpha.std() > 0


def test_previews_of_another_run_show_the_same_samples(
    sources: Sources, average: AveragedWeights, tmp_path: Path
) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        make_monitor(MonitorOptions(), folder, sources).preview_and_validate(
            average, Progress(step=1), {}, is_last=True
        )
    first, second = ((tmp_path / name / PREVIEW_FOLDER / "00000001.png").read_bytes() for name in "ab")
    assert first == second


def test_validation_is_logged_and_the_best_weights_are_kept(
    sources: Sources, average: AveragedWeights, validation: GuidedFolder, tmp_path: Path
) -> None:
    options = MonitorOptions(preview_minutes=0.0, validation=(validation,), validation_minutes=1.0)
    monitor = make_monitor(options, tmp_path, sources)
    monitor.preview_and_validate(average, Progress(step=1, seconds=59.0), {"commit": "abc"}, is_last=False)
    assert not (tmp_path / BEST_FILE).exists()
    monitor.preview_and_validate(average, Progress(step=2, seconds=60.0), {"commit": "abc"}, is_last=False)
    (line,) = read_log(tmp_path)
    assert line["is_best"]
    assert set(line["validation"]["folders"]["validation"]["sad_by_kind"]) == {"exact", "holes"}
    metadata = read_metadata(tmp_path / BEST_FILE)
    assert metadata["metrics"] == line["validation"]
    assert metadata["commit"] == "abc"

    good = {name: tensor.clone() for name, tensor in average.values.items()}
    torch.nn.init.constant_(average.values["decoder.heads.bias"], 30.0)  # alpha 1 everywhere: worse
    resumed = make_monitor(options, tmp_path, sources, Progress(step=2, seconds=60.0))
    resumed.preview_and_validate(average, Progress(step=9, seconds=70.0), {}, is_last=True)
    lines = read_log(tmp_path)
    assert [line["is_best"] for line in lines] == [True, False]
    assert lines[1]["validation"]["sad"] > lines[0]["validation"]["sad"]
    for name, tensor in load_model(tmp_path / BEST_FILE).state_dict().items():
        torch.testing.assert_close(tensor, good[name], rtol=0, atol=0)


def test_the_best_weights_are_chosen_by_the_mean_over_folders_of_sad_per_megapixel() -> None:
    def evaluation(folder: str, *values: tuple[str, float, float, float]) -> Evaluation:
        def scores(sad: float, mad: float) -> MatteScores:
            return MatteScores(sad=sad, mse=0.0, grad=0.0, conn=0.0, mad=mad)

        pairs = tuple(
            PairScores(name=str(index), kind=kind, scores=scores(sad, mad), mask_scores=scores(mask_sad, 0.0))
            for index, (kind, sad, mad, mask_sad) in enumerate(values)
        )
        kinds = tuple(dict.fromkeys(pair.kind for pair in pairs))
        return Evaluation(predictor="", benchmark=folder, kinds=kinds, pairs=pairs)

    small = evaluation("a/photos", ("exact", 9.0, 0.001, 3.0), ("holes", 1.0, 0.003, 3.0))
    large = evaluation("a/people", ("holes", 40.0, 0.01, 20.0), ("holes", 2.0, 0.02, 3.0), ("lowres", 3.0, 0.0, 3.0))
    summary = summarize([small, large])
    assert summary["sad_per_megapixel"] == pytest.approx((2 + 10) / 2)
    assert summary["mad"] == pytest.approx(0.006)
    assert summary["sad"] == pytest.approx((5 + 15) / 2)
    assert summary["folders"]["photos"] == {
        "sad": 5.0,
        "sad_per_megapixel": 2.0,
        "sad_by_kind": {"exact": 9.0, "holes": 1.0},
        "sad_per_megapixel_by_kind": {"exact": 1.0, "holes": 3.0},
        "worse_than_mask": 0.0,
    }
    assert summary["folders"]["people"]["sad_per_megapixel_by_kind"] == {"holes": 15.0, "lowres": 0.0}
    assert summary["folders"]["people"]["worse_than_mask"] == pytest.approx(1 / 3, abs=1e-4)
    same_names = summarize([small, replace(large, benchmark="b/photos")])
    assert list(same_names["folders"]) == ["a/photos", "b/photos"]


def test_several_folders_are_validated(
    sources: Sources, average: AveragedWeights, validation: GuidedFolder, tmp_path: Path
) -> None:
    shutil.copytree(validation.root, tmp_path / "people")
    shutil.rmtree(tmp_path / "people" / "mask" / "holes")
    folders = (validation, GuidedFolder(tmp_path / "people"))
    monitor = make_monitor(MonitorOptions(preview_minutes=0.0, validation=folders), tmp_path, sources)
    monitor.preview_and_validate(average, Progress(step=1), {}, is_last=True)
    (line,) = read_log(tmp_path)
    both = line["validation"]["folders"]
    assert set(both["validation"]["sad_by_kind"]) == {"exact", "holes"}
    assert set(both["people"]["sad_by_kind"]) == {"exact"}
    assert both["people"]["worse_than_mask"] is None
    mean = (both["validation"]["sad_per_megapixel"] + both["people"]["sad_per_megapixel"]) / 2
    assert line["validation"]["sad_per_megapixel"] == pytest.approx(mean, abs=1e-3)


def test_looking_does_not_disturb_random_numbers(
    sources: Sources, average: AveragedWeights, validation: GuidedFolder, tmp_path: Path
) -> None:
    monitor = make_monitor(MonitorOptions(validation=(validation,)), tmp_path, sources)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert monitor.preview_and_validate(average, Progress(step=1), {}, is_last=True) > 0
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_missing_tensorboard_is_explained(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'mask2alpha\[tensorboard\]'"):
        make_monitor(MonitorOptions(has_tensorboard=True, preview_minutes=0.0), tmp_path, sources)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_the_log_and_the_previews(sources: Sources, average: AveragedWeights, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monitor = make_monitor(MonitorOptions(has_tensorboard=True, log_every=1), tmp_path, sources)
    monitor.record({"total": 0.5}, Progress(step=7), lr=0.1, num_images=14)
    monitor.preview_and_validate(average, Progress(step=7), {}, is_last=True)
    monitor.close()
    events = EventAccumulator(str(tmp_path / TENSORBOARD_FOLDER))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("total")] == [(7, 0.5)]
    assert [event.step for event in events.Images("preview")] == [7]


def test_wrong_intervals_are_refused() -> None:
    with pytest.raises(InputError, match="log_every"):
        MonitorOptions(log_every=0)
    with pytest.raises(InputError, match="validation_minutes"):
        replace(MonitorOptions(), validation_minutes=0.0)
