import numpy as np
import pytest
import torch
from tests.fakes import EchoNetwork

from mask2alpha.model.config import PRESETS
from mask2alpha.model.mask2alpha import Mask2Alpha
from mask2alpha.pipeline.mask_reach import network_share
from mask2alpha.pipeline.predictor import Predictor


@pytest.fixture(scope="module")
def tiny() -> Mask2Alpha:
    torch.manual_seed(0)
    return Mask2Alpha(PRESETS["tiny"])


def test_an_ordinary_mask_is_left_to_the_network() -> None:
    mask = torch.zeros(1, 1, 128, 192)
    mask[..., 30:100, 50:120] = 1
    assert network_share(mask) is None
    assert network_share(1 - mask) is None
    assert network_share(torch.full((1, 1, 128, 192), 0.5)) is None


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_speck_concerns_its_neighbours_alone(value: float) -> None:
    mask = torch.full((1, 1, 128, 192), value)
    mask[..., 40, 70] = 1 - value
    share = network_share(mask)
    assert share is not None
    assert share[0, 0, 40, 70] == 1
    rows, columns = share[0, 0].nonzero().unbind(1)
    assert (rows - 40).abs().max() <= 4
    assert (columns - 70).abs().max() <= 4


def test_larger_objects_reach_farther_and_reach_in_proportion() -> None:
    reaches = []
    for side in (4, 8, 16):
        mask = torch.zeros(1, 1, 256, 256)
        mask[..., 100 : 100 + side, 100 : 100 + side] = 1
        share = network_share(mask)
        assert share is not None
        assert share[0, 0, 100 - side, 100] == 1  # its own side away
        assert share[0, 0, 100 - 5 * side, 100] == 0
        reaches.append(float(share.sum()) / side**2)
    assert max(reaches) < 2 * min(reaches)


def test_specks_left_out_reach_no_farther_than_specks_marked(rng: np.random.Generator) -> None:
    mask = torch.from_numpy(rng.random((64, 64)) < 0.002).float()[None, None]
    here, there = network_share(mask), network_share(1 - mask)
    assert here is not None
    assert there is not None
    assert (there <= here).all()
    assert (there[mask == 1] == 1).all()


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("is_diagonal", [False, True])
def test_a_gap_across_a_full_mask_reaches_in_proportion_to_its_width(width: int, is_diagonal: bool) -> None:
    mask = torch.ones(1, 1, 192, 256)
    if is_diagonal:
        for row in range(192):
            mask[..., row, row : row + width] = 0
    else:
        mask[..., 90 : 90 + width, :] = 0
    share = network_share(mask)
    assert share is not None
    assert share[mask == 0].min() == 1
    assert share.mean() < 11 * (1 - mask).mean()


def test_gaps_that_fill_more_and_more_of_a_mask_leave_more_and_more_to_the_network() -> None:
    before = 0.0
    for count in (1, 2, 4, 6, 8, 10, 12, 16, 24):
        mask = torch.ones(1, 1, 192, 256)
        mask[..., np.linspace(3, 188, count).astype(int), :] = 0
        share = network_share(mask)
        left = 1.0 if share is None else float(share.mean())
        assert before <= left <= before + 0.3
        before = left
    assert before == 1


def test_a_large_mask_is_measured_on_a_coarse_grid_like_a_small_one() -> None:
    small = torch.zeros(1, 1, 256, 256)
    small[..., 96:104, 96:104] = 1
    large = small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    of_small, of_large = network_share(small), network_share(large)
    assert of_small is not None
    assert of_large is not None
    torch.testing.assert_close(of_large, of_small)


@pytest.mark.parametrize("place", [(0, 0), (96, 120)])
@pytest.mark.parametrize("is_full", [True, False])
def test_one_stray_pixel_hardly_moves_alpha(tiny: Mask2Alpha, place: tuple[int, int], is_full: bool) -> None:
    rng = np.random.default_rng(3)
    predictor = Predictor(tiny, dtype=torch.float32)
    image = rng.integers(0, 256, (128, 192, 3), dtype=np.uint8)
    mask = np.full((128, 192), is_full)
    mask[place] = not is_full
    assert predictor.predict(image, mask).alpha.mean() == pytest.approx(float(is_full), abs=0.01)


def test_specks_all_over_move_alpha_in_proportion_to_their_number(tiny: Mask2Alpha) -> None:
    rng = np.random.default_rng(4)
    predictor = Predictor(tiny, dtype=torch.float32)
    image = rng.integers(0, 256, (128, 192, 3), dtype=np.uint8)
    places = rng.permutation(128 * 192)
    for count in (1, 3, 9):
        mask = np.ones(128 * 192, dtype=bool)
        mask[places[:count]] = False
        assert predictor.predict(image, mask.reshape(128, 192)).alpha.mean() > 1 - 0.002 * count


def test_far_from_the_border_alpha_is_the_soft_masks_value() -> None:
    mask = np.full((64, 64), 255, dtype=np.uint8)
    mask[:2, :2] = (0, 254), (254, 254)
    mask[:, 60:] = 254
    alpha = Predictor(EchoNetwork()).predict(np.zeros((64, 64, 3), np.uint8), mask).alpha
    assert alpha[32, 32] == 1
    assert alpha[32, 62] == pytest.approx(254 / 255)
