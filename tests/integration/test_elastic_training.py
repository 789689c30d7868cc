"""Training on two "nodes", each a torchrun agent with two processes, of which some are lost on the way."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from mask2alpha.checkpoints import load_model, read_metadata
from mask2alpha.cli.main import main
from mask2alpha.data.shards import write_shards
from mask2alpha.data.sources import Sources
from mask2alpha.model.mask2alpha import Mask2Alpha

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the processes of an agent in /proc"),
]
NUM_STEPS = 12
PATIENCE_S = 1200
SETTINGS = (
    "--set", f"optim.num_steps={NUM_STEPS}", "--set", "optim.warmup_steps=1", "--set", "data.num_workers=0",
    "--checkpoint-minutes", "0", "--preview-minutes", "0",
    # as in test_training_runs: without what processes draw for themselves, four of them equal one
    "--set", "model.decoder.is_iterative=False", "--set", "error_thresholds=(0.02, 0.02)",
    "--set", "loss.unknown=0.0", "--set", "loss.unknown_os4=0.0",
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Shards of one foreground and one background."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:72, :72]
    disc = np.clip(255 * (24 - np.hypot(x - 36, y - 36)) / 6, 0, 255).astype(np.uint8)
    for name, picture in (
        ("foregrounds/mine/a.png", np.dstack([rng.integers(0, 255, (72, 72, 3), dtype=np.uint8), disc])),
        ("backgrounds/walls/b.png", rng.integers(0, 255, (90, 120, 3), dtype=np.uint8)),
    ):
        path = tmp_path / "loose" / name
        path.parent.mkdir(parents=True)
        Image.fromarray(picture).save(path)
    write_shards(Sources.from_shared_layout(tmp_path / "loose"), tmp_path / "data")
    return tmp_path / "data"


@contextmanager
def agent(data: Path, run: Path, port: int, nodes: str) -> Iterator[subprocess.Popen[bytes]]:
    """One node's torchrun; it and all below it are gone at the end."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", nodes, "--nproc-per-node", "2",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}", "--rdzv-id", "test",
        "--rdzv-conf", "last_call_timeout=5,keep_alive_interval=2,keep_alive_max_attempt=3",
        "--local-addr", "localhost", "--max-restarts", "3", "--monitor-interval", "0.5",
        "-m", "mask2alpha", "train", "debug", "--data", str(data), "--run-folder", str(run),
        *SETTINGS, "--set", "data.batch_size=1",
    ]  # fmt: skip
    with (run.parent / f"agent-{time.monotonic_ns()}.log").open("wb") as log:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)
        try:
            yield process
        finally:
            kill_node(process)


def kill_node(process: "subprocess.Popen[bytes]") -> None:
    for pid in [*children(process.pid), process.pid]:
        kill(pid)
    process.wait(20)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def saved_step(run: Path) -> int:
    try:
        with safe_open(run / "state.safetensors", framework="pt") as file:
            return int(file.metadata()["step"])
    except FileNotFoundError:
        return 0


def wait_for(condition: Callable[[], bool], agents: list["subprocess.Popen[bytes]"], run: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        log = "\n".join(path.read_text()[-3000:] for path in run.parent.glob("agent-*.log"))
        assert time.monotonic() < deadline, log
        assert not any(process.poll() for process in agents), log
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


def test_a_lost_worker_costs_no_more_than_the_steps_since_the_checkpoint(data: Path, tmp_path: Path) -> None:
    run, port = tmp_path / "run", free_port()
    with ExitStack() as stack:
        agents = [stack.enter_context(agent(data, run, port, "2")) for _ in range(2)]
        wait_for(lambda: saved_step(run) >= 2, agents, run)
        kill(children(agents[1].pid)[0])
        assert saved_step(run) < NUM_STEPS - 2
        wait_for(lambda: all(process.poll() == 0 for process in agents), agents, run)
    metadata = read_metadata(run / "model.safetensors")
    assert (metadata["step"], metadata["hardware"]["processes"]) == (str(NUM_STEPS), 4)
    assert metadata["samples"] == str(NUM_STEPS * 4 * 2)

    whole = ["train", "debug", "--data", str(data), "--run", str(tmp_path / "whole"), *SETTINGS]
    result = CliRunner().invoke(main, [*whole, "--set", "data.batch_size=4"])
    assert result.exit_code == 0, result.output
    expected, shared = (load_file(tmp_path / name / "state.safetensors") for name in ("whole", "run"))
    torch.manual_seed(0)
    start = Mask2Alpha(load_model(run / "model.safetensors").config)
    names = [name for name, _ in start.named_parameters()]
    before = start.state_dict()
    gap, moved = (
        torch.cat([(expected[f"model.{name}"] - other(name)).flatten() for name in names]).norm()
        for other in (lambda name: shared[f"model.{name}"], lambda name: before[name])
    )
    assert moved > 0.1
    assert gap < 0.2 * moved  # rounding, which Adam amplifies from step to step


def test_the_other_node_goes_on_when_one_is_lost(data: Path, tmp_path: Path) -> None:
    run, port = tmp_path / "run", free_port()
    with ExitStack() as stack:
        first = stack.enter_context(agent(data, run, port, "1:2"))
        wait_for(lambda: len(children(first.pid)) == 0 and is_listening(port), [first], run)
        second = stack.enter_context(agent(data, run, port, "1:2"))
        wait_for(lambda: saved_step(run) >= 2 and len(children(second.pid)) == 2, [first, second], run)
        kill_node(second)
        assert saved_step(run) < NUM_STEPS - 2
        wait_for(lambda: first.poll() == 0, [first], run)
    metadata = read_metadata(run / "model.safetensors")
    assert (metadata["step"], metadata["hardware"]["processes"]) == (str(NUM_STEPS), 2)


def is_listening(port: int) -> bool:
    """Whether the agent that hosts the meeting is there: it must be the one that stays."""
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0
