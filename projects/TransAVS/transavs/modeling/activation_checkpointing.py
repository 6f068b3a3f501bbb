"""Gradient checkpointing (Chen et al., arXiv 1604.06174): less memory for more time."""

import functools

from detectron2.layers import CNNBlockBase
from torch import nn
from torch.utils.checkpoint import checkpoint

from .audio_query.decoder import DecoderLayer
from .layers import AttentionLayer, FeedForwardLayer
from .pixel_decoder.ms_deform_attn import DeformableEncoderLayer

# The outermost of a model's blocks count; `TimmBackbone` leaves its own to timm.
BLOCKS = (CNNBlockBase, DeformableEncoderLayer, DecoderLayer, AttentionLayer, FeedForwardLayer)


def checkpoint_blocks(module: nn.Module) -> None:
    """Lets every block below `module` keep its inputs alone and compute the rest again in the backward pass.

    Outputs and gradients stay the same, as do names and weights. Running statistics of batch norm move twice a step.
    """
    for child in module.children():
        if isinstance(child, BLOCKS):
            forward = functools.partial(checkpoint, child.forward, use_reentrant=False)
            setattr(child, "forward", forward)  # noqa: B010  an assignment is an error to mypy
        else:
            checkpoint_blocks(child)
