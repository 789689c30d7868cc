import re
import subprocess
import sys
from pathlib import Path

from mask2alpha.serving import worker

PROBE = """
import os, socket, subprocess, sys
from mask2alpha.serving import worker
sys.addaudithook(worker._refuse)
for attempt in (
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: socket.getaddrinfo("evil.example", 80),
    lambda: subprocess.run(["true"]),
    lambda: os.system("true"),
    os.fork,
):
    try:
        attempt()
        print("done")
    except PermissionError as error:
        print(error)
"""


def test_attack_a_worker_reaches_neither_the_network_nor_other_programs() -> None:
    result = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    told = result.stdout.splitlines()
    assert len(told) == 5
    assert all(line.startswith("a worker may not do this") for line in told)


def test_attack_memory_beyond_the_limit_is_refused_by_the_system() -> None:
    probe = """
from mask2alpha.serving.worker import limit_resources
limit_resources(200 * 2**20, has_gpu=False)
small = bytearray(50 * 2**20)
try:
    bytearray(400 * 2**20)
except MemoryError:
    print("refused")
"""
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert result.stdout == "refused\n"


def test_attack_no_pickle_crosses_between_the_processes() -> None:
    sources = list(Path(worker.__file__).parent.glob("*.py"))
    assert len(sources) > 10
    for source in sources:
        assert not re.search(r"import (pickle|multiprocessing|shelve|marshal)|torch\.load", source.read_text("utf-8"))


def test_the_front_holds_no_network() -> None:
    probe = "import sys, mask2alpha.serving.server; print([name for name in ('torch', 'cv2') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
