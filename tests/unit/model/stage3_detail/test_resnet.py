import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mask2alpha.model.stage3_detail.resnet import SparseResNet
from mask2alpha.model.stage3_detail.sparse import ActiveSet


def make_network(channels=(4, 6), in_channels=3):
    torch.manual_seed(0)
    network = SparseResNet(in_channels, channels, 2)
    torch.nn.init.normal_(network.head.weight, std=0.1)
    return network


def make_input(shape, density, seed=0):
    generator = torch.Generator().manual_seed(seed)
    batch, height, width = shape
    active = torch.rand(batch, 1, height, width, generator=generator) < density
    return torch.randn(batch, 3, height, width, generator=generator), active


def run_sparse(network, x, active):
    active_set = ActiveSet.from_mask(active)
    return active_set.scatter(network(active_set.gather(x), active_set.neighbours))


@pytest.mark.parametrize("channels", [(4, 6), (6, 4)])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_sparse_network_equals_its_dense_twin(channels, density):
    network = make_network(channels)
    x, active = make_input((2, 12, 15), density)
    assert torch.allclose(run_sparse(network, x, active), network.forward_dense(x, active), atol=1e-5)


@given(height=st.integers(1, 20), width=st.integers(1, 20), density=st.floats(0, 1), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_sparse_network_equals_its_dense_twin_at_any_size(height, width, density, seed):
    network = make_network()
    x, active = make_input((1, height, width), density, seed)
    assert torch.allclose(run_sparse(network, x, active), network.forward_dense(x, active), atol=1e-5)


def test_both_paths_have_the_same_gradients():
    network = make_network((6, 5))
    x, active = make_input((2, 9, 10), 0.4)
    x.requires_grad_()
    inputs = [x, *network.parameters()]
    weight = torch.randn(2, 1, 9, 10)
    sparse = torch.autograd.grad((run_sparse(network, x, active) * weight).sum(), inputs)
    dense = torch.autograd.grad((network.forward_dense(x, active) * weight).sum(), inputs)
    for one, other in zip(sparse, dense, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_what_lies_outside_the_active_set_does_not_matter():
    network = make_network()
    x, active = make_input((1, 8, 8), 0.4)
    assert torch.equal(network.forward_dense(x, active), network.forward_dense(torch.where(active, x, 1e3), active))


def test_fresh_network_returns_zero():
    network = SparseResNet(3, (4, 6), 2)
    x, active = make_input((1, 8, 8), 0.5)
    assert not run_sparse(network, x, active).any()
    assert not network.forward_dense(x, active).any()


def test_dense_twin_is_the_same_in_the_channels_last_format():
    network = make_network()
    x, active = make_input((2, 8, 8), 0.5)
    expected = network.forward_dense(x, active)
    network.to(memory_format=torch.channels_last)
    actual = network.forward_dense(x.contiguous(memory_format=torch.channels_last), active)
    assert torch.allclose(actual, expected, atol=1e-5)
