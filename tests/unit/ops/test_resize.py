import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mask2alpha.ops.resize import enlarge, halve, interpolate, resize, shrink_to_side, upsample


def test_resize_to_the_same_size_is_the_identity() -> None:
    picture = torch.rand(1, 3, 5, 7)
    assert resize(picture, (5, 7)) is picture


def test_shrinking_averages_rather_than_skips() -> None:
    stripes = torch.tensor([0.0, 1.0]).repeat(32).expand(1, 1, 64, 64).contiguous()
    assert (resize(stripes, (8, 8)) - 0.5).abs().max() < 0.1


def test_resize_keeps_a_constant_and_the_range() -> None:
    assert torch.allclose(resize(torch.full((1, 1, 9, 4), 0.3), (20, 3)), torch.tensor(0.3))
    resized = resize((torch.rand(1, 1, 16, 16) > 0.5).float(), (40, 5))
    assert resized.min() >= 0
    assert resized.max() <= 1 + 1e-6


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (1, 4, 1, 6), (2, 1, 9, 2)])
@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_enlarging_without_gradient_equals_the_general_kernel(
    shape: tuple[int, ...], factor: int, memory_format: torch.memory_format
) -> None:
    feature_map = torch.randn(shape).contiguous(memory_format=memory_format)
    expected = F.interpolate(feature_map, scale_factor=factor, mode="bilinear", align_corners=False)
    with torch.inference_mode():
        torch.testing.assert_close(enlarge(feature_map, factor), expected, rtol=1e-5, atol=1e-6)


def test_enlarging_has_a_gradient() -> None:
    feature_map = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: enlarge(x, 2), feature_map)


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_halving_takes_the_mean_of_four_pixels(memory_format: torch.memory_format) -> None:
    picture = torch.rand(2, 3, 6, 10).contiguous(memory_format=memory_format)
    expected = F.avg_pool2d(picture, 2)
    with torch.inference_mode():
        torch.testing.assert_close(halve(picture), expected, rtol=0, atol=1e-6)
    assert torch.equal(halve(picture), expected)


@pytest.mark.parametrize(
    ("size", "max_side", "expected"),
    [
        ((1024, 1024), 2688, (1024, 1024)),
        ((2688, 640), 2688, (2688, 640)),
        ((4096, 4096), 2688, (2688, 2688)),
        ((4096, 64), 2688, (2688, 64)),
        ((3072, 6144), 2700, (1344, 2688)),
        ((128, 256), 64, (64, 64)),
    ],
)
def test_shrink_to_side(size: tuple[int, int], max_side: int, expected: tuple[int, int]) -> None:
    assert shrink_to_side(size, max_side=max_side, multiple=64) == expected


@given(
    size=st.tuples(st.integers(1, 200), st.integers(1, 40)),
    coarse=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    padding=st.tuples(st.integers(0, 70), st.integers(0, 9)),
)
@settings(max_examples=40, deadline=None)
def test_rows_upsampled_a_few_at_a_time_equal_interpolate(size, coarse, padding):
    x = torch.rand(2, 1, *coarse, generator=torch.Generator().manual_seed(0))
    spanned = (size[0] + padding[0], size[1] + padding[1])
    with torch.no_grad():
        actual = upsample(x, size, spanned=spanned)
    assert actual.is_contiguous()
    assert torch.allclose(actual, interpolate(x, size, spanned), atol=1e-5)
