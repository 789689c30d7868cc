"""Stores the weights of an ONNX file in float16; inputs, outputs and arithmetic stay in float32."""

from pathlib import Path

import numpy as np

from mask2alpha.export.metadata import require

LEAST_WEIGHTS = 256
"""Tensors with fewer numbers, such as norms and biases, stay in float32."""


def store_as_half(path: Path) -> None:
    """Rewrite the file: each large weight is stored in float16, and a `Cast` turns it back where the graph begins.

    The weights of a checkpoint in float16, such as the shipped ones, are not rounded by that.
    """
    onnx = require("onnx")
    model = onnx.load(path)
    casts = []
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < LEAST_WEIGHTS:
            continue
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = weight.name
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_float16"))
        casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)
