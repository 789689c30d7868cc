"""Run any number of methods on the same pairs: errors, time and memory of each.

Every method runs in a process of its own, so that its peak memory is its own; pairs go to it one at a time, so that
time and memory are those of one photograph with one mask (a model encodes the photograph again for every mask). Each
result is on disk before the next pair starts:

    FOLDER/methods/NAME/method.json      what made the results, and on which machine
    FOLDER/methods/NAME/pairs.csv        one row a pair
    FOLDER/methods/NAME/costs.csv        one row a size, where sizes were asked for
    FOLDER/methods/NAME/alpha/KIND/*.png the mattes in 8 bits, to look at; scores are of the unrounded ones

A run that was stopped goes on from there. A row counts only while the method (weights, settings, versions) and the
pair's files are still the same; others, and failed ones, are made again.
"""

import contextlib
import json
import multiprocessing
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from mask2alpha.errors import InputError
from mask2alpha.evaluation.benchmarks import GuidedPair, check_size, read_alpha
from mask2alpha.evaluation.metrics import MatteScores, check_packages, evaluate_matte
from mask2alpha.evaluation.peers import (
    PREDICTIONS,
    Matting,
    Method,
    identify_method,
    load_method,
    parse_method,
)
from mask2alpha.evaluation.rows import read_rows, write_rows
from mask2alpha.imaging.atomic import replacing
from mask2alpha.imaging.decode import read_image, read_mask
from mask2alpha.imaging.encode import write_image

METRICS = tuple(field.name for field in fields(MatteScores))
_COLUMNS = ("name", "kind", "height", "width", *METRICS, "wall_s", "cpu_s", "peak_bytes", "failure", "files")
_WARM_UP_SIZE, _WARM_UP_RADIUS = 256, 80
_Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """What one method did with one pair."""

    name: str
    """The photograph's name."""
    kind: str
    """The kind of mask."""
    height: int
    """Side of the photo, in pixels; 0 if it could not be read."""
    width: int
    """Side of the photo, in pixels; 0 if it could not be read."""
    scores: MatteScores | None = None
    """The errors; None where it failed, or where only the cost was measured."""
    wall_s: float | None = None
    """From arrays in memory to the alpha, in seconds; None for mattes that were made elsewhere."""
    cpu_s: float | None = None
    """The same in seconds of all threads together."""
    peak_bytes: int | None = None
    """Peak resident memory of the process meanwhile, libraries included; None where the system does not tell."""
    failure: str = ""
    """Why there is no matte; empty where there is one."""
    files: str
    """Digest of all files that went in."""

    @property
    def key(self) -> _Key:
        """What tells pairs apart."""
        return self.name, self.kind

    @property
    def megapixels(self) -> float:
        """The photograph's size."""
        return self.height * self.width / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodResults:
    """All that is known of one method."""

    method: Method
    """The method."""
    identity: str
    """`identify_method` of it."""
    machines: tuple[str, ...]
    """Where it ran; several where a run was continued elsewhere."""
    pairs: Mapping[_Key, PairResult]
    """By photograph and kind, in the benchmark's order; failures too."""
    costs: tuple[PairResult, ...]
    """Time and memory on one photograph at several sizes."""
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
    pair: GuidedPair
    files: str
    extra_path: Path | None = None
    """A matte made elsewhere."""
    alpha_path: Path | None = None
    """Where the matte goes; None: nowhere."""
    megapixels: float | None = None
    """Measure the cost at this size and score nothing."""

    @property
    def kind(self) -> str:
        return self.pair.kind if self.megapixels is None else f"{self.megapixels:g} MP"


def compare(
    methods: Sequence[str],
    pairs: Iterable[GuidedPair],
    folder: Path | str,
    *,
    title: str,
    cost_sizes: Sequence[float] = (),
    redo: Sequence[str] = (),
    has_progress: bool = False,
) -> Comparison:
    """Run the methods on the pairs, one method after the other.

    Args:
        methods: As `peers.parse_method` reads them.
        pairs: The pairs, with files on disk.
        folder: Where results are kept; results of other methods in it stay.
        title: What was compared on, in words.
        cost_sizes: In megapixels: the first pair is also resized to each of them, to measure time and memory.
        redo: Labels of methods whose kept results are thrown away first: a model's after a change of code that neither
            its weights nor the version tell of.
        has_progress: Show a bar on the standard error stream.

    Raises:
        InputError: SciPy is not installed, a method cannot be read or lacks what it needs, two have the same label, a
            label of `redo` is not one of them, or there are no pairs.
            What goes wrong while a method runs is recorded as that pair's failure instead.
    """
    check_packages()
    chosen = [parse_method(text) for text in methods]
    if not chosen:
        raise InputError("methods: got none, expected at least one")
    labels = [method.label for method in chosen]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"methods: {label!r} is there twice; tell them apart with :label=NAME")
    unknown = [label for label in redo if label not in labels]
    if unknown:
        raise InputError(f"redo: {', '.join(unknown)} is not one of the methods {', '.join(labels)}")
    identities = [identify_method(method) for method in chosen]
    all_pairs = tuple(pairs)
    if not all_pairs:
        raise InputError("pairs: got none, expected at least one")
    digests = {pair: _digest(pair.image_path, pair.alpha_path, pair.mask_path) for pair in all_pairs}
    folders = [Path(folder) / "methods" / _slug(method) for method in chosen]
    for label, method_folder in zip(labels, folders, strict=True):
        if label in redo:
            _forget_results(method_folder)
    results = [
        _run_method(method, identity, digests, method_folder, cost_sizes, has_progress)
        for method, identity, method_folder in zip(chosen, identities, folders, strict=True)
    ]
    return Comparison(
        title=title,
        pairs=all_pairs,
        kinds=tuple(dict.fromkeys(pair.kind for pair in all_pairs)),
        methods=tuple(results),
    )


def _run_method(
    method: Method,
    identity: str,
    digests: Mapping[GuidedPair, str],
    folder: Path,
    cost_sizes: Sequence[float],
    has_progress: bool,
) -> MethodResults:
    is_made_elsewhere = method.name == PREDICTIONS
    about = _read_about(folder, identity)
    jobs = []
    for pair, digest in digests.items():
        extra = Path(method.source or "") / pair.kind / f"{pair.name}.png" if is_made_elsewhere else None
        files = digest if extra is None or not extra.is_file() else _digest(extra, salt=digest)
        alpha_path = folder / "alpha" / pair.kind / f"{pair.name}.png"
        jobs.append(_Job(pair=pair, files=files, extra_path=extra, alpha_path=alpha_path))
    first = jobs[0]
    cost_jobs = [
        _Job(pair=first.pair, files=first.files, megapixels=size) for size in cost_sizes if not is_made_elsewhere
    ]
    if not about:  # results of other weights or settings: first they go, then the new identity is written
        _forget_results(folder)
    done, costs = (_read_results(folder / name) for name in ("pairs.csv", "costs.csv"))
    work = [(job, done, folder / "pairs.csv") for job in jobs] + [
        (job, costs, folder / "costs.csv") for job in cost_jobs
    ]
    machine = describe_machine()
    todo = [entry for entry in work if not _is_done(entry[0], entry[1])]
    machines = tuple(dict.fromkeys((*about, *([machine] if todo else []))))
    if todo:
        _write_text(folder / "method.json", _dump({"identity": identity, "text": method.text, "machines": machines}))
    with (
        _Worker(method) as worker,
        tqdm(total=len(work), initial=len(work) - len(todo), desc=method.label, disable=not has_progress) as bar,
    ):
        for job, table, path in todo:
            table[job.pair.name, job.kind] = worker.run(job)
            _write_results(path, table)
            bar.update()
    return MethodResults(
        method=method,
        identity=identity,
        machines=machines,
        pairs={(job.pair.name, job.kind): done[job.pair.name, job.kind] for job in jobs},
        costs=tuple(costs[job.pair.name, job.kind] for job in cost_jobs),
        alpha_folder=folder / "alpha",
    )


def _forget_results(folder: Path) -> None:
    for name in ("pairs.csv", "costs.csv"):
        (folder / name).unlink(missing_ok=True)


def _is_done(job: _Job, table: Mapping[_Key, PairResult]) -> bool:
    result = table.get((job.pair.name, job.kind))
    if result is None or result.failure or result.files != job.files:
        return False
    return job.alpha_path is None or job.alpha_path.is_file()


class _Worker:
    """A process that runs one method; started with the first job, and again after it died."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._connection: Connection[Any, Any] | None = None

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._forget()

    def run(self, job: _Job) -> PairResult:
        """The result of one job; a failure where the process dies of it."""
        if self._connection is None:
            self._connection, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_serve, args=(self._method, theirs), daemon=True)
            self._process.start()
            theirs.close()
        try:
            self._connection.send(job)
            result = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            self._forget()
            return _result(
                job, failure=f"its process ended with exit code {code}" + (" (memory?)" if code == -9 else "")
            )
        assert isinstance(result, PairResult)
        return result

    def _forget(self) -> None:
        self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def _serve(method: Method, connection: "Connection[Any, Any]") -> None:
    """The worker's life: load the method, warm it up, then answer jobs until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    os.dup2(2, 1)  # libraries print there, and the standard output is the report's
    matting: Matting | None = None
    reason = ""
    if method.name != PREDICTIONS:
        try:
            matting = load_method(method)
        except Exception as error:  # whatever it is, it is this method's failure and not the comparison's
            reason = _explain(error)
        else:
            _warm_up(matting)
    with contextlib.suppress(EOFError, OSError):  # the other side is gone
        while True:
            job = connection.recv()
            connection.send(_result(job, failure=reason) if reason else _run_job(job, matting))


def _warm_up(matting: Matting) -> None:
    """Let libraries compile and allocate what they do once, so that the first pair's time is like the others'."""
    y, x = np.mgrid[:_WARM_UP_SIZE, :_WARM_UP_SIZE] - _WARM_UP_SIZE // 2
    mask = np.hypot(y, x) < _WARM_UP_RADIUS
    image = np.stack([np.where(mask, 200, 60), 128 + x // 2, 128 + y // 2], axis=2).astype(np.uint8)
    with contextlib.suppress(Exception):  # if it fails on the pairs too, it is recorded there
        matting(image, mask)


def _run_job(job: _Job, matting: Matting | None) -> PairResult:
    size = (0, 0)
    try:
        image = read_image(job.pair.image_path).pixels
        mask = read_mask(job.pair.mask_path) > 127
        true_alpha = read_alpha(job.pair.alpha_path)
        size = (image.shape[0], image.shape[1])
        for path, shape in ((job.pair.mask_path, mask.shape), (job.pair.alpha_path, true_alpha.shape)):
            check_size(path, shape, "the photo", size)
        if job.megapixels is not None:
            image, mask = _resize_pair(image, mask, job.megapixels)
            size = mask.shape
        if matting is None:
            assert job.extra_path is not None
            alpha: npt.NDArray[Any] = read_alpha(job.extra_path)
            check_size(job.extra_path, alpha.shape, "the photo", size)
            wall_s = cpu_s = peak_bytes = None
        else:
            _reset_peak()
            cpu_start, wall_start = time.process_time(), time.perf_counter()
            alpha = np.asarray(matting(image, mask))
            wall_s, cpu_s = time.perf_counter() - wall_start, time.process_time() - cpu_start
            peak_bytes = _read_peak()
        if alpha.shape != size:
            raise InputError(f"the matte has shape {alpha.shape}, expected {size}")
        scores = evaluate_matte(alpha, true_alpha) if job.megapixels is None else None
        if job.alpha_path is not None:
            write_image(job.alpha_path, np.rint(alpha * 255).astype(np.uint8))
    except Exception as error:  # whatever a method stumbles over is this pair's failure, and the others go on
        return _result(job, size, failure=_explain(error))
    return _result(job, size, scores=scores, wall_s=wall_s, cpu_s=cpu_s, peak_bytes=peak_bytes)


def _result(job: _Job, size: tuple[int, ...] = (0, 0), **found: Any) -> PairResult:
    return PairResult(name=job.pair.name, kind=job.kind, height=size[0], width=size[1], files=job.files, **found)


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
    """Start the peak anew; where the system cannot, a pair's peak is the largest so far."""
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


def _read_about(folder: Path, identity: str) -> tuple[str, ...]:
    """The machines of an earlier run of the same method; empty where there is none."""
    path = folder / "method.json"
    if not path.is_file():
        return ()
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return tuple(about["machines"]) if about["identity"] == identity else ()
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"output: {path} is not a result of a comparison; name another folder") from error


def _read_results(path: Path) -> dict[_Key, PairResult]:
    rows = read_rows(path, _COLUMNS, what="a comparison") if path.is_file() else []
    return {(row["name"], row["kind"]): _from_row(row) for row in rows}


def _from_row(row: Mapping[str, str]) -> PairResult:
    has_scores = row[METRICS[0]] != ""
    return PairResult(
        name=row["name"],
        kind=row["kind"],
        height=int(row["height"]),
        width=int(row["width"]),
        scores=MatteScores(**{metric: float(row[metric]) for metric in METRICS}) if has_scores else None,
        wall_s=float(row["wall_s"]) if row["wall_s"] else None,
        cpu_s=float(row["cpu_s"]) if row["cpu_s"] else None,
        peak_bytes=int(row["peak_bytes"]) if row["peak_bytes"] else None,
        failure=row["failure"],
        files=row["files"],
    )


def _write_results(path: Path, results: Mapping[_Key, PairResult]) -> None:
    rows = [asdict(result) | (asdict(result)["scores"] or {}) for result in results.values()]
    write_rows(path, _COLUMNS, [{column: row.get(column) for column in _COLUMNS} for row in rows])


def _dump(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
