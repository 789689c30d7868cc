"""Writing a file whole or not at all."""

import os
import re
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

_TEMPORARY = re.compile(r"\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{12}\.part")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; what was written there takes the place of `path` when the block ends well.

    A reader sees the old file or the new one, never a part; an interrupted block leaves nothing behind. A process that
    is killed may leave the temporary file, which `remove_leftovers` finds by its name. Who may read the file is up to
    the process's umask, whatever the writer used: some libraries write for the owner alone.
    """
    temporary = path.with_name(f".{_host()}-{os.getpid()}-{uuid4().hex[:12]}.part")
    try:
        temporary.touch(exist_ok=False)
        usual_mode = temporary.stat().st_mode
        temporary.unlink()
        yield temporary
        temporary.chmod(usual_mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in a folder whose process has ended on this machine."""
    if os.name != "posix" or not folder.is_dir():  # elsewhere a process cannot be asked whether it lives
        return
    for file in folder.glob(".*.part"):
        name = _TEMPORARY.fullmatch(file.name)
        if name and name["host"] == _host() and not _is_alive(int(name["process"])):
            file.unlink(missing_ok=True)


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
