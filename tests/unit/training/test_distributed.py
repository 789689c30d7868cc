import faulthandler
import json
import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing
from safetensors.torch import load_file
from torch import nn

from mask2alpha.data.cutout import Cutout
from mask2alpha.data.sources import PhotoPool, Pool, Sources
from mask2alpha.errors import InputError
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.training.config import Recipe, override
from mask2alpha.training.distributed import Processes, synchronize_batch_norm
from mask2alpha.training.loop import train
from mask2alpha.training.monitor import LOG_FILE, MonitorOptions
from mask2alpha.training.recipes import debug

SECONDS = 120
"""How long processes may take."""


def spawn(target: Callable[..., None], *args: Any, count: int = 2) -> None:
    """Run `target(*args)` in some processes, as torchrun would; where they hang, each prints where."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    # A fork of this process would inherit locks that its other threads hold; the fork server has no other threads
    multiprocessing.get_context("forkserver").set_forkserver_preload(["mask2alpha.training.loop"])
    processes = torch.multiprocessing.start_processes(
        _enter, (count, port, target, args), nprocs=count, join=False, start_method="forkserver"
    )
    until = time.monotonic() + SECONDS
    while not processes.join(timeout=1, grace_period=10):
        if time.monotonic() > until:
            for process in processes.processes:
                process.kill()
            pytest.fail(f"the processes had not ended after {SECONDS} s")


def _enter(rank: int, count: int, port: int, target: Callable[..., None], args: tuple[Any, ...]) -> None:
    faulthandler.dump_traceback_later(SECONDS - 10, exit=True)
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    target(*args)


def make_net() -> nn.Module:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1))
    return net.train()


def make_batch() -> torch.Tensor:
    return 3 + 2 * torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def check_synchronized_batch_norm(folder: Path) -> None:
    processes, device = Processes.start("cpu")
    net = make_net()
    shared = processes.share(net, device)
    part = make_batch()[2 * processes.rank : 2 * processes.rank + 2].requires_grad_()
    shared(part).square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    torch.save({"input": part.grad, **gradients, **dict(net.named_buffers())}, folder / f"{processes.rank}.pt")
    processes.finish()


def test_two_processes_normalise_and_differentiate_as_one(tmp_path: Path) -> None:
    spawn(check_synchronized_batch_norm, tmp_path)
    net, batch = make_net(), make_batch().requires_grad_()
    net(batch).square().mean().backward()
    assert batch.grad is not None
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name, parameter in net.named_parameters():
        for part in parts:
            torch.testing.assert_close(part[name], parameter.grad, rtol=1e-4, atol=1e-6)
    for name, buffer in net.named_buffers():
        for part in parts:
            torch.testing.assert_close(part[name], buffer, rtol=1e-5, atol=1e-6)
    # Each process has the mean over its own half as loss, so its inputs' gradients are twice those of the whole.
    whole = torch.cat([part["input"] for part in parts]) / 2
    torch.testing.assert_close(whole, batch.grad, rtol=1e-4, atol=1e-6)


def check_agreement() -> None:
    processes, device = Processes.start("cpu")
    assert processes.count == 2
    assert processes.agree(5.0 + processes.rank, processes.rank == 1, device) == (5.0, True)
    assert processes.agree(6.0 - processes.rank, False, device) == (6.0, False)
    processes.check_same("the step", 3, device)
    with pytest.raises(InputError, match=r"different values of the step \(0 to 1\)"):
        processes.check_same("the step", processes.rank, device)
    processes.finish()


def test_processes_agree_on_the_first_ones_clock_and_on_anyones_wish_to_stop() -> None:
    spawn(check_agreement)


def shared_recipe(batch_size: int) -> Recipe:
    """The debug recipe as far as two processes can do exactly what one does.

    What a process draws for its own pictures cannot equal what one process draws for all: so no states, one tau,
    windows as large as the crop. And a mean over the unknown pixels of a part is not that over the whole's. With this
    seed no pixel lies so near to tau that rounding decides whether stage 3 works on it.
    """
    recipe = override(override(debug(), "model.decoder.is_iterative=False"), "error_thresholds=(0.02, 0.02)")
    for assignment in (
        "loss.unknown=0.0",
        "loss.unknown_os4=0.0",
        "optim.num_steps=4",
        "optim.warmup_steps=1",
        "seed=3",
    ):
        recipe = override(recipe, assignment)
    return override(recipe, f"data.batch_size={batch_size}")


def make_sources() -> Sources:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96]
    alpha = (np.hypot(x - 48, y - 48) < 30).astype(np.uint8) * 255
    cutout = Cutout(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8), alpha)
    photo = rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)
    return Sources(Pool([cutout]), PhotoPool([photo]), procedural_share=0.0)


def train_part(folder: Path) -> None:
    processes, device = Processes.start("cpu")
    options = MonitorOptions(log_every=1, preview_minutes=0.0)
    train(shared_recipe(2), make_sources(), folder, monitoring=options, device=device, processes=processes)


def test_two_processes_train_the_weights_of_one_with_the_doubled_batch(tmp_path: Path) -> None:
    spawn(train_part, tmp_path / "parts")
    train(
        shared_recipe(4),
        make_sources(),
        tmp_path / "whole",
        monitoring=MonitorOptions(log_every=1, preview_minutes=0.0),
    )
    parts, whole = (load_file(tmp_path / name / "state.safetensors") for name in ("parts", "whole"))
    assert parts.keys() == whole.keys()
    torch.manual_seed(3)
    start = dict(Mask2Alpha(shared_recipe(4).model).named_parameters())
    moved = torch.cat([(whole[f"model.{name}"] - tensor).detach().flatten() for name, tensor in start.items()])
    gaps = {
        key: torch.cat([(whole[f"{key}.{name}"] - parts[f"{key}.{name}"]).flatten() for name in start])
        for key in ("model", "optimizer.exp_avg")
    }
    momentum = torch.cat([whole[f"optimizer.exp_avg.{name}"].flatten() for name in start])
    assert moved.norm() > 0.1
    assert gaps["optimizer.exp_avg"].norm() < 0.01 * momentum.norm()
    assert gaps["model"].norm() < 0.03 * moved.norm()  # Adam blows up rounding where the gradient is nothing else
    logs = [(tmp_path / name / LOG_FILE).read_text().splitlines() for name in ("parts", "whole")]
    assert [json.loads(line)["images"] for line in logs[0]] == [4, 8, 12, 16]
    norms = [[json.loads(line)["norm"] for line in log] for log in logs]
    np.testing.assert_allclose(norms[0], norms[1], rtol=2e-3)


def test_one_process_needs_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    processes, device = Processes.start("cpu")
    assert (processes.count, processes.is_first, device) == (1, True, "cpu")
    net = make_net()
    assert processes.share(net, device) is net
    assert processes.agree(2.5, False, device) == (2.5, False)
    processes.check_same("anything", 1, device)
    processes.finish()


def test_synchronized_batch_norm_keeps_names_and_evaluates_without_a_group() -> None:
    net, batch = make_net().eval(), make_batch()
    expected, names = net(batch), list(net.state_dict())
    synchronize_batch_norm(net)
    assert list(net.state_dict()) == names
    torch.testing.assert_close(net(batch), expected)
