"""The `mask2alpha` command; each subcommand is a module beside this one, imported only when it is called."""

import errno
import sys
from importlib import import_module
from typing import Any

import click

from mask2alpha._version import __version__
from mask2alpha.errors import Mask2AlphaError

COMMANDS = {
    "matte": "Matte photos with guidance masks.",
    "video": "Matte every frame of a clip without flicker.",
    "mask": "Make a guidance mask from a box, points or strokes.",
    "serve": "Serve mattes over HTTP, with a web page.",
    "page": "Write the web page as files that need no service.",
    "batch": "Matte a manifest of photos, here or on a Ray cluster.",
    "eval": "Score mattes against true alphas.",
    "eval-prompts": "Score the masks that clicks, boxes and strokes give.",
    "compare": "Compare methods on the same photos and masks.",
    "explain": "Draw what the network does with a photo and a mask.",
    "ablate": "Score a model with and without parts of the method.",
    "train": "Train a model with a recipe.",
    "export": "Write a model as ONNX files.",
    "push": "Upload weights to the Hugging Face hub.",
    "mcp": "Serve agents over the Model Context Protocol.",
    "info": "Show versions, devices, and where the weights come from.",
    "doctor": "Check this installation, and what is missing for which feature.",
}
"""Subcommand (the module `mask2alpha.cli.<name>`, attribute `command`; - is _ there) to its line of help."""


class LazyGroup(click.Group):
    """Lists its subcommands without importing them, and turns expected errors into one line and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the subcommand's module."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"mask2alpha.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # a file name may have letters that the terminal's encoding lacks
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except Mask2AlphaError as error:
            raise OneLineError(str(error)) from error
        except MemoryError as error:
            raise OneLineError(f"not enough memory: {error}".removesuffix(": ")) from error
        except OSError as error:
            if error.errno in (None, errno.EPIPE):  # what no system call says; or the reader left, which click handles
                raise
            place = "" if error.filename is None else f"{error.filename}: "
            raise OneLineError(f"{place}{error.strerror}") from error


class OneLineError(click.ClickException):
    """Printed as "Error: ..."."""

    exit_code = 2


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="mask2alpha")
def main() -> None:
    """Make a full-resolution alpha matte from a photo and a rough mask."""
