"""The supervised losses: focal classification and dice (sec. 2.3); pixel-wise BCE beside them is not the paper's."""

from torch import Tensor
from torch.nn import functional as F


def softmax_focal_loss(class_logits: Tensor, labels: Tensor, gamma: float, class_weight: Tensor) -> Tensor:
    """The focal loss over K classes: -w (1 - p)^gamma log p, p the probability of the right class.

    Args:
        class_logits (Tensor): [..., K].
        labels (Tensor): int64 [...].
        gamma (float): how much less the easy ones count; 0 gives weighted cross-entropy.
        class_weight (Tensor): w, [K].

    Returns:
        Tensor: [...], one value for each label.
    """
    log_probability = F.log_softmax(class_logits, dim=-1).gather(-1, labels[..., None])[..., 0]
    return -class_weight[labels] * (1 - log_probability.exp()) ** gamma * log_probability


def dice_loss(mask_logits: Tensor, masks: Tensor) -> Tensor:
    """1 - (2 |p t| + 1) / (|p| + |t| + 1), as in MaskFormer.

    Args:
        mask_logits (Tensor): [n, H, W].
        masks (Tensor): ground truth in [0, 1], [n, H, W].

    Returns:
        Tensor: [n].
    """
    probability, masks = mask_logits.sigmoid().flatten(1), masks.flatten(1)
    overlap = (probability * masks).sum(1)
    return 1 - (2 * overlap + 1) / (probability.sum(1) + masks.sum(1) + 1)


def mask_bce_loss(mask_logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross-entropy, mean over pixels: [n, H, W] and [n, H, W] -> [n]."""
    return F.binary_cross_entropy_with_logits(mask_logits, masks, reduction="none").flatten(1).mean(1)
