import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detail_cases import DENSITIES, SHAPES, assert_close, make_active, make_map, randomise
from mask2alpha.model.fast import sparse
from mask2alpha.model.fast.optimise import put_twins
from mask2alpha.model.fast.sparse import FastSparseResNet, convolve, convolve_narrow, with_zero_row
from mask2alpha.model.stage3_detail.resnet import SparseResNet
from mask2alpha.model.stage3_detail.sparse import ActiveSet, SparseTensor, SubmanifoldConv


def run(conv, rows, **arguments):
    result = convolve(conv, with_zero_row(rows.features), rows.active_set.neighbours, **arguments)
    assert not result[-1].any()
    return rows.replace(result[:-1]).to_dense()


@pytest.mark.parametrize("has_onednn", [True, False])
@torch.no_grad()
def test_wide_convolution_equals_its_dense_twin_with_either_matrix_product(monkeypatch, has_onednn):
    monkeypatch.setattr(sparse, "cpu_has_amx", lambda: False)
    if not has_onednn:
        monkeypatch.setattr(sparse, "ONEDNN_LINEAR", None)
    active = make_active((2, 8, 10), "some")
    x = make_map(active, 3)
    conv = randomise(SubmanifoldConv(3, 2 * sparse.ONEDNN_LEAST_COLUMNS))
    actual = run(conv, SparseTensor.from_dense(x, ActiveSet.from_mask(active)))
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
    rows = SparseTensor.from_dense(x, active_set)
    assert_close(run(conv, rows), conv.forward_dense(x) * active)
    narrow = convolve_narrow(conv, with_zero_row(rows.features), active_set.neighbours)
    assert_close(rows.replace(narrow).to_dense(), conv.forward_dense(x) * active)
    added = run(conv, rows, skip=SparseTensor.from_dense(skip, active_set).features, has_relu=True)
    assert_close(added, (conv.forward_dense(x) + skip).relu() * active)


@torch.no_grad()
def test_chunks_do_not_change_the_result(monkeypatch):
    active = make_active((1, 9, 9), "some")
    tensor = SparseTensor.from_dense(make_map(active, 2), ActiveSet.from_mask(active))
    conv = randomise(SubmanifoldConv(2, 3))
    whole = run(conv, tensor)
    monkeypatch.setattr(sparse, "CHUNK_BYTES_CPU", 200)
    assert torch.allclose(run(conv, tensor), whole, rtol=1e-4, atol=1e-4)


@given(height=st.integers(1, 20), width=st.integers(1, 20), density=st.floats(0, 1), out=st.sampled_from([2, 12]))
@settings(max_examples=15, deadline=None)
def test_the_fast_network_equals_the_plain_one(height, width, density, out):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = SparseResNet(3, (6, 4), out)
    torch.nn.init.normal_(network.head.weight, std=0.1)
    active = torch.rand(2, 1, height, width, generator=generator) < density
    rows = SparseTensor.from_dense(torch.randn(2, 3, height, width, generator=generator), ActiveSet.from_mask(active))
    with torch.no_grad():
        expected = network(rows).features
        with torch.autocast("cpu", torch.bfloat16):
            expected_half = network(rows).features
        put_twins(network)
        assert isinstance(network, FastSparseResNet)
        assert torch.allclose(network(rows).features, expected, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            actual_half = network(rows).features
    assert torch.allclose(actual_half.float(), expected_half.float(), atol=0.05)
