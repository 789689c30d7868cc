"""Writes a model as ONNX files.

PyTorch's TorchScript exporter is used, which works from PyTorch 2.4 on, or for one file the newer one (Dynamo), which
needs onnxscript; see docs/decisions/0031.
"""

import warnings
from collections.abc import Iterator
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from mask2alpha._version import __version__
from mask2alpha.checkpoints import find_checkpoint, load_model, read_metadata
from mask2alpha.errors import InputError
from mask2alpha.export.graphs import (
    BackboneEncoderGraph,
    BackboneGuideGraph,
    DetailGraph,
    EncoderGraph,
    FusionGraph,
    Graph,
    GuideGraph,
    OpenPositions,
    StateGraph,
    StepGraph,
    WindowMaskGuidance,
    list_graphs,
)
from mask2alpha.export.half import store_as_half
from mask2alpha.export.metadata import require, write_metadata
from mask2alpha.export.single import SINGLE_GRAPH, SingleGraph
from mask2alpha.imaging.atomic import replacing
from mask2alpha.imaging.targets import check_inputs_stay, prepare_folder
from mask2alpha.model.config import ModelConfig
from mask2alpha.model.fast.folding import fold_batch_norm
from mask2alpha.model.fast.optimise import put_twins
from mask2alpha.model.fast.regions import FastMaskGuidance
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage1_encoder.backbone import BackboneEncoder, fit_patches
from mask2alpha.model.stage1_encoder.guidance import MaskGuidance
from mask2alpha.model.stage1_encoder.vit import AbsolutePositions
from mask2alpha.model.stage2_decoding.evidence_semantics import find_reach

OPSET = 18
"""ONNX operator set of the files: the first whose ScatterElements can add and whose Resize is what PyTorch does."""
Exporter = Literal["torchscript", "dynamo"]
_EXAMPLE_SIZE = (128, 192)
_EXAMPLE_MASKS = 2


def export_model(
    source: str | Path,
    folder: str | Path,
    *,
    is_single: bool = False,
    is_half: bool = False,
    exporter: Exporter = "torchscript",
) -> list[Path]:
    """Write a model's graphs as `encoder.onnx`, `state.onnx`, `guide.onnx`, `fusion.onnx`, `step.onnx`, `detail.onnx`.

    Args:
        source: As for `load_model`.
        folder: Created if it does not exist; files of the same names are replaced.
        is_single: Write one file in place of the six, `model.onnx` (`SingleGraph`), with the model's number of steps.
        is_half: Store the weights in float16, in half the bytes. Inputs, outputs and arithmetic stay in float32.
        exporter: PyTorch's exporter. "dynamo" is for one file (`is_single`), and takes minutes.

    Returns:
        The files, in the order in which they run.

    Raises:
        CheckpointError: The model cannot be found or read.
        InputError: It is of a kind that cannot be exported, the extra `export` is missing, the folder cannot be
            written, one of the files is the model, or `exporter` is "dynamo" without `is_single` or onnxscript.
    """
    require("onnx")
    if exporter == "dynamo" and not is_single:
        raise InputError("exporter: dynamo writes one file only; add is_single=True (--single)")
    if exporter == "dynamo" and find_spec("onnxscript") is None:
        raise InputError("exporter: dynamo needs onnxscript: pip install onnxscript")
    checkpoint = find_checkpoint(source)
    model = load_model(checkpoint).eval()
    names = [SINGLE_GRAPH.name] if is_single else list(list_graphs(model.config))
    check_inputs_stay((Path(folder) / f"{name}.onnx" for name in names), [checkpoint])
    _check_can_be_traced(model.config, source)
    if not is_half:  # folded weights would be rounded; ONNX Runtime and OpenVINO fold them when they load the file
        fold_batch_norm(model)
    has_backbone = isinstance(model.encoder, BackboneEncoder)
    # ONNX cannot pool to an open size
    guidance = WindowMaskGuidance if has_backbone else FastMaskGuidance
    put_twins(model, {MaskGuidance: guidance, AbsolutePositions: OpenPositions})
    about = {
        "model_config": model.config.to_dict(),
        "opset": OPSET,
        "weights_sha256": sha256(checkpoint.read_bytes()).hexdigest(),
        "metadata": {key: value for key, value in read_metadata(checkpoint).items() if key != "model_config"},
        "mask2alpha_version": __version__,
        "torch_version": torch.__version__,
        "weights": "float16" if is_half else "float32",
    }
    folder = Path(folder)
    prepare_folder(folder)
    written = []
    for graph, module, examples, results in _traced_single(model) if is_single else _traced(model):
        path = folder / f"{graph.name}.onnx"
        with replacing(path) as temporary:
            (_export_dynamo if exporter == "dynamo" else _export)(graph, module, examples, temporary)
            if is_half:
                store_as_half(temporary)
            write_metadata(temporary, {"graph": graph.name, **about}, _output_shapes(graph, results))
        written.append(path)
    return written


def _check_can_be_traced(config: ModelConfig, source: str | Path) -> None:
    encoder = config.encoder
    if encoder.kind == "vit_adapter":
        raise InputError(
            f"{source}: its encoder is a vit_adapter, whose sizes a trace makes constant; "
            "models with a conv_stem or a backbone can be exported"
        )
    if encoder.kind == "backbone" and (encoder.positions != "absolute" or encoder.num_register_tokens):
        raise InputError(
            f"{source}: its backbone has {encoder.positions} positions and {encoder.num_register_tokens} register "
            "tokens; backbones with absolute positions and without register tokens can be exported"
        )


Traced: TypeAlias = tuple[Graph, nn.Module, tuple[Tensor, ...], tuple[Tensor, ...]]
"""A graph with its module, example inputs and their results."""


def _traced_single(model: Mask2Alpha) -> Iterator[Traced]:
    """The one graph of a whole model."""
    height, width = _EXAMPLE_SIZE
    mask = torch.zeros(_EXAMPLE_MASKS, 1, height, width)
    mask[:, :, height // 4 : height // 2, width // 4 : width // 2] = 1
    examples = (torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)), mask)
    module = SingleGraph(model)
    with torch.no_grad():
        yield SINGLE_GRAPH, module, examples, module(*examples)


def _traced(model: Mask2Alpha) -> Iterator[Traced]:
    """Each graph with its module, example inputs and their results, which later graphs read."""
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
    has_backbone = isinstance(model.encoder, BackboneEncoder)
    if isinstance(model.encoder, BackboneEncoder):
        values |= _backbone_examples(model.encoder, values["image"])
    modules = {
        "encoder": BackboneEncoderGraph(model) if has_backbone else EncoderGraph(model),
        "state": StateGraph(),
        "guide": BackboneGuideGraph(model) if has_backbone else GuideGraph(model),
        "fusion": FusionGraph(model),
        "step": StepGraph(model),
        "detail": DetailGraph(model),
    }
    for name, graph in list_graphs(model.config).items():
        examples = tuple(values[given] for given in graph.inputs)
        with torch.no_grad():
            made = modules[name](*examples)
        results = (made,) if isinstance(made, Tensor) else made
        yield graph, modules[name], examples, results
        values |= dict(zip(graph.outputs, results, strict=True))


def _backbone_examples(encoder: BackboneEncoder, image: Tensor) -> dict[str, Tensor]:
    size = (image.shape[2], image.shape[3])
    grid = encoder.token_grid(size)
    half, _ = encoder.input(image)
    return {
        "patches": fit_patches(image, half, encoder.input, grid, patch_size=encoder.vit.patch_size),
        "token_grid": torch.tensor(grid),
        "components": torch.zeros(_EXAMPLE_MASKS, encoder.component_basis.shape[1], size[0] // 16, size[1] // 16),
        "reach": torch.tensor(find_reach(size, grid)),
    }


def _output_shapes(graph: Graph, results: tuple[Tensor, ...]) -> dict[str, list[str | int]]:
    """Names of the open axes and sizes of the others, which the exporter does not infer beyond a resize."""
    return {
        name: [axes.get(axis, length) for axis, length in enumerate(made.shape)]
        for (name, axes), made in zip(graph.outputs.items(), results, strict=True)
    }


def _export(graph: Graph, module: nn.Module, examples: tuple[Tensor, ...], path: Path) -> None:
    options: dict[str, Any] = {"dynamo": False} if torch.__version__ >= "2.5" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns about sizes that are meant to be constant
        torch.onnx.export(
            module,
            examples,
            str(path),
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,  # the exporter's own folding of norms would round as ours does
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes={name: axes for name, axes in (graph.inputs | graph.outputs).items() if axes},
            **options,
        )


def _export_dynamo(graph: Graph, module: nn.Module, examples: tuple[Tensor, ...], path: Path) -> None:
    # the least side that the exporter can follow
    open_axes = {name: torch.export.Dim(name, min=1 if name == "masks" else 3) for name in _names_of_axes(graph)}
    shapes = tuple({axis: open_axes[name] for axis, name in axes.items()} for axes in graph.inputs.values())
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.export.export(
            module,
            examples,
            dynamic_shapes=shapes,
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,  # of memory layout, which it cannot prove for all sizes
        )
        program = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            optimize=False,  # runtimes do it when they load the file
            verbose=False,
        )
    assert program is not None
    written = program.model_proto
    for part in (written.graph, *written.functions):
        del part.value_info[:]
        for node in part.node:
            del node.metadata_props[:]  # lines of code with the paths of this machine
    path.write_bytes(written.SerializeToString())


def _names_of_axes(graph: Graph) -> set[str]:
    return {name for axes in graph.inputs.values() for name in axes.values()}
