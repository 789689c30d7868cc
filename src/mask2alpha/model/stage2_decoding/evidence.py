"""Evidence: cues about each pixel from image and matte, for the fusion and for every decoding step.

It is found again after each step, from the better matte. Each kind of evidence has a module `evidence_*.py`; its
channels are added in `find_evidence` and counted in `count_cues`.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mask2alpha.model.box import Box
from mask2alpha.model.config import DecoderConfig
from mask2alpha.model.stage2_decoding.evidence_colours import NUM_COLOUR_CUES, find_colour_evidence
from mask2alpha.model.stage2_decoding.evidence_semantics import (
    NUM_SEMANTIC_CUES,
    find_reach,
    find_semantic_evidence,
)
from mask2alpha.model.values import Evidence, GuidedFeatures


@torch.no_grad()
def find_evidence(guided: GuidedFeatures, matte_os4: Float[Tensor, "batch 1 h w"]) -> Evidence:
    """The evidence given a guess at the target; not differentiated.

    Args:
        guided: The features of the mask.
        matte_os4: The mask, or a better guess at alpha, at stride 4, in [0, 1].
    """
    local_colours, cues = find_colour_evidence(guided.thumbnail, matte_os4)
    if guided.components is not None:
        reach = find_reach(guided.size, guided.token_grid)
        cues = torch.cat([cues, find_semantic_evidence(guided.components, matte_os4, reach=reach)], dim=1)
    return Evidence(cues=cues, local_colours=local_colours)


def prepare_mask(
    guided: GuidedFeatures, mask: Float[Tensor, "batch 1 height width"], box: Box | None
) -> tuple[GuidedFeatures, Float[Tensor, "batch 1 h w"], Evidence]:
    """The inputs of the fusion: the features, the mask at stride 4, and the evidence given the mask.

    The evidence is that of the whole image; where there is a box, all three are cut to it.
    """
    mask_os4 = F.avg_pool2d(mask, 4)
    evidence = find_evidence(guided, mask_os4)
    return (guided, mask_os4, evidence) if box is None else (guided.cut(box), box.cut(mask_os4), evidence.cut(box))


def count_cues(config: DecoderConfig) -> int:
    """Number of channels of evidence that the fusion and each decoding step read."""
    return NUM_COLOUR_CUES * config.has_colour_cues + NUM_SEMANTIC_CUES * config.has_semantic_cue


def shown_cues(evidence: Evidence, config: DecoderConfig) -> list[Float[Tensor, "batch _cues h w"]]:
    """The channels of `count_cues`, as a list of maps: those of the colours, then that of the tokens."""
    shown = []
    if config.has_colour_cues:
        shown.append(evidence.cues[:, :NUM_COLOUR_CUES])
    if config.has_semantic_cue:
        shown.append(evidence.cues[:, NUM_COLOUR_CUES:])
    return shown
