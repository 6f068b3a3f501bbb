"""A model for prediction: the same numbers with fewer and quicker steps."""

from itertools import pairwise
from typing import Any

from detectron2.layers import Conv2d, FrozenBatchNorm2d
from timm.layers import Conv2dSame, FrozenBatchNormAct2d
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import misc

from .linear import PointwiseConv2d

BATCH_NORMS = nn.BatchNorm2d, FrozenBatchNorm2d, misc.FrozenBatchNorm2d, FrozenBatchNormAct2d


def prepare_for_prediction(model: nn.Module) -> None:
    """Quickens the convolutions of Detectron2's and timm's networks, in place.

    A batch norm in evaluation is the same linear map for every pixel, so the weights of the convolution before it can
    hold it; and a convolution of one pixel is a linear map. The model is then for prediction alone: training it on
    would train something else, and its checkpoints would not fit.

    Args:
        model: in evaluation mode, its weights loaded.
    """
    for layer in list(model.modules()):
        # timm registers a norm right after its convolution. Other classes of those compute their weights at each step.
        for (_, convolution), (name, norm) in pairwise(list(layer.named_children())):
            if type(convolution) in (nn.Conv2d, Conv2dSame) and isinstance(norm, BATCH_NORMS):
                _fold(convolution, norm)
                setattr(layer, name, getattr(norm, "act", nn.Identity()))
        if isinstance(layer, Conv2d):
            if isinstance(layer.norm, BATCH_NORMS):
                _fold(layer, layer.norm)
                layer.norm = None
            if type(layer) is Conv2d and (layer.kernel_size, layer.stride, layer.groups) == ((1, 1), (1, 1), 1):
                layer.__class__ = PointwiseConv2d


def _fold(convolution: Any, norm: Any) -> None:
    convolution.weight, convolution.bias = fuse_conv_bn_weights(
        *(convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    )
