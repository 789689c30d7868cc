"""Training runs as functions; the docstrings say what they are for, what they need and what to expect."""

from mask2alpha.model.config import PRESETS
from mask2alpha.training.config import DataConfig, LossWeights, OptimConfig, Recipe


def small() -> Recipe:
    """The light model that ships, made for a CPU.

    Data: free cut-outs, renders and procedural foregrounds over free photos. Hardware: one CPU core for the network and
    one for the samples; about 1.5 hours bring a useful model, more is better.
    """
    return Recipe(
        name="small",
        model=PRESETS["small"],
        data=DataConfig(size=448, batch_size=3),
        optim=OptimConfig(name="muon"),
        loss=LossWeights(unknown_os4=1.0, unknown=1.0),
        own_state_share=0.7,
    )


def base() -> Recipe:
    """The shipped default: frozen DINOv2 ViT-S/14 beside the stem, made for a CPU.

    Data: as for `small`, with renders of people drawn about as often as all other cut-outs together. Start: random
    weights beside the backbone; `--init base` starts from the shipped weights. Hardware: one CPU core for the network,
    2 s a step, and one for the samples.
    """
    return Recipe(
        name="base",
        model=PRESETS["base"],
        data=DataConfig(size=576, batch_size=2, procedural_share=0.35, enlarged_shares=(0.4, 0.3)),
        optim=OptimConfig(name="muon", lr=4e-4, warmup_steps=100, ema_decay=0.999),
        loss=LossWeights(unknown_os4=1.0, unknown=1.0),
        own_state_share=0.7,
        corrected_share=0.5,
    )


def paper() -> Recipe:
    """The paper's own training: BEiT v2 base with ViT-Adapter, DIM foregrounds over COCO, crops of 1024.

    Data: `--foregrounds dim=...` (on request from Adobe, research only) and `--backgrounds coco=...`; nothing
    procedural. Start: `--encoder-weights` with BEiT v2's published weights. Hardware: made for 4 GPUs of 40 GB or
    more, with a dozen CPU cores each: 4 processes x 4 images x 2 masks a step. Time and result: we have not trained it.
    The paper reports SAD 35.61 on AIM-500 and does not publish its masks.

    The paper gives the data, the crop and the initial weights. The rest follows the works that it cites:
    100,000 steps with 5,000 of warm-up as MGMatting; AdamW at 5e-4 for new layers and 1e-4 for the ViT, which falls by
    0.65 from block to block, as ViTMatte.
    """
    return Recipe(
        name="paper",
        model=PRESETS["beitv2_base"],
        data=DataConfig(
            size=1024, batch_size=4, num_workers=12, procedural_share=0.0, cutout_side=1536, photo_side=1536
        ),
        optim=OptimConfig(
            lr=5e-4,
            pretrained_lr_scale=0.2,
            layer_decay=0.65,
            weight_decay=0.05,
            num_steps=100_000,
            warmup_steps=5000,
            ema_decay=0.9998,
        ),
        detail_window=384,
    )


def debug() -> Recipe:
    """A few seconds of training with the `tiny` model, for tests and to try data."""
    return Recipe(
        name="debug",
        model=PRESETS["tiny"],
        data=DataConfig(size=64, batch_size=2, num_workers=0),
        optim=OptimConfig(num_steps=20, warmup_steps=2),
        uses_bfloat16=False,
    )


RECIPES = {"base": base, "small": small, "paper": paper, "debug": debug}
"""Recipes by name, for `mask2alpha train NAME`."""
