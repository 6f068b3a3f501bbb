import pytest
import torch
from torch import nn
from torch.nn import functional as F

from transavs.modeling.linear import SMALLEST, Linear, PointwiseConv2d, linear


def of_size(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape))).requires_grad_()


@pytest.mark.parametrize("avx512", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(1500,), (5, 300), (5, 0)])
def test_values_and_gradients_are_those_of_pytorch(rows, bias, avx512, monkeypatch):
    monkeypatch.setattr("transavs.modeling.linear.AVX512", avx512)
    given = [of_size(*rows, 256), of_size(96, 256), of_size(96) if bias else None]
    assert not given[0].numel() or given[0].numel() * 96 > SMALLEST
    leaves = [tensor for tensor in given if tensor is not None]
    results = linear(*given), F.linear(*given)
    found, expected = ((result, *torch.autograd.grad(result.square().sum(), leaves)) for result in results)
    for one, other in zip(found, expected):
        assert one.shape == other.shape
        assert (one - other).norm() <= 1e-6 * other.norm()


@pytest.mark.parametrize("norm", [None, nn.GroupNorm(4, 32)])
def test_a_convolution_of_one_pixel_is_what_pytorchs_is(norm):
    frames = (torch.randn(2, 64, 40, 40) / 8).to(memory_format=torch.channels_last).requires_grad_()
    layer = PointwiseConv2d(64, 32, norm=norm, activation=F.relu)
    found = layer(frames)
    expected = F.conv2d(frames, layer.weight, layer.bias)
    expected = F.relu(norm(expected) if norm else expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    leaves = [frames, *layer.parameters()]
    for one, other in zip(*(torch.autograd.grad(result.square().sum(), leaves) for result in (found, expected))):
        assert (one - other).norm() <= 1e-5 * other.norm()


def test_only_gradients_that_are_needed_are_computed():
    inputs, layer = of_size(1500, 256), Linear(256, 96).requires_grad_(False)
    layer(inputs).sum().backward()
    torch.testing.assert_close(inputs.grad, layer.weight.sum(0).expand_as(inputs))
    assert layer.weight.grad is None and layer.bias.grad is None


def test_large_maps_on_a_cpu_are_onednns_and_small_and_traced_ones_pytorchs():
    layer = Linear(256, 96)
    large, small = torch.randn(1500, 256), torch.randn(15, 256)
    assert "OneDNN" in layer(large).grad_fn.name()
    assert "OneDNN" not in layer(small).grad_fn.name()
    with torch.autocast("cpu"):
        assert layer(large).dtype == torch.bfloat16
    assert "aten::linear" in str(torch.jit.trace(layer, large).graph)
