from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from detail_cases import make_coarse, make_detail
from mask2alpha.errors import InputError
from mask2alpha.model.fast.optimise import put_twins
from mask2alpha.model.values import CoarseMatte, RunOptions
from mask2alpha.ops.cells import cells_to_pixels
from mask2alpha.ops.resize import upsample


def run(detail, inputs, is_sparse, error_threshold=0.5, active_budget=None):
    options = RunOptions(error_threshold=error_threshold, active_budget=active_budget, is_sparse=is_sparse)
    return detail(*inputs, options)


def interpolate(x, size):
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("selection", ["sgsdr", "shm"])
@pytest.mark.parametrize("active_budget", [None, 100, 1, 0])
def test_sparse_path_equals_the_dense_one(selection, active_budget):
    detail, inputs = make_detail(selection), make_coarse()
    sparse, dense = (run(detail, inputs, is_sparse, active_budget=active_budget) for is_sparse in (True, False))
    assert torch.allclose(sparse.alpha, dense.alpha, atol=1e-5)
    assert torch.equal(sparse.active_cells, dense.active_cells)
    if active_budget is not None:
        assert sparse.active_cells.flatten(1).sum(1).tolist() == [active_budget // 4] * 2


@pytest.mark.parametrize("error_threshold", [0.0, 1.0])
def test_sparse_path_equals_the_dense_one_where_all_or_nothing_is_active(error_threshold):
    detail, inputs = make_detail(), make_coarse()
    sparse, dense = (run(detail, inputs, is_sparse, error_threshold) for is_sparse in (True, False))
    assert bool(sparse.active_cells.all()) == bool(sparse.active_cells.any()) == (error_threshold == 0)
    assert torch.allclose(sparse.alpha, dense.alpha, atol=1e-5)


@given(height=st.integers(1, 10), width=st.integers(1, 10), threshold=st.floats(0, 1), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_sparse_path_equals_the_dense_one_at_any_size(height, width, threshold, seed):
    detail, inputs = make_detail(), make_coarse(1, 4 * height, 4 * width, seed)
    sparse, dense = (run(detail, inputs, is_sparse, threshold) for is_sparse in (True, False))
    assert torch.allclose(sparse.alpha, dense.alpha, atol=1e-5)


@pytest.mark.parametrize("size", [(31, 40), (32, 37), (29, 39), (1, 1)])
def test_sparse_path_equals_the_dense_one_where_cells_reach_beyond_the_picture(size):
    detail, (image, mask, coarse) = make_detail(), make_coarse()
    inputs = (image[..., : size[0], : size[1]], mask[..., : size[0], : size[1]], coarse)
    sparse, dense = (
        detail(*inputs, RunOptions(error_threshold=0.3, is_sparse=is_sparse)) for is_sparse in (True, False)
    )
    put_twins(detail)
    with torch.no_grad():
        alone = detail(*inputs, RunOptions(error_threshold=0.3))
    assert sparse.alpha.shape == (2, 1, *size)
    assert torch.allclose(sparse.alpha, dense.alpha, atol=1e-5)
    assert torch.allclose(alone.alpha, dense.alpha, atol=1e-4)  # one cell is at the threshold, where rounding counts


def test_both_paths_have_the_same_gradients():
    detail, inputs = make_detail(), make_coarse()
    leaves = [inputs[2].alpha_logits, inputs[2].features, *detail.parameters()]
    sparse, dense = (
        torch.autograd.grad(run(detail, inputs, is_sparse).alpha.square().sum(), leaves) for is_sparse in (True, False)
    )
    for one, other in zip(sparse, dense, strict=True):
        assert other.any()
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("is_sparse", [True, False])
def test_no_gradient_reaches_the_predicted_error(is_sparse):
    image, mask, coarse = make_coarse()
    error = coarse.predicted_error.clone().requires_grad_()
    coarse = replace(coarse, predicted_error=error)
    run(make_detail(), (image, mask, coarse), is_sparse).alpha.sum().backward()
    assert error.grad is None


@pytest.mark.parametrize("is_sparse", [True, False])
def test_fresh_module_upsamples_the_coarse_alpha(is_sparse):
    inputs = make_coarse()
    result = run(make_detail(is_fresh=True), inputs, is_sparse)
    assert torch.allclose(result.alpha, interpolate(inputs[2].alpha_logits, (32, 40)).sigmoid(), atol=1e-6)


@pytest.mark.parametrize("is_sparse", [True, False])
def test_inactive_pixels_keep_the_upsampled_alpha(is_sparse):
    inputs = make_coarse()
    result = run(make_detail(), inputs, is_sparse)
    upsampled = upsample(inputs[2].alpha_logits, (32, 40), spanned=(32, 40)).sigmoid()
    active = cells_to_pixels(result.active_cells, (32, 40))
    assert torch.equal(result.alpha[~active], upsampled[~active])
    assert not torch.allclose(result.alpha[active], upsampled[active], atol=1e-2)


def test_no_selection_has_no_parameters_and_upsamples():
    detail, inputs = make_detail("none"), make_coarse()
    result = run(detail, inputs, True)
    assert not list(detail.parameters())
    assert not result.active_cells.any()
    assert torch.equal(result.alpha, upsample(inputs[2].alpha_logits, (32, 40), spanned=(32, 40)).sigmoid())


def test_active_cells_are_those_above_the_threshold_at_their_centre():
    inputs = make_coarse()
    result = run(make_detail(), inputs, True, 0.4)
    assert torch.equal(result.active_cells, interpolate(inputs[2].predicted_error, (16, 20)) > 0.4)


def test_batch_equals_one_by_one():
    detail, (image, mask, coarse) = make_detail(), make_coarse(3)
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
    detail, inputs = make_detail(), make_coarse()
    expected = run(detail, inputs, is_sparse).alpha
    with torch.autocast("cpu", torch.bfloat16):
        actual = run(detail, inputs, is_sparse).alpha
    assert actual.dtype == torch.float32
    assert (actual - expected).abs().max() < 0.1
    actual.sum().backward()
    assert all(parameter.grad is not None for parameter in detail.parameters())


def test_refuses_a_threshold_outside_its_range():
    with pytest.raises(InputError, match="error_threshold"):
        run(make_detail(), make_coarse(), True, error_threshold=2.0)
