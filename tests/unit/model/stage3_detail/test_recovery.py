from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mask2alpha.errors import InputError
from mask2alpha.model.config import DetailConfig
from mask2alpha.model.outputs import CoarseMatte
from mask2alpha.model.stage3_detail import recovery
from mask2alpha.model.stage3_detail.active import rim_weight
from mask2alpha.model.stage3_detail.recovery import DetailRecovery, rim_weight_sparse, sample_bilinear
from mask2alpha.model.stage3_detail.sparse import ActiveSet
from mask2alpha.ops.cells import cells_to_pixels
from mask2alpha.ops.resize import upsample

FUSED_CHANNELS = 6


def make_detail(selection="sgsdr", is_fresh=False):
    torch.manual_seed(0)
    detail = DetailRecovery(DetailConfig(selection=selection, channels=(4, 6), feature_channels=3), FUSED_CHANNELS)
    if not is_fresh and selection != "none":
        torch.nn.init.normal_(detail.network.head.weight, std=0.5)
    return detail


def make_input(batch=2, height=32, width=40, seed=1):
    generator = torch.Generator().manual_seed(seed)

    def random(channels, stride):
        return torch.rand(batch, channels, height // stride, width // stride, generator=generator)

    logits = (8 * random(1, 4) - 4).requires_grad_()
    features = random(FUSED_CHANNELS, 4).requires_grad_()
    coarse = CoarseMatte(
        alpha_logits=logits, predicted_error=random(1, 4), features=features, local_colours=random(6, 4)
    )
    return random(3, 1), (random(1, 1) > 0.5).float(), coarse


def run(detail, inputs, is_sparse, error_threshold=0.5, active_budget=None):
    return detail(*inputs, error_threshold=error_threshold, active_budget=active_budget, is_sparse=is_sparse)


def interpolate(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("selection", ["sgsdr", "shm"])
@pytest.mark.parametrize("active_budget", [None, 100, 1, 0])
def test_sparse_path_equals_the_dense_one(selection, active_budget):
    detail, inputs = make_detail(selection), make_input()
    sparse, dense = (run(detail, inputs, is_sparse, active_budget=active_budget) for is_sparse in (True, False))
    assert torch.allclose(sparse.alpha, dense.alpha, atol=1e-5)
    assert torch.equal(sparse.active_cells, dense.active_cells)
    if active_budget is not None:
        assert sparse.active_cells.flatten(1).sum(1).tolist() == [active_budget // 4] * 2


@pytest.mark.parametrize("error_threshold", [0.0, 1.0])
def test_sparse_path_equals_the_dense_one_where_all_or_nothing_is_active(error_threshold):
    detail, inputs = make_detail(), make_input()
    sparse, dense = (run(detail, inputs, is_sparse, error_threshold) for is_sparse in (True, False))
    assert bool(sparse.active_cells.all()) == bool(sparse.active_cells.any()) == (error_threshold == 0)
    assert torch.allclose(sparse.alpha, dense.alpha, atol=1e-5)


@given(height=st.integers(1, 10), width=st.integers(1, 10), threshold=st.floats(0, 1), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_sparse_path_equals_the_dense_one_at_any_size(height, width, threshold, seed):
    detail, inputs = make_detail(), make_input(1, 4 * height, 4 * width, seed)
    sparse, dense = (run(detail, inputs, is_sparse, threshold) for is_sparse in (True, False))
    assert torch.allclose(sparse.alpha, dense.alpha, atol=1e-5)


@pytest.mark.parametrize("size", [(31, 40), (32, 37), (29, 39), (1, 1)])
def test_sparse_path_equals_the_dense_one_where_cells_reach_beyond_the_picture(size):
    detail, (image, mask, coarse) = make_detail(), make_input()
    inputs = (image[..., : size[0], : size[1]], mask[..., : size[0], : size[1]], coarse)
    sparse, dense = (
        detail(*inputs, error_threshold=0.3, active_budget=None, is_sparse=is_sparse, padded_size=(32, 40))
        for is_sparse in (True, False)
    )
    with torch.no_grad():
        alone = detail(*inputs, error_threshold=0.3, active_budget=None, is_sparse=True, padded_size=(32, 40))
    assert sparse.alpha.shape == (2, 1, *size)
    assert torch.allclose(sparse.alpha, dense.alpha, atol=1e-5)
    assert torch.allclose(alone.alpha, dense.alpha, atol=1e-5)


def test_both_paths_have_the_same_gradients():
    detail, inputs = make_detail(), make_input()
    leaves = [inputs[2].alpha_logits, inputs[2].features, *detail.parameters()]
    sparse, dense = (
        torch.autograd.grad(run(detail, inputs, is_sparse).alpha.square().sum(), leaves) for is_sparse in (True, False)
    )
    for one, other in zip(sparse, dense, strict=True):
        assert other.any()
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("is_sparse", [True, False])
def test_no_gradient_reaches_the_predicted_error(is_sparse):
    image, mask, coarse = make_input()
    error = coarse.predicted_error.clone().requires_grad_()
    coarse = replace(coarse, predicted_error=error)
    run(make_detail(), (image, mask, coarse), is_sparse).alpha.sum().backward()
    assert error.grad is None


@pytest.mark.parametrize("is_sparse", [True, False])
def test_fresh_module_upsamples_the_coarse_alpha(is_sparse):
    inputs = make_input()
    result = run(make_detail(is_fresh=True), inputs, is_sparse)
    assert torch.allclose(result.alpha, interpolate(inputs[2].alpha_logits, (32, 40)).sigmoid(), atol=1e-6)


@pytest.mark.parametrize("is_sparse", [True, False])
def test_inactive_pixels_keep_the_upsampled_alpha(is_sparse):
    inputs = make_input()
    result = run(make_detail(), inputs, is_sparse)
    upsampled = interpolate(inputs[2].alpha_logits, (32, 40)).sigmoid()
    active = cells_to_pixels(result.active_cells, (32, 40))
    assert torch.equal(result.alpha[~active], upsampled[~active])
    assert not torch.allclose(result.alpha[active], upsampled[active], atol=1e-2)


def test_no_selection_has_no_parameters_and_upsamples():
    detail, inputs = make_detail("none"), make_input()
    result = run(detail, inputs, True)
    assert not list(detail.parameters())
    assert not result.active_cells.any()
    assert torch.equal(result.alpha, interpolate(inputs[2].alpha_logits, (32, 40)).sigmoid())


def test_active_cells_are_those_above_the_threshold_at_their_centre():
    inputs = make_input()
    result = run(make_detail(), inputs, True, 0.4)
    assert torch.equal(result.active_cells, interpolate(inputs[2].predicted_error, (16, 20)) > 0.4)


def test_batch_equals_one_by_one():
    detail, (image, mask, coarse) = make_detail(), make_input(3)
    together = run(detail, (image, mask, coarse), True, active_budget=300).alpha
    for picture in range(3):
        part = slice(picture, picture + 1)
        alone = CoarseMatte(
            alpha_logits=coarse.alpha_logits[part],
            predicted_error=coarse.predicted_error[part],
            features=coarse.features[part],
            local_colours=coarse.local_colours[part],
        )
        result = run(detail, (image[part], mask[part], alone), True, active_budget=300)
        assert torch.allclose(together[part], result.alpha, atol=1e-5)


@pytest.mark.parametrize("is_sparse", [True, False])
def test_autocast_returns_float32_near_the_exact_result(is_sparse):
    detail, inputs = make_detail(), make_input()
    expected = run(detail, inputs, is_sparse).alpha
    with torch.autocast("cpu", torch.bfloat16):
        actual = run(detail, inputs, is_sparse).alpha
    assert actual.dtype == torch.float32
    assert (actual - expected).abs().max() < 0.1
    actual.sum().backward()
    assert all(parameter.grad is not None for parameter in detail.parameters())


def test_refuses_a_threshold_outside_its_range():
    with pytest.raises(InputError, match="error_threshold"):
        run(make_detail(), make_input(), True, error_threshold=2.0)


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
    torch.manual_seed(0)
    detail = DetailRecovery(DetailConfig(selection=selection, channels=(6, 4), feature_channels=3), FUSED_CHANNELS)
    torch.nn.init.normal_(detail.network.head.weight, std=0.5)
    image, mask, coarse = make_input(2, 132, 148)
    # the photograph is the upper left of what the coarse maps span; its sides are odd
    inputs = (image[..., :131, :143], mask[..., :131, :143], coarse)
    whole = detail(*inputs, error_threshold=threshold, active_budget=9000, is_sparse=True, padded_size=(132, 148))
    monkeypatch.setattr(recovery, "WINDOW_SIDE", 20)
    windowed = detail(*inputs, error_threshold=threshold, active_budget=9000, is_sparse=True, padded_size=(132, 148))
    assert torch.equal(windowed.active_cells, whole.active_cells)
    assert (windowed.alpha - whole.alpha).abs().max() < 1e-5
    dense = detail(*inputs, error_threshold=threshold, active_budget=9000, is_sparse=False, padded_size=(132, 148))
    assert (dense.alpha - whole.alpha).abs().max() < 1e-5


@pytest.mark.parametrize("rows", [slice(0, 131), slice(50, 51), slice(37, 90)])
@pytest.mark.parametrize("columns", [slice(0, 20), slice(61, 143)])
@torch.no_grad()
def test_a_region_equals_that_part_of_the_whole(monkeypatch, rows, columns):
    detail = make_detail()
    image, mask, coarse = make_input(2, 132, 148)
    inputs = (image[..., :131, :143], mask[..., :131, :143], coarse)
    settings = {"error_threshold": 0.3, "active_budget": None, "is_sparse": True, "padded_size": (132, 148)}
    whole = detail(*inputs, **settings)
    monkeypatch.setattr(recovery, "WINDOW_SIDE", 20)
    part = detail(*inputs, **settings, region=(rows, columns))
    assert torch.equal(part.active_cells, whole.active_cells)
    assert (part.alpha - whole.alpha)[..., rows, columns].abs().max() < 1e-5
    far = slice(100, 143) if columns.start == 0 else slice(0, 20)
    upsampled = upsample(coarse.alpha_logits, (131, 143), spanned=(132, 148)).sigmoid()
    assert torch.equal(part.alpha[..., far], upsampled[..., far])


@torch.no_grad()
def test_bytes_equal_the_floats_they_stand_for():
    detail, (_, mask, coarse) = make_detail(), make_input()
    pixels = torch.randint(0, 256, (2, 3, 32, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for given_mask in (mask.bool(), (255 * mask).to(torch.uint8)):
        for image in (pixels, pixels.contiguous(memory_format=torch.channels_last)):
            expected = run(detail, (pixels.float() / 255, mask, coarse), True).alpha
            assert torch.allclose(run(detail, (image, given_mask, coarse), True).alpha, expected, atol=1e-6)


@given(height=st.integers(1, 12), width=st.integers(1, 12), density=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_sparse_rim_weight_equals_the_dense_one(height, width, density):
    active = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(0)) < density
    expected = rim_weight(active)[active]
    assert torch.allclose(rim_weight_sparse(ActiveSet.from_mask(active)), expected, atol=1e-5)
