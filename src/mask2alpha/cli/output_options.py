"""The options of commands that write mattes: what their files hold, the target's colours, and the edge."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mask2alpha.errors import InputError
from mask2alpha.imaging.exr import COMPRESSIONS
from mask2alpha.imaging.spaces import SPACES
from mask2alpha.ops.edges import RANGES, EdgeOptions
from mask2alpha.rendering import OutputOptions

Command = TypeVar("Command", bound=Callable[..., Any])


def _parse_edges(ctx: click.Context, param: click.Parameter, value: str) -> EdgeOptions:
    """The controls in "shift=-1,feather=2"."""
    try:
        return EdgeOptions.parse(value)
    except InputError as error:
        raise click.BadParameter(str(error)) from error


def _check_colours(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        OutputOptions().with_colours(**{str(param.name): value})
    except InputError as error:
        raise click.BadParameter(str(error)) from error
    return value


bits_option = click.option(
    "--bits",
    type=click.Choice(["8", "16", "32"]),
    callback=lambda ctx, param, value: value and int(value),
    help="Bits per sample: 8 or 16, or floating point: 32 in TIFF, 16 or 32 in EXR.  [default: as in the photo]",
)
compression_option = click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS, case_sensitive=False),
    default="zip",
    help="Compression of EXR files; dwaa and dwab are smaller and change colours a little, never alpha.",
)
space_option = click.option(
    "--color-space",
    "colour_space",
    type=click.Choice(list(SPACES), case_sensitive=False),
    help="What the numbers in the photos are; the outputs are in the same space.  [default: what the file says]",
)
edge_option = click.option(
    "--edges",
    default="",
    show_default=False,
    metavar="NAME=VALUE,...",
    callback=_parse_edges,
    help=f"Change the edge, such as shift=-1,feather=0.5. Names, applied in this order: {', '.join(RANGES)}.",
)


def colour_options(command: Command) -> Command:
    """Give a command `--colours` and `--despill`, the arguments of `OutputOptions.with_colours`."""
    despill = click.option(
        "--despill",
        metavar="COLOR[:SHARE]",
        callback=_check_colours,
        help="Remove the light of a screen of this colour: green, green:0.5.",
    )
    colours = click.option(
        "--colours",
        default="clean",
        metavar="clean|original|SHARE",
        callback=_check_colours,
        help="Estimate the target's own colours in soft edges, keep the photo's (faster), or go this share of the way.",
    )
    return colours(despill(command))


def background_option(outputs: str) -> Callable[[Command], Command]:
    """The option `--background` of a command that makes these outputs with one."""
    return click.option(
        "--background",
        default="white",
        metavar="COLOR|FILE",
        help=f"Background of {outputs}: a colour (name or #rrggbb) or a picture.",
    )
