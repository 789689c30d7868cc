"""Check the promises of `mask2alpha batch`: nothing lost or doubled while workers die, and little lost to Ray.

Makes photographs, then runs over them, one after the other:

    plain   mask2alpha matte                       the plain loop
    local   mask2alpha batch                       the same loop with results, notes and resumption
    ray     mask2alpha batch --ray local           a cluster of processes on this machine
    killed  the same, a worker killed again and again

and says whether each row is there once, whether pictures and tables of the four are equal bit for bit, and how many
photographs a core does in a second. All times are processor times of all processes of a run, so that other work on the
machine matters little; also that between two kills, which on an idle machine passes as many times as fast as there are
workers. The time until the first pictures is told apart. What a killed worker costs (the next one's start, and the
pictures of the chunk that are made again) is told in seconds of one core: `ray` against `plain` is judged, and `killed`
is `ray` with that cost as often as workers die.

    python benchmarks/batch.py --photos 2000 --size 256 --workers 3 --kill-every 60
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow.parquet
from PIL import Image

ROOT = Path(__file__).parents[1]
NUM_BROKEN = 5
"""Photographs cut off in the middle: they must be set aside, with the same reason everywhere."""
ALLOWED_LOSS = 0.10
ACTOR = "ray::MapWorker"
"""How the processes that matte are called."""
_SAMPLE_S = 0.5
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """What was seen of a run from outside."""

    name: str
    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Of all its processes, killed ones too."""
    daemons_cpu_s: float = 0.0
    """Of these, Ray's own, which do not matte: a constant share of each machine, however many cores it has."""
    num_killed: int = 0
    track: list[tuple[float, float, int]] = field(default_factory=list)
    """(wall seconds, processor seconds, pictures) again and again."""

    def start_cpu_s(self) -> float:
        """Processor time until a twentieth of the pictures was there, less what those pictures cost later."""
        _, cpu, count = self._settled()
        return cpu - count / self.per_core()

    def per_core(self) -> float:
        """Pictures per second of processor time, from a twentieth of them to the last."""
        _, cpu, count = self._settled()
        last = next(entry for entry in self.track if entry[2] == self.track[-1][2])
        return (last[2] - count) / (last[1] - cpu)

    def _settled(self) -> tuple[float, float, int]:
        return next(entry for entry in self.track if entry[2] >= self.track[-1][2] / 20)


@click.command()
@click.option("--photos", default=2000, show_default=True, help=f"How many; {NUM_BROKEN} of them are broken.")
@click.option("--size", default=256, show_default=True, help="Their side, in pixels.")
@click.option("--workers", default=3, show_default=True, help="Ray's actors, of one thread each.")
@click.option("--kill-every", default=60.0, show_default=True, help="Processor seconds.")
@click.option(
    "--at-once", is_flag=True, help="The runs beside each other: for a busy machine, on which waiting is long."
)
@click.option("--folder", type=click.Path(path_type=Path), help="Keep everything here.  [default: a temporary folder]")
@click.option("--output", type=click.Path(path_type=Path), help="A .json file for the numbers.")
def main(
    photos: int,
    size: int,
    workers: int,
    kill_every: float,
    at_once: bool,
    folder: Path | None,
    output: Path | None,
) -> None:
    """Run, compare, print the verdict; exit code 1 if a promise is broken."""
    with tempfile.TemporaryDirectory() as temporary:
        root = folder or Path(temporary)
        make_photos(root / "in", photos, size)
        batch = [sys.executable, "-m", "mask2alpha", "batch", str(root / "in")]
        ray = ["--ray", "local", "--workers", f"{workers}-{workers}"]
        matte = [sys.executable, "-m", "mask2alpha", "matte", str(root / "in" / "photos"), str(root / "in" / "masks")]
        plans = [
            ("local", [*batch, str(root / "local")], None),
            ("killed", [*batch, str(root / "killed"), *ray], kill_every),
            ("plain", [*matte, "-o", str(root / "plain")], None),
            ("ray", [*batch, str(root / "ray"), *ray], None),
        ]
        with ThreadPoolExecutor(len(plans) if at_once else 1) as pool:
            runs = list(pool.map(lambda plan: watch(plan[0], plan[1], root / plan[0], plan[2]), plans))
        faults = [fault for run in runs for fault in compare(root / "local", root / run.name, photos)]
    report(runs, faults, {"photos": photos, "size": size, "workers": workers, "kill_every_s": kill_every}, output)


def make_photos(folder: Path, count: int, size: int) -> None:
    """Random squares of the example photographs with their masks, each different; the same for the same arguments."""
    if folder.exists():
        return
    rng = np.random.default_rng(0)
    pairs = []
    for name in ("astronaut", "chelsea"):
        photo = Image.open(ROOT / f"examples/photos/{name}.png").convert("RGB")
        mask = Image.open(ROOT / f"examples/masks/{name}.png").convert("L").resize(photo.size)
        pairs.append((photo, mask))
    for kind in ("photos", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(count):
        photo, mask = pairs[number % 2]
        side = int(rng.integers(min(photo.size) // 2, min(photo.size) + 1))
        left, top = (int(rng.integers(0, length - side + 1)) for length in photo.size)
        box = (left, top, left + side, top + side)
        photo.resize((size, size), Image.Resampling.BICUBIC, box).save(folder / f"photos/{number:05}.jpg", quality=92)
        mask.resize((size, size), Image.Resampling.NEAREST, box).save(folder / f"masks/{number:05}.png")
    for number in range(0, count, count // NUM_BROKEN)[:NUM_BROKEN]:
        path = folder / f"photos/{number:05}.jpg"
        path.write_bytes(path.read_bytes()[:5000])


def watch(name: str, command: list[str], out: Path, kill_every: float | None = None) -> Run:
    """Run a command to its end; count its pictures and its processor time, and kill one of its actors now and then."""
    shutil.rmtree(out, ignore_errors=True)
    run = Run(name)
    spent: dict[tuple[int, str], float] = {}
    names: dict[tuple[int, str], str] = {}
    chance = random.Random(0)
    start = time.monotonic()
    last_kill, count_then = 0.0, 0
    log = out.with_suffix(".log")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=stream, stderr=subprocess.STDOUT
        )
    while process.poll() is None:
        time.sleep(_SAMPLE_S)
        family = processes_below(process.pid)
        spent |= {(pid, about.started): about.cpu_s for pid, about in family.items()}
        names |= {(pid, about.started): about.name for pid, about in family.items()}
        wall = time.monotonic() - start
        run.track.append((wall, sum(spent.values()), count_pictures(out)))
        actors = [pid for pid, about in family.items() if about.name.startswith(ACTOR)]
        _, cpu_s, count = run.track[-1]
        is_due = kill_every is not None and cpu_s - last_kill >= kill_every
        if is_due and actors and count > count_then:  # killing what has not begun would prove nothing
            os.kill(chance.choice(actors), signal.SIGKILL)
            last_kill, count_then = cpu_s, count
            run.num_killed += 1
    run.wall_s, run.cpu_s = time.monotonic() - start, sum(spent.values())
    if process.returncode != 1:  # because of the broken photographs
        raise click.ClickException(f"{name} ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    run.daemons_cpu_s = sum(
        cpu for key, cpu in spent.items() if key[0] != process.pid and not names[key].startswith(ACTOR)
    )
    print(
        f"{name}: {run.track[-1][2]} pictures in {run.wall_s:.0f} s, {run.num_killed} workers killed, "
        f"{run.per_core():.2f} pictures per second of one core",
        flush=True,
    )
    return run


@dataclass
class Process:
    """A line of the process table."""

    name: str
    started: str
    cpu_s: float


def processes_below(root: int) -> dict[int, Process]:
    """A process and its descendants, by id."""
    found, parents = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
                title = (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:  # it has ended
                continue
            values = rest.split()
            parents[int(entry.name)] = int(values[1])
            cpu_s = (int(values[11]) + int(values[12])) * _TICK_S
            found[int(entry.name)] = Process(title or name, values[19], cpu_s)
    family = {root}
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    return {pid: found[pid] for pid in family if pid in found}


def count_pictures(out: Path) -> int:
    """Finished mattes."""
    folder = out / "alpha"
    return sum(name.endswith(".png") for name in os.listdir(folder)) if folder.is_dir() else 0


def compare(expected: Path, out: Path, count: int) -> list[str]:
    """What is missing, doubled or different."""
    pictures, wanted = ({path.name: path for path in (folder / "alpha").glob("*.png")} for folder in (out, expected))
    faults = [f"{out.name}: {len(pictures)} pictures"] if len(pictures) != count - NUM_BROKEN else []
    differing = [
        name for name in wanted if name not in pictures or pictures[name].read_bytes() != wanted[name].read_bytes()
    ]
    if differing:
        faults.append(f"{out.name}: {len(differing)} pictures differ from {expected.name}, {differing[0]} for one")
    if out.name == "plain":
        return faults
    table = pyarrow.parquet.read_table(out / "results.parquet")
    if table.num_rows != count or len(set(table["name"].to_pylist())) != count:
        faults.append(f"{out.name}: {table.num_rows} results")
    if table["reason"].null_count != count - NUM_BROKEN:
        faults.append(f"{out.name}: {count - table['reason'].null_count} set aside")
    if not table.equals(pyarrow.parquet.read_table(expected / "results.parquet")):
        faults.append(f"{out.name}: its table differs from that of {expected.name}")
    if left := [*out.glob("_batch/parts/*"), *out.glob("_batch/attempts/*")]:
        faults.append(f"{out.name}: {len(left)} notes left")
    return faults


def report(runs: list[Run], faults: list[str], settings: dict[str, Any], output: Path | None) -> None:
    """Print the table and the verdict."""
    by_name = {run.name: run for run in runs}
    plain, ray, killed = (by_name[name] for name in ("plain", "ray", "killed"))
    print(f"\n{'run':8} {'wall':>7} {'cpu':>8} {'start':>7} {'daemons':>8} {'per core':>10} {'of plain':>9}  killed")
    for run in runs:
        print(
            f"{run.name:8} {run.wall_s:6.0f}s {run.cpu_s:7.1f}s {run.start_cpu_s():6.1f}s {run.daemons_cpu_s:7.1f}s "
            f"{run.per_core():8.2f}/s "
            f"{run.per_core() / plain.per_core():9.1%}  {run.num_killed}"
        )
    cost_s = None
    if killed.num_killed:
        pictures = killed.track[-1][2]
        cost_s = pictures * (1 / killed.per_core() - 1 / ray.per_core()) / killed.num_killed
        print(f"a killed worker costs {cost_s:.1f} s of one core")
    else:
        faults.append("no worker was killed: more photographs, please")
    if ray.per_core() < (1 - ALLOWED_LOSS) * plain.per_core():
        faults.append(f"ray: {ray.per_core() / plain.per_core():.1%} of the plain loop's photographs per core")
    print("\n".join(faults) or "All there once, equal bit for bit, and as fast per core as promised.")
    if output is not None:
        from bench import describe_environment  # imports PyTorch, which is no business of whoever watches

        content = {
            **settings,
            "runs": {
                run.name: {
                    "wall_s": round(run.wall_s, 1),
                    "cpu_s": round(run.cpu_s, 1),
                    "daemons_cpu_s": round(run.daemons_cpu_s, 1),
                    "start_cpu_s": round(run.start_cpu_s(), 1),
                    "photos_per_core_second": round(run.per_core(), 3),
                    "killed": run.num_killed,
                }
                for run in runs
            },
            "killed_worker_cpu_s": None if cost_s is None else round(cost_s, 1),
            "faults": faults,
            "environment": describe_environment("cpu"),
        }
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
