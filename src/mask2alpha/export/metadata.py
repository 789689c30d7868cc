"""The metadata of an exported file, in ONNX's `metadata_props`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mask2alpha.errors import CheckpointError
from mask2alpha.extras import import_extra

FORMAT = "mask2alpha-onnx"
FORMAT_VERSION = 1


def require(package: str) -> Any:
    """Import a package of the extra `export`; see `import_extra`."""
    return import_extra(package, extra="export", purpose="this")


def write_metadata(path: Path, about: dict[str, Any], output_shapes: Mapping[str, Sequence[str | int]]) -> None:
    """Add `about` (values of JSON), and names or sizes of the outputs' axes, to the ONNX file at `path`."""
    onnx = require("onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(
        model,
        {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            **{key: value if isinstance(value, str) else json.dumps(value) for key, value in about.items()},
        },
    )
    for output in model.graph.output:
        for axis, value in zip(output.type.tensor_type.shape.dim, output_shapes[output.name], strict=True):
            axis.Clear()
            setattr(axis, "dim_param" if isinstance(value, str) else "dim_value", value)
    onnx.save(model, path)


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of the ONNX file at `path`.

    Raises:
        CheckpointError: The file cannot be read, or mask2alpha did not write it.
    """
    onnx = require("onnx")
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's errors have no public class
        raise CheckpointError(f"{path}: not a readable ONNX file: {error}") from error
    about = {prop.key: prop.value for prop in model.metadata_props}
    if about.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not exported by mask2alpha (its metadata does not say format = {FORMAT!r})")
    if int(about["format_version"]) > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: its format {about['format_version']} is newer than this mask2alpha knows (up to {FORMAT_VERSION})"
        )
    return about
