import pytest
import torch

from mask2alpha.model.box import LEAST_MARGIN, Box, find_box
from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.model.outputs import CoarseMatte, RunOptions


def make_mask(height: int, width: int, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., top:bottom, left:right] = 1
    return mask


def test_a_box_has_a_margin_and_starts_at_multiples_of_64() -> None:
    box = find_box(make_mask(1024, 1280, 300, 340, 600, 680))
    assert box == Box(top=128, bottom=512, left=448, right=832)
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


def test_paste_is_the_inverse_of_cut() -> None:
    box, size = Box(top=64, bottom=192, left=128, right=320), (256, 448)
    whole = torch.randn(1, 3, 64, 112)
    part = box.cut(whole, size)
    assert part.shape == (1, 3, 32, 48)
    coarse = CoarseMatte(
        alpha_logits=part[:, :1], predicted_error=part[:, :1], features=part, local_colours=part.repeat(1, 2, 1, 1)
    )
    pasted = box.paste(coarse, size)
    assert torch.equal(box.cut(pasted.features, size), part)
    assert pasted.predicted_error.count_nonzero() == part[:, :1].count_nonzero()
    assert pasted.alpha.sum() <= part[:, :1].sigmoid().sum() + 1e-3


@torch.inference_mode()
def test_a_box_around_the_whole_picture_changes_nothing() -> None:
    torch.manual_seed(0)
    model = Mask2Alpha(PRESETS["tiny"]).eval()
    image, mask = torch.rand(1, 3, 128, 192), make_mask(128, 192, 40, 80, 50, 130)
    encoding = model.encode(image)
    whole = model.decode_coarse(encoding, mask, RunOptions())
    boxed = model.decode_coarse(encoding, mask, RunOptions(), Box(top=0, bottom=128, left=0, right=192))
    torch.testing.assert_close(boxed.alpha_logits, whole.alpha_logits)
    torch.testing.assert_close(boxed.features, whole.features)
