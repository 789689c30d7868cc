"""Progress of long work on standard error: a bar for people, JSON lines for programs, or nothing.

Work counts through `track`; whoever calls it chooses the form with `show_progress`. A JSON line is
{"event": "progress", "task": "evaluate", "done": 12, "total": 91, "unit": "pair", "seconds": 8.4}.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

Form: TypeAlias = Literal["auto", "bar", "json", "none"]
"""`auto` is a bar where standard error is a terminal, and nothing elsewhere."""

Count: TypeAlias = int | float

FORMS: tuple[Form, ...] = get_args(Form)
_SECONDS_BETWEEN_LINES = 0.1
_form: ContextVar[Form] = ContextVar("form", default="none")


@runtime_checkable
class Progress(Protocol):
    """What counts the steps of one task."""

    n: Count
    total: Count | None

    def update(self, n: Count = 1) -> Any:
        """Count further steps."""


@contextmanager
def show_progress(form: Form) -> Iterator[None]:
    """Choose how the work in a block shows its progress; outside of such a block nothing is shown."""
    before = _form.set(form)
    try:
        yield
    finally:
        _form.reset(before)


def track(task: str, *, unit: str, total: Count | None = None, done: Count = 0) -> AbstractContextManager[Progress]:
    """Count the steps of a task in a block.

    Args:
        task: What is done, in a word or two.
        unit: What is counted.
        total: Number of steps; None: not known yet.
        done: Number of steps done by an earlier run.
    """
    from tqdm import tqdm

    form = _form.get()
    if form == "json":
        return _JsonLines(task, unit, total, done)
    is_hidden = {"auto": None, "bar": False, "none": True}[form]
    return tqdm(desc=task, unit=unit, total=total, initial=done, disable=is_hidden)


class _JsonLines:
    """A line at the start, at most ten a second after it, and one at the end."""

    def __init__(self, task: str, unit: str, total: Count | None, done: Count) -> None:
        self.n, self.total = done, total
        self._about = {"event": "progress", "task": task, "unit": unit}
        self._started = self._written = time.monotonic()

    def __enter__(self) -> "_JsonLines":
        self._write()
        return self

    def update(self, n: Count = 1) -> None:
        self.n += n
        if time.monotonic() - self._written >= _SECONDS_BETWEEN_LINES:
            self._write()

    def __exit__(self, *error: object) -> None:
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        counted = {"done": self.n, "total": self.total, "seconds": round(self._written - self._started, 1)}
        print(json.dumps(self._about | counted), file=sys.stderr, flush=True)  # noqa: T201
