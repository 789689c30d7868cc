import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mask2alpha.model.fast import resampling
from mask2alpha.ops.resize import resize, shrink_to_side, upsample


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
    size=st.tuples(st.integers(1, 90), st.integers(1, 40)),
    coarse=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    padding=st.tuples(st.integers(0, 70), st.integers(0, 9)),
)
@settings(max_examples=40, deadline=None)
def test_upsampling_equals_interpolate_of_what_the_map_spans(size, coarse, padding):
    x = torch.rand(2, 3, *coarse, generator=torch.Generator().manual_seed(0))
    spanned = (size[0] + padding[0], size[1] + padding[1])
    expected = F.interpolate(x, spanned, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]
    assert torch.allclose(upsample(x, size, spanned=spanned), expected, atol=1e-5)


@pytest.mark.parametrize("method", [upsample, resampling.upsample])
def test_a_part_is_upsampled_as_in_the_whole(method):
    x = torch.rand(1, 1, 20, 30, dtype=torch.float64)
    whole = F.interpolate(x, (77, 131), mode="bilinear", align_corners=False)[..., 20:50, 40:90]
    part = method(x[..., 4:14, 8:22], (30, 50), spanned=(77, 131), origin=(20, 40), whole=(20, 30), first=(4, 8))
    assert part.dtype == torch.float64
    assert torch.allclose(part, whole, atol=1e-6)


def test_upsampling_has_a_gradient() -> None:
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: upsample(x, (5, 7), spanned=(6, 9)), x)
