import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mask2alpha.model.config import PRESETS
from mask2alpha.model.layers import Attention
from mask2alpha.model.stage1_encoder.conv_stem import ConvStemEncoder
from mask2alpha.model.stage1_encoder.guidance import RELEVANCE, MaskGuidance, Region, find_regions


def scores_by_the_paper(
    attention: Attention, x: torch.Tensor, region_relevance: torch.Tensor, gain: float, bias: float
) -> torch.Tensor:
    """softmax((S + Q K^T) / sqrt(C)) V with S = (beta R + r) * (Q K^T), R per key; extra token 0 left alone."""
    batch, tokens, dim = x.shape
    heads = attention.num_heads
    size = dim // heads
    query, key, value = (
        layer(x).view(batch, tokens, heads, size).transpose(1, 2)
        for layer in (attention.query, attention.key, attention.value)
    )
    products = query @ key.transpose(2, 3)
    guided = torch.zeros_like(products)
    guided[..., 1:] = (gain * region_relevance + bias)[:, None, None, :] * products[..., 1:]
    weights = ((guided + products) / math.sqrt(size)).softmax(dim=-1)
    return attention.projection((weights @ value).transpose(1, 2).reshape(batch, tokens, dim))


@settings(deadline=None, max_examples=20)
@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(0, 1000))
def test_key_scaling_equals_the_s_matrix_formula(gain: float, bias: float, seed: int) -> None:
    torch.manual_seed(seed)
    attention = Attention(16, 2).double()
    guidance = MaskGuidance().double()
    torch.nn.init.constant_(guidance.relevance_gain, gain)
    torch.nn.init.constant_(guidance.relevance_bias, bias)
    mask = (torch.rand(2, 1, 48, 48) > 0.5).double()
    grid = (3, 3)
    x = torch.randn(2, 1 + 9, 16, dtype=torch.float64)
    key_scale = guidance(mask, grid, num_extra_tokens=1)
    region_relevance = torch.tensor(RELEVANCE, dtype=torch.float64)[find_regions(mask.float(), grid)].flatten(1)
    expected = scores_by_the_paper(attention, x, region_relevance, gain, bias)
    torch.testing.assert_close(attention(x, key_scale=key_scale), expected, rtol=1e-12, atol=1e-12)


def test_new_guidance_leaves_the_encoder_as_the_plain_one() -> None:
    torch.manual_seed(0)
    encoder = ConvStemEncoder(PRESETS["tiny"].encoder).eval()
    image, mask = torch.rand(1, 3, 128, 128), torch.zeros(1, 1, 128, 128)
    mask[..., 30:90, 40:100] = 1
    encoding = encoder.encode(image)
    guided = encoder.guide(encoding, mask).maps
    encoder.guidance = None
    plain = encoder.guide(encoding, mask).maps
    for one, other in zip(guided, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_trained_guidance_makes_the_features_depend_on_the_mask() -> None:
    torch.manual_seed(0)
    encoder = ConvStemEncoder(PRESETS["tiny"].encoder).eval()
    assert encoder.guidance is not None
    torch.nn.init.constant_(encoder.guidance.relevance_gain, 1.0)
    encoding = encoder.encode(torch.rand(1, 3, 256, 256))
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., :128] = 1
    one, other = encoder.guide(encoding, mask).maps[-1], encoder.guide(encoding, 1 - mask).maps[-1]
    assert not torch.allclose(one, other, atol=1e-4)


def test_regions_of_a_large_square() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:56, 16:56] = 1  # tokens of 8 px: rows and columns 2..6 are covered
    regions = find_regions(mask, (8, 8))[0]
    assert regions[4, 4] == Region.FOREGROUND
    assert regions[2, 4] == Region.EDGE  # covered, but erosion by a token takes it
    assert regions[1, 4] == Region.EDGE  # uncovered, but dilation by a token takes it
    assert regions[0, 4] == Region.BACKGROUND
    assert (regions == Region.FOREGROUND).sum() == 9


@pytest.mark.parametrize(("value", "region"), [(0.0, Region.BACKGROUND), (1.0, Region.FOREGROUND)])
def test_empty_and_full_masks_have_no_edge(value: float, region: Region) -> None:
    assert (find_regions(torch.full((1, 1, 96, 64), value), (3, 2)) == region).all()


def test_extra_tokens_keep_their_keys() -> None:
    guidance = MaskGuidance()
    torch.nn.init.constant_(guidance.relevance_gain, 0.5)
    key_scale = guidance(torch.ones(1, 1, 64, 64), (2, 2), num_extra_tokens=3)
    assert key_scale[0].tolist() == [1, 1, 1, 2, 2, 2, 2]


def test_received_attention_equals_the_mean_of_the_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    attention = Attention(16, 2).double()
    x = torch.randn(2, 1 + 12, 16, dtype=torch.float64)
    key_scale, bias = 1 + torch.rand(2, 13, dtype=torch.float64), torch.randn(1, 2, 13, 13, dtype=torch.float64)
    shape = (2, 13, 2, 8)
    query = attention.query(x).view(shape).transpose(1, 2)
    key = (attention.key(x) * key_scale[..., None]).view(shape).transpose(1, 2)
    weights = (query @ key.transpose(2, 3) / math.sqrt(8) + bias).softmax(dim=-1)  # (B, heads, looking, received)
    expected = weights[:, :, 1:].mean(dim=(1, 2))  # the extra token's own looks do not count
    monkeypatch.setattr("mask2alpha.model.layers.QUERIES_AT_ONCE", 5)
    received = attention.received(x, position_bias=bias, key_scale=key_scale, num_extra_tokens=1)
    torch.testing.assert_close(received, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(received.sum(dim=1), torch.ones(2, dtype=torch.float64))


def test_received_attention_is_what_moves_the_attended_values() -> None:
    # With values that count one token, the mean of what is attended is the attention that the token receives.
    torch.manual_seed(0)
    attention = Attention(8, 1).double()
    x = torch.randn(1, 6, 8, dtype=torch.float64)
    x[..., 0] = torch.eye(6, dtype=torch.float64)[2]
    first = torch.zeros(8, 8, dtype=torch.float64)
    first[0, 0] = 1
    with torch.no_grad():
        for layer in (attention.value, attention.projection):
            layer.weight.copy_(first)
            layer.bias.zero_()
    attended = attention(x)[0, :, 0].mean()
    torch.testing.assert_close(attention.received(x)[0, 2], attended.detach())


def test_guidance_turns_the_attention_of_the_small_encoder() -> None:
    torch.manual_seed(0)
    encoder = ConvStemEncoder(PRESETS["tiny"].encoder).eval()
    assert encoder.guidance is not None
    encoding = encoder.encode(torch.rand(1, 3, 192, 256))
    mask = torch.zeros(1, 1, 192, 256)
    mask[..., :128] = 1
    plain = encoder.received_attention(encoding, mask, has_guidance=False)
    assert plain.shape == (1, 6, 8)
    assert plain.sum().item() == pytest.approx(1, rel=1e-5)
    torch.testing.assert_close(encoder.received_attention(encoding, mask), plain)  # gain and bias are 0 at the start
    torch.nn.init.constant_(encoder.guidance.relevance_gain, 1.0)
    assert not torch.allclose(encoder.received_attention(encoding, mask), plain, rtol=1e-3)
    torch.testing.assert_close(encoder.received_attention(encoding, mask, has_guidance=False), plain)
    encoder.guidance = None
    torch.testing.assert_close(encoder.received_attention(encoding, mask), plain)
