"""Plain ways to compute parts of the method: slow, and easily seen to be right."""

import torch
from torch.nn import functional as F

from ..evaluation.metrics import f_thresholds


def best_f_by_loop(probabilities: torch.Tensor, masks: torch.Tensor, beta_squared: float = 0.3) -> torch.Tensor:
    """The best F of a clip's curve (eq. 17), one threshold after the other: (1 + b^2) P R / (b^2 P + R).

    Args:
        probabilities: float [F, H, W].
        masks: bool [F, H, W].
    """
    curves = []
    for probability, mask in zip(probabilities, masks):
        curve = []
        for threshold in f_thresholds().tolist():
            prediction = (probability >= threshold).float()
            true_positive = (prediction * mask).sum()
            precision = true_positive / (prediction.sum() + 1e-20)
            recall = true_positive / (mask.sum() + 1e-20)
            f = (1 + beta_squared) * precision * recall / (beta_squared * precision + recall)
            curve.append(f.nan_to_num())
        curves.append(torch.stack(curve))
    return torch.stack(curves).mean(0).max()


def class_scores_by_loop(
    soft_map: torch.Tensor, truth: torch.Tensor, threshold: float, beta_squared: float = 0.3
) -> torch.Tensor:
    """Mean IoU and mean F over all labels, label by label and frame by frame, as AVSBench has them.

    Args:
        soft_map: float [F, K, H, W].
        truth: labels [F, H, W].
        threshold: a pixel has its likeliest class where that exceeds it.
    """
    highest, classes = soft_map.max(1)
    predictions = torch.where(highest > threshold, classes + 1, 0)
    means = []
    for label in range(soft_map.shape[1] + 1):
        found = []
        for prediction, true in zip(predictions == label, truth == label):
            both, either = (prediction & true).sum().double(), (prediction | true).sum().double()
            if either:
                precision, recall = both / prediction.sum(), both / true.sum()
                f = (1 + beta_squared) * precision * recall / (beta_squared * precision + recall)
                found.append(torch.stack([both / either, f.nan_to_num()]))
        means.append(torch.stack(found).mean(0) if found else torch.zeros(2, dtype=torch.float64))
    return torch.stack(means).mean(0)


def all_pairs_mask_loss(masks: torch.Tensor) -> torch.Tensor:
    """AQML as eq. 11 and 12 write it, pair by pair, of probabilities [n, H, W]."""
    n, binary, soft = len(masks), (masks > 0.5).float().unbind(), masks.unbind()
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    total = sum((((binary[i] * soft[j] + soft[i] * binary[j]) / 2).mean() for i, j in pairs), masks.new_zeros(()))
    return total * 2 / (n * (n + 1))


def stacked_sampling(
    values: torch.Tensor,
    spatial_shapes: list[tuple[int, int]],
    sampling_locations: torch.Tensor,
    attention_weights: torch.Tensor,
) -> torch.Tensor:
    """`sample_and_weigh` as Deformable DETR and its descendants write it in PyTorch: every sample, stacked."""
    frames, _, heads, channels = values.shape
    queries = sampling_locations.shape[1]
    grids = 2 * sampling_locations - 1
    samples = []
    levels = values.split([height * width for height, width in spatial_shapes], dim=1)
    for number, (level, (height, width)) in enumerate(zip(levels, spatial_shapes)):
        level = level.flatten(2).transpose(1, 2).reshape(frames * heads, channels, height, width)
        grid = grids[:, :, :, number].transpose(1, 2).flatten(0, 1)
        samples.append(F.grid_sample(level, grid, align_corners=False))  # F.heads c N points
    weights = attention_weights.transpose(1, 2).reshape(frames * heads, 1, queries, -1)
    total = (torch.stack(samples, dim=-2).flatten(-2) * weights).sum(-1)
    return total.view(frames, heads * channels, queries).transpose(1, 2).contiguous()
