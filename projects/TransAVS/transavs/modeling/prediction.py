"""A backbone for prediction: the same numbers with fewer and quicker steps."""

from typing import Any

from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from .linear import PointwiseConv2d


def prepare_for_prediction(backbone: nn.Module) -> None:
    """Quickens Detectron2's convolutions, as its ResNets have them, in place.

    A batch norm in evaluation is the same linear map for every pixel, so the convolution's weights can hold it; and a
    convolution of one pixel is a linear map. The backbone is then for prediction alone: training it on would train
    something else, and its checkpoints would not fit.

    Args:
        backbone: in evaluation mode, its weights loaded.
    """
    for layer in backbone.modules():
        if not isinstance(layer, Conv2d):
            continue
        if isinstance(layer.norm, (FrozenBatchNorm2d, nn.BatchNorm2d)):
            norm: Any = layer.norm
            layer.weight, layer.bias = fuse_conv_bn_weights(
                layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            layer.norm = None
        if type(layer) is Conv2d and (layer.kernel_size, layer.stride, layer.groups) == ((1, 1), (1, 1), 1):
            layer.__class__ = PointwiseConv2d
