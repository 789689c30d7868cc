"""Colour cues: how a pixel's colour compares with the colours of the target and of its surroundings nearby.

Where the photo's colours differ, alpha is nearly the position of a pixel's colour between the colour of the target
nearby and that of the background nearby: the idea of sampling-based matting. A small network hardly learns the products
and quotients in it, so it is given the result. Not in the paper; see docs/decisions/0009.

Stage 2 reads these cues at stride 4 (`stage2_decoding/evidence_colours.py`), stage 3 at single pixels.

Legend: I the image, F and B the local colours of target and surroundings, all in [0, 1].
"""

import torch
from jaxtyping import Float
from torch import Tensor

NUM_CUES = 4
"""Channels of `colour_cues`."""
NUM_COLOURS = 6
"""Channels of the local colours F and B together."""
LEAST_CONTRAST = 0.002
"""Squared distance of the light of F and B at which the estimate is halfway to undecided."""


def colour_cues(
    image: Float[Tensor, "batch 3 *pixels"], local_colours: Float[Tensor, "batch 6 *pixels"]
) -> Float[Tensor, "batch 4 *pixels"]:
    """The four cues of `cue_parts`, as channels."""
    return torch.cat(cue_parts(image, local_colours), dim=1)


@torch.no_grad()
def cue_parts(
    image: Float[Tensor, "batch 3 *pixels"], local_colours: Float[Tensor, "batch 6 *#pixels"]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The colour cues of each pixel, as four channels; not differentiated.

    Args:
        image: Colours in [0, 1]; a map, or single pixels.
        local_colours: F and B at the same pixels, or for several of them together.

    Returns:
        The estimate of alpha from colour alone, ``(I - B) . (F - B) / (|F - B|^2 + c)`` of the light, which is what a
        camera mixes and about the square of the coded values, scaled from [0, 1] to [-1, 1] and clamped to [-2, 2];
        then |F - B|, of the shape of `local_colours`, |I - F| and |I - B| of the coded values.
    """
    foreground, background = local_colours[:, :3], local_colours[:, 3:]
    behind = background.square()
    difference = foreground.square() - behind
    contrast = _sum_colours(difference.square())
    estimate = _sum_colours((image.square() - behind) * difference) / (contrast + LEAST_CONTRAST)
    pairs = ((foreground, background), (image, foreground), (image, background))
    apart, from_target, from_surroundings = (_sum_colours((one - other).square()).sqrt() for one, other in pairs)
    return (2 * estimate - 1).clamp(-2, 2), apart, from_target, from_surroundings


def _sum_colours(values: Float[Tensor, "batch 3 *pixels"]) -> Float[Tensor, "batch 1 *pixels"]:
    return values[:, :1] + values[:, 1:2] + values[:, 2:]
