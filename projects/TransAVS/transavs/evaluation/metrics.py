"""The measures of audio-visual segmentation: J (eq. 16) and F (eq. 17), as the public AVSBench scorer defines them, and
what is segmented where nothing sounds.

Pure functions of tensors: one clip's probabilities and masks give its scores (`clip_scores`), and the scores of all
clips give the dataset's (`summarize`). A clip is scored alone, and the sums over clips are correctly rounded
(`math.fsum`), so that no result depends on batch size, on the order of the clips or on the number of processes. Every
score is a fraction in [0, 1]. docs/METRICS.md compares these definitions with other code bases'.
"""

import math
from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

NUM_THRESHOLDS = 255  # of the F curve, as in AVSBench's scorer


class ClipScores(TypedDict):
    """What `clip_scores` finds in a clip, and all that the scores of a dataset are made of."""

    jaccard: list[float]  # one a frame
    f: float  # the maximum of the F curve averaged over the frames whose ground truth is not empty, 0 without such
    f_at_threshold: float  # the F of the predicted masks, averaged in the same way
    f_curve_sum: Tensor  # float64 [255], on the CPU: the sum of those frames' curves
    num_sounding_frames: int  # their number
    false_positive_rate: list[float]  # one a frame
    num_silent_frames: int  # the frames in which nothing sounds
    num_false_frames: int  # those of them in which something is segmented
    threshold: float  # a pixel is in the predicted mask where its probability exceeds this


def jaccard(prediction: Tensor, mask: Tensor) -> Tensor:
    """Intersection over union of each frame (eq. 16).

    Args:
        prediction, mask (Tensor): bool [..., H, W]; True = sounding.

    Returns:
        Tensor: float64 [...]. Where `mask` is empty: the share of pixels that `prediction` rightly leaves empty.

    Raises:
        ValueError: if a tensor is not bool, or the shapes differ or have no pixels.
    """
    _check_mask(prediction, "prediction")
    _check_mask(mask, "mask")
    _check_same_shape(prediction, mask, "prediction")
    prediction, mask = prediction.flatten(-2), mask.flatten(-2)
    intersection = (prediction & mask).sum(-1).double()
    union = (prediction | mask).sum(-1).double()
    rightly_empty = (~prediction).double().mean(-1)
    return torch.where(mask.any(-1), intersection / union.clamp(min=1), rightly_empty)


def false_positive_rate(prediction: Tensor, mask: Tensor) -> Tensor:
    """The share of each frame's silent pixels that are predicted to sound.

    Args:
        prediction, mask (Tensor): bool [..., H, W]; True = sounding.

    Returns:
        Tensor: float64 [...]; 0 where every pixel sounds.

    Raises:
        ValueError: as `jaccard`.
    """
    _check_mask(prediction, "prediction")
    _check_mask(mask, "mask")
    _check_same_shape(prediction, mask, "prediction")
    silent = ~mask.flatten(-2)
    return (prediction.flatten(-2) & silent).sum(-1).double() / silent.sum(-1).clamp(min=1)


def f_thresholds(dtype: torch.dtype = torch.float32) -> Tensor:
    """The thresholds of the F curve, [255], ascending.

    They are rounded to the probabilities' own type, as in AVSBench's scorer: in float32, which it runs in, the last
    one, 1 - 1e-10, is 1. Always made on the CPU, so that every device compares with the same numbers.
    """
    return torch.linspace(0, 1 - 1e-10, NUM_THRESHOLDS, dtype=dtype)


def f_curve(probability: Tensor, mask: Tensor, beta_squared: float = 0.3) -> Tensor:
    """The F-score of each frame at each of 255 thresholds (eq. 17), in one pass over the pixels.

    A pixel is predicted where probability >= threshold. A threshold without a true positive has F = 0; so has every
    threshold of a frame whose mask is empty.

    Args:
        probability (Tensor): floating [..., H, W] in [0, 1]; half precision is compared as float32.
        mask (Tensor): bool [..., H, W]; True = sounding.
        beta_squared (float): weight of recall against precision; AVSBench's 0.3.

    Returns:
        Tensor: float64 [..., 255].

    Raises:
        ValueError: for a wrong type or shape, or a probability that is NaN or outside [0, 1].
    """
    _check_frames(probability, mask)
    _check_beta_squared(beta_squared)
    frames = probability.shape[:-2]
    level = _passed_thresholds(probability).reshape(-1, probability.shape[-2] * probability.shape[-1])  # frames, pixels
    num_frames, num_levels = level.shape[0], NUM_THRESHOLDS + 1
    # One histogram for all: cell (frame, sounding or not, level).
    cell = level + num_levels * mask.reshape(level.shape).to(level.dtype)
    cell += 2 * num_levels * torch.arange(num_frames, dtype=level.dtype, device=level.device).unsqueeze(1)
    histogram = torch.bincount(cell.flatten(), minlength=2 * num_levels * num_frames).view(num_frames, 2, num_levels)
    # A pixel that passes n thresholds is predicted at the first n: those at level k + 1 and above pass threshold k.
    predicted = histogram.flip(-1).cumsum(-1).flip(-1)[..., 1:].double()  # frames, 2, 255
    sounding = histogram[:, 1].sum(-1, keepdim=True)
    return f_score(predicted[:, 1], predicted.sum(1), sounding, beta_squared).reshape(*frames, NUM_THRESHOLDS)


def f_score(true_positive: Tensor, predicted: Tensor, sounding: Tensor, beta_squared: float = 0.3) -> Tensor:
    """F (eq. 17) from counts of pixels: of both, of the prediction, and of the ground truth. Broadcasts; float64.

    (1 + b^2) P R / (b^2 P + R) with P = tp / predicted and R = tp / sounding is
    (1 + b^2) tp / (b^2 sounding + predicted), which needs no care where P or R is 0 / 0: there tp is 0, and so is F.
    """
    weighted = beta_squared * sounding.double() + predicted.double()
    score = (1 + beta_squared) * true_positive.double() / torch.where(weighted > 0, weighted, 1.0)
    return score.clamp(max=1.0)


def clip_scores(
    probabilities: Tensor,
    masks: Tensor,
    threshold: float = 0.5,
    beta_squared: float = 0.3,
    own_audio: bool = True,
) -> ClipScores:
    """Scores one clip.

    Args:
        probabilities (Tensor): floating [F, H, W] in [0, 1], the probability that a pixel sounds, of the annotated
            frames.
        masks (Tensor): bool [F, H, W], the ground truth.
        threshold (float): a pixel belongs to the predicted mask where its probability exceeds this.
        beta_squared (float): as in `f_curve`.
        own_audio (bool): False: another sound was heard than the frames', so that every segmented pixel is a false
            positive; J and F still compare with `masks`.

    Raises:
        ValueError: as `f_curve`, and for a clip without frames.
    """
    if probabilities.dim() != 3 or probabilities.shape[0] == 0:
        raise ValueError(f"probabilities must be [F, H, W] with F >= 1, got {_shape(probabilities)}")
    curves = f_curve(probabilities, masks, beta_squared).cpu()
    prediction = probabilities > threshold
    true_positive = (prediction & masks).flatten(1).sum(1)
    f_at_threshold = f_score(true_positive, prediction.flatten(1).sum(1), masks.flatten(1).sum(1), beta_squared)
    sounding = masks.flatten(1).any(1).cpu()
    curve_sum, num_sounding = curves[sounding].sum(0), int(sounding.sum())
    heard = masks if own_audio else torch.zeros_like(masks)
    silent = ~heard.flatten(1).any(1)
    return {
        "jaccard": jaccard(prediction, masks).tolist(),
        "f": float(curve_sum.max()) / max(num_sounding, 1),
        "f_at_threshold": math.fsum(f_at_threshold.cpu()[sounding].tolist()) / max(num_sounding, 1),
        "f_curve_sum": curve_sum,
        "num_sounding_frames": num_sounding,
        "false_positive_rate": false_positive_rate(prediction, heard).tolist(),
        "num_silent_frames": int(silent.sum()),
        "num_false_frames": int((silent & prediction.flatten(1).any(1)).sum()),
        "threshold": float(threshold),
    }


def mean_jaccard(clips: Sequence[ClipScores]) -> float:
    """mJ: the mean of J over all frames of all clips (eq. 16)."""
    return _mean([frame for clip in clips for frame in clip["jaccard"]])


def f_clip(clips: Sequence[ClipScores]) -> float:
    """mF, AVSBench's F: the best threshold of each clip, then the mean; a clip that never sounds counts 0 (eq. 17)."""
    return _mean([clip["f"] for clip in clips])


def f_dataset(clips: Sequence[ClipScores]) -> float:
    """mF_dataset: the curve averaged over all frames with ground truth, then one threshold; 0 without such frames."""
    num_sounding = sum(clip["num_sounding_frames"] for clip in clips)
    columns = torch.stack([clip["f_curve_sum"] for clip in clips], dim=1).tolist()  # 255, clips
    return max(math.fsum(column) for column in columns) / max(num_sounding, 1)


def f_fixed(clips: Sequence[ClipScores]) -> float:
    """mF@threshold: as `f_clip`, but with the F of the predicted masks in place of the best threshold's."""
    return _mean([clip["f_at_threshold"] for clip in clips])


def fpr_pixel(clips: Sequence[ClipScores]) -> float:
    """The share of the silent pixels of a frame that are segmented: the mean over all frames of all clips."""
    return _mean([frame for clip in clips for frame in clip["false_positive_rate"]])


def fpr_frame(clips: Sequence[ClipScores]) -> float:
    """The share of the silent frames in which anything is segmented; 0 if no frame is silent."""
    return sum(clip["num_false_frames"] for clip in clips) / max(sum(clip["num_silent_frames"] for clip in clips), 1)


def summarize(clips: Sequence[ClipScores]) -> dict[str, float]:
    """The scores of a dataset.

    Args:
        clips (sequence[ClipScores]): one a clip, with the same threshold; in any order.

    Returns:
        dict[str, float]: `mJ`, `mF`, `mF_dataset`, `mF@0.5` (named after the threshold used), `FPR_pixel` and
        `FPR_frame`, fractions in [0, 1].

    Raises:
        ValueError: if there is no clip, or the thresholds differ.
    """
    thresholds = {clip["threshold"] for clip in clips}
    if len(thresholds) != 1:
        raise ValueError(
            f"summarize needs clips scored at one threshold, got {len(clips)} clips at {sorted(thresholds)}"
        )
    return {
        "mJ": mean_jaccard(clips),
        "mF": f_clip(clips),
        "mF_dataset": f_dataset(clips),
        f"mF@{thresholds.pop():g}": f_fixed(clips),
        "FPR_pixel": fpr_pixel(clips),
        "FPR_frame": fpr_frame(clips),
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _passed_thresholds(probability: Tensor) -> Tensor:
    """How many of the ascending thresholds each pixel reaches: int32 of probability's shape, exact at ties."""
    probability = probability.float() if probability.dtype in (torch.float16, torch.bfloat16) else probability
    thresholds = f_thresholds(probability.dtype).to(probability.device)
    # The thresholds are evenly spaced: the ones below the nearest are passed, those above are not, and only the nearest
    # itself must be compared. Five times as fast as a binary search.
    nearest = (probability * (NUM_THRESHOLDS - 1)).round_().int()
    reached = probability >= thresholds.index_select(0, nearest.flatten()).view_as(probability)
    return nearest + reached


def _check_frames(probability: Tensor, mask: Tensor) -> None:
    if not probability.is_floating_point():
        raise ValueError(f"probability must be a floating-point tensor, got {probability.dtype}")
    _check_mask(mask, "mask")
    _check_same_shape(probability, mask, "probability")
    lowest, highest = (float(value) for value in torch.aminmax(probability.detach()))
    if not (lowest >= 0 and highest <= 1):  # also catches NaN, which compares false
        raise ValueError(f"probability must lie in [0, 1], got values from {lowest:g} to {highest:g}")


def _check_mask(mask: Tensor, name: str) -> None:
    if mask.dtype != torch.bool:
        raise ValueError(f"{name} must be a bool tensor, got {mask.dtype}")
    if mask.dim() < 2 or mask.numel() == 0:
        raise ValueError(f"{name} must be [..., H, W] with at least one pixel, got {_shape(mask)}")


def _check_same_shape(tensor: Tensor, mask: Tensor, name: str) -> None:
    if tensor.shape != mask.shape:
        raise ValueError(f"{name} and mask must have one shape, got {_shape(tensor)} and {_shape(mask)}")


def _check_beta_squared(beta_squared: float) -> None:
    if not beta_squared > 0:
        raise ValueError(f"beta_squared must be positive, got {beta_squared}")


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))
