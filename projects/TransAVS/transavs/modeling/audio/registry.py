"""The registry of audio backbones, and what all of them share."""

import torch
from detectron2.utils.registry import Registry
from torch import nn

from ...weights.loading import load_weights
from ..registries import registered

AUDIO_BACKBONE_REGISTRY = Registry("AUDIO_BACKBONE")
AUDIO_BACKBONE_REGISTRY.__doc__ = """
Audio backbones: `AudioBackbone`s that give the sound's features F_a (sec. 2.2.1). A registered class is called with
the config alone.
"""


def build_audio_backbone(cfg):
    """Builds the audio backbone that `cfg.MODEL.AUDIO_BACKBONE.NAME` names.

    Raises:
        KeyError: no backbone of that name is registered; it names the key and those there are.
    """
    build = registered(AUDIO_BACKBONE_REGISTRY, cfg.MODEL.AUDIO_BACKBONE.NAME, "MODEL.AUDIO_BACKBONE.NAME")
    return build(cfg)


class AudioBackbone(nn.Module):
    """From log-mel examples to one feature vector each.

    A subclass sets `output_dim`, implements `embed`, and calls `load_and_freeze` at the end of its `__init__`.
    """

    output_dim: int
    frozen = False

    def embed(self, log_mel):
        """Args: float32 [M, 1, 96, 64]. Returns: [M, output_dim]"""
        raise NotImplementedError

    def forward(self, log_mel):
        """
        Args:
            log_mel (tensor [M, 1, 96, 64]): VGGish's log-mel examples, unscaled.

        Returns:
            tensor [M, output_dim]; without a gradient where the backbone is frozen
        """
        if not self.frozen:
            return self.embed(log_mel)
        with torch.no_grad():
            return self.embed(log_mel)

    def train(self, mode=True):
        """A frozen backbone stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def load_and_freeze(self, weights, freeze):
        """
        Args:
            weights (str): path or address of a state dict; "" keeps the random weights.
            freeze (bool): no gradient, and always in evaluation mode.
        """
        if weights:
            load_weights(self, weights, key="MODEL.AUDIO_BACKBONE.WEIGHTS")
        if not freeze:
            return
        self.requires_grad_(False)
        self.frozen = True
        self.eval()
