"""The tables of a result: printed after each section, and written into docs/results.md by a reference run.

    python benchmarks/report.py benchmarks/results/reference.json      writes the tables of docs/results.md anew

In the document they stand between a line `<!-- NAME -->` and a line `<!-- end -->`; all else there is written by hand.
"""

import json
import re
from pathlib import Path
from typing import Any

import click
from measuring import ROOT

RESULT_NAME = "reference.json"
DOCUMENT = ROOT / "docs" / "results.md"
_BLOCK = re.compile(r"(<!-- (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Rows = list[list[str]]


@click.command()
@click.argument("result", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(result: Path) -> None:
    """Write the tables of RESULT into docs/results.md."""
    write_document(json.loads(result.read_text(encoding="utf-8")))


def write_document(result: dict[str, Any]) -> None:
    """Put the tables of a result into the document."""
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(fill(text, result), encoding="utf-8")


def fill(text: str, result: dict[str, Any]) -> str:
    """A document with the tables of a result; one that the result does not have says so."""
    tables = {"environment": environment_table(result), "machine": machine_table(result)}
    tables |= {name: TABLES[name](section) for name, section in result["sections"].items()}

    def replace(match: re.Match[str]) -> str:
        table = tables.get(match["name"], "Not measured in this run.")
        return f"{match[1]}\n{table}\n\n{match[3]}"

    return _BLOCK.sub(replace, text)


def print_result(name: str, result: dict[str, Any]) -> None:
    """One section's tables."""
    print(f"\n## {name}\n\n{TABLES[name](result['sections'][name])}\n", flush=True)


def environment_table(result: dict[str, Any]) -> str:
    """Versions and hardware, in a sentence."""
    environment = result["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items() if version)
    modified = " with changes" if environment["is_modified"] else ""
    return (
        f"{environment['processor']}, {environment['threads']} threads of {environment['cores']} cores, "
        f"{environment['memory_gb']:g} GB; {environment['system']}, {environment['libc']}, large pages "
        f"`{environment['large_pages']}`; Python {environment['python']}, {packages}; commit "
        f"{environment['commit']}{modified}; load average {environment['load_average']} at the start; "
        f"{result['repeats']} turns."
    )


def machine_table(result: dict[str, Any]) -> str:
    """The measured rates."""
    if "failed" in result["machine"]:
        return str(result["machine"]["failed"])
    rows = []
    for dtype, rates in result["machine"].items():
        copies = [f"{rate / 1e9:.1f}" for rate in rates["copy"].values()]
        rows.append([dtype, f"{rates['matmul'] / 1e9:.0f}", f"{rates['conv'] / 1e9:.0f}", *copies])
    sizes = [_bytes(int(size)) for size in next(iter(result["machine"].values()))["copy"]]
    return _table(
        ["dtype", "matrix product, GFLOP/s", "convolution, GFLOP/s", *(f"copy of {size}, GB/s" for size in sizes)], rows
    )


def stages_table(section: dict[str, Any]) -> str:
    """Total and memory by size; then time and floor of each stage."""
    rows, profile = [], []
    for size, measured in section.items():
        if "failed" in measured:
            rows.append([size, measured["failed"], "", "", "", ""])
            continue
        height, width = measured["size"]
        stages = measured["stages"]
        floor = sum(stage.get("floor_s", 0) for stage in stages.values())
        rows.append(
            [
                f"{size}, {width} × {height}",
                _ms(measured["median_s"]),
                _ms(floor),
                f"{measured['active_share']:.1%}",
                f"{measured['peak_mb']:.0f}",
                f"{measured['start_mb']:.0f}",
            ]
        )
        profile.append([size, *(f"{_ms(stage['median_s'])} ({_floors(stage)})" for stage in stages.values())])
    names = next((list(measured["stages"]) for measured in section.values() if "failed" not in measured), [])
    whole = _table(["size", "ms", "floor, ms", "active", "peak MB", "before, MB"], rows)
    return f"{whole}\n\n{_table(['ms (sums, bytes)', *names], profile)}"


def _floors(stage: dict[str, float]) -> str:
    return f"{_ms(stage.get('compute_s', 0))}, {_ms(stage.get('move_s', 0))}"


def masks_table(section: dict[str, Any]) -> str:
    """The further mask's share, by model and object."""
    rows = []
    for model, measured in section.items():
        if model == "size":
            continue
        if "failed" in measured:
            rows.append([model, measured["failed"], "", "", "", "", ""])
            continue
        for name, scene in measured.items():
            if not name.startswith("object"):
                continue
            rows.append(
                [
                    model,
                    f"{scene['mask_share']:.0%}",
                    f"{scene['active_share']:.1%}",
                    _ms(scene["whole"]["median_s"]),
                    _ms(scene["further"]["median_s"]),
                    f"{scene['further_over_whole']:.0%}",
                ]
            )
    return _table(["model", "mask", "active", "first mask, ms", "further mask, ms", "share"], rows)


def strokes_table(section: dict[str, Any]) -> str:
    """A fresh run, and what follows a stroke."""
    if "failed" in section:
        return str(section["failed"])
    height, width = section["size"]
    times = [_ms(section[name]["median_s"]) for name in ("fresh", "matte")]
    row = [f"{width} × {height}", *times, f"{section['matte_over_fresh']:.0%}"]
    return _table(["size", "fresh run, ms", "matte, ms", "share"], [row])


def sizes_table(section: dict[str, Any]) -> str:
    """Time by size, and over the smallest."""
    if "failed" in section:
        return str(section["failed"])
    names = [name for name in section if name != "ratios"]
    factors = {name.split(" over ")[0]: value for name, value in section["ratios"].items()}
    rows = [[name, _ms(section[name]["median_s"]), f"{factors.get(name, 1):.2f}"] for name in names]
    return _table(["size", "ms", f"over {names[0]}"], rows)


def dtypes_table(section: dict[str, Any]) -> str:
    """Both dtypes and their difference."""
    if "failed" in section:
        return str(section["failed"])
    row = [
        _ms(section["float32"]["median_s"]),
        _ms(section["bfloat16"]["median_s"]),
        f"{section['float32_over_bfloat16']:.2f}",
        f"{section['mean_difference']:g}",
        f"{section['difference_over_own_sad']:.2%}",
    ]
    head = ["float32, ms", "bfloat16, ms", "ratio", "mean difference of alpha", "of the matte's difference to its mask"]
    return _table(head, [row])


def sparse_table(section: dict[str, Any]) -> str:
    """Sparse and dense; and the convolution alone."""
    rows = []
    for name, measured in section.items():
        if name in ("size", "active_share", "convolution"):
            continue
        if "failed" in measured:
            rows.append([name, measured["failed"], "", ""])
            continue
        times = [_ms(measured[kind]["median_s"]) for kind in ("sparse", "dense")]
        rows.append([name, *times, f"{measured['dense_over_sparse']:.1f}"])
    text = _table(["", "sparse, ms", "dense, ms", "dense / sparse"], rows)
    convolution = section.get("convolution")
    if convolution is None:
        return text
    if "failed" in convolution:
        return f"{text}\n\nThe convolution beside spconv: {convolution['failed']}."
    return (
        f"{text}\n\nOne 3 × 3 convolution, {convolution['channels']} channels, {convolution['points']} cells, float32, "
        f"one thread, tables at hand: {_ms(convolution['ours']['median_s'])} ms, spconv "
        f"{_ms(convolution['spconv']['median_s'])} ms ({convolution['spconv_over_ours']:.2f} times ours)."
    )


def backends_table(section: dict[str, Any]) -> str:
    """PyTorch, ONNX Runtime, OpenVINO."""
    if "failed" in section:
        return str(section["failed"])
    rows = [
        [
            name,
            _ms(measured["whole"]["median_s"]),
            _ms(measured["further"]["median_s"]),
            f"{measured['whole_over_torch']:.2f}",
            f"{measured['largest_difference']:g}",
            f"{measured['mean_difference']:g}",
        ]
        for name, measured in section.items()
        if isinstance(measured, dict)
    ]
    return _table(
        ["", "whole, ms", "further, ms", "over torch bfloat16", "largest difference of alpha", "mean difference"], rows
    )


def peers_table(section: dict[str, Any]) -> str:
    """Ours beside each peer."""
    rows = []
    for side, peers in section.items():
        for name, measured in peers.items():
            if "failed" in measured:
                rows.append([f"{side}²", name, measured["failed"], "", "", ""])
                continue
            times = [_ms(measured[who]["median_s"]) for who in ("peer", "ours")]
            rows.append([f"{side}²", name, *times, f"{measured['peer_over_ours']:.2f}", f"{measured['peak_mb']:.0f}"])
    return _table(["size", "peer", "peer, ms", "ours, ms", "peer / ours", "peak MB of both"], rows)


TABLES = {
    "stages": stages_table,
    "masks": masks_table,
    "strokes": strokes_table,
    "sizes": sizes_table,
    "dtypes": dtypes_table,
    "sparse": sparse_table,
    "backends": backends_table,
    "peers": peers_table,
}


def _table(head: list[str], rows: Rows) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _ms(seconds: float) -> str:
    milliseconds = 1000 * seconds
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:.1f}"


def _bytes(size: int) -> str:
    return f"{size // 2**20} MB" if size >= 2**20 else f"{size // 2**10} kB"


if __name__ == "__main__":
    main()
