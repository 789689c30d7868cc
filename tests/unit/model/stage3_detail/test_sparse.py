import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from detail_cases import DENSITIES, SHAPES, assert_close, make_active, make_map, randomise
from mask2alpha.model.stage3_detail.sparse import ActiveSet, DenseLevel, SubmanifoldConv


def convolve(conv, x, active):
    """The sparse convolution of a dense map."""
    active_set = ActiveSet.from_mask(active)
    return active_set.scatter(conv(active_set.gather(x), active_set.neighbours))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", DENSITIES)
def test_submanifold_convolution_equals_its_dense_twin(shape, density):
    active = make_active(shape, density)
    x = make_map(active, 3)
    conv = randomise(SubmanifoldConv(3, 5))
    actual = convolve(conv, x, active)
    assert_close(actual, conv.forward_dense(x) * active)


@given(
    batch=st.integers(1, 3),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    density=st.floats(0, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_convolutions_in_a_row_equal_their_dense_twins(batch, height, width, density, seed):
    active = torch.rand(batch, 1, height, width, generator=torch.Generator().manual_seed(seed)) < density
    x = make_map(active, 2, seed)
    first, second = randomise(SubmanifoldConv(2, 3), seed), randomise(SubmanifoldConv(3, 2), seed)
    actual = convolve(second, convolve(first, x, active).relu(), active)
    level = DenseLevel(active.float())
    expected = second.forward_dense(level.relu(first.forward_dense(x))) * active
    assert torch.allclose(actual, expected, rtol=1e-5, atol=1e-4)


def test_gathering_and_scattering_are_inverse():
    active = make_active((2, 5, 6), "some")
    active_set = ActiveSet.from_mask(active)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = make_map(active, 3).contiguous(memory_format=memory_format)
        rows = active_set.gather(x)
        assert torch.equal(rows, x.permute(0, 2, 3, 1)[active[:, 0]])
        assert torch.equal(active_set.scatter(rows), x)


def test_neighbours_by_hand():
    active = torch.tensor([[1, 1, 0], [0, 0, 1]], dtype=torch.bool).view(1, 1, 2, 3)
    assert ActiveSet.from_mask(active).neighbours.tolist() == [
        [3, 3, 3, 3, 0, 1, 3, 3, 3],
        [3, 3, 3, 0, 1, 3, 3, 3, 2],
        [1, 3, 3, 3, 2, 3, 3, 3, 3],
    ]


def test_pictures_of_a_batch_do_not_touch_each_other():
    active = make_active((3, 6, 5), "all")
    x = make_map(active, 2)
    conv = randomise(SubmanifoldConv(2, 2))
    together = convolve(conv, x, active)
    for picture in range(3):
        part = slice(picture, picture + 1)
        alone = convolve(conv, x[part], active[part])
        assert_close(together[part], alone)


@pytest.mark.parametrize("density", ["some", "one"])
def test_gradients_in_float64(density):
    active_set = ActiveSet.from_mask(make_active((2, 4, 3), density))
    conv = SubmanifoldConv(2, 3)

    def random(*shape):
        generator = torch.Generator().manual_seed(len(shape))
        return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    rows, weight, bias = random(len(active_set), 2), random(3, 2, 3, 3), random(3)

    def run(rows, weight, bias):
        parameters = {"weight": weight, "bias": bias}
        return functional_call(conv, parameters, (rows, active_set.neighbours))

    assert torch.autograd.gradcheck(run, (rows, weight, bias))


def test_gradients_of_an_empty_active_set_are_zero():
    active = make_active((1, 4, 4), "none")
    conv = SubmanifoldConv(2, 3)
    convolve(conv, make_map(active, 2), active).sum().backward()
    assert not conv.weight.grad.any()
    assert not conv.bias.grad.any()


@pytest.mark.parametrize("is_autocast", [True, False])
def test_bfloat16_follows_float32(is_autocast):
    active = make_active((1, 8, 8), "some")
    active_set = ActiveSet.from_mask(active)
    x = make_map(active, 4)
    conv = randomise(SubmanifoldConv(4, 4))
    expected = conv(active_set.gather(x), active_set.neighbours)
    if is_autocast:
        with torch.autocast("cpu", torch.bfloat16):
            actual = conv(active_set.gather(x), active_set.neighbours)
    else:
        actual = conv.bfloat16()(active_set.gather(x.bfloat16()), active_set.neighbours)
    assert actual.dtype == torch.bfloat16
    actual.float().sum().backward()
    assert conv.weight.grad.dtype == conv.weight.dtype
    assert (actual - expected).abs().max() < 0.02 * expected.abs().max()


def test_dense_level_clears_outside_and_passes_no_gradient_there():
    active = make_active((1, 5, 6), "some")
    x = torch.randn(1, 3, 5, 6, requires_grad=True)
    y = DenseLevel(active.float()).relu(x * 1)
    assert torch.equal(y, x.relu() * active)
    y.sum().backward()
    assert torch.equal(x.grad, ((x > 0) & active).float())
