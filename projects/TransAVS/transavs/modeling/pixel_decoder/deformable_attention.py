"""Multi-scale deformable attention (Deformable DETR, arXiv 2010.04159) in plain PyTorch: nothing to compile."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..linear import Linear

Shape = tuple[int, int]  # height and width of a level, in cells


class DeformableAttention(nn.Module):
    """Each query looks at a few points around its own place, on every level; how far and how much, it says itself."""

    def __init__(self, dim: int, num_heads: int, num_levels: int, num_points: int):
        """
        Args:
            dim (int): d, of queries and values.
            num_heads (int): heads; they divide d.
            num_levels (int): feature maps.
            num_points (int): points per query, head and level.
        """
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"deformable attention: {num_heads} heads do not divide a width of {dim}")
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points
        self.sampling_offsets = Linear(dim, num_heads * num_levels * num_points * 2)
        self.attention_weights = Linear(dim, num_heads * num_levels * num_points)
        self.value_projection = Linear(dim, dim)
        self.output_projection = Linear(dim, dim)
        self._init_weights()

    def _init_weights(self) -> None:
        """At first each head looks its own way, its n-th point n cells far, and weighs all points alike."""
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        ways = torch.stack((angles.cos(), angles.sin()), dim=-1)
        ways = ways / ways.abs().amax(-1, keepdim=True)  # heads 2, on the edge of a square
        cells = torch.arange(1, self.num_points + 1)[:, None]
        offsets = (ways[:, None, None] * cells).expand(-1, self.num_levels, -1, -1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.flatten())
        for weight in (self.sampling_offsets.weight, self.attention_weights.weight, self.attention_weights.bias):
            nn.init.zeros_(weight)
        for projection in (self.value_projection, self.output_projection):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(
        self, queries: Tensor, reference_points: Tensor, values: Tensor, spatial_shapes: Sequence[Shape]
    ) -> Tensor:
        """
        Args:
            queries (Tensor): [F, N, d], positions added.
            reference_points (Tensor): float [N, 2], each query's place as (x, y), from 0 to 1 over the frame.
            values (Tensor): [F, S, d], the levels' cells one after the other, row by row.
            spatial_shapes (list[tuple[int, int]]): (height, width) of each level, in cells.

        Returns:
            Tensor: [F, N, d].
        """
        values = self.value_projection(values).unflatten(-1, (self.num_heads, -1))  # F S heads d/heads
        weights = _softmax_of_few(self.attention_weights(queries).unflatten(-1, (self.num_heads, -1)))
        weights = weights.unflatten(-1, (self.num_levels, self.num_points))  # F N heads levels points
        locations = self._locations(self.sampling_offsets(queries), reference_points, spatial_shapes)
        return self.output_projection(sample_and_weigh(values, spatial_shapes, locations, weights))

    def _locations(self, offsets: Tensor, reference_points: Tensor, spatial_shapes: Sequence[Shape]) -> Tensor:
        """Offsets in cells, [F, N, heads * levels * points * 2], to places: [F, N, heads, levels, points, 2].

        Places and sizes are laid out as the offsets are: broadcasting along axes of 2 is ten times slower on a CPU.
        """
        sizes = reference_points.new_tensor([(width, height) for height, width in spatial_shapes])[:, None]
        cells = sizes.expand(self.num_heads, -1, self.num_points, -1).flatten()
        centres = reference_points.repeat(1, len(cells) // 2)
        return (centres + offsets / cells).unflatten(-1, (self.num_heads, self.num_levels, self.num_points, 2))


def _softmax_of_few(logits: Tensor) -> Tensor:
    """Softmax over a short last axis, [..., k]: on a CPU PyTorch's is ten times slower there than over the first."""
    return logits.flatten(0, -2).t().contiguous().softmax(0).t().contiguous().view_as(logits)


def sample_and_weigh(
    values: Tensor, spatial_shapes: Sequence[Shape], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """The sum of bilinear samples of feature maps, each times its weight; outside a map everything is 0.

    Computed in at least float32 also under autocast, since places need the digits. On a CPU by bags of rows, which is
    several times faster there and keeps no sample; elsewhere, and where a graph is traced, by `grid_sample`.

    Args:
        values (Tensor): [F, S, heads, c], the levels' cells one after the other, row by row.
        spatial_shapes (list[tuple[int, int]]): (height, width) of each level, in cells; they add up to S.
        sampling_locations (Tensor): [F, N, heads, levels, points, 2], (x, y) from 0 to 1 over the frame.
        attention_weights (Tensor): [F, N, heads, levels, points].

    Returns:
        Tensor: [F, N, heads * c], of the values' dtype.
    """
    dtype = torch.promote_types(values.dtype, torch.float32)
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
    sample = _sample_by_bags if values.device.type == "cpu" and not traced else _sample_by_grid
    with torch.autocast(values.device.type, enabled=False):
        sampled = sample(values.to(dtype), spatial_shapes, sampling_locations.to(dtype), attention_weights.to(dtype))
    return sampled.to(values.dtype)


def _sample_by_grid(
    values: Tensor, spatial_shapes: Sequence[Shape], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """`sample_and_weigh` by one `grid_sample` per level."""
    levels = values.permute(0, 2, 3, 1).flatten(0, 1).split([height * width for height, width in spatial_shapes], -1)
    grids = (2 * sampling_locations - 1).transpose(1, 2).flatten(0, 1).unbind(2)  # levels of: F.heads N points 2
    weights = attention_weights.transpose(1, 2).flatten(0, 1).unbind(2)  # levels of: F.heads N points
    sums = []  # of each level: F.heads c N
    for level, shape, grid, weight in zip(levels, spatial_shapes, grids, weights):
        samples = F.grid_sample(level.unflatten(-1, shape), grid, align_corners=False)  # F.heads c N points
        sums.append((samples * weight[:, None]).sum(-1))
    return sum(sums[1:], start=sums[0]).unflatten(0, (values.shape[0], -1)).permute(0, 3, 1, 2).flatten(2)


def _sample_by_bags(
    values: Tensor, spatial_shapes: Sequence[Shape], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """`sample_and_weigh` by weighted sums of rows of a table, which `embedding_bag` does without storing a sample.

    The table is a canvas, the levels below each other and each in a frame of zeros. So a point's four corners lie at
    the same four distances wherever it is, and one index a point serves them all; what is outside needs no mask.
    """
    num_frames, _, num_heads, _ = values.shape
    canvas, first_rows = _canvas(values, spatial_shapes)
    _, canvas_height, canvas_width, _, channels = canvas.shape

    def of_each_point(numbers: Sequence[int]) -> Tensor:
        return values.new_tensor(numbers).repeat_interleave(sampling_locations.shape[4])  # levels.points

    heights, widths = (of_each_point(sides) for sides in zip(*spatial_shapes))
    x, y = sampling_locations.flatten(3, 4).unbind(-1)  # F N heads levels.points
    column, to_right = _cell_before(x, widths)
    row, to_below = _cell_before(y, heights)
    cell = (of_each_point(first_rows).int() + row) * canvas_width + 1 + column
    frame = torch.arange(num_frames, dtype=torch.int32, device=values.device)[:, None, None, None]
    head = torch.arange(num_heads, dtype=torch.int32, device=values.device)[:, None]
    index = (frame * (canvas_height * canvas_width) + cell) * num_heads + head

    below = attention_weights.flatten(3) * to_below
    above = attention_weights.flatten(3) - below
    above_right, below_right = above * to_right, below * to_right
    corner_weights = (above - above_right, above_right, below - below_right, below_right)
    corners = [corner * num_heads for corner in (0, 1, canvas_width, canvas_width + 1)]
    sums = _WeighedRows.apply(
        canvas.view(-1, channels), index.flatten(0, 2), corners, *(weight.flatten(0, 2) for weight in corner_weights)
    )
    return sums.view(num_frames, -1, num_heads * channels)


def _canvas(values: Tensor, spatial_shapes: Sequence[Shape]) -> tuple[Tensor, list[int]]:
    """The levels below each other, framed by zeros: [F, rows, columns, heads, c]; and each level's first row."""
    columns = max(width for _, width in spatial_shapes) + 2
    framed, first_rows, rows = [], [], 0
    for level, (height, width) in zip(values.split([h * w for h, w in spatial_shapes], 1), spatial_shapes):
        framed.append(F.pad(level.unflatten(1, (height, width)), (0, 0, 0, 0, 1, columns - width - 1, 1, 1)))
        first_rows.append(rows + 1)
        rows += height + 2
    return torch.cat(framed, dim=1), first_rows


def _cell_before(location: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Along one axis: the last cell, int32, whose centre is not beyond the location, and how far beyond it that is.

    Locations further out than the frame of zeros are taken back onto it. NaN gives a cell that exists.
    """
    place = torch.clamp(location * size - 0.5, size.new_tensor(-1), size)
    cell = place.detach().floor().int().clamp(min=-1).minimum(size.int() - 1)
    return cell, place - cell


class _WeighedRows(torch.autograd.Function):
    """sum over corners k and points p of weights_k[bag, p] * table[index[bag, p] + corners[k]]: [bags, c].

    The sums' own gradient would sort all corners; they share one index here, so that sorting the points is enough.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, corners: list[int], *weights: Tensor) -> Tensor:
        ctx.save_for_backward(table, index, *weights)
        ctx.corners = corners
        total = _bags(table, index, corners[0], weights[0])
        for corner, weight in zip(corners[1:], weights[1:]):
            total += _bags(table, index, corner, weight)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        table, index, *weights = ctx.saved_tensors
        gradient = gradient.contiguous()
        # A weight's is its bag's gradient times its row of the table: some entries of a matrix product, at each corner
        # the same. The sums' own gradient takes each by itself, five times as long.
        num_rows = len(table) - max(ctx.corners)
        entries = _entries(index, num_rows, gradient)
        of_weights = [
            torch.sparse.sampled_addmm(entries, gradient, table[corner : corner + num_rows].t(), beta=0.0)
            .values()
            .view_as(index)
            for corner in ctx.corners
        ]

        # The other way round: a row of the table gets the gradients of the bags that it is in.
        row, order = index.flatten().sort()
        ends = torch.bincount(row, minlength=len(table)).cumsum(0)
        bag = order // index.shape[1]
        of_table = torch.zeros_like(table)
        for corner, weight in zip(ctx.corners, weights):
            of_table[corner:] += F.embedding_bag(
                bag,
                gradient,
                F.pad(ends[: len(table) - corner], (1, 0)),
                mode="sum",
                include_last_offset=True,
                per_sample_weights=weight.flatten()[order],
            )
        return of_table, None, None, *of_weights


def _bags(table: Tensor, index: Tensor, corner: int, weights: Tensor) -> Tensor:
    return F.embedding_bag(index, table[corner:], mode="sum", per_sample_weights=weights)


def _entries(index: Tensor, num_columns: int, like: Tensor) -> Tensor:
    """The entries (i, index[i, p]) of a matrix of `num_columns`, int [n, p], as a sparse one of zeros."""
    starts = torch.arange(0, index.numel() + 1, index.shape[1], dtype=index.dtype, device=index.device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            starts, index.flatten(), like.new_zeros(index.numel()), (len(index), num_columns), check_invariants=False
        )
