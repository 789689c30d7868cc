import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service_parts import stub_service

MASK = {"mask": ("m.png", b"mask")}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with stub_service(tmp_path_factory.mktemp("spool"), max_body=100_000, encodings=3) as client:
        yield client


def keep(client: TestClient) -> tuple[str, dict[str, str]]:
    answer = client.post("/v1/encodings", files={"photo": b"matte"})
    assert answer.status_code == 201, answer.text
    about = answer.json()
    return f"/v1/encodings/{about['id']}", {"X-Encoding-Token": about["token"]}


def test_it_says_that_it_is_there(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"workers": 1}


def test_it_says_what_can_be_asked_for(client: TestClient) -> None:
    info = client.get("/v1/info").json()
    assert info["defaults"] == {"steps": 2, "error_threshold": 0.02, "trust": 0.5}
    assert info["limits"]["body_bytes"] == 100_000
    assert {"png", "jpeg"} <= set(info["formats"])
    assert {"alpha", "steps"} <= set(info["outputs"])
    assert info["needs_key"] is False
    assert info["selects"] is True


def test_the_example_is_a_photograph_and_its_mask(client: TestClient) -> None:
    assert client.get("/v1/example/photo").content[:3] == b"\xff\xd8\xff"
    assert client.get("/v1/example/mask").content[:4] == b"\x89PNG"
    assert client.get("/v1/example/other").status_code == 422


def test_a_matte_comes_back_and_nothing_is_left(client: TestClient, tmp_path: Path) -> None:
    answer = client.post("/v1/mattes", files={"photo": b"matte", **MASK})
    assert answer.status_code == 200, answer.text
    assert answer.text.endswith("matte")
    assert answer.headers["content-type"] == "image/png"
    assert re.fullmatch(r"wait;dur=\d+, work;dur=\d+", answer.headers["server-timing"])
    spool = client.app.state.service.spool  # type: ignore[attr-defined]
    assert not [path for path in spool.iterdir() if path.name.startswith("request-")]


def test_a_photograph_is_kept_for_its_owner(client: TestClient) -> None:
    address, owner = keep(client)
    about = client.get(address, headers=owner).json()
    assert (about["width"], about["height"]) == (30, 20)
    assert "token" not in about
    assert client.post(f"{address}/mattes", files=MASK, headers=owner).status_code == 200
    assert client.get(f"{address}/photo", headers=owner).text.endswith("show")
    assert client.delete(address, headers=owner).status_code == 204
    assert client.get(address, headers=owner).status_code == 404


@pytest.mark.parametrize("token", ["", "guessed", "Ω"])
def test_attack_nobody_else_sees_a_kept_photograph(client: TestClient, token: str) -> None:
    address, _ = keep(client)
    headers = {"X-Encoding-Token": token.encode()} if token else {}
    unknown = client.get("/v1/encodings/unknown", headers=headers).json()
    for answer in (
        client.get(address, headers=headers),
        client.get(f"{address}/photo", headers=headers),
        client.post(f"{address}/mattes", files=MASK, headers=headers),
        client.delete(address, headers=headers),
    ):
        assert answer.status_code == 404
        assert answer.json()["detail"] == unknown["detail"]


def test_a_kept_photograph_answers_selections_of_its_owner(client: TestClient) -> None:
    kept = client.post("/v1/encodings", files={"photo": b"fine"}).json()
    address, owner = f"/v1/encodings/{kept['id']}/selections", {"X-Encoding-Token": kept["token"]}
    answer = client.post(address, json={"points": [[3, 4]], "scale": "part"}, headers=owner)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.text.endswith(" select")
    given = {"not_points": [[3, 4]], "mask": base64.b64encode(b"picture").decode()}
    assert client.post(address, json=given, headers=owner).status_code == 200
    assert client.post(address, json={"points": [[3, 4]]}).status_code == 404
    for wrong in ({"points": [[3]]}, {"scale": "huge"}, {"mask": 1}, {"points": [[1, 1]] * 201}):
        assert client.post(address, json=wrong, headers=owner).status_code == 422


def test_a_kept_photograph_gives_hints_to_its_owner(client: TestClient) -> None:
    address, owner = keep(client)
    answer = client.get(f"{address}/hints?max_side=64", headers=owner)
    assert answer.text.endswith(" hints")
    assert client.get(f"{address}/hints").status_code == 404


def test_the_oldest_photograph_makes_room(client: TestClient) -> None:
    kept = [keep(client) for _ in range(4)]
    statuses = [client.get(address, headers=owner).status_code for address, owner in kept]
    assert statuses == [404, 200, 200, 200]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({}, "objects", "no object"),
        ({"box": "1,2,3"}, "box", "left,top,right,bottom"),
        ({"box": "9,9,3,3"}, "box", "left < right"),
        ({"box": "0,0,5,5", "strokes": "[]", "objects": "[]"}, "objects", "in objects"),
        ({"strokes": '[{"points": [], "radius": 3}]'}, "strokes.0.points", "at least 1"),
        ({"strokes": '[{"points": [[1, NaN]], "radius": 3}]'}, "strokes", "finite|JSON|valid"),
        ({"strokes": '[{"points": [[1, 2]], "radius": -3}]'}, "strokes.0.radius", "greater"),
        ({"objects": '[{"mask": 2}]'}, "objects", "does not exist"),
        ({"objects": '[{"name": "../../x", "box": [0,0,5,5]}]'}, "objects.0.name", "letters"),
        ({"objects": '[{"name": "a", "box": [0,0,5,5]}, {"name": "a", "box": [0,0,5,5]}]'}, "objects", "same name"),
        ({"objects": '[{"name": "object-2", "box": [0,0,5,5]}, {"box": [0,0,5,5]}]'}, "objects", "same name"),
        ({"objects": "[" * 50_000}, "objects", "JSON"),
        ({"box": "0,0,5,5", "outputs": "alpha,shadow"}, "outputs", "cutout"),
        ({"box": "0,0,5,5", "format": "gif"}, "format", "png"),
        ({"box": "0,0,5,5", "bits": "12"}, "bits", "8"),
        ({"box": "0,0,5,5", "steps": "33"}, "steps", "32"),
        ({"box": "0,0,5,5", "error_threshold": "nan"}, "error_threshold", "less|finite|number"),
        ({"box": "0,0,5,5", "edges": "shift=99"}, "edges", "shift is 99.0; accepted: -32 to 32"),
        ({"box": "0,0,5,5", "edges": "blur=1"}, "edges", "'blur' is not a control of edges; accepted: contrast"),
        ({"box": "0,0,5,5", "max_side": "64", "region": "0,0,5,5"}, "region", "not both"),
    ],
)
def test_what_is_wrong_is_told_by_field(client: TestClient, fields: dict[str, str], field: str, words: str) -> None:
    answer = client.post("/v1/mattes", files={"photo": b"matte"}, data=fields)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["errors"][0]["field"].startswith(field)
    assert re.search(words, problem["errors"][0]["message"]), problem
    assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("wish", "status", "kind"),
    [("refuse", 422, "picture-refused"), ("die", 500, "worker-died"), ("babble", 500, "worker-died"),
     ("log", 500, "internal"), ("die once", 200, None)],
)  # fmt: skip
def test_what_becomes_of_a_job_is_told(client: TestClient, wish: str, status: int, kind: str | None) -> None:
    answer = client.post("/v1/mattes", files={"photo": wish.encode(), **MASK})
    assert answer.status_code == status
    if kind:
        assert answer.json()["type"] == f"urn:mask2alpha:problem:{kind}"
        assert "secret" not in answer.text
    assert client.post("/v1/mattes", files={"photo": b"matte", **MASK}).status_code == 200


def test_progress_can_be_asked_for_while_a_request_runs(client: TestClient) -> None:
    name = {"X-Request-Id": "progress-1234"}
    thread = threading.Thread(
        target=lambda: client.post("/v1/mattes", files={"photo": b"sleep 0.5", **MASK}, headers=name)
    )
    thread.start()
    seen = []
    while thread.is_alive():
        answer = client.get("/v1/progress/progress-1234")
        seen.append(answer.json() if answer.status_code == 200 else None)
        time.sleep(0.02)
    thread.join()
    assert {"state": "working", "ahead": 0, "stage": "matting", "done": 0.5} in seen
    assert client.get("/v1/progress/progress-1234").status_code == 404


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 422),
        ("multipart/form-data", b"no boundary", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken", 422),
        ("text/plain", b"\x80\x04cos\nsystem\n(S'true'\ntR.", 422),
    ],
)
def test_what_is_no_form_is_refused(client: TestClient, content_type: str, body: bytes, status: int) -> None:
    answer = client.post("/v1/mattes", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_attack_a_form_of_thousands_of_parts(client: TestClient) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    answer = client.post(
        "/v1/mattes", content=part * 1900 + b"--x--", headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 400


def test_attack_names_of_uploads_and_addresses_reach_no_file(client: TestClient) -> None:
    names = {"photo": ("../../../etc/passwd", b"matte"), "mask": ("/etc/cron.d/x", b"mask")}
    assert client.post("/v1/mattes", files=names).text.endswith("matte")
    for address in (
        "/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/example/..%2f..%2fapp.py",
        "//etc/passwd",
    ):
        assert client.get(address).status_code in (404, 422)
    assert not Path("/etc/cron.d/x").exists()


def test_addresses_that_are_not_there_and_methods_that_are_not_known(client: TestClient) -> None:
    assert client.get("/v1/nothing").json()["type"] == "urn:mask2alpha:problem:not-found"
    assert client.put("/v1/mattes").json()["type"] == "urn:mask2alpha:problem:wrong-method"


def test_metrics_count_requests_jobs_and_deaths(client: TestClient) -> None:
    client.post("/v1/mattes", files={"photo": b"die once", **MASK})
    text = client.get("/metrics").text
    for line in (
        r'mask2alpha_requests_total{method="POST",route="/v1/mattes",status="200"} [1-9]',
        r'mask2alpha_job_seconds_count{kind="matte",outcome="done"} [1-9]',
        r"mask2alpha_worker_deaths_total [1-9]",
        r"mask2alpha_queue 0",
        r"mask2alpha_encodings ",
    ):
        assert re.search(line.replace("{", "[{]"), text), line


def test_openapi_has_every_address_with_its_problems_and_examples(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {
        "/health", "/ready", "/metrics", "/v1/info", "/v1/progress/{request_id}", "/v1/example/{what}",
        "/v1/encodings", "/v1/encodings/{encoding_id}", "/v1/encodings/{encoding_id}/photo",
        "/v1/encodings/{encoding_id}/mattes", "/v1/encodings/{encoding_id}/selections",
        "/v1/encodings/{encoding_id}/hints", "/v1/mattes",
        "/v1/clips", "/v1/clips/{clip_id}", "/v1/clips/{clip_id}/mattes", "/v1/clips/{clip_id}/export",
        "/v1/clips/{clip_id}/frames/{number}", "/v1/clips/{clip_id}/frames/{number}/matte",
    }  # fmt: skip
    responses = described["paths"]["/v1/mattes"]["post"]["responses"]
    assert {"200", "401", "413", "422", "429", "503"} <= set(responses)
    assert "application/problem+json" in responses["429"]["content"]
    assert "120,40,480,500" in json.dumps(described)
