from pathlib import Path

import pytest

from exporting import export, restless_model
from mask2alpha.model.config import PRESETS

ERROR_LOGITS = {"tiny": -8.0, "tiny_backbone": -3.8}


@pytest.fixture(scope="session", params=ERROR_LOGITS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights, and what it is as ONNX files in its subfolder `onnx`."""
    model = restless_model(PRESETS[request.param], error_logit=ERROR_LOGITS[request.param])
    return export(model, tmp_path_factory.mktemp(request.param))
