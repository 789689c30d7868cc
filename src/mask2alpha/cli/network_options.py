"""The options by which commands choose the network and how it runs."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from mask2alpha.model.config import DEFAULT_MODEL

Command = TypeVar("Command", bound=Callable[..., Any])

PLACES = "a shipped name, a .safetensors file or folder, or a hub id org/name"
"""What `--model` takes."""

trust_option = click.option(
    "--trust",
    type=click.FloatRange(0, 1),
    help="How far masks are believed: 0 for rough ones, 1 for those that are right to a pixel.  [default: 0.5]",
)
steps_option = click.option(
    "--steps", "num_steps", type=click.IntRange(min=1), help="Number of decoding steps.  [default: the model's]"
)
threshold_option = click.option(
    "--error-threshold",
    type=click.FloatRange(0, 1),
    help="Recompute pixels whose predicted error is higher.  [default: the model's]",
)


def model_option(
    name: str = "source", *, what: str = "Model to use", places: str = PLACES
) -> Callable[[Command], Command]:
    """The option `--model`, whose default is the default model."""
    return click.option("--model", name, default=DEFAULT_MODEL, help=f"{what}: {places}.")


def budget_option(default: str = "no limit") -> Callable[[Command], Command]:
    """The option `--active-budget`."""
    help_text = f"Largest number of pixels recomputed per mask.  [default: {default}]"
    return click.option("--active-budget", type=click.IntRange(min=0), help=help_text)


def device_option(default: str = "cuda if available", *, what: str = "the network") -> Callable[[Command], Command]:
    """The option `--device`."""
    return click.option("--device", help=f"Device of {what}: cpu, cuda, cuda:1, mps.  [default: {default}]")


def dtype_option(default: str | None = None, *, note: str = "") -> Callable[[Command], Command]:
    """The option `--dtype`; None: the default is bfloat16 where the hardware has it."""
    shown = "  [default: bfloat16 if the hardware has it]" if default is None else ""
    return click.option(
        "--dtype",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        default=default,
        help=f"Number format of the network.{note}{shown}",
    )


def network_options(
    *, budget: str = "no limit", device: str = "cuda if available", places: str = PLACES
) -> Callable[[Command], Command]:
    """Give a command `source`, `trust`, `num_steps`, `error_threshold`, `active_budget`, `device` and `dtype`.

    Args:
        budget: What no `--active-budget` means.
        device: What no `--device` means.
        places: Where `--model` finds models.
    """
    options = (model_option(places=places), trust_option, steps_option, threshold_option, budget_option(budget))

    def add(command: Command) -> Command:
        for option in reversed((*options, device_option(device), dtype_option())):
            command = option(command)
        return command

    return add


def recorded(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings on which a matte depends, for the record of what made it; without a trust that is not given."""
    return {name: value for name, value in settings.items() if name != "device" and (name, value) != ("trust", None)}
