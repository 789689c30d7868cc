"""The exported graphs give what PyTorch gives."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from exporting import export, picture, restless_model
from mask2alpha.checkpoints import load_model, shipped_names
from mask2alpha.errors import CheckpointError, InputError
from mask2alpha.export.graphs import list_graphs
from mask2alpha.export.runtime import load_predictor
from mask2alpha.imaging.decode import read_image, read_mask
from mask2alpha.model.config import PRESETS, ModelConfig
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.matte import Matte
from mask2alpha.pipeline.predictor import Predictor

pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parents[3]


def assert_same_matte(made: Matte, expected: Matte, *, exceptions: float = 0.002) -> None:
    """Alpha within 1e-3 for all but a share of the pixels.

    Pixels are chosen by comparing predicted errors: those with equal errors, up to rounding, may be chosen by one
    and not by the other (docs/export.md).
    """
    difference = np.abs(made.alpha - expected.alpha)
    assert (difference > 1e-3).mean() <= exceptions
    assert difference.mean() < 1e-4
    assert np.abs(made.predicted_error - expected.predicted_error).mean() < 1e-4
    assert np.ptp(expected.alpha) > 0.05


def test_alpha_equals_pytorch_at_any_size(exported: Path, rng: np.random.Generator) -> None:
    predictor = load_predictor(exported / "onnx")
    own = Predictor(load_model(exported), device="cpu", dtype=torch.float32)
    for size in ((64, 64), (150, 251)):
        image, mask = picture(rng, *size)
        expected = own.predict(image, mask)
        assert_same_matte(predictor.predict(image, mask), expected)
        assert 0.05 < (expected.predicted_error > 0.02).mean() < 0.95


def test_several_masks_at_once_equal_one_by_one(exported: Path, rng: np.random.Generator) -> None:
    predictor = load_predictor(exported / "onnx")
    image, mask = picture(rng, 70, 130)
    masks = [mask, np.roll(mask, 9, axis=1), mask[::-1]]
    encoded = predictor.encode(image)
    together = predictor.predict_instances(encoded, masks)
    for matte, one in zip(together, masks, strict=True):
        np.testing.assert_allclose(matte.alpha, predictor.predict(encoded, one).alpha, atol=1e-5)


def test_steps_threshold_and_budget_are_chosen_at_run_time(exported: Path, rng: np.random.Generator) -> None:
    image, mask = picture(rng, 64, 128)
    for settings in ({"num_steps": 5}, {"error_threshold": 1.0}, {"active_budget": 500}):
        made = load_predictor(exported / "onnx", **settings).predict(image, mask)
        own = Predictor(load_model(exported), device="cpu", dtype=torch.float32, **settings)
        # the graph lets cells in gradually above the cut that a budget makes, PyTorch at once
        exceptions = 0.01 if "active_budget" in settings else 0.002
        assert_same_matte(made, own.predict(image, mask), exceptions=exceptions)


def test_a_small_target_is_decoded_in_its_box(exported: Path, rng: np.random.Generator) -> None:
    image, _ = picture(rng, 600, 700)
    mask = np.zeros((600, 700), dtype=bool)
    mask[430:480, 510:570] = True
    expected = Predictor(load_model(exported), device="cpu", dtype=torch.float32).predict(image, mask)
    made = load_predictor(exported / "onnx").predict(image, mask, has_trace=True)
    assert made.box == expected.box
    assert made.box is not None
    assert_same_matte(made, expected)
    assert made.trace is not None
    assert len(made.trace.output.coarse.trace) == PRESETS["tiny"].decoder.num_steps


def test_openvino_equals_pytorch(exported: Path, rng: np.random.Generator) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not part of the extra dev")
    image, mask = picture(rng, 100, 130)
    expected = Predictor(load_model(exported), device="cpu", dtype=torch.float32).predict(image, mask)
    made = load_predictor(exported / "onnx", backend="openvino").predict(image, mask)
    assert_same_matte(made, expected)


@pytest.mark.slow
@pytest.mark.parametrize("selection", ["shm", "none"])
def test_other_configurations_equal_pytorch(selection: str, tmp_path: Path, rng: np.random.Generator) -> None:
    tiny = PRESETS["tiny"]
    config = replace(
        tiny,
        decoder=replace(tiny.decoder, update="sticky", has_colour_cues=False, num_steps=3),
        detail=replace(tiny.detail, selection=selection, channels=(8, 12), has_colour_cues=False),
    )
    export(restless_model(config), tmp_path)
    image, mask = picture(rng, 128, 128)
    expected = Predictor(load_model(tmp_path / "model.safetensors"), device="cpu", dtype=torch.float32)
    made = load_predictor(tmp_path / "onnx").predict(image, mask)
    assert_same_matte(made, expected.predict(image, mask))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "small"])
def test_shipped_model_equals_pytorch_on_a_photograph(name: str, tmp_path: Path) -> None:
    if name not in shipped_names():
        pytest.skip(f"{name} ships without weights")
    command = [sys.executable, "-m", "mask2alpha", "export", name, str(tmp_path)]
    subprocess.run(command, capture_output=True, check=True)
    image = read_image(ROOT / "examples/photos/astronaut.png").pixels
    mask = read_mask(ROOT / "examples/masks/astronaut.png")
    for num_steps in (1, 2):
        settings = {"num_steps": num_steps}
        own = Predictor(load_model(name), device="cpu", dtype=torch.float32, **settings)
        made, expected = load_predictor(tmp_path, **settings).predict(image, mask), own.predict(image, mask)
        assert_same_matte(made, expected)
        if num_steps == 1:  # no pixel is chosen on the way
            np.testing.assert_allclose(made.predicted_error, expected.predicted_error, rtol=0, atol=1e-4)


def test_files_say_what_they_are(exported: Path) -> None:
    for path in (exported / "onnx").glob("*.onnx"):
        model = onnx.load(path)
        about = {prop.key: prop.value for prop in model.metadata_props}
        assert about["graph"] == path.stem
        assert len(about["weights_sha256"]) == 64
        assert ModelConfig.from_dict(json.loads(about["model_config"])) == load_model(exported).config
        assert [opset.version for opset in model.opset_import if not opset.domain] == [int(about["opset"])]


def test_files_name_open_axes_and_state_the_sizes_of_the_others(exported: Path) -> None:
    graphs = list_graphs(load_model(exported).config)
    for path in (exported / "onnx").glob("*.onnx"):
        graph = graphs[path.stem]
        for value in onnx.load(path).graph.output:
            axes = graph.outputs[value.name]
            for axis, side in enumerate(value.type.tensor_type.shape.dim):
                assert side.dim_param == axes.get(axis, "")
                assert (side.dim_value > 0) == (axis not in axes)


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"missing encoder\.onnx"):
        load_predictor(tmp_path)


def test_files_of_two_exports_are_refused(exported: Path, tmp_path: Path) -> None:
    for path in (exported / "onnx").glob("*.onnx"):
        model = onnx.load(path)
        if path.stem == "step":
            next(prop for prop in model.metadata_props if prop.key == "weights_sha256").value = "0" * 64
        onnx.save(model, tmp_path / path.name)
    with pytest.raises(CheckpointError, match="not of the same export"):
        load_predictor(tmp_path)


def test_a_model_that_cannot_be_traced_is_refused(tmp_path: Path) -> None:
    from mask2alpha.export.onnx_files import export_model

    encoder = replace(PRESETS["dinov2_small"].encoder, embed_dim=24, depth=1, num_heads=2, adapter_heads=2)
    Mask2Alpha(replace(PRESETS["tiny"], encoder=encoder)).save_pretrained(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="vit_adapter"):
        export_model(tmp_path, tmp_path / "onnx")


def test_a_backbone_that_cannot_be_traced_is_refused(tmp_path: Path) -> None:
    from mask2alpha.export.onnx_files import export_model

    tiny = PRESETS["tiny_backbone"]
    for name, encoder in (
        ("relative", replace(tiny.encoder, positions="relative")),
        ("2 register", replace(tiny.encoder, num_register_tokens=2)),
    ):
        path = tmp_path / f"{name[0]}.safetensors"
        Mask2Alpha(replace(tiny, encoder=encoder)).save_pretrained(path)
        with pytest.raises(InputError, match=name):
            export_model(path, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_what_the_backends_cannot_do_is_refused(exported: Path) -> None:
    with pytest.raises(InputError, match="openvino"):
        load_predictor(exported / "onnx", dtype=torch.bfloat16)
    with pytest.raises(InputError, match="backend must be one of onnxruntime, openvino"):
        load_predictor(exported / "onnx", backend="tensorrt")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mask2alpha.export.metadata import require

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"mask2alpha\[export\]"):
        require("onnx")
