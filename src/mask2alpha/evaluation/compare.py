"""Run any number of methods on the same pairs: errors, time and memory of each.

Every method runs in a process of its own, so that its peak memory is its own. Pairs go to it one at a time, so that
time and memory are those of one photo with one mask (a model encodes the photo again for every mask). Each result is on
disk before the next pair starts:

    FOLDER/methods/NAME/method.json      what made the results, and on which machine
    FOLDER/methods/NAME/pairs.csv        one row per pair
    FOLDER/methods/NAME/costs.csv        one row per size, if sizes were asked for
    FOLDER/methods/NAME/alpha/KIND/*.png the mattes in 8 bits, to look at; scores are of the unrounded ones

A stopped run continues from there. A row counts only while the method (weights, settings, versions) and the pair's
files are the same; other rows, and failed ones, are made again.
"""

import contextlib
import json
import multiprocessing
import os
import platform
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import GuidedPair, check_size, read_alpha, read_mask_file
from mask2alpha.evaluation.metrics import MatteScores, check_packages, evaluate_matte
from mask2alpha.evaluation.peers import (
    PREDICTIONS,
    Matting,
    Method,
    find_source,
    identify_method,
    load_method,
    parse_method,
)
from mask2alpha.evaluation.rows import columns_of, from_row, read_rows, to_row, write_rows
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.encode import write_file, write_image
from mask2alpha.imaging.targets import check_inputs_stay
from mask2alpha.progress import track

PAIRS_FILE, COSTS_FILE, ABOUT_FILE = "pairs.csv", "costs.csv", "method.json"
_WARM_UP_SIZE, _WARM_UP_RADIUS = 256, 80
_Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """What one method did with one pair; its fields are the columns of the tables."""

    name: str
    """The photo's name."""
    kind: str
    """The kind of mask."""
    height: int
    """Side of the photo, in pixels; 0 if it could not be read."""
    width: int
    """Side of the photo, in pixels; 0 if it could not be read."""
    scores: MatteScores | None = None
    """The errors; None if it failed, or if only the cost was measured."""
    wall_s: float | None = None
    """From arrays in memory to the alpha, in seconds; None for mattes that were made elsewhere."""
    cpu_s: float | None = None
    """The same in seconds of all threads together."""
    peak_bytes: int | None = None
    """Peak resident memory of the process meanwhile, libraries included; None if the system does not say."""
    failure: str = ""
    """Why there is no matte; empty if there is one."""
    files: str
    """Digest of all input files."""

    @property
    def megapixels(self) -> float:
        """The photo's size."""
        return self.height * self.width / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodResults:
    """All results of one method."""

    method: Method
    """The method."""
    identity: str
    """`identify_method` of it."""
    machines: tuple[str, ...]
    """Where it ran; several if a run was continued elsewhere."""
    pairs: Mapping[_Key, PairResult]
    """By photo and kind, in the benchmark's order, with failures."""
    costs: tuple[PairResult, ...]
    """Time and memory on one photo at several sizes."""
    alpha_folder: Path
    """Its mattes, KIND/NAME.png, in 8 bits."""

    @property
    def failures(self) -> list[PairResult]:
        """The pairs, and the sizes, without a matte."""
        return [result for result in (*self.pairs.values(), *self.costs) if result.failure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Several methods on the same pairs."""

    title: str
    """The benchmark."""
    pairs: tuple[GuidedPair, ...]
    """Where their files are."""
    kinds: tuple[str, ...]
    """The kinds of masks, in order."""
    methods: tuple[MethodResults, ...]
    """In the order asked for; differences are taken to the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One row of a table."""

    pair: GuidedPair
    table: str
    """The table's file, `PAIRS_FILE` or `COSTS_FILE`."""
    files: str
    """Digest of the input files."""
    made_path: Path | None = None
    """A matte made elsewhere."""
    alpha_path: Path | None = None
    """Where the matte goes; None: nowhere."""
    megapixels: float | None = None
    """Measure the cost at this size and score nothing."""

    @property
    def key(self) -> _Key:
        return self.pair.name, self.pair.kind if self.megapixels is None else f"{self.megapixels:g} MP"


def compare(
    methods: Sequence[str],
    pairs: Iterable[GuidedPair],
    folder: Path | str,
    *,
    title: str,
    cost_sizes: Sequence[float] = (),
    redo: Sequence[str] = (),
) -> Comparison:
    """Run the methods on the pairs, one method after the other.

    Args:
        methods: As `peers.parse_method` reads them.
        pairs: The pairs, with files on disk.
        folder: Where results are kept; results of other methods in it stay.
        title: What was compared on, in words.
        cost_sizes: In megapixels: the first pair is also resized to each of them, to measure time and memory.
        redo: Labels of methods whose kept results are deleted first, for example after a change of code that neither
            weights nor versions show.

    Raises:
        InputError: SciPy is not installed, a method cannot be read or lacks what it needs, two have the same label, a
            label of `redo` is not one of them, there are no pairs, or a file to write is an input.
            What goes wrong while a method runs is recorded as that pair's failure instead.
    """
    check_packages()
    chosen = [parse_method(text) for text in methods]
    if not chosen:
        raise InputError("methods: got none, expected at least one")
    labels = [method.label for method in chosen]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"methods: {label!r} was given twice; distinguish them with :label=NAME")
    unknown = [label for label in redo if label not in labels]
    if unknown:
        raise InputError(f"redo: {', '.join(unknown)} is not one of the methods {', '.join(labels)}")
    identities = [identify_method(method) for method in chosen]
    all_pairs = tuple(pairs)
    if not all_pairs:
        raise InputError("pairs: got none, expected at least one")
    digests = {pair: _digest(pair.image_path, pair.alpha_path, pair.mask_path) for pair in all_pairs}
    folders = [Path(folder) / "methods" / _slug(method) for method in chosen]
    work = [
        list(_list_jobs(method, digests, method_folder, cost_sizes))
        for method, method_folder in zip(chosen, folders, strict=True)
    ]
    check_inputs_stay(_list_outputs(folders, work), list_inputs(chosen, all_pairs))
    for label, method_folder in zip(labels, folders, strict=True):
        if label in redo:
            _forget_results(method_folder)
    runs = zip(chosen, identities, work, folders, strict=True)
    return Comparison(
        title=title,
        pairs=all_pairs,
        kinds=tuple(dict.fromkeys(pair.kind for pair in all_pairs)),
        methods=tuple(_run_method(*run) for run in runs),
    )


def list_inputs(methods: Iterable[Method], pairs: Iterable[GuidedPair]) -> Iterator[Path]:
    """The files that a comparison reads."""
    for pair in pairs:
        yield from (pair.image_path, pair.alpha_path, pair.mask_path)
    for method in methods:
        source = find_source(method)
        if source is not None:
            yield from source.rglob("*") if source.is_dir() else [source]


def _list_outputs(folders: Iterable[Path], work: Iterable[Sequence[_Job]]) -> Iterator[Path]:
    for folder in folders:
        yield from (folder / name for name in (PAIRS_FILE, COSTS_FILE, ABOUT_FILE))
    yield from (job.alpha_path for jobs in work for job in jobs if job.alpha_path is not None)


def _list_jobs(
    method: Method, digests: Mapping[GuidedPair, str], folder: Path, cost_sizes: Sequence[float]
) -> Iterator[_Job]:
    is_made_elsewhere = method.name == PREDICTIONS
    for pair, digest in digests.items():
        made_path = Path(method.source or "") / pair.kind / f"{pair.name}.png" if is_made_elsewhere else None
        yield _Job(
            pair=pair,
            table=PAIRS_FILE,
            files=digest if made_path is None or not made_path.is_file() else _digest(made_path, salt=digest),
            made_path=made_path,
            alpha_path=folder / "alpha" / pair.kind / f"{pair.name}.png",
        )
    first, digest = next(iter(digests.items()))
    for size in () if is_made_elsewhere else cost_sizes:
        yield _Job(pair=first, table=COSTS_FILE, files=digest, megapixels=size)


def _run_method(method: Method, identity: str, jobs: Sequence[_Job], folder: Path) -> MethodResults:
    machines = _read_machines(folder, identity)
    if not machines:  # results of other weights or settings: first they go, then the new identity is written
        _forget_results(folder)
    results = {name: _read_results(folder / name) for name in (PAIRS_FILE, COSTS_FILE)}
    todo = [job for job in jobs if not _is_done(job, results[job.table].get(job.key))]
    if todo:
        machines = tuple(dict.fromkeys((*machines, describe_machine())))
        about = {"identity": identity, "text": method.text, "machines": machines}
        write_file(folder / ABOUT_FILE, f"{json.dumps(about, indent=2, ensure_ascii=False)}\n".encode())
    progress = track(method.label, unit="pair", total=len(jobs), done=len(jobs) - len(todo))
    with _Worker(method) as worker, progress as bar:
        for job in todo:
            table = results[job.table]
            table[job.key] = worker.run(job)
            write_rows(folder / job.table, columns_of(PairResult), map(to_row, table.values()))
            bar.update()
    return MethodResults(
        method=method,
        identity=identity,
        machines=machines,
        pairs={job.key: results[PAIRS_FILE][job.key] for job in jobs if job.table == PAIRS_FILE},
        costs=tuple(results[COSTS_FILE][job.key] for job in jobs if job.table == COSTS_FILE),
        alpha_folder=folder / "alpha",
    )


def _forget_results(folder: Path) -> None:
    for name in (PAIRS_FILE, COSTS_FILE):
        (folder / name).unlink(missing_ok=True)


def _is_done(job: _Job, result: PairResult | None) -> bool:
    if result is None or result.failure or result.files != job.files:
        return False
    return job.alpha_path is None or job.alpha_path.is_file()


class _Worker:
    """A process that runs one method; started with the first job, and again after it died."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self._pool: ProcessPoolExecutor | None = None
        self.process_id = 0

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process_id, signal.SIGTERM)  # shutdown alone would wait for a matte that nobody needs
            self._pool.shutdown()

    def run(self, job: _Job) -> PairResult:
        """The result of one job; a failure if the process dies."""
        try:
            if self._pool is None:
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(max_workers=1, mp_context=context, initializer=_begin)
                self.process_id = self._pool.submit(os.getpid).result()
            return self._pool.submit(_run_job, job, self._method.text).result()
        except BrokenProcessPool:
            self._pool = None
            return _result(job, failure="its process ended abruptly (out of memory?)")


def _begin() -> None:
    """Prepare the worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    os.dup2(2, 1)  # libraries print there, and the standard output is the report's
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's process would wait for jobs for ever if its parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@cache
def _load(text: str) -> tuple[Matting | None, str]:
    """A method, ready and warm, or the reason why it cannot be loaded."""
    method = parse_method(text)
    if method.name == PREDICTIONS:
        return None, ""
    try:
        matting = load_method(method)
    except Exception as error:  # every error is this method's failure and not the comparison's
        return None, _explain(error)
    _warm_up(matting)
    return matting, ""


def _warm_up(matting: Matting) -> None:
    """Run once, so that the first pair's time does not include what libraries compile and allocate once."""
    y, x = np.mgrid[:_WARM_UP_SIZE, :_WARM_UP_SIZE] - _WARM_UP_SIZE // 2
    mask = np.hypot(y, x) < _WARM_UP_RADIUS
    image = np.stack([np.where(mask, 200, 60), 128 + x // 2, 128 + y // 2], axis=2).astype(np.uint8)
    with contextlib.suppress(Exception):  # if it fails on the pairs too, it is recorded there
        matting(image, mask)


def _run_job(job: _Job, text: str) -> PairResult:
    """Run a job in this process."""
    matting, reason = _load(text)
    if reason:
        return _result(job, failure=reason)
    size = (0, 0)
    costs: dict[str, Any] = {}
    try:
        image = read_image(job.pair.image_path).pixels
        mask = read_mask_file(job.pair.mask_path) > 127
        true_alpha = read_alpha(job.pair.alpha_path)
        size = (image.shape[0], image.shape[1])
        for path, shape in ((job.pair.mask_path, mask.shape), (job.pair.alpha_path, true_alpha.shape)):
            check_size(path, shape, "the photo", size)
        if job.megapixels is not None:
            image, mask = _resize_pair(image, mask, job.megapixels)
            size = mask.shape
        if job.made_path is not None:
            alpha: npt.NDArray[Any] = read_alpha(job.made_path)
            check_size(job.made_path, alpha.shape, "the photo", size)
        else:
            assert matting is not None
            alpha, costs = _measure(matting, image, mask)
        if alpha.shape != size:
            raise InputError(f"the matte has shape {alpha.shape}, expected {size}")
        scores = evaluate_matte(alpha, true_alpha) if job.megapixels is None else None
        if job.alpha_path is not None:
            write_image(job.alpha_path, np.rint(alpha * 255).astype(np.uint8))
    except Exception as error:  # every error is this pair's failure, and the other pairs go on
        return _result(job, size, failure=_explain(error))
    return _result(job, size, scores=scores, **costs)


def _measure(
    matting: Matting, image: npt.NDArray[Any], mask: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[Any], dict[str, Any]]:
    """A matte, and its time and memory."""
    _reset_peak()
    cpu_start, wall_start = time.process_time(), time.perf_counter()
    alpha = np.asarray(matting(image, mask))
    wall_s, cpu_s = time.perf_counter() - wall_start, time.process_time() - cpu_start
    return alpha, {"wall_s": wall_s, "cpu_s": cpu_s, "peak_bytes": _read_peak()}


def _result(job: _Job, size: tuple[int, ...] = (0, 0), **found: Any) -> PairResult:
    name, kind = job.key
    return PairResult(name=name, kind=kind, height=size[0], width=size[1], files=job.files, **found)


def _explain(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _resize_pair(
    image: npt.NDArray[Any], mask: npt.NDArray[np.bool_], megapixels: float
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    scale = np.sqrt(megapixels * 1e6 / mask.size)
    size_wh = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    narrow = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
    colours = Image.fromarray(narrow).resize(size_wh, Image.Resampling.BICUBIC)
    hint = Image.fromarray(mask.astype(np.uint8) * 255).resize(size_wh, Image.Resampling.BILINEAR)
    return np.asarray(colours), np.asarray(hint) > 127


def _reset_peak() -> None:
    """Start a new peak; if the system cannot, a pair's peak is the largest so far."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _read_peak() -> int | None:
    """Peak resident memory of this process in bytes."""
    with contextlib.suppress(OSError):
        # not getrusage: on Linux a new process inherits its parent's peak there
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
        if found:
            return int(found[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def describe_machine() -> str:
    """Processor, cores that this process may use, threads, and versions, in words."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        model = found[1].strip() if found else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS")
    return (
        f"{model}, {cores} core{'s' if cores > 1 else ''}"
        + (f", OMP_NUM_THREADS={threads}" if threads else "")
        + f", {platform.system()}, Python {platform.python_version()}, numpy {np.__version__}"
    )


def _slug(method: Method) -> str:
    """A folder's name for a method: readable, and different for different texts."""
    readable = re.sub(r"[^\w.=-]+", "_", method.label).strip("_.")[:60]
    return f"{readable or 'method'}-{sha256(method.text.encode()).hexdigest()[:6]}"


def _digest(*paths: Path, salt: str = "") -> str:
    digest = sha256(salt.encode())
    for path in paths:
        digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _read_machines(folder: Path, identity: str) -> tuple[str, ...]:
    """The machines of an earlier run of the same method; empty if there was none."""
    path = folder / ABOUT_FILE
    if not path.is_file():
        return ()
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return tuple(about["machines"]) if about["identity"] == identity else ()
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"output: {path} is not a result of a comparison; name another folder") from error


def _read_results(path: Path) -> dict[_Key, PairResult]:
    rows = read_rows(path, columns_of(PairResult), what="a comparison") if path.is_file() else []
    return {(row["name"], row["kind"]): from_row(PairResult, row) for row in rows}
