"""Shares of the photo for the mattes of several masks, so that no pixel belongs to more than one target altogether.

Each mask is matted by itself, and where two targets touch, their mattes may add up to more than 1, or to less. The
matte of all masks together says what they should add up to: 1 between two that touch, less where the background shows
between them. The difference is divided by the predicted errors: who is surer keeps more of its own value.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from mask2alpha.pipeline.matte import Matte

REACH = 3
"""Two targets meet where both have alpha above 0 within this many pixels."""
_LEAST_ERROR = 1e-6
"""Added to predicted errors: of those that are sure alike, each takes an equal part."""


def share_alpha(mattes: Sequence[Matte], whole: Matte) -> tuple[Matte, ...]:
    """Make the mattes of one photo add up to at most 1.

    Args:
        mattes: One per mask, all of one size.
        whole: The matte of the union of the masks.

    Returns:
        The mattes in their order. Where targets meet, they add up to the alpha of `whole`; elsewhere each is as it was.
    """
    if len(mattes) < 2:
        return tuple(mattes)
    alphas = np.stack([matte.alpha for matte in mattes])  # (K, H, W)
    reached = F.max_pool2d(torch.from_numpy(alphas), 2 * REACH + 1, 1, REACH).numpy() > 0
    rows, columns = np.nonzero(reached.sum(axis=0) > 1)
    errors = np.stack([matte.predicted_error[rows, columns] for matte in mattes]) + _LEAST_ERROR
    alphas[:, rows, columns] = _divide(alphas[:, rows, columns], errors, whole.alpha[rows, columns])
    return tuple(replace(matte, alpha=alpha) for matte, alpha in zip(mattes, alphas, strict=True))


def _divide(
    shares: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    errors: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    total: np.ndarray[tuple[int], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Change (K, P) shares in proportion to their errors until they add up to the (P,) totals; none leaves [0, 1]."""
    for _ in shares:  # each time, at least one share of a pixel comes to 0 or 1, or all are done
        missing = total - shares.sum(axis=0)
        weights = errors * np.where(missing > 0, shares < 1, shares > 0)
        shares = (shares + missing * weights / np.maximum(weights.sum(axis=0), _LEAST_ERROR / 2)).clip(0, 1)
    return np.asarray(shares / np.maximum(shares.sum(axis=0), 1), np.float32)
