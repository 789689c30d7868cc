"""The worker: mattes the rows of a chunk and writes their results.

A repeated chunk writes the same files again, so it can be repeated whenever it is not certain that it was finished.

A photo may end the whole process (memory runs out, a codec crashes), and the process cannot report that. So each chunk
has a note while it is in progress. If the note exists at the start, a worker died on this chunk; the note is then
rewritten before each photo, and a photo on which workers die repeatedly is set aside.
"""

import json
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TypeVar

import torch

from mask2alpha.batch import storage
from mask2alpha.batch.manifest import Row, parse_choice
from mask2alpha.batch.results import Result, chunk_name, write_part
from mask2alpha.checkpoints import load_model
from mask2alpha.errors import ImageFileError, Mask2AlphaError
from mask2alpha.imaging.decode import read_image
from mask2alpha.imaging.fitted_masks import read_fitted_mask
from mask2alpha.imaging.photo import Photo
from mask2alpha.model.config import DEFAULT_MODEL
from mask2alpha.ops.edges import EdgeOptions
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.pipeline.matte import EncodedImage
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.rendering import OutputOptions, RenderedMatte, output_suffix

ATTEMPTS = "_batch/attempts"
_LASTING_ERRORS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Settings of a worker, from which it builds its predictor."""

    base: str
    """The folder that the paths of the rows are relative to."""
    out: str
    """Folder or URI that receives the mattes and the results."""
    kinds: tuple[str, ...] = ("alpha",)
    """Kinds of output to make of each matte, from `rendering.KINDS`."""
    edges: EdgeOptions = field(default_factory=EdgeOptions)
    """How the edges of the mattes are changed."""
    compression: str = "zip"
    """Of OpenEXR files, as for `OutputOptions`."""
    colour_space: str | None = None
    """Of the photos, as for `Photo.taken_as`."""
    colours: str = "clean"
    despill: str | None = None
    """These as for `OutputOptions.with_colours`."""
    model: str = DEFAULT_MODEL
    """As for `load_model`, or a .safetensors file at any URI."""
    trust: float | None = None
    num_steps: int | None = None
    error_threshold: float | None = None
    active_budget: int | None = None
    device: str | None = None
    dtype: str | None = None
    """These as for `Predictor`."""
    threads: int | None = None
    """CPU threads of the network; None: PyTorch's choice."""
    retries: int = 2
    """Retries after a failure that may be transient, and number of workers that may die on a photo."""


def output_uri(settings: WorkerSettings, kind: str, name: str) -> str:
    """URI of a kind of output of a row."""
    return storage.join(settings.out, f"{kind}/{name}{output_suffix(kind, name, 'png')}")


def read_stamps(base: str, row: Row) -> str:
    """Stamps of the photo and the mask of a row, which change when one is replaced."""
    return " ".join(storage.read_stamp(storage.join(base, path)) for path in (row.photo, row.mask))


def build_predictor(settings: WorkerSettings) -> AbstractPredictor:
    """Load the model, once per worker."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    with storage.local_copy(settings.model) as source:  # a shipped name or hub id passes through unchanged
        model = load_model(settings.model if storage.is_local(settings.model) else source)
    return Predictor(
        model,
        device=settings.device,
        dtype=getattr(torch, settings.dtype) if settings.dtype else None,
        trust=settings.trust,
        num_steps=settings.num_steps,
        error_threshold=settings.error_threshold,
        active_budget=settings.active_budget,
    )


class Worker:
    """Holds the model and mattes chunks."""

    def __init__(
        self,
        settings: WorkerSettings,
        make_predictor: Callable[[WorkerSettings], AbstractPredictor] = build_predictor,
        pause_s: float = 1.0,
    ) -> None:
        """Build the predictor.

        Args:
            settings: Settings of the worker.
            make_predictor: Builds the predictor.
            pause_s: Pause before the first retry, in seconds; it doubles with each further one.
        """
        self.settings = settings
        self.predictor = make_predictor(settings)
        self.pause_s = pause_s

    def run(self, chunk: Sequence[Row]) -> Iterator[Result]:
        """Matte a chunk, in which rows of the same photo are together, and write its part of the results.

        Yields:
            The result of each row; the part is written after the last one.

        Raises:
            OSError: The results themselves cannot be written.
            RuntimeError: The GPU is lost; the process must end.
        """
        name = chunk_name(chunk)
        note = Note(storage.join(self.settings.out, f"{ATTEMPTS}/{name}.json"), self.settings.retries)
        self._retry(note.open)
        results: list[Result] = []
        try:
            for photo, rows in groupby(chunk, key=lambda row: row.photo):
                for result in self._matte_photo(photo, list(rows), note):
                    results.append(result)
                    yield result
        except (KeyboardInterrupt, SystemExit, GeneratorExit):  # asked to stop: no photo is to blame
            note.close()
            raise
        self._retry(lambda: write_part(self.settings.out, name, results))
        self._retry(note.close)

    def _matte_photo(self, path: str, rows: list[Row], note: "Note") -> list[Result]:
        num_deaths = self._retry(lambda: note.begin(path))
        if num_deaths > self.settings.retries:
            return [Result(*row, reason=f"{num_deaths} workers died on this photo") for row in rows]
        try:
            with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
                photo = self._retry(lambda: self._read(path, read_image)).taken_as(self.settings.colour_space)
                encoded = self._retry(lambda: self.predictor.encode(photo.in_srgb().pixels))
        except Exception as error:
            return [_failure(row, error) for row in rows]
        return [self._matte(photo, encoded, row, caught) for row in rows]

    def _matte(self, photo: Photo, encoded: EncodedImage, row: Row, before: list[warnings.WarningMessage]) -> Result:
        try:
            with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
                made_from = self._retry(lambda: read_stamps(self.settings.base, row))
                read_this = partial(
                    read_fitted_mask,
                    size=encoded.size,
                    orientation=photo.orientation,
                    choice=parse_choice(row.options),
                )
                mask = self._retry(lambda: self._read(row.mask, read_this))
                matte = self._retry(lambda: self.predictor.predict(encoded, mask))
                options = OutputOptions(compression=self.settings.compression, edges=self.settings.edges).with_colours(
                    self.settings.colours, self.settings.despill
                )
                rendered = RenderedMatte(photo, matte, mask=mask.as_bytes(), options=options)
                for kind in self.settings.kinds:
                    self._retry(lambda kind=kind: self._write(rendered, kind, row.name))  # type: ignore[misc]
        except Exception as error:
            return _failure(row, error)
        messages = dict.fromkeys(str(warning.message) for warning in (*before, *caught))
        height, width = matte.alpha.shape
        return Result(
            *row,
            warning="; ".join(messages) or None,
            height=height,
            width=width,
            coverage=float(rendered.matte.alpha.mean()),
            predicted_error=float(matte.predicted_error.mean()),
            made_from=made_from,
        )

    def _read(self, path: str, read: Callable[..., T]) -> T:
        with storage.local_copy(storage.join(self.settings.base, path)) as copy:
            return read(copy)

    def _write(self, rendered: RenderedMatte, kind: str, name: str) -> None:
        with storage.local_target(output_uri(self.settings, kind, name)) as path:
            rendered.write(path, kind)

    def _retry(self, call: Callable[[], T]) -> T:
        """Call, and repeat after a pause if the failure may be transient."""
        for attempt in range(self.settings.retries):
            try:
                return call()
            except Exception as error:
                if not may_pass(error):
                    raise
            time.sleep(self.pause_s * 2**attempt)
        return call()


class Note:
    """A file that says which photo of a chunk is in progress; it outlives a worker that dies."""

    def __init__(self, uri: str, retries: int) -> None:
        self.uri = uri
        self.retries = retries
        self.deaths: Counter[str] = Counter()
        """Number of workers that died on each photo."""
        self.is_careful = False
        """Whether a worker died on this chunk before; only then each photo is noted."""

    def open(self) -> None:
        """Read the note of a worker that died, or write a new one."""
        try:
            left = json.loads(storage.read_bytes(self.uri))
        except FileNotFoundError:
            self._write(None)
            return
        self.is_careful = True
        self.deaths = Counter(left["deaths"])
        if left["photo"] is not None:
            self.deaths[left["photo"]] += 1

    def begin(self, photo: str) -> int:
        """Note that a photo is next.

        Returns:
            Number of workers that died on it.
        """
        if self.is_careful:
            self._write(photo if self.deaths[photo] <= self.retries else None)
        return self.deaths[photo]

    def close(self) -> None:
        """Delete the note; no worker died."""
        storage.delete(self.uri)

    def _write(self, photo: str | None) -> None:
        storage.write_bytes(self.uri, json.dumps({"photo": photo, "deaths": self.deaths}).encode())


def may_pass(error: Exception) -> bool:
    """Whether the same call may succeed later: storage and memory recover, damaged files do not."""
    if isinstance(error, ImageFileError):
        cause = error.__cause__  # damaged files have no errno
        return isinstance(cause, OSError) and cause.errno is not None and not isinstance(cause, _LASTING_ERRORS)
    if isinstance(error, OSError):
        return not isinstance(error, _LASTING_ERRORS)
    if isinstance(error, RuntimeError):
        return "memory" in str(error) and not is_device_lost(error)
    return isinstance(error, MemoryError)


def is_device_lost(error: BaseException) -> bool:
    """Whether a GPU error makes this process unusable."""
    return isinstance(error, RuntimeError) and "CUDA error" in str(error)


def _failure(row: Row, error: Exception) -> Result:
    if is_device_lost(error):
        raise error
    message = " ".join(str(error).split())
    is_expected = isinstance(error, (Mask2AlphaError, OSError)) and message
    return Result(*row, reason=message if is_expected else f"{type(error).__name__}: {message}")
