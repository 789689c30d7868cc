from importlib import resources
from pathlib import Path

import pytest

from mask2alpha.backbones import BACKBONES, load_backbone
from mask2alpha.checkpoints import load_model, read_metadata, shipped_names
from mask2alpha.model.config import DEFAULT_MODEL, PRESETS

WEIGHTS = Path(str(resources.files("mask2alpha") / "weights"))
MAX_BYTES = 16_000_000
"""Of each head; a new one is committed with every training."""
MAX_BYTES_IN_ALL = 80_000_000
"""Of all weights in the wheel."""


def test_base_and_small_are_shipped() -> None:
    assert shipped_names() == ["base", "small"]
    assert DEFAULT_MODEL in shipped_names()


def test_the_weights_are_small_enough_for_a_wheel() -> None:
    assert all((WEIGHTS / f"{name}.safetensors").stat().st_size <= MAX_BYTES for name in shipped_names())
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*.safetensors")) <= MAX_BYTES_IN_ALL


@pytest.mark.parametrize("name", ["base", "small"])
def test_shipped_weights_are_those_of_their_preset_and_finite(name: str) -> None:
    model = load_model(name)
    assert model.config == PRESETS[name]
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


@pytest.mark.parametrize("name", ["base", "small"])
def test_shipped_weights_say_where_they_come_from(name: str) -> None:
    metadata = read_metadata(name)
    for key in ("mask2alpha_version", "preset", "recipe", "step", "training_data", "metrics", "licence"):
        assert metadata.get(key), key
    assert metadata["preset"] == name


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_is_shipped_whole(name: str) -> None:
    assert all(tensor.isfinite().all() for tensor in load_backbone(name).values())
