"""Which query answers for which object: Hungarian matching, as in DETR."""

from collections.abc import Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F


class HungarianMatcher:
    """Pairs queries with objects, one to one, at the least total cost of class and mask.

    As in DETR, the class costs its negative probability, not its log; dice and BCE cost what they cost as losses.
    """

    def __init__(self, class_weight: float, dice_weight: float, mask_weight: float = 0.0):
        self.class_weight = class_weight
        self.dice_weight = dice_weight
        self.mask_weight = mask_weight

    @torch.no_grad()
    def __call__(
        self, class_logits: Tensor, mask_logits: Tensor, labels: Sequence[Tensor], masks: Sequence[Tensor]
    ) -> list[tuple[Tensor, Tensor]]:
        """
        Args:
            class_logits (Tensor): [F, N, K], of F frames.
            mask_logits (Tensor): [F, N, h, w].
            labels (list[Tensor]): for each frame, int64 [n]: its objects' classes.
            masks (list[Tensor]): for each frame, [n, h, w] in [0, 1]: its objects' masks, at the predictions' size.

        Returns:
            list[tuple[Tensor, Tensor]]: for each frame, the matched queries and their objects, int64 [min(n, N)].

        Raises:
            FloatingPointError: a prediction is infinite or NaN.
        """
        most = max((len(frame_labels) for frame_labels in labels), default=0)
        pad = torch.nn.utils.rnn.pad_sequence
        if most == 0:
            costs = class_logits.new_zeros(*class_logits.shape[:2], 0).cpu()
        else:  # one table for all frames, so that a GPU is waited for only once
            objects = pad([frame_masks.flatten(1) for frame_masks in masks], batch_first=True)  # F most hw
            classes = pad(list(labels), batch_first=True)  # F most
            costs = self._costs(class_logits.float(), mask_logits.float().flatten(2), classes, objects).cpu()
            if not torch.isfinite(costs).all():
                raise FloatingPointError(
                    "the model's classes or masks are infinite or NaN, so no query can be matched to an object: "
                    "expected finite ones (a lower learning rate, or bfloat16 for float16, may help)"
                )

        pairs = []
        for cost, frame_labels in zip(costs, labels):
            queries, objects = linear_sum_assignment(cost[:, : len(frame_labels)])
            device = class_logits.device
            pairs.append((torch.as_tensor(queries, device=device), torch.as_tensor(objects, device=device)))
        return pairs

    def _costs(self, class_logits: Tensor, mask_logits: Tensor, classes: Tensor, objects: Tensor) -> Tensor:
        """[F, N, K], [F, N, hw], [F, n], [F, n, hw] -> [F, N, n]."""
        class_probability = class_logits.softmax(-1)
        index = classes[:, None].expand(-1, class_logits.shape[1], -1)
        cost = -self.class_weight * class_probability.gather(2, index)

        mask_probability, objects = mask_logits.sigmoid(), objects.transpose(1, 2)  # F hw n
        overlap = mask_probability @ objects
        total = mask_probability.sum(2, keepdim=True) + objects.sum(1, keepdim=True)
        cost = cost + self.dice_weight * (1 - (2 * overlap + 1) / (total + 1))
        if self.mask_weight:
            inside, outside = F.softplus(-mask_logits) @ objects, F.softplus(mask_logits) @ (1 - objects)
            cost = cost + self.mask_weight * (inside + outside) / mask_logits.shape[2]
        return cost
