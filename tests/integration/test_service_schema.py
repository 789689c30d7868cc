"""The service against its own OpenAPI description: whatever schemathesis sends, no 5xx, and answers as described."""

import threading
import time
from collections.abc import Iterator

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from mask2alpha.serving.app import create_app
from mask2alpha.serving.settings import ServiceSettings
from service_parts import STUB


@pytest.fixture(scope="module")
def described() -> Iterator[schemathesis.BaseSchema]:
    server = uvicorn.Server(uvicorn.Config(create_app(ServiceSettings(), command=STUB), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
    server.should_exit = True
    thread.join()


@pytest.mark.slow
def test_attack_whatever_the_description_allows(described: schemathesis.BaseSchema) -> None:
    num_operations = 0
    for found in described.get_all_operations():
        operation = found.ok()

        @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=[not_a_server_error, status_code_conformance, content_type_conformance])

        ask()
        num_operations += 1
    assert num_operations == sum(len(methods) for methods in described.raw_schema["paths"].values()) > 0
