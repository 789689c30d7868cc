import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from detail_cases import make_coarse, make_detail
from mask2alpha.model.box import Box, spread
from mask2alpha.model.fast import detail as fast_detail
from mask2alpha.model.fast import resampling
from mask2alpha.model.fast.detail import FastDetailRecovery, rim_weight_sparse, sample_bilinear
from mask2alpha.model.fast.optimise import put_twins
from mask2alpha.model.stage3_detail.select import rim_weight
from mask2alpha.model.stage3_detail.sparse import ActiveSet
from mask2alpha.model.values import CoarseMatte, RunOptions
from mask2alpha.ops.resize import upsample


def make_details(selection="sgsdr", channels=(4, 6)):
    """The plain stage, and its fast twin with the same weights."""
    detail = make_detail(selection, channels=channels)
    fast = copy.deepcopy(detail)
    put_twins(fast)
    assert isinstance(fast, FastDetailRecovery)
    return detail, fast


def interpolate(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("selection", ["sgsdr", "shm"])
@pytest.mark.parametrize("active_budget", [None, 100, 0])
@torch.no_grad()
def test_the_fast_stage_equals_the_plain_one(selection, active_budget):
    (plain, fast), inputs = make_details(selection), make_coarse()
    for is_sparse in (True, False):
        options = RunOptions(error_threshold=0.5, active_budget=active_budget, is_sparse=is_sparse)
        expected, actual = plain(*inputs, options), fast(*inputs, options)
        assert torch.equal(actual.active_cells, expected.active_cells)
        assert torch.allclose(actual.alpha, expected.alpha, atol=1e-5)


@pytest.mark.parametrize("size", [(256, 320), (251, 317), (379, 470)])
@pytest.mark.parametrize("is_fast", [True, False])
@torch.no_grad()
def test_a_box_equals_its_maps_pasted_into_those_of_the_whole_image(size, is_fast):
    plain, fast = make_details()
    detail = fast if is_fast else plain
    box = Box(top=64, bottom=192, left=128, right=256, size=(256, 320))
    image, mask = torch.rand(1, 3, *size), (torch.rand(1, 1, *size) > 0.5).float()
    _, _, part = make_coarse(1, 128, 128)
    spanned = tuple(-(-side // 64) * 64 for side in size)
    boxed = CoarseMatte(
        alpha_logits=part.alpha_logits,
        predicted_error=part.predicted_error,
        features=part.features,
        local_colours=part.local_colours,
        spanned=spanned,
        box=box,
    )
    whole = CoarseMatte(
        alpha_logits=spread(part.alpha_logits, box, outside=-20.0),
        predicted_error=spread(part.predicted_error, box, outside=0.0),
        features=spread(part.features, box, outside=0.0),
        local_colours=spread(part.local_colours, box, outside=0.0),
        spanned=spanned,
    )
    options = RunOptions(error_threshold=0.3)
    actual, expected = detail(image, mask, boxed, options), detail(image, mask, whole, options)
    assert torch.equal(actual.active_cells, expected.active_cells)
    assert actual.active_cells.any()
    assert torch.allclose(actual.alpha, expected.alpha, atol=1e-5)
    assert torch.allclose(actual.predicted_error, expected.predicted_error, atol=1e-6)


@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    full=st.tuples(st.integers(1, 33), st.integers(1, 33)),
)
@settings(max_examples=40, deadline=None)
def test_bilinear_samples_equal_interpolate(size, full):
    feature_map = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    active = torch.rand(2, 1, *full, generator=torch.Generator().manual_seed(1)) > 0.3
    expected = interpolate(feature_map, full).permute(0, 2, 3, 1)[active[:, 0]]
    places = ActiveSet.from_mask(active).coordinates
    assert torch.allclose(sample_bilinear(feature_map, places, full), expected, atol=1e-5)


@pytest.mark.parametrize("selection", ["sgsdr", "shm"])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9])
@torch.no_grad()
def test_windows_equal_the_whole(monkeypatch, selection, threshold):
    plain, detail = make_details(selection, (6, 4))
    image, mask, coarse = make_coarse(2, 132, 148)
    # the photograph is the upper left of what the coarse maps span; its sides are odd
    inputs = (image[..., :131, :143], mask[..., :131, :143], coarse)
    options = RunOptions(error_threshold=threshold, active_budget=9000)
    whole = detail(*inputs, options)
    monkeypatch.setattr(fast_detail, "WINDOW_SIDE", 20)
    windowed = detail(*inputs, options)
    assert torch.equal(windowed.active_cells, whole.active_cells)
    assert (windowed.alpha - whole.alpha).abs().max() < 1e-5
    dense = plain(*inputs, replace(options, is_sparse=False))
    assert (dense.alpha - whole.alpha).abs().max() < 1e-5


@pytest.mark.parametrize("rows", [slice(0, 131), slice(50, 51), slice(37, 90)])
@pytest.mark.parametrize("columns", [slice(0, 20), slice(61, 143)])
@torch.no_grad()
def test_a_region_equals_that_part_of_the_whole(monkeypatch, rows, columns):
    image, mask, coarse = make_coarse(2, 132, 148)
    inputs = (image[..., :131, :143], mask[..., :131, :143], coarse)
    options = RunOptions(error_threshold=0.3)
    far = slice(100, 143) if columns.start == 0 else slice(0, 20)
    for detail, method in zip(make_details(), (upsample, resampling.upsample), strict=True):
        whole = detail(*inputs, options)
        monkeypatch.setattr(fast_detail, "WINDOW_SIDE", 20)
        part = detail(*inputs, replace(options, region=(rows, columns)))
        assert torch.equal(part.active_cells, whole.active_cells)
        assert (part.alpha - whole.alpha)[..., rows, columns].abs().max() < 1e-5
        upsampled = method(coarse.alpha_logits, (131, 143), spanned=(132, 148)).sigmoid()
        assert torch.equal(part.alpha[..., far], upsampled[..., far])


@torch.no_grad()
def test_bytes_equal_the_floats_they_stand_for():
    details, (_, mask, coarse) = make_details(), make_coarse()
    pixels = torch.randint(0, 256, (2, 3, 32, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for given_mask in (mask.bool(), (255 * mask).to(torch.uint8)):
        for image in (pixels, pixels.contiguous(memory_format=torch.channels_last)):
            for detail in details:
                expected = detail(pixels.float() / 255, mask, coarse, RunOptions(error_threshold=0.5)).alpha
                actual = detail(image, given_mask, coarse, RunOptions(error_threshold=0.5)).alpha
                assert torch.allclose(actual, expected, atol=1e-6)


@given(height=st.integers(1, 12), width=st.integers(1, 12), density=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_sparse_rim_weight_equals_the_dense_one(height, width, density):
    active = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(0)) < density
    presence = torch.rand(active.shape) * active
    expected = rim_weight(presence)[active]
    assert torch.allclose(rim_weight_sparse(ActiveSet.from_mask(active), presence[active]), expected, atol=1e-5)
