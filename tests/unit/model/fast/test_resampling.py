import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mask2alpha.model.fast.resampling import FastAvgPool2d, FastUpsample, upsample


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (1, 4, 1, 6), (2, 1, 9, 2)])
@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_enlarging_equals_the_general_kernel(
    shape: tuple[int, ...], factor: int, memory_format: torch.memory_format
) -> None:
    feature_map = torch.randn(shape).contiguous(memory_format=memory_format)
    expected = F.interpolate(feature_map, scale_factor=factor, mode="bilinear", align_corners=False)
    with torch.inference_mode():
        fast = FastUpsample(scale_factor=factor, mode="bilinear", align_corners=False)
        torch.testing.assert_close(fast(feature_map), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_halving_takes_the_mean_of_four_pixels(memory_format: torch.memory_format) -> None:
    picture = torch.rand(2, 3, 6, 10).contiguous(memory_format=memory_format)
    expected = F.avg_pool2d(picture, 2)
    with torch.inference_mode():
        torch.testing.assert_close(FastAvgPool2d(2)(picture), expected, rtol=0, atol=1e-6)


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
    assert torch.allclose(
        actual, F.interpolate(x, spanned, mode="bilinear", align_corners=False)[..., : size[0], : size[1]], atol=1e-5
    )
