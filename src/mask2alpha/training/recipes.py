"""Training runs as functions: what they are for, what they need, what to expect."""

from mask2alpha.model.config import PRESETS
from mask2alpha.training.config import DataConfig, OptimConfig, Recipe


def small() -> Recipe:
    """The shipped default, made for a CPU.

    Data: free cut-outs, renders and procedural foregrounds over free photographs. Hardware: one CPU core for the
    network and one for the samples; about 1.5 hours bring a useful model, more is better.
    """
    return Recipe(name="small", model=PRESETS["small"])


def debug() -> Recipe:
    """A few seconds of the whole machinery with the `tiny` model, for tests."""
    return Recipe(
        name="debug",
        model=PRESETS["tiny"],
        data=DataConfig(size=64, batch_size=2, num_workers=0),
        optim=OptimConfig(num_steps=20, warmup_steps=2),
        uses_bfloat16=False,
    )


RECIPES = {"small": small, "debug": debug}
"""Runs by name; `mask2alpha train NAME`."""
