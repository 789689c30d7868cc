"""Shape vocabulary: what the axis names in annotations mean, and the types used everywhere.

Axis names in jaxtyping annotations, e.g. ``Float[Tensor, "batch 1 height width"]``:

    batch       images, or pairs of image and mask, in a batch
    height      rows at the full resolution of the (padded) photo, in pixels
    width       columns at that resolution
    h, w        rows and columns at an output stride (``_os4``: a quarter of the full resolution)
    channels    feature channels
    tokens      ViT tokens in raster order; with extras, [CLS] first, then registers, then patches
    dim         token dimension
    masks       instances (K) of one photo
    points      active pixels (P); their ``coordinates`` are (batch, row, column)

Values: images, alphas and errors are in [0, 1]; masks inside the network are float, 0 or 1 (soft masks: between).
"""

from typing import TypeAlias

Size: TypeAlias = tuple[int, int]
"""(height, width), always in this order."""
