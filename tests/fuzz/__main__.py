"""`python -m tests.fuzz --count 200000 --seed 1`: damaged files through decode, matte and encode; see harness.py.

With `--masks` or `--photos`: sound files of every kind, read and compared with what was drawn; see masks.py, photos.py.
"""

import argparse
import sys
import time
from pathlib import Path

import click
from tests.fuzz.harness import GOOD, fuzz
from tests.fuzz.masks import fuzz_masks
from tests.fuzz.photos import fuzz_photos


def main() -> None:
    """Print the counts; exit with 1 if a file was neither matted nor refused."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.fuzz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first file; with --count 1: repeat one")
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--keep", type=Path, help="folder for the files that failed")
    sound = parser.add_mutually_exclusive_group()
    sound.add_argument("--masks", action="store_true", help="sound mask files, read and compared; see masks.py")
    sound.add_argument("--photos", action="store_true", help="sound photo files, likewise; see photos.py")
    options = parser.parse_args()
    if options.count == 10**9 and options.seconds == float("inf"):
        parser.error("say how many files (--count) or how long (--seconds)")
    start = time.monotonic()
    if options.masks or options.photos:
        check_sound_files(options, start)
    report = fuzz(
        options.seed,
        first=options.first,
        count=options.count,
        seconds=options.seconds,
        keep=options.keep,
        tell=click.echo,
    )
    total = sum(report.outcomes.values())
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.outcomes.items()))
    click.echo(f"seed {options.seed}: {total} files in {time.monotonic() - start:.0f} s: {outcomes}")
    click.echo(f"memory beyond the start: at most {report.peak_bytes / 2**20:.0f} MiB")
    for name in sorted({name for name, _ in report.per_kind}):
        counts = {outcome: count for (kind, outcome), count in report.per_kind.items() if kind == name}
        click.echo(f"  {name:20} " + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())))
    for index, name, outcome, message in report.failures[:50]:
        click.echo(f"{outcome}: --seed {options.seed} --first {index} --count 1 ({name})\n{message}")
    sys.exit(0 if total and set(report.outcomes) <= set(GOOD) else 1)


def check_sound_files(options: argparse.Namespace, start: float) -> None:
    """Print what became of sound files; exit with 1 if one was read or written wrong."""
    what, fuzz_sound = ("masks", fuzz_masks) if options.masks else ("photos", fuzz_photos)
    found = fuzz_sound(
        options.seed, first=options.first, count=options.count, seconds=options.seconds, clock=time.monotonic
    )
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(found.outcomes.items()))
    click.echo(f"seed {options.seed}: {found.outcomes.total()} {what} in {time.monotonic() - start:.0f} s: {counts}")
    for index, kind, problem in found.failures[:50]:
        click.echo(f"wrong: --{what} --seed {options.seed} --first {index} --count 1 ({kind}): {problem}")
    sys.exit(0 if found.outcomes.total() and not found.failures else 1)


if __name__ == "__main__":
    main()
