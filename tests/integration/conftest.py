from collections.abc import Callable, Iterator
from functools import partial

import pytest
from fastapi.testclient import TestClient

from fakes import FakePredictor


@pytest.fixture(scope="session")
def fake_front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service whose alpha is the mask."""
    from service_parts import fake_service

    with fake_service(tmp_path_factory.mktemp("spool")) as client:
        yield client


@pytest.fixture(params=["by_command", "by_python", "by_batch", "by_service", "by_video", "by_plugin"])
def any_door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Each of `doors`."""
    import doors
    from service_parts import InProcess

    if request.param == "by_plugin":
        front = request.getfixturevalue("fake_front")
        monkeypatch.setattr(doors.service_client.urllib.request, "urlopen", InProcess(front))
    return doors.DOORS[request.param]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakePredictor:
    """The predictor of every command that mattes photos or frames."""
    pytest.importorskip("cv2")
    pytest.importorskip("pyarrow")
    from mask2alpha.batch import engines as engines_module
    from mask2alpha.cli import matte as matte_module
    from mask2alpha.cli import video as video_module

    predictor = FakePredictor()
    for module in (matte_module, video_module):
        monkeypatch.setattr(module, "build_predictor", lambda source, **settings: predictor)
    run_here = partial(engines_module.run_here, make_predictor=lambda settings: predictor)
    monkeypatch.setattr(engines_module, "run_here", run_here)
    return predictor
