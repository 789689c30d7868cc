"""Sends damaged files through decode, matte and encode in a child process, and counts what became of them.

File number i of a seed is always the same file. The child has a limit on memory and, per file, on processor time; what
kills it is counted, and a new child goes on behind the file that did.
"""

import multiprocessing
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from tests.fuzz.corpus import make_corpus
from tests.fuzz.mutations import mutate

MEMORY_BYTES = 2**30
"""What a child may take beyond what it has when it begins."""
FILE_SECONDS = 10
"""Processor time per file; a tiny picture takes a hundredth of one."""
STALL_SECONDS = 600
"""Without a sign of life for so long, a child sleeps forever."""
MAX_PIXELS, MAX_BYTES = 2**16, 2**20
GOOD = ("matted", "refused")


@dataclass(slots=True)
class Report:
    """What became of the files."""

    outcomes: Counter[str] = field(default_factory=Counter)
    per_kind: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[tuple[int, str, str, str]] = field(default_factory=list)
    """Number of the file, kind, outcome, what was told."""
    peak_bytes: int = 0


class Files:
    """The damaged files of a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.corpus = make_corpus()
        self.names = sorted(self.corpus)

    def make(self, index: int) -> tuple[str, bytes]:
        """File number `index`: the name of what it was made of, and its bytes."""
        rng = np.random.default_rng((self.seed, index))
        name, other = (self.names[int(rng.integers(len(self.names)))] for _ in range(2))
        return name, mutate(self.corpus[name], self.corpus[other], rng)


def fuzz(
    seed: int, *, first: int, count: int, seconds: float, keep: Path | None, tell: Callable[[str], None]
) -> Report:
    """Try files `first` to `first + count - 1`, or as many as the time allows."""
    report = Report()
    files = Files(seed)
    start, next_index, end = time.monotonic(), first, first + count
    while next_index < end and time.monotonic() - start < seconds:
        ours, theirs = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_work, args=(theirs, seed, next_index, end))
        child.start()
        theirs.close()
        try:
            while next_index < end and time.monotonic() - start < seconds:
                if not ours.poll(STALL_SECONDS):
                    raise EOFError
                name, outcome, message, peak = ours.recv()
                report.peak_bytes = max(report.peak_bytes, peak)
                _count(report, files, next_index, name, outcome, message, keep)
                next_index += 1
                if (next_index - first) % 5000 == 0:
                    tell(f"{next_index - first} files, {dict(report.outcomes)}")
        except EOFError:
            child.join(5)
            is_slow = child.exitcode is None or child.exitcode == -signal.SIGXCPU
            message = "stalled" if child.exitcode is None else f"exit code {child.exitcode}"
            name, _ = files.make(next_index)
            _count(report, files, next_index, name, "hang" if is_slow else "crash", message, keep)
            next_index += 1
        finally:
            child.kill()
            child.join()
            ours.close()
    return report


def _count(report: Report, files: Files, index: int, name: str, outcome: str, message: str, keep: Path | None) -> None:
    report.outcomes[outcome] += 1
    report.per_kind[name, outcome] += 1
    if outcome in GOOD:
        return
    report.failures.append((index, name, outcome, message))
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{files.seed}_{index}_{name}").write_bytes(files.make(index)[1])


def _work(connection: Connection, seed: int, first: int, end: int) -> None:
    """The child: file by file, one message each."""
    import warnings

    warnings.simplefilter("ignore")
    files = Files(seed)
    matte = _prepare_matting(files.corpus["rgb.png"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = _address_space() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for index in range(first, end):
        name, data = files.make(index)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        budget = int(usage.ru_utime + usage.ru_stime) + 1 + FILE_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (budget, resource.RLIM_INFINITY))
        outcome, message = _try(matte, data, index)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident
        connection.send((name, outcome, message, 1024 * peak))


def _address_space() -> int:
    with open("/proc/self/statm", encoding="utf-8") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def _prepare_matting(sound_file: bytes) -> Callable[[bytes, int], None]:
    """Load all that a file may need, and return what takes a file through."""
    import torch

    from mask2alpha.imaging.decode import decode_image, decode_mask
    from mask2alpha.imaging.encode import Tags, encode_image
    from mask2alpha.imaging.metadata import upright_xmp, without_gps_exif
    from mask2alpha.model.config import PRESETS
    from mask2alpha.model.mask2alpha import Mask2Alpha
    from mask2alpha.pipeline.predictor import Predictor

    torch.set_num_threads(1)
    torch.manual_seed(0)
    predictor = Predictor(Mask2Alpha(PRESETS["tiny"]), device="cpu", dtype=torch.float32, num_steps=1)
    limits: Any = {"max_pixels": MAX_PIXELS, "max_bytes": MAX_BYTES}

    def matte(data: bytes, index: int) -> None:
        is_mask = index % 8 == 0
        if is_mask:
            photo, mask = decode_image(sound_file, **limits), decode_mask(data, **limits)
        else:
            photo = decode_image(data, **limits)
            mask = np.zeros(photo.pixels.shape[:2], dtype=np.uint8)
            mask[: mask.shape[0] // 2 + 1, : mask.shape[1] // 2 + 1] = 255
        result = predictor.predict(photo.in_srgb().pixels, mask)
        if photo.pixels.dtype == np.uint8 and index % 4:  # colours take as long as the matte
            encode_image(np.rint(result.alpha * 255).astype(np.uint8), "a.png")
            return
        name = "a.exr" if photo.is_linear else "a.png"
        output = photo.for_output(name[1:])
        exif = None if photo.exif is None else without_gps_exif(photo.exif)
        xmp = None if photo.xmp is None else upright_xmp(photo.xmp, has_gps=False)
        tags = Tags(icc_profile=output.icc_profile, exif=exif, xmp=xmp)
        cutout = result.with_image(output.pixels).cutout()
        again = decode_image(encode_image(cutout, name, tags=tags), max_bytes=2**30)
        if not (np.array_equal(again.pixels, cutout[..., :3]) and np.array_equal(again.alpha, cutout[..., 3])):
            raise AssertionError("what was written is not what is read back")

    matte(sound_file, 4)
    return matte


def _try(matte: Callable[[bytes, int], None], data: bytes, index: int) -> tuple[str, str]:
    from mask2alpha.errors import ImageFileError, InputError

    try:
        matte(data, index)
    except (ImageFileError, InputError) as error:
        if "fit into memory" in str(error):
            return "memory", str(error)
        return "refused", ""
    except MemoryError as error:
        return "memory", str(error)
    except Exception as error:
        if "allocate memory" in str(error):
            return "memory", str(error)
        return "error", traceback.format_exc(limit=-4)
    return "matted", ""
