"""A batch from manifest to table: find the rows that are left, run them, merge the results."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mask2alpha.batch import results, storage
from mask2alpha.batch.manifest import Manifest, Row, make_chunks
from mask2alpha.batch.results import Result
from mask2alpha.batch.worker import ATTEMPTS, WorkerSettings, output_uri, read_stamps
from mask2alpha.checkpoints import find_checkpoint
from mask2alpha.errors import InputError
from mask2alpha.imaging.atomic import remove_leftovers
from mask2alpha.imaging.made import digest
from mask2alpha.imaging.targets import check_inputs_stay

_IDENTITY = ("kinds", "trust", "num_steps", "error_threshold", "active_budget", "dtype")
"""Settings that decide what a matte looks like."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of a batch."""

    num_matted: int
    """Number of rows matted in this run."""
    num_before: int
    """Number of rows matted by earlier runs."""
    failures: list[Result]
    """The rows of the manifest that were set aside, by this run or an earlier one."""


def run_batch(
    manifest: Manifest,
    settings: WorkerSettings,
    engine: Callable[[Sequence[tuple[Row, ...]], WorkerSettings], Iterator[Result]],
    *,
    chunk_size: int = 32,
    has_overwrite: bool = False,
    retries_failed: bool = False,
    on_start: Callable[[int, int], None] = lambda total, num_before: None,
    on_result: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Matte the rows of a manifest that have no result yet, or whose files have changed since.

    Args:
        manifest: The rows.
        settings: Model, outputs and folder.
        engine: `run_here`, or `run_on_ray` with its pool bound.
        chunk_size: Number of rows that a worker is given at a time.
        has_overwrite: Discard earlier results and matte every row again.
        retries_failed: Retry the rows that earlier runs set aside.
        on_start: Called with the number of rows and the number of those that have a result.
        on_result: Called with each result.

    Returns:
        The outcome; OUT/results.parquet has the result of each row.

    Raises:
        InputError: OUT holds mattes made with other settings, or an output would overwrite an input or, unless
            `has_overwrite`, a file of the user's.
        CheckpointError: The model cannot be found.
    """
    out = settings.out
    _check_inputs_stay(manifest, settings)
    written = {
        storage.join(out, f"{kind}/{name}")
        for kind in settings.kinds
        for name in storage.list_below(storage.join(out, kind))
    }
    if not has_overwrite:
        _check_own_files_stay(manifest, settings, written)
    identity = {key: value for key, value in asdict(settings).items() if key in _IDENTITY}
    identity |= {"kinds": list(settings.kinds), "model_sha256": _digest(settings.model)}
    identity["edges"] = settings.edges.text or None
    identity["colours"] = None if settings.colours == "clean" else settings.colours
    identity["compression"] = None if settings.compression == "zip" else settings.compression
    identity["color_space"] = settings.colour_space
    identity["despill"] = settings.despill or None
    if has_overwrite:
        results.forget(out)
    results.check_settings(out, identity)
    known = results.merge_parts(out)
    todo = [
        row
        for row in manifest.rows
        if not _is_settled(known.get(row.name), row, settings, written, retries_failed=retries_failed)
    ]
    num_before = len(manifest.rows) - len(todo)
    on_start(len(manifest.rows), num_before)
    num_failed_before = sum(known[row.name].reason is not None for row in set(manifest.rows) - set(todo))
    num_matted = 0
    try:
        if todo:
            for result in engine(make_chunks(todo, chunk_size), settings):
                num_matted += result.reason is None
                on_result(result)
    finally:
        known = results.merge_parts(out)
        if storage.is_local(out):
            for folder in (*settings.kinds, results.PARTS, ATTEMPTS):  # temporary files of killed workers
                remove_leftovers(Path(out) / folder)
    names = {row.name for row in manifest.rows}
    failures = [result for result in known.values() if result.reason is not None and result.name in names]
    return Report(num_matted, num_before - num_failed_before, failures)


def _is_settled(
    result: Result | None, row: Row, settings: WorkerSettings, written: set[str], *, retries_failed: bool
) -> bool:
    """Whether a row needs no work: it failed before, or its outputs exist and were made from these files."""
    if result is None or result.row != row:
        return False
    if result.reason is not None:
        return not retries_failed
    outputs = (output_uri(settings, kind, row.name) for kind in settings.kinds)
    return result.made_from == read_stamps(settings.base, row) and all(output in written for output in outputs)


def _check_inputs_stay(manifest: Manifest, settings: WorkerSettings) -> None:
    inputs = [storage.join(manifest.base, path) for row in manifest.rows for path in (row.photo, row.mask)]
    outputs = [output_uri(settings, kind, row.name) for row in manifest.rows for kind in settings.kinds]
    outputs.append(storage.join(settings.out, results.TABLE))
    if remote := set(inputs).intersection(outputs):
        raise InputError(f"{min(remote)} is an input and would be overwritten; give another OUT")
    local = [[Path(uri) for uri in uris if storage.is_local(uri)] for uris in (outputs, inputs)]
    check_inputs_stay(*local)


def _check_own_files_stay(manifest: Manifest, settings: WorkerSettings, written: set[str]) -> None:
    """Check that a batch that begins in OUT replaces no file of the user's."""
    if results.has_begun(settings.out):
        return
    outputs = (output_uri(settings, kind, row.name) for row in manifest.rows for kind in settings.kinds)
    if (taken := next((output for output in outputs if output in written), None)) is not None:
        raise InputError(f"{taken} exists and was not made by this batch; --overwrite replaces it")


def _digest(model: str) -> str:
    """SHA-256 of the weights."""
    with storage.local_copy(model) as copy:
        return digest(find_checkpoint(model) if storage.is_local(model) else copy)
