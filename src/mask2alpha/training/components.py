"""The components on which the semantic evidence is fitted: principal ones of tokens of training images."""

import numpy as np
import torch

from mask2alpha.data.loading import make_sample
from mask2alpha.data.sources import Sources
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage1_encoder.backbone import BackboneEncoder

NUM_IMAGES = 120
"""Half of them are composites, half are plain backgrounds."""
TOKENS_PER_IMAGE = 250
"""At most; drawn evenly."""
_SEED = 2**31 - 2
"""This is not a training seed."""


@torch.no_grad()
def fit_components(model: Mask2Alpha, sources: Sources, *, size: int, num_images: int = NUM_IMAGES) -> float:
    """Set the encoder's `component_mean` and `component_basis`, in place.

    Args:
        model: Its encoder has a backbone; else nothing happens.
        sources: Cut-outs and photos.
        size: Side of the images, in pixels, a multiple of 64.
        num_images: Images whose tokens are taken.

    Returns:
        The share of the tokens' variance that the components keep, in [0, 1]; 1 where there is no backbone.
    """
    encoder = model.encoder
    if not isinstance(encoder, BackboneEncoder):
        return 1.0
    rng = np.random.default_rng(_SEED)
    was_training = model.training
    model.eval()
    kept = []
    for index in range(num_images):
        is_composite = index % 2 == 0
        image = make_sample(sources, size, 1, _SEED, index)[0] if is_composite else sources.photos(rng, size)
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0).float() / 255
        encoding = encoder.encode(pixels.to(encoder.component_mean.device))
        tokens = encoder.guide(encoding, torch.zeros(1, 1, size, size, device=pixels.device)).tokens[0]
        kept.append(tokens[:: -(-len(tokens) // TOKENS_PER_IMAGE)].float())
    model.train(was_training)
    tokens = torch.cat(kept)
    mean = tokens.mean(dim=0)
    _, spread, directions = torch.linalg.svd(tokens - mean, full_matrices=False)
    count = encoder.component_basis.shape[1]
    encoder.component_mean.copy_(mean)
    encoder.component_basis.copy_(directions[:count].t())
    return float(spread[:count].square().sum() / spread.square().sum())
