"""Deformable attention and its sampling against loops, one point and one cell at a time."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from transavs.modeling.pixel_decoder.deformable_attention import (
    DeformableAttention,
    _sample_by_bags,
    _sample_by_grid,
    sample_and_weigh,
)

WAYS = pytest.mark.parametrize("sample", [_sample_by_bags, _sample_by_grid])


def make_samples(frames=2, heads=2, channels=3, queries=4, points=3, shapes=((2, 3), (4, 5)), dtype=torch.float64):
    """Values, places (one in three outside) and weights, with gradients."""
    values = torch.randn(frames, sum(h * w for h, w in shapes), heads, channels, dtype=dtype)
    locations = torch.rand(frames, queries, heads, len(shapes), points, 2, dtype=dtype) * 1.5 - 0.25
    weights = torch.rand(frames, queries, heads, len(shapes), points, dtype=dtype)
    return [tensor.requires_grad_() for tensor in (values, locations, weights)], shapes


def naive_bilinear(level, x, y):
    """level [h, w, c] at (x, y) from 0 to 1, cell by cell: a cell counts as much as it is near, outside is 0."""
    height, width, channels = level.shape
    total = torch.zeros(channels, dtype=level.dtype)
    for row in range(height):
        for column in range(width):
            near = [
                max(0.0, 1 - abs(place * size - 0.5 - cell))
                for place, size, cell in ((x, width, column), (y, height, row))
            ]
            total = total + near[0] * near[1] * level[row, column]
    return total


def naive_sample_and_weigh(values, shapes, locations, weights):
    frames, queries, heads, levels, points, _ = locations.shape
    result = torch.zeros(frames, queries, heads, values.shape[-1], dtype=values.dtype)
    starts = [sum(h * w for h, w in shapes[:number]) for number in range(levels)]
    for f, n, m, k, p in torch.cartesian_prod(*map(torch.arange, (frames, queries, heads, levels, points))).tolist():
        height, width = shapes[k]
        level = values[f, starts[k] : starts[k] + height * width, m].unflatten(0, (height, width))
        result[f, n, m] += weights[f, n, m, k, p] * naive_bilinear(level, *locations[f, n, m, k, p].tolist())
    return result.flatten(2)


@WAYS
@torch.no_grad()
def test_samples_are_bilinear_weighed_and_zero_outside(sample):
    (values, locations, weights), shapes = make_samples()
    borders = torch.tensor([0.0, 1.0, 0.5, -0.25, 1.25, 0.25, 7.0, -1e9])  # sides, middles, centres of rows, far out
    locations[0, :, 0, 1, :2] = torch.cartesian_prod(borders, borders)[::8].view(4, 2, 2)
    locations[1, :, 0, 1, :2] = torch.cartesian_prod(borders, borders)[:8].view(4, 2, 2)
    expected = naive_sample_and_weigh(values, shapes, locations, weights)
    torch.testing.assert_close(sample(values, shapes, locations, weights), expected)


@WAYS
def test_gradients_of_samples_are_those_of_finite_differences(sample):
    (values, locations, weights), shapes = make_samples()
    assert torch.autograd.gradcheck(
        lambda *tensors: sample(tensors[0], shapes, *tensors[1:]), (values, locations, weights)
    )


def test_both_ways_to_sample_agree():
    inputs, shapes = make_samples(3, 4, 8, 50, 4, ((3, 5), (6, 10), (12, 20), (1, 1)), torch.float32)
    found, expected = (sample(inputs[0], shapes, *inputs[1:]) for sample in (_sample_by_bags, _sample_by_grid))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    upstream = torch.randn_like(found)
    gradients = [torch.autograd.grad(output, inputs, upstream) for output in (found, expected)]
    for one, other in zip(*gradients):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * other.abs().max().item())


class LargestTensor(TorchDispatchMode):
    """The most numbers that any tensor computed meanwhile has."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        results = result if isinstance(result, (list, tuple)) else [result]
        tensors = [t.values() if torch.is_tensor(t) and t.layout == torch.sparse_csr else t for t in results]
        self.numbers = max([self.numbers, *(t.untyped_storage().nbytes() // 4 for t in tensors if torch.is_tensor(t))])
        return result


def test_on_a_cpu_no_sample_is_stored_forward_or_backward():
    inputs, shapes = make_samples(2, 4, 32, 200, 4, ((5, 5), (10, 10)), torch.float32)
    with LargestTensor() as largest:
        sample_and_weigh(inputs[0], shapes, *inputs[1:]).sum().backward()
    samples_of_one_level = 2 * 4 * 32 * 200 * 4
    assert 0 < largest.numbers < samples_of_one_level / 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@WAYS
def test_half_precision_and_autocast_sample_in_float32(sample, dtype, monkeypatch):
    monkeypatch.setattr("transavs.modeling.pixel_decoder.deformable_attention._sample_by_bags", sample)
    (values, locations, weights), shapes = make_samples(dtype=torch.float32)
    half = values.detach().to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype):
        found = sample_and_weigh(half, shapes, locations, weights)
    assert found.dtype == dtype
    expected = naive_sample_and_weigh(half.detach().double(), shapes, locations.detach(), weights.detach().double())
    torch.testing.assert_close(found.double(), expected, rtol=torch.finfo(dtype).eps, atol=1e-6)
    found.sum().backward()
    assert half.grad.dtype == dtype and all(torch.isfinite(t.grad).all() for t in (half, locations, weights))


@WAYS
def test_places_that_are_not_numbers_give_no_index_error(sample):
    (values, locations, weights), shapes = make_samples()
    locations = locations.detach().clone()
    locations[0, 0, 0, 0, 0, 0] = math.nan
    found = sample(values, shapes, locations, weights)
    expected = naive_sample_and_weigh(values, shapes, locations.nan_to_num(), weights)
    torch.testing.assert_close(found[1], expected[1])


@pytest.mark.parametrize("num_levels", [1, 2, 4])
@torch.no_grad()
def test_attention_samples_around_each_querys_own_place_in_cells_of_each_level(num_levels):
    shapes = [(2, 3), (4, 6), (3, 2), (1, 5)][:num_levels]
    layer = DeformableAttention(8, num_heads=2, num_levels=num_levels, num_points=3).double()
    for parameter in layer.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.3)
    queries, places = torch.randn(2, 4, 8).double(), torch.rand(4, 2).double()
    memory = torch.randn(2, sum(h * w for h, w in shapes), 8).double()
    values = layer.value_projection(memory).view(2, -1, 2, 4)
    offsets = layer.sampling_offsets(queries).view(2, 4, 2, num_levels, 3, 2)
    weights = layer.attention_weights(queries).view(2, 4, 2, -1).exp()
    weights = (weights / weights.sum(-1, keepdim=True)).view(2, 4, 2, num_levels, 3)
    locations = offsets.clone()
    for level, (height, width) in enumerate(shapes):
        for query in range(4):
            locations[:, query, :, level, :, 0] = places[query, 0] + offsets[:, query, :, level, :, 0] / width
            locations[:, query, :, level, :, 1] = places[query, 1] + offsets[:, query, :, level, :, 1] / height
    expected = layer.output_projection(naive_sample_and_weigh(values, shapes, locations, weights))
    torch.testing.assert_close(layer(queries, places, memory, shapes), expected)


def test_at_first_each_head_looks_its_own_way_and_weighs_all_points_alike():
    layer = DeformableAttention(8, num_heads=8, num_levels=2, num_points=3)
    offsets = layer.sampling_offsets(torch.randn(8)).detach().view(8, 2, 3, 2)
    ways = torch.tensor([[1, 0], [1, 1], [0, 1], [-1, 1], [-1, 0], [-1, -1], [0, -1], [1, -1]])
    for point in range(3):
        torch.testing.assert_close(offsets[:, :, point], (point + 1.0) * ways[:, None].expand(8, 2, 2))
    assert not layer.attention_weights(torch.randn(8)).any()
