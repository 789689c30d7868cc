import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mask2alpha.checkpoints import load_model
from mask2alpha.data.cutout import Cutout
from mask2alpha.data.sources import PhotoPool, Pool, Sources
from mask2alpha.errors import CheckpointError, TrainingError
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.training.config import Recipe, override
from mask2alpha.training.loop import STATE_FILE, train
from mask2alpha.training.monitor import LOG_FILE, MonitorOptions
from mask2alpha.training.recipes import debug
from mask2alpha.training.state import AveragedWeights


@pytest.fixture(scope="module")
def sources() -> Sources:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96]
    alpha = (np.hypot(x - 48, y - 48) < 30).astype(np.uint8) * 255
    cutout = Cutout(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8), alpha)
    photo = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    cutouts, photos = Pool([cutout]), PhotoPool([photo])
    return Sources(cutouts=cutouts, photos=photos, procedural_share=0.0)  # quickly made samples


def with_steps(num_steps: int) -> Recipe:
    # A constant length of the schedule, so that a run stopped early has the learning rates of the whole one.
    return replace(debug(), optim=replace(debug().optim, num_steps=num_steps))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_ten_steps_resume_ten_steps_equals_twenty_steps(optimizer: str, sources: Sources, tmp_path: Path) -> None:
    recipe = override(with_steps(20), f"optim.name={optimizer}")
    whole = train(recipe, sources, tmp_path / "whole")

    steps_done = iter(range(1, 100))
    train(recipe, sources, tmp_path / "parts", should_stop=lambda: next(steps_done) == 10)
    parts = train(recipe, sources, tmp_path / "parts")

    expected, resumed = load_file(whole.with_name(STATE_FILE)), load_file(parts.with_name(STATE_FILE))
    assert expected.keys() == resumed.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=0, atol=0, msg=name)


def test_training_lowers_the_loss(sources: Sources, tmp_path: Path) -> None:
    train(with_steps(60), sources, tmp_path, monitoring=MonitorOptions(log_every=20))
    lines = [json.loads(line) for line in (tmp_path / LOG_FILE).read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 40, 60]
    assert lines[-1]["total"] < 0.8 * lines[0]["total"]


def test_the_result_is_a_model_file_that_says_where_it_comes_from(sources: Sources, tmp_path: Path) -> None:
    weights = train(with_steps(2), sources, tmp_path)
    model = load_model(weights)
    assert model.config == debug().model
    average = load_file(tmp_path / STATE_FILE)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, average[f"average.{name}"], rtol=0, atol=0)


def test_a_new_run_can_start_from_a_model(sources: Sources, tmp_path: Path) -> None:
    start = Mask2Alpha(debug().model)
    recipe = override(override(with_steps(1), "optim.lr=0"), "optim.weight_decay=0")
    trained = load_model(train(recipe, sources, tmp_path, initial_weights=start))
    for name, parameter in start.named_parameters():
        torch.testing.assert_close(dict(trained.named_parameters())[name], parameter, rtol=0, atol=0)


def test_a_loss_that_is_not_finite_stops_and_names_the_batch(sources: Sources, tmp_path: Path) -> None:
    start = Mask2Alpha(debug().model)
    torch.nn.init.constant_(start.decoder.heads.weight, float("nan"))
    with pytest.raises(TrainingError, match=r"batch 0 \(seed 0\) is not finite"):
        train(with_steps(3), sources, tmp_path, initial_weights=start)


def test_a_state_of_another_model_is_refused(sources: Sources, tmp_path: Path) -> None:
    train(with_steps(1), sources, tmp_path)
    with pytest.raises(CheckpointError, match="does not fit this recipe"):
        train(override(with_steps(2), "model.decoder.step_channels=12"), sources, tmp_path)


def test_a_state_of_another_optimiser_is_refused(sources: Sources, tmp_path: Path) -> None:
    train(with_steps(1), sources, tmp_path)
    with pytest.raises(CheckpointError, match="of the optimiser AdamW; this recipe has Muon"):
        train(override(with_steps(2), "optim.name=muon"), sources, tmp_path)


def test_a_time_budget_ends_the_run(sources: Sources, tmp_path: Path) -> None:
    train(with_steps(10**9), sources, tmp_path, budget_minutes=0.02)
    assert (tmp_path / STATE_FILE).exists()


def test_average_follows_the_weights() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    average = AveragedWeights(layer, decay=0.9)
    torch.nn.init.ones_(layer.weight)
    average.update(layer, step=10_000)
    assert average.values["weight"].item() == pytest.approx(0.1)
