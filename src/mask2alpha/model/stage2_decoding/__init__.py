"""Stage 2, iterative decoding (paper 3.2 and 3.4)."""
