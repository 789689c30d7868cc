"""A model as the npm package and the page without a service read it: six graphs of half size, and `model.json`."""

import json
from pathlib import Path

from mask2alpha.checkpoints import find_checkpoint, load_model
from mask2alpha.errors import InputError
from mask2alpha.export.onnx_files import export_model
from mask2alpha.imaging.atomic import replacing


def export_for_web(source: str | Path, folder: str | Path) -> list[Path]:
    """Write a model for the npm package.

    Args:
        source: As for `load_model`.
        folder: Created if it does not exist; files of the same names are replaced.

    Returns:
        The files.

    Raises:
        CheckpointError: The model cannot be found or read.
        InputError: As for `export_model`, or the package lacks what the model needs.
    """
    checkpoint = find_checkpoint(source)
    config = load_model(checkpoint).config
    encoder, decoder, detail = config.encoder, config.decoder, config.detail
    is_supported = encoder.kind == "conv_stem" and encoder.least_side == 0 and decoder.num_corrections == 0
    if not is_supported or decoder.update != "formula" or detail.selection != "sgsdr":
        raise InputError(f"{source}: the page runs models like 'small': a light encoder and no corrections of the mask")
    files = export_model(source, folder, is_half=True)
    about = Path(folder) / "model.json"
    info = {"name": checkpoint.stem, "steps": decoder.num_steps, "error_threshold": detail.error_threshold}
    with replacing(about) as temporary:
        temporary.write_text(json.dumps(info) + "\n", encoding="utf-8")
    return [*files, about]
