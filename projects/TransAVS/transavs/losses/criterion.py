"""The training objective (eq. 13): supervised losses on matched queries, AQDL and AQML on confident ones."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from .matcher import HungarianMatcher, Pairs
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
            mask_logits (callable): F_av [..., N, d] and W2 f4 [d, h, w] of a frame to masks before the sigmoid,
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
        self.metrics: dict[str, float | Tensor] = {}
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
        counts = [len(classes) for classes, _ in targets]
        labels = torch.cat([classes for classes, _ in targets])  # M, of all frames
        masks = torch.cat([frame_masks for _, frame_masks in targets]).float()  # M H W
        logits, fused = torch.stack(list(class_logits)).float(), [layer.float() for layer in fused]  # L F N K
        projected = projected.float()
        probability = logits.detach().softmax(-1)[..., :-1].amax(-1)  # L F N, of sounding

        costs = self._costs(logits, fused, projected, labels, masks, counts)  # L F N n
        # Who is paired and who is confident is decided on the host, by NumPy, for all layers at once: this is the only
        # time that the host waits for the model.
        decided = torch.cat([costs, probability[..., None]], dim=-1).cpu().numpy()
        pairs = self.matcher.pair(decided[..., :-1], counts)
        losses = self._supervised(logits, fused, projected, labels, masks, counts, pairs)
        losses |= self._self_supervised(
            fused, projected, self._h(audio_queries), decided[..., -1], aqdl_confidence, aqml_confidence
        )
        return {name: self.weights[name] * loss for name, loss in losses.items()}

    def _h(self, audio_queries: Tensor) -> Tensor:
        """h(q), float32 [F, N, d] of length 1, so that d0 means the same angle whatever the queries' size."""
        projected = self.query_projection(audio_queries.to(self.query_projection.weight.dtype))
        return F.normalize(projected.float(), dim=-1)

    def _num_objects(self, number: int, device: torch.device) -> Tensor | int:
        """Of `number` objects in this process's frames, the mean over the processes: each object counts the same."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return max(number, 1)
        total = torch.full((), float(number), device=device)
        distributed.all_reduce(total)
        return (total / distributed.get_world_size()).clamp(min=1)

    @torch.no_grad()
    def _costs(
        self,
        logits: Tensor,
        fused: Sequence[Tensor],
        projected: Tensor,
        labels: Tensor,
        masks: Tensor,
        counts: Sequence[int],
    ) -> Tensor:
        """Of each layer, frame, query and object, [L, F, N, n]; n is the largest of `counts`."""
        coarse = _resize(masks, projected.shape[-2:], mode="area")
        frames = zip(
            logits.unbind(1),
            torch.stack(list(fused)).unbind(1),
            projected,
            labels.split(list(counts)),
            coarse.split(list(counts)),
        )
        costs = [
            self.matcher.costs(of_frame, self.mask_logits(queries, features), *objects)  # L N n of this frame
            for of_frame, queries, features, *objects in frames
        ]
        return torch.stack([F.pad(cost, (0, max(counts) - cost.shape[-1])) for cost in costs], dim=1)

    def _supervised(
        self,
        logits: Tensor,
        fused: Sequence[Tensor],
        projected: Tensor,
        labels: Tensor,
        masks: Tensor,
        counts: Sequence[int],
        pairs: Pairs,
    ) -> dict[str, Tensor]:
        """Focal, dice and, if it counts, pixel-wise loss of all layers."""
        device = logits.device
        first = np.cumsum([0, *counts])  # each frame's first object among all
        objects = torch.from_numpy(first[pairs.frames] + pairs.objects).to(device)  # L P
        frames, queries = torch.from_numpy(pairs.frames).to(device), torch.from_numpy(pairs.queries).to(device)
        layers = torch.arange(len(logits), device=device)[:, None]
        wanted = torch.full(logits.shape[:3], self.num_classes, device=device)  # no object
        wanted[layers, frames, queries] = labels[objects]

        matched = torch.stack([layer[frames, indices] for layer, indices in zip(fused, queries)])  # L P d
        pairs_of_frame = np.bincount(pairs.frames, minlength=len(counts)).tolist()
        predicted = torch.cat(  # L P h w
            [self.mask_logits(rows, frame) for rows, frame in zip(matched.split(pairs_of_frame, dim=1), projected)],
            dim=1,
        )
        truth = masks[objects.flatten()]
        # At the size of the ground truth, as inference upsamples its masks too.
        predicted = _resize(predicted.flatten(0, 1), truth.shape[-2:], mode="bilinear", align_corners=False)

        num_objects = self._num_objects(len(labels), device)
        focal = softmax_focal_loss(logits, wanted, self.focal_gamma, self.per_class_weight)
        losses = {
            "loss_class": focal.sum() / num_objects,
            "loss_dice": dice_loss(predicted, truth).sum() / num_objects,
        }
        if self.weights["loss_mask"]:
            losses["loss_mask"] = mask_bce_loss(predicted, truth).sum() / num_objects
        return losses

    def _self_supervised(
        self,
        fused: Sequence[Tensor],
        projected: Tensor,
        distant_queries: Tensor,
        probability: NDArray[np.floating[Any]],
        aqdl_confidence: float,
        aqml_confidence: float,
    ) -> dict[str, Tensor]:
        """AQDL and AQML of all layers, each a mean over the frames; `probability`, of sounding, is [L, F, N]."""
        d0, num_frames = self.aqdl_distance_threshold, probability.shape[1]
        sets_1, sets_2 = probability > aqdl_confidence, probability > aqml_confidence
        # Sets without a pair cost 0, with a gradient graph.
        distance, overlap = distant_queries.sum() * 0, (projected.sum() + sum(layer.sum() for layer in fused)) * 0
        near = distant_queries.new_zeros(())
        last = len(fused) - 1
        for layer, frame, members in _groups(sets_1, projected.device):
            queries = distant_queries[frame, members]
            distance = distance + audio_query_distance_loss(queries, d0)
            if layer == last:
                near = near + pairs_below(queries, d0)
        for layer, frame, members in _groups(sets_2, projected.device):
            masks = self.mask_logits(fused[layer][frame, members], projected[frame]).sigmoid()
            overlap = overlap + audio_query_mask_loss(masks)
        size_1, size_2 = sets_1[-1].sum(1), sets_2[-1].sum(1)
        num_pairs = (size_1 * (size_1 - 1) // 2).sum()
        self.metrics = {"s1": size_1.mean(), "s2": size_2.mean(), "aqdl_pairs": near / max(num_pairs, 1)}
        return {"loss_aqdl": distance / num_frames, "loss_aqml": overlap / num_frames}


def _groups(sets: NDArray[np.bool_], device: torch.device) -> Iterator[tuple[int, int, Tensor]]:
    """Layer, frame and members, int64 [n], of each set of [L, F, N] that has a pair; all are sent at once."""
    sizes = sets.sum(-1)
    layers, frames = np.nonzero(sizes > 1)
    members = torch.from_numpy(np.nonzero(sets[layers, frames])[1]).to(device)
    return zip(layers.tolist(), frames.tolist(), members.split(sizes[layers, frames].tolist()))


def _resize(masks: Tensor, size: Sequence[int], mode: str, align_corners: bool | None = None) -> Tensor:
    """F.interpolate for [n, h, w], n = 0 included."""
    if len(masks) == 0:
        return masks.new_zeros(0, *size)
    return F.interpolate(masks[:, None], size=tuple(size), mode=mode, align_corners=align_corners)[:, 0]
