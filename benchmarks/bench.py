"""Measure what docs/results.md says: every number there comes from one run of this.

    python benchmarks/bench.py                           all sections, results/TIME.json
    python benchmarks/bench.py --section sparse          one of them
    python benchmarks/bench.py --reference               all; results/reference.json and docs/results.md
    python benchmarks/bench.py --quick                   two minutes: small sizes, ratios checked with wide margins

See benchmarks/README.md for what is measured and how.
"""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import calls
import click
import peers
import sparse
import stages
import torch
from measuring import ROOT, Settings, describe_environment, in_child
from promises import find_broken
from report import RESULT_NAME, print_result, write_document

SECTIONS: dict[str, Callable[[Settings], dict[str, Any]]] = {
    "stages": stages.run,
    "masks": calls.run_masks,
    "strokes": calls.run_strokes,
    "sizes": calls.run_sizes,
    "dtypes": calls.run_dtypes,
    "sparse": sparse.run,
    "backends": calls.run_backends,
    "peers": peers.run,
}


@click.command()
@click.option(
    "--section", "names", multiple=True, type=click.Choice(list(SECTIONS)), help="Repeatable.  [default: all]"
)
@click.option("--repeats", type=click.IntRange(min=1), help="Counted turns.  [default: 7; quick: 3]")
@click.option("--threads", type=click.IntRange(min=1), help="[default: PyTorch's choice, the physical cores]")
@click.option("--memory", "memory_gb", default=12.0, show_default=True, help="Most that a peer may use, in GB.")
@click.option("--timeout", "timeout_s", default=3600.0, show_default=True, help="Of one process, in seconds.")
@click.option("--quick", "is_quick", is_flag=True, help="Small sizes; exit status 1 if a promise is far from kept.")
@click.option("--reference", "is_reference", is_flag=True, help="Write results/reference.json and docs/results.md.")
@click.option("--output", type=click.Path(path_type=Path), help="A .json file.  [default: results/TIME.json]")
def main(
    names: tuple[str, ...],
    repeats: int | None,
    threads: int | None,
    memory_gb: float,
    timeout_s: float,
    is_quick: bool,
    is_reference: bool,
    output: Path | None,
) -> None:
    """Measure, print, and write a JSON file."""
    if is_reference and (names or is_quick):
        raise click.UsageError("--reference is a full run: leave out --section and --quick")
    settings = Settings(
        repeats=repeats or (3 if is_quick else 7),
        threads=threads or torch.get_num_threads(),
        is_quick=is_quick,
        memory_gb=memory_gb,
        timeout_s=timeout_s,
    )
    result: dict[str, Any] = {
        "is_quick": is_quick,
        "repeats": settings.repeats,
        "environment": describe_environment(settings.threads),
        "machine": in_child("stages.measure_machine", {}, settings),
        "sections": {},
    }
    for name in names or SECTIONS:
        result["sections"][name] = SECTIONS[name](settings)
        print_result(name, result)
    result["broken"] = find_broken(result)
    folder = ROOT / "benchmarks" / "results"
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    output = output or folder / (RESULT_NAME if is_reference else stamp)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written to {output}")
    if is_reference:
        write_document(result)
    for line in result["broken"]:
        print(f"NOT KEPT: {line}")
    if is_quick and result["broken"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
