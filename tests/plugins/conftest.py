import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_in_service import StandInService, running_service

sys.path.insert(0, str(Path(__file__).parents[2] / "plugins"))


@pytest.fixture
def service() -> Iterator[StandInService]:
    with running_service() as stand_in:
        yield stand_in


@pytest.fixture
def plugins() -> Path:
    """The folder of the plug-ins."""
    return Path(__file__).parents[2] / "plugins"
