"""Section `peers`: one whole call, from arrays to an array, beside other methods on the same picture in the same run.

Each peer runs in a process of its own, turn by turn with ours in that process, so that a peer that runs out of memory
takes nothing with it. The trimaps of those that need one are made from the mask, and count.

- closed form: pymatting's `estimate_alpha_cf`, with its default preconditioner. Its cost is that of the trimap's
  unknown band. `closed form` has the band with which it errs least on the validation pairs (decision 34), `narrow` the
  default of `mask2alpha compare`.
- guided filter: He's, with colours, as `mask2alpha compare` runs it.
- ViTMatte-S: the architecture of `transformers` with random weights, which its cost does not depend on; in float32, as
  it is published, and in bfloat16.
- dense twin: our own model with every pixel computed in the detail stage.
- SHM: our own model with SparseMat's selection of pixels in place of ours.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from measuring import Settings, build_predictor, in_child, load_example, peak_megabytes, ratio, summarise, take_turns
from numpy.typing import NDArray

from mask2alpha.evaluation.peers import load_method, make_trimap, parse_method
from mask2alpha.model.config import DEFAULT_MODEL
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.predictor import Predictor

TRIMAP_WIDTHS = {"closed form": 25, "closed form, narrow": 15}
"""Of the unknown band on each side of the mask's border, in pixels of a picture of 800; it grows with the picture."""
PEERS = (*TRIMAP_WIDTHS, "guided filter", "ViTMatte-S float32", "ViTMatte-S bfloat16", "dense twin", "SHM")
SLOW = (*TRIMAP_WIDTHS, "ViTMatte-S float32", "ViTMatte-S bfloat16")
SIDES = (1024, 2048)

Call = Callable[[NDArray[np.uint8], NDArray[np.uint8]], object]


def run(settings: Settings) -> dict[str, Any]:
    """Every peer at every size; a peer's time over ours is above 1 where we are faster."""
    result: dict[str, Any] = {}
    for side in (704,) if settings.is_quick else SIDES:
        result[str(side)] = {}
        for peer in ("closed form", "ViTMatte-S float32") if settings.is_quick else PEERS:
            repeats = min(settings.repeats, 3) if peer in SLOW else settings.repeats
            arguments = {"peer": peer, "side": side, "repeats": repeats}
            result[str(side)][peer] = in_child("peers.measure_peer", arguments, settings, has_memory_limit=True)
    return result


def measure_peer(peer: str, side: int, repeats: int) -> dict[str, Any]:
    """Ours and one peer, turn by turn."""
    image, mask = load_example(side, side)
    ours = build_predictor(DEFAULT_MODEL)
    call = load_peer(peer, ours, side)
    times = take_turns({"ours": lambda: ours.predict(image, mask), "peer": lambda: call(image, mask)}, repeats)
    return {**summarise(times), "peer_over_ours": ratio(times, "peer", "ours"), "peak_mb": peak_megabytes()}


def load_peer(peer: str, ours: Predictor, side: int) -> Call:
    """A peer, ready to run on pictures of `side` pixels."""
    if peer == "dense twin":
        twin = build_predictor(DEFAULT_MODEL)
        twin.options = replace(twin.options, is_sparse=False)
        return twin.predict
    if peer == "SHM":
        return _with_shm(ours.model).predict
    if peer.startswith("ViTMatte-S"):
        return load_vitmatte(getattr(torch, peer.split()[1]), side)
    if peer in TRIMAP_WIDTHS:
        import numba

        numba.set_num_threads(torch.get_num_threads())
        method = f"closed-form:width={scaled_width(TRIMAP_WIDTHS[peer], side)}"
    else:
        method = peer.replace(" ", "-")
    matting = load_method(parse_method(method))
    return lambda image, mask: matting(image, mask > 127)


def scaled_width(width: int, side: int) -> int:
    """A width in pixels of a picture of 800, in pixels of one of `side`."""
    return round(width * side / 800)


def _with_shm(model: Mask2Alpha) -> Predictor:
    from mask2alpha.checkpoints import load_model

    config = replace(model.config, detail=replace(model.config.detail, selection="shm"))
    other = Mask2Alpha(config)
    other.load_state_dict(load_model(DEFAULT_MODEL).state_dict())
    return Predictor(other, device="cpu")


def load_vitmatte(dtype: torch.dtype, side: int) -> Call:
    """The architecture of `hustvl/vitmatte-small-composition-1k`, with random weights."""
    from transformers import VitDetConfig, VitMatteConfig, VitMatteForImageMatting

    backbone = VitDetConfig(
        num_channels=4,
        image_size=512,
        pretrain_image_size=224,
        patch_size=16,
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        use_absolute_position_embeddings=True,
        use_relative_position_embeddings=True,
        window_size=14,
        window_block_indices=[0, 1, 3, 4, 6, 7, 9, 10],
        residual_block_indices=[2, 5, 8, 11],
        out_features=["stage12"],
    )
    config = VitMatteConfig(
        backbone_config=backbone,
        hidden_size=384,
        convstream_hidden_sizes=[48, 96, 192],
        fusion_hidden_sizes=[256, 128, 64, 32],
    )
    torch.manual_seed(0)
    network = VitMatteForImageMatting(config).eval()

    def matting(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.float32]:
        trimap = make_trimap(mask > 127, width=scaled_width(TRIMAP_WIDTHS["closed form"], side)).astype(np.float32)
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float().div_(127.5).sub_(1)
        given = torch.cat([pixels, torch.from_numpy(trimap)[None, None]], dim=1)
        with torch.inference_mode(), torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            alphas: NDArray[np.float32] = network(pixel_values=given).alphas[0, 0].float().numpy()
        return alphas

    return matting
