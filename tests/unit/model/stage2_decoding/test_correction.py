from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mask2alpha.errors import InputError
from mask2alpha.model.box import Box
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.stage2_decoding.correction import LARGEST_REACH, correct_mask, find_contradictions
from mask2alpha.model.stage2_decoding.refine import refine, start_coarse
from mask2alpha.model.values import CoarseMatte, RunOptions


def square(top: int, bottom: int, left: int, right: int, size: int = 64) -> Tensor:
    x = torch.zeros(1, 1, size, size)
    x[:, :, top:bottom, left:right] = 1
    return x


def coarse_of(alpha: Tensor, box: Box | None = None) -> CoarseMatte:
    zeros = torch.zeros_like(alpha)
    return CoarseMatte(
        alpha_logits=torch.logit(alpha, eps=1e-4),
        predicted_error=zeros,
        features=zeros,
        local_colours=zeros.repeat(1, 6, 1, 1),
        box=box,
    )


def enlarge(x: Tensor) -> Tensor:
    return x.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)


def test_a_matte_that_agrees_corrects_nothing() -> None:
    target = square(10, 40, 10, 40)
    assert correct_mask(enlarge(target), coarse_of(target)) is None


@pytest.mark.parametrize("grown", [2, 1, -1, -2])
def test_a_contradiction_along_the_border_corrects_nothing(grown: int) -> None:
    alpha = square(10 - grown, 40 + grown, 10 - grown, 40 + grown)
    assert correct_mask(enlarge(square(10, 40, 10, 40)), coarse_of(alpha)) is None


def test_a_missing_part_takes_the_alpha_of_the_matte_and_the_rest_stays() -> None:
    mask = enlarge(square(10, 40, 10, 30))
    alpha = square(10, 40, 10, 40) * 0.9
    corrected = correct_mask(mask, coarse_of(alpha))
    assert corrected is not None
    assert torch.allclose(corrected[..., 60:140, 132:148], torch.full((80, 16), 0.9), atol=1e-3)
    assert torch.equal(corrected[..., :112], mask[..., :112])  # the mask's own 1 and 0, not the matte's 0.9


def test_background_that_the_mask_covers_is_taken_out() -> None:
    corrected = correct_mask(enlarge(square(10, 40, 10, 50)), coarse_of(square(10, 40, 10, 30)))
    assert corrected is not None
    assert corrected[..., 60:140, 140:180].max() < 1e-3


def test_thin_contradictions_beside_a_deep_one_are_corrected_too_within_reach() -> None:
    masked = square(30, 34, 0, 128, size=128) > 0.5
    missed = square(20, 30, 0, 4, size=128) + square(34, 35, 0, 128, size=128)
    target = masked | (missed > 0.5)
    found = find_contradictions(masked, target)
    assert not found[0, 0, 34, LARGEST_REACH + 8 :].any()  # a line of one pixel along the border, too far away
    assert found[0, 0, 20:30, 0:4].all()


def test_maps_of_a_box_correct_the_mask_of_the_whole_image() -> None:
    box = Box(top=64, bottom=192, left=64, right=192, size=(256, 256))
    target = square(20, 44, 20, 44)
    corrected = correct_mask(enlarge(square(20, 44, 20, 30)), coarse_of(box.cut(enlarge(target))[..., ::4, ::4], box))
    assert corrected is not None
    assert corrected[..., 90:160, 140:170].min() > 0.99
    assert corrected[..., :64].max() == 0


def test_the_network_decodes_with_the_corrected_mask_and_the_features_of_the_given_one() -> None:
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS["tiny_backbone"]).eval()
    image, mask = torch.rand(1, 3, 256, 256), enlarge(square(10, 40, 10, 40))
    with torch.no_grad():
        features = model.guide(model.encode(image), mask)
        fused = model.fuse(features, mask)
        corrected = correct_mask(mask, model.step(fused, start_coarse(fused)))
        assert corrected is not None  # random weights contradict the mask
        expected = refine(model.step, model.fuse(features, corrected), RunOptions().filled(model.config))
        found = model(image, mask, RunOptions(num_corrections=1)).coarse
        plain = model(image, mask, RunOptions(num_corrections=0)).coarse
    assert torch.equal(found.alpha_logits, expected.alpha_logits)
    assert not torch.equal(found.alpha_logits, plain.alpha_logits)


def test_an_option_left_open_takes_the_value_of_the_model() -> None:
    config = PRESETS["tiny"]
    config = replace(config, decoder=replace(config.decoder, num_corrections=2))
    assert RunOptions().filled(config).num_corrections == 2
    assert RunOptions(num_corrections=0).filled(config).num_corrections == 0
    with pytest.raises(InputError, match="num_corrections"):
        RunOptions(num_corrections=-1)


def test_a_rebuilt_mask_is_the_hard_matte_of_the_first_step() -> None:
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS["tiny"]).eval()
    image, mask = torch.rand(1, 3, 128, 128), enlarge(square(8, 20, 8, 20, size=32))
    plain, rebuilt = (
        model(image, mask, RunOptions(num_corrections=0, num_steps=2, has_trace=True, rebuilds_mask=flag)).coarse
        for flag in (False, True)
    )
    first = torch.nn.functional.interpolate(plain.trace[0].alpha, scale_factor=4, mode="bilinear") > 0.5
    torch.testing.assert_close(
        rebuilt.trace[0].before.mixed_matte, torch.nn.functional.avg_pool2d(first.float(), 4), rtol=0, atol=1e-6
    )
    assert not torch.equal(rebuilt.alpha_logits, plain.alpha_logits)
