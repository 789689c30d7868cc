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
    presence = torch.rand(batch, 1, height, width, generator=generator)
    presence = (2 * presence).clamp(max=1) * (torch.rand(presence.shape, generator=generator) < density)
    return torch.randn(batch, 3, height, width, generator=generator), presence


def run_sparse(network, x, presence):
    active_set = ActiveSet.from_mask(presence > 0)
    return active_set.scatter(network(active_set.gather(x), active_set.neighbours, active_set.gather(presence)))


@pytest.mark.parametrize("channels", [(4, 6), (6, 4)])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_sparse_network_equals_its_dense_twin(channels, density):
    network = make_network(channels)
    x, presence = make_input((2, 12, 15), density)
    assert torch.allclose(run_sparse(network, x, presence), network.forward_dense(x, presence), atol=1e-5)


@given(height=st.integers(1, 20), width=st.integers(1, 20), density=st.floats(0, 1), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_sparse_network_equals_its_dense_twin_at_any_size(height, width, density, seed):
    network = make_network()
    x, presence = make_input((1, height, width), density, seed)
    assert torch.allclose(run_sparse(network, x, presence), network.forward_dense(x, presence), atol=1e-5)


def test_both_paths_have_the_same_gradients():
    network = make_network((6, 5))
    x, presence = make_input((2, 9, 10), 0.4)
    x.requires_grad_()
    inputs = [x, *network.parameters()]
    weight = torch.randn(2, 1, 9, 10)
    sparse = torch.autograd.grad((run_sparse(network, x, presence) * weight).sum(), inputs)
    dense = torch.autograd.grad((network.forward_dense(x, presence) * weight).sum(), inputs)
    for one, other in zip(sparse, dense, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_what_lies_outside_the_active_set_does_not_matter():
    network = make_network()
    x, presence = make_input((1, 8, 8), 0.4)
    elsewhere = torch.where(presence > 0, x, 1e3)
    assert torch.equal(network.forward_dense(x, presence), network.forward_dense(elsewhere, presence))


def test_fresh_network_returns_zero():
    network = SparseResNet(3, (4, 6), 2)
    x, presence = make_input((1, 8, 8), 0.5)
    assert not run_sparse(network, x, presence).any()
    assert not network.forward_dense(x, presence).any()


def test_dense_twin_is_the_same_in_the_channels_last_format():
    network = make_network()
    x, presence = make_input((2, 8, 8), 0.5)
    expected = network.forward_dense(x, presence)
    network.to(memory_format=torch.channels_last)
    actual = network.forward_dense(x.contiguous(memory_format=torch.channels_last), presence)
    assert torch.allclose(actual, expected, atol=1e-5)


def test_a_cell_of_little_presence_hardly_changes_its_neighbours():
    network = make_network()
    x, presence = make_input((1, 8, 8), 0.6)
    presence[0, 0, 4, 4] = 0
    others = presence > 0
    without = network.forward_dense(x, presence)
    presence[0, 0, 4, 4] = 1e-5
    hardly = network.forward_dense(x, presence)
    presence[0, 0, 4, 4] = 1
    assert (network.forward_dense(x, presence) - without)[others.expand_as(x[:, :2])].abs().max() > 0.01
    assert (hardly - without)[others.expand_as(x[:, :2])].abs().max() < 1e-4
