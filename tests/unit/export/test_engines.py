"""The engines find inputs and outputs by the names in the file."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mask2alpha.export.engines import ENGINES


@pytest.mark.parametrize("engine", ENGINES)
def test_names_of_merged_nodes_hide_no_input_and_no_output(engine: str, tmp_path: Path) -> None:
    pytest.importorskip(engine)
    chain = ["image", "a_view", "slice_1", "zero", "made"]  # OpenVINO gives the ends all names of what it merges
    kinds = ["Identity", "Identity", "Relu", "Identity"]
    nodes = [
        helper.make_node(kind, [given], [made]) for kind, given, made in zip(kinds, chain[:-1], chain[1:], strict=True)
    ]
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("image", "made"))
    graph = helper.make_graph(nodes, "chain", [given], [made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "chain.onnx")
    running = ENGINES[engine]({"chain": tmp_path / "chain.onnx"}, num_threads=1, is_bfloat16=False)
    result = running.run("chain", {"image": np.float32([-1, 2])})
    assert list(result) == ["made"]
    assert result["made"].tolist() == [0, 2]
