"""Measures the service under load and prints a verdict; the exit code is 0 where every line of it holds.

    python benchmarks/service.py                    64 clients for 5 minutes, two workers: about 7 minutes
    python benchmarks/service.py --quick            a few seconds of everything, to see that it runs

1. HTTP: a 2K photograph through the service and through the bare pipeline (files in, file out), in turns.
2. Load: clients ask as fast as they can with small photographs; each answer is compared with the pipeline's own.
3. Kill: a worker is killed (SIGKILL) in the middle of the load.
4. Stop: the service is told to stop (SIGTERM) in the middle of the load.
"""

import argparse
import http.client
import io
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mask2alpha.checkpoints import load_model
from mask2alpha.imaging.decode import read_image, read_mask
from mask2alpha.imaging.encode import write_image
from mask2alpha.pipeline.predictor import Predictor

EXAMPLES = Path(__file__).parents[1] / "examples"
RESULTS = Path(__file__).parent / "results" / "service.json"
MAX_OVERHEAD = 0.05
MAX_GROWTH = 0.05
LEVELS = 1
"""Of 255, by which an answer may differ from the pipeline's own."""
WARM_UP_SHARE = 0.2
BOUNDARY = "mask2alpha-benchmark"


def main() -> None:
    """Measure, write the results, print the verdict."""
    options = parse_options()
    torch.set_num_threads(options.threads)
    verdict: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "options": vars(options)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        predictor = Predictor(load_model(options.model))
        verdict["http"] = measure_http(predictor, folder, options)
        asked = make_requests(predictor, folder, options.size)
        service = Service(folder, options, workers=options.workers)
        load = Load(service, asked, options.clients)
        verdict["load"] = measure_load(load, service, options.seconds)
        verdict["kill"] = measure_kill(load, service, options.extra_seconds)
        verdict["stop"] = measure_stop(load, service, options.extra_seconds)
    checks = judge(verdict)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**verdict, "checks": checks}, indent=2, default=str) + "\n", encoding="utf-8")
    for check, (holds, found) in checks.items():
        print(f"{'ok  ' if holds else 'FAIL'}  {check}: {found}")
    sys.exit(0 if all(holds for holds, _ in checks.values()) else 1)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=300, help="of load")
    parser.add_argument("--extra-seconds", type=float, default=20, help="of load around the kill, and before the stop")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2, help="of the bare pipeline and the one worker beside it")
    parser.add_argument("--size", type=int, default=256, help="longest side of the photographs of the load")
    parser.add_argument("--rounds", type=int, default=15, help="of the comparison with the bare pipeline")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.clients, options.seconds, options.extra_seconds, options.rounds = 8, 10, 4, 2
    return options


class Service:
    """`mask2alpha serve` as a process of its own."""

    def __init__(self, folder: Path, options: argparse.Namespace, *, workers: int, threads: int | None = None) -> None:
        self.log = folder / f"service-{workers}.log"
        command = [sys.executable, "-m", "mask2alpha", "serve", "--port", "0", "--model", options.model]
        command += ["--workers", str(workers)] + (["--threads", str(threads)] if threads else [])
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log)
        while not (started := [line for line in self.events() if line["event"] == "serving"]):
            if self.process.poll() is not None:
                raise SystemExit(self.log.read_text(encoding="utf-8"))
            time.sleep(0.2)
        self.port = int(started[0]["port"])

    def events(self) -> list[dict[str, Any]]:
        """The lines of the log."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def workers(self) -> list[int]:
        """Process ids."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]

    def memory(self) -> int:
        """Bytes that the front and its workers hold."""
        pages = 0
        for pid in [self.process.pid, *self.workers()]:
            try:
                pages += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            except OSError:
                continue  # it was just killed
        return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request, and what the pipeline itself makes of it."""

    name: str
    body: bytes
    expected: np.ndarray


@dataclass(kw_only=True)
class Tally:
    """What clients saw."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


class Load:
    """Clients that ask without pause."""

    def __init__(self, service: Service, asked: list[Asked], num_clients: int) -> None:
        self.service = service
        self.asked = asked
        self.num_clients = num_clients
        self._tally = Tally()
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to ask."""
        self._tally = Tally()
        self._is_over.clear()
        self._threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(self.num_clients)]
        for thread in self._threads:
            thread.start()

    def finish(self) -> Tally:
        """Wait for the last answers."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        return self._tally

    def _ask(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self._is_over.is_set():
            asked = chance.choice(self.asked)
            start = time.perf_counter()
            try:
                status, headers, body = post(self.service.port, "/v1/mattes", asked.body)
            except (OSError, http.client.HTTPException) as error:
                status, headers, body = type(error).__name__, {}, b""
            with self._lock:
                self._tally.statuses[str(status)] += 1
                if status == 200:
                    self._tally.seconds.append(time.perf_counter() - start)
                    if not is_same(body, asked.expected):
                        self._tally.wrong[asked.name] += 1
            if status == 429:
                self._is_over.wait(min(float(headers.get("retry-after", 1)), 2) * chance.uniform(0.3, 1))
            elif status != 200:
                self._is_over.wait(0.2)


def measure_http(predictor: Predictor, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Seconds of a 2K photograph, through the service and through the pipeline alone."""
    photo_path, mask_path = folder / "2k.jpg", folder / "2k.png"
    with Image.open(EXAMPLES / "photos" / "astronaut.png") as photo:
        photo.convert("RGB").resize((2048, 2048)).crop((0, 0, 2048, 1365)).save(photo_path, quality=90)
    with Image.open(EXAMPLES / "masks" / "astronaut.png") as mask:
        mask.resize((2048, 2048), Image.Resampling.NEAREST).crop((0, 0, 2048, 1365)).save(mask_path)
    service = Service(folder, options, workers=1, threads=options.threads)
    body = to_form(photo=photo_path.read_bytes(), mask=mask_path.read_bytes())
    served, bare = [], []
    for round_number in range(options.rounds + 1):
        start = time.perf_counter()
        status, _, answer = post(service.port, "/v1/mattes", body)
        middle = time.perf_counter()
        matte = predictor.predict(read_image(photo_path).pixels, read_mask(mask_path))
        write_image(folder / "bare.png", np.rint(matte.alpha * 255).astype(np.uint8))
        if round_number > 0:  # the first one warms up
            served.append(middle - start)
            bare.append(time.perf_counter() - middle)
        if status != 200 or not is_same(answer, np.asarray(Image.open(folder / "bare.png"))):
            raise SystemExit(f"the service answers {status}, or another matte than the pipeline")
    strokes = measure_strokes(service, photo_path, mask_path)
    service.process.send_signal(signal.SIGTERM)
    service.process.wait(60)
    overhead = statistics.median(a - b for a, b in zip(served, bare, strict=True)) / statistics.median(bare)
    return {
        "served_seconds": statistics.median(served),
        "bare_seconds": statistics.median(bare),
        "overhead": overhead,
        **strokes,
    }


def measure_strokes(service: Service, photo_path: Path, mask_path: Path) -> dict[str, float]:
    """Seconds from a new mask of a kept 2K photograph to its matte, at full size and as a preview."""
    _, _, about = post(service.port, "/v1/encodings", to_form(photo=photo_path.read_bytes()))
    kept = json.loads(about)
    seconds = {}
    for name, fields in (("stroke_seconds", {}), ("stroke_preview_seconds", {"max_side": b"1024"})):
        taken = []
        for radius in range(40, 48):
            strokes = json.dumps([{"points": [[300, 300], [1500, 900]], "radius": radius}]).encode()
            body = to_form(mask=mask_path.read_bytes(), text={"strokes": strokes, **fields})
            start = time.perf_counter()
            post(service.port, f"/v1/encodings/{kept['id']}/mattes", body, token=kept["token"])
            taken.append(time.perf_counter() - start)
        seconds[name] = statistics.median(taken[1:])
    return seconds


def make_requests(predictor: Predictor, folder: Path, size: int) -> list[Asked]:
    """Requests with small photographs, and the mattes that they must give."""
    asked = []
    for name in ("astronaut", "chelsea"):
        with Image.open(EXAMPLES / "photos" / f"{name}.png") as opened:
            photo = opened.convert("RGB")
        with Image.open(EXAMPLES / "masks" / f"{name}.png") as opened:
            mask = opened.convert("L")
        for side in (size // 2, size * 3 // 4, size):
            shrunk = side / max(photo.size)
            size_wh = round(photo.width * shrunk), round(photo.height * shrunk)
            small_photo, small_mask = photo.resize(size_wh), mask.resize(size_wh, Image.Resampling.NEAREST)
            matte = predictor.predict(np.asarray(small_photo), np.asarray(small_mask))
            body = to_form(photo=to_png(small_photo), mask=to_png(small_mask))
            expected = np.rint(matte.alpha * 255).astype(np.uint8)
            asked.append(Asked(name=f"{name} {side}", body=body, expected=expected))
    return asked


def measure_load(load: Load, service: Service, seconds: float) -> dict[str, Any]:
    """Answers, and how memory grows after the warm-up."""
    load.start()
    start = time.perf_counter()
    memory = []
    while (now := time.perf_counter() - start) < seconds:
        memory.append((now, service.memory()))
        time.sleep(min(1.0, seconds / 50))
    tally = load.finish()
    after = [value for now, value in memory if now >= WARM_UP_SHARE * seconds]
    quarter = max(1, len(after) // 4)
    first, last = statistics.median(after[:quarter]), statistics.median(after[-quarter:])
    return {**report(tally), "first_bytes": first, "last_bytes": last, "growth": last / first - 1}


def measure_kill(load: Load, service: Service, seconds: float) -> dict[str, Any]:
    """The same load while a worker is killed."""
    load.start()
    time.sleep(seconds / 2)
    victim = service.workers()[0]
    os.kill(victim, signal.SIGKILL)
    time.sleep(seconds / 2)
    tally = load.finish()
    return {**report(tally), "is_replaced": victim not in service.workers() and len(service.workers()) > 0}


def measure_stop(load: Load, service: Service, seconds: float) -> dict[str, Any]:
    """The same load while the service is told to stop."""
    time.sleep(1.0)  # an answer is logged after it was sent
    before = count_answers(service)
    load.start()
    time.sleep(seconds)
    service.process.send_signal(signal.SIGTERM)
    exit_status = service.process.wait(180)
    tally = load.finish()
    answered = count_answers(service) - before
    return {
        **report(tally),
        "exit_status": exit_status,
        "answered": dict(answered),
        "received": tally.statuses["200"],
    }


def count_answers(service: Service) -> Counter[str]:
    """Statuses of the requests in the service's log."""
    return Counter(str(event["status"]) for event in service.events() if event["event"] == "request")


def report(tally: Tally) -> dict[str, Any]:
    """What the clients saw, in numbers."""
    seconds = sorted(tally.seconds) or [float("nan")]
    return {
        "statuses": dict(tally.statuses),
        "wrong": dict(tally.wrong),
        "median_seconds": statistics.median(seconds),
        "slowest_seconds": seconds[-1],
    }


def judge(verdict: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    """Each promise, whether it is kept, and what was found."""
    web, load, kill, stop = (verdict[part] for part in ("http", "load", "kill", "stop"))
    checks = {
        f"HTTP adds at most {MAX_OVERHEAD:.0%} to a 2K photograph": (
            web["overhead"] <= MAX_OVERHEAD,
            f"{web['overhead']:+.1%} ({web['bare_seconds']:.3f} s bare, {web['served_seconds']:.3f} s served)",
        ),
        "a stroke on a 2K photograph has its matte within 1 s": (
            web["stroke_seconds"] <= 1,
            f"{web['stroke_seconds']:.3f} s; preview of 1024: {web['stroke_preview_seconds']:.3f} s",
        ),
        f"memory stays within {MAX_GROWTH:.0%} after the warm-up": (
            abs(load["growth"]) <= MAX_GROWTH,
            f"{load['growth']:+.1%} of {load['first_bytes'] / 2**20:.0f} MiB",
        ),
        "the killed worker is replaced": (kill["is_replaced"], "yes" if kill["is_replaced"] else "no"),
        "stopping finishes what was accepted": (
            stop["exit_status"] == 0
            and set(stop["answered"]) <= {"200", "429"}
            and stop["answered"].get("200", 0) == stop["received"],
            f"exit status {stop['exit_status']}; answered {stop['answered']}; 200 received: {stop['received']}",
        ),
    }
    for name, part in (("load", load), ("kill", kill)):
        is_clean = set(part["statuses"]) <= {"200", "429"} and part["statuses"].get("200", 0) > 0
        checks[f"{name}: no error but 429"] = is_clean, str(part["statuses"])
    for name, part in (("load", load), ("kill", kill), ("stop", stop)):
        checks[f"{name}: every answer is the pipeline's"] = not part["wrong"], str(part["wrong"] or "none is wrong")
    return checks


def post(port: int, path: str, body: bytes, *, token: str = "") -> tuple[int | str, dict[str, str], bytes]:
    """Status, headers and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=180)
    try:
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "X-Encoding-Token": token}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def to_form(text: dict[str, bytes] | None = None, **files: bytes) -> bytes:
    """A form's body."""
    parts = [(name, "", value) for name, value in (text or {}).items()]
    parts += [(name, f'; filename="{name}"', value) for name, value in files.items()]
    body = b""
    for name, suffix, value in parts:
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{suffix}\r\n\r\n'
        body += head.encode() + value + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def to_png(picture: Image.Image) -> bytes:
    """The bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def is_same(answer: bytes, expected: np.ndarray) -> bool:
    """Whether an answer is the expected alpha, up to `LEVELS`."""
    alpha = np.asarray(Image.open(io.BytesIO(answer)))
    return alpha.shape == expected.shape and int(np.abs(alpha.astype(int) - expected).max()) <= LEVELS


if __name__ == "__main__":
    main()
