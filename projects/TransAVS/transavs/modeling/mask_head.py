"""From the fused queries to masks (eq. 7) and to the probability of sounding (eq. 8)."""

import math

from torch import Tensor, nn

from .linear import PointwiseConv2d, linear

PRIOR_PROBABILITY = 0.01  # of a class before training, as in the focal loss's paper: most queries find no object


class MaskHead(nn.Module):
    """g, the classifier, and W2, the 1x1 convolution on f4. Sigmoid and softmax are left to losses and inference."""

    def __init__(self, dim: int, visual_dim: int, num_classes: int):
        """
        Args:
            dim (int): d, width of the queries.
            visual_dim (int): channels of f4.
            num_classes (int): classes that sound; the no-object class comes on top, as the last one.
        """
        super().__init__()
        self.classifier = nn.Linear(dim, num_classes + 1)  # g
        self.mask_projection = PointwiseConv2d(visual_dim, dim)  # W2
        nn.init.zeros_(self.classifier.bias)
        nn.init.constant_(
            self.classifier.bias[-1:], math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY * num_classes)
        )
        # A query's entries are of size 1 and there are d of them: this keeps first mask logits of size 1 as well.
        nn.init.normal_(self.mask_projection.weight, std=1 / math.sqrt(dim * visual_dim))
        nn.init.zeros_(self.mask_projection.get_parameter("bias"))

    def class_logits(self, fused: Tensor) -> Tensor:
        """F_av [..., N, d] -> [..., N, num_classes + 1]."""
        return self.classifier(fused)

    def project(self, mask_features: Tensor) -> Tensor:
        """f4 [F, visual_dim, h, w] -> W2 f4 [F, d, h, w]."""
        return self.mask_projection(mask_features)


def mask_logits(fused: Tensor, projected: Tensor) -> Tensor:
    """F_av W2 f4 (eq. 7, before the sigmoid).

    Args:
        fused (Tensor): F_av, [..., N, d].
        projected (Tensor): W2 f4, [d, h, w] of one frame or [..., d, h, w].

    Returns:
        Tensor: [..., N, h, w].
    """
    pixels = projected.flatten(-2).transpose(-2, -1)  # ... hw d
    logits = linear(fused, pixels) if pixels.dim() == 2 else fused @ pixels.transpose(-2, -1)
    return logits.unflatten(-1, projected.shape[-2:])
