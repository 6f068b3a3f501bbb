"""Where the audio queries look: the weights of the decoder's cross-attentions (eq. 6), taken while a model runs."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers import AttentionLayer
from .decoder import DecoderLayer


@dataclass
class AttentionRecord:
    """What `record_attention` has seen in the model's last run.

    Args:
        layers (list[Tensor]): a decoder layer each, float32 [F, N, h, w]: how much each of N queries takes from each
            place of the layer's scale, for the F frames of all clips; the heads' mean. It sums to 1 over h, w.
        padded_size (tuple[int, int]): height and width of the padded frames that h, w cover.
    """

    layers: list[Tensor] = field(default_factory=list)
    padded_size: tuple[int, int] = (0, 0)

    def over_frames(self, query: int, image_size: tuple[int, int]) -> list[Tensor]:
        """One query's maps, enlarged to the frames without their padding; the cells stay visible.

        Args:
            query (int): 0 .. N - 1.
            image_size (tuple[int, int]): height and width of the frames as the model gets them.

        Returns:
            list[Tensor]: a layer each, [F, height, width].
        """
        enlarged = [F.interpolate(maps[:, query, None], size=self.padded_size, mode="nearest") for maps in self.layers]
        return [maps[:, 0, : image_size[0], : image_size[1]] for maps in enlarged]


@contextlib.contextmanager
def record_attention(model: nn.Module) -> Iterator[AttentionRecord]:
    """While it is open, every run of a model leaves its cross-attention in the record.

    The model itself does not change: it computes its attention in one fused step, and the weights are computed here
    once more from that step's inputs.

    Example:
        >>> with torch.no_grad(), record_attention(model) as attention:
        ...     result = model([clip])[0]
        >>> attention.layers[-1][0, result["instances"][0].query_index]  # k h w

    Args:
        model (TransAVS)

    Yields:
        AttentionRecord: of the last run.

    Raises:
        ValueError: the model's decoder has no `DecoderLayer`.
    """
    decoder = model.get_submodule("decoder")
    cross_attentions = [module.cross_attention for module in decoder.modules() if isinstance(module, DecoderLayer)]
    if not cross_attentions:
        raise ValueError(f"{type(decoder).__name__} has no DecoderLayer, whose cross-attention could be recorded")
    record = AttentionRecord()
    sizes: list[tuple[int, int]] = []  # of the run's scales

    def start(backbone: nn.Module, inputs: tuple[Tensor]) -> None:
        record.layers, record.padded_size = [], (inputs[0].shape[-2], inputs[0].shape[-1])

    def note_sizes(decoder: nn.Module, inputs: tuple[Tensor, list[Tensor]]) -> None:
        sizes[:] = [(level.shape[-2], level.shape[-1]) for level in inputs[1]]

    def note_attention(layer: AttentionLayer, inputs: tuple[Tensor, Tensor, Tensor, Tensor], output: Tensor) -> None:
        weights = attention_weights(layer, *inputs)
        # Levels with as many places are of the same shape: all are scales of one frame.
        size = next(size for size in sizes if size[0] * size[1] == weights.shape[-1])
        record.layers.append(weights.unflatten(-1, size))

    backbone = model.get_submodule("backbone")
    handles = [backbone.register_forward_pre_hook(start), decoder.register_forward_pre_hook(note_sizes)]
    handles += [layer.register_forward_hook(note_attention) for layer in cross_attentions]
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


def attention_weights(
    layer: AttentionLayer, queries: Tensor, memory: Tensor, query_positions: Tensor, memory_positions: Tensor
) -> Tensor:
    """The weights softmax(QK^T / sqrt(d / heads)) of an `AttentionLayer`, the heads' mean.

    Args:
        layer (AttentionLayer)
        queries (Tensor), memory (Tensor), query_positions (Tensor), memory_positions (Tensor): its inputs.

    Returns:
        Tensor: float32 [B, N, M], without a gradient; sums to 1 over M.
    """
    attention = layer.attention
    with torch.no_grad(), torch.autocast(queries.device.type, enabled=False):
        weights, biases = attention.in_proj_weight.float().chunk(3)[:2], attention.in_proj_bias.float().chunk(3)[:2]
        inputs = (queries + query_positions).float(), (memory + memory_positions).float()
        by_head = [
            F.linear(tensor, weight, bias).unflatten(-1, (attention.num_heads, -1)).unbind(2)
            for tensor, weight, bias in zip(inputs, weights, biases)
        ]  # heads of B N d/heads
        # One head after the other: all of them at once would take as many times the memory.
        heads = ((q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1) for q, k in zip(*by_head))
        return sum(heads) / attention.num_heads
