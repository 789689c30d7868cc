import pytest
import torch

from mask2alpha.ops.cells import cells_to_pixels, count_cells


@pytest.mark.parametrize("size", [(4, 6), (3, 6), (4, 5), (1, 1)])
def test_a_map_of_cells_covers_the_picture(size):
    rows, columns = count_cells(size)
    cells = torch.rand(2, 1, rows, columns, generator=torch.Generator().manual_seed(0)) > 0.5
    pixels = cells_to_pixels(cells, size)
    expected = [[[bool(one[0, y // 2, x // 2]) for x in range(size[1])] for y in range(size[0])] for one in cells]
    assert pixels[:, 0].tolist() == expected
