"""Shape and type checks on for the whole package, one thread, fixed seeds."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

install_import_hook("mask2alpha", "beartype.beartype")  # before any test imports the package
torch.set_num_threads(1)
# how long examples take depends on what else the machine does
settings.register_profile("mask2alpha", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mask2alpha")


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  (for libraries that draw from the global generator)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
