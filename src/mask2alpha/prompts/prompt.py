"""What a user draws over a photograph; it lives in `ops.prompt`, where the pipeline sees it, too."""

from mask2alpha.ops.prompt import Box, Number, Point, Prompt, Stroke

__all__ = ["Box", "Number", "Point", "Prompt", "Stroke"]
