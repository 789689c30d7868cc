"""The engines that run the graphs on the CPU: ONNX Runtime and OpenVINO."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from mask2alpha.errors import InputError
from mask2alpha.export.metadata import require

Arrays: TypeAlias = dict[str, NDArray[Any]]
EXACT_GRAPHS = ("state", "detail")
"""Graphs that always run in float32: colours, positions and logits need more than the 8 bits of bfloat16."""


class Engine(ABC):
    """Runs graphs by their names."""

    @abstractmethod
    def run(self, graph: str, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """The outputs of a graph, by name.

        Args:
            graph: Its name.
            feeds: Its inputs by name; others are ignored.
        """


class OnnxRuntimeEngine(Engine):
    """ONNX Runtime, in float32."""

    def __init__(self, files: Mapping[str, Path], *, num_threads: int, is_bfloat16: bool) -> None:
        if is_bfloat16:
            raise InputError("dtype: ONNX Runtime computes in float32 on a CPU; bfloat16 needs the backend openvino")
        runtime = require("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = num_threads
        self._sessions = {
            name: runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            for name, path in files.items()
        }
        self._inputs = {name: {given.name for given in s.get_inputs()} for name, s in self._sessions.items()}
        self._outputs = {name: [made.name for made in s.get_outputs()] for name, s in self._sessions.items()}

    def run(self, graph: str, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Engine.run`."""
        known = {name: array for name, array in feeds.items() if name in self._inputs[graph]}
        return dict(zip(self._outputs[graph], self._sessions[graph].run(None, known), strict=True))


class OpenVinoEngine(Engine):
    """OpenVINO, in float32 or bfloat16; `EXACT_GRAPHS` always run in float32."""

    def __init__(self, files: Mapping[str, Path], *, num_threads: int, is_bfloat16: bool) -> None:
        core = require("openvino").Core()
        onnx = require("onnx")
        self._requests: dict[str, Any] = {}
        self._inputs: dict[str, list[str]] = {}
        self._outputs: dict[str, list[str]] = {}
        for name, path in files.items():
            compiled = core.compile_model(
                str(path),
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": "bf16" if is_bfloat16 and name not in EXACT_GRAPHS else "f32",
                    "INFERENCE_NUM_THREADS": num_threads,
                    "PERFORMANCE_HINT": "LATENCY",
                },
            )
            self._requests[name] = compiled.create_infer_request()
            declared = onnx.load(path, load_external_data=False).graph
            self._inputs[name] = [_name_in_file(port, declared.input) for port in compiled.inputs]
            self._outputs[name] = [_name_in_file(port, declared.output) for port in compiled.outputs]

    def run(self, graph: str, feeds: Mapping[str, NDArray[Any]]) -> Arrays:
        """See `Engine.run`."""
        known = {index: feeds[name] for index, name in enumerate(self._inputs[graph])}
        made = self._requests[graph].infer(known, share_inputs=True)
        return {name: made[index] for index, name in enumerate(self._outputs[graph])}


def _name_in_file(port: Any, declared: Sequence[Any]) -> str:
    """The name of a port in the ONNX file; OpenVINO adds the names of merged nodes."""
    names: set[str] = port.get_names()
    return names.intersection(value.name for value in declared).pop()


ENGINES: dict[str, type[OnnxRuntimeEngine] | type[OpenVinoEngine]] = {
    "onnxruntime": OnnxRuntimeEngine,
    "openvino": OpenVinoEngine,
}
"""By the names of the backends."""
