import pytest
import torch

from mask2alpha.model.box import FAR_LOGIT, LEAST_MARGIN, Box, Placement, find_box, spread
from mask2alpha.model.config import PRESETS
from mask2alpha.model.fast import resampling
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.values import RunOptions
from mask2alpha.ops.resize import upsample


def make_mask(height: int, width: int, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., top:bottom, left:right] = 1
    return mask


def test_a_box_has_a_margin_and_starts_at_multiples_of_64() -> None:
    box = find_box(make_mask(1024, 1280, 300, 340, 600, 680))
    assert box == Box(top=128, bottom=512, left=448, right=832, size=(1024, 1280))
    assert min(300 - box.top, box.bottom - 340, 600 - box.left, box.right - 680) >= LEAST_MARGIN


def test_the_margin_grows_with_the_target() -> None:
    box = find_box(make_mask(2048, 2048, 0, 800, 0, 800))
    assert box is not None
    assert box.bottom == box.right == 1024


@pytest.mark.parametrize("extent", [(100, 900, 0, 1000), (0, 0, 0, 0)])
def test_a_large_or_empty_target_has_no_box(extent: tuple[int, int, int, int]) -> None:
    assert find_box(make_mask(1024, 1024, *extent)) is None


def test_a_faint_haze_is_no_target() -> None:
    mask = make_mask(1024, 1024, 500, 520, 500, 520)
    assert find_box(mask.clamp(min=0.01)) == find_box(mask)


def test_spread_is_the_inverse_of_cut() -> None:
    box = Box(top=64, bottom=192, left=128, right=320, size=(256, 448))
    whole = torch.randn(1, 3, 64, 112)
    part = box.cut(whole)
    assert part.shape == (1, 3, 32, 48)
    whole_again = spread(part, box)
    assert whole_again.shape == whole.shape
    assert torch.equal(box.cut(whole_again), part)
    assert whole_again.count_nonzero() == part.count_nonzero()
    assert spread(part, None) is part


@pytest.mark.parametrize("size", [(256, 448), (250, 440), (383, 672), (1000, 1777)])
@pytest.mark.parametrize("corner", [(0, 0), (64, 128), (128, 320)])
def test_the_maps_of_a_box_are_upsampled_as_if_they_were_pasted(size: tuple[int, int], corner: tuple[int, int]) -> None:
    box = Box(top=corner[0], bottom=corner[0] + 128, left=corner[1], right=corner[1] + 128, size=(256, 448))
    part = torch.randn(1, 1, 32, 32)
    spanned = (-(-size[0] // 64) * 64, -(-size[1] // 64) * 64)
    expected = upsample(spread(part, box, outside=FAR_LOGIT), size, spanned=spanned)
    for method in (upsample, resampling.upsample):
        place = Placement.of((32, 32), size, spanned=spanned, box=box)
        actual = place.upsample(place.surround(part, FAR_LOGIT), method=method)
        torch.testing.assert_close(actual, place.cut(expected), rtol=0, atol=1e-5)
        around = place.paste(torch.ones_like(actual), size) == 0
        assert (expected[around] == FAR_LOGIT).all()


@torch.inference_mode()
def test_a_box_around_the_whole_image_changes_nothing() -> None:
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS["tiny"]).eval()
    image, mask = torch.rand(1, 3, 128, 192), make_mask(128, 192, 40, 80, 50, 130)
    whole = model(image, mask)
    boxed = model(image, mask, RunOptions(box=Box(top=0, bottom=128, left=0, right=192, size=(128, 192))))
    torch.testing.assert_close(boxed.coarse.alpha_logits, whole.coarse.alpha_logits)
    torch.testing.assert_close(boxed.coarse.features, whole.coarse.features)
    torch.testing.assert_close(boxed.alpha, whole.alpha)
