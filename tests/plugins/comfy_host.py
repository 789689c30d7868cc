"""The part of ComfyUI that custom nodes meet, after its documentation: how nodes are loaded, checked and called.

A graph is the host's own API format: {node id: {"class_type": name, "inputs": {name: value or [node id, output]}}}.
COMFYUI_FOLDER in the environment names a checkout of ComfyUI, whose own `comfy_api` replaces the one below.
"""

import asyncio
import importlib.util
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock
from uuid import uuid4

import torch

CHECKOUT = os.environ.get("COMFYUI_FOLDER")
NUMBERS = {"min", "max", "step"}
WIDGETS = {"STRING": {"multiline"}, "COMBO": {"options"}, "FLOAT": NUMBERS, "INT": NUMBERS, "BOOLEAN": set()}


def make_type(name: str) -> SimpleNamespace:
    """The `Input` and `Output` of one of the host's types, which take what its documentation names."""
    accepted = {"display_name", "optional", "tooltip"}

    class Input:
        io_type = name

        def __init__(self, id, **about):
            assert not about.keys() - accepted - (WIDGETS[name] | {"default"} if name in WIDGETS else set())
            self.id, self.optional = id, about.get("optional", False)
            self.__dict__ |= about

    class Output:
        io_type = name

        def __init__(self, id=None, **about):
            assert not about.keys() - {"display_name", "tooltip", "is_output_list"}
            self.id = id
            self.__dict__ |= about

    return SimpleNamespace(Input=Input, Output=Output)


@dataclass(kw_only=True)
class Schema:
    node_id: str
    display_name: str
    category: str
    description: str = ""
    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)


class ComfyNode:
    @classmethod
    def GET_SCHEMA(cls):  # noqa: N802  (the host's name)
        schema = cls.define_schema()
        ids = [*(each.id for each in schema.inputs), *(each.id for each in schema.outputs)]
        assert len(set(ids)) == len(ids)
        return schema

    @classmethod
    def EXECUTE_NORMALIZED(cls, **inputs):  # noqa: N802
        return cls.execute(**inputs)


class NodeOutput:
    def __init__(self, *args):
        self.result = args


def stand_in() -> ModuleType:
    """`comfy_api.latest` as far as these nodes use it."""
    latest = ModuleType("comfy_api.latest")
    types = {name: make_type(name.upper()) for name in ("Image", "Mask", "String", "Combo", "Float", "Int", "Boolean")}
    latest.io = SimpleNamespace(**types, Custom=make_type, Schema=Schema, ComfyNode=ComfyNode, NodeOutput=NodeOutput)
    latest.ComfyExtension = type("ComfyExtension", (), {})
    return latest


class InterruptProcessingException(Exception):  # noqa: N818  (the host's name)
    """The user pressed the button."""


class ComfyHost:
    """Loads one custom node package, and executes graphs of its nodes and of given values."""

    def __init__(self, folder: Path) -> None:
        """As the host does at its start: import the folder as a package, and ask its entry point for the nodes."""
        self.progress: list[tuple[int, int]] = []
        self.is_interrupted = False
        self._install_modules()
        name = f"custom_nodes_{uuid4().hex}"  # each host has its own copy
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        self.package = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.package)
        nodes = asyncio.run(self._ask_for_nodes())
        self.schemas = {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in nodes)}
        self.nodes = dict(zip(self.schemas, nodes, strict=True))
        self._outputs: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {}
        """Node id to what it was called with and what it returned: the host's cache."""

    async def _ask_for_nodes(self) -> list[Any]:
        extension = await self.package.comfy_entrypoint()
        assert not hasattr(self.package, "NODE_CLASS_MAPPINGS")  # the old way
        return await extension.get_node_list()

    def _install_modules(self) -> None:
        management, utils, comfy = (ModuleType(f"comfy{part}") for part in (".model_management", ".utils", ""))
        host = self

        class ProgressBar:
            def __init__(self, total):
                self.total, self.done = total, 0

            def update(self, value):
                self.done += value
                host.progress.append((self.done, self.total))

        def throw_exception_if_processing_interrupted():
            if host.is_interrupted:
                raise InterruptProcessingException

        management.get_torch_device = lambda: torch.device("cpu")
        management.throw_exception_if_processing_interrupted = throw_exception_if_processing_interrupted
        utils.ProgressBar = ProgressBar
        comfy.model_management, comfy.utils = management, utils
        modules = [management, utils, comfy]
        if CHECKOUT is None:
            api = ModuleType("comfy_api")
            api.latest = stand_in()
            modules += [api, api.latest]
        elif "comfy_api.latest" not in sys.modules:
            sys.path.insert(0, CHECKOUT)
            absent = ("av", "av.container", "av.subtitles", "av.subtitles.stream", "comfy.cli_args", "folder_paths")
            for name in (*absent, "comfy_execution.progress", "comfy_execution.utils"):
                sys.modules[name] = MagicMock()  # the API imports them, and these nodes never reach them
        sys.modules.update({module.__name__: module for module in modules})

    def execute(self, graph: dict[str, Any], output_node: str, values: dict[str, tuple[str, Any]]) -> tuple[Any, ...]:
        """Run what `output_node` depends on.

        Args:
            graph: Of our nodes.
            output_node: Whose outputs are wanted.
            values: Node id to the type and the value of the single output of a node that is not ours.
        """
        with torch.inference_mode():
            return self._execute(graph, output_node, values)

    def _execute(self, graph: dict[str, Any], node_id: str, values: dict[str, tuple[str, Any]]) -> tuple[Any, ...]:
        if node_id in values:
            return (values[node_id][1],)
        node = graph[node_id]
        schema = self.schemas[node["class_type"]]
        wanted = {each.id: each for each in schema.inputs}
        assert not [each.id for each in schema.inputs if not each.optional and each.id not in node["inputs"]]
        inputs = {}
        for name, value in node["inputs"].items():
            kind = wanted[name].io_type
            if isinstance(value, list):
                source, index = value
                assert self._type_of(graph, source, index, values) == kind, "the link joins different types"
                inputs[name] = self._execute(graph, source, values)[index]
            else:
                check_value(wanted[name], value)
                inputs[name] = value
        cached = self._outputs.get(node_id)
        if cached is not None and all(cached[0][name] is value for name, value in inputs.items()):
            return cached[1]
        outputs = self.nodes[schema.node_id].EXECUTE_NORMALIZED(**inputs).result
        assert len(outputs) == len(schema.outputs)
        for about, output in zip(schema.outputs, outputs, strict=True):
            check_output(about.io_type, output)
        self._outputs[node_id] = (inputs, outputs)
        return outputs

    def _type_of(self, graph: dict[str, Any], node_id: str, index: int, values: dict[str, tuple[str, Any]]) -> str:
        if node_id in values:
            return values[node_id][0]
        return self.schemas[graph[node_id]["class_type"]].outputs[index].io_type


def check_value(widget: Any, value: Any) -> None:
    """What the host checks of a value that a user typed."""
    if widget.io_type == "COMBO":
        assert value in widget.options, "value not in list"
    elif widget.io_type == "FLOAT":
        assert widget.min <= value <= widget.max
    else:
        assert widget.io_type == "STRING"
        assert isinstance(value, str)


def check_output(kind: str, output: Any) -> None:
    """What the host's own nodes rely on."""
    if kind in ("IMAGE", "MASK"):
        assert isinstance(output, torch.Tensor)
        assert output.dtype == torch.float32
        assert output.device.type == "cpu"
        assert output.min() >= 0
        assert output.max() <= 1
        assert output.ndim == (4 if kind == "IMAGE" else 3)
        assert kind == "MASK" or output.shape[3] == 3
