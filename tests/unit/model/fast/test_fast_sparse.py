import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detail_cases import DENSITIES, SHAPES, assert_close, make_active, make_map, randomise
from mask2alpha.model.fast import sparse
from mask2alpha.model.fast.optimise import put_twins
from mask2alpha.model.fast.sparse import FastSparseResNet, convolve, convolve_narrow, with_zero_row
from mask2alpha.model.stage3_detail.resnet import SparseResNet
from mask2alpha.model.stage3_detail.sparse import ActiveSet, SubmanifoldConv


def run(conv, x, active_set, **arguments):
    result = convolve(conv, with_zero_row(active_set.gather(x)), active_set.neighbours, **arguments)
    assert not result[-1].any()
    return active_set.scatter(result[:-1])


@pytest.mark.parametrize("has_onednn", [True, False])
@torch.no_grad()
def test_wide_convolution_equals_its_dense_twin_with_either_matrix_product(monkeypatch, has_onednn):
    monkeypatch.setattr(sparse, "cpu_has_amx", lambda: False)
    if not has_onednn:
        monkeypatch.setattr(sparse, "ONEDNN_LINEAR", None)
    active = make_active((2, 8, 10), "some")
    x = make_map(active, 3)
    conv = randomise(SubmanifoldConv(3, 2 * sparse.ONEDNN_LEAST_COLUMNS))
    actual = run(conv, x, ActiveSet.from_mask(active))
    assert_close(actual, conv.forward_dense(x) * active)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("channels", [2, sparse.NARROW, sparse.NARROW + 1])
@torch.no_grad()
def test_convolution_without_gradient_equals_its_dense_twin(shape, density, channels):
    active = make_active(shape, density)
    x, skip = make_map(active, 3), make_map(active, channels, seed=3)
    conv = randomise(SubmanifoldConv(3, channels))
    active_set = ActiveSet.from_mask(active)
    assert_close(run(conv, x, active_set), conv.forward_dense(x) * active)
    narrow = convolve_narrow(conv, with_zero_row(active_set.gather(x)), active_set.neighbours)
    assert_close(active_set.scatter(narrow), conv.forward_dense(x) * active)
    presence = torch.rand(active.shape) * active
    added = run(conv, x, active_set, skip=active_set.gather(skip), presence=active_set.gather(presence))
    assert_close(added, (conv.forward_dense(x) + skip).relu() * presence)


@torch.no_grad()
def test_chunks_do_not_change_the_result(monkeypatch):
    active = make_active((1, 9, 9), "some")
    x, active_set = make_map(active, 2), ActiveSet.from_mask(active)
    conv = randomise(SubmanifoldConv(2, 3))
    whole = run(conv, x, active_set)
    monkeypatch.setattr(sparse, "CHUNK_BYTES_CPU", 200)
    assert torch.allclose(run(conv, x, active_set), whole, rtol=1e-4, atol=1e-4)


@given(height=st.integers(1, 20), width=st.integers(1, 20), density=st.floats(0, 1), out=st.sampled_from([2, 12]))
@settings(max_examples=15, deadline=None)
def test_the_fast_network_equals_the_plain_one(height, width, density, out):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = SparseResNet(3, (6, 4), out)
    torch.nn.init.normal_(network.head.weight, std=0.1)
    active = torch.rand(2, 1, height, width, generator=generator) < density
    active_set = ActiveSet.from_mask(active)
    rows = active_set.gather(torch.randn(2, 3, height, width, generator=generator))
    given_rows = rows, active_set.neighbours, torch.rand(len(active_set), 1, generator=generator)
    with torch.no_grad():
        expected = network(*given_rows)
        with torch.autocast("cpu", torch.bfloat16):
            expected_half = network(*given_rows)
        put_twins(network)
        assert isinstance(network, FastSparseResNet)
        assert torch.allclose(network(*given_rows), expected, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            actual_half = network(*given_rows)
    assert torch.allclose(actual_half.float(), expected_half.float(), atol=0.05)
