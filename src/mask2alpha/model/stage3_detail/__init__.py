"""Stage 3, sparse detail recovery (paper 3.3)."""
