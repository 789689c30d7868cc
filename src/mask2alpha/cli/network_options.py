"""The options by which `matte`, `video` and `batch` choose the network and how it runs."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mask2alpha.model.config import DEFAULT_MODEL

Command = TypeVar("Command", bound=Callable[..., Any])


def network_options(
    *, budget: str = "no limit", device: str = "cuda if available", places: str = ".safetensors file or folder"
) -> Callable[[Command], Command]:
    """Give a command `source`, `num_steps`, `error_threshold`, `active_budget`, `device` and `dtype`.

    Args:
        budget: What no `--active-budget` means.
        device: What no `--device` means.
        places: Files that `--model` takes.
    """
    options = (
        click.option(
            "--model",
            "source",
            default=DEFAULT_MODEL,
            show_default=True,
            help=f"Model to use: a shipped name, a {places}, or a hub id org/name.",
        ),
        click.option(
            "--steps", "num_steps", type=click.IntRange(min=1), help="Number of decoding steps.  [default: the model's]"
        ),
        click.option(
            "--error-threshold",
            type=click.FloatRange(0, 1),
            help="Recompute pixels whose predicted error is higher.  [default: the model's]",
        ),
        click.option(
            "--active-budget",
            type=click.IntRange(min=0),
            help=f"Largest number of pixels recomputed.  [default: {budget}]",
        ),
        click.option("--device", help=f"Device of the network: cpu, cuda, cuda:1, mps.  [default: {device}]"),
        click.option(
            "--dtype",
            type=click.Choice(["float32", "bfloat16", "float16"]),
            help="Number format of the network.  [default: bfloat16 if the hardware has it]",
        ),
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add
