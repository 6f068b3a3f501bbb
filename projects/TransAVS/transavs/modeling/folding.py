"""Batch norms within the convolutions before them, for prediction: the same numbers with fewer steps."""

from typing import Any

from detectron2.layers import Conv2d, FrozenBatchNorm2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_batch_norms(model: nn.Module) -> None:
    """Makes each of Detectron2's convolutions with a batch norm, as its ResNets have them, one without; in place.

    A batch norm in evaluation is the same linear map for every pixel, so the convolution's weights can hold it. The
    model is then for prediction alone: training it on would train something else, and its checkpoints would not fit.

    Args:
        model: in evaluation mode, its weights loaded.
    """
    for layer in model.modules():
        if isinstance(layer, Conv2d) and isinstance(layer.norm, (FrozenBatchNorm2d, nn.BatchNorm2d)):
            norm: Any = layer.norm
            layer.weight, layer.bias = fuse_conv_bn_weights(
                layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            layer.norm = None
