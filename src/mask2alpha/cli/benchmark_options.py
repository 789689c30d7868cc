"""The options that `eval`, `compare` and `ablate` share: a benchmark and its guidance masks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mask2alpha.errors import InputError

if TYPE_CHECKING:
    from mask2alpha.evaluation.benchmarks import Benchmark, Segment


@dataclass(frozen=True, slots=True)
class BenchmarkChoice:
    """The benchmark that the two arguments name, with the masks that the options choose."""

    benchmark: str
    root: str | None
    kinds: str | None
    recipes: str | None
    mask_folder: Path | None

    def open(self, segmenters: "Mapping[str, Segment] | None" = None) -> "Benchmark":
        """List its files.

        Raises:
            click.UsageError: The arguments do not go together.
            InputError: The benchmark is neither known nor a folder, or its layout is wrong.
        """
        from mask2alpha.evaluation.benchmarks import Masks
        from mask2alpha.evaluation.masks import RECIPES
        from mask2alpha.evaluation.public_benchmarks import BENCHMARKS, open_benchmark

        name, root = ("folder", self.benchmark) if self.root is None else (self.benchmark, self.root)
        if self.root is None and root in BENCHMARKS:
            raise click.UsageError(f"ROOT is missing: the folder that holds {root}")
        if name not in BENCHMARKS:
            raise click.UsageError(f"BENCHMARK: got {name!r}, expected one of {', '.join(BENCHMARKS)}")
        if self.root is None and not Path(root).is_dir():
            raise InputError(f"{root}: neither a folder nor a benchmark; these are {', '.join(BENCHMARKS)}")
        names = _split(self.recipes)
        chosen = tuple(RECIPES) if names == ["all"] else tuple(names or ())
        if names is not None and not chosen:
            raise click.UsageError(f"--masks: got none, expected some of {', '.join(RECIPES)}, or all")
        masks = Masks(
            folder=self.mask_folder, kinds=_split(self.kinds), recipes=chosen, segmenters=dict(segmenters or {})
        )
        return open_benchmark(name, root, masks=masks)


def benchmark_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add two arguments and the options `--kinds`, `--masks` and `--mask-folder`, together as `chosen`."""

    @click.argument("benchmark", metavar="[BENCHMARK]")
    @click.argument("root", required=False, default=None)
    @click.option("--kinds", metavar="KIND,...", help="Score these kinds of masks, in this order.  [default: all]")
    @click.option(
        "--masks",
        "recipes",
        metavar="RECIPE,...",
        help="Make the masks from the true alphas by these recipes: exact-v1, eroded-v1, dilated-v1, lowres-v1, "
        "perturbed-v1, or all.",
    )
    @click.option(
        "--mask-folder",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Read the masks KIND/NAME.png from this folder.",
    )
    @wraps(command)
    def with_choice(
        benchmark: str,
        root: str | None,
        kinds: str | None,
        recipes: str | None,
        mask_folder: Path | None,
        **options: Any,
    ) -> Any:
        return command(chosen=BenchmarkChoice(benchmark, root, kinds, recipes, mask_folder), **options)

    return with_choice


format_option = click.option(
    "--format",
    "style",
    type=click.Choice(["text", "markdown", "json"]),
    default="text",
    help="Format of the report.",
)


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
