"""Training samples: sources, composition, masks."""
