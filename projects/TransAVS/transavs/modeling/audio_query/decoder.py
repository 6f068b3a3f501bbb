"""The audio queries look at the frame: cross-attention to three scales, in turn (eq. 4-6)."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn

from ..layers import AttentionLayer, FeedForwardLayer, sine_positions
from ..registries import AUDIO_VISUAL_DECODER_REGISTRY, registered


def build_audio_visual_decoder(cfg: CfgNode, visual_dim: int) -> nn.Module:
    """Builds `MODEL.TRANSAVS.DECODER` for visual features of `visual_dim` channels."""
    return registered(AUDIO_VISUAL_DECODER_REGISTRY, cfg.MODEL.TRANSAVS.DECODER, "MODEL.TRANSAVS.DECODER")(
        cfg, visual_dim
    )


class DecoderLayer(nn.Module):
    """Cross-attention (eq. 6), self-attention, FFN."""

    def __init__(self, dim: int, num_heads: int, feedforward_dim: int, dropout: float):
        super().__init__()
        self.cross_attention = AttentionLayer(dim, num_heads, dropout)
        self.self_attention = AttentionLayer(dim, num_heads, dropout)
        self.feed_forward = FeedForwardLayer(dim, feedforward_dim, dropout)

    def forward(self, queries: Tensor, visual: Tensor, query_positions: Tensor, visual_positions: Tensor) -> Tensor:
        queries = self.cross_attention(queries, visual, query_positions, visual_positions)
        queries = self.self_attention(queries, queries, query_positions, query_positions)
        return self.feed_forward(queries)


@AUDIO_VISUAL_DECODER_REGISTRY.register()
class AudioVisualDecoder(nn.Module):
    """N2 layers; layer l = 1, 2, ... attends to scale (l mod 3) + 1 of f1, f2, f3 (eq. 4)."""

    @configurable
    def __init__(
        self,
        visual_dim: int,
        *,
        num_levels: int,
        num_queries: int,
        dim: int,
        num_layers: int,
        num_heads: int,
        feedforward_dim: int,
        dropout: float = 0.0,
    ):
        """
        Args:
            visual_dim (int): channels of the visual features.
            num_levels (int): scales; 3 in the paper.
            num_queries (int): N.
            dim (int): d.
            num_layers (int): N2.
            num_heads (int), feedforward_dim (int), dropout (float): of each layer.
        """
        super().__init__()
        self.visual_projections = nn.ModuleList(
            nn.Identity() if visual_dim == dim else nn.Conv2d(visual_dim, dim, 1) for _ in range(num_levels)
        )
        self.query_positions = nn.Parameter(torch.empty(num_queries, dim))
        self.level_embedding = nn.Parameter(torch.empty(num_levels, dim))
        nn.init.normal_(self.query_positions)
        nn.init.normal_(self.level_embedding)
        self.layers = nn.ModuleList(DecoderLayer(dim, num_heads, feedforward_dim, dropout) for _ in range(num_layers))

    @classmethod
    def from_config(cls, cfg: CfgNode, visual_dim: int) -> dict[str, Any]:
        keys = cfg.MODEL.TRANSAVS
        return {
            "visual_dim": visual_dim,
            "num_levels": len(cfg.MODEL.SEM_SEG_HEAD.LEVEL_STRIDES),
            "num_queries": keys.NUM_QUERIES,
            "dim": keys.HIDDEN_DIM,
            "num_layers": keys.DEC_LAYERS,
            "num_heads": keys.NHEADS,
            "feedforward_dim": keys.DIM_FEEDFORWARD,
            "dropout": keys.DROPOUT,
        }

    def forward(self, audio_queries: Tensor, levels: Sequence[Tensor]) -> list[Tensor]:
        """
        Args:
            audio_queries (Tensor): A_q, [F, N, d].
            levels (list[Tensor]): f1, f2, f3, each [F, visual_dim, h_i, w_i].

        Returns:
            list[Tensor]: F_av after each layer, [F, N, d]; the last is the result (eq. 6).
        """
        visual, positions = [], []
        for level, projection, embedding in zip(levels, self.visual_projections, self.level_embedding):
            level = projection(level)
            height, width = level.shape[-2:]
            visual.append(level.flatten(2).transpose(1, 2) + embedding)  # F hw d
            positions.append(sine_positions(height, width, level.shape[1], level.device).to(level.dtype))

        fused, after_each_layer = audio_queries, []
        for number, layer in enumerate(self.layers, start=1):
            i = number % len(visual)  # the paper's (l mod 3) + 1, counted from 0
            fused = layer(fused, visual[i], self.query_positions, positions[i])
            after_each_layer.append(fused)
        return after_each_layer
