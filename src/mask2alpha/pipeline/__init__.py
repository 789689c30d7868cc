"""The predictor: arrays of any size in, mattes out."""
