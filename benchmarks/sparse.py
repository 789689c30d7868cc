"""Section `sparse`: the sparse stage beside its dense twin, and one convolution beside that of spconv.

Five percent of the pixels are active.

The stage is all of `Mask2Alpha.detail`: upsampling, selection, tables, network, correction. Each dtype runs in a
process of its own, with large pages asked for (`measuring.LARGE_PAGES`) and without: both forms allocate maps of many
megabytes, and without large pages a good part of the time goes into page faults.
"""

from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from measuring import LARGE_PAGES, Settings, build_predictor, in_child, load_example, ratio, summarise, take_turns

from mask2alpha.model.config import DEFAULT_MODEL
from mask2alpha.model.fast.sparse import convolve, with_zero_row
from mask2alpha.model.stage3_detail.sparse import ActiveSet, SubmanifoldConv
from mask2alpha.model.values import RunOptions
from mask2alpha.ops.cells import CELL
from mask2alpha.pipeline.preprocess import image_to_tensor, mask_to_tensor

ACTIVE_SHARE = 0.05


def run(settings: Settings) -> dict[str, Any]:
    """Sparse and dense, in both dtypes, with and without large pages; then the convolution alone, on one thread."""
    side, repeats = (512, 3) if settings.is_quick else (1024, settings.repeats)
    result: dict[str, Any] = {"size": [side, side], "active_share": ACTIVE_SHARE}
    for dtype in ("bfloat16", "float32"):
        for pages, environment in (("large pages", LARGE_PAGES), ("ordinary pages", {})):
            if settings.is_quick and pages == "ordinary pages":
                continue
            arguments = {"side": side, "dtype": dtype, "repeats": repeats}
            result[f"{dtype}, {pages}"] = in_child("sparse.measure_stage", arguments, settings, environment=environment)
    if not settings.is_quick:
        one_thread = replace(settings, threads=1)
        arguments = {"side": side, "repeats": repeats}
        result["convolution"] = (
            in_child("sparse.measure_convolution", arguments, one_thread, environment={"OMP_NUM_THREADS": "1"})
            if find_spec("spconv")
            else {"failed": "spconv is not installed"}
        )
    return result


def measure_stage(side: int, dtype: str, repeats: int) -> dict[str, Any]:
    """The detail stage on one coarse matte, sparse and dense."""
    image, mask = load_example(side, side)
    predictor = build_predictor(DEFAULT_MODEL, dtype=getattr(torch, dtype))
    pictures = image_to_tensor(image), mask_to_tensor(mask, (side, side))
    with predictor.running():
        coarse = predictor.model.forward(*pictures).coarse
        error = predictor.predict(image, mask).predicted_error
        options = RunOptions(error_threshold=float(np.quantile(error, 1 - ACTIVE_SHARE)))
        recover = partial(predictor.model.detail, *pictures, coarse)
        times = take_turns(
            {
                "sparse": partial(recover, options),
                "dense": partial(recover, replace(options, is_sparse=False)),
            },
            repeats,
        )
    return {**summarise(times), "dense_over_sparse": ratio(times, "dense", "sparse")}


def measure_convolution(side: int, repeats: int) -> dict[str, Any]:
    """One of the detail stage's wider convolutions in float32, the tables of neighbours at hand in both."""
    import spconv.pytorch as spconv

    image, mask = load_example(side, side)
    predictor = build_predictor(DEFAULT_MODEL)
    error = predictor.predict(image, mask).predicted_error[::CELL, ::CELL]
    active = torch.from_numpy(error > np.quantile(error, 1 - ACTIVE_SHARE))[None, None]
    active_set = ActiveSet.from_mask(active)
    channels = predictor.model.config.detail.channels[0]
    features = torch.randn(len(active_set), channels)
    own = SubmanifoldConv(channels, channels)
    peer = spconv.SubMConv2d(channels, channels, 3, padding=1, bias=True, indice_key="same")
    given = spconv.SparseConvTensor(features, active_set.coordinates.int(), list(active_set.size), 1)
    convolve_own = partial(convolve, own, with_zero_row(features), active_set.neighbours)
    with torch.inference_mode():
        peer.weight.copy_(own.weight.permute(0, 2, 3, 1))
        peer.bias.copy_(own.bias)
        made = peer(given)
        difference = float((made.features - convolve_own()[:-1]).abs().max())
        if difference > 1e-3:
            return {"failed": f"it gives other rows than ours and its dense twin (by up to {difference:.2g})"}
        given = made.replace_feature(features)  # holds the table from now on
        times = take_turns({"ours": convolve_own, "spconv": lambda: peer(given)}, repeats)
    return {
        **summarise(times),
        "spconv_over_ours": ratio(times, "spconv", "ours"),
        "points": len(active_set),
        "channels": channels,
    }
