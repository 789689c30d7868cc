"""Against a hub on this machine: the real client of huggingface_hub speaks HTTP to it."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants as hub_constants
import pytest
import torch
import yaml
from click.testing import CliRunner
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from mask2alpha.checkpoints import find_checkpoint, load_model, read_metadata, save_model
from mask2alpha.cli.main import main
from mask2alpha.errors import CheckpointError
from mask2alpha.hub import model_card, push_to_hub
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha

pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=:DeprecationWarning"
)  # huggingface_hub's own call of httpx
TOKEN = "hf_of_the_test"
METADATA = {
    "licence": "Apache-2.0",
    "initial_weights": "random",
    "step": "12",
    "training_data": [{"name": "discs", "items": 3, "origin": "a | b", "licence": "CC0-1.0"}],
    "metrics": {
        "kinds": {"exact": {"sad": 4.16734, "mse": 0.0016374}},
        "mean": {"sad": 5.0},
        "protocol": {"region": "whole image"},
    },
}


@dataclass
class FakeHub:
    """The part of the hub's HTTP interface that uploads, downloads and looks up files of models."""

    url: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """"org/name@branch" to path to content."""
    private: dict[str, bool] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """What was uploaded as a large file, by SHA-256."""
    commits: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, body: bytes, token: str | None) -> tuple[int, dict[str, str], bytes]:
        parts = unquote(path).strip("/").split("/")
        repo = "/".join(parts[2:4]) if parts[0] == "api" else "/".join(parts[:2]).removesuffix(".git")
        if method in ("POST", "PUT") and token != f"Bearer {TOKEN}" and parts[0] != "upload":
            return 401, {}, b"{}"
        if parts[:3] == ["api", "repos", "create"]:
            wish = json.loads(body)
            repo = f"{wish['organization']}/{wish['name']}"
            if f"{repo}@main" in self.files:
                return 409, {}, json.dumps({"url": f"{self.url}/{repo}"}).encode()
            self.files[f"{repo}@main"] = {}
            self.private[repo] = bool(wish.get("private")) or wish.get("visibility") == "private"
            return 200, {}, json.dumps({"url": f"{self.url}/{repo}"}).encode()
        if parts == ["api", "validate-yaml"]:
            header = yaml.safe_load(json.loads(body)["content"].split("---")[1])
            errors = [] if "image-matting" in header["tags"] else [{"message": "no tag"}]
            return 200, {}, json.dumps({"errors": errors, "warnings": []}).encode()
        if parts[0] == "upload":
            if hashlib.sha256(body).hexdigest() != parts[1]:
                return 422, {}, b"not what was announced"
            self.objects[parts[1]] = body
            return 200, {}, b""
        if parts[2:] == ["info", "lfs", "objects", "batch"]:
            upload = [
                {**wanted, "actions": {"upload": {"href": f"{self.url}/upload/{wanted['oid']}", "header": {}}}}
                for wanted in json.loads(body)["objects"]
            ]
            return 200, {}, json.dumps({"transfer": "basic", "objects": upload}).encode()
        if parts[0] == "api" and parts[4:5] == ["branch"]:
            self.files[f"{repo}@{parts[5]}"] = dict(self.files[f"{repo}@main"])
            return 200, {}, b"{}"
        if parts[0] == "api" and parts[4:5] == ["preupload"]:
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            return 200, {}, json.dumps({"files": modes}).encode()
        if parts[0] == "api" and parts[4:5] == ["commit"]:
            branch = self.files[f"{repo}@{parts[5]}"]
            for line in body.splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    branch[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    branch[value["path"]] = self.objects[value["oid"]]
                elif entry["key"] == "header":
                    self.commits.append(value["summary"])
            oid = f"{len(self.commits):040x}"
            answer = {"commitUrl": f"{self.url}/{repo}/commit/{oid}", "commitOid": oid, "hookOutput": ""}
            return 200, {}, json.dumps(answer).encode()
        if parts[2:3] == ["resolve"] and method in ("GET", "HEAD"):
            branch = self.files.get(f"{repo}@{parts[3]}")
            if branch is None:
                return 404, {"X-Error-Code": "RepoNotFound"}, b""
            content = branch.get("/".join(parts[4:]))
            if content is None:
                return 404, {"X-Error-Code": "EntryNotFound"}, b""
            return 200, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": "1" * 40}, content
        return 501, {}, f"the fake hub does not know {method} {path}".encode()


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[FakeHub]:
    fake = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = self.read_body()
            status, headers, content = fake.answer(
                self.command, urlsplit(self.path).path, body, self.headers.get("Authorization")
            )
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def read_body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(hub_constants, "ENDPOINT", fake.url)
    monkeypatch.setattr(
        hub_constants, "HUGGINGFACE_CO_URL_TEMPLATE", fake.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub_constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield fake
    server.shutdown()
    server.server_close()


@pytest.fixture
def model() -> Mask2Alpha:
    return Mask2Alpha(PRESETS["tiny"])


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=0)


def test_a_pushed_model_comes_back_by_its_id(hub, model):
    address = model.push_to_hub("org/name", METADATA)
    assert address == f"{hub.url}/org/name/commit/{1:040x}"
    assert set(hub.files["org/name@main"]) == {"README.md", "config.json", "model.safetensors"}
    assert hub.commits == ["Upload weights of mask2alpha"]
    back = Mask2Alpha.from_pretrained("org/name")
    assert back.config == model.config
    assert_same_weights(back.state_dict(), model.state_dict())
    assert read_metadata("org/name")["training_data"] == METADATA["training_data"]


def test_plain_safetensors_opens_the_weights(hub, model, tmp_path):
    model.push_to_hub("org/name")
    path = tmp_path / "downloaded"
    path.write_bytes(hub.files["org/name@main"]["model.safetensors"])
    assert_same_weights(load_file(path), model.state_dict())


def test_a_checkpoint_is_pushed_as_it_is(hub, model, tmp_path):
    path = save_model(model, tmp_path / "weights.safetensors", METADATA)
    push_to_hub(path, "org/name", private=True, message="First weights")
    assert hub.files["org/name@main"]["model.safetensors"] == path.read_bytes()
    config = json.loads(hub.files["org/name@main"]["config.json"])
    assert config["model_config"] == read_metadata(path)["model_config"]
    assert hub.private == {"org/name": True}
    assert hub.commits == ["First weights"]


def test_the_command_pushes_a_file(hub, model, tmp_path):
    path = save_model(model, tmp_path / "weights.safetensors", METADATA)
    result = CliRunner().invoke(main, ["push", str(path), "org/name", "--private", "--message", "Mine"])
    assert result.exit_code == 0, result.output
    assert f"{hub.url}/org/name/commit/{1:040x}" in result.stdout
    assert hub.private == {"org/name": True}
    assert hub.commits == ["Mine"]
    assert CliRunner().invoke(main, ["push", str(tmp_path / "none"), "org/name"]).exit_code == 2


def test_a_second_push_replaces_the_weights_and_keeps_an_edited_card(hub, model):
    model.push_to_hub("org/name", METADATA)
    hub.files["org/name@main"]["README.md"] = b"edited"
    with torch.no_grad():
        next(model.parameters()).add_(1)
    model.push_to_hub("org/name", METADATA)
    assert hub.files["org/name@main"]["README.md"] == b"edited"
    assert_same_weights(load_model("org/name").state_dict(), model.state_dict())


def test_a_branch_can_be_pushed_and_loaded(hub, model):
    model.push_to_hub("org/name", revision="v2")
    assert hub.files["org/name@main"] == {}
    assert_same_weights(load_model("org/name@v2").state_dict(), model.state_dict())
    with pytest.raises(CheckpointError, match=r"org/name: cannot download model\.safetensors"):
        load_model("org/name")


def test_a_refusal_names_the_repository(hub, model, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(CheckpointError, match=r"cannot be pushed to org/name: .*401"):
        model.push_to_hub("org/name")
    with pytest.raises(CheckpointError, match="cannot be pushed to no name"):
        model.push_to_hub("no name")


def test_the_card_says_what_the_checkpoint_says(model, tmp_path):
    card = model_card(read_metadata(save_model(model, tmp_path, METADATA)), "org/name")
    head = yaml.safe_load(card.split("---")[1])
    assert head.items() >= {"library_name": "mask2alpha", "license": "apache-2.0", "datasets": ["discs"]}.items()
    assert head["pipeline_tag"] == "image-segmentation"
    (index,) = head["model-index"]
    assert (index["name"], index["results"][0]["dataset"]["name"]) == ("name", "validation")
    assert index["results"][0]["metrics"] == [{"type": "sad", "value": 5.0, "name": "SAD / 1000"}]
    assert 'from_pretrained("org/name")' in card
    assert "| discs | 3 | a \\| b | CC0-1.0 |" in card
    assert "| exact | 4.167 | 0.001637 |  |  |" in card
    assert "| mean | 5 |  |  |  |" in card
    assert "- region: whole image" in card


@pytest.mark.parametrize("name", ["base", "small"])
def test_the_shipped_weights_have_a_card_that_the_hub_can_search(name):
    metadata = read_metadata(find_checkpoint(name))
    card = ModelCard(model_card(metadata, f"org/{name}"))  # the hub's own reader
    found = {(result.dataset_name, result.metric_type): result.metric_value for result in card.data.eval_results}
    assert found["validation", "sad"] == pytest.approx(metadata["metrics"]["mean"]["sad"], abs=1e-6)
    assert len(found) == 8
    assert card.data.base_model == ("facebook/dinov2-small" if name == "base" else None)
    assert len(card.data.datasets) == len(metadata["training_data"])


def test_the_card_leaves_out_what_is_not_known(model, tmp_path):
    card = model_card(read_metadata(save_model(model, tmp_path)), "org/name")
    assert "license:" not in card
    assert "Licence: not stated." in card
    assert "## " not in card


def test_the_card_of_a_training_run_shows_the_data_card():
    run = {"training_data": {"sets": {"photos": 3}, "card": [{"name": "mine", "licence": "MIT"}]}}
    assert "| mine |  |  | MIT |" in model_card(run, "org/name")
    without_card = {"training_data": {"sets": {"photos": 3}, "card": None}}
    assert '"photos": 3' in model_card(without_card, "org/name")
