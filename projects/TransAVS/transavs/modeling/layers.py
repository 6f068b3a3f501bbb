"""The inner parts of the encoder's and the decoder's layers: post-norm, as in DETR."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .linear import Linear, linear


class AttentionLayer(nn.Module):
    """Multi-head attention with a residual and a norm (eq. 2, 3, 6).

    It is self-attention when `memory` is the queries themselves. Positions are added to queries and keys, not to
    values, as in DETR and Mask2Former.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, num_heads, dropout=dropout, batch_first=True)
        self.norm = nn.LayerNorm(dim)

    def forward(self, queries: Tensor, memory: Tensor, query_positions: Tensor, memory_positions: Tensor) -> Tensor:
        """
        Args:
            queries (Tensor): [B, N, d].
            memory (Tensor): [B, M, d], what is attended to.
            query_positions (Tensor): broadcastable to `queries`.
            memory_positions (Tensor): broadcastable to `memory`.

        Returns:
            Tensor: [B, N, d].
        """
        # With the weights of nn.MultiheadAttention, whose own forward swaps batch and sequence: copies at each step.
        inputs = queries + query_positions, memory + memory_positions, memory
        weights, biases = self.attention.in_proj_weight.chunk(3), self.attention.in_proj_bias.chunk(3)
        query, key, value = (
            linear(tensor, weight, bias).unflatten(-1, (self.attention.num_heads, -1)).transpose(1, 2)
            for tensor, weight, bias in zip(inputs, weights, biases)
        )  # B heads N d/heads
        dropout = self.attention.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout).transpose(1, 2).flatten(2)
        out = self.attention.out_proj
        return self.norm(queries + linear(attended, out.weight, out.bias))


class FeedForwardLayer(nn.Module):
    """Two linear maps with a residual and a norm: [..., d] -> [..., d]."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float = 0.0):
        super().__init__()
        self.map = nn.Sequential(
            Linear(dim, hidden_dim), nn.ReLU(inplace=True), nn.Dropout(dropout), Linear(hidden_dim, dim)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, queries: Tensor) -> Tensor:
        return self.norm(queries + self.map(queries.flatten(0, -2)).view_as(queries))


def sine_positions(
    height: int, width: int, dim: int, device: torch.device | None = None, temperature: float = 10000.0
) -> Tensor:
    """Fixed positions of a grid's cells: sines and cosines of y in the first half of d, of x in the second (DETR).

    Coordinates run from 0 to 2 pi over the grid, whatever its size.

    Args:
        height (int), width (int): cells.
        dim (int): d, a multiple of 4.
        device (torch.device): where the result lies.

    Returns:
        Tensor: float32 [height * width, d], row by row.
    """
    if dim % 4:
        raise ValueError(f"sine positions need a width d that is a multiple of 4, got {dim}")
    frequencies = temperature ** -torch.arange(0, 1, 4 / dim, device=device)  # d/4
    angles = []
    for cells in (height, width):
        coordinate = torch.arange(1, cells + 1, device=device) * (2 * math.pi / cells)
        angle = coordinate[:, None] * frequencies
        angles.append(torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1))  # cells d/2
    rows = angles[0][:, None].expand(height, width, dim // 2)
    columns = angles[1][None].expand(height, width, dim // 2)
    return torch.cat((rows, columns), dim=-1).flatten(0, 1)
