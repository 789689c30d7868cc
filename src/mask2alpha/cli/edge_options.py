"""The option of every command that writes mattes, for their edges."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mask2alpha.errors import InputError
from mask2alpha.ops.edges import RANGES, EdgeOptions

Command = TypeVar("Command", bound=Callable[..., Any])


def edge_option(command: Command) -> Command:
    """Give a command `--edges`, as `edges`, an `EdgeOptions`."""
    return click.option(
        "--edges",
        default="",
        metavar="NAME=VALUE,...",
        callback=parse_edges,
        help=f"Change the edge, such as shift=-1,feather=0.5. Names, applied in this order: {', '.join(RANGES)}.",
    )(command)


def parse_edges(ctx: click.Context, param: click.Parameter, value: str) -> EdgeOptions:
    """The controls in "shift=-1,feather=2"."""
    try:
        return EdgeOptions.parse(value)
    except InputError as error:
        raise click.BadParameter(str(error)) from error
