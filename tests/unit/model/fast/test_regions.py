import pytest
import torch

from mask2alpha.model.fast.regions import FastMaskGuidance
from mask2alpha.model.stage1_encoder.guidance import find_regions


@pytest.mark.parametrize("grid", [(6, 8), (3, 16), (1, 1), (5, 7)])
def test_regions_equal_the_plain_ones_on_any_grid(grid: tuple[int, int]) -> None:
    coarse = torch.rand(2, 1, 24, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.nn.functional.interpolate(coarse, (192, 256), mode="bilinear")
    assert torch.equal(FastMaskGuidance().find_regions(mask, grid), find_regions(mask, grid))
