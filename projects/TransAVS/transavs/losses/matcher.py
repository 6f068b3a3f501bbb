"""Which query answers for which object: Hungarian matching, as in DETR."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

HIGHEST_COST = 1e9  # in place of one that is infinite or NaN, which no assignment can be made of


class Pairs(NamedTuple):
    """The matched queries and objects of F frames by L predictions each.

    In each of the L predictions a frame of n objects has min(n, N) pairs; P are those of all frames.

    Args:
        frames: int64 [P], in rising order.
        queries: int64 [L, P].
        objects: int64 [L, P], counted within the frame.
    """

    frames: NDArray[np.int64]
    queries: NDArray[np.int64]
    objects: NDArray[np.int64]


class HungarianMatcher:
    """Pairs queries with objects, one to one, at the least total cost of class and mask.

    As in DETR, the class costs its negative probability, not its log; dice and BCE cost what they cost as losses. The
    costs are tensors, computed where the predictions lie; the pairs are NumPy's, on the host: so a GPU is waited for
    once, when the caller fetches the costs of all layers together.
    """

    def __init__(self, class_weight: float, dice_weight: float, mask_weight: float = 0.0):
        self.class_weight = class_weight
        self.dice_weight = dice_weight
        self.mask_weight = mask_weight

    @torch.no_grad()
    def costs(self, class_logits: Tensor, mask_logits: Tensor, labels: Tensor, masks: Tensor) -> Tensor:
        """
        Args:
            class_logits (Tensor): [..., N, K], predictions for one frame.
            mask_logits (Tensor): [..., N, h, w].
            labels (Tensor): int64 [n], its objects' classes.
            masks (Tensor): [n, h, w] in [0, 1], their masks, at the predictions' size.

        Returns:
            Tensor: float32 [..., N, n].
        """
        cost = -self.class_weight * class_logits.float().softmax(-1)[..., labels]

        logits, objects = mask_logits.float().flatten(-2), masks.flatten(1).t()  # ... N hw, hw n
        # Both sums over pixels at once, since reading the masks is what takes the time.
        sums = logits.sigmoid() @ torch.cat([objects, torch.ones_like(objects[:, :1])], dim=1)
        overlap, total = sums[..., :-1], sums[..., -1:] + objects.sum(0)
        cost = cost + self.dice_weight * (1 - (2 * overlap + 1) / (total + 1))
        if self.mask_weight:
            inside, outside = F.softplus(-logits) @ objects, F.softplus(logits) @ (1 - objects)
            cost = cost + self.mask_weight * (inside + outside) / logits.shape[-1]
        return cost

    def pair(self, costs: NDArray[np.floating[Any]], counts: Sequence[int]) -> Pairs:
        """
        Args:
            costs: [L, F, N, n].
            counts: objects of each frame.

        Returns:
            Pairs
        """
        # An infinite prediction costs the most, and the losses tell of it: float16 may overflow in a step.
        costs = np.nan_to_num(costs, nan=HIGHEST_COST, posinf=HIGHEST_COST, neginf=HIGHEST_COST)
        matched = [
            [linear_sum_assignment(cost[:, :count]) for cost, count in zip(of_layer, counts)] for of_layer in costs
        ]
        queries, objects = (
            np.stack([np.concatenate([pairs[side] for pairs in of_layer]) for of_layer in matched]) for side in (0, 1)
        )
        sizes = np.minimum(counts, costs.shape[2])
        return Pairs(np.repeat(np.arange(len(counts)), sizes), queries, objects)
