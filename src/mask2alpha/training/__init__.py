"""Training: recipes, losses, the objective and the loop."""
