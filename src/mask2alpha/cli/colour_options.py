"""The options of every command that writes mattes, for the target's colours."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mask2alpha.errors import InputError
from mask2alpha.rendering import OutputOptions

Command = TypeVar("Command", bound=Callable[..., Any])


def colour_options(command: Command) -> Command:
    """Give a command `--colours` and `--despill`, the arguments of `OutputOptions.with_colours`."""
    for name, default, metavar, told in (
        (
            "--despill",
            None,
            "COLOR[:SHARE]",
            "Remove the light of a screen of this colour: green, green:0.5.",
        ),
        (
            "--colours",
            "clean",
            "clean|original|SHARE",
            "Estimate the target's own colours in soft edges, keep the photo's (faster), or go this share of the way.",
        ),
    ):
        command = click.option(
            name, default=default, show_default=default is not None, metavar=metavar, callback=_check, help=told
        )(command)
    return command


def _check(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        OutputOptions().with_colours(**{str(param.name): value})
    except InputError as error:
        raise click.BadParameter(str(error)) from error
    return value
