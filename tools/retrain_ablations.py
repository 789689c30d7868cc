"""Train the small recipe without each part of the method, with several seeds, and write the table into docs/.

    python tools/retrain_ablations.py DATA ROOT --output runs/ablations

`DATA` is a folder as for `mask2alpha train --data`, `ROOT` a guided folder to score on. Every network
starts from random weights and takes the same number of steps on the same samples: those of its seed. A variant whose
first seed differs from the whole method's by more than `CLEAR` needs no further ones. Runs go one after the other,
`--only K/N` takes every N-th of them so that several cores can share the work; a stopped tool goes on, and the table is
written when all runs are there.
"""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent))
from marked_pages import find_page, replace_between

DOCS = Path(__file__).parents[1] / "docs"
METRICS = ("sad", "mse", "grad", "conn")
DEFAULT_STEPS = "2"
"""Decoding steps of the preset, with which variants are compared."""
CLEAR = 0.05
"""Relative difference of SAD from which on one seed is enough."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One training: what it lacks, and which decoding steps it is scored with."""

    name: str
    label: str
    overrides: tuple[str, ...]
    steps: tuple[int, ...] = ()
    """Empty: the preset's."""
    paper: tuple[str, ...] = ()
    """The paper's change of SAD against its own whole method, for each of `steps` (Tables 3, 4 and 5); "-": none."""


VARIANTS = (
    Variant("whole", "the whole method", (), (1, 2, 3, 6, 10, 20), ("-", "-", "+3.5%", "+0.8%", "+0.0%", "+0.0%")),
    Variant("no_guidance", "without MGFSM", ("model.encoder.has_guidance=False",), paper=("+27.3%",)),
    Variant("no_iteration", "without iteration", ("model.decoder.is_iterative=False",), paper=("+4.0%",)),
    Variant("no_detail", "without detail stage", ('model.detail.selection="none"',), paper=("+23.8%",)),
    Variant("shm", "SHM in place of SGSDR", ('model.detail.selection="shm"',), paper=("+9.0%",)),
    Variant(
        "no_cues", "without colour cues", ("model.decoder.has_colour_cues=False", "model.detail.has_colour_cues=False")
    ),
    Variant("adamw", "AdamW in place of Muon", ("optim.name=adamw",)),
)


@click.command()
@click.argument("data", type=click.Path(exists=True))
@click.argument("root", type=click.Path(exists=True, file_okay=False))
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), required=True, help="Runs and scores.")
@click.option("--steps", default=600, show_default=True, help="Optimiser steps of each network.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--size", default=320, show_default=True, help="Side of the crops.")
@click.option("--variant", "names", multiple=True, type=click.Choice([variant.name for variant in VARIANTS]))
@click.option("--only", default="1/1", metavar="K/N", help="Every N-th run, from the K-th (from 1).")
def main(
    data: str, root: str, output: Path, steps: int, seeds: int, size: int, names: tuple[str, ...], only: str
) -> None:
    """Train, score, and write the table."""
    find_page(DOCS, "retrained")
    chosen = [variant for variant in VARIANTS if not names or variant.name in names]
    runs = [(variant, seed) for seed in range(seeds) for variant in chosen]
    start, stride = (int(part) for part in only.split("/"))
    for variant, seed in runs[start - 1 :: stride]:
        if seed == 0 or not is_clear(variant, output):
            run(variant, seed, data, root, output, steps, size)
    if all((output / f"{variant.name}_{seed}.json").exists() or is_clear(variant, output) for variant, seed in runs):
        table = make_table(chosen, seeds, output, steps, size)
        replace_between(DOCS, "retrained", table)
        print(table)


def run(variant: Variant, seed: int, data: str, root: str, output: Path, steps: int, size: int) -> None:
    """Train one network and write its scores, unless they are there."""
    result = output / f"{variant.name}_{seed}.json"
    if result.exists():
        return
    folder = output / f"{variant.name}_{seed}"
    settings = (
        f"seed={seed}",
        f"optim.num_steps={steps}",
        f"data.size={size}",
        "optim.warmup_steps=50",
        *variant.overrides,
    )
    command = [
        sys.executable,
        "-m",
        "mask2alpha",
        "train",
        "small",
        "--data",
        data,
        "--run",
        str(folder),
        "--threads",
        "1",
    ]
    subprocess.run([*command, *(part for setting in settings for part in ("--set", setting))], check=True)
    seconds = json.loads((folder / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])["seconds"]
    scores = score(folder / "model.safetensors", variant.steps, root)
    partial = result.with_suffix(".part")
    partial.write_text(json.dumps({"seconds": seconds, "scores": scores}), encoding="utf-8")
    os.replace(partial, result)


def is_clear(variant: Variant, output: Path) -> bool:
    """Whether the first seed of a variant and of the whole method are there, and so far apart that one is enough."""
    files = [output / f"{name}_0.json" for name in (variant.name, VARIANTS[0].name)]
    if variant is VARIANTS[0] or not all(file.exists() for file in files):
        return False
    own, whole = (json.loads(file.read_text())["scores"][DEFAULT_STEPS]["sad"] for file in files)
    return bool(abs(own / whole - 1) > CLEAR)


def score(weights: Path, steps: tuple[int, ...], root: str) -> dict[str, dict[str, float]]:
    """Mean scores in bfloat16 by number of decoding steps."""
    import torch

    from mask2alpha.evaluation.benchmarks import GuidedFolder
    from mask2alpha.evaluation.runner import evaluate, use_predictor
    from mask2alpha.model.mask2alpha import Mask2Alpha
    from mask2alpha.pipeline.predictor import Predictor

    torch.set_num_threads(1)
    model = Mask2Alpha.from_pretrained(weights)
    benchmark = GuidedFolder(root)
    return {
        str(count): asdict(
            evaluate(
                use_predictor(Predictor(model, dtype=torch.bfloat16, num_steps=count)),
                benchmark,
                predictor=f"{count} steps",
            ).mean()
        )
        for count in steps or (model.config.decoder.num_steps,)
    }


def make_table(variants: list[Variant], seeds: int, output: Path, steps: int, size: int) -> str:
    """Means over the seeds, the SAD of each seed, and its difference to the whole method with the same seed."""
    files = {variant.name: [output / f"{variant.name}_{seed}.json" for seed in range(seeds)] for variant in variants}
    found = {name: [json.loads(file.read_text()) for file in own if file.exists()] for name, own in files.items()}
    reference = [one["scores"][DEFAULT_STEPS]["sad"] for one in found["whole"]] if "whole" in found else None
    lines = [
        "|  | SAD | by seed | against the whole, by seed | paper, against its whole | MSE | Grad | Conn |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for variant in variants:
        results = found[variant.name]
        counts = results[0]["scores"]
        for count, paper in zip(counts, variant.paper or ("-",) * len(counts), strict=True):
            values = {metric: [one["scores"][count][metric] for one in results] for metric in METRICS}
            means = {metric: statistics.mean(values[metric]) for metric in METRICS}
            label = f"{variant.label}, {count} steps" if variant.steps else variant.label
            each = " ".join(f"{sad:.2f}" for sad in values["sad"])
            against = (
                "-"
                if reference is None
                else " ".join(f"{sad / other - 1:+.1%}" for sad, other in zip(values["sad"], reference, strict=False))
            )
            lines.append(
                f"| {label} | {means['sad']:.2f} | {each} | {against} | {paper} | {means['mse']:.4f} | "
                f"{means['grad']:.2f} | {means['conn']:.2f} |"
            )
    minutes = [one["seconds"] / 60 for results in found.values() for one in results]
    return "\n".join(
        [
            *lines,
            "",
            f"- Each network: {steps} steps of the recipe `small` from random weights on crops of {size} px, "
            f"{min(minutes):.0f} to {max(minutes):.0f} minutes on one core; networks of a seed see the same samples. "
            f"{seeds} seeds, but one where that differs by more than {CLEAR:.0%}.",
            "- Means over the pairs of the benchmark, whole image, bfloat16, SAD, Grad and Conn in thousands.",
        ]
    )


if __name__ == "__main__":
    main()
