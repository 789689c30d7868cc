from dataclasses import replace

import pytest
import torch

from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage1_encoder.backbone import BackboneEncoder
from mask2alpha.model.values import RunOptions

CONFIG = PRESETS["tiny_backbone"]


@pytest.fixture
def encoder() -> BackboneEncoder:
    torch.manual_seed(0)
    return BackboneEncoder(CONFIG.encoder).eval()


def centred_mask(height: int, width: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    return mask


@pytest.mark.parametrize(
    ("size", "grid"),
    [((512, 512), (35, 35)), ((1024, 1024), (35, 35)), ((1344, 2432), (26, 47)), ((64, 4096), (4, 277))],
)
def test_the_grid_keeps_the_shape_and_the_budget(size: tuple[int, int], grid: tuple[int, int]) -> None:
    encoder = BackboneEncoder(replace(CONFIG.encoder, token_budget=1200))
    assert encoder.token_grid(size) == grid


def test_maps_and_tokens_have_their_sizes(encoder: BackboneEncoder) -> None:
    encoding = encoder.encode(torch.rand(2, 3, 64, 128))
    assert encoding.token_grid == (3, 7)
    assert encoding.tokens.shape == (2, 1 + 21, 32)
    assert [tuple(feature_map.shape[1:]) for feature_map in encoding.maps] == [(8, 16, 32), (16, 8, 16), (24, 4, 8)]
    guided = encoder.guide(encoding, torch.cat([centred_mask(64, 128)] * 2))
    assert guided.tokens.shape == (2, 21, 32)
    assert guided.components is not None
    assert guided.components.shape == (2, 4, 4, 8)


def test_a_budget_can_be_given_for_one_call(encoder: BackboneEncoder) -> None:
    assert encoder.encode(torch.rand(1, 3, 64, 64), 4).token_grid == (2, 2)


def test_only_the_guidance_and_the_stem_are_trained(encoder: BackboneEncoder) -> None:
    trained = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"stages", "guidance"}


def test_the_mask_reaches_the_tokens_and_their_gradient_reaches_the_guidance(encoder: BackboneEncoder) -> None:
    encoding = encoder.encode(torch.rand(1, 3, 128, 128))
    assert encoder.guidance is not None
    with torch.no_grad():
        encoder.guidance.relevance_gain.fill_(0.5)
    guided, unguided = (encoder.guide(encoding, mask) for mask in (centred_mask(128, 128), torch.zeros(1, 1, 128, 128)))
    assert not torch.allclose(guided.tokens, unguided.tokens)
    guided.tokens.square().sum().backward()
    assert encoder.guidance.relevance_gain.grad is not None
    assert encoder.guidance.relevance_gain.grad.abs() > 0
    assert all(parameter.grad is None for parameter in encoder.vit.parameters())


def test_without_gain_and_bias_the_guided_block_is_the_published_one(encoder: BackboneEncoder) -> None:
    encoding = encoder.encode(torch.rand(1, 3, 128, 128))
    plain = encoder.vit.final_norm(encoder.vit.run_last_block(encoding.tokens, encoding.token_grid))
    torch.testing.assert_close(encoder.guide(encoding, centred_mask(128, 128)).tokens, plain[:, 1:])


def test_a_box_gives_what_the_whole_gives_inside_it() -> None:
    from mask2alpha.model.box import Box

    torch.manual_seed(0)
    model = Mask2Alpha(CONFIG).eval()
    with torch.inference_mode():
        encoding = model.encode(torch.rand(1, 3, 256, 256))
        guided = model.guide(encoding, centred_mask(256, 256))
        box = Box(top=64, bottom=192, left=0, right=128, size=(256, 256))
        cut = guided.cut(box)
        assert guided.components is not None
        assert cut.components is not None
        torch.testing.assert_close(cut.components, box.cut(guided.components))
        inside = model.fusion._features_of(2, cut)
        torch.testing.assert_close(inside, box.cut(model.fusion._features_of(2, guided)))


def test_the_whole_network_trains_and_runs() -> None:
    torch.manual_seed(0)
    model = Mask2Alpha(CONFIG).train()
    output = model(torch.rand(1, 3, 64, 64), centred_mask(64, 64), RunOptions(is_sparse=False, error_threshold=0.0))
    output.alpha.mean().backward()
    laterals = model.fusion.token_laterals
    assert set(laterals) == {"2", "3"}
    assert all(parameter.grad is not None for parameter in laterals.parameters())
