"""The registry of audio backbones, and what all of them share."""

from typing import Self

import torch
from detectron2.config import CfgNode
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from ..registries import registered

AUDIO_BACKBONE_REGISTRY = Registry("AUDIO_BACKBONE")
AUDIO_BACKBONE_REGISTRY.__doc__ = """
Audio backbones: `AudioBackbone`s that give the sound's features F_a (sec. 2.2.1). A registered class is called with
the config alone.
"""


def build_audio_backbone(cfg: CfgNode) -> "AudioBackbone":
    """Builds the audio backbone that `cfg.MODEL.AUDIO_BACKBONE.NAME` names.

    Raises:
        KeyError: no backbone of that name is registered; it names the key and those there are.
    """
    build = registered(AUDIO_BACKBONE_REGISTRY, cfg.MODEL.AUDIO_BACKBONE.NAME, "MODEL.AUDIO_BACKBONE.NAME")
    return build(cfg)


class AudioBackbone(nn.Module):
    """From log-mel examples to one feature vector each.

    A subclass sets `output_dim` and implements `embed`. Where the config asks for it, its `__init__` ends by calling
    `freeze`.
    """

    output_dim: int
    frozen: bool = False

    def embed(self, log_mel: Tensor) -> Tensor:
        """Args: float32 [M, 1, 96, 64]. Returns: [M, output_dim]"""
        raise NotImplementedError

    def forward(self, log_mel: Tensor) -> Tensor:
        """
        Args:
            log_mel: float32 [M, 1, 96, 64], VGGish's log-mel examples, unscaled.

        Returns:
            Tensor: [M, output_dim]; without a gradient where the backbone is frozen
        """
        if not self.frozen:
            return self.embed(log_mel)
        with torch.no_grad():
            return self.embed(log_mel)

    def train(self, mode: bool = True) -> Self:
        """A frozen backbone stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def freeze(self) -> None:
        """From now on without a gradient, and always in evaluation mode."""
        self.requires_grad_(False)
        self.frozen = True
        self.eval()
