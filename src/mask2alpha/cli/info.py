"""`mask2alpha info`: versions, devices, and the metadata of the weights."""

import json
import platform

import click


@click.command()
@click.option(
    "--model",
    "source",
    help="Show only this model: a shipped name, a .safetensors file or folder, or a hub id org/name.",
)
def command(source: str | None) -> None:
    """Show versions, devices, and the weights with their origin."""
    from mask2alpha.checkpoints import shipped_names

    if source is None:
        _show_versions()
        _show_device()
        if not shipped_names():
            click.echo("weights      none shipped with this installation")
    for name in [source] if source else shipped_names():
        _show_weights(name)


def _show_versions() -> None:
    from importlib.metadata import version

    from mask2alpha._version import __version__

    click.echo(f"mask2alpha   {__version__}")
    click.echo(f"python       {platform.python_version()} on {platform.platform()}")
    for package in ("torch", "numpy", "pillow", "safetensors"):
        click.echo(f"{package:<12} {version(package)}")


def _show_device() -> None:
    import torch

    from mask2alpha.pipeline.predictor import cpu_has_bfloat16, default_dtype

    capability = torch.backends.cpu.get_cpu_capability()
    bfloat16 = "with" if cpu_has_bfloat16() else "without"
    click.echo(f"cpu          {capability}, {bfloat16} bfloat16, {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        click.echo(f"cuda:{index}       {torch.cuda.get_device_name(index)}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    click.echo(f"used         {device.type}, {str(default_dtype(device)).removeprefix('torch.')}")


def _show_weights(source: str) -> None:
    from mask2alpha.checkpoints import find_checkpoint, read_metadata

    click.echo(f"weights      {source}: {find_checkpoint(source)}")
    for key, value in sorted(read_metadata(source).items()):
        click.echo(f"  {key}: {value if isinstance(value, str) else json.dumps(value)}")
