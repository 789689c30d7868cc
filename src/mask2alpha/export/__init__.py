"""Exports the network as ONNX graphs, and runs them with ONNX Runtime or OpenVINO."""
