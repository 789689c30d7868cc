"""Loss terms on alpha, each a scalar; their weights are in `config.LossWeights`."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Matte = Float[Tensor, "batch 1 height width"]


def unknown_region(true_alpha: Matte, *, radius: int) -> Matte:
    """1 within `radius` pixels of a soft or changing alpha, 0 elsewhere: where matting is hard."""
    window = 2 * radius + 1
    largest = F.max_pool2d(true_alpha, window, stride=1, padding=radius)
    smallest = -F.max_pool2d(-true_alpha, window, stride=1, padding=radius)
    return (largest - smallest > 0.02).to(true_alpha.dtype)


def absolute_error(alpha: Matte, true_alpha: Matte) -> Float[Tensor, ""]:
    """Mean |alpha - truth| over all pixels."""
    return (alpha - true_alpha).abs().mean()


def regional_error(alpha: Matte, true_alpha: Matte, region: Matte) -> Float[Tensor, ""]:
    """Mean |alpha - truth| over the pixels of `region`; 0 where it is empty."""
    return ((alpha - true_alpha).abs() * region).sum() / region.sum().clamp(min=1)


def cross_entropy(alpha_logits: Matte, true_alpha: Matte) -> Float[Tensor, ""]:
    """Binary cross-entropy with soft targets, less its floor (the targets' entropy), so that 0 is perfect.

    L1 on a sigmoid has no gradient where the network is surely wrong; this term has.
    """
    entropy = F.binary_cross_entropy(true_alpha, true_alpha)
    return F.binary_cross_entropy_with_logits(alpha_logits, true_alpha) - entropy


def laplacian(alpha: Matte, true_alpha: Matte, *, levels: int = 5) -> Float[Tensor, ""]:
    """L1 between Laplacian pyramids (2x2 box filter), level `i` weighted by 2**i."""
    difference = alpha - true_alpha  # the pyramid is linear
    total = difference.new_zeros(())
    for level in range(levels):
        if min(difference.shape[2:]) < 2:
            break
        coarser = F.avg_pool2d(difference, 2)
        upsampled = F.interpolate(coarser, difference.shape[2:], mode="bilinear", align_corners=False)
        total = total + 2**level * (difference - upsampled).abs().mean()
        difference = coarser
    return total


def gradient(alpha: Matte, true_alpha: Matte) -> Float[Tensor, ""]:
    """L1 between the horizontal and vertical differences of neighbouring pixels."""
    difference = alpha - true_alpha
    return difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()


def predicted_error_loss(
    predicted_error: Matte, alpha: Matte, true_alpha: Matte, *, quantile: float = 0.5
) -> Float[Tensor, ""]:
    """L_C (paper 3.2): mean |c - |alpha - truth||; alpha is detached, or it would learn to please the error head.

    The paper's L1 makes c the median of the error. Where fine hair may or may not be, that is 0, and the detail stage
    never looks. With a higher `quantile` (in (0, 1)) too low a c costs more than too high a one (the pinball loss,
    scaled so that 0.5 is the paper's).
    """
    missing = (alpha.detach() - true_alpha).abs() - predicted_error
    return 2 * torch.maximum(quantile * missing, (quantile - 1) * missing).mean()


def weighted_sum(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """The total of the named terms; a term without a weight is an error."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
