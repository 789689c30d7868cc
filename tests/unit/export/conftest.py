from pathlib import Path

import pytest

from exporting import export, restless_model
from mask2alpha.model.config import PRESETS


@pytest.fixture(scope="session", params=["tiny", "tiny_backbone"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of random weights, and what it is as ONNX files in its subfolder `onnx`."""
    return export(restless_model(PRESETS[request.param]), tmp_path_factory.mktemp(request.param))
