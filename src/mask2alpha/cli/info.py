"""`mask2alpha info`: versions, device, and the weights with their origin."""

import json
import platform
from pathlib import Path
from typing import Any

import click


@click.command()
@click.option(
    "--model",
    "source",
    help="Show all about this model: a shipped name, a .safetensors file or folder, or a hub id org/name.",
)
@click.option("--json", "is_json", is_flag=True, help="Write everything that is known as JSON.")
def command(source: str | None, is_json: bool) -> None:
    """Show versions, devices, and the weights with their origin."""
    from mask2alpha.checkpoints import shipped_names

    names = [source] if source else shipped_names()
    weights = {name: describe_weights(name) for name in names}
    if is_json:
        told = {"weights": weights} if source else {**describe_installation(), "weights": weights}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    if source is None:
        for name, text in installation_lines(describe_installation()).items():
            click.echo(f"{name:<12} {text}")
        if not names:
            click.echo("weights      none shipped with this installation")
    for name, about in weights.items():
        if source is None:
            click.echo(f"{name:<12} {summarise_weights(about)}")
            click.echo(f"{'':<12} {about['path']}")
        else:
            for key, value in about.items():
                _show(key, value)


def describe_installation() -> dict[str, Any]:
    """Versions, processor and devices, as JSON-able values."""
    from importlib.metadata import version

    import torch

    from mask2alpha._version import __version__
    from mask2alpha.ops.dtypes import cpu_has_bfloat16, default_dtype

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "mask2alpha": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} on {platform.machine()}",
        "packages": {name: version(name) for name in ("torch", "numpy", "pillow", "safetensors")},
        "cpu": {
            "capability": torch.backends.cpu.get_cpu_capability(),
            "has_bfloat16": cpu_has_bfloat16(),
            "threads": torch.get_num_threads(),
        },
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "used": {"device": device.type, "dtype": str(default_dtype(device)).removeprefix("torch.")},
    }


def installation_lines(about: dict[str, Any]) -> dict[str, str]:
    """The lines that `info` and `doctor` print about an installation, by their first words."""
    cpu, used = about["cpu"], about["used"]
    bfloat16 = "with" if cpu["has_bfloat16"] else "without"
    lines = {
        "mask2alpha": about["mask2alpha"],
        "python": f"{about['python']}, {about['system']}",
        "packages": ", ".join(f"{name} {number}" for name, number in about["packages"].items()),
        "cpu": f"{cpu['capability']} {bfloat16} bfloat16, {cpu['threads']} threads",
    }
    lines |= {f"cuda:{index}": name for index, name in enumerate(about["gpus"])}
    return lines | {"used": f"{used['device']}, {used['dtype']}"}


def describe_weights(source: str) -> dict[str, Any]:
    """Where the weights of a model lie, their size in bytes, and all that their file says of itself."""
    from mask2alpha.checkpoints import find_checkpoint, read_metadata

    path = Path(find_checkpoint(source))
    return {"path": str(path), "bytes": path.stat().st_size, **read_metadata(source)}


def summarise_weights(about: dict[str, Any]) -> str:
    """One line: size, backbone, licence, score."""
    backbone = about["model_config"]["encoder"].get("backbone")
    parts = [f"{about['bytes'] / 1e6:.1f} MB" + (f" beside the backbone {backbone}" if backbone else "")]
    if "licence" in about:
        parts.append(about["licence"])
    if "sad" in (mean := about.get("metrics", {}).get("mean", {})):
        parts.append(f"SAD {mean['sad']:.2f} on the first validation set")
    return ", ".join(parts)


def _show(key: str, value: Any, indent: str = "") -> None:
    """A value as indented lines; values of one level on one line, with their keys."""
    if isinstance(value, dict) and any(isinstance(inner, (dict, list)) for inner in value.values()):
        click.echo(f"{indent}{key}:")
        for name, inner in value.items():
            _show(name, inner, indent + "  ")
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        click.echo(f"{indent}{key}:")
        for inner in value:
            click.echo(f"{indent}  - {_in_line(inner)}")
    else:
        click.echo(f"{indent}{key}: {_in_line(value)}")


def _in_line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_in_line(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_in_line, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
