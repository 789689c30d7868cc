"""The options of every command that reads masks, for what a mask's values do not say."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

exclusive_option = click.option(
    "--exclusive",
    "is_exclusive",
    is_flag=True,
    help="Let the mattes of one photo or frame add up to at most 1, and to 1 where two targets touch.",
)


def mask_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--label`, `--channel`, `--invert` and `--fit`, together as `mask_choice`, a `MaskChoice`."""

    @click.option("--label", metavar="VALUE", help="The target in a map of labels: a value, palette index or #rrggbb.")
    @click.option(
        "--channel",
        metavar="NAME",
        help="The channel that is the mask: grey, alpha, red, green, blue, or a channel or layer of an EXR file.",
    )
    @click.option("--invert", "is_inverted", is_flag=True, help="The masks mark what is not the target.")
    @click.option(
        "--fit",
        type=click.Choice(["aspect", "stretch"]),
        default="aspect",
        help="Refuse masks of another aspect than the photo's, or stretch them.",
    )
    @wraps(command)
    def with_choice(
        *args: Any, label: str | None, channel: str | None, is_inverted: bool, fit: Any, **options: Any
    ) -> Any:
        from mask2alpha.ops.masks import MaskChoice

        choice = MaskChoice(label=label, channel=channel, is_inverted=is_inverted, fit=fit)
        return command(*args, mask_choice=choice, **options)

    return with_choice
