"""Estimates the target's colours without the background that shines through.

The multi-level method of Germer, Uelwer, Conrad and Harmeling, "Fast Multi-Level Foreground Estimation" (2020): from a
single pixel up to the full size, each level starts from the one below and solves, pixel by pixel, for the foreground F
and background B that explain the image (``alpha F + (1 - alpha) B = image``) while staying near their neighbours', the
more so where alpha changes. Each pixel is a 2 x 2 linear system; here all pixels of one colour of a chessboard are
solved at once, then those of the other, so that each half sees the other's newest values.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mask2alpha.errors import InputError
from mask2alpha.shapes import Size

_REGULARIZATION = 1e-5
"""Pull towards the neighbours' colours where alpha is flat."""
_GRADIENT_WEIGHT = 1.0
"""Additional pull per unit of alpha difference between neighbours."""
_SMALL_SIDE = 32
"""Levels whose longer side is at most this are solved everywhere."""
_SWEEPS, _LAST_SWEEPS = 4, 2
"""At each level, and at the full size, where a sweep costs the most and changes the least and where only the pixels
with mixed colours are solved."""
_LEAST_KEY_CHROMA = 0.1
"""Least distance of a key's largest and smallest channel."""
_ROWS_AT_ONCE = 2**16
"""Pixels solved together; bounds memory and keeps the work in the cache."""


def estimate_foreground(
    image: Float[Tensor, "3 height width"], alpha: Float[Tensor, "1 height width"]
) -> Float[Tensor, "3 height width"]:
    """The colours of the target alone, in [0, 1].

    Args:
        image: The photo, in [0, 1].
        alpha: Its matte, in [0, 1].

    Returns:
        Where alpha is 1, the image itself; where it is 0, colours that continue those nearby.
    """
    pixels = image.permute(1, 2, 0).contiguous()  # (H, W, 3): a pixel's channels are gathered together
    matte = alpha[0].contiguous()
    full_size = (image.shape[1], image.shape[2])
    colours = torch.cat([_mean_colour(pixels, matte), _mean_colour(pixels, 1 - matte)])[None, None]
    for size in _level_sizes(full_size):
        level_pixels, level_matte = _sample(pixels, size), _sample(matte[..., None], size)
        colours = _sample(colours, size)
        # mixing by exactly 0 or 1 is choosing
        colours[..., :3].lerp_(level_pixels, (level_matte == 1).float())
        colours[..., 3:].lerp_(level_pixels, (level_matte == 0).float())
        if size == full_size:
            solved, sweeps = (matte > 0) & (matte < 1), _LAST_SWEEPS
        elif max(size) <= _SMALL_SIDE:
            solved, sweeps = torch.ones(size, dtype=torch.bool), _SWEEPS
        else:
            solved, sweeps = _is_uncertain(level_matte[..., 0]), _SWEEPS
        _solve(colours, level_pixels, level_matte, solved, sweeps=sweeps)
    return colours[..., :3].contiguous().permute(2, 0, 1)


def despill(
    foreground: Float[Tensor, "3 height width"], key: tuple[float, float, float], *, strength: float = 1.0
) -> Float[Tensor, "3 height width"]:
    """Remove the light that a coloured screen threw on the target.

    Of each colour's deviation from grey, the part towards the key's hue is limited to the part across it, divided by
    the root of 3; for a green key that is the rule "no greener than the stronger of red and blue". The mean of the
    three channels stays.

    Args:
        foreground: The target's colours, in [0, 1].
        key: The screen's colour, in [0, 1]; not grey.
        strength: In [0, 1]: the share of the excess that is removed.

    Returns:
        Colours in [0, 1]; those of other hues as they were.

    Raises:
        InputError: `key` is grey, or a value is out of its range.
    """
    if len(key) != 3 or not all(0 <= channel <= 1 for channel in key) or max(key) - min(key) < _LEAST_KEY_CHROMA:
        raise InputError(f"key must be a colour, three numbers in [0, 1], and not grey; got {key}")
    if not 0 <= strength <= 1:
        raise InputError(f"strength must be in [0, 1]; got {strength}")
    towards = torch.tensor(key) - torch.tensor(key).mean()
    towards /= towards.norm()
    across = towards.roll(1) - towards.roll(2)  # at right angles to the key's hue and to grey
    across /= across.norm()
    along = torch.einsum("c,chw->hw", towards, foreground)
    allowed = torch.einsum("c,chw->hw", across, foreground).abs() / 3**0.5
    excess = strength * (along - allowed).clamp(min=0)
    return (foreground - towards[:, None, None] * excess).clamp(0, 1)


def _mean_colour(pixels: Float[Tensor, "height width 3"], weight: Float[Tensor, "height width"]) -> Float[Tensor, "3"]:
    """Summed in float64: rounded to float32, the mean is the same for any number of threads."""
    total, summed = torch.zeros((), dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    parts = (torch.split(values, _ROWS_AT_ONCE) for values in (weight.flatten(), pixels.flatten(0, 1)))
    for shares, colours in zip(*parts, strict=True):
        total += shares.double().sum()
        summed += shares.double() @ colours.double()
    return pixels.mean((0, 1)) if total == 0 else (summed / total).to(pixels.dtype)


def _level_sizes(size: Size) -> list[Size]:
    """From 1 x 1 to `size`, each side growing by a constant factor of at most 2."""
    count = max(1, (max(size) - 1).bit_length())
    return [(round(size[0] ** (level / count)), round(size[1] ** (level / count))) for level in range(count)] + [size]


def _sample(picture: Float[Tensor, "_h _w channels"], size: Size) -> Float[Tensor, "h w channels"]:
    """Nearest-neighbour resampling; the picture itself where the size is the same."""
    if picture.shape[:2] == size:
        return picture
    row, column = (
        ((torch.arange(new) + 0.5) * (old / new)).long().clamp(max=old - 1)
        for new, old in zip(size, picture.shape[:2], strict=True)
    )
    if size[0] > picture.shape[0]:  # the axis that grows comes last, so that less is moved
        return picture.index_select(1, column).index_select(0, row)
    return picture.index_select(0, row).index_select(1, column)


def _is_uncertain(matte: Float[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Pixels that are neither 0 nor 1, or differ from the one above, below, to the left or to the right."""
    uncertain = (matte > 0) & (matte < 1)
    differs = matte[1:] != matte[:-1]
    uncertain[1:] |= differs
    uncertain[:-1] |= differs
    differs = matte[:, 1:] != matte[:, :-1]
    uncertain[:, 1:] |= differs
    uncertain[:, :-1] |= differs
    return uncertain


def _solve(
    colours: Float[Tensor, "h w 6"],
    pixels: Float[Tensor, "h w 3"],
    matte: Float[Tensor, "h w 1"],
    solved: Bool[Tensor, "h w"],
    *,
    sweeps: int,
) -> None:
    """Improve the colours, in place, at the `solved` pixels by some sweeps over the chessboard."""
    size = (matte.shape[0], matte.shape[1])
    colour_rows, image_rows, alpha_rows = colours.view(-1, 6), pixels.view(-1, 3), matte.flatten()
    is_black = torch.zeros(size, dtype=torch.bool)
    is_black[::2, ::2] = is_black[1::2, 1::2] = True
    chunks = [
        _equations(part, image_rows, alpha_rows, size)
        for half in (solved & is_black, solved & ~is_black)
        for part in torch.split(half.flatten().nonzero()[:, 0], _ROWS_AT_ONCE)
    ]
    for _ in range(sweeps):
        for equations in chunks:
            equations.solve_into(colour_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Equations:
    """The linear systems of some pixels, none the neighbour of another."""

    pixels: Int64[Tensor, " points"]
    """Positions in raster order."""
    neighbours: Int64[Tensor, "points 4"]
    """Positions of the neighbours; at the frame the pixel itself stands for a missing one."""
    weights: Float[Tensor, "points 4"]
    """The neighbours' shares in the mean."""
    gains: Float[Tensor, "points 2"]
    """How much of what the mean leaves unexplained goes to foreground and background."""
    alpha: Float[Tensor, "points 1"]
    image: Float[Tensor, "points 3"]

    def solve_into(self, colour_rows: Float[Tensor, "pixels 6"]) -> None:
        """Set the pixels' colours to the solution, given their neighbours' colours.

        With the neighbours' weighted means F' and B' and the sum t of their weights, the minimum of
        |alpha F + (1 - alpha) B - image|^2 + t |F - F'|^2 + t |B - B'|^2 is F' + alpha r / d and
        B' + (1 - alpha) r / d, where r = image - alpha F' - (1 - alpha) B' and d = alpha^2 + (1 - alpha)^2 + t.
        """
        # gathers and averages in one pass, several times faster than indexing
        means = F.embedding_bag(self.neighbours, colour_rows, per_sample_weights=self.weights, mode="sum")
        foreground, background = means[:, :3], means[:, 3:]
        unexplained = self.image - torch.lerp(background, foreground, self.alpha)
        foreground.addcmul_(unexplained, self.gains[:, :1])
        background.addcmul_(unexplained, self.gains[:, 1:])
        colour_rows.index_copy_(0, self.pixels, means.clamp_(0, 1))


def _equations(
    pixels: Int64[Tensor, " points"],
    image_rows: Float[Tensor, "pixels 3"],
    alpha_rows: Float[Tensor, " pixels"],
    size: Size,
) -> _Equations:
    height, width = size
    column = pixels % width
    neighbours = torch.stack(
        [
            torch.where(pixels >= width, pixels - width, pixels),
            torch.where(pixels < (height - 1) * width, pixels + width, pixels),
            torch.where(column > 0, pixels - 1, pixels),
            torch.where(column < width - 1, pixels + 1, pixels),
        ],
        dim=1,
    )
    alpha = alpha_rows.index_select(0, pixels)[:, None]
    neighbours_alpha = alpha_rows.index_select(0, neighbours.flatten()).view(-1, 4)
    weights = neighbours_alpha.sub_(alpha).abs_().mul_(_GRADIENT_WEIGHT).add_(_REGULARIZATION)
    total = weights.sum(1, keepdim=True)
    shares = torch.cat([alpha, 1 - alpha], dim=1)
    gains = shares / (shares.square().sum(1, keepdim=True) + total)
    return _Equations(
        pixels=pixels,
        neighbours=neighbours,
        weights=weights.div_(total),
        gains=gains,
        alpha=alpha,
        image=image_rows.index_select(0, pixels),
    )
