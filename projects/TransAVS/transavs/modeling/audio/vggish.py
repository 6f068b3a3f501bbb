"""VGGish (Hershey et al., ICASSP 2017), with the checkpoint keys of its public PyTorch port, `torchvggish`."""

import torch
from detectron2.config import configurable
from fvcore.nn.weight_init import c2_msra_fill
from torch import nn

from ...weights.reading import read_state_dict
from .registry import AUDIO_BACKBONE_REGISTRY, AudioBackbone

# Convolutions of each stage; a 2 x 2 max-pooling ends it.
STAGE_CHANNELS = ((64,), (128,), (256, 256), (512, 512))
HIDDEN_DIM = 4096
EMBEDDING_DIM = 128


@AUDIO_BACKBONE_REGISTRY.register()
class VGGish(AudioBackbone):
    """Log-mel examples [M, 1, 96, 64] to embeddings [M, 128], which are not negative.

    Args:
        weights (str): checkpoint such as `vggish-10086976.pth`; "" keeps random weights.
        freeze (bool): no gradient, always in evaluation mode.
    """

    output_dim = EMBEDDING_DIM

    @configurable
    def __init__(self, weights="", freeze=False):
        super().__init__()
        self.features = _convolutions()
        self.embeddings = nn.Sequential(
            nn.Linear(STAGE_CHANNELS[-1][-1] * 6 * 4, HIDDEN_DIM),
            nn.ReLU(inplace=True),
            nn.Linear(HIDDEN_DIM, HIDDEN_DIM),
            nn.ReLU(inplace=True),
            nn.Linear(HIDDEN_DIM, EMBEDDING_DIM),
            nn.ReLU(inplace=True),
        )
        if not weights:
            self._initialize()
        self.load_and_freeze(weights, freeze)

    @classmethod
    def from_config(cls, cfg):
        return {"weights": cfg.MODEL.AUDIO_BACKBONE.WEIGHTS, "freeze": cfg.MODEL.AUDIO_BACKBONE.FREEZE}

    def embed(self, log_mel):
        features = self.features(log_mel)  # M 512 6 4
        # The published weights come from TensorFlow, where channels are last.
        return self.embeddings(features.permute(0, 2, 3, 1).flatten(1))

    def _initialize(self):
        """He's initialisation: with torch's own, nine layers without normalisation leave next to no signal."""
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                c2_msra_fill(layer)


class VGGishPostprocessor(nn.Module):
    """The PCA, whitening and quantisation to 8 bits with which AudioSet's embeddings were published.

    Args:
        pca_eigen_vectors (tensor [128, 128])
        pca_means (tensor [128] or [128, 1])
    """

    LOWEST, HIGHEST = -2.0, 2.0

    def __init__(self, pca_eigen_vectors, pca_means):
        super().__init__()
        self.register_buffer("pca_eigen_vectors", pca_eigen_vectors.float())
        self.register_buffer("pca_means", pca_means.float().reshape(-1, 1))

    @classmethod
    def from_file(cls, path):
        """Reads a dict with the keys `pca_eigen_vectors` and `pca_means`, tensors or arrays, as torchvggish ships."""
        parameters = read_state_dict(path)
        missing = {"pca_eigen_vectors", "pca_means"} - set(parameters)
        if missing:
            raise ValueError(f"{path}: no {', '.join(sorted(missing))}, expected the parameters of VGGish's PCA")
        return cls(parameters["pca_eigen_vectors"], parameters["pca_means"])

    def forward(self, embeddings):
        """
        Args:
            embeddings (tensor [M, 128])

        Returns:
            float tensor [M, 128] of whole numbers from 0 to 255
        """
        whitened = (self.pca_eigen_vectors @ (embeddings.T - self.pca_means)).T
        clipped = whitened.clamp(self.LOWEST, self.HIGHEST)
        return torch.round((clipped - self.LOWEST) * (255.0 / (self.HIGHEST - self.LOWEST)))


def _convolutions():
    layers, in_channels = [], 1
    for stage in STAGE_CHANNELS:
        for channels in stage:
            layers += [nn.Conv2d(in_channels, channels, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
            in_channels = channels
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)
