"""The options of commands that write mattes, for what their files hold."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mask2alpha.imaging.exr import COMPRESSIONS
from mask2alpha.imaging.spaces import SPACES

Command = TypeVar("Command", bound=Callable[..., Any])

compression_option = click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS, case_sensitive=False),
    default="zip",
    show_default=True,
    help="Compression of EXR files; dwaa and dwab are smaller and change colours a little, never alpha.",
)
space_option = click.option(
    "--color-space",
    "colour_space",
    type=click.Choice(list(SPACES), case_sensitive=False),
    help="What the numbers in the photos are; the outputs are in the same space.  [default: what the file says]",
)


def bits_option(command: Command) -> Command:
    """Give a command `--bits`, as `bits`."""
    return click.option(
        "--bits",
        type=click.Choice(["8", "16", "32"]),
        callback=lambda ctx, param, value: value and int(value),
        help="Bits per sample: 8 or 16, or floating point: 32 in TIFF, 16 or 32 in EXR.  [default: as in the photo]",
    )(command)
