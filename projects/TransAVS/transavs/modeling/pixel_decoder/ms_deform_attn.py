"""Mask2Former's pixel decoder: a transformer encoder with deformable attention, then steps of a feature pyramid."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec, get_norm
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers import FeedForwardLayer, sine_positions
from ..linear import PointwiseConv2d
from .deformable_attention import DeformableAttention, Shape
from .fpn import FPNPixelDecoder, convolution


class DeformableEncoderLayer(nn.Module):
    """Deformable self-attention over all levels and FFN, each with a residual and a norm."""

    def __init__(self, dim: int, num_heads: int, num_levels: int, num_points: int, feedforward_dim: int):
        super().__init__()
        self.attention = DeformableAttention(dim, num_heads, num_levels, num_points)
        self.norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForwardLayer(dim, feedforward_dim)
        for layer in self.feed_forward.map:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)

    def forward(
        self, cells: Tensor, positions: Tensor, reference_points: Tensor, spatial_shapes: Sequence[Shape]
    ) -> Tensor:
        attended = self.attention(cells + positions, reference_points, cells, spatial_shapes)
        return self.feed_forward(self.norm(cells + attended))


class DeformableEncoder(nn.Module):
    """Layers in which the cells of all levels attend to each other: feature maps to feature maps."""

    def __init__(
        self, dim: int, *, num_layers: int, num_heads: int, num_levels: int, num_points: int, feedforward_dim: int
    ):
        """
        Args:
            dim (int): d, channels of every level.
            num_layers (int): layers.
            num_heads (int), num_levels (int), num_points (int), feedforward_dim (int): of each layer.
        """
        super().__init__()
        self.level_embedding = nn.Parameter(torch.empty(num_levels, dim))
        nn.init.normal_(self.level_embedding)
        self.layers = nn.ModuleList(
            DeformableEncoderLayer(dim, num_heads, num_levels, num_points, feedforward_dim) for _ in range(num_layers)
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """
        Args:
            levels (list[Tensor]): each [F, d, h_i, w_i].

        Returns:
            list[Tensor]: of the same shapes.
        """
        spatial_shapes = [(level.shape[-2], level.shape[-1]) for level in levels]
        cells = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)  # F S d
        positions = torch.cat(
            [
                sine_positions(height, width, cells.shape[-1], cells.device) + embedding
                for (height, width), embedding in zip(spatial_shapes, self.level_embedding)
            ]
        )  # S d
        reference_points = torch.cat([_cell_centres(*shape, cells.device) for shape in spatial_shapes])  # S 2
        for layer in self.layers:
            cells = layer(cells, positions, reference_points, spatial_shapes)
        found = cells.transpose(1, 2).split([height * width for height, width in spatial_shapes], dim=-1)
        return [level.unflatten(-1, shape) for level, shape in zip(found, spatial_shapes)]


def _cell_centres(height: int, width: int, device: torch.device) -> Tensor:
    """(x, y) of each cell's centre, from 0 to 1 over the grid: float32 [height * width, 2], row by row."""
    y, x = ((torch.arange(cells, device=device) + 0.5) / cells for cells in (height, width))
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)), dim=-1).flatten(0, 1)


@SEM_SEG_HEADS_REGISTRY.register()
class MSDeformAttnPixelDecoder(nn.Module):
    """From a backbone's features to f1, f2, f3 for the decoder and f4 for the masks (sec. 2.2.1), as in Mask2Former.

    The transformer runs on every feature that is at least as coarse as the finest of f1, f2, f3. Finer strides come
    from a pyramid on top of it: each step upsamples by two, adds the backbone's feature of that stride where there is
    one, and smooths by a 3x3 convolution. So with the usual strides 32, 16, 8 and 4 it is Mask2Former's. With the
    paper's own 8, 4, 2 and 1 the transformer runs at 32, 16, 8 and 4, f1 and f2 are its levels, and f3 and f4 are
    steps without a feature.

    Mask2Former ends with a 1x1 convolution, `mask_features`. That is W2 (eq. 7), which `MaskHead` holds.
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
        num_layers: int,
        num_heads: int,
        num_points: int,
        feedforward_dim: int,
    ):
        """
        Args:
            input_shape (dict[str, ShapeSpec]): channels and stride of each feature.
            conv_dim (int): channels of every output, and the transformer's width.
            norm (str): Detectron2's name of a norm, e.g. "GN".
            level_strides (list[int]): strides of f1, f2, f3.
            mask_stride (int): stride of f4.
            num_layers (int): layers of the transformer encoder.
            num_heads (int), num_points (int), feedforward_dim (int): of each layer.

        Raises:
            ValueError: if a stride asked for is neither a feature's nor reached by halving the finest of the
                transformer's.
        """
        super().__init__()
        feature_of_stride = {shape.stride: name for name, shape in input_shape.items()}
        encoder_strides = sorted((s for s in feature_of_stride if s >= min(level_strides)), reverse=True)
        step_strides: list[int] = []
        while encoder_strides and min(encoder_strides + step_strides) > min(*level_strides, mask_stride):
            step_strides.append(min(encoder_strides + step_strides) // 2)
        for stride in (*level_strides, mask_stride):
            if stride not in encoder_strides + step_strides:
                raise ValueError(
                    f"MODEL.SEM_SEG_HEAD.LEVEL_STRIDES {list(level_strides)} and COMMON_STRIDE {mask_stride}: {stride} "
                    f"is not among the strides that IN_FEATURES {feature_of_stride} allow: "
                    f"{encoder_strides + step_strides}"
                )
        self.level_strides = list(level_strides)
        self.mask_stride = mask_stride
        self.output_dim = conv_dim
        self.size_divisibility = max(encoder_strides)
        self.encoder_features = {stride: feature_of_stride[stride] for stride in encoder_strides}
        self.step_features = {stride: feature_of_stride.get(stride) for stride in step_strides}

        self.input_projections = nn.ModuleList(
            PointwiseConv2d(input_shape[name].channels, conv_dim, norm=get_norm(norm, conv_dim))
            for name in self.encoder_features.values()
        )
        for projection in self.input_projections:
            nn.init.xavier_uniform_(projection.get_parameter("weight"))
            nn.init.zeros_(projection.get_parameter("bias"))
        self.encoder = DeformableEncoder(
            conv_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            num_levels=len(encoder_strides),
            num_points=num_points,
            feedforward_dim=feedforward_dim,
        )
        self.lateral = nn.ModuleDict(
            {
                str(stride): convolution(input_shape[name].channels, conv_dim, 1, norm)
                for stride, name in self.step_features.items()
                if name
            }
        )
        self.smooth = nn.ModuleDict(
            {str(stride): convolution(conv_dim, conv_dim, 3, norm, F.relu_) for stride in self.step_features}
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        head = cfg.MODEL.SEM_SEG_HEAD
        return {
            **FPNPixelDecoder.from_config(cfg, input_shape),
            "num_layers": head.TRANSFORMER_ENC_LAYERS,
            "num_heads": head.DEFORMABLE_TRANSFORMER_ENCODER_N_HEADS,
            "num_points": head.DEFORMABLE_TRANSFORMER_ENCODER_N_POINTS,
            "feedforward_dim": head.TRANSFORMER_DIM_FEEDFORWARD,
        }

    def forward(self, features: Mapping[str, Tensor]) -> tuple[list[Tensor], Tensor]:
        """The backbone's features, each [F, C, h, w], to f1, f2, f3 and f4, as `FPNPixelDecoder.forward`."""
        projected = [
            projection(features[name])
            for projection, name in zip(self.input_projections, self.encoder_features.values())
        ]
        pyramid = dict(zip(self.encoder_features, self.encoder(projected)))
        finest = pyramid[min(pyramid)]
        for stride, name in self.step_features.items():
            finest = F.interpolate(finest, scale_factor=2.0, mode="bilinear", align_corners=False)
            if name:
                finest = finest + self.lateral[str(stride)](features[name])
            finest = pyramid[stride] = self.smooth[str(stride)](finest)
        return [pyramid[stride] for stride in self.level_strides], pyramid[self.mask_stride]
