"""Stage 1, the mask-guided encoder (paper 3.1)."""
