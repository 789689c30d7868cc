"""What one worker does: it reads uploaded photos, writes mattes, and caches encodings and mattes."""

import hashlib
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeAlias

import numpy as np
import torch
from cachetools import LRUCache
from numpy.typing import NDArray

from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.imaging.decode import read_image, read_mask
from mask2alpha.imaging.encode import write_image
from mask2alpha.imaging.photo import Photo
from mask2alpha.ops.edges import EdgeOptions
from mask2alpha.ops.mask_fit import fit_mask
from mask2alpha.ops.masks import Mask, MaskChoice
from mask2alpha.ops.resize import resize
from mask2alpha.pipeline.abstract import AbstractPredictor
from mask2alpha.pipeline.matte import EncodedImage, Matte
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.preprocess import mask_to_tensor
from mask2alpha.pipeline.sharing import share_alpha
from mask2alpha.rendering import KINDS, OutputOptions, RenderedMatte, check_output, plain_colour, write_map
from mask2alpha.serving.hints import write_hints
from mask2alpha.serving.jobs import (
    MEDIA_TYPES,
    SUFFIXES,
    EncodeJob,
    HintsJob,
    Job,
    JobResult,
    MatteJob,
    MattingChoices,
    SelectJob,
    ShowJob,
    Target,
)
from mask2alpha.serving.pictures import active_map, step_maps
from mask2alpha.serving.problems import problem_of
from mask2alpha.serving.rough_masks import clip_box, mask_from_box, paint
from mask2alpha.serving.settings import MAX_SIDE
from mask2alpha.shapes import Size

Report: TypeAlias = Callable[[str, float], None]
"""Takes the name of the stage that begins and the share of the job that is done, in [0, 1]."""
SHOWN_QUALITY = 90
COLOURED = tuple(kind for kind, spec in KINDS.items() if spec.has_colours)
"""Outputs that need the estimated foreground, which takes longer than the matte."""
TRACED = frozenset(("active", "steps"))
"""Outputs that show what the network did."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadPhoto:
    """A photo and its encoding."""

    photo: Photo
    """As it was read, or shrunk to the job's `max_side`."""
    shown: Photo
    """The same in sRGB, as the network sees it."""
    encoded: EncodedImage
    full_size: Size
    """(height, width) of the upload, upright."""

    @property
    def scale(self) -> tuple[float, float]:
        """(x, y): pixels of the photo that is matted per pixel of the upload."""
        return self.encoded.size[1] / self.full_size[1], self.encoded.size[0] / self.full_size[0]

    @property
    def nbytes(self) -> int:
        """Size in memory in bytes."""
        encoding = self.encoded.encoding
        tensors = (self.encoded.pixels, encoding.tokens, *encoding.maps, encoding.thumbnail)
        arrays = {id(array): array for array in (self.photo.pixels, self.shown.pixels)}
        return sum(array.nbytes for array in arrays.values()) + sum(tensor.nbytes for tensor in tensors)


class EncodingCache(LRUCache[tuple[Any, ...], ReadPhoto | Matte]):
    """Keeps encodings and mattes within a number of bytes; the least recently used go first."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes, getsizeof=_count_bytes)

    def put(self, key: tuple[Any, ...], value: ReadPhoto | Matte) -> None:
        """Keep a value, unless it alone is too large."""
        with suppress(ValueError):
            self[key] = value

    def forget(self, first: str) -> None:
        """Drop everything whose key begins with `first`."""
        for key in [key for key in self if key[0] == first]:
            del self[key]


def _count_bytes(value: ReadPhoto | Matte) -> int:
    return value.nbytes if isinstance(value, ReadPhoto) else value.alpha.nbytes + value.coarse_error.nbytes


class JobRunner:
    """Runs jobs, one at a time."""

    def __init__(self, predictor: AbstractPredictor, *, max_pixels: int, max_bytes: int, cache_bytes: int) -> None:
        """Start with an empty cache.

        Args:
            predictor: Makes the mattes.
            max_pixels: Most pixels of any photo, mask or background.
            max_bytes: Most bytes of the file of any of them.
            cache_bytes: Most bytes of cached encodings and mattes.
        """
        self.predictor = predictor
        self.max_pixels = max_pixels
        self.max_bytes = max_bytes
        self.cache = EncodingCache(cache_bytes)

    def run(self, job: Job, report: Report) -> JobResult:
        """Run a job and write its outputs.

        Raises:
            ProblemError: A photo, mask or option cannot be used.
        """
        try:
            with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
                result = self._run(job, report)
            messages = dict.fromkeys(str(warning.message) for warning in caught if warning.category is UserWarning)
            return result.model_copy(update={"warnings": list(messages)})
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            if problem.kind == "too-much-memory":
                self.cache.clear()
            raise problem from error

    def _run(self, job: Job, report: Report) -> JobResult:
        if isinstance(job, EncodeJob):
            return _result(self._photo(job, report))
        if isinstance(job, SelectJob):
            return self._select(job, report)
        if isinstance(job, HintsJob):
            return self._hint(job, report)
        return self._show(job, report) if isinstance(job, ShowJob) else self._matte(job, report)

    def forget(self, key: str) -> None:
        """Drop what is cached of a photo."""
        self.cache.forget(key)

    def _photo(self, job: EncodeJob | SelectJob | HintsJob | MatteJob, report: Report) -> ReadPhoto:
        for side in (job.max_side, None):
            kept = self.cache.get((job.key, side)) if job.key else None
            if isinstance(kept, ReadPhoto) and (side == job.max_side or max(kept.full_size) <= (job.max_side or 0)):
                return kept
        report("reading", 0.0)
        photo = self._read(job.photo, "the photo")
        full_size = photo.size
        photo = shrink(photo, job.max_side)
        shown = photo.in_srgb()
        report("encoding", 0.1)
        read = ReadPhoto(photo=photo, shown=shown, encoded=self.predictor.encode(shown.pixels), full_size=full_size)
        if job.key:  # a photo that was not shrunk serves requests for the full size, too
            self.cache.put((job.key, None if read.encoded.size == full_size else job.max_side), read)
        return read

    def _show(self, job: ShowJob, report: Report) -> JobResult:
        report("reading", 0.0)
        photo = self._read(job.photo, "the photo")
        shown = shrink(photo, job.max_side).in_srgb().for_output(SUFFIXES[job.format], 8)
        report("writing", 0.5)
        path = job.folder / f"photo{SUFFIXES[job.format]}"
        write_image(path, shown.pixels, quality=SHOWN_QUALITY)
        return JobResult(
            width=photo.pixels.shape[1],
            height=photo.pixels.shape[0],
            is_16_bit=photo.pixels.dtype != np.uint8,
            file_name=path.name,
            media_type=MEDIA_TYPES[job.format],
        )

    @property
    def _selector(self) -> Predictor:
        if not isinstance(self.predictor, Predictor):
            raise InputError("the model of this service selects nothing; send a mask, a box or strokes")
        return self.predictor

    def _hint(self, job: HintsJob, report: Report) -> JobResult:
        selector, read = self._selector, self._photo(job, report)
        path = job.folder / "hints.json"
        write_hints(path, selector.find_tokens(read.encoded), scale=read.scale)
        return _result(read, file_name=path.name, media_type="application/json")

    def _select(self, job: SelectJob, report: Report) -> JobResult:
        selector, read, asked = self._selector, self._photo(job, report), job.selection
        report("masking", 0.5)
        given = self._read_mask(job.mask, "the mask", MaskChoice(), read) if job.mask else None
        x, y = read.scale

        def scaled(points: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
            return tuple((px * x, py * y) for px, py in points)

        selected = selector.select(
            read.encoded,
            points=scaled(asked.points),
            not_points=scaled(asked.not_points),
            strokes=[scaled(stroke) for stroke in asked.strokes],
            not_strokes=[scaled(stroke) for stroke in asked.not_strokes],
            boxes=[(left * x, top * y, right * x, bottom * y) for left, top, right, bottom in asked.boxes],
            mask=None if given is None else Mask(values=given),
            scale=asked.scale,
        )
        path = job.folder / "mask.png"
        write_image(path, selected * np.uint8(255))
        return _result(read, file_name=path.name, media_type="image/png")

    def _matte(self, job: MatteJob, report: Report) -> JobResult:
        for kind in job.outputs:
            _check_output(kind, job)
        read = self._photo(job, report)
        edges = EdgeOptions.parse(job.edges).scaled(min(read.scale))
        options = OutputOptions(bits=job.bits, background=self._background(job), edges=edges)
        options = options.with_colours(job.colours, job.despill)
        window = None if job.region is None else clip_box(job.region, read.encoded.size, name="region")
        predictor = configure(self.predictor, job, window and _grown(window, edges.reach, read.encoded.size))
        parts: dict[str, Path] = {}
        shares: list[float] = []
        for index, (mask, matte) in enumerate(self._mattes(predictor, job, read, window, report)):
            name = job.targets[index].name or f"object-{index + 1}"
            start, share = 0.2 + 0.8 * index / len(job.targets), 0.8 / len(job.targets)
            rendered = RenderedMatte(read.photo, matte, mask=mask, options=options)
            if not TRACED.isdisjoint(job.outputs):
                shares.append(float(active_map(matte.trace, read.encoded).mean()))
            for number, kind in enumerate(job.outputs):
                report(
                    "colours" if kind in COLOURED else "writing", start + share * (0.5 + number / len(job.outputs) / 2)
                )
                if kind == "active":
                    path = parts[f"{name}/active"] = _part(job, len(parts))
                    write_map(path, active_map(matte.trace, read.encoded), window)
                elif kind == "steps":
                    for part, values in step_maps(matte.trace, read.encoded).items():
                        path = parts[f"{name}/{part}"] = _part(job, len(parts))
                        write_map(path, values)
                else:
                    path = parts[f"{name}/{kind}"] = _part(job, len(parts))
                    rendered.write(path, kind, window=window)
        if not parts:
            raise InputError("an empty or a full mask has no steps to show")
        return _result(read, active_shares=shares, **pack(parts, job))

    def _mattes(
        self,
        predictor: AbstractPredictor,
        job: MatteJob,
        read: ReadPhoto,
        window: tuple[slice, slice] | None,
        report: Report,
    ) -> Iterator[tuple[NDArray[np.uint8], Matte]]:
        """The objects' masks and mattes, one by one unless they depend on each other."""

        def make(index: int) -> tuple[NDArray[np.uint8], Matte]:
            start, share = 0.2 + 0.8 * index / len(job.targets), 0.8 / len(job.targets)
            report("masking", start)
            mask = self._mask(job, job.targets[index], read)
            report("matting", start + 0.2 * share)
            return mask, self._predict(predictor, job, read, mask, window)

        made = map(make, range(len(job.targets)))
        if not job.exclusive or len(job.targets) == 1:
            yield from made
            return
        masks, mattes = zip(*made, strict=True)
        whole = self._predict(predictor, job, read, np.maximum.reduce(masks), window)
        yield from zip(masks, share_alpha(mattes, whole), strict=True)

    def _mask(self, job: MatteJob, target: Target, read: ReadPhoto) -> NDArray[np.uint8]:
        """The rough mask of one object, at the size at which the photo is matted."""
        size = read.encoded.size
        if target.mask is not None:
            mask = self._read_mask(job.masks[target.mask], f"mask {target.mask + 1}", job.mask_choice, read)
        elif target.box is not None:
            left, top, right, bottom = target.box
            x, y = read.scale
            mask = mask_from_box(read.encoded.image, (left * x, top * y, right * x, bottom * y))
        else:
            mask = np.zeros(size, dtype=np.uint8)
        return paint(mask, target.strokes, scale=read.scale) if target.strokes else mask

    def _predict(
        self,
        predictor: AbstractPredictor,
        job: MatteJob,
        read: ReadPhoto,
        mask: NDArray[np.uint8],
        window: tuple[slice, slice] | None,
    ) -> Matte:
        digest = hashlib.sha256(mask.tobytes()).digest()
        key = (job.key, job.max_side, digest, job.trust, job.steps, job.error_threshold, job.active_budget)
        has_trace = not TRACED.isdisjoint(job.outputs)
        kept = self.cache.get(key) if job.key and not has_trace else None
        if isinstance(kept, Matte):
            return kept
        if has_trace:
            assert isinstance(predictor, Predictor)
            matte = predictor.predict(read.encoded, Mask(values=mask), has_trace=True)
        else:
            matte = predictor.predict(read.encoded, Mask(values=mask))
        if job.key and window is None:  # of a region, the rest is coarse
            self.cache.put(key, replace(matte, trace=None))
        return matte

    def _background(self, job: MatteJob) -> Photo:
        """The background: an uploaded photo, or a colour as a photo of one pixel."""
        if job.background_photo is not None:
            return self._read(job.background_photo, "the background")
        return plain_colour(job.background, "background")

    def _read(self, path: Path, name: str) -> Photo:
        with _naming(path, name):
            photo = read_image(path, max_bytes=self.max_bytes, max_pixels=self.max_pixels)
        _check_sides(photo.pixels.shape, name)
        return photo

    def _read_mask(self, path: Path, name: str, choice: MaskChoice, read: ReadPhoto) -> NDArray[np.uint8]:
        """An uploaded mask, fitted to the upload and then scaled to the photo that is matted."""
        with _naming(path, name), warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
            values = read_mask(path, choice=choice, max_bytes=self.max_bytes, max_pixels=self.max_pixels)
            _check_sides(values.shape, name)
        notes = [str(warning.message).replace("the mask", name) for warning in caught]
        orientation = read.photo.orientation
        size = values.shape if values.shape == read.encoded.size else read.full_size
        mask, told = fit_mask(Mask(values=values), size, orientation=orientation, fit=choice.fit, name=name)
        for note in (*notes, *told):
            warnings.warn(note, stacklevel=2)
        fitted = mask.as_bytes()
        return fitted if fitted.shape == read.encoded.size else _scale_mask(fitted, read.encoded.size)


def configure(
    predictor: AbstractPredictor, job: MattingChoices, window: tuple[slice, slice] | None = None
) -> AbstractPredictor:
    """A predictor with the choices of a job; the network is shared.

    Args:
        predictor: The worker's predictor, which is left as it is.
        job: The job with the choices.
        window: Rows and columns of the photo, at the size at which it is matted, where detail is wanted; a PyTorch
            predictor recomputes no others.
    """
    choices = {
        "num_steps": job.steps,
        "error_threshold": job.error_threshold,
        "active_budget": job.active_budget,
        "region": window,
    }
    given: dict[str, Any] = {name: value for name, value in choices.items() if value is not None}
    if not isinstance(predictor, Predictor):
        assert given.keys() <= {"region"}
        return predictor
    configured = copy(predictor)
    configured.trust = predictor.trust if job.trust is None else job.trust
    configured.options = replace(predictor.options, **given)
    return configured


def shrink(photo: Photo, max_side: int | None) -> Photo:
    """Scale a photo down to a longest side; a photo that is not larger is returned as it is."""
    height, width = photo.pixels.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return photo
    factor = max_side / max(height, width)
    size = max(1, round(height * factor)), max(1, round(width * factor))
    dtype = photo.pixels.dtype
    full = torch.from_numpy(photo.pixels.astype(np.float32)).permute(2, 0, 1)[None]
    small = resize(full, size)[0].permute(1, 2, 0).numpy()
    pixels = small if dtype.kind == "f" else np.rint(small).clip(0, np.iinfo(dtype).max)
    return replace(photo, pixels=np.ascontiguousarray(pixels, dtype=dtype), alpha=None)


def pack(parts: dict[str, Path], job: MatteJob) -> dict[str, Any]:
    """Make one file of all outputs: the output itself, or a form or an archive of several."""
    if len(parts) == 1:
        return {"file_name": next(iter(parts.values())).name, "media_type": MEDIA_TYPES[job.format]}
    path = job.folder / "answer"
    suffix = SUFFIXES[job.format]
    if job.answer == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, part in parts.items():
                archive.write(part, f"{name}{suffix}")
        return {"file_name": path.name, "media_type": "application/zip"}
    boundary = token_hex(16)
    with path.open("wb") as file:
        for name, part in parts.items():
            file_name = name.replace("/", "_") + suffix
            file.write(
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n'
                f"Content-Type: {MEDIA_TYPES[job.format]}\r\n\r\n".encode()
            )
            file.write(part.read_bytes())
            file.write(b"\r\n")
        file.write(f"--{boundary}--\r\n".encode())
    return {"file_name": path.name, "media_type": f"multipart/form-data; boundary={boundary}"}


def _check_output(kind: str, job: MatteJob) -> None:
    """Check that the format of a job holds a kind of output; `active` and `steps` are maps.

    Raises:
        InputError: The format cannot hold it.
    """
    path = Path(f"picture{SUFFIXES[job.format]}")
    try:
        check_output(path, kind if kind in KINDS else "error", job.bits)
    except ImageFileError as error:
        raise InputError(f"{kind} cannot be written in this format: {str(error).removeprefix(f'{path}: ')}") from error


def _part(job: MatteJob, number: int) -> Path:
    return job.folder / f"{number}{SUFFIXES[job.format]}"


def _result(read: ReadPhoto, **more: Any) -> JobResult:
    is_16_bit = read.photo.pixels.dtype != np.uint8
    return JobResult(width=read.full_size[1], height=read.full_size[0], is_16_bit=is_16_bit, **more)


def _grown(window: tuple[slice, slice], reach: int, size: Size) -> tuple[slice, slice]:
    """A window with a margin, as far as there are pixels."""
    rows, columns = (
        slice(max(0, part.start - reach), min(part.stop + reach, side)) for part, side in zip(window, size, strict=True)
    )
    return rows, columns


def _scale_mask(mask: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Resize a mask; one with only two values keeps two values."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # the resizing is intended
        scaled = mask_to_tensor(Mask(values=mask), size, fit="stretch")[0, 0].numpy()
    return np.asarray(np.rint(scaled * 255), dtype=np.uint8)


def _check_sides(shape: tuple[int, ...], name: str) -> None:
    if max(shape[:2]) > MAX_SIDE:
        raise ImageFileError(f"{name}: {shape[1]} x {shape[0]} has a side of more than {MAX_SIDE} pixels")


@contextmanager
def _naming(path: Path, name: str) -> Iterator[None]:
    """Name the upload instead of its path in messages."""
    try:
        yield
    except ImageFileError as error:
        if isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from error
        raise ImageFileError(str(error).replace(str(path), name)) from error
