"""A feature pyramid (FPN) as pixel decoder."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import fvcore.nn.weight_init as weight_init
from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from ..linear import PointwiseConv2d


@SEM_SEG_HEADS_REGISTRY.register()
class FPNPixelDecoder(nn.Module):
    """From a backbone's features to f1, f2, f3 for the decoder and f4 for the masks (sec. 2.2.1).

    From the coarsest feature down, each step upsamples by two, adds the backbone's feature of that stride where there
    is one (the paper's own strides 2 and 1 have none), and smooths by a 3x3 convolution. Steps finer than any stride
    asked for are not built.
    """

    @configurable
    def __init__(
        self,
        input_shape: Mapping[str, ShapeSpec],
        *,
        conv_dim: int,
        norm: str,
        level_strides: Sequence[int],
        mask_stride: int,
    ):
        """
        Args:
            input_shape (dict[str, ShapeSpec]): channels and stride of each feature.
            conv_dim (int): channels of every output.
            norm (str): Detectron2's name of a norm, e.g. "GN".
            level_strides (list[int]): strides of f1, f2, f3.
            mask_stride (int): stride of f4.

        Raises:
            ValueError: if a stride asked for is not reached by halving the coarsest feature's.
        """
        super().__init__()
        self.feature_of_stride = {shape.stride: name for name, shape in input_shape.items()}
        coarsest = max(self.feature_of_stride)
        self.strides = [coarsest]
        while self.strides[-1] > min(*level_strides, mask_stride):
            self.strides.append(self.strides[-1] // 2)
        for stride in (*level_strides, mask_stride):
            if stride not in self.strides:
                raise ValueError(
                    f"MODEL.SEM_SEG_HEAD.LEVEL_STRIDES {list(level_strides)} and COMMON_STRIDE {mask_stride}: {stride} "
                    f"is not among the strides that this backbone's features allow: {self.strides}"
                )
        self.level_strides = list(level_strides)
        self.mask_stride = mask_stride
        self.output_dim = conv_dim
        self.size_divisibility = coarsest  # of a frame's sides, so that each step's doubling meets the next feature

        self.lateral = nn.ModuleDict()
        self.smooth = nn.ModuleDict()
        for stride in self.strides:
            if stride in self.feature_of_stride:
                channels = input_shape[self.feature_of_stride[stride]].channels
                self.lateral[str(stride)] = convolution(channels, conv_dim, 1, norm)
            self.smooth[str(stride)] = convolution(conv_dim, conv_dim, 3, norm, F.relu_)

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        head = cfg.MODEL.SEM_SEG_HEAD
        missing = [name for name in head.IN_FEATURES if name not in input_shape]
        if missing:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.IN_FEATURES names {missing}, but the backbone gives {sorted(input_shape)}"
            )
        return {
            "input_shape": {name: input_shape[name] for name in head.IN_FEATURES},
            "conv_dim": head.CONVS_DIM,
            "norm": head.NORM,
            "level_strides": head.LEVEL_STRIDES,
            "mask_stride": head.COMMON_STRIDE,
        }

    def forward(self, features: Mapping[str, Tensor]) -> tuple[list[Tensor], Tensor]:
        """
        Args:
            features (dict[str, Tensor]): the backbone's, each [F, C, h, w].

        Returns:
            tuple[list[Tensor], Tensor]: f1, f2, f3, each [F, conv_dim, h_i, w_i], and f4, [F, conv_dim, h_4, w_4].
        """
        pyramid: dict[int, Tensor] = {}
        for stride in self.strides:
            parts = []
            if stride in self.feature_of_stride:
                parts.append(self.lateral[str(stride)](features[self.feature_of_stride[stride]]))
            if pyramid:
                parts.append(F.interpolate(pyramid[2 * stride], scale_factor=2.0, mode="nearest"))
            pyramid[stride] = self.smooth[str(stride)](sum(parts[1:], start=parts[0]))
        return [pyramid[stride] for stride in self.level_strides], pyramid[self.mask_stride]


def convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    norm: str,
    activation: Callable[[Tensor], Tensor] | None = None,
) -> Conv2d:
    """A convolution that keeps the size, with Detectron2's norm of that name and then the activation."""
    options: dict[str, Any] = {"bias": norm == "", "norm": get_norm(norm, out_channels), "activation": activation}
    layer = (
        PointwiseConv2d(in_channels, out_channels, **options)
        if kernel_size == 1
        else Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, **options)
    )
    weight_init.c2_xavier_fill(layer)
    return layer
