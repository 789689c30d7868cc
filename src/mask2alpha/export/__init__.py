"""The network as ONNX graphs, and a predictor that runs them without PyTorch's kernels."""
