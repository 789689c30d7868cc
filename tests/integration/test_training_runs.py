"""Training as a user starts it: from the command line, from folders, in one process and in two."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file
from transformers import BeitConfig, BeitModel
from transformers.utils import logging

from mask2alpha.checkpoints import load_model, read_metadata
from mask2alpha.cli.main import main
from mask2alpha.data.shards import write_shards
from mask2alpha.data.sources import Sources
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage1_encoder.adapter import VitAdapterEncoder
from mask2alpha.pretrained import load_encoder_weights

logging.disable_progress_bar()
FAST = ("--set", "optim.num_steps=2", "--preview-minutes", "0")


def disc(size: int = 72) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return np.clip(255 * (size / 3 - np.hypot(x - size / 2, y - size / 2)) / 6, 0, 255).astype(np.uint8)


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    root = tmp_path / "data"
    rgba = np.dstack([rng.integers(0, 255, (72, 72, 3), dtype=np.uint8), disc()])
    write(root / "foregrounds" / "mine" / "a.png", rgba)
    write(root / "backgrounds" / "walls" / "b.jpg", rng.integers(0, 255, (90, 120, 3), dtype=np.uint8))
    (root / "SOURCES.json").write_text('[{"name": "mine", "licence": "CC0-1.0"}]')
    return root


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", "debug", *map(str, arguments)])


def test_a_folder_becomes_a_checkpoint_that_knows_its_origin(data: Path, tmp_path: Path) -> None:
    result = train("--data", data, "--run", tmp_path / "run", *FAST)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == f"Averaged weights: {tmp_path / 'run' / 'model.safetensors'}"
    assert re.match(r"step 2, \d+\.\d min: loss ", result.stderr)
    metadata = read_metadata(tmp_path / "run" / "model.safetensors")
    assert metadata["training_data"]["card"] == [{"name": "mine", "licence": "CC0-1.0"}]
    assert [entry["name"] for entry in metadata["training_data"]["sets"]] == ["mine", "walls"]
    assert metadata["step"] == "2"
    assert metadata["samples"] == "8"
    assert metadata["initial_weights"] is None
    assert metadata["hardware"]["processes"] == 1


def test_shards_train_as_their_folder_does(data: Path, tmp_path: Path) -> None:
    write_shards(Sources.from_shared_layout(data), tmp_path / "data")
    for name, source in (("folder", data), ("sharded", tmp_path / "data")):
        assert train("--data", source, "--run", tmp_path / name, *FAST).exit_code == 0
    first, second = (load_file(tmp_path / name / "state.safetensors") for name in ("folder", "sharded"))
    for key, tensor in first.items():
        torch.testing.assert_close(second[key], tensor, rtol=0, atol=0)


def test_data_sets_are_named_on_the_command_line(data: Path, tmp_path: Path) -> None:
    write(tmp_path / "pairs" / "image" / "x.jpg", np.full((72, 72, 3), 90, np.uint8))
    write(tmp_path / "pairs" / "alpha" / "x.png", disc())
    card = tmp_path / "card.json"
    card.write_text('"asked"')
    result = train(
        "--foregrounds", f"pairs={tmp_path / 'pairs'}@2", "--foregrounds", f"cutouts={data / 'foregrounds'}",
        "--backgrounds", f"photos={data / 'backgrounds'}", "--data-card", card, "--run", tmp_path / "run", *FAST,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    training_data = read_metadata(tmp_path / "run" / "model.safetensors")["training_data"]
    assert [(entry["name"], entry["items"]) for entry in training_data["sets"]] == [
        ("pairs", 1), ("cutouts", 1), ("photos", 1),
    ]  # fmt: skip
    assert training_data["card"] == "asked"


def test_a_run_goes_on_and_remembers_what_it_started_from(data: Path, tmp_path: Path) -> None:
    assert train("--data", data, "--run", tmp_path / "first", *FAST).exit_code == 0
    start = tmp_path / "first" / "model.safetensors"
    assert train("--data", data, "--run", tmp_path / "second", "--init", start, *FAST).exit_code == 0
    more = ("--set", "optim.num_steps=3", "--preview-minutes", "0")
    assert train("--data", data, "--run", tmp_path / "second", *more).exit_code == 0
    metadata = read_metadata(tmp_path / "second" / "model.safetensors")
    assert metadata["step"] == "3"
    assert metadata["initial_weights"]["name"] == "model.safetensors"
    assert metadata["initial_weights"]["training_data"]["card"] == [{"name": "mine", "licence": "CC0-1.0"}]


def test_validation_keeps_the_best_weights(data: Path, tmp_path: Path) -> None:
    root = tmp_path / "validation"
    write(root / "image" / "a.png", np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    write(root / "alpha" / "a.png", disc(64))
    for kind in ("exact", "holes"):
        write(root / "mask" / kind / "a.png", np.where(disc(64) > 127, 255, 0).astype(np.uint8))
    result = train("--data", data, "--run", tmp_path / "run", "--validate", root, "--validate-kinds", "holes", *FAST)
    assert result.exit_code == 0, result.output
    scores = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])["validation"]
    assert list(scores["folders"]["validation"]["sad_by_kind"]) == ["holes"]
    assert read_metadata(tmp_path / "run" / "best.safetensors")["metrics"] == scores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "training needs data: give --data, or --backgrounds"),
        (("--foregrounds", "dim=nowhere", "--backgrounds", "coco=nowhere"), "nowhere: no such folder"),
        (("--backgrounds", "imagenet=."), "'imagenet' is not a kind of data set"),
    ],
)
def test_wrong_data_is_refused_with_advice(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    result = train("--run", tmp_path / "run", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "run").exists()


def test_published_weights_need_a_vit(data: Path, tmp_path: Path) -> None:
    result = train("--data", data, "--run", tmp_path / "run", "--encoder-weights", "nowhere.safetensors", *FAST)
    assert result.exit_code == 2
    assert "recipe 'debug' has no ViT that takes published weights" in result.output


VIT = (
    "--set", "model.encoder.kind=vit_adapter", "--set", "model.encoder.positions=relative",
    "--set", "model.encoder.position_grid=4", "--set", "model.encoder.has_class_token=True",
    "--set", "model.encoder.has_final_norm=False", "--set", "model.encoder.has_key_bias=False",
    "--set", "model.encoder.adapter_heads=2", "--set", "model.encoder.stem_channels=(8,)",
    "--set", "model.encoder.depth=4",
)  # fmt: skip


def test_published_weights_start_the_encoder_and_stay_when_its_rate_is_zero(data: Path, tmp_path: Path) -> None:
    published = BeitModel(
        BeitConfig(
            hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=128, image_size=64,
            patch_size=16, use_relative_position_bias=True,
        )
    )  # fmt: skip
    published.save_pretrained(tmp_path / "beit")
    result = train(
        "--data", data, "--run", tmp_path / "run", *VIT, *FAST, "--encoder-weights", tmp_path / "beit",
        "--set", "optim.pretrained_lr_scale=0.0",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    trained = load_model(tmp_path / "run" / "model.safetensors")
    assert isinstance(trained.encoder, VitAdapterEncoder)
    expected = VitAdapterEncoder(trained.config.encoder)
    load_encoder_weights(expected, tmp_path / "beit")
    for name, tensor in expected.vit.state_dict().items():
        torch.testing.assert_close(trained.encoder.vit.state_dict()[name], tensor, rtol=0, atol=1e-6)
    metadata = read_metadata(tmp_path / "run" / "model.safetensors")
    assert metadata["initial_weights"]["name"] == "model.safetensors"


SHARED = (
    "--set", "optim.num_steps=4", "--set", "optim.warmup_steps=1",
    # What a process draws for its own pictures cannot equal what one process draws for all: no states, one tau,
    # windows as large as the crop. And a mean over the unknown pixels of a part is not that over the whole's.
    "--set", "model.decoder.is_iterative=False", "--set", "error_thresholds=(0.02, 0.02)",
    "--set", "loss.unknown=0.0", "--set", "loss.unknown_os4=0.0", "--preview-minutes", "0",
)  # fmt: skip


@pytest.mark.slow
def test_two_processes_train_the_weights_of_one_with_the_doubled_batch(data: Path, tmp_path: Path) -> None:
    whole = train("--data", data, "--run", tmp_path / "whole", *SHARED, "--set", "data.batch_size=4")
    assert whole.exit_code == 0, whole.output
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
        "--rdzv-endpoint", "localhost:0", "-m", "mask2alpha", "train", "debug", "--data", str(data),
        "--run-folder", str(tmp_path / "shared"), *SHARED,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Averaged weights") == 1

    expected, shared = (load_file(tmp_path / name / "state.safetensors") for name in ("whole", "shared"))
    start = Mask2Alpha(load_model(tmp_path / "whole" / "model.safetensors").config)
    assert expected.keys() == shared.keys()
    names = [name for name, _ in start.named_parameters()]
    gap = torch.cat([(shared[f"model.{name}"] - expected[f"model.{name}"]).flatten() for name in names])
    torch.manual_seed(0)
    before = Mask2Alpha(start.config).state_dict()
    moved = torch.cat([(expected[f"model.{name}"] - before[name]).flatten() for name in names])
    assert moved.norm() > 0.1
    assert gap.norm() < 0.03 * moved.norm()
    metadata = read_metadata(tmp_path / "shared" / "model.safetensors")
    assert metadata["hardware"]["processes"] == 2
    assert metadata["samples"] == read_metadata(tmp_path / "whole" / "model.safetensors")["samples"] == "32"
