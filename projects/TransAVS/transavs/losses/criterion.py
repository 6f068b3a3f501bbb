"""The training objective (eq. 13): supervised losses on matched queries, AQDL and AQML on confident ones."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from .matcher import HungarianMatcher
from .query_losses import audio_query_distance_loss, audio_query_mask_loss, pairs_below
from .supervised_losses import dice_loss, mask_bce_loss, softmax_focal_loss


class Criterion(nn.Module):
    """L = lambda1 AQDL + lambda2 AQML + lambda3 class + lambda4 dice (eq. 13), summed over the decoder layers given.

    Nothing is computed that no loss needs: of the N masks of a frame, only the matched and the confident ones are made
    with a gradient graph; the matching itself sees all of them, without one.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        dim: int,
        matcher: HungarianMatcher,
        mask_logits: Callable[[Tensor, Tensor], Tensor],
        aqdl_weight: float,
        aqml_weight: float,
        class_weight: float,
        dice_weight: float,
        mask_weight: float = 0.0,
        focal_gamma: float = 2.0,
        no_object_weight: float = 0.1,
        aqdl_distance_threshold: float = 1.0,
    ):
        """
        Args:
            num_classes (int): classes that sound; the no-object class is the one after them.
            dim (int): d, width of the audio queries.
            matcher (HungarianMatcher): pairs queries with objects.
            mask_logits (callable): F_av [..., N, d] and W2 f4 [..., d, h, w] to masks before the sigmoid,
                [..., N, h, w] (eq. 7).
            aqdl_weight, aqml_weight, class_weight, dice_weight (float): lambda 1 to 4.
            mask_weight (float): of a pixel-wise BCE that the paper does not have.
            focal_gamma (float): of the focal loss: 0 or at least 1.
            no_object_weight (float): of the no-object class in the focal loss.
            aqdl_distance_threshold (float): d0 (eq. 10), of projected queries of length 1: 1 is a cosine of 0.5.
        """
        super().__init__()
        if focal_gamma < 0 or 0 < focal_gamma < 1:  # the gradient of a query that is certain would be infinite
            raise ValueError(f"FOCAL_GAMMA is {focal_gamma}, expected 0 or at least 1")
        self.num_classes = num_classes
        self.matcher = matcher
        self.mask_logits = mask_logits
        self.weights = {
            "loss_class": class_weight,
            "loss_dice": dice_weight,
            "loss_mask": mask_weight,
            "loss_aqdl": aqdl_weight,
            "loss_aqml": aqml_weight,
        }
        self.focal_gamma = focal_gamma
        self.aqdl_distance_threshold = aqdl_distance_threshold
        self.query_projection = nn.Linear(dim, dim, bias=False)  # h (eq. 10), before its result is normalised
        # What the last forward pass found, for the log: see `forward`.
        self.metrics: dict[str, Tensor] = {}
        self.per_class_weight: Tensor
        per_class = torch.ones(num_classes + 1)
        per_class[-1] = no_object_weight
        self.register_buffer("per_class_weight", per_class, persistent=False)

    def forward(
        self,
        class_logits: Sequence[Tensor],
        fused: Sequence[Tensor],
        projected: Tensor,
        audio_queries: Tensor,
        targets: Sequence[tuple[Tensor, Tensor]],
        aqdl_confidence: float,
        aqml_confidence: float,
    ) -> dict[str, Tensor]:
        """
        Args:
            class_logits (list[Tensor]): of each supervised decoder layer, [F, N, num_classes + 1].
            fused (list[Tensor]): F_av of the same layers, [F, N, d].
            projected (Tensor): W2 f4, [F, d, h, w].
            audio_queries (Tensor): A_q, [F, N, d].
            targets (list[tuple[Tensor, Tensor]]): of each frame, its n objects' classes, int64 [n], and masks, bool
                [n, H, W], all of one size.
            aqdl_confidence, aqml_confidence (float): delta1, delta2.

        Returns:
            dict[str, Tensor]: weighted scalars `loss_class`, `loss_dice`, `loss_aqdl`, `loss_aqml` and, if its weight
            is not 0, `loss_mask`. Then `metrics` holds scalars of the last layer: `s1` and `s2`, the mean size of S1
            and S2; `aqdl_pairs`, the share of S1's pairs that lie below d0, 0 where S1 has no pair.
        """
        labels = [classes for classes, _ in targets]
        masks = [frame_masks.float() for _, frame_masks in targets]
        coarse_masks = [_resize(mask, projected.shape[-2:], mode="area") for mask in masks]
        num_objects = self._num_objects(labels, projected.device)
        projected = projected.float()
        distant_queries = self._h(audio_queries)

        totals: dict[str, Tensor] = {}
        for layer_logits, layer_fused in zip(class_logits, fused):
            layer_logits, layer_fused = layer_logits.float(), layer_fused.float()
            with torch.no_grad():
                all_masks = self.mask_logits(layer_fused, projected)
            pairs = self.matcher(layer_logits, all_masks, labels, coarse_masks)
            losses = self._supervised(layer_logits, layer_fused, projected, labels, masks, pairs, num_objects)
            losses |= self._self_supervised(
                layer_logits, layer_fused, projected, distant_queries, aqdl_confidence, aqml_confidence
            )
            for name, loss in losses.items():
                weighted = self.weights[name] * loss
                totals[name] = totals[name] + weighted if name in totals else weighted
        return totals

    def _h(self, audio_queries: Tensor) -> Tensor:
        """h(q), float32 [F, N, d] of length 1, so that d0 means the same angle whatever the queries' size."""
        projected = self.query_projection(audio_queries.to(self.query_projection.weight.dtype))
        return F.normalize(projected.float(), dim=-1)

    def _num_objects(self, labels: Sequence[Tensor], device: torch.device) -> Tensor:
        """Objects in this process's frames, averaged over the processes so that each object counts the same."""
        number = torch.tensor([float(sum(len(frame_labels) for frame_labels in labels))], device=device)
        num_processes = 1
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(number)
            num_processes = distributed.get_world_size()
        return (number / num_processes).clamp(min=1)[0]

    def _supervised(
        self,
        class_logits: Tensor,
        fused: Tensor,
        projected: Tensor,
        labels: Sequence[Tensor],
        masks: Sequence[Tensor],
        pairs: Sequence[tuple[Tensor, Tensor]],
        num_objects: Tensor,
    ) -> dict[str, Tensor]:
        wanted = torch.full(class_logits.shape[:2], self.num_classes, device=class_logits.device)  # no object
        logits_of_pairs, masks_of_pairs = [], []
        for frame, (queries, objects) in enumerate(pairs):
            wanted[frame, queries] = labels[frame][objects]
            logits_of_pairs.append(self.mask_logits(fused[frame, queries], projected[frame]))
            masks_of_pairs.append(masks[frame][objects])
        truth = torch.cat(masks_of_pairs)
        # At the size of the ground truth, as inference upsamples its masks too.
        predicted = _resize(torch.cat(logits_of_pairs), truth.shape[-2:], mode="bilinear", align_corners=False)

        focal = softmax_focal_loss(class_logits, wanted, self.focal_gamma, self.per_class_weight)
        losses = {
            "loss_class": focal.sum() / num_objects,
            "loss_dice": dice_loss(predicted, truth).sum() / num_objects,
        }
        if self.weights["loss_mask"]:
            losses["loss_mask"] = mask_bce_loss(predicted, truth).sum() / num_objects
        return losses

    def _self_supervised(
        self,
        class_logits: Tensor,
        fused: Tensor,
        projected: Tensor,
        distant_queries: Tensor,
        aqdl_confidence: float,
        aqml_confidence: float,
    ) -> dict[str, Tensor]:
        probability = class_logits.detach().softmax(-1)[..., :-1].amax(-1)  # F N, of sounding
        sets_1, sets_2 = probability > aqdl_confidence, probability > aqml_confidence  # F N
        distance, overlap, near = [], [], []
        for frame, (set_1, set_2) in enumerate(zip(sets_1, sets_2)):
            queries = distant_queries[frame, set_1]
            distance.append(audio_query_distance_loss(queries, self.aqdl_distance_threshold))
            near.append(pairs_below(queries, self.aqdl_distance_threshold))
            overlap.append(audio_query_mask_loss(self.mask_logits(fused[frame, set_2], projected[frame]).sigmoid()))
        size_1, size_2 = sets_1.sum(1).float(), sets_2.sum(1).float()
        pairs = (size_1 * (size_1 - 1) / 2).sum()
        self.metrics = {
            "s1": size_1.mean(),
            "s2": size_2.mean(),
            "aqdl_pairs": torch.stack(near).sum() / pairs.clamp(min=1),
        }
        return {"loss_aqdl": torch.stack(distance).mean(), "loss_aqml": torch.stack(overlap).mean()}


def _resize(masks: Tensor, size: Sequence[int], mode: str, align_corners: bool | None = None) -> Tensor:
    """F.interpolate for [n, h, w], n = 0 included."""
    if len(masks) == 0:
        return masks.new_zeros(0, *size)
    return F.interpolate(masks[:, None], size=tuple(size), mode=mode, align_corners=align_corners)[:, 0]
