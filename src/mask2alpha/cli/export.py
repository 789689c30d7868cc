"""`mask2alpha export`: a model as ONNX files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mask2alpha.export.onnx_files import Exporter


@click.command()
@click.argument("source", metavar="MODEL")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--single", is_flag=True, help="Write one file, model.onnx, from photo and mask to alpha.")
@click.option(
    "--exporter",
    type=click.Choice(["torchscript", "dynamo"]),
    default="torchscript",
    help="PyTorch's exporter; dynamo needs --single and onnxscript, and takes minutes.",
)
@click.option("--half", is_flag=True, help="Store the weights in float16, in half the bytes.")
def command(source: str, folder: Path, single: bool, exporter: "Exporter", half: bool) -> None:
    """Write MODEL (a shipped name, a .safetensors file or its folder, or a hub id) as ONNX files into FOLDER.

    The six files run one after the other: encoder, state, guide, fusion, step, detail. They accept any size and any
    number of masks. docs/export.md says how to call them; in Python, use
    `mask2alpha.export.runtime.load_predictor(FOLDER)`.
    """
    from mask2alpha.export.onnx_files import export_model
    from mask2alpha.imaging.targets import names_a_file

    names_a_file(folder, ())
    for path in export_model(source, folder, is_single=single, is_half=half, exporter=exporter):
        click.echo(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
