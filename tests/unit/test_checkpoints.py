import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mask2alpha import __version__, backbones, checkpoints
from mask2alpha.backbones import load_backbone
from mask2alpha.checkpoints import build_model, find_checkpoint, load_model, read_metadata, save_model
from mask2alpha.errors import CheckpointError
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha


@pytest.fixture(scope="module")
def tiny() -> Mask2Alpha:
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS["tiny"])
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


@pytest.fixture
def saved(tiny: Mask2Alpha, tmp_path: Path) -> Path:
    return save_model(tiny, tmp_path / "tiny.safetensors", {"recipe": "debug", "step": 7})


def rewritten(path: Path, **changes: str) -> Path:
    """The same tensors under other metadata."""
    with checkpoints.safe_open(path, framework="pt") as file:
        header = {**file.metadata(), **changes}
    save_file(load_file(path), path, metadata=header)
    return path


def test_weights_come_back_bit_for_bit(tiny: Mask2Alpha, saved: Path) -> None:
    loaded = load_model(saved)
    assert loaded.config == tiny.config
    assert not loaded.training
    expected = tiny.state_dict()
    assert expected.keys() == loaded.state_dict().keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())


def test_from_pretrained_and_save_pretrained_are_the_same_thing(tiny: Mask2Alpha, tmp_path: Path) -> None:
    tiny.save_pretrained(tmp_path / "model", {"recipe": "debug"})
    loaded = Mask2Alpha.from_pretrained(tmp_path / "model")
    assert all(torch.equal(tensor, tiny.state_dict()[name]) for name, tensor in loaded.state_dict().items())
    assert read_metadata(tmp_path / "model")["recipe"] == "debug"


def test_metadata_says_what_the_weights_are(saved: Path) -> None:
    metadata = read_metadata(saved)
    assert metadata["format_version"] == 1
    assert metadata["preset"] == "tiny"
    assert metadata["recipe"] == "debug"
    assert metadata["step"] == 7
    assert metadata["mask2alpha_version"] == __version__


def test_half_precision_is_stored_when_asked_for(tiny: Mask2Alpha, tmp_path: Path) -> None:
    path = save_model(tiny, tmp_path / "half.safetensors", dtype=torch.bfloat16)
    floats = [tensor for tensor in load_file(path).values() if tensor.is_floating_point()]
    assert {tensor.dtype for tensor in floats} == {torch.bfloat16}
    assert {p.dtype for p in load_model(path).parameters()} == {torch.float32}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin", ".ckpt", ".pkl"])
def test_pickles_are_refused_with_advice(tiny: Mask2Alpha, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save(tiny.state_dict(), path)
    with pytest.raises(CheckpointError, match="can run any code"):
        load_model(path)
    with pytest.raises(CheckpointError, match=r"written as \.safetensors"):
        save_model(tiny, path)


def test_a_pickle_under_our_suffix_is_refused(tiny: Mask2Alpha, tmp_path: Path) -> None:
    torch.save(tiny.state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_model(tmp_path / "weights.safetensors")


def test_a_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors"):
        load_model(saved)


def test_tensors_that_do_not_fit_are_named(saved: Path) -> None:
    with checkpoints.safe_open(saved, framework="pt") as file:
        header = file.metadata()
    tensors = load_file(saved)
    names = sorted(name for name, tensor in tensors.items() if tensor.ndim)
    tensors["stranger"] = tensors.pop(names[0])
    tensors[names[1]] = torch.zeros(3, 2, 1)
    save_file(tensors, saved, metadata=header)
    with pytest.raises(CheckpointError) as caught:
        load_model(saved)
    message = str(caught.value)
    assert f"1 missing: {names[0]}" in message
    assert "1 unknown: stranger" in message
    assert f"{names[1]} (3, 2, 1) instead of" in message


def test_another_kind_or_a_newer_version_is_refused(saved: Path) -> None:
    with pytest.raises(CheckpointError, match="newer than this mask2alpha"):
        load_model(rewritten(saved, format_version="2"))
    with pytest.raises(CheckpointError, match="damaged checkpoint metadata"):
        load_model(rewritten(saved, format_version="1", metadata="{"))
    with pytest.raises(CheckpointError, match="not a mask2alpha checkpoint"):
        load_model(rewritten(saved, format="pt"))


def test_a_configuration_of_another_version_is_refused(saved: Path) -> None:
    config = PRESETS["tiny"].to_dict()
    config["encoder"]["wings"] = 2
    with pytest.raises(CheckpointError, match="encoder"):
        load_model(rewritten(saved, model_config=json.dumps(config)))


def test_a_source_that_is_nothing_is_refused(tmp_path: Path) -> None:
    for source in ("no-such-name", tmp_path / "gone.safetensors", str(tmp_path / "gone.safetensors"), tmp_path):
        with pytest.raises(CheckpointError, match=str(source)):
            load_model(source)


def test_a_folder_with_a_single_checkpoint_is_enough(saved: Path) -> None:
    assert find_checkpoint(saved.parent) == saved
    (saved.parent / "other.safetensors").write_bytes(saved.read_bytes())
    with pytest.raises(CheckpointError, match=r"other\.safetensors, tiny\.safetensors"):
        find_checkpoint(saved.parent)


def test_a_hub_id_is_fetched(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def fetch(repo: str, name: str, revision: str | None) -> str:
        asked.append((repo, name, revision))
        if repo == "org/gone":
            raise OSError("404: not found")
        return str(saved)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    load_model("org/name")
    load_model("org/name@v1.0")
    assert asked == [("org/name", "model.safetensors", None), ("org/name", "model.safetensors", "v1.0")]
    with pytest.raises(CheckpointError, match=r"org/gone.*404"):
        load_model("org/gone")


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tiny: Mask2Alpha, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def fail(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(checkpoints, "save_file", fail)
    with pytest.raises(CheckpointError, match="no space left"):
        save_model(tiny, saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.fixture(scope="module")
def base() -> Mask2Alpha:
    torch.manual_seed(0)
    return build_model(PRESETS["base"])


def test_a_named_backbone_stays_out_of_the_checkpoint_and_comes_back(base: Mask2Alpha, tmp_path: Path) -> None:
    path = save_model(base, tmp_path / "head.safetensors")
    assert path.stat().st_size < 16e6
    assert not any(name.startswith("encoder.vit.") for name in load_file(path))
    loaded = load_model(path).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in base.state_dict().items())


def test_a_trained_backbone_is_not_lost_silently(base: Mask2Alpha, tmp_path: Path) -> None:
    changed = copy.deepcopy(base)
    with torch.no_grad():
        next(changed.encoder.vit.parameters()).add_(1)
    with pytest.raises(CheckpointError, match=r"not that of the backbone 'dinov2_small'.*encoder\.backbone=None"):
        save_model(changed, tmp_path / "head.safetensors")


def test_a_backbone_without_a_name_is_saved_with_the_rest(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS["tiny_backbone"])
    loaded = load_model(save_model(model, tmp_path / "tiny.safetensors")).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"backbone 'dinov9' is unknown; expected one of dinov2_small"):
        load_backbone("dinov9")


@pytest.mark.parametrize("content", [b"", b"something else"])
def test_a_damaged_backbone_is_refused(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "dinov2_small.safetensors"
    damaged.write_bytes(content)
    monkeypatch.setattr(backbones, "backbone_path", lambda name: damaged)
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_backbone("dinov2_small")


def test_a_missing_backbone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "backbone_path", lambda name: tmp_path / "missing.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read; reinstall"):
        load_backbone("dinov2_small")
