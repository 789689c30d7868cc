import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mask2alpha.ops.padding import pad_to_multiple, padded_size


@settings(max_examples=50, deadline=None)
@given(height=st.integers(1, 200), width=st.integers(1, 200))
def test_pad_then_unpad_is_the_identity(height: int, width: int) -> None:
    picture = torch.rand(1, 2, height, width)
    padded = pad_to_multiple(picture, 64)
    assert padded.shape[2] % 64 == 0
    assert padded.shape[3] % 64 == 0
    assert torch.equal(padded[:, :, :height, :width], picture)


def test_padding_repeats_the_last_row_and_column() -> None:
    picture = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    padded = pad_to_multiple(picture, 4)
    assert torch.equal(padded[0, 0, 0], torch.tensor([1.0, 2.0, 2.0, 2.0]))
    assert torch.equal(padded[0, 0, 3], torch.tensor([3.0, 4.0, 4.0, 4.0]))


def test_a_picture_that_fits_is_not_copied() -> None:
    picture = torch.rand(1, 3, 64, 128)
    assert pad_to_multiple(picture, 64) is picture


@pytest.mark.parametrize(
    ("size", "expected"), [((1, 1), (64, 64)), ((64, 65), (64, 128)), ((1080, 1920), (1088, 1920))]
)
def test_padded_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert padded_size(size, 64) == expected
