"""The network cut into six graphs with tensors as inputs and outputs, in operations that ONNX has.

They share the model's modules and weights. Only what a trace cannot follow is written again here: the choice of the
pixels that turn fine, the active cells, whose number depends on the data, and windows of open size.
`list_graphs` names the inputs and outputs of each; `docs/export.md` says in which order they run.

Encoder and guide have two forms: for the light encoder (`conv_stem`) and for the one with a backbone.

Legend: K masks of one photo, P active cells, H and W the padded sides, multiples of 64.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from mask2alpha.model.config import ModelConfig
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage1_encoder.backbone import BackboneEncoder
from mask2alpha.model.stage1_encoder.guidance import MaskGuidance, sort_tokens
from mask2alpha.model.stage1_encoder.vit import AbsolutePositions
from mask2alpha.model.stage2_decoding.evidence_colours import find_colour_evidence
from mask2alpha.model.stage2_decoding.evidence_semantics import cover_cells, score_cells
from mask2alpha.model.stage2_decoding.refine import mix
from mask2alpha.model.stage2_decoding.states import order_by_confidence
from mask2alpha.model.stage3_detail.recovery import describe_cells
from mask2alpha.model.stage3_detail.select import find_presence, select_active_shm, smooth_step
from mask2alpha.model.stage3_detail.sparse import MARGIN
from mask2alpha.model.values import DecodingState, Evidence, ImageEncoding
from mask2alpha.ops.cells import CELL
from mask2alpha.shapes import Size


def as_tensor(size: int | Tensor) -> Tensor:
    """A size as an int64 scalar. PyTorch's older exporter has sizes as tensors, the newer one as symbols."""
    return size if isinstance(size, Tensor) else torch.scalar_tensor(size, dtype=torch.int64)


def as_size(number: Tensor) -> int:
    """An int64 scalar that is known when the graph runs, as a size, at least 1."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return cast("int", number)
    size = number.item()
    torch._check(size >= 1)  # type: ignore[no-untyped-call]
    return cast("int", size)


class EncoderGraph(nn.Module):
    """`image` (1, 3, H, W) → `tokens`, `map_os4`, `map_os8`, `map_os16`: all that needs no mask."""

    def __init__(self, model: Mask2Alpha) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Stage 1 without its last block."""
        encoding = self.model.encode(image)
        return (encoding.tokens, *encoding.maps)


class BackboneEncoderGraph(nn.Module):
    """`image` and `patches` → `tokens`, `map_os4`, `map_os8`, `map_os16`: all that needs no mask.

    `patches` (1, 3, rows * patch size, columns * patch size) is the result of `fit_patches`. The caller computes it,
    because the caller chooses the token grid.
    """

    def __init__(self, model: Mask2Alpha) -> None:
        super().__init__()
        assert isinstance(model.encoder, BackboneEncoder)
        self.encoder, self.fusion = model.encoder, model.fusion

    def forward(self, image: Tensor, patches: Tensor) -> tuple[Tensor, ...]:
        """As `BackboneEncoder.encode`."""
        half, _ = self.encoder.input(image)
        return (self.encoder.run_vit(patches), *self.fusion.project(self.encoder.stages(half)))


class StateGraph(nn.Module):
    """What a decoding step reads: which pixels are fine, their mixture with the mask, and the evidence."""

    def forward(
        self,
        thumbnail: Tensor,
        mask_os4: Tensor,
        alpha: Tensor,
        predicted_error: Tensor,
        is_fine: Tensor,
        fine_share: Tensor,
        components: Tensor | None = None,
        reach: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """The state after a step that gave `alpha`; before the first step `alpha` is the mask and `fine_share` 0.

        Args:
            thumbnail: (1, 3, H/4, W/4), the image averaged over 4 x 4 pixels.
            mask_os4: (K, 1, H/4, W/4), the mask averaged over 4 x 4 pixels.
            alpha: (K, 1, H/4, W/4), of the last step.
            predicted_error: (K, 1, H/4, W/4), of the last step.
            is_fine: (K, 1, H/4, W/4), bool, before the last step.
            fine_share: float64 scalar: the share of the pixels that is fine now.
            components: (K, D, H/16, W/16), of the guided tokens, for a model with a backbone.
            reach: int64 scalar, `find_reach` of the whole encoded image, for a model with a backbone.

        Returns:
            `mixed_matte`, `is_fine` (bool), `cues` (K, 5, H/4, W/4; with a backbone 6), `local_colours`
            (K, 6, H/4, W/4).
        """
        is_fine = _turn_most_confident_fine(is_fine, predicted_error, fine_share)
        local_colours, cues = find_colour_evidence(thumbnail.expand(alpha.shape[0], -1, -1, -1), alpha)
        if components is not None:
            assert reach is not None
            sides, covered = cover_cells(alpha)
            cues = torch.cat([cues, score_cells(components, sides, least_nearby(covered, reach))], dim=1)
        return mix(alpha, mask_os4, is_fine), is_fine, cues, local_colours


def least_nearby(x: Tensor, reach: Tensor) -> Tensor:
    """The least value within `reach` rows and columns of each cell: `max_pool2d` of -x with a window of open size."""
    around = torch.arange(2 * as_size(reach) + 1) - reach
    for axis in (2, 3):
        length = x.shape[axis]
        places = (torch.arange(length).unsqueeze(1) + around).clamp(min=0, max=length - 1)
        x = _windows(x, axis, places).amin(axis + 1)
    return x


def _windows(x: Tensor, axis: int, places: Tensor) -> Tensor:
    """`x` with axis 2 or 3 replaced by two: the windows, and the places (windows, width) that each is made of."""
    taken = x.index_select(axis, places.flatten())
    windows, width = places.shape
    if axis == 2:
        return taken.reshape(x.shape[0], x.shape[1], windows, width, x.shape[3])
    return taken.reshape(x.shape[0], x.shape[1], x.shape[2], windows, width)


class GuideGraph(nn.Module):
    """The guided last block: `mask` (K, 1, H, W) and `tokens` → `guided`, the coarsest map, (K, C, H/32, W/32)."""

    def __init__(self, model: Mask2Alpha) -> None:
        super().__init__()
        self.encoder = model.encoder
        self.stride = token_stride(model.config)

    def forward(self, mask: Tensor, tokens: Tensor) -> Tensor:
        """The part of `ConvStemEncoder.guide` that the mask changes."""
        encoding = ImageEncoding(
            tokens=tokens.expand(mask.shape[0], -1, -1),
            token_grid=(mask.shape[2] // self.stride, mask.shape[3] // self.stride),
            maps=(),
            thumbnail=mask,  # not read
            size=(mask.shape[2], mask.shape[3]),
        )
        return self.encoder.guide(encoding, mask).maps[-1]


class BackboneGuideGraph(nn.Module):
    """The guided last block of a backbone.

    `mask` (K, 1, H, W), `tokens` and `token_grid`, int64 (2,): rows and columns → `guided_tokens` (K, N, C), of the
    patches; the same as the fusion sees them, `guided_os16`, `guided_os32`; and `components` (K, D, H/16, W/16).
    """

    def __init__(self, model: Mask2Alpha) -> None:
        super().__init__()
        self.encoder, self.fusion = model.encoder, model.fusion
        self.levels = token_levels(model.config)

    def forward(self, mask: Tensor, tokens: Tensor, token_grid: Tensor | Size) -> tuple[Tensor, ...]:
        """As `BackboneEncoder.guide`, with what `FeatureFusion` makes of the tokens."""
        encoding = ImageEncoding(
            tokens=tokens.expand(mask.shape[0], -1, -1),
            token_grid=cast("Size", (token_grid[0], token_grid[1])),
            maps=(),
            thumbnail=mask,  # not read
            size=(mask.shape[2], mask.shape[3]),
        )
        features = self.encoder.guide(encoding, mask)
        assert features.components is not None
        spread = [self.fusion.spread_tokens(level, features) for level in self.levels]
        return (features.tokens, *spread, features.components)


class WindowMaskGuidance(MaskGuidance):
    """MGFSM for token grids of any size; ONNX cannot pool to an open size."""

    def find_regions(self, mask: Tensor, grid: Size) -> Tensor:
        """As the function `find_regions`."""
        largest = smallest = mask
        for axis, count in zip((2, 3), grid, strict=True):
            places = _adaptive_windows(mask.shape[axis], count)
            largest = _windows(largest, axis, places).amax(axis + 1)
            smallest = _windows(smallest, axis, places).amin(axis + 1)
        return sort_tokens((largest > 0.5).to(torch.float32), (smallest > 0.5).to(torch.float32))


class OpenPositions(AbsolutePositions):
    """Positions for token grids that are known only when the graph runs: an exporter cannot follow the comparison."""

    forward = AbsolutePositions.resize


def _adaptive_windows(length: int, count: int) -> Tensor:
    """The places that each of `count` windows of adaptive pooling covers, (count, width); short ones repeat their last.

    A window reaches from ``floor(i length / count)`` to ``ceil((i + 1) length / count)``.
    """
    index = torch.arange(count).unsqueeze(1)
    first, stop = index * length // count, ((index + 1) * length + count - 1) // count
    return torch.minimum(first + torch.arange(length // count + 2), stop - 1)


class FusionGraph(nn.Module):
    """The fusion: mask, cues and feature maps → what every decoding step reads.

    Outputs: `prepared`, the features after the convolution that all steps share; `features`, as the detail stage
    wants them.
    """

    def __init__(self, model: Mask2Alpha) -> None:
        super().__init__()
        self.model = model
        self.num_image_maps = len(map_names(model.config))
        self.token_levels = token_levels(model.config)

    def forward(self, mask_os4: Tensor, cues: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        """As the last lines of `Mask2Alpha.fuse`; `maps` are the encoder's, of one image, then those of the guide."""
        model = self.model
        levels = [feature_map.expand(mask_os4.shape[0], -1, -1, -1) for feature_map in maps[: self.num_image_maps]]
        guided = maps[self.num_image_maps :]
        if model.config.encoder.kind == "conv_stem":
            levels.append(model.fusion.laterals[-1](*guided))
        else:
            for level, spread in zip(self.token_levels, guided, strict=True):
                levels[level:] = [levels[level] + spread if level < len(levels) else spread]
        evidence = Evidence(cues=cues, local_colours=cues)  # the fusion does not read the colours
        features = model.fusion.fuse_levels(levels, mask_os4, evidence)
        has_detail = model.config.detail.selection != "none"
        return model.decoder.prepare(features), model.detail.project(features) if has_detail else features


class StepGraph(nn.Module):
    """One decoding step: `prepared` and a state → `alpha_logits` and `predicted_error`, (K, 1, H/4, W/4)."""

    def __init__(self, model: Mask2Alpha) -> None:
        super().__init__()
        self.decoder = model.decoder

    def forward(self, prepared: Tensor, mixed_matte: Tensor, is_fine: Tensor, cues: Tensor) -> tuple[Tensor, ...]:
        """As `StepDecoder.forward`."""
        evidence = Evidence(cues=cues, local_colours=cues)  # a step does not read the colours
        state = DecodingState(mixed_matte=mixed_matte, is_fine=is_fine, evidence=evidence)
        alpha_logits, error_logits = torch.split(self.decoder.predict_logits(prepared, state), 1, dim=1)
        return alpha_logits, exact_sigmoid(error_logits)


def exact_sigmoid(logits: Tensor) -> Tensor:
    """The sigmoid with a small relative error near 0, which is needed to order the most confident pixels.

    ONNX Runtime's own sigmoid has an absolute error, up to several times the value there.
    """
    return (1 + (-logits).exp()).reciprocal()


class DetailGraph(nn.Module):
    """Stage 3: the coarse matte, upsampled, and corrected where its predicted error is above `least_error`.

    The convolutions gather the rows of the active cells and multiply them, as the sparse stage does, so that the cost
    follows the boundary and not the area; see docs/decisions/0032.
    """

    def __init__(self, model: Mask2Alpha) -> None:
        super().__init__()
        self.detail = model.detail

    def forward(
        self,
        image: Tensor,
        mask: Tensor,
        alpha_logits: Tensor,
        predicted_error: Tensor,
        features: Tensor,
        local_colours: Tensor,
        spanned: Tensor | Size,
        least_error: Tensor,
    ) -> tuple[Tensor, ...]:
        """As `DetailRecovery.forward`.

        Args:
            image: (1, 3, H, W), in [0, 1]; of any size.
            mask: (K, 1, H, W), in [0, 1].
            alpha_logits: (K, 1, h, w), of the last step.
            predicted_error: (K, 1, h, w), of the last step.
            features: (K, C, h, w), from the fusion.
            local_colours: (K, 6, h, w), of the last step's state.
            spanned: (2,), float32: the height and width, in pixels, of what the maps span; the image is its upper left.
            least_error: (K, 1, 1, 1): cells with a larger predicted error are active. With the selection "shm" only
                those in its band are; at -1 all of the band.

        Returns:
            `alpha`, (K, 1, H, W), the matte; and `active`, bool, (K, 1, rows, columns), the cells that were recomputed.
        """
        height, width = mask.shape[2], mask.shape[3]
        rows, columns = (height + CELL - 1) // CELL, (width + CELL - 1) // CELL
        logits = _upsample(alpha_logits, height, width, spanned)
        config = self.detail.config
        if config.selection == "none":
            return logits.sigmoid(), torch.zeros(mask.shape[0], 1, rows, columns) > 0
        spanned_cells = spanned[0] / CELL, spanned[1] / CELL
        error = _upsample(predicted_error, rows, columns, spanned_cells)
        active = error > least_error
        if config.selection == "shm":
            active = active & select_active_shm(logits.sigmoid())
        cells = ActiveCells(active)
        presence = find_presence(error - least_error, error_threshold=0.0).flatten()[cells.positions]
        table = cells.neighbours()
        pixels, is_inside = cells.pixels(height, width)
        of_pixels, of_cells = describe_cells(
            image[0].flatten(1)[:, pixels].unsqueeze(0),
            cells.read(mask, pixels),
            cells.read(logits, pixels),
            error.flatten()[cells.positions].view(1, 1, -1),
            cells.sample(features, spanned_cells),
            cells.sample(local_colours, spanned_cells) if config.has_colour_cues else None,
        )
        # as `join_inputs` does, without reshaping, which ONNX cannot do where there is no cell
        x = torch.cat([channel for part in of_pixels for channel in part.unbind(1)] + of_cells, dim=1)
        residual = self.detail.network(x[0].t(), table, presence.unsqueeze(1))
        change = cells.rim_weight(table, presence) * residual.t() * is_inside
        positions = cells.of_image * (height * width) + pixels
        corrected = logits.flatten().scatter_add(0, positions.flatten(), change.flatten()).view_as(logits)
        return corrected.sigmoid(), active


class ActiveCells:
    """`ActiveSet` in operations that a trace can follow, with sizes that stay open."""

    def __init__(self, active: Tensor) -> None:
        self.batch, self.height, self.width = active.shape[0], active.shape[2], active.shape[3]
        self.of_image, self.row, self.column = active[:, 0].nonzero().unbind(1)
        self.positions = (self.of_image * self.height + self.row) * self.width + self.column

    def neighbours(self) -> Tensor:
        """Row numbers (P, 9) of the 3 x 3 window around each cell; P where there is none."""
        rows, line = self.height + 2 * MARGIN, self.width + 2 * MARGIN
        padded = (self.of_image * rows + self.row + MARGIN) * line + self.column + MARGIN
        numbers = torch.arange(self.row.shape[0], dtype=torch.int32)
        empty = torch.zeros(self.batch * rows * line, dtype=torch.int32) + self.row.shape[0]
        index_map = empty.scatter(0, padded, numbers)
        offsets = [row * line + column for row in (-1, 0, 1) for column in (-1, 0, 1)]
        places = torch.stack([padded + offset for offset in offsets], dim=1)
        return index_map.index_select(0, places.flatten()).view(-1, len(offsets))

    def rim_weight(self, table: Tensor, presence: Tensor) -> Tensor:
        """`rim_weight` at the active cells, of which `table` is `neighbours`."""
        padded = torch.cat([presence, presence.new_zeros(1)])
        counted = padded.index_select(0, table.flatten()).view(-1, table.shape[1]).sum(1)
        rows = (self.row + 1).clamp(max=self.height - 1) - (self.row - 1).clamp(min=0) + 1
        columns = (self.column + 1).clamp(max=self.width - 1) - (self.column - 1).clamp(min=0) + 1
        return smooth_step(counted / (rows * columns)) * presence

    def pixels(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """`CellPixels` of the fast stage: where the pixels lie in their flattened image, (4, P), and if they do."""
        place = torch.arange(CELL**2).unsqueeze(1)
        rows, columns = CELL * self.row + place // CELL, CELL * self.column + place % CELL
        is_inside = (rows < height) & (columns < width)
        return rows.clamp(max=height - 1) * width + columns.clamp(max=width - 1), is_inside

    def read(self, x: Tensor, pixels: Tensor) -> Tensor:
        """A full-size map of one channel at the cells' pixels, (1, 1, 4, P)."""
        positions = self.of_image * (x.shape[2] * x.shape[3]) + pixels
        return x.flatten()[positions].unsqueeze(0).unsqueeze(0)

    def sample(self, feature_map: Tensor, spanned: tuple[Any, Any]) -> Tensor:
        """`sample_bilinear`: a coarser map at the cells, as if it were upsampled, (1, C, P)."""
        h, w = feature_map.shape[2], feature_map.shape[3]
        top, bottom, y = _bilinear_axis(self.row, h, spanned[0])
        left, right, x = _bilinear_axis(self.column, w, spanned[1])
        y, x = y.unsqueeze(1), x.unsqueeze(1)
        rows = feature_map.permute(0, 2, 3, 1).reshape(-1, feature_map.shape[1])
        top, bottom = (self.of_image * h + top) * w, (self.of_image * h + bottom) * w
        upper = rows.index_select(0, top + left) * (1 - x) + rows.index_select(0, top + right) * x
        lower = rows.index_select(0, bottom + left) * (1 - x) + rows.index_select(0, bottom + right) * x
        return (upper * (1 - y) + lower * y).t().unsqueeze(0)


def _upsample(x: Tensor, height: int, width: int, spanned: Any) -> Tensor:
    """The upper left (height, width) of `x`, enlarged bilinearly to `spanned`; one axis after the other."""
    left, right, weight = _bilinear_axis(torch.arange(width), x.shape[3], spanned[1])
    x = x.index_select(3, left) * (1 - weight) + x.index_select(3, right) * weight
    top, bottom, weight = _bilinear_axis(torch.arange(height), x.shape[2], spanned[0])
    weight = weight.unsqueeze(1)
    return x.index_select(2, top) * (1 - weight) + x.index_select(2, bottom) * weight


def _bilinear_axis(index: Tensor, length: int, spanned: Any) -> tuple[Tensor, Tensor, Tensor]:
    """For pixels along one axis: the two cells of a map of `length` cells, and the weight of the second."""
    source = ((index.float() + 0.5) * (length / spanned) - 0.5).clamp(min=0)
    lower = source.floor()
    return lower.long().clamp(max=length - 1), (lower.long() + 1).clamp(max=length - 1), source - lower


def _turn_most_confident_fine(is_fine: Tensor, predicted_error: Tensor, fine_share: Tensor) -> Tensor:
    """`turn_most_confident_fine` with a count that is a share of the pixels, known when the graph runs."""
    order = order_by_confidence(is_fine, predicted_error)
    count = (fine_share * torch.ones_like(order[0], dtype=torch.float64).sum()).round().long()
    smallest = torch.topk(order, as_size(count.clamp(min=1)), dim=1, largest=False).values
    last = smallest.amax(dim=1, keepdim=True)
    below, equal = order < last, order == last
    room = count - below.long().sum(dim=1, keepdim=True)
    turned = below | (equal & (equal.long().cumsum(dim=1) <= room))
    return (turned & (count > 0)).view_as(is_fine) | is_fine


@dataclass(frozen=True, slots=True)
class Graph:
    """One file of an exported model."""

    name: str
    inputs: dict[str, dict[int, str]]
    """Name of each input to its open axes, each with a name."""
    outputs: dict[str, dict[int, str]]
    """The same of the outputs."""


_MASKS, _OS1 = {0: "masks"}, {2: "height", 3: "width"}
_OS4 = {2: "height_os4", 3: "width_os4"}
_EACH_OS1, _EACH_OS4 = {**_MASKS, **_OS1}, {**_MASKS, **_OS4}
_OPEN_AXES: dict[str, dict[int, str]] = {
    "image": _OS1,
    "thumbnail": _OS4,
    "patches": {2: "patches_height", 3: "patches_width"},
    "tokens": {1: "tokens"},
    "token_grid": {},
    "mask": _EACH_OS1,
    "guided_tokens": {**_MASKS, 1: "patch_tokens"},
    "components": {**_MASKS, 2: "height_os16", 3: "width_os16"},
    "reach": {},
    "fine_share": {},
    "spanned": {},
    "least_error": _MASKS,
    "active": {**_MASKS, 2: "cell_rows", 3: "cell_columns"},
}
"""Open axes by tensor; feature maps are named after their stride, all others are (masks, C, H/4, W/4)."""
_OF_BACKBONE = frozenset(("patches", "token_grid", "guided_tokens", "components", "reach"))
"""Tensors that only models with a backbone have."""


def map_names(config: ModelConfig) -> list[str]:
    """Names of the feature maps of an encoding, finest first."""
    num_maps = len(config.encoder.stem_channels) - (config.encoder.kind == "conv_stem")
    return [f"map_os{4 * 2**level}" for level in range(num_maps)]


def guided_names(config: ModelConfig) -> list[str]:
    """Names of the guide's maps that the fusion reads, finest first."""
    if config.encoder.kind == "conv_stem":
        return ["guided"]
    return [f"guided_os{4 * 2**level}" for level in token_levels(config)]


def token_levels(config: ModelConfig) -> list[int]:
    """The levels of the fusion that the guided tokens of a backbone join."""
    coarsest = len(config.encoder.stem_channels)
    return [coarsest - 1, coarsest] if config.decoder.token_channels else []


def token_stride(config: ModelConfig) -> int:
    """Full-resolution pixels per token and side of the light encoder, whose stem halves a halved image."""
    return 2 << len(config.encoder.stem_channels)


def list_graphs(config: ModelConfig) -> dict[str, Graph]:
    """The graphs of a model, by name, in the order in which they run."""
    maps, guided = map_names(config), guided_names(config)

    def axes_of(*names: str) -> dict[str, dict[int, str]]:
        known = [name for name in names if name not in _OF_BACKBONE or config.encoder.kind == "backbone"]
        return {name: _axes_of(name) for name in known}

    state, coarse = ("mixed_matte", "is_fine", "cues"), ("alpha_logits", "predicted_error")
    last = ("alpha", "last_error", "was_fine")
    graphs = (
        Graph("encoder", inputs=axes_of("image", "patches"), outputs=axes_of("tokens", *maps)),
        Graph(
            "state",
            inputs=axes_of("thumbnail", "mask_os4", *last, "fine_share", "components", "reach"),
            outputs=axes_of(*state, "local_colours"),
        ),
        Graph(
            "guide",
            inputs=axes_of("mask", "tokens", "token_grid"),
            outputs=axes_of("guided_tokens", *guided, "components"),
        ),
        Graph("fusion", inputs=axes_of("mask_os4", "cues", *maps, *guided), outputs=axes_of("prepared", "features")),
        Graph("step", inputs=axes_of("prepared", *state), outputs=axes_of(*coarse)),
        Graph(
            "detail",
            inputs=axes_of("image", "mask", *coarse, "features", "local_colours", "spanned", "least_error"),
            outputs={"alpha": _EACH_OS1, **axes_of("active")},
        ),
    )
    return {graph.name: graph for graph in graphs}


def _axes_of(name: str) -> dict[int, str]:
    """The open axes of a tensor, each with a name."""
    kind, _, stride = name.rpartition("_")
    if name in _OPEN_AXES:
        return _OPEN_AXES[name]
    if kind == "map" or name == "guided" or kind == "guided":
        return {**({} if kind == "map" else _MASKS), 2: f"height_{stride}", 3: f"width_{stride}"}
    return _EACH_OS4
