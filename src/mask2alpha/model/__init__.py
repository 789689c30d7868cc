"""The network: tensors in, tensors out; start at mask2alpha.py."""
