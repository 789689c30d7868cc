"""Writing a file whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; what was written there takes the place of `path` when the block ends well.

    A reader sees the old file or the new one, never a part; an interrupted block leaves nothing behind. Who may read
    the file is up to the process's umask, whatever the writer used: some libraries write for the owner alone.
    """
    temporary = path.with_name(f".{uuid4().hex}.part")
    try:
        temporary.touch(exist_ok=False)
        usual_mode = temporary.stat().st_mode
        temporary.unlink()
        yield temporary
        temporary.chmod(usual_mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
