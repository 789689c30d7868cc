"""Files in a folder or an object store, by their URI.

A URI without a scheme is a local path. pyarrow handles `s3://` and `gs://`, fsspec all other schemes.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow
from pyarrow import fs as arrow_fs

from mask2alpha.errors import ImageFileError, InputError
from mask2alpha.imaging.atomic import replacing

_NATIVE_SCHEMES = ("s3", "gs", "gcs")


def is_local(uri: str) -> bool:
    """Whether the URI is a local path."""
    return "://" not in uri


def absolute(uri: str) -> str:
    """The URI, or the absolute path, which other processes understand as well."""
    return str(Path(uri).absolute()) if is_local(uri) else uri


def join(folder: str, name: str) -> str:
    """`name` below `folder`; an absolute path or a URI is returned as it is."""
    if is_local(folder):
        return name if "://" in name else str(Path(folder) / name)
    return name if "://" in name or name.startswith("/") else f"{folder.rstrip('/')}/{name}"


def parent(uri: str) -> str:
    """The folder of a file."""
    if is_local(uri):
        return str(Path(uri).parent)
    return uri.rstrip("/").rpartition("/")[0]


def file_system(uri: str) -> tuple[Any, str]:
    """The pyarrow file system of a URI, and its path there.

    Raises:
        InputError: The scheme is not supported.
    """
    if is_local(uri):
        return arrow_fs.LocalFileSystem(), str(Path(uri).absolute())
    scheme, _, path = uri.partition("://")
    host = path.partition("/")[0]
    try:
        return _remote(scheme, host if scheme in _NATIVE_SCHEMES else ""), path
    except (ImportError, ValueError, pyarrow.ArrowInvalid) as error:
        raise InputError(f"{uri}: cannot be reached: {error}") from error


@lru_cache
def _remote(scheme: str, host: str) -> Any:
    if scheme in _NATIVE_SCHEMES:
        return arrow_fs.FileSystem.from_uri(f"{scheme}://{host}")[0]
    import fsspec

    return arrow_fs.PyFileSystem(arrow_fs.FSSpecHandler(fsspec.filesystem(scheme)))


def list_files(folder: str) -> list[str]:
    """The URIs of the files directly in a folder, sorted, without hidden ones; none if the folder does not exist."""
    system, path = file_system(folder)
    found = system.get_file_info(arrow_fs.FileSelector(path, allow_not_found=True))
    names = [info.base_name for info in found if info.type == arrow_fs.FileType.File]
    return [join(folder, name) for name in sorted(names) if not name.startswith(".")]


def list_below(folder: str) -> set[str]:
    """The paths of all files below a folder, relative to it; none if the folder does not exist."""
    system, path = file_system(folder)
    found = system.get_file_info(arrow_fs.FileSelector(path, allow_not_found=True, recursive=True))
    top = path.strip("/")
    return {info.path.strip("/")[len(top) :].strip("/") for info in found if info.type == arrow_fs.FileType.File}


def read_stamp(uri: str) -> str:
    """Size and modification time of a file, which change when it is replaced; "" if it does not exist."""
    info = _file_info(uri)
    return "" if info.type != arrow_fs.FileType.File else f"{info.size}@{info.mtime_ns}"


def is_folder(uri: str) -> bool:
    """Whether the URI is a folder."""
    return bool(_file_info(uri).type == arrow_fs.FileType.Directory)


def exists(uri: str) -> bool:
    """Whether the file exists."""
    return bool(_file_info(uri).type == arrow_fs.FileType.File)


def _file_info(uri: str) -> arrow_fs.FileInfo:
    system, path = file_system(uri)
    return system.get_file_info(path)


def read_bytes(uri: str) -> bytes:
    """Read a file.

    Raises:
        OSError: It cannot be read; FileNotFoundError if it does not exist.
    """
    system, path = file_system(uri)
    with system.open_input_stream(path) as file:
        return bytes(file.read())


def write_bytes(uri: str, content: bytes) -> None:
    """Write a file whole or not at all; create missing folders.

    Raises:
        OSError: It cannot be written.
    """
    if is_local(uri):
        path = Path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        return
    system, path_there = file_system(uri)
    if uri.partition("://")[0] not in _NATIVE_SCHEMES:
        system.create_dir(str(PurePosixPath(path_there).parent), recursive=True)
    with system.open_output_stream(path_there) as file:  # an object appears when its upload is complete
        file.write(content)


def delete(uri: str) -> None:
    """Delete a file, if it exists."""
    system, path = file_system(uri)
    with suppress(FileNotFoundError):
        system.delete_file(path)


@contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """A local path of a file while the block runs; a local file is not copied.

    Raises:
        OSError: It cannot be read.
        ImageFileError: Raised in the block; the message names the URI in place of the copy.
    """
    if is_local(uri):
        yield Path(uri)
        return
    with TemporaryDirectory() as folder:
        copy = Path(folder) / PurePosixPath(uri).name
        copy.write_bytes(read_bytes(uri))
        try:
            yield copy
        except ImageFileError as error:
            raise ImageFileError(str(error).replace(str(copy), uri)) from error.__cause__


@contextmanager
def local_target(uri: str) -> Iterator[Path]:
    """A local path to write a file to; it is moved to its URI when the block ends without an error."""
    if is_local(uri):
        yield Path(uri)
        return
    with TemporaryDirectory() as folder:
        target = Path(folder) / PurePosixPath(uri).name
        yield target
        write_bytes(uri, target.read_bytes())
