"""Exported files in, a predictor out: the same `Predictor`, with the graphs in place of PyTorch's modules."""

import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mask2alpha.errors import CheckpointError, InputError
from mask2alpha.export.engines import ENGINES, Engine
from mask2alpha.export.graphs import list_graphs, map_names, token_stride
from mask2alpha.export.metadata import read_metadata
from mask2alpha.model.box import Box
from mask2alpha.model.config import ModelConfig
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.outputs import CoarseMatte, ImageEncoding, MattingOutput, RunOptions
from mask2alpha.model.stage1_encoder.normalization import make_thumbnail
from mask2alpha.model.stage2_decoding.states import coarse_prob
from mask2alpha.ops.cells import CELL, count_cells
from mask2alpha.ops.resize import upsample
from mask2alpha.pipeline.predictor import Predictor
from mask2alpha.pipeline.preprocess import as_unit
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
    """A predictor that runs what `export_model` wrote.

    Args:
        folder: Where the files are.
        backend: `onnxruntime` or `openvino`.
        dtype: Of the network's arithmetic: `torch.float32` or, with OpenVINO, `torch.bfloat16`.
        num_threads: Default: as many as PyTorch would use.
        active_budget: As for `Predictor`.
        **settings: `num_steps`, `error_threshold` and `max_encoder_side` of `Predictor`.

    Raises:
        CheckpointError: A file is missing, is none of ours, or was exported from other weights than the rest.
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
            f"{folder}: no exported model; missing {', '.join(f'{name}.onnx' for name in missing)} "
            "(mask2alpha export writes them)"
        )
    abouts = {name: read_metadata(files[name]) for name in names}
    for name, about in abouts.items():
        if about["graph"] != name or about["weights_sha256"] != abouts[names[0]]["weights_sha256"]:
            raise CheckpointError(f"{files[name]}: not of the same export as {files[names[0]].name}; export again")
    config = ModelConfig.from_dict(json.loads(abouts[names[0]]["model_config"]))
    return {name: files[name] for name in names}, config


class ExportedNetwork(Mask2Alpha):
    """A network without modules of its own: `encode`, `decode_coarse` and `recover` run the graphs."""

    decodes_boxes = False

    def __init__(self, engine: Engine, config: ModelConfig) -> None:
        nn.Module.__init__(self)
        self.engine = engine
        self.config = config

    def __deepcopy__(self, memo: dict[int, Any]) -> "ExportedNetwork":
        return self  # a predictor copies its network to change it, and here is nothing to change

    def encode(self, image: Float[Tensor, "batch 3 height width"]) -> ImageEncoding:
        """See `Mask2Alpha.encode`; one picture at a time."""
        made = self._run("encoder", image=image)
        stride = token_stride(self.config)
        return ImageEncoding(
            tokens=made.pop("tokens"),
            token_grid=(image.shape[2] // stride, image.shape[3] // stride),
            maps=tuple(made.values()),
            thumbnail=make_thumbnail(image),
            size=(image.shape[2], image.shape[3]),
        )

    def decode_coarse(
        self,
        encoding: ImageEncoding,
        mask: Float[Tensor, "batch 1 height width"],
        options: RunOptions,
        box: Box | None = None,
    ) -> CoarseMatte:
        """See `Mask2Alpha.decode_coarse`: the loop of `refine`, its parts run as graphs; all masks are of one picture.

        Raises:
            InputError: The options ask for a trace or for random numbers, which the graphs do not have.
        """
        if options.has_trace or options.sampler != "topk":
            raise InputError("an exported model gives no trace of its steps and knows no sampler but 'topk'")
        config = self.config.decoder
        num_steps = (options.num_steps or config.num_steps) if config.is_iterative else 1
        thumbnail, mask_os4 = encoding.thumbnail[:1], F.avg_pool2d(mask, 4)
        is_fine = torch.zeros_like(mask_os4, dtype=torch.bool)
        state = self._next_state(thumbnail, mask_os4, mask_os4, mask_os4, is_fine, fine_share=0.0)
        maps = dict(zip(map_names(self.config), (feature_map[:1] for feature_map in encoding.maps), strict=True))
        maps |= self._run("guide", mask=mask, tokens=encoding.tokens[:1])
        if box is not None:
            thumbnail, mask_os4 = box.cut(thumbnail, encoding.size), box.cut(mask_os4, encoding.size)
            state, maps = (
                {name: box.cut(tensor, encoding.size) for name, tensor in tensors.items()} for tensors in (state, maps)
            )
        fused = self._run("fusion", mask_os4=mask_os4, cues=state["cues"], **maps)
        logits = torch.zeros_like(mask_os4)
        for step in range(1, num_steps + 1):
            made = self._run("step", prepared=fused["prepared"], **state)
            is_kept = state["is_fine"] & (config.update == "sticky")
            logits = logits.where(is_kept, made["alpha_logits"])
            error = made["predicted_error"]
            if step < num_steps:
                share = 1 - coarse_prob(step / num_steps)
                state = self._next_state(
                    thumbnail, mask_os4, logits.sigmoid(), error, state["is_fine"], fine_share=share
                )
        coarse = CoarseMatte(
            alpha_logits=logits,
            predicted_error=error,
            features=fused["features"],
            local_colours=state["local_colours"],
        )
        return coarse if box is None else box.paste(coarse, encoding.size)

    def recover(
        self,
        image: Shaped[Tensor, "batch 3 height width"],
        mask: Shaped[Tensor, "batch 1 height width"],
        coarse: CoarseMatte,
        options: RunOptions,
        *,
        padded_size: Size | None = None,
    ) -> MattingOutput:
        """See `Mask2Alpha.recover`; all masks are of one picture."""
        size = (mask.shape[2], mask.shape[3])
        spanned = padded_size or size
        least_error = self._least_error(coarse, size, spanned, options)
        made = self._run(
            "detail",
            image=as_unit(image[:1]),
            mask=as_unit(mask),
            alpha_logits=coarse.alpha_logits,
            predicted_error=coarse.predicted_error,
            features=coarse.features,
            local_colours=coarse.local_colours,
            spanned=torch.tensor(spanned, dtype=torch.float32),
            least_error=least_error,
        )
        return MattingOutput(alpha=made["alpha"], active_cells=made["active"], coarse=coarse, spanned=spanned)

    def _next_state(
        self,
        thumbnail: Tensor,
        mask_os4: Tensor,
        alpha: Tensor,
        last_error: Tensor,
        was_fine: Tensor,
        *,
        fine_share: float,
    ) -> dict[str, Tensor]:
        return self._run(
            "state",
            thumbnail=thumbnail,
            mask_os4=mask_os4,
            alpha=alpha,
            last_error=last_error,
            was_fine=was_fine,
            fine_share=torch.tensor(fine_share, dtype=torch.float64),
        )

    def _least_error(self, coarse: CoarseMatte, size: Size, spanned: Size, options: RunOptions) -> Tensor:
        """The predicted error above which a cell is active, (K, 1, 1, 1), so that the budget is kept."""
        config = self.config.detail
        threshold = config.error_threshold if options.error_threshold is None else options.error_threshold
        least = torch.full((len(coarse.predicted_error), 1, 1, 1), threshold if config.selection == "sgsdr" else -1.0)
        cells = count_cells(size)
        num_cells = math.prod(cells)
        num_kept = num_cells if options.active_budget is None else options.active_budget // CELL**2
        if num_cells <= num_kept:
            return least
        errors = upsample(coarse.predicted_error, cells, spanned=count_cells(spanned)).flatten(1)
        for index in ((errors > least.flatten(1)).sum(1) > num_kept).nonzero().flatten().tolist():
            least[index] = errors[index].kthvalue(num_cells - num_kept).values
        return least

    def _run(self, graph: str, **tensors: Tensor) -> dict[str, Tensor]:
        made = self.engine.run(graph, {name: tensor.contiguous().numpy() for name, tensor in tensors.items()})
        return {name: torch.from_numpy(array) for name, array in made.items()}
