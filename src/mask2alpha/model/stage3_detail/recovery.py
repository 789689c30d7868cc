"""Self-guided sparse detail recovery, SGSDR: the coarse matte at stride 4 becomes the full-resolution one (paper 3.3).

Where the decoder is sure, the upsampled coarse matte stays. In the other, active cells of 2 x 2 pixels, a sparse
network reads the full-resolution colours and predicts a correction of each pixel's logit.

For inference, `model/fast/detail.py` replaces `correct`: it reads only the active cells, in windows.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from mask2alpha.model.box import FAR_LOGIT, Placement
from mask2alpha.model.colours import NUM_COLOURS, cue_parts
from mask2alpha.model.config import DetailConfig
from mask2alpha.model.stage3_detail.resnet import SparseResNet
from mask2alpha.model.stage3_detail.select import (
    find_presence,
    limit_active,
    rim_weight,
    select_active,
    select_active_shm,
)
from mask2alpha.model.stage3_detail.sparse import ActiveSet, compute_dtype
from mask2alpha.model.values import CoarseMatte, MattingOutput, RunOptions
from mask2alpha.ops.cells import CELL, count_cells
from mask2alpha.ops.units import as_unit

LOGIT_LIMIT = 8.0
"""Logits are shown to the network within plus and minus this, divided by 4; alpha is then within 3e-4 of 0 or 1."""
NUM_PIXEL_INPUTS = 6
"""Inputs per pixel: its colours (3), the coarse alpha's logit, the coarse alpha, the mask."""
NUM_PIXEL_CUES = 3
"""Further inputs per pixel: the colour cues, except the one that depends on the local colours alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The inputs of a correction: the photo, or the part of it that the coarse maps cover."""

    image: Shaped[Tensor, "batch 3 height width"]
    """uint8, or floats in [0, 1]."""
    mask: Shaped[Tensor, "batch 1 height width"]
    """bool, uint8 (255 is 1), or floats in [0, 1]."""
    logits: Float[Tensor, "batch 1 height width"]
    """Of the coarse alpha, upsampled."""
    error: Float[Tensor, "batch 1 rows columns"]
    """Predicted error of each cell."""
    coarse: Float[Tensor, "batch channels h w"]
    """Projected features and, where the configuration has them, the local colours, at stride 4."""
    has_colours: bool
    """Whether the last channels of `coarse` are local colours."""
    place: Placement
    """Where `coarse` lies over the photo."""

    def split(self, coarse: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features and local colours, from channels made of `coarse`."""
        return (coarse[:, :-NUM_COLOURS], coarse[:, -NUM_COLOURS:]) if self.has_colours else (coarse, None)


class DetailRecovery(nn.Module):
    """Recomputes the uncertain pixels of a coarse matte at full resolution.

    Args:
        config: The selection and the sizes.
        fused_channels: Channels of `CoarseMatte.features`.

    A fresh module changes nothing: its alpha is the upsampled coarse alpha.
    """

    def __init__(self, config: DetailConfig, fused_channels: int) -> None:
        super().__init__()
        self.config = config
        if config.selection != "none":
            self.project = nn.Conv2d(fused_channels, config.feature_channels, 1)
            of_pixel = NUM_PIXEL_INPUTS + NUM_PIXEL_CUES * config.has_colour_cues
            of_cell = config.feature_channels + 1 + config.has_colour_cues
            self.network = SparseResNet(of_pixel * CELL**2 + of_cell, config.channels, out_channels=CELL**2)

    def forward(
        self,
        image: Shaped[Tensor, "batch 3 height width"],
        mask: Shaped[Tensor, "batch 1 height width"],
        coarse: CoarseMatte,
        options: RunOptions,
    ) -> MattingOutput:
        """Upsample the coarse matte and correct it where the decoder is unsure.

        Args:
            image: The photo, of any size; uint8, or floats in [0, 1].
            mask: The guidance mask, of the same size; bool, uint8 (255 is 1), or floats in [0, 1].
            coarse: The result of stage 2; gradients reach its logits and features, not its predicted error. It spans
                the photo, or more at the right and at the bottom.
            options: Threshold, budget, region, and whether the network runs sparse; `RunOptions.filled`.

        Returns:
            The full-resolution matte and the active cells.
        """
        # 1. Upsample the coarse result over the part of the photo that it covers.
        size, map_size = (image.shape[2], image.shape[3]), (coarse.features.shape[2], coarse.features.shape[3])
        spanned = coarse.spanned or (4 * map_size[0], 4 * map_size[1])
        assert spanned[0] % CELL == spanned[1] % CELL == 0, "cells would be cut"
        place = Placement.of(map_size, size, spanned=spanned, box=coarse.box)
        logits = self.upsample(coarse.alpha_logits, place, outside=FAR_LOGIT)
        error = self.upsample(coarse.predicted_error.detach(), place, stride=CELL)

        # 2. Select the cells to recompute.
        active = self._select(logits, error, options)

        # 3. Correct the logits there, softly at the rim.
        if self.config.selection != "none":
            maps = [self.project(place.surround(coarse.features, 0.0))]
            maps += [place.surround(coarse.local_colours, 0.0)] if self.config.has_colour_cues else []
            dtype = torch.promote_types(maps[0].dtype, torch.float32)
            scene = Scene(
                image=place.cut(image),
                mask=place.cut(mask),
                logits=logits,
                error=error,
                coarse=torch.cat([x.to(dtype) for x in maps], dim=1),
                has_colours=self.config.has_colour_cues,
                place=place,
            )
            logits = self.correct(scene, active, options)
        alpha = logits.sigmoid() if logits.requires_grad else logits.sigmoid_()  # of full size
        if coarse.box is not None:
            alpha = place.paste(alpha, size)
            active = place.paste(active, count_cells(size), stride=CELL)
        return MattingOutput(alpha=alpha, active_cells=active, coarse=coarse, spanned=spanned)

    def upsample(
        self, x: Float[Tensor, "batch 1 h w"], place: Placement, *, outside: float = 0.0, stride: int = 1
    ) -> Float[Tensor, "batch 1 _h _w"]:
        """A coarse map at the pixels of `place`, or at its cells."""
        return place.upsample(place.surround(x, outside), stride=stride)

    @torch.no_grad()
    def _select(self, logits: Tensor, error: Tensor, options: RunOptions) -> Tensor:
        if self.config.selection == "none":
            return torch.zeros_like(error, dtype=torch.bool)
        if self.config.selection == "shm":
            active = select_active_shm(logits.sigmoid())
        else:
            assert options.error_threshold is not None
            active = select_active(error, error_threshold=options.error_threshold)
        return limit_active(active, error, active_budget=options.active_budget)

    def find_presence(self, error: Float[Tensor, "*shape"], options: RunOptions) -> Float[Tensor, "*shape"]:
        """`find_presence` of active cells; those that SHM selects are present in full."""
        threshold = -1.0 if self.config.selection == "shm" else options.error_threshold
        assert threshold is not None
        return find_presence(error, error_threshold=threshold)

    def correct(
        self, scene: Scene, active: Bool[Tensor, "batch 1 rows columns"], options: RunOptions
    ) -> Float[Tensor, "batch 1 height width"]:
        """Add the network's correction to the logits in the active cells; the sparse and the dense form are equal."""
        image, mask, logits = (to_cells(as_unit(x)) for x in (scene.image, scene.mask, scene.logits))
        coarse = scene.place.upsample(scene.coarse, stride=CELL)
        x = join_inputs(*describe_cells(image, mask, logits, scene.error, *scene.split(coarse)))
        x = x.to(compute_dtype(scene.logits))
        presence = self.find_presence(scene.error, options) * active
        if options.is_sparse:
            active_set = ActiveSet.from_mask(active)
            rows = self.network(active_set.gather(x), active_set.neighbours, active_set.gather(presence))
            residual = active_set.scatter(rows)
        else:
            residual = self.network.forward_dense(x, presence)
        change = F.pixel_shuffle(rim_weight(presence).to(logits.dtype) * residual.to(logits.dtype), CELL)
        change = change[..., : scene.logits.shape[2], : scene.logits.shape[3]]
        if options.region is not None:
            inside = torch.zeros_like(change)
            inside[
                :, :, _shift(options.region[0], scene.place.rows), _shift(options.region[1], scene.place.columns)
            ] = 1
            change = change * inside
        return scene.logits + change


def describe_cells(
    image: Float[Tensor, "batch 3 4 *cells"],
    mask: Float[Tensor, "batch 1 4 *cells"],
    logits: Float[Tensor, "batch 1 4 *cells"],
    error: Float[Tensor, "batch 1 *cells"],
    features: Float[Tensor, "batch channels *cells"],
    colours: Float[Tensor, "batch 6 *cells"] | None,
) -> tuple[list[Float[Tensor, "batch _channels 4 *cells"]], list[Float[Tensor, "batch _channels *cells"]]]:
    """The network's inputs from the four pixels of each cell, and from the cell as a whole; all of the order of 1."""
    shown = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT) / 4
    of_pixels = [2 * image - 1, shown, logits.sigmoid(), mask]
    of_cells = [features, error]
    if colours is not None:
        estimate, apart, from_target, from_surroundings = cue_parts(image, colours.unsqueeze(2))
        of_pixels += [estimate, from_target, from_surroundings]
        of_cells.append(apart.squeeze(2))
    return of_pixels, of_cells


def join_inputs(of_pixels: list[Tensor], of_cells: list[Tensor]) -> Float[Tensor, "batch _inputs *cells"]:
    """The network's input channels, from `describe_cells`."""
    return torch.cat([part.flatten(1, 2) for part in of_pixels] + of_cells, dim=1)


def to_cells(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels 4 rows columns"]:
    """The pixels of each cell; those beyond the photo repeat its last row or column."""
    batch, channels, height, width = x.shape
    padded = F.pad(x, (0, width % CELL, 0, height % CELL), mode="replicate")
    rows, columns = count_cells((height, width))
    return F.pixel_unshuffle(padded, CELL).view(batch, channels, CELL**2, rows, columns)


def _shift(pixels: slice, place: slice) -> slice:
    """The same pixels, counted from the start of `place`."""
    return slice(max(0, pixels.start - place.start), max(0, pixels.stop - place.start))
