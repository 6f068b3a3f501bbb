"""Linear maps, which oneDNN computes on CPUs: PyTorch's own matrix products leave AVX-512 unused on AMD's."""

from typing import Any

import torch
from detectron2.layers import Conv2d
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

SMALLEST = 1 << 21  # multiply-adds; below that the longer way to oneDNN costs more than it saves
AVX512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")


class Linear(nn.Linear):
    """nn.Linear by `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`: [..., k], [n, k] and [n] to [..., n]. Large ones in float32 on a CPU are oneDNN's.

    What is traced, compiled or under autocast stays PyTorch's, as a graph is to hold operators that all can read.
    """
    if not _is_for_onednn(inputs, weight):
        return F.linear(inputs, weight, bias)
    rows: Tensor = _OneDNNLinear.apply(inputs.flatten(0, -2).contiguous(), weight, bias)
    return rows if inputs.dim() == 2 else rows.view(*inputs.shape[:-1], len(weight))


def _is_for_onednn(inputs: Tensor, weight: Tensor) -> bool:
    return (
        inputs.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch.is_autocast_enabled("cpu")
        and inputs.dtype == weight.dtype == torch.float32
        and inputs.numel() * len(weight) >= SMALLEST
    )


class PointwiseConv2d(Conv2d):
    """Detectron2's Conv2d of 1 x 1 pixels, by `linear`, which is faster, where it is oneDNN's and channels are last."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any):
        super().__init__(in_channels, out_channels, 1, **options)

    def forward(self, x: Tensor) -> Tensor:
        if not (_is_for_onednn(x, self.weight) and x.is_contiguous(memory_format=torch.channels_last)):
            return super().forward(x)
        x = linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
        x = self.norm(x) if self.norm else x
        return self.activation(x) if self.activation else x


class _OneDNNLinear(torch.autograd.Function):
    """Of three matrix products, one forward and two backward, each is oneDNN's."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # [m, k], [n, k], [n]
        ctx.save_for_backward(inputs, weight)
        return _product(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        gradient = gradient.contiguous()  # with gaps between rows oneDNN is a hundred times slower
        of_inputs = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_inputs = _product(gradient, weight.t())
        if ctx.needs_input_grad[1]:
            # Both lie the wrong way round for oneDNN, which copies one first: half as fast as PyTorch without AVX-512.
            of_weight = _product(gradient.t(), inputs.t()) if AVX512 else gradient.t() @ inputs
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(0)
        return of_inputs, of_weight, of_bias


def _product(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return product
