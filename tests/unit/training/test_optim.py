from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from mask2alpha.model.config import PRESETS, EncoderConfig
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.training.config import OptimConfig
from mask2alpha.training.optim import learning_rate, lr_scale, make_optimizer, set_lr
from mask2alpha.training.recipes import paper
from mask2alpha.training.state import Progress

ENCODER = EncoderConfig(
    kind="vit_adapter", stem_channels=(8,), embed_dim=32, depth=4, num_heads=2, positions="relative",
    position_grid=4, has_class_token=True, adapter_heads=2, adapter_points=2,
)  # fmt: skip
CONFIG = OptimConfig(lr=1.0, pretrained_lr_scale=0.2, layer_decay=0.5, weight_decay=0.1)


def test_learning_rate_warms_up_and_falls_like_a_cosine() -> None:
    config = OptimConfig(lr=1.0, num_steps=100, warmup_steps=4)
    rates = [learning_rate(config, Progress(step=step), None) for step in range(101)]
    assert rates[0] == pytest.approx(0.25)
    assert rates.index(max(rates)) == 3
    assert rates[50] == pytest.approx(0.505)
    assert rates[100] == pytest.approx(0.01)
    assert all(later < earlier for earlier, later in pairwise(rates[3:]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("decoder.heads.weight", 1.0),
        ("encoder.prior.stem.0.conv.weight", 1.0),
        ("encoder.vit.final_norm.weight", 0.2),
        ("encoder.vit.blocks.3.norm1.weight", 0.2),
        ("encoder.vit.blocks.2.norm1.weight", 0.1),
        ("encoder.vit.position_biases.0.table", 0.025),
        ("encoder.vit.patch_embedding.weight", 0.0125),
        ("encoder.vit.class_token", 0.0125),
    ],
)
def test_a_pretrained_vit_learns_slower_the_earlier_the_layer(name: str, expected: float) -> None:
    assert lr_scale(name, 4, CONFIG) == pytest.approx(expected)


def test_every_parameter_is_in_one_group_with_its_rate_and_decay() -> None:
    model = Mask2Alpha(replace(PRESETS["tiny"], encoder=ENCODER))
    optimizer = make_optimizer(model, CONFIG)
    set_lr(optimizer, 0.5)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    seen = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            seen[names[id(parameter)]] = (group["lr"], group["weight_decay"])
    assert sorted(seen) == sorted(names.values())
    assert seen["decoder.heads.weight"] == (0.5, 0.1)
    assert seen["decoder.heads.bias"] == (0.5, 0.0)
    assert seen["encoder.vit.position_biases.3.table"] == (pytest.approx(0.1), 0.0)
    assert seen["encoder.vit.class_token"] == (pytest.approx(0.00625), 0.0)
    assert seen["encoder.vit.patch_embedding.weight"] == (pytest.approx(0.00625), 0.1)


def test_a_model_without_published_weights_has_two_groups() -> None:
    optimizer = make_optimizer(Mask2Alpha(PRESETS["tiny"]), OptimConfig())
    assert sorted(group["weight_decay"] for group in optimizer.param_groups) == [0.0, 0.01]
    set_lr(optimizer, 0.125)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.125]


def test_the_papers_recipe_knows_its_encoders_depth() -> None:
    with torch.device("meta"):
        model = Mask2Alpha(paper().model)
        scales = {group["scale"] for group in make_optimizer(model, paper().optim).param_groups}
    assert len(scales) == 1 + 12 + 1  # new layers, twelve blocks, the embedding
    assert min(scales) == pytest.approx(0.2 * 0.65**12)
