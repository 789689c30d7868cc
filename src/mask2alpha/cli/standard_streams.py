"""Where outputs go; and `-` as a picture's name: standard input, read once into a file, or standard output."""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import click

from mask2alpha.errors import InputError
from mask2alpha.imaging.reading import MAX_BYTES

Command = TypeVar("Command", bound=Callable[..., Any])


def out_option(told: str, **accepted: bool) -> Callable[[Command], Command]:
    """The required option `--out`, as `target`; `accepted` are options of `click.Path`."""
    kind = click.Path(path_type=Path, **accepted)
    return click.option("-o", "--out", "target", type=kind, required=True, help=told)


def is_stream(path: Path) -> bool:
    """Whether a path is `-`; a file of that name is `./-`."""
    return str(path) == "-"


def read_standard_input(*inputs: Path) -> tuple[Path, ...]:
    """The inputs of the running command, with `-` replaced by a file of what standard input holds.

    The file has the name stdin, and is removed when the command ends.

    Raises:
        InputError: Several inputs are `-`, another one is a folder, or standard input is a terminal or empty.
    """
    if not any(map(is_stream, inputs)):
        return inputs
    if sum(map(is_stream, inputs)) > 1:
        raise InputError("- (standard input) holds one picture; give a file for the other input")
    if any(path.is_dir() for path in inputs):
        raise InputError("- (standard input) is one picture; give a file, not a folder, for the other input")
    if sys.stdin.isatty():
        raise InputError("- is standard input, which is a terminal; pipe a picture into the command, or give a file")
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    if not data:
        raise InputError("- (standard input) is empty; pipe a picture into the command")
    file = Path(click.get_current_context().with_resource(TemporaryDirectory(prefix="mask2alpha-")), "stdin")
    file.write_bytes(data)
    return tuple(file if is_stream(path) else path for path in inputs)


def check_standard_output(target: Path) -> None:
    """Refuse to write a picture to a terminal.

    Raises:
        InputError: The target is `-`, and standard output is a terminal.
    """
    if is_stream(target) and sys.stdout.isatty():
        raise InputError("- is standard output, which is a terminal; redirect it (> alpha.png), or give a file for OUT")


def write_standard_output(data: bytes) -> None:
    """Write a picture to standard output."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
