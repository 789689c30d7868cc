"""The part of ComfyUI that custom nodes meet, after its documentation: how nodes are loaded, checked and called.

A graph is the host's own API format: {node id: {"class_type": name, "inputs": {name: value or [node id, output]}}}.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import torch


class InterruptProcessingException(Exception):  # noqa: N818  (the host's name)
    """The user pressed the button."""


class ComfyHost:
    """Loads one custom node package, and executes graphs of its nodes and of given values."""

    def __init__(self, folder: Path) -> None:
        """As the host does at its start: import the folder as a package, and read the two mappings."""
        self.progress: list[tuple[int, int]] = []
        self.is_interrupted = False
        self._install_modules()
        name = f"custom_nodes_{uuid4().hex}"  # each host has its own copy
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        self.package = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.package)
        self.nodes = self.package.NODE_CLASS_MAPPINGS
        assert self.package.NODE_DISPLAY_NAME_MAPPINGS.keys() == self.nodes.keys()
        self._objects: dict[tuple[str, str], Any] = {}
        self._outputs: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {}
        """Node id to what it was called with and what it returned: the host's cache."""

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
        sys.modules.update({module.__name__: module for module in (management, utils, comfy)})

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
        cls = self.nodes[node["class_type"]]
        wanted = cls.INPUT_TYPES()
        assert not wanted["required"].keys() - node["inputs"].keys(), "required input missing"
        inputs = {}
        for name, value in node["inputs"].items():
            kind = {**wanted["required"], **wanted.get("optional", {})}[name][0]
            if isinstance(value, list):
                source, index = value
                assert self._type_of(graph, source, index, values) == kind, "the link joins different types"
                inputs[name] = self._execute(graph, source, values)[index]
            else:
                assert value in kind if isinstance(kind, list) else kind == "STRING", "value not in list"
                inputs[name] = value
        cached = self._outputs.get(node_id)
        if cached is not None and all(cached[0][name] is value for name, value in inputs.items()):
            return cached[1]
        key = (node_id, node["class_type"])
        if key not in self._objects:
            self._objects[key] = cls()
        outputs = getattr(self._objects[key], cls.FUNCTION)(**inputs)
        assert isinstance(outputs, tuple)
        assert len(outputs) == len(cls.RETURN_TYPES) == len(cls.RETURN_NAMES)
        for kind, output in zip(cls.RETURN_TYPES, outputs, strict=True):
            check_output(kind, output)
        self._outputs[node_id] = (inputs, outputs)
        return outputs

    def _type_of(self, graph: dict[str, Any], node_id: str, index: int, values: dict[str, tuple[str, Any]]) -> str:
        return values[node_id][0] if node_id in values else self.nodes[graph[node_id]["class_type"]].RETURN_TYPES[index]


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
