from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mask2alpha.model.config import EncoderConfig
from mask2alpha.model.stage1_encoder.adapter import VitAdapterEncoder
from mask2alpha.model.values import ImageEncoding

ABSOLUTE = EncoderConfig(
    kind="vit_adapter",
    stem_channels=(8,),
    patch_size=14,
    embed_dim=24,
    depth=5,
    num_heads=3,
    positions="absolute",
    position_grid=5,
    has_class_token=True,
    num_register_tokens=2,
    adapter_heads=3,
    adapter_points=2,
)
RELATIVE = replace(
    ABSOLUTE,
    patch_size=16,
    positions="relative",
    num_register_tokens=0,
    has_key_bias=False,
    has_final_norm=False,
)
every_config = pytest.mark.parametrize("config", [ABSOLUTE, RELATIVE], ids=["absolute", "relative"])


def make_encoder(config: EncoderConfig) -> VitAdapterEncoder:
    """Random weights everywhere, also in the layers that start at zero."""
    torch.manual_seed(0)
    encoder = VitAdapterEncoder(config).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        if encoder.guidance is not None:
            encoder.guidance.relevance_gain.fill_(0.5)
    return encoder


def make_masks(count: int, height: int, width: int) -> Tensor:
    masks = torch.zeros(count, 1, height, width)
    for index in range(count):
        masks[index, :, height // 4 :, : width // (index + 2)] = 1
    return masks


def tensors_of(encoding: ImageEncoding) -> Iterator[Tensor]:
    yield encoding.tokens
    yield from encoding.maps


@every_config
@pytest.mark.parametrize("size", [(64, 64), (128, 192), (320, 64)])
@torch.inference_mode()
def test_maps_have_the_promised_strides_and_channels(config: EncoderConfig, size: tuple[int, int]) -> None:
    encoder = make_encoder(config)
    height, width = size
    encoding = encoder.encode(torch.rand(1, 3, height, width))
    pyramid = encoder.guide(encoding, make_masks(1, height, width)).maps
    expected = [
        (1, channels, height // stride, width // stride)
        for channels, stride in zip(encoder.out_channels, (4, 8, 16, 32, 64), strict=True)
    ]
    assert [tuple(x.shape) for x in pyramid] == expected
    assert [tuple(x.shape) for x in encoding.maps] == expected
    assert encoding.size == size
    assert encoding.token_grid == (height // 32, width // 32)
    assert encoding.tokens.shape[1] == (height // 32) * (width // 32) + encoder.vit.num_extra_tokens


@every_config
@torch.inference_mode()
def test_without_injection_the_tokens_are_the_plain_vits(config: EncoderConfig) -> None:
    encoder = make_encoder(config)
    for injector in encoder.injectors:
        injector.gain.zero_()
    image = torch.rand(1, 3, 128, 192)
    half_image, _ = encoder.input(image)
    if config.patch_size == 14:
        half_image = torch.nn.functional.interpolate(half_image, (4 * 14, 6 * 14), mode="bicubic")
    plain = encoder.vit.run_blocks(encoder.vit.embed(half_image), (4, 6), 0, config.depth - 1)
    torch.testing.assert_close(encoder.encode(image).tokens, plain)


@torch.inference_mode()
def test_a_new_encoder_leaves_the_vit_as_published_and_the_mask_unheard() -> None:
    encoder = VitAdapterEncoder(ABSOLUTE).eval()
    encoding = encoder.encode(torch.rand(1, 3, 128, 128))
    masks = make_masks(2, 128, 128)
    for first, second in zip(
        encoder.guide(encoding, masks[:1]).maps, encoder.guide(encoding, masks[1:]).maps, strict=True
    ):
        torch.testing.assert_close(first, second)


@every_config
@torch.inference_mode()
def test_the_mask_changes_every_map_but_the_kept_ones(config: EncoderConfig) -> None:
    encoder = make_encoder(config)
    encoding = encoder.encode(torch.rand(1, 3, 128, 128))
    masks = make_masks(2, 128, 128)
    first, second = encoder.guide(encoding, masks[:1]).maps, encoder.guide(encoding, masks[1:]).maps
    are_equal = [torch.equal(x, y) for x, y in zip(first, second, strict=True)]
    assert are_equal == [True, True, False, False, False]
    assert encoder.num_kept_maps == 2


@every_config
@torch.inference_mode()
def test_guiding_leaves_the_encoding_as_it_was(config: EncoderConfig) -> None:
    encoder = make_encoder(config)
    image = torch.rand(1, 3, 128, 128)
    encoding = encoder.encode(image)
    before = [x.clone() for x in tensors_of(encoding)]
    first = encoder.guide(encoding, make_masks(1, 128, 128)).maps
    assert all(torch.equal(x, y) for x, y in zip(before, tensors_of(encoding), strict=True))
    again = encoder.guide(encoder.encode(image), make_masks(1, 128, 128)).maps
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))


@every_config
@torch.inference_mode()
def test_one_encoding_with_many_masks_equals_separate_runs(config: EncoderConfig) -> None:
    encoder = make_encoder(config)
    image = torch.rand(1, 3, 128, 192)
    masks = make_masks(3, 128, 192)
    together = encoder.guide(encoder.encode(image).select(torch.zeros(3, dtype=torch.int64)), masks).maps
    for index in range(3):
        alone = encoder.guide(encoder.encode(image), masks[index : index + 1]).maps
        for x, y in zip(together, alone, strict=True):
            torch.testing.assert_close(x[index : index + 1], y, rtol=1e-4, atol=1e-5)


@every_config
@torch.inference_mode()
def test_batch_equals_one_by_one(config: EncoderConfig) -> None:
    encoder = make_encoder(config)
    images, masks = torch.rand(3, 3, 128, 192), make_masks(3, 128, 192)
    together = encoder.guide(encoder.encode(images), masks).maps
    for index in range(3):
        one = slice(index, index + 1)
        alone = encoder.guide(encoder.encode(images[one]), masks[one]).maps
        for x, y in zip(together, alone, strict=True):
            torch.testing.assert_close(x[one], y, rtol=1e-4, atol=1e-5)


@every_config
def test_gradients_reach_every_parameter(config: EncoderConfig) -> None:
    encoder = make_encoder(config).train()
    pyramid = encoder.guide(encoder.encode(torch.rand(2, 3, 128, 128)), make_masks(2, 128, 128)).maps
    torch.stack([(x * torch.randn_like(x)).sum() for x in pyramid]).sum().backward()
    silent = [
        name for name, parameter in encoder.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert silent == []
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters() if parameter.grad is not None)


@every_config
def test_trains_under_bfloat16_autocast(config: EncoderConfig) -> None:
    encoder = make_encoder(config).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pyramid = encoder.guide(encoder.encode(torch.rand(2, 3, 128, 128)), make_masks(2, 128, 128)).maps
    assert all(x.isfinite().all() for x in pyramid)
    torch.stack([x.float().square().mean() for x in pyramid]).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in encoder.parameters())


@every_config
@torch.inference_mode()
def test_runs_in_bfloat16(config: EncoderConfig) -> None:
    encoder = make_encoder(config)
    image, masks = torch.rand(1, 3, 128, 192), make_masks(1, 128, 192)
    exact = encoder.guide(encoder.encode(image), masks).maps
    encoder.bfloat16()
    rounded = encoder.guide(encoder.encode(image.bfloat16()), masks.bfloat16()).maps
    for x, y in zip(rounded, exact, strict=True):
        assert x.dtype == torch.bfloat16
        assert (x.float() - y).abs().mean() < 0.1 * y.abs().mean()


@pytest.mark.parametrize("depth", [1, 2, 4, 6, 12])
@torch.inference_mode()
def test_every_depth_runs_all_blocks_once(depth: int) -> None:
    encoder = make_encoder(replace(ABSOLUTE, depth=depth))
    counts = [0] * depth
    for index, block in enumerate(encoder.vit.blocks):
        block.register_forward_hook(lambda *_, index=index: counts.__setitem__(index, counts[index] + 1))
    encoding = encoder.encode(torch.rand(1, 3, 64, 64))
    assert counts == [1] * (depth - 1) + [0]
    encoder.guide(encoding, make_masks(1, 64, 64))
    assert counts == [1] * depth


def test_guidance_can_be_left_out() -> None:
    encoder = make_encoder(replace(ABSOLUTE, has_guidance=False))
    assert not [name for name in encoder.state_dict() if "relevance" in name]
    encoding = encoder.encode(torch.rand(1, 3, 64, 64))
    masks = make_masks(2, 64, 64)
    for first, second in zip(
        encoder.guide(encoding, masks[:1]).maps, encoder.guide(encoding, masks[1:]).maps, strict=True
    ):
        assert torch.equal(first, second)


def test_guiding_costs_a_fraction_of_encoding() -> None:
    config = replace(ABSOLUTE, embed_dim=384, depth=12, num_heads=6, adapter_heads=6, stem_channels=(64,))
    encoder = VitAdapterEncoder(config).eval().to("meta")
    with FlopCounterMode(display=False) as encoding_flops:
        encoding = encoder.encode(torch.empty(1, 3, 1024, 1024, device="meta"))
    encoder.guidance = None  # its regions are no floating-point work
    with FlopCounterMode(display=False) as guiding_flops:
        encoder.guide(encoding, torch.empty(1, 1, 1024, 1024, device="meta"))
    assert guiding_flops.get_total_flops() < 0.2 * encoding_flops.get_total_flops()


@every_config
def test_received_attention_leaves_the_extra_tokens_out(config: EncoderConfig) -> None:
    encoder = make_encoder(config)
    encoding, mask = encoder.encode(torch.rand(1, 3, 64, 128)), make_masks(1, 64, 128)
    with_guidance = encoder.received_attention(encoding, mask)
    assert with_guidance.shape == (1, 2, 4)
    assert 0.3 < with_guidance.sum() < 1  # [CLS] and the registers receive the rest
    plain = encoder.received_attention(encoding, mask, has_guidance=False)
    assert not torch.allclose(with_guidance, plain, rtol=1e-4)
    encoder.guidance = None
    torch.testing.assert_close(encoder.received_attention(encoding, mask), plain)
