"""The service as its users meet it: `mask2alpha serve` in a process of its own, with workers that hold a tiny model."""

import concurrent.futures
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import ImageCms

from mask2alpha.checkpoints import save_model
from mask2alpha.cli.main import main
from mask2alpha.imaging.encode import write_image
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from service_parts import RunningService, left_half, photo, to_file

PHOTO, MASK = to_file(photo(60, 40)), to_file(left_half(60, 40))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    return str(save_model(Mask2Alpha(PRESETS["tiny"]), tmp_path_factory.mktemp("weights") / "tiny.safetensors"))


@pytest.fixture(scope="module")
def service(weights: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    service = RunningService(tmp_path_factory.mktemp("spool"), weights, "--dtype", "float32")
    yield service
    service.stop()


def test_the_service_answers_with_the_files_of_the_command(
    service: RunningService, weights: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    kinds = ("alpha", "cutout", "cutout_premultiplied", "foreground", "composite", "comparison")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    deep = rng.integers(0, 65536, (40, 60, 3), dtype=np.uint16)
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "deep.png", deep, icc_profile=profile)
    (tmp_path / "photos" / "plain.png").write_bytes(PHOTO)
    for name in ("deep", "plain"):
        write_image(tmp_path / "masks" / f"{name}.png", left_half(60, 40))
    arguments = ["matte", str(tmp_path / "photos"), str(tmp_path / "masks"), "-o", str(tmp_path / "out")]
    options = ["--model", weights, "--device", "cpu", "--dtype", "float32", "--steps", "3", "--background", "#206070"]
    result = CliRunner().invoke(main, [*arguments, "--output", ",".join(kinds), *options])
    assert result.exit_code == 0, result.output
    for name in ("deep", "plain"):
        status, body = service.post(
            "/v1/mattes",
            photo=(tmp_path / "photos" / f"{name}.png").read_bytes(),
            mask=(tmp_path / "masks" / f"{name}.png").read_bytes(),
            outputs=",".join(kinds),
            background="#206070",
            steps="3",
        )
        assert status == 200, body
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            for kind in kinds:
                expected = (tmp_path / "out" / kind / f"{name}.png").read_bytes()
                assert archive.read(f"object-1/{kind}.png") == expected, (name, kind)


def test_the_log_is_json_without_content(service: RunningService) -> None:
    service.post("/v1/mattes", photo=PHOTO, mask=MASK)
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert {"serving", "request"} <= {line["event"] for line in lines}
    assert all({"time", "level", "event"} <= set(line) for line in lines)


def test_a_file_of_keys_that_holds_none_is_refused(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("plain text key\n")
    result = CliRunner().invoke(main, ["serve", "--api-keys", str(keys)])
    assert result.exit_code == 2
    assert "sha256:" in result.stderr


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_ends_the_command_with_one_line() -> None:
    command = [sys.executable, "-m", "mask2alpha", "serve", "--model", "no-such-model", "--port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("Error: no-such-model: expected")


def test_a_new_key_fits_its_line() -> None:
    import hashlib

    first, second = CliRunner().invoke(main, ["serve", "--new-key"]).output.splitlines()
    key, line = first.split(": ")[1], second.split(": ")[1]
    assert line == f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


@pytest.mark.slow
def test_a_killed_worker_loses_no_request(weights: str, tmp_path: Path) -> None:
    service = RunningService(tmp_path, weights, "--workers", "2")
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answers = [clients.submit(service.post, "/v1/mattes", photo=PHOTO, mask=MASK) for _ in range(24)]
        for _ in range(2):
            time.sleep(0.5)
            os.kill(service.workers()[0], signal.SIGKILL)
    assert {answer.result()[0] for answer in answers} == {200}
    assert len({answer.result()[1] for answer in answers}) == 1
    assert service.stop() == 0


@pytest.mark.slow
def test_stopping_finishes_what_was_accepted(weights: str, tmp_path: Path) -> None:
    service = RunningService(tmp_path, weights)
    (worker,) = service.workers()
    os.kill(worker, signal.SIGSTOP)
    with concurrent.futures.ThreadPoolExecutor(4) as clients:
        answers = [clients.submit(service.post, "/v1/mattes", photo=PHOTO, mask=MASK) for _ in range(4)]
        while "mask2alpha_queue 3.0" not in service.get("/metrics"):
            time.sleep(0.05)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        os.kill(worker, signal.SIGCONT)
        assert service.process.wait(600) == 0
    assert {answer.result()[0] for answer in answers} == {200}
    assert [path.name for path in tmp_path.iterdir()] == ["service.log"]
    with pytest.raises(ConnectionRefusedError):
        service.post("/v1/mattes", photo=PHOTO, mask=MASK)


@pytest.mark.slow
def test_attack_a_picture_that_needs_too_much_memory(weights: str, tmp_path: Path) -> None:
    service = RunningService(tmp_path, weights, "--worker-memory", "0.3")
    workers = service.workers()
    status, body = service.post("/v1/mattes", photo=to_file(np.zeros((5000, 6000, 3), np.uint8)), box="9,9,4000,4000")
    assert (status, json.loads(body)["type"]) == (422, "urn:mask2alpha:problem:too-much-memory")
    status, body = service.post("/v1/mattes", photo=PHOTO, mask=MASK)
    assert status == 200, body
    assert service.workers() == workers
    service.stop()


@pytest.mark.slow
def test_attack_a_picture_that_takes_a_worker_forever(weights: str, tmp_path: Path) -> None:
    service = RunningService(tmp_path, weights, "--time-limit", "30")
    (worker,) = service.workers()
    os.kill(worker, signal.SIGSTOP)
    assert service.post("/v1/mattes", photo=PHOTO, mask=MASK)[0] == 503
    assert service.post("/v1/mattes", photo=PHOTO, mask=MASK)[0] == 200
    assert worker not in service.workers()
    service.stop()


@pytest.mark.slow
def test_attack_connections_that_say_nothing(service: RunningService) -> None:
    silent = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(50)]
    silent[0].send(b"POST /v1/mattes HTTP/1.1\r\nHost: x")
    assert service.post("/v1/mattes", photo=PHOTO, mask=MASK)[0] == 200
    for connection in silent:
        connection.settimeout(60)
        assert connection.recv(1) == b""
        connection.close()


@pytest.mark.slow
def test_the_front_dies_and_no_worker_is_left(weights: str, tmp_path: Path) -> None:
    service = RunningService(tmp_path, weights)
    (worker,) = service.workers()
    service.process.kill()
    service.process.wait()
    for _ in range(300):
        if not Path(f"/proc/{worker}").exists():
            return
        time.sleep(0.1)
    pytest.fail("the worker outlives the service")
