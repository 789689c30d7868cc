"""The option of every long command, for its progress."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mask2alpha.progress import FORMS, Form, show_progress

Command = TypeVar("Command", bound=Callable[..., Any])


def progress_option(command: Command) -> Command:
    """Give a command `--progress`, which counts until the command ends."""
    return click.option(
        "--progress",
        type=click.Choice(FORMS),
        default="auto",
        expose_value=False,
        callback=_choose,
        help="Progress on standard error: a bar, JSON lines for programs, or none; auto is a bar on terminals.",
    )(command)


def _choose(ctx: click.Context, param: click.Parameter, value: Form) -> None:
    ctx.with_resource(show_progress(value))
