"""Writing a model as ONNX files.

PyTorch's TorchScript exporter is used, which works from PyTorch 2.4 on; see docs/decisions/0031.
"""

import warnings
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mask2alpha._version import __version__
from mask2alpha.checkpoints import find_checkpoint, load_model, read_metadata
from mask2alpha.errors import InputError
from mask2alpha.export.graphs import (
    DetailGraph,
    EncoderGraph,
    FusionGraph,
    Graph,
    GuideGraph,
    StateGraph,
    StepGraph,
    list_graphs,
)
from mask2alpha.export.metadata import require, write_metadata
from mask2alpha.imaging.atomic import replacing
from mask2alpha.model.fast.folding import fold_batch_norm
from mask2alpha.model.fast.optimise import put_twins
from mask2alpha.model.fast.regions import FastMaskGuidance
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage1_encoder.guidance import MaskGuidance

OPSET = 18
"""ONNX operator set of the files: the first whose ScatterElements can add and whose Resize is what PyTorch does."""
_EXAMPLE_SIZE = (128, 192)
_EXAMPLE_MASKS = 2


def export_model(source: str | Path, folder: str | Path) -> list[Path]:
    """Write a model's graphs as `encoder.onnx`, `state.onnx`, `guide.onnx`, `fusion.onnx`, `step.onnx`, `detail.onnx`.

    Args:
        source: As for `load_model`.
        folder: Made where there is none; files of the same names are replaced.

    Returns:
        The files, in the order in which they run.

    Raises:
        CheckpointError: The model cannot be found or read.
        InputError: It is of a kind that cannot be exported, or the extra `export` is missing.
    """
    require("onnx")
    checkpoint = find_checkpoint(source)
    model = load_model(checkpoint).eval()
    fold_batch_norm(model)
    put_twins(model, {MaskGuidance: FastMaskGuidance})  # ONNX cannot pool to a size that is open
    if model.config.encoder.kind != "conv_stem":
        raise InputError(
            f"{source}: its encoder is a {model.config.encoder.kind}, whose sizes a trace makes constant; "
            "models with a conv_stem can be exported"
        )
    about = {
        "model_config": model.config.to_dict(),
        "opset": OPSET,
        "weights_sha256": sha256(checkpoint.read_bytes()).hexdigest(),
        "metadata": {key: value for key, value in read_metadata(checkpoint).items() if key != "model_config"},
        "mask2alpha_version": __version__,
        "torch_version": torch.__version__,
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for graph, module, examples in _traced(model):
        path = folder / f"{graph.name}.onnx"
        with replacing(path) as temporary:
            _export(graph, module, examples, temporary)
            write_metadata(temporary, {"graph": graph.name, **about})
        written.append(path)
    return written


def _traced(model: Mask2Alpha) -> Iterator[tuple[Graph, nn.Module, tuple[Tensor, ...]]]:
    """Each graph with its module and example inputs, those of later graphs made by the earlier ones."""
    (height, width), masks = _EXAMPLE_SIZE, _EXAMPLE_MASKS
    generator = torch.Generator().manual_seed(0)
    values: dict[str, Tensor] = {
        "image": torch.rand(1, 3, height, width, generator=generator),
        "thumbnail": torch.rand(1, 3, height // 4, width // 4, generator=generator),
        "mask": torch.zeros(masks, 1, height, width),
        "mask_os4": torch.zeros(masks, 1, height // 4, width // 4),
        "was_fine": torch.zeros(masks, 1, height // 4, width // 4, dtype=torch.bool),
        "fine_share": torch.tensor(0.25, dtype=torch.float64),
        "spanned": torch.tensor([height, width], dtype=torch.float32),
        "least_error": torch.zeros(masks, 1, 1, 1),
    }
    for name in ("mask", "mask_os4"):
        h, w = values[name].shape[2:]
        values[name][:, :, h // 4 : h // 2, w // 4 : w // 2] = 1
    values |= {"alpha": values["mask_os4"], "last_error": torch.rand(values["mask_os4"].shape, generator=generator)}
    modules = {
        "encoder": EncoderGraph(model),
        "state": StateGraph(),
        "guide": GuideGraph(model),
        "fusion": FusionGraph(model),
        "step": StepGraph(model),
        "detail": DetailGraph(model),
    }
    for name, graph in list_graphs(model.config).items():
        examples = tuple(values[given] for given in graph.inputs)
        yield graph, modules[name], examples
        with torch.no_grad():
            made = modules[name](*examples)
        values |= dict(zip(graph.outputs, (made,) if isinstance(made, Tensor) else made, strict=True))


def _export(graph: Graph, module: nn.Module, examples: tuple[Tensor, ...], path: Path) -> None:
    options: dict[str, Any] = {"dynamo": False} if torch.__version__ >= "2.5" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the tracer, about sizes that are meant to be constant
        torch.onnx.export(
            module,
            examples,
            str(path),
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes={name: axes for name, axes in (graph.inputs | graph.outputs).items() if axes},
            **options,
        )
