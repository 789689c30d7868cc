"""Clips in the service, with real files and processes; the mattes are the masks."""

import io
import os
import re
import shutil
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from fakes import FakePredictor
from mask2alpha.imaging.encode import write_image
from mask2alpha.rendering import OutputOptions
from mask2alpha.serving import clips
from mask2alpha.video.clips import open_clip, open_masks
from mask2alpha.video.ffmpeg import probe
from mask2alpha.video.job import VideoJob, run
from service_parts import stub_service, to_file

SIZE = (48, 64)
NUM_FRAMES = 10

pytest.importorskip("cv2", reason="the extra video is not installed")
pytestmark = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not on PATH"
)


def mask_up_to(column: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[:, :column] = 255
    return mask


def make_file(path: Path, num_frames: int = NUM_FRAMES, *options: str) -> Path:
    """A picture that moves to the right, with a sound."""
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 256, (12, 30, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    frames = np.stack([texture[:, index : index + SIZE[1]] for index in range(num_frames)])
    arguments = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIZE[1]}x{SIZE[0]}"]
    arguments += ["-r", "25", "-i", "pipe:0", "-f", "lavfi", "-i", f"sine=duration={num_frames / 25}"]
    arguments += ["-c:v", "ffv1", "-pix_fmt", "gbrp", "-c:a", "flac", *options]
    subprocess.run([*arguments, str(path)], input=frames.tobytes(), check=True)
    return path


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file(tmp_path_factory.mktemp("clip") / "clip.mkv")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with stub_service(tmp_path_factory.mktemp("spool"), clips=2) as client:
        yield client


class Owner:
    """Someone who has uploaded a clip."""

    def __init__(self, client: TestClient, file: Path) -> None:
        self.client = client
        answer = client.post("/v1/clips", files={"clip": file.read_bytes()})
        assert answer.status_code == 201, answer.text
        self.about = answer.json()
        self.address = f"/v1/clips/{self.about['id']}"
        self.headers = {"X-Clip-Token": self.about["token"]}

    def ask(self, method: str, address: str = "", **what: Any) -> Any:
        return self.client.request(method, self.address + address, headers=self.headers, **what)

    def matte(self, *frames: int, **fields: str) -> Any:
        masks = [("mask", (f"{frame}.png", to_file(mask_up_to(30)))) for frame in frames]
        return self.ask("POST", "/mattes", files=masks, data=fields)

    def wait(self, until: Any = lambda about: about["state"] == "idle") -> dict[str, Any]:
        for _ in range(1200):
            about = self.ask("GET").json()
            if until(about):
                return dict(about)
            time.sleep(0.1)
        raise AssertionError(about)


def kind_of(answer: Any) -> str:
    assert answer.status_code >= 400, answer.text
    return str(answer.json()["type"].rpartition(":")[2])


@pytest.fixture(scope="module")
def owner(client: TestClient, clip_file: Path) -> Owner:
    """Whose clip is matted, from a mask of the third frame."""
    owner = Owner(client, clip_file)
    assert owner.matte(3).status_code == 202
    about = owner.wait()
    assert (about["matted"], about["is_matted"], about.get("problem")) == (NUM_FRAMES, True, None)
    return owner


def wanted(tmp_path: Path, clip_file: Path, target: Path, kind: str, options: OutputOptions | None = None) -> None:
    """Write what the command makes of the same clip and mask."""
    write_image(tmp_path / "masks" / "3.png", mask_up_to(30))
    clip = open_clip(clip_file)
    masks = open_masks(tmp_path / "masks", clip)
    options = options or OutputOptions()
    run(
        VideoJob(
            clip=clip, objects={"": masks}, targets={("", kind): target}, options=options, is_steady=True, settings={}
        ),
        FakePredictor,
    )


def test_a_clip_is_told_and_its_frames_are_shown(owner: Owner) -> None:
    assert {name: owner.about[name] for name in ("frames", "width", "height", "rate", "state", "matted")} == {
        "frames": NUM_FRAMES,
        "width": SIZE[1],
        "height": SIZE[0],
        "rate": 25.0,
        "state": "idle",
        "matted": 0,
    }
    answer = owner.ask("GET", "/frames/4")
    assert answer.headers["content-type"] == "image/jpeg"
    shown = np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)
    frame = next(open_clip(Path(owner.client.app.state.service.clips._clips[owner.about["id"]].upload)).frames(3))  # type: ignore[attr-defined]
    assert np.abs(shown - frame.pixels).mean() < 6
    for number in (0, NUM_FRAMES + 1):
        assert kind_of(owner.ask("GET", f"/frames/{number}")) == "not-found"


def test_the_mattes_are_the_commands(owner: Owner, clip_file: Path, tmp_path: Path) -> None:
    wanted(tmp_path, clip_file, tmp_path / "alpha", "alpha", OutputOptions(bits=16))
    for number in range(1, NUM_FRAMES + 1):
        got = Image.open(io.BytesIO(owner.ask("GET", f"/frames/{number}/matte").content))
        assert np.array_equal(np.asarray(got), np.asarray(Image.open(tmp_path / "alpha" / f"{number:06d}.png")))


def test_an_export_of_pictures_is_the_commands(owner: Owner, clip_file: Path, tmp_path: Path) -> None:
    wanted(tmp_path, clip_file, tmp_path / "cutout", "cutout", OutputOptions().with_colours("original"))
    assert owner.ask("POST", "/export", data={"colours": "original"}).status_code == 202
    assert owner.wait()["is_exported"]
    answer = owner.ask("GET", "/export")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == [f"{number:06d}.png" for number in range(1, NUM_FRAMES + 1)]
        for name in archive.namelist():
            assert archive.read(name) == (tmp_path / "cutout" / name).read_bytes()


@pytest.mark.parametrize(("format", "output", "codec"), [("mov", "cutout", "prores"), ("webm", "alpha", "vp9")])
def test_an_export_as_a_film_keeps_rate_and_sound(
    owner: Owner, tmp_path: Path, format: str, output: str, codec: str
) -> None:
    fields = {"format": format, "output": output, "colours": "original", "edges": "feather=1"}
    assert owner.ask("POST", "/export", data=fields).status_code == 202
    about = owner.wait()
    assert about["is_exported"], about
    (tmp_path / f"out.{format}").write_bytes(owner.ask("GET", "/export").content)
    info = probe(tmp_path / f"out.{format}")
    assert (info.num_frames, info.rate, len(info.sounds)) == (NUM_FRAMES, 25, 1)
    call = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=codec_name", "-of", "csv"]
    shown = subprocess.run([*call, str(info.path)], capture_output=True, check=True, text=True).stdout
    assert codec in shown


@pytest.mark.slow
def test_a_further_mask_begins_anew_and_removes_the_export(client: TestClient, clip_file: Path) -> None:
    owner = Owner(client, clip_file)
    assert kind_of(owner.ask("GET", "/frames/1/matte")) == "clip-unfinished"
    assert kind_of(owner.ask("POST", "/export")) == "clip-unfinished"
    owner.matte(1)
    owner.wait()
    owner.ask("POST", "/export", data={"output": "alpha"})
    assert owner.wait()["is_exported"]
    before = owner.ask("GET", "/frames/10/matte").content
    masks = [("mask", (f"{frame}.png", to_file(mask_up_to(column)))) for frame, column in ((1, 30), (10, 50))]
    about = owner.ask("POST", "/mattes", files=masks).json()
    assert not about["is_exported"]
    assert owner.wait()["is_matted"]
    after = np.asarray(Image.open(io.BytesIO(owner.ask("GET", "/frames/10/matte").content)))
    assert after[:, 47].min() > 60_000
    assert np.asarray(Image.open(io.BytesIO(before)))[:, 47].max() == 0
    assert kind_of(owner.ask("GET", "/export")) == "clip-unfinished"
    assert owner.ask("DELETE").status_code == 204


def test_attack_nobody_else_sees_a_clip(owner: Owner) -> None:
    for headers in ({}, {"X-Clip-Token": "guessed"}):
        for method, address in (
            ("GET", ""),
            ("GET", "/frames/1"),
            ("GET", "/frames/1/matte"),
            ("GET", "/export"),
            ("POST", "/export"),
            ("DELETE", "/mattes"),
            ("DELETE", ""),
        ):
            answer = owner.client.request(method, owner.address + address, headers=headers)
            assert kind_of(answer) == "clip-not-found"
    assert "token" not in owner.ask("GET").json()


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"not a clip", "not a clip that can be read"), (to_file(mask_up_to(3)), "not a clip"), (b"", "not a clip")],
)
def test_what_is_not_a_clip_is_refused(client: TestClient, content: bytes, told: str) -> None:
    answer = client.post("/v1/clips", files={"clip": content})
    assert kind_of(answer) == "clip-refused"
    assert told in answer.json()["detail"]
    assert str(client.app.state.service.spool) not in answer.text  # type: ignore[attr-defined]
    assert not list(client.app.state.service.spool.glob("request-*"))  # type: ignore[attr-defined]


def test_masks_that_do_not_fit_are_refused(owner: Owner) -> None:
    def send(*names: str, content: bytes = to_file(mask_up_to(9)), **fields: str) -> Any:
        return owner.ask("POST", "/mattes", files=[("mask", (name, content)) for name in names], data=fields)

    before = owner.ask("GET").json()
    assert "11 is not a frame" in send("11.png").json()["detail"]
    assert "0 is not a frame" in send("mask0.png").json()["detail"]
    assert "has no number" in send("mask.png").json()["detail"]
    assert "same frame" in send("a1.png", "b1.png").json()["detail"]
    assert kind_of(owner.ask("POST", "/mattes")) == "invalid-field"
    assert kind_of(send("1.png", trust="2")) == "invalid-field"
    assert kind_of(owner.ask("POST", "/export", data={"background": "no colour"})) == "invalid-field"
    assert owner.ask("GET").json() == before


def test_a_damaged_mask_is_told_after_the_start(client: TestClient, clip_file: Path) -> None:
    owner = Owner(client, clip_file)
    assert owner.ask("POST", "/mattes", files=[("mask", ("7.png", b"no picture"))]).status_code == 202
    about = owner.wait()
    assert about["problem"].startswith("Mask 000007.png: ")
    assert (about["matted"], about["is_matted"]) == (0, False)
    owner.ask("DELETE")


@pytest.mark.slow
def test_limits_of_clips(tmp_path: Path, clip_file: Path) -> None:
    with stub_service(tmp_path, clip_frames=NUM_FRAMES - 1) as client:
        answer = client.post("/v1/clips", files={"clip": clip_file.read_bytes()})
        assert kind_of(answer) == "clip-refused"
        assert "10 frames; accepted: up to 9" in answer.json()["detail"]
    with stub_service(tmp_path, max_clip=1000, max_body=100) as client:
        answer = client.post("/v1/clips", files={"clip": clip_file.read_bytes()})
        assert kind_of(answer) == "body-too-large"
        assert client.get("/v1/info").json()["clips"]["bytes"] == 1000
    with stub_service(tmp_path, clip_space=200) as client:
        owner = Owner(client, clip_file)
        owner.matte(1)
        assert "would be written" in owner.wait()["problem"]


def test_a_service_without_ffmpeg_says_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips.shutil, "which", lambda name: None)
    assert client.get("/v1/info").json()["clips"]["missing"] == (
        "Clips need ffmpeg and ffprobe, which this service lacks."
    )
    assert kind_of(client.post("/v1/clips", files={"clip": b"a clip"})) == "no-clips"


@pytest.mark.slow
def test_work_is_stopped_waits_its_turn_and_busy_clips_stay(tmp_path: Path, clip_file: Path) -> None:
    with stub_service(tmp_path, clips=2, model="slow") as client:
        first, second = Owner(client, clip_file), Owner(client, clip_file)
        first.matte(1)
        second.matte(1)
        first.wait(lambda about: about["matted"] >= 1)
        assert second.ask("GET").json()["state"] == "waiting"
        answer = client.post("/v1/clips", files={"clip": clip_file.read_bytes()})
        assert kind_of(answer) == "queue-full"

        about = first.ask("DELETE", "/mattes").json()
        assert about["state"] == "idle"
        assert 1 <= about["matted"] < NUM_FRAMES
        assert first.ask("GET", "/frames/1/matte").status_code == 200
        assert kind_of(first.ask("POST", "/export")) == "clip-unfinished"

        second.wait(lambda about: about["state"] == "matting")
        third = Owner(client, clip_file)  # the first one goes, which is not worked on
        assert kind_of(first.ask("GET")) == "clip-not-found"
        assert second.ask("DELETE").status_code == 204
        assert len(list(tmp_path.glob("*/clip-*"))) == 1
        third.matte(2)
        third.wait(lambda about: about["state"] == "matting")
    assert not list(tmp_path.iterdir())
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if children.exists():
        commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children.read_text(encoding="ascii").split()]
        assert not [command for command in commands if b"fake_clip_worker" in command]


@pytest.mark.slow
def test_work_that_takes_too_long_is_stopped_and_clips_expire(tmp_path: Path, clip_file: Path) -> None:
    with stub_service(tmp_path, clip_time_limit=0.2, clip_expiry=1.0) as client:
        owner = Owner(client, clip_file)
        owner.matte(1)
        about = owner.wait()
        assert re.search(r"more than 0\.2 seconds", about["problem"])
        for _ in range(100):
            time.sleep(0.2)
            if not list(tmp_path.glob("*/clip-*")):
                break
        assert kind_of(owner.ask("GET")) == "clip-not-found"


@pytest.mark.slow
def test_a_clip_that_breaks_off_gives_its_beginning(client: TestClient, tmp_path: Path) -> None:
    whole = make_file(tmp_path / "whole.mkv", 30, "-g", "1").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    owner = Owner(client, tmp_path / "cut.mkv")
    assert 0 < owner.about["frames"] < 30
    owner.matte(2)
    about = owner.wait()
    assert about["is_matted"], about
    assert about["matted"] == owner.about["frames"]
