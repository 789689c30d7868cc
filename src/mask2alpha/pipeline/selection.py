"""From points, strokes and boxes to a rough mask, by the tokens of an encoding that is already there.

Three steps. A prior says what the target probably is: what stands out in the photo, what a box holds (a regression on
the tokens' components, fitted anew several times), or a given mask. A Gaussian process over the tokens then takes
points and strokes as observations, so that each reaches what looks like its place and lies near it. The network's own
decoding at last brings the outline to the pixels. Points and strokes hold in the end, whatever the steps say. Where a
mask is given, they add to it and take away from it, and what they do not reach stays as it is.

The first component of the tokens tells what stands out, because the shipped backbone was tuned for it. The constants
were chosen on the photos of docs/selecting.md.

Legend: N tokens, L of them observed, C components; (h, w) a map at stride 4 of the encoded image.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from mask2alpha.model.values import GuidedFeatures, ImageEncoding
from mask2alpha.ops.prompt import Box, Prompt, Stroke
from mask2alpha.shapes import Size

SCALES = ("part", "object", "group")
"""How much a point means, from little to much: a shirt, the person, the people."""
BRUSH = 0.01
"""Default width of points and strokes, as a share of the photo's longer side."""
PRIOR_WEIGHT = 0.8
"""The most that the prior says for or against a token, beside 1 of a point."""
SALIENCE_SPREAD = 20.0
"""Distance in the first component from unsure to sure."""
PART_PRIOR = -0.4
"""The prior of every token where a point means a part."""
KERNELS = ((0.6, 0.6), (0.2, 0.1))
"""Weight and radius of the two parts of the kernel; radii in sides of a square of the photo's area."""
LIKENESS = 0.5
"""The decline of the cosine between tokens that divides the kernel by e."""
NOISE = 0.02
"""Variance of an observation."""
BORDER_NOISE, BORDER = 4.0, 0.04
"""A mark near the border of what the prior says probably mends the outline rather than contradicts the prior: its
variance is larger by BORDER_NOISE exp(-distance / BORDER), with distances in sides of a square of the photo's area."""
BOX_ROUNDS = 5
"""How often the regression for a box is fitted."""
BOX_RIDGE = 0.3
"""Its regularisation."""
BOX_SALIENCE = 0.2
"""Weight of the salience beside the regression."""
BOX_REACH = 0.5
"""Distance from the box, in sides of a square of the photo's area, that divides a token's weight by e."""
BOX_EDGE = 0.02
"""A side of a box that is nearer to the photo's edge than this share of the photo's longer side means that edge."""
MASK_SHARE = 0.3
"""Weight of a given mask in the prior, beside what stands out or what a box holds."""
REACH = 3.0
"""How far a mark changes a given mask, over the mark's distance from where the mask already says the same, or from the
photo's edge. Whoever points at the middle of an error points as deep into the mask as the error is wide."""
DECODINGS = 2
"""How often the network decodes a selection that continues no mask."""
CELLS = 128
"""Cells along the longer side on which pieces are told apart."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tokens:
    """What the backbone says about a photo, token by token, in raster order."""

    features: Float[Tensor, "tokens dim"]
    """Of unit length; the last two blocks' outputs, joined."""
    components: Float[Tensor, "tokens components"]
    """The principal components; the first tells what stands out."""
    grid: Size
    """(rows, columns) of the tokens."""
    spanned: Size
    """(height, width) in pixels of the photo that they span."""

    @classmethod
    def of(cls, encoding: ImageEncoding, guided: GuidedFeatures, spanned: Size) -> "Tokens":
        """Take them from an encoding, and from the features that an empty mask gives."""
        assert guided.components is not None
        last = guided.tokens[0].float().cpu()
        before = encoding.tokens[0, -len(last) :].float().cpu()
        halves = [F.normalize(part - part.mean(dim=0), dim=1) for part in (last, before)]
        components = F.interpolate(guided.components.float().cpu(), encoding.token_grid, mode="area")
        return cls(
            features=torch.cat(halves, dim=1) / math.sqrt(2),
            components=components[0].flatten(1).t(),
            grid=encoding.token_grid,
            spanned=spanned,
        )

    @property
    def places(self) -> Float[Tensor, "tokens 2"]:
        """(y, x) of the tokens' centres, in pixels of the photo."""
        rows, columns = (
            (torch.arange(count) + 0.5) * length / count for count, length in zip(self.grid, self.spanned, strict=True)
        )
        return torch.cartesian_prod(rows, columns)

    def cells(self, strokes: Sequence[Stroke]) -> Int[Tensor, " cells"]:
        """Indices of the tokens that strokes touch, each once."""
        xy = np.concatenate([_sample(stroke, step=min(self.spanned) / max(self.grid) / 2) for stroke in strokes])
        rows, columns = (
            (xy[:, axis] * self.grid[index] / self.spanned[index]).astype(np.int64).clip(0, self.grid[index] - 1)
            for axis, index in ((1, 0), (0, 1))
        )
        return torch.from_numpy(np.unique(rows * self.grid[1] + columns))


def select(
    tokens: Tokens,
    decode: Callable[[Float[Tensor, "1 1 _h _w"]], Float[Tensor, "1 1 _h _w"]],
    *,
    size: Size,
    size_os4: Size,
    prompt: Prompt,
    boxes: Sequence[Box],
    mask: Float[Tensor, "1 1 _height _width"] | None,
    scale: str,
) -> Bool[Tensor, "height width"]:
    """Select what a prompt means.

    Args:
        tokens: Of the photo.
        decode: The network: a mask at stride 4 in, alpha at stride 4 out.
        size: (height, width) of the photo.
        size_os4: (height, width) of maps at stride 4.
        prompt: Points and strokes that lie on the photo; its box is not read.
        boxes: The target lies inside one of them; none: anywhere.
        mask: The mask to begin from, in [0, 1], of the photo's size.
        scale: How much points mean: one of `SCALES`.

    Returns:
        True on the target.
    """
    spanned = tokens.spanned
    prior = PRIOR_WEIGHT * find_salience(tokens)
    if boxes:
        prior = torch.stack([fit_box(tokens, box, size) for box in boxes]).amax(dim=0)
    elif scale == "part" and prompt.target and mask is None:
        prior = torch.full_like(prior, PART_PRIOR)
    if mask is not None:
        padded = F.pad(mask, (0, spanned[1] - size[1], 0, spanned[0] - size[0]))
        mask_os4 = F.interpolate(padded, size_os4, mode="area")
        believed = 2 * F.interpolate(mask_os4, tokens.grid, mode="area").flatten() - 1
        prior = torch.lerp(prior, believed, MASK_SHARE)
        near = _to_map(find_reach(tokens, believed, prompt, size).float(), tokens.grid, size_os4) > 0
    change = observe(tokens, prior, prompt, doubts_borders=mask is None)
    belief = _to_map(prior + change, tokens.grid, size_os4)

    is_free = not boxes and scale != "group" and bool(prompt.target)
    marks = [_draw(part, prompt, size, spanned, size_os4) for part in (prompt.target, prompt.rest)]
    inside = _draw_boxes(boxes, spanned, size_os4) if boxes else torch.ones(1, 1, *size_os4, dtype=torch.bool)

    def settle(region: Tensor) -> Tensor:
        region = ((region & inside) | marks[0]) & ~marks[1]
        if mask is not None:
            return continue_mask(mask_os4 > 0.5, region, *marks, near=near)
        return keep_pieces(region, *marks, is_free=is_free)

    settled = settle(belief > 0)
    for _ in range(DECODINGS if mask is None else 1):  # a second one would close what a mark deep inside takes away
        alpha = decode(settled.float()) if settled.any() and not settled.all() else settled.float()
        settled = settle(alpha > 0.5)
    alpha = torch.where(settled, alpha.clamp(min=0.51), alpha.clamp(max=0.49))
    selected = _enlarge(alpha, spanned, size) > 0.5
    if mask is not None:
        changed = F.max_pool2d((settled != (mask_os4 > 0.5)).float(), 3, 1, 1)
        selected = torch.where(_enlarge(changed, spanned, size) > 0, selected, mask[0, 0] > 0.5)
    if boxes:
        selected = selected & _draw_boxes(boxes, size, size)[0, 0]
    target, rest = (_draw(part, prompt, size, size, size)[0, 0] for part in (prompt.target, prompt.rest))
    return (selected | target) & ~rest


def find_salience(tokens: Tokens) -> Float[Tensor, " tokens"]:
    """How much each token stands out, in [-1, 1]: the first component, from midway between 0 and Otsu's threshold."""
    first = tokens.components[:, 0].double()
    ordered = first.sort().values
    below = torch.arange(1, len(ordered), dtype=torch.float64)
    sums = ordered.cumsum(0)
    gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / (len(ordered) - below)
    at = int((below * (len(ordered) - below) * gap.square()).argmax()) if len(ordered) > 1 else 0
    threshold = (ordered[at] + ordered[min(at + 1, len(ordered) - 1)]) / 2
    return ((first - threshold / 2) / SALIENCE_SPREAD).clamp(-1, 1).float()


def fit_box(tokens: Tokens, box: Box, size: Size) -> Float[Tensor, " tokens"]:
    """What a box holds: a ridge regression of target against surroundings, fitted anew on its own answer.

    It begins with the middle of the box for the target, and all outside for the surroundings. Where a side of the box
    lies on the photo's edge, the photo ends there and not the target, so the middle reaches up to that side.

    Args:
        tokens: Of the photo.
        box: Around the target.
        size: (height, width) of the photo.

    Returns:
        Beliefs in [-1, 1] or so, positive on the target; -1 outside of the box.
    """
    left, top, right, bottom = box
    centre = torch.tensor([(top + bottom) / 2, (left + right) / 2])
    radius = torch.tensor([(bottom - top) / 2, (right - left) / 2])
    offset = (tokens.places - centre) / radius  # within -1 and 1 in the box
    is_inside = (offset.abs() <= 1).all(dim=1)
    if not is_inside.any():  # a box smaller than a token
        is_inside[tokens.cells([((max(0.0, float(centre[1])), max(0.0, float(centre[0]))),)])] = True
    away = ((offset.abs() - 1).clamp(min=0) * radius).amax(dim=1) / math.sqrt(math.prod(tokens.spanned))
    is_padding = (tokens.places >= torch.tensor(size)).any(dim=1)
    near = torch.exp(-away / BOX_REACH).masked_fill(is_padding, 0.0).double()
    margin = BOX_EDGE * max(size)
    is_cut = torch.tensor([[top <= margin, left <= margin], [bottom >= size[0] - margin, right >= size[1] - margin]])
    offset = offset.masked_fill(torch.where(offset < 0, is_cut[0], is_cut[1]) & is_inside[:, None], 0.0)
    columns = torch.cat([offset, offset.square()], dim=1).clamp(-2, 2) / 2
    x = torch.cat([tokens.components / (tokens.components.std() + 1e-6), columns], dim=1).double()
    salience = find_salience(tokens).double()
    belief = 0.6 - 0.5 * offset.abs().amax(dim=1).square().double()
    for _ in range(BOX_ROUNDS):
        label = torch.where(is_inside, (4 * belief).clamp(-1, 1), -1.0)
        weight = torch.where(is_inside, 0.3 + label.abs(), near)
        sides = [weight * (label > 0), weight * (label <= 0)]
        weight = sum((side / (2 * side.sum()).clamp(min=1e-6) for side in sides), torch.zeros_like(weight))
        centred = x - weight @ x
        weighted = centred * weight[:, None]
        ridge = weighted.t() @ centred + BOX_RIDGE * torch.eye(x.shape[1], dtype=torch.float64)
        belief = centred @ torch.linalg.solve(ridge, weighted.t() @ label) + weight @ label
        belief = belief + BOX_SALIENCE * salience - 0.1
    return torch.where(is_inside, belief, -1.0).clamp(-1.5, 1.5).float()


def observe(
    tokens: Tokens, prior: Float[Tensor, " tokens"], prompt: Prompt, *, doubts_borders: bool = True
) -> Float[Tensor, " tokens"]:
    """How points and strokes change the belief: the posterior mean of a Gaussian process, less its prior.

    The covariance of two tokens falls with the angle between their features and with their distance.

    Args:
        tokens: Of the photo.
        prior: The belief without the marks.
        prompt: The marks.
        doubts_borders: Whether a mark near the border of what the prior says has a larger variance. Not where
            `find_reach` limits its reach anyway.
    """
    sides = [(tokens.cells(part), sign) for part, sign in ((prompt.target, 1.0), (prompt.rest, -1.0)) if part]
    if not sides:
        return torch.zeros_like(prior)
    seen = torch.cat([cells for cells, _ in sides])
    label = torch.cat([torch.full((len(cells),), sign, dtype=torch.float64) for cells, sign in sides])
    features, places = tokens.features.double(), tokens.places.double()
    distance = torch.cdist(places, places[seen]).square() / math.prod(tokens.spanned)
    likeness = torch.exp((features @ features[seen].t() - 1) / LIKENESS)
    kernel = sum(
        (weight * torch.exp(-distance / (2 * radius**2)) for weight, radius in KERNELS), torch.zeros_like(distance)
    )
    kernel = kernel * likeness  # (N, L)
    noise = torch.full_like(label, NOISE)
    if doubts_borders:
        noise = noise + _border_noise(distance, label, prior, seen)
    change: Tensor = kernel @ torch.linalg.solve(kernel[seen] + torch.diag(noise), label - prior.double()[seen])
    return change.float()


def _border_noise(distance: Tensor, label: Tensor, prior: Tensor, seen: Tensor) -> Tensor:
    """The variance that each observation has besides `NOISE`; `distance`, (N, L), is squared."""
    agrees = label * prior.double()[:, None] > 0
    border = torch.where(agrees, distance, torch.inf).amin(dim=0).sqrt()  # from a mark to where the prior agrees
    is_settled = agrees[seen].diagonal()
    if not (is_settled & (label > 0)).any():  # the target is what the prior missed
        is_settled = is_settled | (label > 0)
    return torch.where(is_settled, 0.0, BORDER_NOISE * torch.exp(-border / BORDER))


def find_reach(
    tokens: Tokens, believed: Float[Tensor, " tokens"], prompt: Prompt, size: Size
) -> Bool[Tensor, " tokens"]:
    """The tokens in which marks may change a given mask; none where all marks agree with it.

    Args:
        tokens: Of the photo.
        believed: What the mask says of each token, in [-1, 1].
        prompt: The marks.
        size: (height, width) of the photo.
    """
    side = math.sqrt(math.prod(tokens.spanned) / math.prod(tokens.grid))
    is_near = torch.zeros_like(believed, dtype=torch.bool)
    for part, sign in ((prompt.target, 1), (prompt.rest, -1)):
        if not part:
            continue
        seen = tokens.cells(part)
        distance = torch.cdist(tokens.places, tokens.places[seen])
        is_agreed = sign * believed > 0
        depth = distance.masked_fill(~is_agreed[:, None], torch.inf).amin(dim=0) - side / 2  # to the token's border
        places = tokens.places[seen]
        edge = torch.cat([places, torch.tensor(size) - places], dim=1).amin(dim=1)
        depth = torch.minimum(depth, edge).clamp(min=side / 2)
        is_near |= ((distance <= REACH * depth) & ~is_agreed[seen]).any(dim=1)
    return is_near


def continue_mask(
    masked: Bool[Tensor, "1 1 h w"],
    region: Bool[Tensor, "1 1 h w"],
    target: Bool[Tensor, "1 1 h w"],
    rest: Bool[Tensor, "1 1 h w"],
    *,
    near: Bool[Tensor, "1 1 h w"],
) -> Bool[Tensor, "1 1 h w"]:
    """Take over from a region what the marks ask for, and keep the rest of a mask.

    Marks of the target add the pieces that they touch and marks of the rest take theirs away, within `near`. What a
    mark of the rest cuts off from all marks of the target goes as well.

    Args:
        masked: The mask to begin from.
        region: What the marks mean in the whole photo; the marks of the target inside, those of the rest outside.
        target: The marks of the target.
        rest: The marks of the rest.
        near: Where the mask may change.
    """
    added, removed = region & ~masked & near | target, masked & ~region & near | rest
    kept = (masked | added & _reach(added, target)) & ~(removed & _reach(removed, rest))
    return kept & ~(_reach(masked, target) & ~_reach(kept, target))


def keep_pieces(
    region: Bool[Tensor, "1 1 h w"], target: Bool[Tensor, "1 1 h w"], rest: Bool[Tensor, "1 1 h w"], *, is_free: bool
) -> Bool[Tensor, "1 1 h w"]:
    """Drop the pieces that a mark of the rest touches and no mark of the target; `is_free`: all without one."""
    held = _reach(region, target)
    if is_free:
        return region & held
    return region & (held | ~_reach(region, F.max_pool2d(rest.float(), 5, 1, 2) > 0))


def _reach(region: Bool[Tensor, "1 1 h w"], seeds: Bool[Tensor, "1 1 h w"]) -> Bool[Tensor, "1 1 h w"]:
    """The cells of a coarse grid that the region joins to the seeds, as a map."""
    cell = math.ceil(max(region.shape[2:]) / CELLS)
    grid, front = (F.max_pool2d(part.float(), cell, ceil_mode=True)[0, 0].numpy() > 0 for part in (region, seeds))
    front &= grid
    count = -1
    while (found := int(np.count_nonzero(front))) != count:
        count = found
        for _ in range(8):
            front = _widen(_widen(front).T).T & grid
    cells = torch.from_numpy(front)[None, None].repeat_interleave(cell, dim=2).repeat_interleave(cell, dim=3)
    return cells[:, :, : region.shape[2], : region.shape[3]]


def _widen(x: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each row joined with the one above and the one below."""
    widened = x.copy()
    widened[1:] |= x[:-1]
    widened[:-1] |= x[1:]
    return widened


def _draw(strokes: Sequence[Stroke], prompt: Prompt, size: Size, spanned: Size, map_size: Size) -> Tensor:
    """Strokes on a map of (height, width) that spans `spanned` pixels of the photo; at least the pixel of each point.

    Returns:
        (1, 1, height, width), bool.
    """
    drawn = torch.zeros(1, 1, *map_size, dtype=torch.bool)
    scale = np.array([map_size[1] / spanned[1], map_size[0] / spanned[0]])
    radius = max(0.5, (prompt.brush or BRUSH * max(size)) / 2 * float(scale.min()))
    reach = math.ceil(radius)
    y, x = torch.meshgrid(*[torch.arange(-reach, reach + 1)] * 2, indexing="ij")
    disc = torch.stack([y, x], dim=-1)[(y**2 + x**2) <= max(radius, 0.5) ** 2]
    for stroke in strokes:
        xy = _sample(stroke, step=max(1.0, radius) / float(scale.max())) * scale
        centres = torch.from_numpy(xy[:, ::-1].astype(np.int64).copy())
        pixels = (centres[:, None] + disc[None]).flatten(0, 1)
        pixels = pixels[((pixels >= 0) & (pixels < torch.tensor(map_size))).all(dim=1)]
        drawn[0, 0, pixels[:, 0], pixels[:, 1]] = True
    return drawn


def _draw_boxes(boxes: Sequence[Box], spanned: Size, map_size: Size) -> Tensor:
    """The cells that boxes touch: (1, 1, height, width), bool."""
    drawn = torch.zeros(1, 1, *map_size, dtype=torch.bool)
    y, x = map_size[0] / spanned[0], map_size[1] / spanned[1]
    for left, top, right, bottom in boxes:
        scaled = Prompt(box_xyxy=(left * x, top * y, right * x, bottom * y))
        drawn[(0, 0, *scaled.inside(map_size))] = True
    return drawn


def _sample(stroke: Stroke, *, step: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Points (x, y) along a stroke, at most `step` pixels apart."""
    corners = np.array(stroke, np.float64)
    parts = [corners[-1:]]
    for start, stop in pairwise(corners):
        count = max(1, math.ceil(float(np.hypot(*(stop - start))) / step))
        parts.append(start + (stop - start) * (np.arange(count) / count)[:, None])
    return np.concatenate(parts)


def _enlarge(x: Float[Tensor, "1 1 _h _w"], spanned: Size, size: Size) -> Float[Tensor, "_height _width"]:
    return F.interpolate(x, spanned, mode="bilinear", align_corners=False)[0, 0, : size[0], : size[1]]


def _to_map(values: Float[Tensor, " tokens"], grid: Size, size: Size) -> Float[Tensor, "1 1 _h _w"]:
    return F.interpolate(values.view(1, 1, *grid), size, mode="bilinear", align_corners=False)
