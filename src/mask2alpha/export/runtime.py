"""A `Predictor` that runs exported graphs in place of PyTorch's modules."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from mask2alpha.errors import CheckpointError, InputError
from mask2alpha.export.engines import ENGINES, Engine
from mask2alpha.export.graphs import guided_names, list_graphs, map_names, token_stride
from mask2alpha.export.metadata import read_metadata
from mask2alpha.model.box import FAR_LOGIT, Box, spread
from mask2alpha.model.config import ModelConfig
from mask2alpha.model.fast.resampling import FastAvgPool2d
from mask2alpha.model.layers import to_tokens
from mask2alpha.model.mask2alpha import Network
from mask2alpha.model.stage1_encoder.backbone import find_token_grid, fit_patches
from mask2alpha.model.stage1_encoder.normalization import HalfResolutionInput
from mask2alpha.model.stage2_decoding.evidence import prepare_mask
from mask2alpha.model.stage2_decoding.refine import hold_decided
from mask2alpha.model.values import (
    CoarseMatte,
    DecodingState,
    FusedFeatures,
    GuidedFeatures,
    ImageEncoding,
    MattingOutput,
    RunOptions,
)
from mask2alpha.ops.cells import CELL, count_cells
from mask2alpha.ops.resize import upsample
from mask2alpha.ops.units import as_unit
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.shapes import Size

MAX_ACTIVE_PIXELS = 2**21
"""Default of `active_budget`: the detail graph holds about 2 KB per active cell of four pixels."""


def load_predictor(
    folder: str | Path,
    *,
    backend: str = "onnxruntime",
    dtype: torch.dtype = torch.float32,
    num_threads: int | None = None,
    active_budget: int = MAX_ACTIVE_PIXELS,
    **settings: Any,
) -> Predictor:
    """Load a predictor that runs the files of `export_model`.

    Args:
        folder: Folder of the files.
        backend: `onnxruntime` or `openvino`.
        dtype: Number format of the network: `torch.float32` or, with OpenVINO, `torch.bfloat16`.
        num_threads: Default: as many as PyTorch would use.
        active_budget: As for `Predictor`.
        **settings: `num_steps`, `error_threshold` and `max_encoder_side` of `Predictor`.

    Raises:
        CheckpointError: A file is missing, was not written by mask2alpha, or was exported from other weights.
        InputError: A value is out of its range, or the backend is not installed.
    """
    if backend not in ENGINES:
        raise InputError(f"backend must be one of {', '.join(ENGINES)}; got {backend!r}")
    if dtype not in (torch.float32, torch.bfloat16):
        raise InputError(f"dtype must be torch.float32 or torch.bfloat16; got {dtype}")
    files, config = find_files(folder)
    engine = ENGINES[backend](
        files, num_threads=num_threads or torch.get_num_threads(), is_bfloat16=dtype == torch.bfloat16
    )
    network = ExportedNetwork(engine, config)
    return Predictor(network, device="cpu", dtype=torch.float32, active_budget=active_budget, **settings)


def find_files(folder: str | Path) -> tuple[dict[str, Path], ModelConfig]:
    """The exported files in a folder, by the names of their graphs, and the model's configuration.

    Raises:
        CheckpointError: As `load_predictor`.
    """
    folder = Path(folder)
    files = {path.stem: path for path in sorted(folder.glob("*.onnx"))}
    names = list(list_graphs(ModelConfig()))
    if missing := [name for name in names if name not in files]:
        raise CheckpointError(
            f"{folder}: not an exported model; missing {', '.join(f'{name}.onnx' for name in missing)} "
            "(mask2alpha export writes them)"
        )
    abouts = {name: read_metadata(files[name]) for name in names}
    for name, about in abouts.items():
        if about["graph"] != name or about["weights_sha256"] != abouts[names[0]]["weights_sha256"]:
            raise CheckpointError(f"{files[name]}: not of the same export as {files[names[0]].name}; export again")
    config = ModelConfig.from_dict(json.loads(abouts[names[0]]["model_config"]))
    return {name: files[name] for name in names}, config


class ExportedNetwork(Network):
    """The five parts of a network, run as graphs; all masks of a call are of one image."""

    def __init__(self, engine: Engine, config: ModelConfig) -> None:
        self.engine = engine
        self.config = config
        self.input = HalfResolutionInput(config.encoder)
        self.input.halve = FastAvgPool2d(2)  # docs/export.md states its order of sums

    def encode(self, image: Float[Tensor, "batch 3 height width"]) -> ImageEncoding:
        """See `Network.encode`; one image at a time."""
        config, size = self.config.encoder, (image.shape[2], image.shape[3])
        half, thumbnail = self.input(image)
        feeds = {"image": image}
        if config.kind == "backbone":
            grid = find_token_grid(size, config.token_budget)
            feeds["patches"] = fit_patches(image, half, self.input, grid, patch_size=config.patch_size)
        else:
            stride = token_stride(self.config)
            grid = (size[0] // stride, size[1] // stride)
        made = self._run("encoder", **feeds)
        return ImageEncoding(
            tokens=made.pop("tokens"), token_grid=grid, maps=tuple(made.values()), thumbnail=thumbnail, size=size
        )

    def guide(self, encoding: ImageEncoding, mask: Float[Tensor, "batch 1 height width"]) -> GuidedFeatures:
        """See `Network.guide`."""
        made = self._run("guide", mask=mask, tokens=encoding.tokens[:1], token_grid=torch.tensor(encoding.token_grid))
        guided = tuple(made[name] for name in guided_names(self.config))
        return GuidedFeatures.of(
            encoding,
            maps=(*encoding.maps, *guided),
            tokens=made["guided_tokens"] if "guided_tokens" in made else to_tokens(*guided),
            components=made.get("components"),
        )

    def fuse(
        self, features: GuidedFeatures, mask: Float[Tensor, "batch 1 height width"], box: Box | None = None
    ) -> FusedFeatures:
        """See `Network.fuse`."""
        features, mask_os4, evidence = prepare_mask(features, mask, box)
        image_maps = map_names(self.config)
        maps = dict(zip([*image_maps, *guided_names(self.config)], features.maps, strict=True))
        maps |= {name: maps[name][:1] for name in image_maps}
        made = self._run("fusion", mask_os4=mask_os4, cues=evidence.cues, **maps)
        return FusedFeatures(
            features=made["features"],
            prepared=made["prepared"],
            mask_os4=mask_os4,
            evidence=evidence,
            guided=features,
        )

    def step(self, fused: FusedFeatures, state: DecodingState) -> CoarseMatte:
        """See `Network.step`."""
        made = self._run(
            "step",
            prepared=fused.prepared,
            mixed_matte=state.mixed_matte,
            is_fine=state.is_fine,
            cues=state.evidence.cues,
        )
        coarse = CoarseMatte(
            alpha_logits=made["alpha_logits"],
            predicted_error=made["predicted_error"],
            features=fused.features,
            local_colours=state.evidence.local_colours,
            spanned=fused.guided.spanned,
            box=fused.guided.box,
        )
        return hold_decided(coarse, fused)

    def detail(
        self,
        image: Shaped[Tensor, "batch 3 height width"],
        mask: Shaped[Tensor, "batch 1 height width"],
        coarse: CoarseMatte,
        options: RunOptions,
    ) -> MattingOutput:
        """See `DetailRecovery.forward`; the graph knows no box, so the maps of one are spread over the image."""
        size = (mask.shape[2], mask.shape[3])
        whole = {
            "alpha_logits": spread(coarse.alpha_logits, coarse.box, outside=FAR_LOGIT),
            "predicted_error": spread(coarse.predicted_error, coarse.box),
            "features": spread(coarse.features, coarse.box),
            "local_colours": spread(coarse.local_colours, coarse.box),
        }
        spanned = coarse.spanned or (4 * coarse.features.shape[2], 4 * coarse.features.shape[3])
        made = self._run(
            "detail",
            image=as_unit(image[:1]),
            mask=as_unit(mask),
            spanned=torch.tensor(spanned, dtype=torch.float32),
            least_error=self._least_error(whole["predicted_error"], size, spanned, options),
            **whole,
        )
        return MattingOutput(alpha=made["alpha"], active_cells=made["active"], coarse=coarse, spanned=spanned)

    def _least_error(self, predicted_error: Tensor, size: Size, spanned: Size, options: RunOptions) -> Tensor:
        """The predicted error above which cells are active, (K, 1, 1, 1), within the budget."""
        threshold = options.error_threshold if self.config.detail.selection == "sgsdr" else -1.0
        assert threshold is not None
        least = torch.full((len(predicted_error), 1, 1, 1), threshold)
        cells = count_cells(size)
        num_cells = math.prod(cells)
        num_kept = num_cells if options.active_budget is None else options.active_budget // CELL**2
        if num_cells <= num_kept:
            return least
        errors = upsample(predicted_error, cells, spanned=count_cells(spanned)).flatten(1)
        for index in ((errors > least.flatten(1)).sum(1) > num_kept).nonzero().flatten().tolist():
            # midway between the last cell left out and the first one kept, whose errors the graph rounds otherwise
            ranks = (num_cells - num_kept, min(num_cells, num_cells - num_kept + 1))
            least[index] = sum(errors[index].kthvalue(rank).values / 2 for rank in ranks)
        return least

    def _run(self, graph: str, **tensors: Tensor) -> dict[str, Tensor]:
        made = self.engine.run(graph, {name: tensor.contiguous().numpy() for name, tensor in tensors.items()})
        return {name: torch.from_numpy(array) for name, array in made.items()}
