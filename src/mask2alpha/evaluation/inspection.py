"""What the network did to make one matte, as arrays for `figures` and as numbers.

Maps at stride 4 and the token grid lie over the padded photo, which may have been encoded at a smaller size;
`Inspection.covered` says which share of them is photo.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mask2alpha.errors import InputError
from mask2alpha.model.box import FAR_LOGIT, spread
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage1_encoder.guidance import RELEVANCE, Region, find_regions
from mask2alpha.model.stage3_detail.select import select_active, select_active_shm
from mask2alpha.model.values import CoarseMatte
from mask2alpha.ops.cells import cells_to_pixels, count_cells
from mask2alpha.ops.masks import Mask
from mask2alpha.ops.resize import upsample
from mask2alpha.pipeline.matte import Trace
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.shapes import Size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepMaps:
    """One decoding step, at stride 4."""

    mixed_matte: NDArray[np.float32]
    """(h, w), what the step reads: alpha where fine, the mask where coarse."""
    is_fine: NDArray[np.bool_]
    """(h, w), the states that it reads."""
    alpha: NDArray[np.float32]
    """(h, w), what it predicts."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inspection:
    """One run of the network, seen from inside."""

    steps: tuple[StepMaps, ...]
    """Each decoding step, oldest first."""
    alpha: NDArray[np.float32]
    """(H, W), the alpha of the matte."""
    predicted_error: NDArray[np.float32]
    """(H, W), of the coarse matte, in [0, 1]."""
    active_sgsdr: NDArray[np.bool_]
    """(H, W), the pixels whose predicted error is above `error_threshold`."""
    active_shm: NDArray[np.bool_]
    """(H, W), the pixels that SparseMat's rule would take of the same coarse matte."""
    error_threshold: float
    """tau."""
    regions: NDArray[np.int64]
    """(rows, columns), a `Region` per token."""
    attention_on: NDArray[np.float32]
    """(rows, columns), the share of the last block's attention that each patch receives, steered by the mask."""
    attention_off: NDArray[np.float32]
    """The same without the mask's guidance."""
    token_spread: tuple[float, float]
    """Standard deviation of the patch tokens' values before the guided block: of all values, and over the places of the
    image alone (the mean over the channels). Where the second is far smaller, all tokens are alike."""
    guidance: tuple[float, float] | None
    """beta and r, the learnt scalars of MGFSM; None for a model without it."""
    covered: tuple[float, float]
    """(rows, columns): the share of the maps at stride 4 and of the token grid that is photo, in (0, 1]."""


def inspect(predictor: Predictor, image: NDArray[Any], mask: NDArray[Any] | Mask) -> Inspection:
    """Matte one image with one mask, and keep what the network did.

    Args:
        predictor: Of a `Mask2Alpha`; its active budget bounds the detail, not the active pixels shown.
        image: As for `Predictor.predict`.
        mask: As for `Predictor.predict`.

    Raises:
        InputError: The image or the mask cannot be used; the mask is empty or full, which the predictor answers without
            asking the network; or the network is not a `Mask2Alpha`.
    """
    model = predictor.model
    if not isinstance(model, Mask2Alpha):
        raise InputError(f"only a Mask2Alpha can be inspected; the predictor runs a {type(model).__name__}")
    matte = predictor.predict(image, mask, has_trace=True)
    trace = matte.trace
    if trace is None:
        raise InputError("the mask is empty or full, so the network does not run and there is nothing to draw")
    encoding, coarse, (height, width) = trace.encoding, trace.output.coarse, matte.alpha.shape
    threshold = predictor.options.filled(model.config).error_threshold
    assert threshold is not None
    with predictor.running():
        sgsdr, shm = select_both(coarse, (height, width), spanned=matte.spanned, error_threshold=threshold)
        attention_on = model.encoder.received_attention(encoding, trace.mask)
        attention_off = model.encoder.received_attention(encoding, trace.mask, has_guidance=False)
        guidance = model.encoder.guidance
        scalars = None if guidance is None else (guidance.relevance_gain.item(), guidance.relevance_bias.item())
    return Inspection(
        steps=map_steps(trace),
        alpha=matte.alpha,
        predicted_error=matte.predicted_error,
        active_sgsdr=_array(cells_to_pixels(sgsdr, (height, width))[0, 0]),
        active_shm=_array(cells_to_pixels(shm, (height, width))[0, 0]),
        error_threshold=threshold,
        regions=_array(find_regions(trace.mask, encoding.token_grid)[0]),
        attention_on=_array(attention_on[0]),
        attention_off=_array(attention_off[0]),
        token_spread=measure_spread(encoding.tokens[0, -math.prod(encoding.token_grid) :].float()),
        guidance=scalars,
        covered=(height / matte.spanned[0], width / matte.spanned[1]),
    )


def select_both(coarse: CoarseMatte, size: Size, *, spanned: Size, error_threshold: float) -> tuple[Tensor, Tensor]:
    """The cells of a photo of `size` that SGSDR takes, without a budget, and those that SHM takes."""
    error = upsample(spread(coarse.predicted_error, coarse.box), count_cells(size), spanned=count_cells(spanned))
    logits = upsample(spread(coarse.alpha_logits, coarse.box, outside=FAR_LOGIT), size, spanned=spanned)
    return select_active(error, error_threshold=error_threshold), select_active_shm(logits.sigmoid())


def map_steps(trace: Trace) -> tuple[StepMaps, ...]:
    """Each decoding step of a run, over the whole encoded image: the state that it read, and what it predicted."""
    box = trace.output.coarse.box
    return tuple(
        StepMaps(
            mixed_matte=_array(spread(step.before.mixed_matte, box)[0, 0]),
            is_fine=_array(spread(step.before.is_fine, box)[0, 0]),
            alpha=_array(spread(step.alpha, box)[0, 0]),
        )
        for step in trace.output.coarse.trace
    )


def measure_spread(patches: Float[Tensor, "tokens dim"]) -> tuple[float, float]:
    """`Inspection.token_spread` of the patch tokens of one image."""
    return float(patches.std(correction=0)), float(patches.std(dim=0, correction=0).mean())


def summarise(inspection: Inspection) -> dict[str, Any]:
    """The numbers of the figures, JSON-able: active shares, and per region the share of tokens and of attention.

    Attention that [CLS] and registers receive is in no region, so the shares may add up to less than 1.
    """
    regions = {region.name.lower(): inspection.regions == region.value for region in reversed(Region)}
    summary: dict[str, Any] = {
        "num_steps": len(inspection.steps),
        "fine_share_per_step": [float(step.is_fine.mean()) for step in inspection.steps],
        "error_threshold": inspection.error_threshold,
        "active_share": {
            "sgsdr": float(inspection.active_sgsdr.mean()),
            "shm": float(inspection.active_shm.mean()),
        },
        "token_share": {name: float(where.mean()) for name, where in regions.items()},
        "attention_off": {name: float(inspection.attention_off[where].sum()) for name, where in regions.items()},
        "attention_on": {name: float(inspection.attention_on[where].sum()) for name, where in regions.items()},
        "token_spread": {"all": inspection.token_spread[0], "over_places": inspection.token_spread[1]},
        "guidance": None,
    }
    if inspection.guidance is not None:
        gain, bias = inspection.guidance
        summary["guidance"] = {
            "relevance_gain": gain,
            "relevance_bias": bias,
            "key_factor": {region.name.lower(): 1 + bias + gain * RELEVANCE[region] for region in reversed(Region)},
        }
    return summary


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.ascontiguousarray(tensor.cpu().numpy())
