"""The options that `eval`, `compare` and `ablate` share: a benchmark and its guidance masks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mask2alpha.errors import InputError

if TYPE_CHECKING:
    from mask2alpha.evaluation.benchmarks import Benchmark, Segment

Command = TypeVar("Command", bound=Callable[..., Any])


def benchmark_options(command: Command) -> Command:
    """Add the arguments `benchmark` and `root` and the options `kinds`, `recipes` and `mask_folder`."""
    decorators = (
        click.argument("benchmark", metavar="[BENCHMARK]"),
        click.argument("root", required=False, default=None),
        click.option(
            "--kinds",
            default=None,
            metavar="KIND,...",
            help="Score these kinds of masks, in this order.  [default: all]",
        ),
        click.option(
            "--masks",
            "recipes",
            default=None,
            metavar="RECIPE,...",
            help="Make the masks from the true alphas by these recipes: exact-v1, eroded-v1, dilated-v1, lowres-v1, "
            "perturbed-v1, or all.",
        ),
        click.option(
            "--mask-folder",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            default=None,
            help="Read the masks KIND/NAME.png from this folder.",
        ),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def format_option(command: Command) -> Command:
    """Add the option `style`: text, markdown or json."""
    return click.option(
        "--format",
        "style",
        type=click.Choice(["text", "markdown", "json"]),
        default="text",
        show_default=True,
        help="Format of the report.",
    )(command)


def open_chosen(
    benchmark: str,
    root: str | None,
    kinds: str | None,
    recipes: str | None,
    mask_folder: Path | None,
    segmenters: "Mapping[str, Segment] | None" = None,
) -> "Benchmark":
    """The benchmark that the two arguments name, with the masks that the options choose.

    Raises:
        click.UsageError: The arguments do not go together.
        InputError: The benchmark is neither known nor a folder, or its layout is wrong.
    """
    from mask2alpha.evaluation.benchmarks import Masks
    from mask2alpha.evaluation.masks import RECIPES
    from mask2alpha.evaluation.public_benchmarks import BENCHMARKS, open_benchmark

    if root is None and benchmark in BENCHMARKS:
        raise click.UsageError(f"ROOT is missing: the folder that holds {benchmark}")
    if root is not None and benchmark not in BENCHMARKS:
        raise click.UsageError(f"BENCHMARK: got {benchmark!r}, expected one of {', '.join(BENCHMARKS)}")
    if root is None and not Path(benchmark).is_dir():
        raise InputError(f"{benchmark}: neither a folder nor a benchmark; these are {', '.join(BENCHMARKS)}")
    names = _split(recipes)
    chosen = tuple(RECIPES) if names == ["all"] else tuple(names or ())
    if names is not None and not chosen:
        raise click.UsageError(f"--masks: got none, expected some of {', '.join(RECIPES)}, or all")
    masks = Masks(folder=mask_folder, kinds=_split(kinds), recipes=chosen, segmenters=dict(segmenters or {}))
    return open_benchmark(*(("folder", benchmark) if root is None else (benchmark, root)), masks=masks)


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
