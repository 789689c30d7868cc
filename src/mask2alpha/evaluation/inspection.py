"""What happens inside the network for one photograph and one mask, as arrays for `figures` and as numbers.

Maps at stride 4 and the token grid lie over the padded photograph, which may have been encoded at a smaller size;
`Inspection.covered` says which share of them is photograph.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from mask2alpha.errors import InputError
from mask2alpha.evaluation.figures import StepMaps
from mask2alpha.model.mask2alpha import STRIDE_MULTIPLE, Mask2Alpha
from mask2alpha.model.outputs import CoarseMatte, FusedFeatures, ImageEncoding
from mask2alpha.model.stage1_encoder.guidance import RELEVANCE, Region, find_regions
from mask2alpha.model.stage2_decoding.refine import start_coarse
from mask2alpha.model.stage3_detail.active import select_active, select_active_shm
from mask2alpha.ops.cells import cells_to_pixels, count_cells
from mask2alpha.ops.masks import Mask
from mask2alpha.ops.padding import pad_to_multiple
from mask2alpha.ops.resize import upsample
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.preprocess import mask_to_tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inspection:
    """One run of the network, seen from inside."""

    steps: tuple[StepMaps, ...]
    """Each decoding step, oldest first."""
    alpha: NDArray[np.float32]
    """(H, W), the final alpha as the network gives it."""
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
    picture alone (the mean over the channels). Where the second is far smaller, all tokens are alike."""
    guidance: tuple[float, float] | None
    """beta and r, the learnt scalars of MGFSM; None for a model without it."""
    covered: tuple[float, float]
    """(rows, columns): the share of the maps at stride 4 and of the token grid that is photograph, in (0, 1]."""


def inspect(predictor: Predictor, image: NDArray[Any], mask: NDArray[Any] | Mask) -> Inspection:
    """Run the network once, in float32, and keep what it did.

    Args:
        predictor: Model, device and settings, made with `dtype=torch.float32`; its active budget bounds the detail, not
            the active pixels shown.
        image: As for `Predictor.predict`.
        mask: As for `Predictor.predict`.

    Raises:
        InputError: The predictor computes in another dtype; the image or the mask cannot be used; or the mask is empty
            or full, which the predictor answers without asking the network.
    """
    if predictor.dtype != torch.float32:
        raise InputError(f"inspecting needs a predictor made with dtype=torch.float32; got {predictor.dtype}")
    encoded = predictor.encode(image)
    own_mask = mask_to_tensor(mask, encoded.size)
    if bool((own_mask > 0.5).all()) or not bool((own_mask > 0.5).any()):
        raise InputError("mask is empty or full; the network is not asked then, so there is nothing to draw")
    padded_mask = pad_to_multiple(own_mask, STRIDE_MULTIPLE).to(predictor.device)
    model = predictor.model
    options = replace(predictor.options, has_trace=True)
    configured = model.config.detail.error_threshold
    threshold = configured if options.error_threshold is None else options.error_threshold
    with torch.inference_mode():
        encoding = encoded.encoding.to(torch.float32)
        small_mask = scale_mask(padded_mask, encoding)
        coarse = model.decode_coarse(encoding, small_mask, options)
        own_mask = own_mask.to(predictor.device)
        output = model.recover(encoded.pixels, own_mask, coarse, options, padded_size=encoded.padded_size)
        coarse_alpha = F.interpolate(output.coarse.alpha_logits, encoded.padded_size, mode="bilinear").sigmoid()
        cell_error = upsample(
            coarse.predicted_error, count_cells(encoded.size), spanned=count_cells(encoded.padded_size)
        )
        sgsdr = select_active(cell_error, error_threshold=threshold)
        shm = select_active_shm(coarse_alpha[..., : encoded.size[0], : encoded.size[1]])
        guidance = model.encoder.guidance
        height, width = encoded.size
        return Inspection(
            steps=replay_steps(model, model.fuse(encoding, small_mask), output.coarse),
            alpha=_array(output.alpha[0, 0, :height, :width]),
            predicted_error=_array(output.predicted_error[0, 0, :height, :width]),
            active_sgsdr=_array(cells_to_pixels(sgsdr, encoded.size)[0, 0]),
            active_shm=_array(cells_to_pixels(shm, encoded.size)[0, 0]),
            error_threshold=threshold,
            regions=_array(find_regions(small_mask, encoding.token_grid)[0]),
            attention_on=_array(model.encoder.received_attention(encoding, small_mask)[0]),
            attention_off=_array(model.encoder.received_attention(encoding, small_mask, has_guidance=False)[0]),
            token_spread=measure_spread(encoding.tokens[0, -math.prod(encoding.token_grid) :]),
            guidance=None if guidance is None else (float(guidance.relevance_gain), float(guidance.relevance_bias)),
            covered=(height / encoded.padded_size[0], width / encoded.padded_size[1]),
        )


def scale_mask(
    mask: Float[Tensor, "batch 1 _height _width"], encoding: ImageEncoding
) -> Float[Tensor, "batch 1 height width"]:
    """The mask at the size at which the image was encoded, as `Mask2Alpha.decode` scales it."""
    return mask if encoding.size == mask.shape[2:] else F.interpolate(mask, encoding.size, mode="area")


def measure_spread(patches: Float[Tensor, "tokens dim"]) -> tuple[float, float]:
    """`Inspection.token_spread` of the patch tokens of one picture."""
    return float(patches.std(correction=0)), float(patches.std(dim=0, correction=0).mean())


def replay_steps(model: Mask2Alpha, fused: FusedFeatures, coarse: CoarseMatte) -> tuple[StepMaps, ...]:
    """Each step of a traced run: the state that it read, and what it predicted from it.

    Args:
        model: That made `coarse`.
        fused: What the steps read.
        coarse: With its trace.
    """
    prepared = model.decoder.prepare(fused.features)
    states = (start_coarse(fused), *coarse.trace[:-1])
    return tuple(
        StepMaps(
            mixed_matte=_array(state.mixed_matte[0, 0]),
            is_fine=_array(state.is_fine[0, 0]),
            alpha=_array(model.decoder(prepared, fused.features, state).alpha[0, 0]),
        )
        for state in states
    )


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
