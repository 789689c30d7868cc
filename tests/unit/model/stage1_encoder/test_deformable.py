import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mask2alpha.model.fast.deformable import sum_corners
from mask2alpha.model.stage1_encoder.deformable import DeformableAttention, sample_levels, token_centres

GRIDS = [(4, 6), (2, 3), (1, 2)]
TOKENS = sum(rows * columns for rows, columns in GRIDS)


def read_bilinearly(feature_map: Tensor, x: float, y: float) -> Tensor:
    """The value of (rows, columns, channels) at (x, y) in [0, 1], zero outside; one corner at a time."""
    rows, columns, channels = feature_map.shape
    column, row = x * columns - 0.5, y * rows - 0.5
    value = torch.zeros(channels, dtype=feature_map.dtype)
    for i in (math.floor(row), math.floor(row) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            if 0 <= i < rows and 0 <= j < columns:
                value += (1 - abs(row - i)) * (1 - abs(column - j)) * feature_map[i, j]
    return value


def slow_sample_levels(values: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    batch, queries, heads, _, points, _ = places.shape
    result = torch.zeros(batch, queries, heads, values.shape[-1], dtype=values.dtype)
    for b in range(batch):
        for q in range(queries):
            for h in range(heads):
                start = 0
                for level, (rows, columns) in enumerate(GRIDS):
                    feature_map = values[b, start : start + rows * columns, h].reshape(rows, columns, -1)
                    start += rows * columns
                    for p in range(points):
                        x, y = places[b, q, h, level, p].tolist()
                        result[b, q, h] += weights[b, q, h, level, p] * read_bilinearly(feature_map, x, y)
    return result.flatten(2)


def random_arguments(dtype: torch.dtype = torch.float32, *, queries: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    values = torch.randn(2, TOKENS, 3, 5, dtype=dtype)
    places = torch.rand(2, queries, 3, len(GRIDS), 2, 2, dtype=dtype) * 1.6 - 0.3  # some outside
    weights = torch.rand(2, queries, 3, len(GRIDS), 2, dtype=dtype)
    return values, places, weights


def test_sampling_equals_a_loop_over_queries_heads_levels_and_points() -> None:
    values, places, weights = random_arguments()
    slow = slow_sample_levels(values, places, weights)
    for method in (sample_levels, sum_corners):
        torch.testing.assert_close(method(values, GRIDS, places, weights), slow, rtol=1e-5, atol=1e-5)


def test_gradients_are_right_in_float64() -> None:
    arguments = [x.requires_grad_() for x in random_arguments(torch.float64, queries=2)]
    assert torch.autograd.gradcheck(lambda v, p, w: sample_levels(v, GRIDS, p, w), arguments, fast_mode=True)


def test_token_centres_read_the_tokens_themselves() -> None:
    values = torch.randn(1, TOKENS, 1, 4)
    places = token_centres(GRIDS, values).view(1, TOKENS, 1, 1, 1, 2)
    start = 0
    for rows, columns in GRIDS:
        inside = slice(start, start + rows * columns)
        weights = torch.ones(1, rows * columns, 1, 1, 1)
        read = sample_levels(values[:, inside], [(rows, columns)], places[:, inside], weights)
        torch.testing.assert_close(read, values[:, inside, 0], rtol=1e-5, atol=1e-5)
        start += rows * columns


@pytest.mark.parametrize("method", [sample_levels, sum_corners])
def test_far_outside_is_zero(method: Callable[..., Tensor]) -> None:
    values, places, weights = random_arguments()
    assert not method(values, GRIDS, places + 5, weights).any()


@pytest.mark.parametrize("method", [sample_levels, sum_corners])
def test_half_precision_values_are_read_at_full_precision_places(method: Callable[..., Tensor]) -> None:
    values = torch.randn(1, 128 * 128, 1, 4).bfloat16()
    places = torch.rand(1, 50, 1, 1, 1, 2)
    weights = torch.ones(1, 50, 1, 1, 1)
    read = method(values, [(128, 128)], places, weights)
    assert read.dtype == torch.bfloat16
    exact = method(values.float(), [(128, 128)], places, weights)
    torch.testing.assert_close(read.float(), exact, rtol=0.01, atol=0.01)


def test_attention_at_the_start_averages_a_constant_map_to_itself() -> None:
    attention = DeformableAttention(12, num_heads=4, num_levels=1, num_points=2)
    torch.nn.init.eye_(attention.value.weight)
    torch.nn.init.eye_(attention.projection.weight)
    grid = (16, 16)
    features = torch.randn(1, 1, 12).expand(1, 256, 12)
    queries = torch.randn(1, 4, 12)
    centres = torch.tensor([[0.5, 0.5], [0.4, 0.6], [0.3, 0.3], [0.7, 0.5]])  # no point falls outside
    read = attention(queries, centres, features, [grid])
    torch.testing.assert_close(read, features[:, :4].expand_as(read), rtol=1e-5, atol=1e-5)


def test_attention_heads_look_in_different_directions() -> None:
    attention = DeformableAttention(12, num_heads=4, num_levels=2, num_points=3)
    offsets = attention.offsets.bias.view(4, 2, 3, 2)
    torch.testing.assert_close(offsets[0, 0], torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]))
    torch.testing.assert_close(offsets[1, 1], torch.tensor([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_levels", [1, 3])
def test_attention_of_a_batch_equals_one_by_one(num_levels: int) -> None:
    attention = DeformableAttention(12, num_heads=3, num_levels=num_levels, num_points=2)
    torch.nn.init.normal_(attention.offsets.weight)
    torch.nn.init.normal_(attention.weights.weight)
    grids = GRIDS[:num_levels]
    features = torch.randn(3, sum(rows * columns for rows, columns in grids), 12)
    queries = torch.randn(3, 8, 12)
    centres = token_centres([(2, 4)], queries)
    together = attention(queries, centres, features, grids)
    for index in range(3):
        one = slice(index, index + 1)
        torch.testing.assert_close(together[one], attention(queries[one], centres, features[one], grids))
