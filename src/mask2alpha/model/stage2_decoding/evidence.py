"""Evidence: cues about each pixel from image and matte, for the fusion and for every decoding step.

It is found again after each step, from the better matte. Each kind of evidence has a module `evidence_*.py`; its
channels are added in `find_evidence` and counted in `count_cues`.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mask2alpha.model.box import Box
from mask2alpha.model.config import DecoderConfig
from mask2alpha.model.stage2_decoding.evidence_colours import NUM_COLOUR_CUES, find_colour_evidence
from mask2alpha.model.stage2_decoding.evidence_semantics import (
    NUM_SEMANTIC_CUES,
    find_reach,
    find_semantic_evidence,
)
from mask2alpha.model.values import DEFAULT_TRUST, Evidence, GuidedFeatures

NUM_TRUST_CUES = 1
LARGEST_TRUST_CUE = 3.0
"""The cue of a trust of 1; a trust of 0 has minus this. Larger than the other cues, so that training finds it soon."""


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
    if guided.trust is not None:
        cues = torch.cat([cues, find_trust_cue(guided.trust, guided.is_decided, matte_os4)], dim=1)
    return Evidence(cues=cues, local_colours=local_colours)


def find_trust_cue(
    trust: Float[Tensor, " _batch"],
    is_decided: Bool[Tensor, "_masks 1 h w"] | None,
    matte_os4: Float[Tensor, "batch 1 h w"],
) -> Float[Tensor, "batch 1 h w"]:
    """How far the mask is believed at each pixel: 0 as usual, `LARGEST_TRUST_CUE` where alpha is decided.

    Args:
        trust: In [0, 1], for all masks or for each.
        is_decided: As `RunOptions.is_decided`.
        matte_os4: Gives the size.
    """
    cue = (LARGEST_TRUST_CUE * (2 * trust.float() - 1)).view(-1, 1, 1, 1).expand(matte_os4.shape)
    return cue if is_decided is None else torch.where(is_decided, LARGEST_TRUST_CUE, cue)


def prepare_mask(
    guided: GuidedFeatures, mask: Float[Tensor, "batch 1 height width"], box: Box | None, config: DecoderConfig
) -> tuple[GuidedFeatures, Float[Tensor, "batch 1 h w"], Evidence]:
    """The inputs of the fusion: the features, the mask at stride 4, and the evidence given the mask.

    The evidence is that of the whole image; where there is a box, all three are cut to it.
    """
    mask_os4 = F.avg_pool2d(mask, 4)
    trust = guided.trust if guided.trust is not None else torch.tensor([DEFAULT_TRUST], device=mask.device)
    guided = replace(guided, trust=trust if config.has_trust_cue else None)
    evidence = find_evidence(guided, mask_os4)
    return (guided, mask_os4, evidence) if box is None else (guided.cut(box), box.cut(mask_os4), evidence.cut(box))


def count_cues(config: DecoderConfig) -> int:
    """Number of channels of evidence that the fusion and each decoding step read."""
    return (
        NUM_COLOUR_CUES * config.has_colour_cues
        + NUM_SEMANTIC_CUES * config.has_semantic_cue
        + NUM_TRUST_CUES * config.has_trust_cue
    )


def shown_cues(evidence: Evidence, config: DecoderConfig) -> list[Float[Tensor, "batch _cues h w"]]:
    """The channels of `count_cues`, as a list of maps: those of the colours, that of the tokens, that of the trust."""
    shown = []
    if config.has_colour_cues:
        shown.append(evidence.cues[:, :NUM_COLOUR_CUES])
    if config.has_semantic_cue:
        shown.append(evidence.cues[:, NUM_COLOUR_CUES : NUM_COLOUR_CUES + NUM_SEMANTIC_CUES])
    if config.has_trust_cue:
        shown.append(evidence.cues[:, -NUM_TRUST_CUES:])
    return shown
