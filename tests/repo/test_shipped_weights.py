from importlib import resources
from pathlib import Path

from mask2alpha.checkpoints import load_model, read_metadata, shipped_names
from mask2alpha.model.config import PRESETS

WEIGHTS = Path(str(resources.files("mask2alpha") / "weights"))
MAX_BYTES = 24_000_000
MAX_PARAMETERS = 8_000_000


def test_small_is_shipped_and_small() -> None:
    assert shipped_names() == ["small"]
    assert (WEIGHTS / "small.safetensors").stat().st_size <= MAX_BYTES


def test_small_has_the_configuration_of_its_preset() -> None:
    model = load_model("small")
    assert model.config == PRESETS["small"]
    assert sum(parameter.numel() for parameter in model.parameters()) <= MAX_PARAMETERS


def test_small_has_finite_weights() -> None:
    for name, tensor in load_model("small").state_dict().items():
        assert tensor.isfinite().all(), name


def test_small_says_where_it_comes_from() -> None:
    metadata = read_metadata("small")
    for key in ("mask2alpha_version", "preset", "recipe", "step", "training_data"):
        assert metadata.get(key), key
    assert metadata["preset"] == "small"
