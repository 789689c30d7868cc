"""Where outputs go: which names are files, which files are inputs and stay, and which folders can be written."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from mask2alpha.errors import InputError
from mask2alpha.imaging.atomic import remove_leftovers

_OTHER_FILES = frozenset((
    ".ai", ".apng", ".arw", ".avi", ".avif", ".bmp", ".cr2", ".cr3", ".csv", ".cur", ".dcm", ".dds", ".dng",
    ".dpx", ".eps", ".exr", ".flv", ".gif", ".hdr", ".heic", ".heif", ".htm", ".html", ".icns", ".ico",
    ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jpx", ".json", ".jxl", ".jxr", ".m2ts", ".m4v", ".md",
    ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nef", ".npy", ".npz", ".ogv", ".onnx", ".orf",
    ".pam", ".parquet", ".pbm", ".pcx", ".pdf", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".ps", ".psb", ".psd",
    ".pt", ".pth", ".qoi", ".raf", ".raw", ".rgb", ".rw2", ".safetensors", ".sgi", ".svg", ".tga", ".tif",
    ".tiff", ".ts", ".txt", ".wbmp", ".webm", ".webp", ".wmv", ".xbm", ".xcf", ".xpm", ".y4m", ".zip",
))  # fmt: skip
"""Suffixes of files: a folder is hardly ever called so. Other suffixes, as in `shots.v2`, may be those of folders."""


def names_a_file(target: Path, written: Sequence[str], *, accepted: str = "") -> bool:
    """Whether an output argument names a file; otherwise it names a folder.

    Args:
        target: As the user gave it. Whatever exists as a folder is one.
        written: Suffixes of the files that can be written, in lower case; the user may write them in upper case.
            Empty: only a folder is accepted.
        accepted: What messages call these suffixes.

    Raises:
        InputError: Files with this suffix are not written, or a file of another kind is in the way.
    """
    suffix = target.suffix.lower()
    accepted = f"{accepted or ', '.join(written)}, or a folder" if written else "a folder"
    if target.is_dir():
        return False
    if suffix in written:
        return True
    if suffix in _OTHER_FILES:
        raise InputError(f"{target}: cannot write {target.suffix}; accepted: {accepted}")
    if target.exists():
        raise InputError(f"{target} is a file whose suffix cannot be written; accepted: {accepted}")
    return False


def check_inputs_stay(outputs: Iterable[Path], inputs: Iterable[Path | str]) -> None:
    """Check that no output is an input, under whatever name or link.

    Raises:
        InputError: One is; the message names both.
    """
    kept: dict[object, Path | str] = {}
    for path in inputs:
        kept |= dict.fromkeys(_identities(path), path)
    for path in outputs:
        for identity in _identities(path):
            if identity in kept:
                raise InputError(f"{path} is an input and would be overwritten (as {kept[identity]}); give another OUT")


def _identities(path: Path | str) -> Iterator[object]:
    """The real path and, of what exists, the file itself: some file systems ignore case or the form of accents."""
    yield os.path.realpath(path)
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return
    yield found.st_dev, found.st_ino


def prepare_folder(folder: Path) -> None:
    """Make a folder if it is missing, remove what killed processes left in it, and check that it can be written.

    Raises:
        InputError: It cannot; the message says why.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror or error}") from error
