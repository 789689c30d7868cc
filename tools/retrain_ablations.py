"""Train a recipe without each part of the method, with several seeds, and write the table into docs/.

    python tools/retrain_ablations.py DATA ROOT... --output runs/ablations --recipe base

`DATA` is a folder as for `mask2alpha train --data`, each `ROOT` a guided folder to score on. Every network starts from
random weights, beside the published backbone, and takes the same number of steps on the same samples: those of its
seed. A variant whose first seed differs from the whole method's by more than `CLEAR` needs no further ones. Runs go one
after the other, `--only K/N` takes every N-th of them so that several cores can share the work; a stopped tool goes on,
and the table is written when all runs are there.
"""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parent))
from marked_pages import find_page, replace_between

DOCS = Path(__file__).parents[1] / "docs"
CLEAR = 0.05
"""Relative difference of the score from which on one seed is enough."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One training, and what it lacks."""

    name: str
    label: str
    overrides: tuple[str, ...] = ()
    paper: str = "-"
    """The paper's change of SAD against its own whole method (Tables 3, 4 and 5)."""
    recipes: tuple[str, ...] = ("base", "small")
    """The recipes that have the part."""


VARIANTS = (
    Variant("whole", "the whole method"),
    Variant(
        "no_backbone",
        "without the backbone's tokens",
        ("model.decoder.has_semantic_cue=False", "model.decoder.token_channels=0"),
        recipes=("base",),
    ),
    Variant("no_guidance", "without MGFSM", ("model.encoder.has_guidance=False",), "+27.3%"),
    Variant("no_iteration", "without iteration", ("model.decoder.is_iterative=False",), "+4.0%"),
    Variant("no_detail", "without detail stage", ('model.detail.selection="none"',), "+23.8%"),
    Variant("shm", "SHM in place of SGSDR", ('model.detail.selection="shm"',), "+9.0%"),
    Variant(
        "no_cues", "without colour cues", ("model.decoder.has_colour_cues=False", "model.detail.has_colour_cues=False")
    ),
    Variant("adamw", "AdamW in place of Muon", ("optim.name=adamw",)),
)


@click.command()
@click.argument("data", type=click.Path(exists=True))
@click.argument("roots", metavar="ROOT...", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False))
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Runs and scores.")
@click.option("--recipe", type=click.Choice(["base", "small"]), default="base", show_default=True)
@click.option("--steps", default=600, show_default=True, help="Optimiser steps of each network.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--size", default=320, show_default=True, help="Side of the crops.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A setting of every training.")
@click.option("--kind", "kinds", multiple=True, help="Score with masks of this kind.  [default: all]")
@click.option("--variant", "names", multiple=True, type=click.Choice([variant.name for variant in VARIANTS]))
@click.option("--only", default="1/1", metavar="K/N", help="Every N-th run, from the K-th (from 1).")
def main(
    data: str,
    roots: tuple[str, ...],
    output: Path,
    recipe: str,
    steps: int,
    seeds: int,
    size: int,
    overrides: tuple[str, ...],
    kinds: tuple[str, ...],
    names: tuple[str, ...],
    only: str,
) -> None:
    """Train, score, and write the table."""
    find_page(DOCS, "retrained")
    chosen = [variant for variant in VARIANTS if recipe in variant.recipes and (not names or variant.name in names)]
    runs = [(variant, seed) for seed in range(seeds) for variant in chosen]
    start, stride = (int(part) for part in only.split("/"))
    settings = (f"optim.num_steps={steps}", f"data.size={size}", "optim.warmup_steps=50", *overrides)
    for variant, seed in runs[start - 1 :: stride]:
        result = output / f"{variant.name}_{seed}.json"
        if not result.exists() and (seed == 0 or not is_clear(variant, output)):
            folder = result.with_suffix("")
            seconds = train(recipe, folder, data, (f"seed={seed}", *settings, *variant.overrides))
            scores = {Path(root).name: score(folder / "model.safetensors", root, kinds) for root in roots}
            partial = result.with_suffix(".part")
            partial.write_text(json.dumps({"seconds": seconds, "scores": scores}), encoding="utf-8")
            os.replace(partial, result)
    if all((output / f"{variant.name}_{seed}.json").exists() or is_clear(variant, output) for variant, seed in runs):
        conditions = (
            f"Each network: {steps} steps of the recipe `{recipe}` from random weights on crops of {size} px"
            + "".join(f", `{one}`" for one in overrides)
        )
        table = make_table(chosen, seeds, output, conditions, kinds)
        replace_between(DOCS, "retrained", table)
        print(table)


def train(recipe: str, folder: Path, data: str, settings: tuple[str, ...]) -> float:
    """Train one network with one thread; the seconds that it took."""
    words = ["train", recipe, "--data", data, "--run", str(folder), "--threads", "1"]
    options = [part for setting in settings for part in ("--set", setting)]
    subprocess.run([sys.executable, "-m", "mask2alpha", *words, *options], check=True)
    last = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1]
    return float(json.loads(last)["seconds"])


def is_clear(variant: Variant, output: Path) -> bool:
    """Whether the first seed of a variant and of the whole method are there, and so far apart that one is enough."""
    files = [output / f"{name}_0.json" for name in (variant.name, VARIANTS[0].name)]
    if variant is VARIANTS[0] or not all(file.exists() for file in files):
        return False
    own, whole = (mean_score(json.loads(file.read_text())) for file in files)
    return abs(own / whole - 1) > CLEAR


def mean_score(result: dict[str, Any]) -> float:
    """The mean over the sets, each of the same weight."""
    return float(statistics.mean(result["scores"].values()))


def score(weights: Path, root: str, kinds: tuple[str, ...]) -> float:
    """Mean SAD in thousands per megapixel, in float32 on one thread."""
    import torch

    from mask2alpha.evaluation.benchmarks import GuidedFolder
    from mask2alpha.evaluation.runner import evaluate, use_predictor
    from mask2alpha.model.mask2alpha import Mask2Alpha
    from mask2alpha.pipeline.predictor import Predictor

    torch.set_num_threads(1)
    predictor = Predictor(Mask2Alpha.from_pretrained(weights), dtype=torch.float32)
    scored = evaluate(use_predictor(predictor), GuidedFolder(root), kinds=kinds or None, predictor=str(weights))
    return scored.mean().sad_per_megapixel


def make_table(variants: list[Variant], seeds: int, output: Path, conditions: str, kinds: tuple[str, ...]) -> str:
    """The score of each set, averaged over the seeds, and each seed's difference to the whole method."""
    files = {variant.name: [output / f"{variant.name}_{seed}.json" for seed in range(seeds)] for variant in variants}
    found = {name: [json.loads(file.read_text()) for file in own if file.exists()] for name, own in files.items()}
    whole = [mean_score(one) for one in found["whole"]]
    roots = list(found["whole"][0]["scores"])
    lines = [
        f"|  | {' | '.join(f'`{root}`' for root in roots)} | against the whole, by seed | paper, against its whole |",
        "| --- |" + " ---: |" * (len(roots) + 2),
    ]
    for variant in variants:
        results = found[variant.name]
        means = [f"{statistics.mean(one['scores'][root] for one in results):.2f}" for root in roots]
        pairs = zip(results, whole, strict=False)
        against = "-" if variant is VARIANTS[0] else " ".join(f"{mean_score(one) / own - 1:+.1%}" for one, own in pairs)
        lines.append(f"| {variant.label} | {' | '.join(means)} | {against} | {variant.paper} |")
    spread = ", ".join(f"{one / statistics.mean(whole) - 1:+.1%}" for one in whole)
    repeats = (
        f"{seeds} seeds, but one where that differs by more than {CLEAR:.0%}. The whole method's seeds differ from "
        f"their mean by {spread}."
    )
    minutes = [one["seconds"] / 60 for results in found.values() for one in results]
    return "\n".join(
        [
            *lines,
            "",
            f"- {conditions}; {min(minutes):.0f} to {max(minutes):.0f} minutes on one core. Networks of a seed see the "
            f"same samples. {repeats if seeds > 1 else 'One seed.'}",
            f"- SAD in thousands per megapixel, mean over the masks ({', '.join(kinds) or 'all kinds'}), whole image, "
            "float32. The differences are those of the mean of the sets.",
        ]
    )


if __name__ == "__main__":
    main()
