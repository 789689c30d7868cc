"""Files whose weights are float16."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from exporting import export, picture, restless_model
from mask2alpha.errors import InputError
from mask2alpha.export.half import LEAST_WEIGHTS
from mask2alpha.export.runtime import load_predictor
from mask2alpha.export.web import export_for_web
from mask2alpha.model.config import PRESETS

pytest.importorskip("onnxruntime")


def test_the_weights_are_float16_and_the_matte_is_not_changed(tmp_path: Path, rng: np.random.Generator) -> None:
    model = restless_model(PRESETS["tiny"]).half().float()  # float16 holds these weights, as those that are shipped
    export(model, tmp_path)
    export(model, tmp_path, "--half", name="half")
    for path in (tmp_path / "half").iterdir():
        whole = tmp_path / "onnx" / path.name
        graph = onnx.load(path).graph
        large = [weight for weight in graph.initializer if np.prod(weight.dims) >= LEAST_WEIGHTS]
        assert onnx.TensorProto.FLOAT not in {weight.data_type for weight in large}
        assert list(graph.output) == list(onnx.load(whole).graph.output)
        if path.stem == "encoder":
            assert path.stat().st_size < 0.65 * whole.stat().st_size
    image, mask = picture(rng, 150, 251)
    expected = load_predictor(tmp_path / "onnx").predict(image, mask).alpha
    difference = np.abs(load_predictor(tmp_path / "half").predict(image, mask).alpha - expected)
    assert (difference > 1e-3).mean() <= 0.002
    assert difference.mean() < 1e-4
    assert np.ptp(expected) > 0.05


def test_a_model_that_the_page_cannot_run_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    restless_model(PRESETS["tiny_backbone"]).save_pretrained(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="light encoder"):
        export_for_web(tmp_path / "model.safetensors", tmp_path / "out")
    assert not (tmp_path / "out").exists()
