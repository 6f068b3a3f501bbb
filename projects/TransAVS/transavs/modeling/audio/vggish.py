"""VGGish (Hershey et al., ICASSP 2017), with the checkpoint keys of its public PyTorch port, `torchvggish`."""

from typing import Any

from detectron2.config import CfgNode, configurable
from fvcore.nn.weight_init import c2_msra_fill
from torch import Tensor, nn

from ..linear import Linear
from .registry import AUDIO_BACKBONE_REGISTRY, AudioBackbone

# Convolutions of each stage; a 2 x 2 max-pooling ends it.
STAGE_CHANNELS = ((64,), (128,), (256, 256), (512, 512))
HIDDEN_DIM = 4096
EMBEDDING_DIM = 128


@AUDIO_BACKBONE_REGISTRY.register()
class VGGish(AudioBackbone):
    """Log-mel examples [M, 1, 96, 64] to embeddings [M, 128], which are not negative.

    Args:
        freeze: no gradient, always in evaluation mode.
    """

    output_dim = EMBEDDING_DIM

    @configurable
    def __init__(self, freeze: bool = False) -> None:
        super().__init__()
        self.features = _convolutions()
        self.embeddings = nn.Sequential(
            Linear(STAGE_CHANNELS[-1][-1] * 6 * 4, HIDDEN_DIM),
            nn.ReLU(inplace=True),
            Linear(HIDDEN_DIM, HIDDEN_DIM),
            nn.ReLU(inplace=True),
            Linear(HIDDEN_DIM, EMBEDDING_DIM),
            nn.ReLU(inplace=True),
        )
        self._initialize()
        if freeze:
            self.freeze()

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        return {"freeze": cfg.MODEL.AUDIO_BACKBONE.FREEZE}

    def embed(self, log_mel: Tensor) -> Tensor:
        features = self.features(log_mel)  # M 512 6 4
        # The published weights come from TensorFlow, where channels are last.
        return self.embeddings(features.permute(0, 2, 3, 1).flatten(1))

    def _initialize(self) -> None:
        """He's initialisation: with torch's own, nine layers without normalisation leave next to no signal."""
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                c2_msra_fill(layer)


def _convolutions() -> nn.Sequential:
    layers: list[nn.Module] = []
    in_channels = 1
    for stage in STAGE_CHANNELS:
        for channels in stage:
            layers += [nn.Conv2d(in_channels, channels, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
            in_channels = channels
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)
