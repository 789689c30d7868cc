"""The whole network as one graph, for hosts that want a single file: photo and mask in, alpha out.

It puts the six graphs of `graphs.py` in the order of `docs/export.md`, with a fixed number of steps. What the predictor
does around the network is not in it: the enlargement of small photos, the smaller encoding of large ones, and
`mask_reach`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mask2alpha.export.graphs import (
    BackboneEncoderGraph,
    BackboneGuideGraph,
    DetailGraph,
    EncoderGraph,
    FusionGraph,
    Graph,
    GuideGraph,
    StateGraph,
    StepGraph,
    as_size,
    as_tensor,
)
from mask2alpha.model.mask2alpha import STRIDE_MULTIPLE, Mask2Alpha
from mask2alpha.model.stage1_encoder.backbone import BackboneEncoder
from mask2alpha.model.stage2_decoding.correction import (
    enlarge_contradictions,
    find_deep_contradictions,
    replace_in_mask,
)
from mask2alpha.model.stage2_decoding.states import coarse_prob
from mask2alpha.shapes import Size

_PHOTO, _OF_MASKS = {2: "height", 3: "width"}, {0: "masks", 2: "height", 3: "width"}
SINGLE_GRAPH = Graph(
    "model",
    inputs={"image": _PHOTO, "mask": _OF_MASKS},
    outputs={"alpha": _OF_MASKS, "predicted_error": {0: "masks", 2: "height_os4", 3: "width_os4"}},
)


class SingleGraph(nn.Module):
    """`image` (1, 3, H, W) and `mask` (K, 1, H, W), both in [0, 1] and of any size → `alpha` and `predicted_error`."""

    def __init__(self, model: Mask2Alpha) -> None:
        super().__init__()
        self.patches = PatchesGraph(model.encoder) if isinstance(model.encoder, BackboneEncoder) else None
        self.encoder: nn.Module = EncoderGraph(model) if self.patches is None else BackboneEncoderGraph(model)
        self.guide: nn.Module = GuideGraph(model) if self.patches is None else BackboneGuideGraph(model)
        self.state, self.fusion, self.step, self.detail = (
            StateGraph(),
            FusionGraph(model),
            StepGraph(model),
            DetailGraph(model),
        )
        self.num_steps = model.config.decoder.num_steps if model.config.decoder.is_iterative else 1
        self.error_threshold = model.config.detail.error_threshold if model.config.detail.selection == "sgsdr" else -1.0
        self.num_corrections = model.config.decoder.num_corrections

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Matte.

        Args:
            image: (1, 3, H, W), in [0, 1].
            mask: (K, 1, H, W), in [0, 1]; above 0.5 is the target.

        Returns:
            `alpha`, (K, 1, H, W), in [0, 1]; `predicted_error`, (K, 1, rows, columns), in [0, 1], at a quarter of the
            resolution of the photo padded to multiples of 64.
        """
        padded, small = (_pad(x) for x in (image, mask))
        thumbnail = halve(halve(padded))
        if self.patches is None:
            tokens, *maps = self.encoder(padded)
            token_grid = None
        else:
            patches, token_grid = self.patches(padded)
            tokens, *maps = self.encoder(padded, patches)
        logits, error, features, colours = self._decode(small, tokens, token_grid, maps, thumbnail)
        least_error = torch.zeros_like(mask[:, :, :1, :1]) + self.error_threshold
        spanned = padded.shape[2], padded.shape[3]
        made = self.detail(image, mask, logits, error, features, colours, spanned, least_error)[0]
        return (made * (255 / 253) - 1 / 253).clamp(0, 1), error

    def _decode(
        self,
        mask: Tensor,
        tokens: Tensor,
        token_grid: Size | None,
        maps: list[Tensor],
        thumbnail: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Stages 1 and 2: logits and predicted error of the last step, features, colours."""
        further: tuple[Tensor, ...] = ()
        if token_grid is None:
            guided = [self.guide(mask, tokens)]
        else:
            _, *guided, components = self.guide(mask, tokens, token_grid)
            further = (components, _find_reach(mask, token_grid))

        def begin(mask: Tensor) -> tuple[Tensor, tuple[Tensor, ...], Tensor, Tensor, Tensor, Tensor]:
            mask_os4 = F.avg_pool2d(F.avg_pool2d(mask, 2), 2)
            none_fine, share = mask_os4 < 0, torch.tensor(0.0, dtype=torch.float64)
            state = self.state(thumbnail, mask_os4, mask_os4, mask_os4, none_fine, share, *further)
            prepared, features = self.fusion(mask_os4, state[2], *maps, *guided)
            return mask_os4, state, prepared, features, *self.step(prepared, *state[:3])

        mask_os4, state, prepared, features, logits, error = begin(mask)
        for _ in range(self.num_corrections):
            alpha = logits.sigmoid()
            deep, differ = find_deep_contradictions(F.avg_pool2d(mask, 4) > 0.5, alpha > 0.5)
            mask = replace_in_mask(mask, alpha, enlarge_contradictions(deep, differ))
            mask_os4, state, prepared, features, logits, error = begin(mask)
        for number in range(1, self.num_steps):
            share = torch.tensor(1 - coarse_prob(number / self.num_steps), dtype=torch.float64)
            state = self.state(thumbnail, mask_os4, logits.sigmoid(), error, state[1], share, *further)
            logits, error = self.step(prepared, *state[:3])
        return logits, error, features, state[3]


class PatchesGraph(nn.Module):
    """`fit_patches` and `find_token_grid` for images of open size, (1, 3, H, W): the patches, and the grid."""

    def __init__(self, encoder: BackboneEncoder) -> None:
        super().__init__()
        self.normalize = encoder.input.normalize
        self.budget, self.patch_size = encoder.token_budget, encoder.vit.patch_size

    def forward(self, image: Tensor) -> tuple[Tensor, Size]:
        """As the two functions."""
        height, width = (as_tensor(image.shape[axis]) for axis in (2, 3))
        shape = (height.double() / width.double()).sqrt()
        across = math.sqrt(self.budget)
        rows, columns = (side.round().clamp(min=1).long() for side in (across * shape, across / shape))
        is_halved = height // 2 >= rows * self.patch_size
        grid = as_size(rows), as_size(columns)
        down = _resampling(grid[0] * self.patch_size, image.shape[2], is_halved)
        right = _resampling(grid[1] * self.patch_size, image.shape[3], is_halved)
        return self.normalize(down @ image @ right.t()), grid


def _resampling(wanted: int, length: int, is_halved: Tensor) -> Tensor:
    """The matrix (wanted, length) of antialiased bicubic interpolation; `is_halved`: from means of two pixels."""
    halves = _cubic_weights(wanted, length // 2).index_select(1, torch.arange(length) // 2) / 2
    return torch.where(is_halved, halves, _cubic_weights(wanted, length))


def _cubic_weights(wanted: int, length: int) -> Tensor:
    """As `F.interpolate(mode="bicubic", antialias=True)`: Keys' kernel with a = -0.5, widened where it shrinks."""
    scale = as_tensor(length).float() / as_tensor(wanted)
    centre = (torch.arange(wanted) + 0.5) * scale - 0.5
    x = (torch.arange(length) - centre.unsqueeze(1)).abs() / scale.clamp(min=1)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
    return weights / weights.sum(1, keepdim=True)


def _find_reach(mask: Tensor, grid: Size) -> Tensor:
    """As `find_reach`."""
    height, width, rows, columns = (as_tensor(size).double() for size in (mask.shape[2], mask.shape[3], *grid))
    area = height * width / (rows * columns)
    return (area.sqrt() / 16).round().clamp(min=1).long()


def halve(x: Tensor) -> Tensor:
    """`FastAvgPool2d`, to the last bit in every runtime.

    Runtimes add the four pixels in different orders. The last bit decides the histogram bin of colours at its border,
    where the means of bytes often lie.
    """
    rows = x[:, :, 0::2] + x[:, :, 1::2]
    return (rows[..., 0::2] + rows[..., 1::2]) * 0.25


def _pad(x: Tensor) -> Tensor:
    """Repeat the last row and column until both sides are multiples of 64."""
    for axis in (2, 3):
        length = x.shape[axis]
        padded = (length + STRIDE_MULTIPLE - 1) // STRIDE_MULTIPLE * STRIDE_MULTIPLE
        x = x.index_select(axis, torch.arange(padded).clamp(max=length - 1))
    return x
