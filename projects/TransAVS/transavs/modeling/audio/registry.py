"""The registry of audio backbones, and what all of them share."""

import logging

import numpy as np
import torch
from detectron2.utils.file_io import PathManager
from detectron2.utils.registry import Registry
from torch import nn

from ..registries import registered

logger = logging.getLogger(__name__)

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
            load_weights(self, weights)
        if not freeze:
            return
        if not weights:
            logger.warning(
                "MODEL.AUDIO_BACKBONE.FREEZE is on but MODEL.AUDIO_BACKBONE.WEIGHTS is empty: %s HAS RANDOM WEIGHTS "
                "THAT WILL NEVER TRAIN, unless a checkpoint of the whole model brings its own. Give WEIGHTS or set "
                "FREEZE to False.",
                type(self).__name__,
            )
        self.requires_grad_(False)
        self.frozen = True
        self.eval()


def load_weights(model, weights):
    """Loads a state dict that must fit the model.

    Args:
        model (nn.Module)
        weights (str): path or address, opened by Detectron2's PathManager.

    Raises:
        ValueError: the file is missing, unreadable, no state dict, or its keys or shapes differ from the model's.
    """
    found = read_checkpoint(weights)
    expected = model.state_dict()
    problems = [f"no {key} {list(expected[key].shape)}" for key in expected if key not in found]
    problems += [f"unknown {key}" for key in found if key not in expected]
    problems += [
        f"{key} has shape {list(found[key].shape)}, expected {list(expected[key].shape)}"
        for key in expected
        if key in found and found[key].shape != expected[key].shape
    ]
    if problems:
        raise ValueError(f"{weights}: does not fit {type(model).__name__}: {'; '.join(problems)}")
    model.load_state_dict(found)


def read_checkpoint(weights):
    """Reads a dict of tensors.

    Args:
        weights (str): path or address, opened by Detectron2's PathManager.

    Returns:
        dict[str, tensor], on the CPU; arrays become tensors

    Raises:
        ValueError: the file is missing, unreadable, or not a dict of tensors or arrays.
    """
    try:
        with PathManager.open(weights, "rb") as file, torch.serialization.safe_globals(_numpy_globals()):
            found = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"{weights}: no such file, expected a checkpoint of an audio backbone") from error
    # torch.load has no exception of its own; whatever it is, the reader needs the file's name.
    except Exception as error:
        raise ValueError(f"{weights}: not a readable checkpoint ({type(error).__name__}: {error})") from error
    values = found.values() if isinstance(found, dict) else [found]
    if not isinstance(found, dict) or not all(isinstance(value, (torch.Tensor, np.ndarray)) for value in values):
        raise ValueError(f"{weights}: expected a dict of tensors (a state dict)")
    return {key: torch.as_tensor(value) for key, value in found.items()}


def _numpy_globals():
    """What torch.load needs to rebuild arrays of floats, which VGGish's PCA parameters are."""
    reconstruct = np.zeros(1).__reduce__()[0]
    return [
        (reconstruct, "numpy.core.multiarray._reconstruct"),  # where numpy 1 wrote it
        (reconstruct, "numpy._core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        type(np.dtype(np.float32)),
        type(np.dtype(np.float64)),
    ]
