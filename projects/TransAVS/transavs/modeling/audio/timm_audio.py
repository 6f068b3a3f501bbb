"""Any timm image model as a small trainable audio backbone."""

from typing import Any

import timm
from detectron2.config import CfgNode, configurable
from torch import Tensor

from .registry import AUDIO_BACKBONE_REGISTRY, AudioBackbone

# Fixed, so that training and evaluation see the same input. Silence is at -4.6; the sounding stretches of the Stamps'
# sounds have a mean of -0.8 and a standard deviation of 2.0, and nearly half of a clip is silence.
LOG_MEL_MEAN, LOG_MEL_STD = -2.0, 2.0


@AUDIO_BACKBONE_REGISTRY.register()
class TimmAudioBackbone(AudioBackbone):
    """Log-mel examples [M, 1, 96, 64], taken as images of one channel, to a timm model's pooled features.

    Args:
        model_name: a timm model that takes images of 96 x 64 pixels.
        freeze: no gradient, always in evaluation mode.
    """

    @configurable
    def __init__(self, model_name: str, freeze: bool = False) -> None:
        super().__init__()
        if not timm.is_model(model_name):
            raise ValueError(
                f"MODEL.AUDIO_BACKBONE.TIMM_MODEL is {model_name!r}, which timm {timm.__version__} does not know; "
                f"timm.list_models() names those it does"
            )
        self.body = timm.create_model(model_name, pretrained=False, in_chans=1, num_classes=0)
        # Some models (MobileNetV3, ...) widen their features once more after pooling.
        self.output_dim = getattr(self.body, "head_hidden_size", self.body.num_features)
        if freeze:
            self.freeze()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {
            "model_name": cfg.MODEL.AUDIO_BACKBONE.TIMM_MODEL,
            "freeze": cfg.MODEL.AUDIO_BACKBONE.FREEZE,
        }

    def embed(self, log_mel: Tensor) -> Tensor:
        return self.body((log_mel - LOG_MEL_MEAN) / LOG_MEL_STD)
